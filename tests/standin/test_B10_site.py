"""Workflows, words in use, preferences (wire contract B 10) and recording QC (B 11)."""

from __future__ import annotations

from typing import Any

import pytest

from xnat_luigi.standin.routes.site_services import NOT_IMITATED

from .site import Site


@pytest.fixture
def address(site: Site) -> str:
    """An archived session, below `/data`."""
    return site.archived(site.project())


def fields(site: Site, address: str) -> dict[str, Any]:
    item = site.get(address, params={"format": "json"}).json()["items"][0]
    found: dict[str, Any] = item["data_fields"]
    return found


def workflow(identifier: str, **more: str) -> dict[str, str]:
    facts = {
        "id": identifier,
        "data_type": "xnat:mrSessionData",
        "pipeline_name": "QC",
        "launch_time": "2024-06-11 10:00:00.0",
        "status": "Running",
        **more,
    }
    return {f"wrk:workflowData/{name}": value for name, value in facts.items()}


def of_pipeline(site: Site, **query: str) -> list[dict[str, str]]:
    return site.rows("/services/workflows/QC", **query)


def test_B10_workflow_is_made_changed_and_read(site: Site, address: str) -> None:
    name = fields(site, address)["ID"]
    answer = site.put("/workflows", params=workflow(name, comments="a & b"))
    assert (answer.status_code, answer.content) == (200, b"")
    site.put("/workflows", params=workflow(name, status="Complete"))  # the same natural key
    rows = of_pipeline(site, experiment=name)
    assert [row["status"] for row in rows] == ["Complete"]
    number = rows[0]["wrk_workflowData_id"]
    data = site.get(f"/workflows/{number}", params={"format": "json"}).json()["items"][0]
    assert data["data_fields"]["pipeline_name"] == "QC"
    assert data["data_fields"]["launch_time"] == "2024-06-11 10:00:00.0"
    assert data["data_fields"]["data_type"] == "xnat:mrSessionData"
    assert "wrk:Workflow" in site.get(f"/workflows/{number}").text
    changed = site.put(f"/workflows/{number}", params={"wrk:workflowData/status": "Failed"})
    assert changed.status_code == 200
    assert of_pipeline(site, experiment=name)[0]["status"] == "Failed"


@pytest.mark.parametrize("missing", ["id", "launch_time", "pipeline_name", "data_type"])
def test_B10_workflow_needs_its_key(site: Site, missing: str) -> None:
    query = workflow("XNAT_E00001")
    del query[f"wrk:workflowData/{missing}"]
    assert site.put("/workflows", params=query).status_code == 400


def test_B10_unknown_workflow(site: Site) -> None:
    assert site.get("/workflows/99999999", params={"format": "json"}).status_code == 404
    query = {"wrk:workflowData/status": "Failed"}
    assert site.put("/workflows/99999999", params=query).status_code == 404


def test_B10_only_its_creator_changes_a_workflow(own_site: Site) -> None:
    address = own_site.archived(own_site.project())
    name = fields(own_site, address)["ID"]
    own_site.put("/workflows", params=workflow(name))
    number = of_pipeline(own_site, experiment=name)[0]["wrk_workflowData_id"]
    reader = own_site.as_user("reader")
    query = {"wrk:workflowData/status": "Failed"}
    assert reader.put(f"/workflows/{number}", params=query).status_code == 403
    assert reader.get(f"/workflows/{number}", params={"format": "json"}).status_code == 404
    assert of_pipeline(reader) == []


def test_B10_latest_of_a_pipeline(site: Site, address: str) -> None:
    name = fields(site, address)["ID"]
    for day in ("11", "12"):
        site.put("/workflows", params=workflow(name, launch_time=f"2024-06-{day} 10:00:00.0"))
    assert len(of_pipeline(site, experiment=name)) == 2
    latest = of_pipeline(site, experiment=name, display="LATEST")
    assert [row["launch_time"] for row in latest] == ["2024-06-12 10:00:00.0"]
    assert of_pipeline(site, experiment=name, status="Complete") == []


def test_B10_archiving_leaves_its_workflow(site: Site, address: str) -> None:
    rows = site.rows("/services/workflows/Transferred", experiment=fields(site, address)["ID"])
    assert [row["status"] for row in rows] == ["Complete"]


