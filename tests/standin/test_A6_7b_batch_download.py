"""Download of many sessions in two steps (wire contract A 6.7 b)."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
import requests

from .site import Site

Order = dict[str, Any]


@pytest.fixture
def order(own_site: Site) -> Order:
    """An order of one session with two scans; the session and its files are there."""
    assert own_site.standin is not None
    files = {"a.dcm": b"aa", "deep/b.dcm": b"bbb"}
    scans = {
        "1": {"type": "T1 (fast)", "resources": {"DICOM": files, "NIFTI": {"n.nii": b"n"}}},
        "2": {"resources": {"DICOM": {"c.dcm": b"c"}}},
    }
    name = own_site.standin.add_session(
        "P1", "S1", "S1_MR1", scans=scans, resources={"LOGS": {"l/log.txt": b"log"}}
    )
    return {
        "projectIds": ["P1"],
        "sessions": [f"P1:S1:S1_MR1:{name}"],
        "scan_types": ["T1 (fast)", None],
        "scan_formats": ["DICOM"],
        "resources": ["LOGS"],
        "options": ["simplified"],
    }


def post(site: Site, order: Order, tail: str = "downloadwithsize") -> requests.Response:
    return site.call("POST", f"/xapi/archive/{tail}", json=order)


def fetched(site: Site, order: Order) -> dict[str, bytes]:
    name = post(site, order).json()["id"]
    answer = site.get(f"/xapi/archive/download/{name}/zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert "Content-Length" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_A6_7b_two_steps(own_site: Site, order: Order) -> None:
    answer = post(own_site, order)
    assert answer.status_code == 200
    assert set(answer.json()) == {"id", "size", "resourcesOfUnknownSize"}
    assert answer.json()["size"] == "9"
    assert answer.json()["id"].startswith("admin-")
    assert post(own_site, order, "download").text.startswith("admin-")
    assert fetched(own_site, order) == {
        "S1_MR1/1/DICOM/a.dcm": b"aa",
        "S1_MR1/1/DICOM/deep/b.dcm": b"bbb",
        "S1_MR1/2/DICOM/c.dcm": b"c",
        "S1_MR1/LOGS/l/log.txt": b"log",
    }


def test_A6_7b_default_layout_flattens_behind_a_type(own_site: Site, order: Order) -> None:
    order["options"] = ["projectIncludedInPath", "subjectIncludedInPath"]
    assert sorted(fetched(own_site, order)) == [
        "P1/S1/S1_MR1/resources/LOGS/l/log.txt",
        "P1/S1/S1_MR1/scans/1-T1__fast_/resources/DICOM/a.dcm",
        "P1/S1/S1_MR1/scans/1-T1__fast_/resources/DICOM/b.dcm",
        "P1/S1/S1_MR1/scans/2/resources/DICOM/c.dcm",
    ]


def test_A6_7b_lists_are_exact(own_site: Site, order: Order) -> None:
    order["scan_types"] = ["T1*"]
    assert list(fetched(own_site, order)) == ["S1_MR1/LOGS/l/log.txt"]
    del order["scan_types"]  # omitted: no scans
    assert list(fetched(own_site, order)) == ["S1_MR1/LOGS/l/log.txt"]


@pytest.mark.parametrize("missing", ["sessions", "projectIds"])
def test_A6_7b_nothing_asked(own_site: Site, order: Order, missing: str) -> None:
    del order[missing]
    assert post(own_site, order).status_code == 204


def test_A6_7b_rights(own_site: Site, order: Order) -> None:
    reader = own_site.as_user("reader")
    assert post(reader, order).status_code == 403
    name = post(own_site, order).json()["id"]
    assert reader.get(f"/xapi/archive/download/{name}/zip").status_code == 403
    assert own_site.get("/xapi/archive/download/admin-1/zip").status_code == 403


def test_A6_7b_plan_and_test(own_site: Site, order: Order) -> None:
    name = post(own_site, order).json()["id"]
    plan = own_site.get(f"/xapi/archive/download/{name}/xml")
    assert int(plan.headers["Content-Length"]) == len(plan.content)
    assert "S1_MR1/1/DICOM/deep/b.dcm" in plan.text
    trial = own_site.get(f"/xapi/archive/download/{name}/test")
    with zipfile.ZipFile(io.BytesIO(trial.content)) as archive:
        assert len(archive.namelist()) == 4


def test_A6_7b_equal_names_break_the_stream(own_site: Site, order: Order) -> None:
    assert own_site.standin is not None
    files = {"x/same.dcm": b"1", "y/same.dcm": b"2"}
    scans = {"1": {"type": "T1", "resources": {"DICOM": files}}}
    name = own_site.standin.add_session("P1", "S1", "S1_MR2", scans=scans)
    order |= {"sessions": [f"P1:S1:S1_MR2:{name}"], "scan_types": ["T1"], "options": []}
    plan = post(own_site, order).json()["id"]
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        own_site.get(f"/xapi/archive/download/{plan}/zip")
    own_site.standin.errors.clear()


def test_A6_7b_bad_body(own_site: Site) -> None:
    for body in ("no json", json.dumps(["P1"])):
        answer = own_site.post("/xapi/archive/downloadwithsize", body)
        assert answer.status_code == 400
