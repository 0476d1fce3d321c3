"""Wire contract A 2: schemas."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from .site import Site

XS = "{http://www.w3.org/2001/XMLSchema}"
ABSTRACT = {"experimentData", "imageSessionData", "imageScanData"}


def names(site: Site) -> list[str]:
    listed: list[str] = site.get("/xapi/schemas").json()
    return listed


def test_A2_names(site: Site) -> None:
    listed = names(site)
    assert len(listed) > 10
    assert {"security", "xnat", "xdat", "xdat/display", "assessments"} <= set(listed)


def test_A2_every_schema_can_be_fetched_and_read(site: Site) -> None:
    for name in names(site):
        answer = site.get(f"/xapi/schemas/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["Content-Type"].startswith("application/xml")
        assert ElementTree.fromstring(answer.content).tag == f"{XS}schema"


def test_A2_the_old_style_gives_the_same(site: Site) -> None:
    new, old = site.get("/xapi/schemas/xnat"), site.get("/schemas/xnat/xnat.xsd")
    assert old.status_code == 200
    assert old.content == new.content


@pytest.mark.parametrize("path", ["/xapi/schemas/nope", "/xapi/schemas/xdat/nope",
                                  "/schemas/xnat/nope.xsd"])  # fmt: skip
def test_A2_unknown_is_404(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


def test_A2_needs_a_login(site: Site) -> None:
    assert site.as_user("").get("/xapi/schemas").status_code == 401


def test_A2_root_elements_are_of_concrete_types_only(site: Site) -> None:
    root = ElementTree.fromstring(site.get("/xapi/schemas/xnat").content)
    elements = {
        element.get("name"): (element.get("type") or "").rpartition(":")[2]
        for element in root.findall(f"{XS}element")
    }
    assert elements["MRSession"] == "mrSessionData"
    assert elements["Subject"] == "subjectData"
    assert not ABSTRACT & set(elements.values())
