"""The pages about the services and the official clients say what is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from xnat_luigi.standin.routes.site_services import NOT_IMITATED

ROOT = Path(__file__).resolve().parents[2]
SERVICES = (ROOT / "docs" / "standin-services.md").read_text()
STRANGERS = (ROOT / "docs" / "strangers.md").read_text()


def test_the_example_of_the_services_page_runs() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", SERVICES, re.M | re.S)
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_address_that_is_not_imitated_is_listed() -> None:
    for address in NOT_IMITATED:
        assert f"`{address}`" in SERVICES


def test_the_tests_that_the_pages_name_exist() -> None:
    for name in re.findall(r"`(test_\w+\.py)`", SERVICES):
        assert (ROOT / "tests" / "standin" / name).is_file(), name
    peers = ROOT / "tests" / "peers"
    for name in re.findall(r"`(test_\w+\.py)`", STRANGERS):
        assert (peers / name).is_file(), name
    code = "".join(path.read_text() for path in peers.glob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", STRANGERS):
        assert f"def {name}(" in code, name
