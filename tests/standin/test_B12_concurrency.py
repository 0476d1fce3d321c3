"""Concurrency, locks and knobs (wire contract B 12, B 13 and the checklist B 14)."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from xnat_luigi.standin import Fault, StandIn

from .objects import dicom, new_uid, study_zip
from .site import Site


def together(site: Site, count: int, work: Callable[[Site, int], Any]) -> list[Any]:
    """Runs `work` in threads, each with a login of its own; the results by number."""
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        other = site.as_user("admin")
        results[number] = work(other, number)
        other.http.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_B12_parallel_imports_of_different_files(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()

    def send(site: Site, number: int) -> int:
        return site.send(study_zip(study, {number + 1: 2}), project=project).status_code

    assert together(own_site, 8, send) == [200] * 8
    rows = own_site.rows(f"/prearchive/projects/{project}")
    assert len(rows) == 1
    own_site.post(rows[0]["url"], params={"action": "build"})
    assert len(own_site.rows(f"{rows[0]['url']}/scans")) == 8


def test_B12_the_same_file_twice_at_once(own_site: Site) -> None:
    project, study = own_site.project(), new_uid()
    body = study_zip(study, {1: 40})
    statuses = together(own_site, 4, lambda site, _: site.send(body, project=project).status_code)
    assert set(statuses) <= {200, 400}
    rows = own_site.rows(f"/prearchive/projects/{project}")
    assert len(rows) == 1
    own_site.send(body, project=project)
    own_site.post(rows[0]["url"], params={"action": "build"})
    path = f"{rows[0]['url']}/scans/1/resources/DICOM/files"
    assert len(own_site.rows(path)) == 40
    assert own_site.get(f"{path}/1-7.dcm").content == dicom(study, 1, 7)


def test_B12_a_file_sent_during_archiving_resets_the_row(own_site: Site) -> None:
    assert own_site.standin is not None
    jobs, project, study = own_site.standin.services.jobs, own_site.project(), new_uid()
    row = own_site.built(project, study)
    jobs.hold("_ARCHIVING")
    own_site.archive(row, **{"http-session-listener": "k"})
    assert jobs.reached("_ARCHIVING")
    own_site.received(project, study, scans={9: 1})
    assert own_site.status(row) == "RECEIVING"  # no protection
    jobs.release()
    assert jobs.settle()


def test_B12_imports_beside_builds_and_listings(own_site: Site) -> None:
    project = own_site.project()

    def work(site: Site, number: int) -> int:
        row = site.built(project, new_uid(), session=f"SE{number}")
        assert any(r["url"] == row for r in site.rows(f"/prearchive/projects/{project}"))
        return site.archive(row).status_code

    assert together(own_site, 10, work) == [200] * 10
    assert len(own_site.rows(f"/projects/{project}/experiments")) == 10


def test_B12_locks_outlive_a_crash_until_reset(tmp_path: Any) -> None:
    with StandIn(root=tmp_path) as server:
        site = Site(server)
        row = site.built(site.project())
        server.services.jobs.hold("_ARCHIVING")
        site.archive(row, **{"http-session-listener": "k"})
        assert server.services.jobs.reached("_ARCHIVING")
    with StandIn(root=tmp_path) as server:
        again = Site(server)
        assert again.status(row) == "_ARCHIVING"
        assert again.archive(row).status_code == 403
        assert again.post(row, params={"action": "reset-status"}).status_code == 200
        assert again.archive(row).status_code == 200


# --- 14 the checklist's faults --------------------------------------------------------------------


def test_B14_5_answer_lost_but_the_work_done(own_site: Site) -> None:
    assert own_site.standin is not None
    project = own_site.project()
    row = own_site.built(project, subject="SU", session="SE")
    own_site.standin.faults.add(Fault(method="POST", path="services/archive", drop=True, times=1))
    with pytest.raises(requests.ConnectionError):
        own_site.archive(row)
    assert own_site.standin.services.jobs.settle()
    assert own_site.rows(row) == []
    assert own_site.get(f"/projects/{project}/subjects/SU/experiments/SE").status_code == 200
    assert own_site.archive(row).status_code == 404  # what a repetition gets


def test_B14_5_a_proxy_cuts_while_the_job_goes_on(own_site: Site) -> None:
    assert own_site.standin is not None
    row = own_site.built(own_site.project())
    rule = Fault(method="POST", path="services/archive", rewrite_status=504, times=1)
    own_site.standin.faults.add(rule)
    assert own_site.archive(row).status_code == 504
    assert own_site.rows(row) == []


def test_B13_import_whose_answer_is_lost_is_found(own_site: Site) -> None:
    assert own_site.standin is not None
    project, study = own_site.project(), new_uid()
    own_site.standin.faults.add(Fault(method="POST", path="services/import", drop=True, times=1))
    with pytest.raises(requests.ConnectionError):
        own_site.send(study_zip(study), project=project)
    found = own_site.rows(f"/prearchive/projects/{project}", tag=study)
    assert [row["status"] for row in found] == ["RECEIVING"]
    again = own_site.send(study_zip(study), project=project)
    assert again.text.strip() == f"/data{found[0]['url']}"  # the same row, nothing doubled


def control(site: Site, **knobs: Any) -> requests.Response:
    return site.call("POST", "/standin/jobs", json=knobs)


def test_B14_knobs_over_control_addresses(own_site: Site) -> None:
    assert own_site.standin is not None
    project = own_site.project()
    row = own_site.built(project)
    assert control(own_site, hold=["_ARCHIVING"]).json()["holds"] == ["_ARCHIVING"]
    own_site.archive(row, **{"http-session-listener": "k"})
    assert own_site.standin.services.jobs.reached("_ARCHIVING")
    assert control(own_site).json() == {
        "holds": ["_ARCHIVING"],
        "standing": ["_ARCHIVING"],
        "jobs": 1,
    }
    control(own_site, release=["_ARCHIVING"])
    assert own_site.standin.services.jobs.settle()
    assert own_site.rows(row) == []
    row = own_site.built(project, session="B")
    control(own_site, failure={"row_status": "CONFLICT", "message": "no luck"})
    assert own_site.archive(row).status_code == 500
    assert "no luck" in own_site.last_log(row)
    assert control(own_site, failure={"nonsense": 1}).status_code == 400
    assert control(own_site, nonsense=1).status_code == 400


@pytest.mark.parametrize("status", ["RECEIVING", "READY", "CONFLICT", "ERROR", "_ARCHIVING"])
def test_B14_rows_in_a_state(own_site: Site, status: str) -> None:
    assert own_site.standin is not None
    row = own_site.standin.add_row("P1", "SU", "SE", status=status, log="why", scans={"3": 2})
    cells = own_site.rows(row)[0]
    assert (cells["status"], cells["subject"], cells["name"]) == (status, "SU", "SE")
    assert own_site.last_log(row) == "why"
    if status == "RECEIVING":
        assert own_site.get(f"{row}/scans").status_code == 404
    else:
        assert own_site.rows(f"{row}/scans/3/resources")[0]["file_count"] == "2"
    if status == "_ARCHIVING":
        assert own_site.archive(row).status_code == 403
    elif status != "RECEIVING":
        assert own_site.archive(row).status_code == 200


def test_B14_rows_over_control_addresses(own_site: Site) -> None:
    data = base64.b64encode(dicom(new_uid())).decode()
    given = {"project": "P1", "subject": "SU", "session": "SE", "files": {"a.dcm": data}}
    made = own_site.call("POST", "/standin/rows", json=given)
    assert own_site.status(made.json()["url"]) == "READY"
    for wrong in ({"status": "NONSENSE"}, {"nonsense": 1}, {"files": {"a": "AAAA"}}):
        assert own_site.call("POST", "/standin/rows", json={**given, **wrong}).status_code == 400
    assert own_site.call("POST", "/standin/rows", json={"project": "P1"}).status_code == 400
    lost = {**given, "project": "Unassigned"}
    url = own_site.call("POST", "/standin/rows", json=lost).json()["url"]
    assert own_site.rows(url)[0]["project"] == "Unassigned"


def test_B14_rebuilder_over_control_addresses(own_site: Site) -> None:
    assert own_site.standin is not None
    row = own_site.received(own_site.project())
    own_site.call("POST", "/standin/clock", json={"advance": 360})
    control(own_site, rebuild=True)
    assert own_site.standin.services.jobs.settle()
    assert own_site.status(row) == "READY"
