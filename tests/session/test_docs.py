"""The code of docs/connecting.md runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xnat_luigi.connection import retry
from xnat_luigi.standin import StandIn

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "connecting.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=[str(n) for n in range(len(BLOCKS))])
def test_the_code_runs(block: str, standin: StandIn, netrc: Path, tmp_path: Path) -> None:
    standin.add_project("P1")
    script = tmp_path / "script.py"
    script.write_text(block.replace("https://xnat.example.org", standin.url))
    environment = {**os.environ, "XNAT_LUIGI_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_statuses_that_are_tried_again_are_those_of_the_page() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| after a status"))
    named = {int(number) for number in re.findall(r"\b[45]\d\d\b", row)}
    assert named == retry.RETRIED | {500}


def test_the_exit_statuses_are_those_of_the_errors() -> None:
    from xnat_luigi import exceptions

    rows = re.findall(r"^\| (\d) \| (`XNAT[^|]+) \|", PAGE, re.M)
    assert len(rows) == 6
    for status, names in rows:
        for name in re.findall(r"`(XNAT\w+)`", names):
            assert getattr(exceptions, name).exit_status == int(status), name
