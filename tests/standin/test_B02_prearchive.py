"""The prearchive's addresses, statuses and queues (wire contract B 2)."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from xnat_luigi.standin.services import Services

from .objects import dicom, new_uid, study_zip, zipped
from .site import Site

COLUMNS = [
    *("project", "timestamp", "lastmod", "uploaded", "scan_date", "scan_time", "subject"),
    *("folderName", "name", "tag", "status", "url", "autoarchive", "prevent_anon"),
    *("prevent_auto_commit", "SOURCE", "VISIT", "PROTOCOL", "TIMEZONE"),
]


def services(site: Site) -> Services:
    assert site.standin is not None
    return site.standin.state.part(Services)


def with_reader(site: Site, role: str = "collaborator") -> tuple[str, Site]:
    """A project and a login with a role in it."""
    assert site.standin is not None
    project = site.project()
    site.standin.add_user("rita", "rita", **{project: role})
    return project, site.as_user("rita")


# --- 2.1 rows -----------------------------------------------------------------------------------


def test_B2_1_row_has_every_column_as_text(site: Site) -> None:
    project, study = site.project(), new_uid()
    row = site.received(project, study, subject="SU", session="SE")
    cells = [r for r in site.rows(f"/prearchive/projects/{project}") if r["project"] == project]
    assert len(cells) == 1
    assert set(cells[0]) == set(COLUMNS)
    assert all(isinstance(value, str) for value in cells[0].values())
    facts = {
        key: cells[0][key] for key in ("subject", "name", "folderName", "tag", "status", "url")
    }
    assert facts == {
        "subject": "SU",
        "name": "SE",
        "folderName": "SE",
        "tag": study,
        "status": "RECEIVING",
        "url": row,
    }
    assert cells[0]["autoarchive"] == "Manual"
    assert cells[0]["scan_date"] == "2022-01-18 16:41:25.0"
    assert "." in cells[0]["lastmod"]
    assert "." in cells[0]["uploaded"]


@pytest.mark.parametrize("path", ["/prearchive", "/prearchive/projects"])
def test_B2_1_listing_without_project(site: Site, path: str) -> None:
    row = site.received(site.project())
    assert row in [cells["url"] for cells in site.rows(path)]


def test_B2_1_listing_in_other_formats(site: Site) -> None:
    project = site.project()
    row = site.received(project)
    csv = site.get(f"/prearchive/projects/{project}", params={"format": "csv"})
    assert row in csv.text
    assert site.get(f"/prearchive/projects/{project}", params={"format": "xml"}).text.startswith(
        "<"
    )


def test_B2_1_listing_is_sorted_on_demand(site: Site) -> None:
    project = site.project()
    for name in ("B", "C", "A"):
        site.received(project, session=name)
    path = f"/prearchive/projects/{project}"
    for order, expected in (("ASC", ["A", "B", "C"]), ("DESC", ["C", "B", "A"])):
        rows = site.rows(path, sortBy="name", sortOrder=order)
        assert [row["name"] for row in rows if row["project"] == project] == expected


def test_B2_1_several_projects_for_administrators(site: Site) -> None:
    first, second = site.project(), site.project()
    rows = {site.received(first), site.received(second)}
    assert rows <= {r["url"] for r in site.rows(f"/prearchive/projects/{first},{second}")}


def test_B2_1_project_listing_of_administrators_shows_unassigned(site: Site) -> None:
    project = site.project()
    lost = site.send(study_zip(new_uid())).text.strip().removeprefix("/data")
    assert lost in [cells["url"] for cells in site.rows(f"/prearchive/projects/{project}")]
    site.delete(lost)


def test_B2_1_readers_list_but_do_not_open(own_site: Site) -> None:
    project, reader = with_reader(own_site)
    row = own_site.received(project)
    assert [cells["url"] for cells in reader.rows(f"/prearchive/projects/{project}")] == [row]
    assert reader.rows("/prearchive") == []  # rows of projects he can edit
    assert reader.get(row, params={"format": "json"}).status_code == 403
    assert reader.post(row, params={"action": "build"}).status_code == 403
    assert reader.delete(row).status_code == 403
    assert own_site.status(row) == "RECEIVING"


def test_B2_1_unknown_project(own_site: Site) -> None:
    _, reader = with_reader(own_site)
    assert reader.get("/prearchive/projects/NOWHERE").status_code in (403, 404)
    assert own_site.get("/prearchive/projects/NOWHERE").status_code == 200


def test_B2_1_tag_filters_for_administrators(own_site: Site) -> None:
    project, reader = with_reader(own_site, "owner")
    study = new_uid()
    row = own_site.received(project, study)
    own_site.received(project, session="OTHER")
    found = own_site.rows(f"/prearchive/projects/{project}", tag=study)
    assert [cells["url"] for cells in found] == [row]
    path = f"/prearchive/projects/{project}"
    assert reader.get(path, params={"tag": study}).status_code in (403, 404)


def test_B2_1_status_changes_set_lastmod(own_site: Site) -> None:
    assert own_site.standin is not None
    row = own_site.received(own_site.project())
    before = own_site.rows(row)[0]
    own_site.standin.clock.advance(60)
    own_site.post(row, params={"action": "build"})
    after = own_site.rows(row)[0]
    assert after["lastmod"] > before["lastmod"]
    assert after["uploaded"] == before["uploaded"]


def test_B2_1_recent_rows(own_site: Site) -> None:
    assert own_site.standin is not None
    row = own_site.received(own_site.project())
    assert [r["url"] for r in own_site.rows("/prearchive/experiments", recent="true")] == [row]
    own_site.standin.clock.advance(3 * 24 * 3600)
    assert own_site.rows("/prearchive/experiments", recent="1") == []
    assert own_site.get("/prearchive/experiments").status_code == 400
    assert own_site.get("/prearchive/experiments", params={"recent": "0"}).status_code == 404


def test_B2_1_put_rescans_the_folders(own_site: Site) -> None:
    project = own_site.project()
    row = own_site.built(project)
    place = services(own_site).prearchive.root / project
    found = place / "20200101_101010000" / "FOUND" / "SCANS" / "1" / "DICOM"
    found.mkdir(parents=True)
    (found / "a.dcm").write_bytes(dicom(new_uid()))
    assert own_site.put(f"/prearchive/projects/{project}").status_code == 200
    urls = {cells["url"]: cells["status"] for cells in own_site.rows("/prearchive")}
    assert urls[row] == "READY"
    new = f"/prearchive/projects/{project}/20200101_101010000/FOUND"
    assert urls[new] == "RECEIVING"
    assert own_site.post(new, params={"action": "build"}).status_code == 200
    assert own_site.status(new) == "READY"


# --- 2.2, 2.3 one row and below -------------------------------------------------------------------


def test_B2_2_document_only_once_built(site: Site) -> None:
    row = site.received(site.project())
    missing = site.get(row)
    assert missing.status_code == 404
    assert "session document is not available" in missing.text
    site.post(row, params={"action": "build"})
    document = site.get(row)
    assert document.headers["Content-Type"].startswith("text/xml")
    assert "MRSession" in document.text
    assert ' ID="XNAT' not in document.text.partition(">")[0]


def test_B2_2_absent_row(site: Site) -> None:
    project = site.project()
    absent = f"/prearchive/projects/{project}/20240611_101112345/NONE"
    assert site.rows(absent) == []
    assert site.get(absent).status_code == 404
    assert (
        site.get("/prearchive/projects/NOWHERE/x/y", params={"format": "json"}).status_code == 500
    )


def test_B2_2_zip_of_everything(site: Site) -> None:
    study = new_uid()
    row = site.built(site.project(), study, scans={1: 2})
    answer = site.get(row, params={"format": "zip"})
    assert answer.headers["Content-Type"] == "application/zip"
    assert "Content-Length" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = [name for name in archive.namelist() if name.endswith(".dcm")]
        assert sorted(name.rpartition("/")[2] for name in files) == ["1-1.dcm", "1-2.dcm"]
        assert archive.read(files[0]) == dicom(study, 1, 1)


@pytest.mark.parametrize(
    "below", ["/scans", "/scans/1/resources", "/scans/1/resources/DICOM/files", "/resources"]
)
def test_B2_3_needs_the_document(site: Site, below: str) -> None:
    row = site.received(site.project())
    answer = site.get(row + below)
    assert answer.status_code == 404
    assert "Unable to locate prearc resource." in answer.text
    assert site.get(f"{row}/logs", params={"format": "json"}).status_code == 200


def test_B2_3_scans_resources_files(site: Site) -> None:
    study = new_uid()
    row = site.built(site.project(), study, scans={1: 2, 5: 1})
    assert site.rows(f"{row}/scans") == [
        {"ID": "1", "xsiType": "xnat:mrScanData", "series_description": "series 1"},
        {"ID": "5", "xsiType": "xnat:mrScanData", "series_description": "series 5"},
    ]
    size = len(dicom(study, 1, 1))
    resources = site.rows(f"{row}/scans/1/resources")
    assert resources == [{"label": "DICOM", "file_count": "2", "file_size": str(2 * size)}]
    path = f"{row}/scans/1/resources/DICOM/files"
    assert site.rows(path)[0] == {
        "Name": "1-1.dcm",
        "Size": str(size),
        "URI": f"/data{path}/1-1.dcm",
    }
    assert site.get(f"{path}/1-1.dcm").content == dicom(study, 1, 1)
    assert site.get(f"{path}/none.dcm").status_code in (404, 500)
    both = site.rows(f"{row}/resources")
    assert [(r["category"], r["cat_id"], r["label"], r["file_count"]) for r in both] == [
        ("scans", "1", "DICOM", "2"),
        ("scans", "5", "DICOM", "1"),
    ]


def test_B2_3_scan_is_a_zip_only(site: Site) -> None:
    row = site.built(site.project(), scans={1: 2, 2: 1})
    assert site.get(f"{row}/scans/1").status_code == 400
    answer = site.get(f"{row}/scans/1", params={"format": "zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".dcm")]) == 2


def test_B2_3_scan_is_deleted(site: Site) -> None:
    row = site.built(site.project(), scans={1: 2, 2: 1})
    assert site.delete(f"{row}/scans/1").status_code == 200
    assert [scan["ID"] for scan in site.rows(f"{row}/scans")] == ["2"]
    assert site.delete(f"{row}/scans/1").status_code == 404


def test_B2_3_session_resource(site: Site) -> None:
    row = site.built(site.project())
    path = f"{row}/resources/QC/files"
    for text in (b"first", b"second"):  # replaced silently
        put = site.put(f"{path}/report.txt", text, params={"inbody": "true"})
        assert (put.status_code, put.content) == (200, b"")
    assert site.get(f"{path}/report.txt").content == b"second"
    assert [file["Name"] for file in site.rows(path)] == ["report.txt"]
    own = [r for r in site.rows(f"{row}/resources") if r["category"] == "resources"]
    assert [(r["label"], r["file_count"]) for r in own] == [("QC", "1")]
    assert site.delete(f"{path}/report.txt").status_code == 200
    assert all(r["label"] != "QC" for r in site.rows(f"{row}/resources"))


def test_B2_3_session_resource_goes_to_the_archive(site: Site) -> None:
    row = site.built(site.project())
    site.put(f"{row}/resources/QC/files/report.txt", b"fine", params={"inbody": "true"})
    experiment = site.archive(row).text.strip().removeprefix("/data")
    files = site.rows(f"{experiment}/resources/QC/files")
    assert [(file["Name"], file["Size"]) for file in files] == [("report.txt", "4")]


def test_B2_3_logs(site: Site) -> None:
    project = site.project()
    site.archived(project)
    row = site.built(project)
    assert site.archive(row).status_code in (400, 409, 500)
    logs = site.rows(f"{row}/logs")
    assert list(logs[0]) == ["id", "date", "entry"] or set(logs[0]) == {"id", "date", "entry"}
    assert set(site.rows(f"{row}/logs", template="brief")[0]) == {"id"}
    assert site.last_log(row) == logs[-1]["entry"]
    assert site.get(f"{row}/logs/{logs[-1]['id']}").text.endswith(logs[-1]["entry"])


# --- 2.4 statuses ---------------------------------------------------------------------------------


def test_B2_4_a_build_walks_through_its_statuses(own_site: Site) -> None:
    jobs = services(own_site).jobs
    row = own_site.received(own_site.project())
    jobs.hold("QUEUED_BUILDING", "BUILDING", "_BUILDING")
    own_site.post("/services/prearchive/rebuild", params={"src": row})
    for status in ("QUEUED_BUILDING", "BUILDING", "_BUILDING"):
        assert jobs.reached(status)
        assert own_site.status(row) == status
        jobs.release(status)
    assert jobs.settle()
    assert own_site.status(row) == "READY"


def test_B2_4_late_file_during_a_build_ends_in_ready_without_it(own_site: Site) -> None:
    jobs, project, study = services(own_site).jobs, own_site.project(), new_uid()
    row = own_site.received(project, study, scans={1: 1})
    jobs.hold("_BUILDING")
    own_site.post("/services/prearchive/rebuild", params={"src": row})
    assert jobs.reached("_BUILDING")
    own_site.received(project, study, scans={2: 1})
    assert own_site.status(row) == "RECEIVING"
    jobs.release()
    assert jobs.settle()
    assert own_site.status(row) == "READY"
    assert [scan["ID"] for scan in own_site.rows(f"{row}/scans")] == ["1"]
    own_site.post(row, params={"action": "build"})
    assert [scan["ID"] for scan in own_site.rows(f"{row}/scans")] == ["1", "2"]


def test_B2_4_late_file_before_the_build_interrupts(own_site: Site) -> None:
    jobs, project, study = services(own_site).jobs, own_site.project(), new_uid()
    row = own_site.received(project, study)
    jobs.hold("BUILDING")
    own_site.post("/services/prearchive/rebuild", params={"src": row})
    assert jobs.reached("BUILDING")
    own_site.received(project, study, scans={3: 1})
    assert own_site.status(row) == "RECEIVING_INTERRUPT"
    jobs.release()
    assert jobs.settle()


def test_B2_4_locked_row_refuses(own_site: Site) -> None:
    jobs, project = services(own_site).jobs, own_site.project()
    row = own_site.received(project)
    jobs.hold("_BUILDING")
    own_site.post("/services/prearchive/rebuild", params={"src": row})
    assert jobs.reached("_BUILDING")
    assert own_site.post(row, params={"action": "build"}).status_code == 409
    move = own_site.post(row, params={"action": "move", "newProject": own_site.project()})
    assert (move.status_code, move.text) == (200, "")
    assert own_site.delete(row).status_code == 200  # and nothing done
    assert own_site.status(row) == "_BUILDING"
    answer = own_site.post("/services/archive", params={"src": row})
    assert answer.status_code == 403
    assert "Operation already in progress" in answer.text
    status = own_site.post(row, params={"action": "set-status", "status": "READY"})
    assert status.status_code == 200
    assert own_site.status(row) == "_BUILDING"
    assert own_site.post(row, params={"action": "reset-status"}).status_code == 200
    assert own_site.status(row) in ("READY", "RECEIVING")  # the one call that ignores locks
    jobs.release()
    assert jobs.settle()


def test_B2_4_nothing_to_build_is_an_error(own_site: Site) -> None:
    row = own_site.received(own_site.project())
    part = services(own_site)
    place = part.prearchive.root / row.removeprefix("/prearchive/projects/")
    part.remove_tree(place / "SCANS")
    assert own_site.post(row, params={"action": "build"}).status_code == 500
    assert own_site.status(row) == "ERROR"
    assert own_site.last_log(row)


# --- 2.5 actions on one row -----------------------------------------------------------------------


def test_B2_5_build_answers_the_row_without_line_end(site: Site) -> None:
    row = site.received(site.project())
    answer = site.post(row, params={"action": "build"})
    assert answer.text == f"/data{row}"
    assert answer.headers["Content-Type"].startswith("text/uri-list")


@pytest.mark.parametrize("form", [{"data": {"action": "build"}}, {"json": {"action": "build"}}])
def test_B2_5_action_in_the_body(site: Site, form: dict[str, Any]) -> None:
    row = site.received(site.project())
    assert site.call("POST", row, **form).status_code == 200
    assert site.status(row) == "READY"


def test_B2_5_absent_row(site: Site) -> None:
    absent = f"/prearchive/projects/{site.project()}/20240611_101112345/NONE"
    assert site.post(absent, params={"action": "build"}).status_code == 500
    assert site.post(absent, params={"action": "commit"}).status_code == 404
    query = {"action": "move", "newProject": site.project()}
    assert site.post(absent, params=query).status_code == 404
    assert site.delete(absent).status_code == 200


@pytest.mark.parametrize("action", ["", "rebuild", "archive"])
def test_B2_5_unknown_action(site: Site, action: str) -> None:
    row = site.received(site.project())
    assert site.post(row, params={"action": action} if action else {}).status_code == 400


def test_B2_5_reset_status(site: Site) -> None:
    row = site.received(site.project())
    answer = site.post(row, params={"action": "reset-status"})
    assert answer.text == f"/data{row}"
    assert site.status(row) == "RECEIVING"
    site.post(row, params={"action": "build"})
    site.post(row, params={"action": "reset-status"})
    assert site.status(row) == "READY"


def test_B2_5_move_is_301_without_location(site: Site) -> None:
    first, second = site.project(), site.project()
    row = site.received(first)
    answer = site.post(row, params={"action": "move", "newProject": second})
    assert answer.status_code == 301
    assert "Location" not in answer.headers
    moved = row.replace(first, second)
    assert answer.text.strip() == f"/data{moved}"
    assert site.rows(row) == []
    assert site.status(moved) == "READY"  # built or not
    assert site.post(row, params={"action": "move", "newProject": second}).status_code == 404


def test_B2_5_move_reads_its_target_from_the_query(site: Site) -> None:
    row = site.received(site.project())
    answer = site.post(row, {"action": "move", "newProject": site.project()})
    assert answer.status_code != 301
    assert site.status(row) == "RECEIVING"


def test_B2_5_move_needs_the_target(own_site: Site) -> None:
    project, owner = with_reader(own_site, "owner")
    row = own_site.received(project)
    query = {"action": "move", "newProject": own_site.project()}
    assert owner.post(row, params=query).status_code == 403
    query["newProject"] = "NOWHERE"
    assert owner.post(row, params=query).status_code == 403
    assert own_site.post(row, params=query).status_code == 404


def test_B2_5_commit(site: Site) -> None:
    row = site.received(site.project(), subject="SU", session="SE")
    answer = site.post(row, params={"action": "commit"})
    assert (answer.status_code, answer.text) == (200, f"/data{row}")
    answer = site.post(row, params={"action": "commit", "AA": "true"})
    assert answer.status_code == 301
    assert "Location" not in answer.headers
    project = row.split("/")[3]
    assert answer.text == f"/data/archive/projects/{project}/subjects/SU/experiments/SE"


def test_B2_5_commit_follows_the_projects_code(site: Site) -> None:
    project = site.project()
    row = site.received(project)
    site.put(f"/projects/{project}/prearchive_code/4")
    assert site.post(row, params={"action": "commit"}).status_code == 301


def test_B2_5_set_status(site: Site) -> None:
    row = site.received(site.project())
    query = {"action": "set-status", "status": "CONFLICT"}
    assert site.post(row, params=query).status_code == 200
    assert site.status(row) == "CONFLICT"
    for status in ("_BUILDING", "NONSENSE"):
        answer = site.post(row, params={"action": "set-status", "status": status})
        assert answer.status_code == 400


def test_B2_5_delete_removes_row_and_files(own_site: Site) -> None:
    row = own_site.built(own_site.project())
    place = services(own_site).prearchive.root / row.removeprefix("/prearchive/projects/")
    assert place.is_dir()
    assert own_site.delete(row).status_code == 200
    assert own_site.rows(row) == []
    assert not place.exists()


# --- 2.6 batches ----------------------------------------------------------------------------------


def test_B2_6_batch_rebuild_and_delete(own_site: Site) -> None:
    project, jobs = own_site.project(), services(own_site).jobs
    rows = [own_site.received(project, session=name) for name in ("A", "B")]
    answer = own_site.post(
        "/services/prearchive/rebuild", params={"src": [f"/data{rows[0]}", rows[1]]}
    )
    assert answer.status_code == 200
    assert {row["url"] for row in answer.json()["ResultSet"]["Result"]} == set(rows)
    assert jobs.settle()
    assert [own_site.status(row) for row in rows] == ["READY", "READY"]
    own_site.post("/services/prearchive/delete", {"src": rows})  # in a form this time
    assert jobs.settle()
    assert [own_site.rows(row) for row in rows] == [[], []]


def test_B2_6_batch_move(own_site: Site) -> None:
    first, second = own_site.project(), own_site.project()
    row = own_site.built(first)
    query = {"src": row, "newProject": second, "async": "false"}
    assert own_site.post("/services/prearchive/move", params=query).status_code == 200
    assert services(own_site).jobs.settle()
    assert own_site.status(row.replace(first, second)) == "READY"


def test_B2_6_failures(own_site: Site) -> None:
    project, reader = with_reader(own_site)
    absent = f"/prearchive/projects/{project}/20240611_101112345/NONE"
    batch = "/services/prearchive/"
    assert own_site.post(batch + "rebuild", params={"src": absent}).status_code == 500
    assert own_site.post(batch + "delete", params={"src": absent}).status_code == 500
    query = {"src": absent, "newProject": project}
    assert own_site.post(batch + "move", params=query).status_code == 404
    assert own_site.post(batch + "rebuild", params={"src": "/nonsense"}).status_code == 500
    denied = reader.post(batch + "rebuild", params={"src": absent})
    assert denied.status_code == 403
    assert "to delete prearchive sessions in one or more projects" in denied.text
    assert own_site.post(batch + "archive", params={"src": absent}).status_code == 404


# --- 2.7 the idle rebuilder -----------------------------------------------------------------------


def idle(site: Site, seconds: float) -> None:
    assert site.standin is not None
    site.standin.clock.advance(seconds)
    services(site).rebuilder.run()
    assert services(site).jobs.settle()


def test_B2_7_rows_are_built_after_five_minutes(own_site: Site) -> None:
    row = own_site.received(own_site.project())
    idle(own_site, 4 * 60)
    assert own_site.status(row) == "RECEIVING"
    idle(own_site, 2 * 60)
    assert own_site.status(row) == "READY"


def test_B2_7_the_interval_is_a_preference(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["sessionXmlRebuilderInterval"] = 1
    row = own_site.received(own_site.project())
    idle(own_site, 61)
    assert own_site.status(row) == "READY"


@pytest.mark.parametrize("flag", [{"prevent_auto_commit": "true"}, {"SOURCE": "uploader"}])
def test_B2_7_some_rows_are_left_alone(own_site: Site, flag: dict[str, str]) -> None:
    answer = own_site.send(study_zip(new_uid()), project=own_site.project(), **flag)
    idle(own_site, 600)
    assert own_site.status(answer.text.strip().removeprefix("/data")) == "RECEIVING"


def test_B2_7_the_ticker_runs_by_itself(own_site: Site) -> None:
    assert own_site.standin is not None
    row = own_site.received(own_site.project())
    own_site.standin.clock.advance(6 * 60)
    for _ in range(200):
        if own_site.status(row) == "READY":
            break
    assert own_site.status(row) == "READY"


def test_B2_7_auto_archive_by_the_projects_code(own_site: Site) -> None:
    project = own_site.project()
    own_site.put(f"/projects/{project}/prearchive_code/4")
    row = own_site.received(project, subject="SU", session="SE")
    assert own_site.rows(row)[0]["autoarchive"] == "AutoArchive"
    own_site.put(f"/projects/{project}/prearchive_code/0")  # the row keeps its flag
    idle(own_site, 6 * 60)
    assert own_site.rows(row) == []
    assert own_site.get(f"/projects/{project}/subjects/SU/experiments/SE").status_code == 200


def test_B2_7_auto_archive_overlap_is_a_conflict(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()
    own_site.archived(project, study)
    own_site.put(f"/projects/{project}/prearchive_code/4")
    row = own_site.received(project, study)
    idle(own_site, 6 * 60)
    assert own_site.status(row) == "CONFLICT"


# --- 2.8 settings of a project --------------------------------------------------------------------


def test_B2_8_prearchive_code(site: Site) -> None:
    path = f"/projects/{site.project()}/prearchive_code"
    assert site.get(path).text == "0"
    assert site.put(f"{path}/4").status_code == 200
    assert site.get(path).text == "4"
    assert site.put(f"{path}/false").status_code == 200
    assert site.get(path).text == "0"
    assert site.put(f"{path}/much").status_code == 400
    assert site.get(path).text == "0"


def test_B2_8_quarantine_code(site: Site) -> None:
    project = site.project()
    assert site.put(f"/projects/{project}/quarantine_code/1").status_code == 200
    assert site.get(f"/projects/{project}/quarantine_code").text == "1"
    experiment = site.archived(project)
    assert site.get(f"{experiment}/status").text.strip() == "quarantine"


def test_B2_8_no_edit_right(own_site: Site) -> None:
    project, reader = with_reader(own_site)
    assert reader.put(f"/projects/{project}/prearchive_code/4").status_code == 403
    assert own_site.get(f"/projects/{project}/prearchive_code").text == "0"


def test_B2_8_auto_archive_forbidden_by_the_site(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["project.allow-auto-archive"] = False
    project = own_site.project()
    assert own_site.put(f"/projects/{project}/prearchive_code/4").status_code == 403
    assert own_site.put(f"/projects/{project}/prearchive_code/0").status_code == 200


def test_B2_rows_survive_a_restart(tmp_path: Any) -> None:
    from xnat_luigi.standin import StandIn

    with StandIn(root=tmp_path) as server:
        site = Site(server)
        project = site.project()
        row = site.built(project)
        site.http.close()
    with StandIn(root=tmp_path) as server:
        again = Site(server)
        assert again.status(row) == "READY"
        assert again.archive(row).status_code == 200
        again.http.close()


def test_B2_zip_with_one_file_is_whole(site: Site) -> None:
    data = dicom(new_uid())
    row = site.send(zipped({"only.dcm": data}), project=site.project()).text.strip()
    row = row.removeprefix("/data")
    site.post(row, params={"action": "build"})
    answer = site.get(f"{row}/resources", params={"format": "json"})
    assert answer.json()["ResultSet"]["Result"][0]["file_size"] == str(len(data))
