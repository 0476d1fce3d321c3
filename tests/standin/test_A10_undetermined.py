"""Wire contract A 10 and A 0.1: what is not determined says so, and the docs list it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xnat_luigi.standin.routes.undetermined import UNDETERMINED

from .site import Site

PAGE = Path(__file__).resolve().parents[2] / "docs" / "standin.md"


@pytest.mark.parametrize("address", UNDETERMINED)
def test_A10_501_with_a_sentence(own_site: Site, address: str) -> None:
    assert own_site.standin is not None
    own_site.standin.add_project("P1")
    path = address.replace("{P}", "P1").replace("{ID}", "x").replace("{TYPE}", "xnat:mrScanData")
    verbs, reason = UNDETERMINED[address]
    for verb in verbs.split():
        answer = own_site.call(verb, path)
        assert answer.status_code == 501, (verb, path)
        assert reason in answer.text


@pytest.mark.parametrize("address", UNDETERMINED)
def test_A10_the_docs_list_it(address: str) -> None:
    assert f"`{address}`" in PAGE.read_text()


@pytest.mark.parametrize(
    "path",
    ["/experiments/{E}/XAR", "/experiments/{E}/resources/R/files/a?format=image/jpeg"],
)
def test_A10_parts_of_what_is_imitated(own_site: Site, path: str) -> None:
    assert own_site.standin is not None
    session = own_site.standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a"}})
    assert own_site.get(path.replace("{E}", session)).status_code == 501


def test_A10_uploads_nobody_describes(own_site: Site) -> None:
    assert own_site.standin is not None
    session = own_site.standin.add_session("P1", "S1", "E1")
    base = f"/experiments/{session}"
    assert own_site.put(f"{base}/files/a?inbody=true", b"x").status_code == 501
    assert own_site.put(f"{base}/resources/R/files/a?reference=/etc/passwd").status_code == 501


def test_A10_the_docs_name_every_section_with_its_tests() -> None:
    """The coverage table and the tests' names say the same."""
    folder = Path(__file__).parent
    listed = re.findall(r"^\| A ([\d.]+) \|[^|]*\|([^|]*)\|$", PAGE.read_text(), re.M)
    assert len(listed) > 25
    for section, modules in listed:
        for module in re.findall(r"`(test_\w+\.py)`", modules):
            assert (folder / module).is_file(), module
            if section != "9":
                name = f"def test_A{section.replace('.', '_')}"
                assert name in (folder / module).read_text(), (section, module)
    named = {m for _, modules in listed for m in re.findall(r"`(test_\w+\.py)`", modules)}
    assert {path.name for path in folder.glob("test_A*.py")} <= named
