"""The header dump (wire contract B 6)."""

from __future__ import annotations

from typing import Any

import pytest

from .objects import dicom, new_uid, zipped
from .site import Site


def dump(site: Site, src: str, *fields: str, **more: str) -> list[dict[str, str]]:
    query = {"src": src, "format": "json", "field": list(fields), **more}
    answer = site.get("/services/dicomdump", params=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, str]] = answer.json()["ResultSet"]["Result"]
    return rows


def archived(site: Site, **elements: Any) -> str:
    """A session of one file with these elements."""
    project = site.project()
    body = zipped({"x.dcm": dicom(new_uid(), 1, 1, **elements)})
    row = site.send(body, project=project).text.strip().removeprefix("/data")
    site.post(row, params={"action": "build"})
    return site.archive(row).text.strip().removeprefix("/data")


def test_B6_fields_by_keyword_and_number(site: Site) -> None:
    address = archived(site)
    rows = dump(site, f"{address}/scans/1", "PatientID", "00100010")
    assert rows == [
        {
            "tag1": "(0010,0010)",
            "tag2": "",
            "vr": "PN",
            "value": "S1",
            "desc": "Patient's Name",
        },
        {"tag1": "(0010,0020)", "tag2": "", "vr": "LO", "value": "S1_MR1", "desc": "Patient ID"},
    ]


def test_B6_whole_header_stops_before_the_pixels(site: Site) -> None:
    rows = dump(site, archived(site))
    tags = [row["tag1"] for row in rows]
    assert "(0020,000D)" in tags
    assert "(7FE0,0010)" not in tags


@pytest.mark.parametrize("tail", ["", "/scans/1", "/scans/1/resources/DICOM/files/x.dcm"])
def test_B6_forms_of_src(site: Site, tail: str) -> None:
    address = archived(site)
    assert dump(site, address + tail, "PatientID")[0]["value"] == "S1_MR1"
    parts = address.split("/")
    short = "/".join([*parts[:4], *parts[6:]])  # without the subject
    assert dump(site, short + tail, "PatientID")[0]["value"] == "S1_MR1"


def test_B6_prearchive(site: Site) -> None:
    row = site.built(site.project())
    for tail in ("", "/scans/1", "/scans/1/resources/DICOM/files/1-2.dcm"):
        assert dump(site, row + tail, "PatientID")[0]["value"] == "S1_MR1"
    instance = dump(site, f"{row}/scans/1/resources/DICOM/files/1-2.dcm", "InstanceNumber")
    assert instance[0]["value"] == "2"


def test_B6_prearchive_needs_the_document(site: Site) -> None:
    row = site.received(site.project())
    assert site.get("/services/dicomdump", params={"src": row}).status_code == 404


def test_B6_unmatched_src_is_an_empty_table(site: Site) -> None:
    address = archived(site)
    for src in (
        "/archive/experiments/XNAT_E00001",
        f"/data{address}",
        f"{address}/scans/99",
        f"{address}/assessors/QC",  # searched as a scan ID
        "/nonsense",
    ):
        assert dump(site, src) == [], src


def test_B6_errors(site: Site) -> None:
    project = site.project()
    assert site.get("/services/dicomdump").status_code == 400
    address = archived(site)
    query = {"src": address, "field": "NoSuchField"}
    assert site.get("/services/dicomdump", params=query).status_code == 400
    missing = f"/archive/projects/{project}/subjects/A/experiments/B"
    assert site.get("/services/dicomdump", params={"src": missing}).status_code == 404


def test_B6_values_are_cut_and_escaped(site: Site) -> None:
    address = archived(site, PatientComments="<a & b>" + "x" * 400)
    value = dump(site, address, "PatientComments")[0]["value"]
    assert value.startswith("&lt;a &amp; b&gt;")
    assert len(value) == 255 - 7 + len("&lt;a &amp; b&gt;")


def test_B6_sequences_are_one_level_deep(site: Site) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "T-1", "head"
    rows = dump(site, archived(site, AnatomicRegionSequence=Sequence([inner])))
    nested = [row for row in rows if row["tag1"] == "(0008,2218)"]
    assert nested[0]["tag2"] == "(0008,2218)"
    assert ("(0008,0100)", "T-1") in [(row["tag2"], row["value"]) for row in nested]


def test_B6_summary_merges_distinct_values(site: Site) -> None:
    row = site.built(site.project(), scans={1: 3})
    address = site.archive(row).text.strip().removeprefix("/data")
    rows = dump(site, address, "InstanceNumber", "PatientID", summary="true")
    values = {line["tag1"]: line["value"] for line in rows}
    assert values["(0010,0020)"] == "S1_MR1"
    assert all(number in values["(0020,0013)"] for number in "123")


def test_B6_no_right_is_404(own_site: Site) -> None:
    address = archived(own_site)
    reader = own_site.as_user("reader")
    assert reader.get("/services/dicomdump", params={"src": address}).status_code == 404


def test_B6_siemens_shadow_headers_are_not_read(own_site: Site) -> None:
    address = archived(own_site)
    query = {"src": address, "field": "00291010:MosaicRefAcqTimes"}
    answer = own_site.get("/services/dicomdump", params=query)
    assert answer.status_code == 501
