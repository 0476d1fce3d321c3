"""Event tracking and direct archive (wire contract B 4)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from xnat_luigi.standin.archiver import Failure
from xnat_luigi.standin.services import Services

from .objects import dicom, new_uid, study_zip, zipped
from .site import Site


def services(site: Site) -> Services:
    assert site.standin is not None
    return site.standin.state.part(Services)


def key() -> str:
    return f"k{uuid.uuid4().hex}"


def tracked(site: Site, name: str) -> dict[str, Any]:
    answer = site.get(f"/xapi/event_tracking/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert set(found) == {"key", "payload", "succeeded", "finalMessage"}
    return found


def test_B4_1_archive_with_a_listener(own_site: Site) -> None:
    project, name = own_site.project(), key()
    row = own_site.built(project, subject="SU", session="SE")
    jobs = services(own_site).jobs
    jobs.hold("_ARCHIVING")
    own_site.archive(row, **{"http-session-listener": name})
    assert jobs.reached("_ARCHIVING")
    assert tracked(own_site, name)["succeeded"] is None
    jobs.release()
    assert jobs.settle()
    found = tracked(own_site, name)
    assert (found["key"], found["succeeded"]) == (name, True)
    assert found["finalMessage"] == f"/archive/projects/{project}/subjects/SU/experiments/SE"
    entries = json.loads(found["payload"])["entryList"]
    assert set(entries[0]) == {"status", "eventTime", "message"}
    assert {entry["status"] for entry in entries} <= {"Waiting", "InProgress", "Warning"}
    payload = own_site.get(f"/xapi/event_tracking/{name}/payload")
    assert payload.json()["entryList"] == entries


def test_B4_1_a_failed_archive(own_site: Site) -> None:
    name, part = key(), services(own_site)
    row = own_site.built(own_site.project())
    part.archiver.knobs.failure = Failure("ERROR", "no luck")
    own_site.archive(row, **{"http-session-listener": name})
    assert part.jobs.settle()
    found = tracked(own_site, name)
    assert found["succeeded"] is False
    assert "no luck" in found["finalMessage"]


def test_B4_1_import_with_commit_ends_the_tracking(site: Site) -> None:
    project, name = site.project(), key()
    query = {"http__session__listener": name, "project": project, "action": "commit"}
    uri = site.send(study_zip(new_uid()), **query).text.strip()
    found = tracked(site, name)
    assert found["succeeded"] is True
    assert found["finalMessage"] == f"Prearchive:{uri.removeprefix('/data')}"
    name = key()
    dest = f"/archive/projects/{project}/subjects/A/experiments/B"
    site.send(study_zip(new_uid()), dest=dest, http__session__listener=name)
    assert tracked(site, name)["finalMessage"] == f"Archive:{dest}"


def test_B4_1_import_without_commit_never_ends(site: Site) -> None:
    name = key()
    site.send(study_zip(new_uid()), project=site.project(), http__session__listener=name)
    assert tracked(site, name)["succeeded"] is None


def test_B4_1_failed_import(site: Site) -> None:
    project, name = site.project(), key()
    site.archived(project)
    query = {"dest": f"/archive/projects/{project}", "http__session__listener": name}
    assert site.send(study_zip(new_uid()), **query).status_code == 400
    assert tracked(site, name)["succeeded"] is False


def test_B4_1_empty_listener(site: Site) -> None:
    answer = site.send(study_zip(new_uid()), http__session__listener="")
    assert answer.status_code == 400


def test_B4_1_unknown_and_other_peoples_keys(own_site: Site) -> None:
    name = key()
    own_site.send(study_zip(new_uid()), project=own_site.project(), http__session__listener=name)
    assert own_site.get("/xapi/event_tracking/nothing").status_code == 404
    assert own_site.as_user("reader").get(f"/xapi/event_tracking/{name}").status_code == 404


def test_B4_1_purged_after_a_month(own_site: Site) -> None:
    assert own_site.standin is not None
    name = key()
    own_site.send(study_zip(new_uid()), project=own_site.project(), http__session__listener=name)
    own_site.standin.clock.advance(31 * 24 * 3600)
    assert own_site.get(f"/xapi/event_tracking/{name}").status_code == 404


def test_B4_1_used_key_is_cleared_by_an_archive_and_goes_on(own_site: Site) -> None:
    project, name = own_site.project(), key()
    own_site.archive(own_site.built(project, session="A"), **{"http-session-listener": name})
    assert services(own_site).jobs.settle()
    first = json.loads(tracked(own_site, name)["payload"])["entryList"]
    row = own_site.built(project, session="B")
    services(own_site).jobs.hold("_ARCHIVING")
    own_site.archive(row, **{"http-session-listener": name})
    again = tracked(own_site, name)
    assert (again["succeeded"], again["finalMessage"]) == (None, None)
    services(own_site).jobs.release()
    assert services(own_site).jobs.settle()
    entries = json.loads(tracked(own_site, name)["payload"])["entryList"]
    assert entries[: len(first)] == first
    assert len(entries) > len(first)


def test_B4_1_old_status_within_the_same_session_only(site: Site) -> None:
    name = key()
    site.get("/JSESSION")
    query = {"http__session__listener": name, "project": site.project(), "action": "commit"}
    site.send(study_zip(new_uid()), **query)
    answer = site.get(f"/status/{name}", params={"format": "json"})
    messages = answer.json()["msgs"][0]
    assert messages[-1]["status"] == "COMPLETED"
    assert messages[-1]["terminal"] is True
    site.http.cookies.clear()
    assert site.get(f"/status/{name}", params={"format": "json"}).status_code == 404


def test_B1_1_import_from_the_cache_with_a_listener_is_asynchronous(own_site: Site) -> None:
    project, name = own_site.project(), key()
    path = f"/user/cache/resources/{name}/files/study.zip"
    own_site.put(path, study_zip(new_uid()), params={"inbody": "true"})
    query = {"import-handler": "DICOM-zip", "project": project, "src": path}
    query |= {"http-session-listener": name, "action": "commit"}
    answer = own_site.post("/services/import", params=query)
    assert answer.status_code == 200
    assert "Submitted for prearchival" in answer.text
    assert services(own_site).jobs.settle()
    assert tracked(own_site, name)["succeeded"] is True


# --- 4.2 direct archive ---------------------------------------------------------------------------


def direct(site: Site, project: str, study: str, body: bytes = b"", **more: str) -> str:
    answer = site.send(body or study_zip(study), project=project, Direct__Archive="true", **more)
    assert answer.status_code == 200, answer.text
    return answer.text.strip()


def test_B4_2_files_go_straight_to_the_archive(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()
    uri = direct(own_site, project, study, subject="SU", session="SE")
    assert uri == f"/xapi/direct-archive/{project}/{study}/SE"
    row = own_site.get(uri).json()
    assert (row["project"], row["tag"], row["name"]) == (project, study, "SE")
    assert own_site.rows(f"/prearchive/projects/{project}") == []
    address = f"/projects/{project}/subjects/SU/experiments/SE"
    assert own_site.get(address, params={"format": "json"}).status_code == 404
    assert own_site.post(uri).status_code == 200
    assert services(own_site).jobs.settle()
    assert own_site.get(uri).status_code == 404
    assert own_site.get(address, params={"format": "json"}).status_code == 200
    assert len(own_site.rows(f"{address}/scans/1/resources/DICOM/files")) == 2


def test_B4_2_two_series_of_one_number(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()
    files = {
        f"{n}.dcm": dicom(study, 1, n, series_uid=f"{study}.7{n % 2}", session="SE")
        for n in range(1, 5)
    }
    uri = direct(own_site, project, study, zipped(files), subject="SU", session="SE")
    own_site.post(uri)
    assert services(own_site).jobs.settle()
    path = f"/projects/{project}/subjects/SU/experiments/SE/scans"
    assert [scan["ID"] for scan in own_site.rows(path)] == ["1", "1-MR1"]
    assert len(own_site.rows(f"{path}/1-MR1/resources/DICOM/files")) == 2


def test_B4_2_the_interval_does_it_too(own_site: Site) -> None:
    assert own_site.standin is not None
    uri = direct(own_site, own_site.project(), new_uid())
    own_site.standin.clock.advance(6 * 60)
    services(own_site).direct.look()
    assert services(own_site).jobs.settle()
    assert own_site.get(uri).status_code == 404


def test_B4_2_falls_back_to_the_prearchive(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()
    own_site.archived(project, session="SE")
    assert "/data/prearchive/" in direct(own_site, project, study, session="SE")
    assert "/Unassigned/" in direct(own_site, "NOWHERE", study)


def test_B4_2_failure_leaves_a_prearchive_row(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()
    uri = direct(own_site, project, study, session="SE")
    services(own_site).archiver.knobs.failure = Failure("CONFLICT", "no luck")
    own_site.post(uri)
    assert services(own_site).jobs.settle()
    rows = own_site.rows(f"/prearchive/projects/{project}")
    assert [row["status"] for row in rows] == ["CONFLICT"]
    assert "Attempt to direct-archive failed" in own_site.last_log(rows[0]["url"])


def test_B4_2_rights(own_site: Site) -> None:
    assert own_site.standin is not None
    project = own_site.project()
    own_site.standin.add_user("rita", "rita", **{project: "collaborator"})
    uri = direct(own_site, project, new_uid())
    rita, reader = own_site.as_user("rita"), own_site.as_user("reader")
    assert rita.get(uri).status_code == 200
    assert rita.post(uri).status_code == 403
    assert reader.get(uri).status_code == 404
    number = own_site.get(uri).json()["id"]
    assert rita.delete(f"/xapi/direct-archive/{number}").status_code == 403
    assert own_site.delete("/xapi/direct-archive/99999").status_code == 404
    assert own_site.delete(f"/xapi/direct-archive/{number}").status_code == 200
    assert own_site.get(uri).status_code == 404


def test_B4_2_listing_by_pages(own_site: Site) -> None:
    project = own_site.project()
    for session in ("A", "B", "C"):
        direct(own_site, project, new_uid(), session=session)
    listed = own_site.call("POST", "/xapi/direct-archive", json={"page": 2, "size": 2})
    assert [row["name"] for row in listed.json()] == ["C"]


def test_B4_2_unreadable(own_site: Site) -> None:
    body = zipped({"x.txt": b"text", "y.dcm": dicom(new_uid())})
    answer = own_site.send(body, project=own_site.project(), Direct__Archive="true")
    assert answer.status_code == 400