def test_B10_scan_types_and_scanners(own_site: Site) -> None:
    assert own_site.standin is not None
    scans = {"1": {"type": "T1", "series_description": "one"}, "2": {"type": "T1"}, "3": "T2"}
    own_site.standin.add_session("P1", "S1", "S1_MR1", scans=scans, scanner="TIM")
    own_site.standin.add_session("P2", "S1", "S2_MR1", scans={"1": "DTI"})
    rows = own_site.rows("/projects/P1/scan_types", table="xnat_mrScanData")
    assert rows == [
        {"series_descriptions": "one", "type": "T1"},
        {"series_descriptions": "", "type": "T2"},
    ]
    assert [row["type"] for row in own_site.rows("/scan_types")] == ["DTI", "T1", "T2"]
    assert own_site.rows("/scanners") == [{"scanner": "TIM"}]
    assert own_site.rows("/projects/P2/scanners") == []
    assert own_site.rows("/projects/P1/scan_types", table="xnat_petScanData") == []


def test_B10_quality_labels(site: Site) -> None:
    expected = {"site": ["usable", "questionable", "unusable"]}
    assert site.get("/services/scan-quality-labels").json() == expected
    assert site.get(f"/services/scan-quality-labels/{site.project()}").json() == expected
    assert site.get("/services/scan-quality-labels/NOWHERE").status_code == 404


def test_B10_preferences(own_site: Site) -> None:
    for name, value in (
        ("sessionXmlRebuilderInterval", 5),
        ("sessionXmlRebuilderRepeat", 60000),
        ("sessionArchiveTimeoutInterval", 600),
        ("checksums", True),
        ("preventCrossModalityMerge", True),
        ("useSopInstanceUidToUniquelyIdentifyDicom", True),
        ("uiDefaultCompressedUploaderImporter", "DICOM-zip"),
    ):
        answer = own_site.get(f"/xapi/siteConfig/{name}")
        assert answer.status_code == 200, name
        shown = answer.text if isinstance(value, str) else answer.json()
        assert shown == value, name
    changed = own_site.call("POST", "/xapi/siteConfig", json={"checksums": False})
    assert changed.status_code == 200
    assert own_site.get("/xapi/siteConfig/checksums").json() is False
    reader = own_site.as_user("reader")
    assert reader.call("POST", "/xapi/siteConfig", json={"checksums": True}).status_code == 403


@pytest.mark.parametrize("path", sorted(NOT_IMITATED))
def test_B10_not_imitated_says_so(own_site: Site, path: str) -> None:
    answer = own_site.post(path)
    assert answer.status_code == 501
    assert "is not imitated" in answer.text


def test_B10_no_xapi_workflows(own_site: Site) -> None:
    assert own_site.get("/xapi/workflows").status_code == 501


# --- 11 recording QC ------------------------------------------------------------------------------


def test_B11_scan_quality(site: Site, address: str) -> None:
    scan = f"{address}/scans/1"
    for query in (
        {"quality": "questionable"},
        {"xsiType": "xnat:mrScanData", "xnat:mrScanData/quality": "any words"},
    ):
        answer = site.put(scan, params=query)
        assert answer.status_code == 200
        assert fields(site, scan)["quality"] == list(query.values())[-1]
    other = {"xsiType": "xnat:ctScanData", "xnat:ctScanData/quality": "usable"}
    assert site.put(scan, params=other).status_code == 409


def test_B11_validation_fields(site: Site, address: str) -> None:
    query = {
        "validation_status": "passed",
        "validation_method": "script",
        "validation_date": "2024-06-11",
        "validation_notes": "fine",
    }
    assert site.put(address, params=query).status_code == 200
    item = site.get(address, params={"format": "json"}).json()["items"][0]
    child = next(c for c in item["children"] if c["field"] == "validation")["items"][0]
    expected = {key.removeprefix("validation_"): value for key, value in query.items()}
    assert child["data_fields"] == expected


def test_B11_custom_variable(site: Site, address: str) -> None:
    query = {"xnat:mrSessionData/fields/field[name=qc_status]/field": "passed"}
    for _ in range(2):
        assert site.put(address, params=query).status_code == 200
    item = site.get(address, params={"format": "json"}).json()["items"][0]
    variables = next(c for c in item["children"] if c["field"] == "fields/field")["items"]
    assert [v["data_fields"]["name"] for v in variables] == ["qc_status"]
    assert variables[0]["data_fields"]["field"] == "passed"


def test_B11_assessor_by_label(site: Site, address: str) -> None:
    path = f"{address}/assessors/S1_MR1_QC"
    query = {"xsiType": "xnat:qcManualAssessorData"}
    first = site.put(path, params=query)
    assert first.status_code == 201
    again = site.put(path, params={**query, "xnat:qcManualAssessorData/comments": "good"})
    assert (again.status_code, again.text) == (200, first.text)
    rows = site.rows(f"{address}/assessors")
    assert [row["label"] for row in rows] == ["S1_MR1_QC"]
    missing = f"{address}X/assessors/QC"
    assert site.put(missing, params=query).status_code == 404
