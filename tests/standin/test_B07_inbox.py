"""The DICOM inbox (wire contract B 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.standin.services import Services

from .objects import new_uid, study_files, study_zip
from .site import Site


def services(site: Site) -> Services:
    assert site.standin is not None
    return site.standin.state.part(Services)


def place(site: Site, project: str, files: dict[str, bytes]) -> Path:
    """A folder in the inbox of a project."""
    folder = services(site).inbox.root / project / "sess1"
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def call(site: Site, **parameters: str) -> Any:
    return site.post("/services/import", params={"import-handler": "inbox", **parameters})


def test_B7_folder_is_imported(own_site: Site) -> None:
    project = own_site.project()
    folder = place(own_site, project, study_files(new_uid()))
    answer = call(own_site, path=str(folder), PROJECT_ID=project, SUBJECT_ID="SU", EXPT_LABEL="SE")
    assert answer.status_code == 200
    assert answer.text.startswith("/xapi/dicom/")
    assert answer.text.endswith("\r\n")
    assert services(own_site).jobs.settle()
    found = own_site.get(answer.text.strip()).json()
    assert (found["status"], found["username"]) == ("Processed", "admin")  # not archived by itself
    assert found["sessionPath"] == str(folder)
    assert found["parameters"]["PROJECT_ID"] == project
    rows = own_site.rows(f"/prearchive/projects/{project}")
    assert [(row["subject"], row["name"], row["status"]) for row in rows] == [("SU", "SE", "READY")]
    assert not folder.exists()  # cleanupAfterImport is true by default


def test_B7_kept_and_completed(own_site: Site) -> None:
    project = own_site.project()
    own_site.put(f"/projects/{project}/prearchive_code/4")
    folder = place(own_site, project, {"study.zip": study_zip(new_uid())})
    answer = call(
        own_site,
        path=str(folder / "study.zip"),
        PROJECT_ID=project,
        SUBJECT_ID="SU",
        EXPT_LABEL="SE",
        cleanupAfterImport="false",
    )
    assert services(own_site).jobs.settle()
    found = own_site.get(answer.text.strip()).json()
    assert found["status"] == "Completed"
    assert found["resolution"].endswith(f"/archive/projects/{project}/subjects/SU/experiments/SE")
    assert (folder / "study.zip").exists()


def test_B7_states_while_it_runs(own_site: Site) -> None:
    project, jobs = own_site.project(), services(own_site).jobs
    folder = place(own_site, project, study_files(new_uid()))
    jobs.hold("INBOX")
    uri = call(own_site, path=str(folder), PROJECT_ID=project).text.strip()
    assert jobs.reached("INBOX")
    assert own_site.get(uri).json()["status"] == "Queued"
    active = own_site.get("/xapi/dicom/list/active").json()
    assert [one["id"] for one in active] == [own_site.get(uri).json()["id"]]
    jobs.release()
    assert jobs.settle()
    assert own_site.get("/xapi/dicom/list/active").json() == []
    assert len(own_site.get("/xapi/dicom/list/all").json()) == 1


def test_B7_no_dicom_fails(own_site: Site) -> None:
    project = own_site.project()
    folder = place(own_site, project, {"a.txt": b"text"})
    uri = call(own_site, path=str(folder), PROJECT_ID=project).text.strip()
    assert services(own_site).jobs.settle()
    found = own_site.get(uri).json()
    assert found["status"] == "Failed"
    assert found["resolution"]
    assert folder.exists()


@pytest.mark.parametrize("path", ["", "/etc", "{root}/P/none", "{root}", "{root}/P/../../x"])
def test_B7_bad_paths(own_site: Site, path: str) -> None:
    path = path.format(root=services(own_site).inbox.root)
    assert call(own_site, path=path, PROJECT_ID="P").status_code == 400


def test_B7_right_and_taken_label(own_site: Site) -> None:
    assert own_site.standin is not None
    project = own_site.project()
    own_site.archived(project, session="SE")
    folder = place(own_site, project, study_files(new_uid()))
    taken = call(own_site, path=str(folder), PROJECT_ID=project, EXPT_LABEL="SE")
    assert taken.status_code == 409
    own_site.standin.add_user("rita", "rita", **{project: "collaborator"})
    denied = call(own_site.as_user("rita"), path=str(folder), PROJECT_ID=project)
    assert denied.status_code == 400


def test_B7_others_requests_are_hidden(own_site: Site) -> None:
    project = own_site.project()
    folder = place(own_site, project, study_files(new_uid()))
    uri = call(own_site, path=str(folder), PROJECT_ID=project).text.strip()
    assert own_site.as_user("reader").get(uri).status_code == 404
    assert services(own_site).jobs.settle()
