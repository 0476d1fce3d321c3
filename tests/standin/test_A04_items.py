"""Wire contract A 4: item documents."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from xnat_luigi.standin import StandIn

from .site import Site

NOT_FOUND = "Unable to find the specified"
XNAT = "{http://nrg.wustl.edu/xnat}"


def document(site: Site, path: str, **query: str) -> dict[str, Any]:
    """The current item of a document."""
    items = site.get(path, params={"format": "json", **query}).json()["items"]
    return next(item for item in items if not item["meta"]["isHistory"])


def children(item: dict[str, Any], field: str) -> list[dict[str, Any]]:
    return next((c["items"] for c in item["children"] if c["field"] == field), [])


@pytest.fixture
def session(site: Site) -> str:
    """The address of a session with a scan, a file, a custom variable and an assessor."""
    project = site.project()
    base = f"/projects/{project}/subjects/S1/experiments/E1"
    kind = "xnat:mrSessionData"
    made = site.put(
        base,
        params={
            "xsiType": kind,
            f"{kind}/date": "2024-02-01",
            f"{kind}/scanner": "SCN1",
            f"{kind}/scanner/manufacturer": "ACME",
            f"{kind}/fields/field[name=cohort]/field": "A",
        },
    ).text
    here = f"/experiments/{made}"
    scan = "xnat:mrScanData"
    site.put(
        f"{here}/scans/1",
        params={"xsiType": scan, f"{scan}/type": "T1", f"{scan}/frames": "176",
                f"{scan}/parameters/voxelRes/x": "1.0"},
    )  # fmt: skip
    site.put(f"{here}/scans/1/resources/DICOM/files/a.dcm?inbody=true&format=DICOM", b"hello")
    site.put(f"{here}/assessors/QC1?xsiType=xnat:qcManualAssessorData")
    return here


def test_A4_keys_are_paths_and_numbers_are_numbers(site: Site, session: str) -> None:
    item = document(site, session)
    fields = item["data_fields"]
    assert (fields["date"], fields["scanner"]) == ("2024-02-01", "SCN1")
    assert fields["scanner/manufacturer"] == "ACME"
    assert fields["label"] == "E1"
    assert fields["subject_ID"]
    scan = children(item, "scans/scan")[0]["data_fields"]
    assert scan["ID"] == "1"
    assert (scan["frames"], scan["parameters/voxelRes/x"]) == (176, 1.0)
    assert isinstance(scan["xnat_imagescandata_id"], int)
    assert scan["image_session_ID"] == fields["ID"]


def test_A4_nulls_and_empty_children_are_absent(site: Site, session: str) -> None:
    item = document(site, session)
    assert None not in item["data_fields"].values()
    assert "note" not in item["data_fields"]
    assert all(child["items"] for child in item["children"])


def test_A4_meta(site: Site, session: str) -> None:
    meta = document(site, session)["meta"]
    assert meta["xsi:type"] == "xnat:mrSessionData"
    assert meta["isHistory"] is False
    words = meta["start_date"].split()
    assert len(words) == 6
    assert words[4] == "UTC"


def test_A4_children(site: Site, session: str) -> None:
    item = document(site, session)
    assert children(item, "fields/field")[0]["data_fields"] == {"name": "cohort", "field": "A"}
    assert children(item, "assessors/assessor")[0]["data_fields"]["label"] == "QC1"
    resource = children(children(item, "scans/scan")[0], "file")[0]
    known = resource["data_fields"]
    assert (known["label"], known["file_count"], known["file_size"]) == ("DICOM", 1, 5)
    assert known["URI"].endswith("_catalog.xml")
    assert known["URI"].startswith("/")
    assert resource["meta"]["xsi:type"] == "xnat:resourceCatalog"


def test_A4_subject_with_demographics_and_experiments(site: Site) -> None:
    project = site.project()
    base = f"/projects/{project}/subjects/S1"
    site.put(f"{base}?gender=female&yob=1980")
    site.put(f"{base}/experiments/E1?xsiType=xnat:mrSessionData")
    item = document(site, base)
    demographics = children(item, "demographics")[0]["data_fields"]
    assert (demographics["gender"], demographics["yob"]) == ("female", 1980)
    assert children(item, "experiments/experiment")[0]["data_fields"]["label"] == "E1"


def test_A4_history_on_request(site: Site, session: str) -> None:
    site.put(f"{session}?xsiType=xnat:mrSessionData&scanner=SCN2")
    assert len(site.get(f"{session}?format=json").json()["items"]) == 1
    items = site.get(f"{session}?format=json&includeHistory=true").json()["items"]
    former = [item for item in items if item["meta"]["isHistory"]]
    assert [item["data_fields"]["scanner"] for item in former] == ["SCN1"]
    assert former[0]["meta"]["end_date"]


def test_A4_xml(site: Site, session: str) -> None:
    answer = site.get(f"{session}?format=xml")
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert "<!--hidden_fields[" in answer.text
    assert "<!--" not in site.get(f"{session}?format=xml&concealHiddenFields=true").text
    root = ElementTree.fromstring(answer.content)
    assert root.tag == f"{XNAT}MRSession"
    assert root.get("label") == "E1"
    location = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
    assert "/schemas/xnat/xnat.xsd" in (root.get(location) or "")
    scan = root.find(f"{XNAT}scans/{XNAT}scan")
    assert scan is not None
    assert scan.get("type") == "T1"


def test_A4_xml_follows_the_schemas(site: Site, session: str) -> None:
    """Attributes, elements and namespaces are those that the served schemas declare."""
    root = ElementTree.fromstring(site.get(f"{session}?format=xml").content)
    scanner = root.find(f"{XNAT}scanner")
    assert scanner is not None
    assert (scanner.text, scanner.get("manufacturer")) == ("SCN1", "ACME")
    field = root.find(f"{XNAT}fields/{XNAT}field")
    assert field is not None
    assert (field.get("name"), field.text) == ("cohort", "A")
    scan = root.find(f"{XNAT}scans/{XNAT}scan")
    assert scan is not None
    size = scan.find(f"{XNAT}parameters/{XNAT}voxelRes")
    assert scan.findtext(f"{XNAT}frames") == "176"
    assert size is not None
    assert size.get("x") == "1.0"
    resource = scan.find(f"{XNAT}file")
    assert resource is not None
    assert (resource.get("label"), resource.get("file_count")) == ("DICOM", "1")


def test_A4_schema_locations_can_be_fetched(site: Site, session: str) -> None:
    """The way in of clients that know XNAT 1.6 only (A 2)."""
    project = site.get(f"{session}?format=json").json()["items"][0]["data_fields"]["project"]
    root = ElementTree.fromstring(site.get(f"/projects/{project}?format=xml").content)
    words = (root.get("{http://www.w3.org/2001/XMLSchema-instance}schemaLocation") or "").split()
    places = dict(zip(words[::2], words[1::2], strict=True))
    assert "http://nrg.wustl.edu/xnat" in places
    for address in places.values():
        path = address[address.index("/schemas/") :]
        assert site.get(path).status_code == 200, path


def test_A4_extension_types_have_their_own_namespace(own_site: Site, standin: StandIn) -> None:
    standin.add_subject("P1", "S1")
    kind = "mem:memoryTestData"
    path = "/projects/P1/subjects/S1/experiments/M1"
    made = own_site.put(path, params={"xsiType": kind, f"{kind}/immediate": "12"})
    assert made.status_code == 201, made.text
    root = ElementTree.fromstring(own_site.get(f"{path}?format=xml").content)
    space = "{http://example.org/xnat-luigi/memory}"
    assert root.tag == f"{space}MemoryTest"
    assert root.findtext(f"{space}immediate") == "12"
    assert document(own_site, path)["data_fields"]["immediate"] == 12


def test_A4_xml_can_be_put_back(site: Site, session: str) -> None:
    """The document of an item is understood by the address it came from."""
    text = site.get(f"{session}?format=xml&concealHiddenFields=true").text
    changed = text.replace("SCN1", "SCN9")
    assert changed != text
    site.put(session, changed.encode(), headers={"Content-Type": "text/xml"})
    item = document(site, session)
    assert item["data_fields"]["scanner"] == "SCN9"
    assert len(children(item, "scans/scan")) == 1
    assert len(children(item, "fields/field")) == 1


def test_A4_status(site: Site, session: str) -> None:
    assert site.get(f"{session}/status").text == "active"
    site.put(f"{session}?quarantine=true")
    assert site.get(f"{session}/status").text == "quarantine"
    site.put(f"{session}?activate=true")
    assert site.get(f"{session}/status").text == "active"


def test_A4_history_document(site: Site, session: str) -> None:
    site.put(f"{session}?xsiType=xnat:mrSessionData&scanner=SCN2")
    changes = site.get(f"{session}/history").json()["changesets"]
    assert len(changes) >= 1
    assert changes[-1]["username"]


def test_A4_unknown_handler(site: Site, session: str) -> None:
    assert site.get(f"{session}?handler=nonsense").status_code == 400


def test_A4_shared_item_says_so_itself(site: Site) -> None:
    first, second = site.project(), site.project()
    site.put(f"/projects/{first}/subjects/S1")
    site.put(f"/projects/{first}/subjects/S1/projects/{second}?label=X1")
    item = document(site, f"/projects/{second}/subjects/X1")
    assert (item["data_fields"]["label"], item["data_fields"]["project"]) == ("S1", first)
    share = children(item, "sharing/share")[0]["data_fields"]
    assert share == {"project": second, "label": "X1"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/projects/NOPE", f"{NOT_FOUND} experiment."),
        ("/experiments/NOPE", f"{NOT_FOUND} experiment."),
        ("{E}/scans/9", f"{NOT_FOUND} scan."),
        ("/subjects/NOPE", "label"),
    ],
)
def test_A4_not_found(site: Site, session: str, path: str, message: str) -> None:
    answer = site.get(path.replace("{E}", session), params={"format": "json"})
    assert answer.status_code == 404
    assert message in answer.text


def test_A4_hidden_is_not_found(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", scans={"1": "T1"})
    reader = own_site.as_user("reader")
    for path in (f"/experiments/{session}", f"/experiments/{session}/scans/1", "/projects/P1",
                 "/projects/P1/subjects/S1"):  # fmt: skip
        assert reader.get(path, params={"format": "json"}).status_code == 404, path
    standin.state.users.set_role("P1", "reader", "collaborator")
    assert reader.get(f"/experiments/{session}?format=json").status_code == 200


def test_A4_single_resource_is_xml_whatever_was_asked(site: Site, session: str) -> None:
    answer = site.get(f"{session}/scans/1/resources/DICOM?format=json")
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert b"Catalog" in answer.content
