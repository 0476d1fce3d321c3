"""The archive service, its dry run and the knobs of its job (wire contract B 3)."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from typing import Any

import pytest
import requests

from xnat_luigi.standin import StandIn
from xnat_luigi.standin.archiver import Failure
from xnat_luigi.standin.services import Services

from .objects import dicom, new_uid, study_files, study_zip, zipped
from .site import Site


def services(site: Site) -> Services:
    assert site.standin is not None
    return site.standin.state.part(Services)


def item(site: Site, address: str) -> dict[str, Any]:
    found: dict[str, Any] = site.get(address, params={"format": "json"}).json()["items"][0]
    return found


def fields(site: Site, address: str) -> dict[str, Any]:
    data: dict[str, Any] = item(site, address)["data_fields"]
    return data


def findings(site: Site, row: str, **parameters: str) -> list[tuple[str, str]]:
    answer = site.post("/services/validate-archive", params={"src": row, **parameters})
    assert answer.status_code == 200, answer.text
    return [(line["code"], line["type"]) for line in answer.json()["ResultSet"]["Result"]]


# --- 3.1, 3.2 parameters and labels ---------------------------------------------------------------


def test_B3_1_src_in_query_or_form_with_or_without_data(site: Site) -> None:
    first, second, third = (site.built(site.project()) for _ in range(3))
    assert site.post("/services/archive", params={"src": f"/data{first}"}).status_code == 200
    assert site.post("/services/archive", {"src": second}).status_code == 200
    _, _, _, project, stamp, folder = third.split("/")
    by_parts = {"project": project, "PREARC_TIMESTAMP": stamp, "PREARC_SESSION_FOLDER": folder}
    assert site.post("/services/archive", by_parts).status_code == 200


def test_B3_1_form_without_length_is_ignored(site: Site) -> None:
    row = site.built(site.project())
    body = iter([f"src={row}".encode()])
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert site.post("/services/archive", body, headers=headers).status_code == 404
    assert site.status(row) == "READY"


@pytest.mark.parametrize(
    ("parameters", "label"),
    [
        ({"session": "ONE", "label": "TWO"}, "ONE"),
        ({"xnat:mrSessionData/label": "ONE", "EXPT_LABEL": "TWO"}, "ONE"),
        ({"EXPT_LABEL": "ONE", "label": "TWO"}, "ONE"),
        ({"label": "ONE"}, "ONE"),
        ({}, "S1_MR1"),
        ({"session": "a b.c"}, "a_b_c"),
    ],
)
def test_B3_2_session_label(site: Site, parameters: dict[str, str], label: str) -> None:
    row = site.built(site.project())
    answer = site.archive(row, **parameters)
    assert answer.text.strip().endswith(f"/experiments/{label}")


def test_B3_2_subject_label(site: Site) -> None:
    project = site.project()
    one = site.archive(site.built(project, subject="AA", session="X1"), subject="GIVEN")
    assert "/subjects/GIVEN/" in one.text
    two = site.archive(site.built(project, subject="AA", session="X2"), SUBJECT_ID="other one")
    assert "/subjects/other_one/" in two.text
    three = site.archive(site.built(project, subject="given", session="X3"))
    assert three.status_code == 200
    assert [s["label"] for s in site.rows(f"/projects/{project}/subjects")] == [
        "GIVEN",
        "other_one",
    ]


def test_B3_2_label_that_cannot_be_saved_is_an_error(site: Site) -> None:
    row = site.built(site.project())
    assert site.archive(row, session="what!").status_code == 500
    assert site.status(row) == "ERROR"


def test_B3_1_fields_are_set(site: Site) -> None:
    row = site.built(site.project())
    answer = site.archive(row, **{"xnat:mrSessionData/note": "from the call"})
    assert fields(site, answer.text.strip())["note"] == "from the call"


# --- 3.3 success ----------------------------------------------------------------------------------


def test_B3_3_success(site: Site) -> None:
    project, study = site.project(), new_uid()
    row = site.built(project, study, subject="SU", session="SE", scans={1: 2, 7: 1})
    answer = site.archive(row)
    address = f"/projects/{project}/subjects/SU/experiments/SE"
    assert (answer.status_code, answer.text) == (200, f"/data/archive{address}\r\n")
    assert answer.headers["Content-Type"].startswith("text/uri-list")
    assert site.rows(row) == []
    data = fields(site, address)
    assert (data["UID"], data["label"], data["project"]) == (study, "SE", project)
    assert data["date"] == "2022-01-18"
    assert [scan["ID"] for scan in site.rows(f"{address}/scans")] == ["1", "7"]
    files = study_files(study, {1: 2, 7: 1}, subject="SU", session="SE")
    listed = site.rows(f"{address}/scans/1/resources/DICOM/files")
    for entry in listed:
        data = files[entry["Name"]]
        assert (entry["digest"], entry["Size"]) == (hashlib.md5(data).hexdigest(), str(len(data)))
        assert site.get(entry["URI"]).content == data
    assert sorted(entry["Name"] for entry in listed) == ["1-1.dcm", "1-2.dcm"]
    catalog = site.get(f"{address}/scans/1/resources/DICOM").text
    assert "DCMCatalog" in catalog
    assert f'UID="{study}"' in catalog


def test_B3_3_without_checksums_there_are_no_digests(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["checksums"] = False
    address = own_site.archived(own_site.project())
    listed = own_site.rows(f"{address}/scans/1/resources/DICOM/files")
    assert {entry["digest"] for entry in listed} == {""}


@pytest.mark.parametrize("extra", [{"redirect": "true"}, {"auto-archive": "true"}, {"AA": "true"}])
def test_B3_3_303(site: Site, extra: dict[str, str]) -> None:
    row = site.built(site.project())
    query = {"src": row, **extra}
    answer = site.post("/services/archive", params=query)
    assert (answer.status_code, answer.text) == (303, "")
    assert "/data/archive/projects/" in answer.headers["Location"]


def test_B3_3_303_where_the_project_archives_by_itself(site: Site) -> None:
    project = site.project()
    first, second = site.built(project), site.built(project, session="OTHER")
    site.put(f"/projects/{project}/prearchive_code/4")
    assert site.post("/services/archive", params={"src": first}).status_code == 303
    assert site.archive(second).status_code == 200  # auto-archive=false


def test_B3_3_listener_is_asynchronous(own_site: Site) -> None:
    row = own_site.built(own_site.project())
    answer = own_site.archive(row, **{"http-session-listener": "key-1"})
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("XDATScreen_prearchives.vm")
    assert services(own_site).jobs.settle()
    assert own_site.rows(row) == []


def test_B3_3_several_rows_are_asynchronous(own_site: Site) -> None:
    project, jobs = own_site.project(), services(own_site).jobs
    rows = [own_site.built(project, session=name) for name in ("A", "B")]
    jobs.hold("_ARCHIVING")
    answer = own_site.post("/services/archive", params={"src": rows})
    assert answer.status_code == 200
    table = answer.json()["ResultSet"]["Result"]
    assert [line["url"] for line in table] == rows
    assert {line["status"] for line in table} <= {"ARCHIVING", "_ARCHIVING"}
    jobs.release()
    assert jobs.settle()
    labels = [e["label"] for e in own_site.rows(f"/projects/{project}/experiments")]
    assert sorted(labels) == ["A", "B"]


def test_B3_3_visible_is_not_finished(own_site: Site) -> None:
    jobs, project = services(own_site).jobs, own_site.project()
    row = own_site.built(project, subject="SU", session="SE")
    jobs.hold("SAVED")
    own_site.archive(row, **{"http-session-listener": "k"})
    assert jobs.reached("SAVED")
    address = f"/projects/{project}/subjects/SU/experiments/SE"
    assert own_site.get(address, params={"format": "json"}).status_code == 200
    assert own_site.status(row) == "_ARCHIVING"
    jobs.release()
    assert jobs.settle()
    assert own_site.rows(row) == []


# --- 3.3 merging ----------------------------------------------------------------------------------


def test_B3_3_new_scans_merge_without_overwrite(site: Site) -> None:
    project, study = site.project(), new_uid()
    address = site.archived(project, study, scans={1: 2})
    assert site.archive(site.built(project, study, scans={2: 1})).status_code == 200
    assert [scan["ID"] for scan in site.rows(f"{address}/scans")] == ["1", "2"]
    assert len(site.rows(f"{address}/scans/1/resources/DICOM/files")) == 2


def test_B3_3_new_files_of_a_known_scan_merge(site: Site) -> None:
    project, study = site.project(), new_uid()
    address = site.archived(project, study, scans={1: 1})
    body = zipped({"late.dcm": dicom(study, 1, 5)})
    row = site.send(body, project=project).text.strip().removeprefix("/data")
    site.post(row, params={"action": "build"})
    assert site.archive(row).status_code == 200
    names = [f["Name"] for f in site.rows(f"{address}/scans/1/resources/DICOM/files")]
    assert sorted(names) == ["1-1.dcm", "late.dcm"]


def test_B3_3_overlap_without_overwrite_is_a_conflict(site: Site) -> None:
    project, study = site.project(), new_uid()
    site.archived(project, study)
    row = site.built(project, study)
    answer = site.archive(row)
    assert answer.status_code in (409, 500)
    assert "matching files" in answer.text
    assert site.status(row) == "CONFLICT"
    assert "matching files" in site.last_log(row)


@pytest.mark.parametrize("overwrite", ["append", "delete", "APPEND"])
def test_B3_3_overwrite_replaces_and_keeps_the_rest(site: Site, overwrite: str) -> None:
    project, study = site.project(), new_uid()
    address = site.archived(project, study, scans={1: 2})
    changed = dicom(study, 1, 1, StudyDescription="a second time")
    row = site.send(zipped({"1-1.dcm": changed}), project=project).text.strip()
    row = row.removeprefix("/data")
    site.post(row, params={"action": "build"})
    assert site.archive(row, overwrite=overwrite).status_code == 200
    files = {f["Name"]: f for f in site.rows(f"{address}/scans/1/resources/DICOM/files")}
    assert sorted(files) == ["1-1.dcm", "1-2.dcm"]
    assert files["1-1.dcm"]["digest"] == hashlib.md5(changed).hexdigest()
    assert site.get(files["1-1.dcm"]["URI"]).content == changed


def test_B3_3_none_is_no_overwrite(site: Site) -> None:
    project, study = site.project(), new_uid()
    site.archived(project, study)
    row = site.built(project, study)
    assert site.archive(row, overwrite="none").status_code in (409, 500)
    assert site.status(row) == "CONFLICT"


def test_B3_3_several_rows_do_not_merge_without_overwrite(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()
    own_site.archived(project, study, scans={1: 1})
    first = own_site.built(project, study, scans={2: 1})
    second = own_site.built(project, session="NEW")
    own_site.post("/services/archive", params={"src": [first, second]})
    assert services(own_site).jobs.settle()
    assert own_site.status(first) == "CONFLICT"
    assert own_site.rows(second) == []
    own_site.post("/services/archive", params={"src": [first, second], "overwrite": "append"})


def test_B3_4_same_number_other_series_is_renamed(site: Site) -> None:
    project, study = site.project(), new_uid()
    address = site.archived(project, study, scans={1: 1})
    body = zipped({"x.dcm": dicom(study, 1, 1, series_uid=f"{study}.99")})
    row = site.send(body, project=project).text.strip().removeprefix("/data")
    site.post(row, params={"action": "build"})
    assert ("17", "WARN") in findings(site, row)
    assert site.archive(row).status_code == 200
    assert [scan["ID"] for scan in site.rows(f"{address}/scans")] == ["1", "1-MR1"]


def test_B3_4_same_series_under_another_number_is_a_conflict(site: Site) -> None:
    project, study = site.project(), new_uid()
    site.archived(project, study, scans={1: 1})
    body = zipped({"x.dcm": dicom(study, 2, 7, series_uid=f"{study}.1")})
    row = site.send(body, project=project).text.strip().removeprefix("/data")
    site.post(row, params={"action": "build"})
    assert site.archive(row).status_code in (409, 500)
    assert site.status(row) == "CONFLICT"


def test_B3_3_override_skips_the_study_uid_but_not_the_subject(site: Site) -> None:
    project = site.project()
    address = site.archived(project, new_uid(), scans={1: 1})
    other = site.built(project, new_uid(), scans={1: 1})
    assert site.archive(other).status_code in (409, 500)
    assert site.archive(other, overwrite="append").status_code == 200
    assert len(site.rows(f"{address}/scans")) == 2
    strange = site.built(project, new_uid(), subject="SOMEBODY")
    answer = site.archive(strange, overwrite="append")
    assert answer.status_code in (409, 500)
    assert "Already Exists for another Subject" in answer.text
    assert site.status(strange) == "CONFLICT"


def test_B3_3_other_modality_is_a_conflict_by_preference(own_site: Site) -> None:
    assert own_site.standin is not None
    project = own_site.project()
    own_site.archived(project)
    row = own_site.built(project, modality="CT")
    assert own_site.archive(row, overwrite="append").status_code == 500
    assert "may require a manual merge" in own_site.last_log(row)
    own_site.standin.preferences["preventCrossModalityMerge"] = False
    assert own_site.archive(row, overwrite="append").status_code == 200


def test_B3_4_open_workflow_blocks_a_merge(site: Site) -> None:
    project, study = site.project(), new_uid()
    address = site.archived(project, study, scans={1: 1})
    identifier = fields(site, address)["ID"]
    facts = {"id": identifier, "data_type": "xnat:mrSessionData", "pipeline_name": "QC"}
    facts |= {"launch_time": "2024-06-11 10:00:00.0", "status": "Running"}
    query = {f"wrk:workflowData/{key}": value for key, value in facts.items()}
    assert site.put("/workflows", params=query).status_code == 200
    row = site.built(project, study, scans={2: 1})
    assert ("10", "CONFLICT") in findings(site, row)
    assert site.archive(row).status_code in (409, 500)
    assert "Session processing may already be in progress" in site.last_log(row)
    assert site.archive(row, overwrite="append").status_code == 200


# --- 3.4 failures ---------------------------------------------------------------------------------


def test_B3_4_bad_sources(site: Site) -> None:
    project = site.project()
    archive = "/services/archive"
    assert site.post(archive).status_code == 404
    assert site.post(archive, params={"src": "/nonsense"}).status_code == 400
    assert site.post(archive, params={"src": f"/archive/projects/{project}"}).status_code == 400
    absent = f"/prearchive/projects/{project}/20240611_101112345/NONE"
    assert site.post(archive, params={"src": absent}).status_code == 404
    unknown = "/prearchive/projects/NOWHERE/20240611_101112345/NONE"
    assert site.post(archive, params={"src": unknown}).status_code == 500


def test_B3_4_unassigned_rows_must_move_first(site: Site) -> None:
    row = site.send(study_zip(new_uid())).text.strip().removeprefix("/data")
    assert site.post("/services/archive", params={"src": row}).status_code in (400, 403)
    site.delete(row)


def test_B3_4_repeated_after_success_is_404(site: Site) -> None:
    row = site.built(site.project())
    assert site.archive(row).status_code == 200
    assert site.archive(row).status_code == 404


def test_B3_4_no_right(own_site: Site) -> None:
    assert own_site.standin is not None
    project = own_site.project()
    own_site.standin.add_user("rita", "rita", **{project: "collaborator"})
    row = own_site.built(project)
    assert own_site.as_user("rita").archive(row).status_code == 403
    assert own_site.status(row) == "READY"


def test_B3_4_not_built_fails(site: Site) -> None:
    row = site.received(site.project())
    assert site.archive(row).status_code == 500
    assert site.status(row) == "ERROR"


def test_B3_4_strange_files_are_an_error_without_overwrite(own_site: Site) -> None:
    row = own_site.built(own_site.project())
    place = services(own_site).prearchive.root / row.removeprefix("/prearchive/projects/")
    (place / "SCANS" / "1" / "DICOM" / "notes.txt").write_text("hello")
    assert ("20", "WARN") in findings(own_site, row)
    assert own_site.archive(row).status_code == 500
    assert own_site.status(row) == "ERROR"
    assert own_site.archive(row, overwrite="append").status_code == 200


def test_A5_6_files_left_by_a_deletion_collide_unless_they_are_the_same(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()
    address = own_site.archived(project, study)
    assert own_site.delete(address).status_code == 200  # without removeFiles: the files stay
    assert own_site.archived(project, study) == address  # the same bytes
    assert len(own_site.rows(f"{address}/scans/1/resources/DICOM/files")) == 2
    own_site.delete(address)
    row = own_site.built(project, new_uid())
    assert own_site.archive(row).status_code == 500
    assert own_site.status(row) == "CONFLICT"
    assert "matching files" in own_site.last_log(row)
    assert own_site.archive(row, overwrite="delete").status_code == 200
    for entry in own_site.rows(f"{address}/scans/1/resources/DICOM/files"):
        content = own_site.get(entry["URI"]).content
        assert hashlib.md5(content).hexdigest() == entry["digest"]


def test_B3_4_conflict_status_of_older_servers(own_site: Site) -> None:
    assert own_site.standin is not None
    project, study = own_site.project(), new_uid()
    own_site.archived(project, study)
    row = own_site.built(project, study)
    for status in (500, 409, 400):
        own_site.standin.preferences["archiveConflictStatus"] = status
        assert own_site.archive(row).status_code == status


def test_B3_4_timeout_leaves_the_job_running(own_site: Site) -> None:
    assert own_site.standin is not None
    jobs, row = services(own_site).jobs, own_site.built(own_site.project())
    jobs.hold("_ARCHIVING")
    answers: list[requests.Response] = []
    caller = threading.Thread(target=lambda: answers.append(own_site.as_user("admin").archive(row)))
    caller.start()
    assert jobs.reached("_ARCHIVING")
    own_site.standin.clock.advance(601)
    caller.join(10)
    assert answers[0].status_code == 500
    assert "did not complete within the configured timeout interval" in answers[0].text
    assert own_site.status(row) == "_ARCHIVING"
    jobs.release()
    assert jobs.settle()
    assert own_site.rows(row) == []


def test_B3_4_stopping_does_not_wait_for_a_waiting_request() -> None:
    with StandIn() as server:
        site = Site(server)
        row = site.built(site.project())
        services(site).jobs.hold("_ARCHIVING")

        def order() -> None:
            with contextlib.suppress(requests.ConnectionError):
                site.archive(row)

        caller = threading.Thread(target=order)
        caller.start()
        assert services(site).jobs.reached("_ARCHIVING")
        begun = time.monotonic()
    assert time.monotonic() - begun < 8
    caller.join(10)
    assert not caller.is_alive()


def test_B3_4_second_archive_of_a_running_one_is_403(own_site: Site) -> None:
    jobs, row = services(own_site).jobs, own_site.built(own_site.project())
    jobs.hold("_ARCHIVING")
    own_site.archive(row, **{"http-session-listener": "k"})
    assert jobs.reached("_ARCHIVING")
    assert own_site.archive(row).status_code == 403
    jobs.release()
    assert jobs.settle()


# --- 3.5 the dry run ------------------------------------------------------------------------------


def test_B3_5_clean_row(site: Site) -> None:
    assert findings(site, site.built(site.project())) == []


def test_B3_5_known_session(site: Site) -> None:
    project, study = site.project(), new_uid()
    site.archived(project, study)
    row = site.built(project, study)
    codes = findings(site, row)
    assert ("1", "WARN") in codes
    assert ("16", "WARN") in codes
    assert site.status(row) == "READY"  # nothing happened
    other = findings(site, row, subject="SOMEBODY")
    assert ("4", "CONFLICT") in other


def test_B3_5_other_study(site: Site) -> None:
    project = site.project()
    site.archived(project)
    codes = findings(site, site.built(project))
    assert "5" in {code for code, _ in codes}


def test_B3_5_no_subject(site: Site) -> None:
    row = site.built(site.project(), subject="")
    assert "11" in {code for code, kind in findings(site, row) if kind == "FAIL"}


def test_B3_5_one_source_only(site: Site) -> None:
    project = site.project()
    rows = [site.built(project, session=name) for name in ("A", "B")]
    answer = site.post("/services/validate-archive", params={"src": rows})
    assert answer.status_code == 400


# --- 14.5 knobs -----------------------------------------------------------------------------------


def test_B14_5_row_gone_before_the_experiment_is_visible(own_site: Site) -> None:
    assert own_site.standin is not None
    part, project = services(own_site), own_site.project()
    part.archiver.knobs.visibility_delay = 60
    row = own_site.built(project, subject="SU", session="SE")
    assert own_site.archive(row).status_code == 200
    address = f"/projects/{project}/subjects/SU/experiments/SE"
    assert own_site.rows(row) == []
    assert own_site.get(address, params={"format": "json"}).status_code == 404
    own_site.standin.clock.advance(61)
    assert part.jobs.settle()
    assert own_site.get(address, params={"format": "json"}).status_code == 200
    assert len(own_site.rows(f"{address}/scans/1/resources/DICOM/files")) == 2


@pytest.mark.parametrize("status", ["CONFLICT", "ERROR"])
def test_B14_5_a_failure_by_order(own_site: Site, status: str) -> None:
    part, row = services(own_site), own_site.built(own_site.project())
    part.archiver.knobs.failure = Failure(status, "no luck today")
    assert own_site.archive(row).status_code == 500
    assert own_site.status(row) == status
    assert "no luck today" in own_site.last_log(row)
    assert own_site.archive(row).status_code == 200  # once only


def test_B14_5_slow_jobs_by_the_clock(own_site: Site) -> None:
    assert own_site.standin is not None
    part, row = services(own_site), own_site.built(own_site.project())
    part.archiver.knobs.archive_delay = 100
    own_site.archive(row, **{"http-session-listener": "k"})
    assert not part.jobs.settle(0.1)
    assert own_site.status(row) == "_ARCHIVING"
    own_site.standin.clock.advance(101)
    assert part.jobs.settle()
    assert own_site.rows(row) == []


# --- 12 concurrency -------------------------------------------------------------------------------


def test_B12_parallel_archives_into_one_subject(own_site: Site) -> None:
    project = own_site.project()
    rows = [own_site.built(project, subject="SU", session=f"SE{n}") for n in range(6)]
    statuses: list[int] = []

    def archive(row: str) -> None:
        other = own_site.as_user("admin")
        statuses.append(other.archive(row).status_code)
        other.http.close()

    threads = [threading.Thread(target=archive, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [200] * 6
    assert len(own_site.rows(f"/projects/{project}/subjects")) == 1
    assert len(own_site.rows(f"/projects/{project}/experiments")) == 6


def test_B12_two_rows_of_one_label_race(own_site: Site) -> None:
    project = own_site.project()
    rows = [own_site.built(project, new_uid()) for _ in range(2)]
    statuses: list[int] = []

    def archive(row: str) -> None:
        other = own_site.as_user("admin")
        statuses.append(other.archive(row).status_code)
        other.http.close()

    threads = [threading.Thread(target=archive, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200, 500]
    assert len(own_site.rows(f"/projects/{project}/experiments")) == 1
    left = [own_site.status(row) for row in rows]
    assert sorted(left)[0] == ""
    assert sorted(left)[1] in ("CONFLICT", "ERROR")


def test_B12_uploads_into_one_study_in_parallel(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()

    def send(number: int) -> None:
        other = own_site.as_user("admin")
        assert other.send(study_zip(study, {number: 3}), project=project).status_code == 200
        other.http.close()

    threads = [threading.Thread(target=send, args=(n,)) for n in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    rows = own_site.rows(f"/prearchive/projects/{project}")
    assert len(rows) == 1
    own_site.post(rows[0]["url"], params={"action": "build"})
    address = own_site.archive(rows[0]["url"]).text.strip().removeprefix("/data")
    assert [scan["ID"] for scan in own_site.rows(f"{address}/scans")] == list("12345")
