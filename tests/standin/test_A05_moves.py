"""Wire contract A 5.4 and A 5.6: renaming, moving, sharing, deleting."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnat_luigi.standin import StandIn

from .site import Site

MR = "xnat:mrSessionData"


@pytest.fixture
def project(site: Site) -> str:
    """A project with S1/E1, which has a scan with one file."""
    name = site.project()
    base = f"/projects/{name}/subjects/S1/experiments/E1"
    site.put(f"{base}?xsiType={MR}&note=old")
    site.put(f"{base}/scans/1?xsiType=xnat:mrScanData")
    site.put(f"{base}/scans/1/resources/DICOM/files/a.dcm?inbody=true", b"hello")
    return name


def labels(site: Site, project: str, what: str = "experiments") -> set[str]:
    return {row["label"] for row in site.rows(f"/projects/{project}/{what}")}


# 5.4 --------------------------------------------------------------------------------------------


def test_A5_4_rename_does_nothing_else(site: Site, project: str) -> None:
    base = f"/projects/{project}/subjects/S1/experiments"
    answer = site.put(f"{base}/E1?label=E2&xsiType={MR}&note=new")
    assert (answer.status_code, answer.content) == (200, b"")
    assert labels(site, project) == {"E2"}
    assert site.rows(f"/projects/{project}/experiments", columns="note")[0]["note"] == "old"
    # The files went along.
    path = f"{base}/E2/scans/1/resources/DICOM/files/a.dcm"
    assert site.get(path).content == b"hello"


def test_A5_4_rename_to_the_same_label_drops_the_rest(site: Site, project: str) -> None:
    base = f"/projects/{project}/subjects/S1/experiments/E1"
    assert site.put(f"{base}?label=E1&xsiType={MR}&note=new").status_code == 200
    assert site.rows(f"/projects/{project}/experiments", columns="note")[0]["note"] == "old"


def test_A5_4_rename_of_a_subject(site: Site, project: str) -> None:
    assert site.put(f"/projects/{project}/subjects/S1?label=S9").status_code == 200
    assert labels(site, project, "subjects") == {"S9"}


def test_A5_4_label_in_use(site: Site, project: str) -> None:
    base = f"/projects/{project}/subjects/S1/experiments"
    site.put(f"{base}/E2?xsiType={MR}")
    answer = site.put(f"{base}/E1?label=E2")
    assert answer.status_code == 409
    assert "Specified label is already in use." in answer.text


def test_A5_4_being_processed(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    work = standin.state.workflows.open(session, MR, "DoIt", project="P1", user="admin")
    path = f"/projects/P1/subjects/S1/experiments/{session}?label=E2"
    answer = own_site.put(path)
    assert answer.status_code == 409
    assert "Specified session is being processed (DoIt)." in answer.text
    standin.state.workflows.finish(work)
    assert own_site.put(path).status_code == 200


def test_A5_4_files_in_the_way(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", scans={"1": {"resources": {"R": {"a": b"a"}}}})
    left = standin.root / "archive" / "P1" / "arc001" / "E2"
    left.mkdir(parents=True)
    answer = own_site.put(f"/projects/P1/subjects/S1/experiments/{session}?label=E2")
    assert answer.status_code == 409
    assert "File system destination contains pre-existing files" in answer.text
    assert labels(own_site, "P1") == {"E1"}


def test_A5_4_rename_without_right(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    path = f"/projects/P1/subjects/S1/experiments/{session}?label=E2"
    reader = own_site.as_user("reader")
    assert reader.put(path).status_code == 404
    standin.state.users.set_role("P1", "reader", "collaborator")
    assert reader.put(path).status_code in (403, 417)


def test_A5_4_to_another_subject_by_parameter(site: Site, project: str) -> None:
    base = f"/projects/{project}/subjects/S1/experiments/E1"
    assert site.put(f"{base}?xsiType={MR}&subject_ID=S2").status_code == 200
    assert labels(site, project, "subjects") == {"S1", "S2"}
    rows = site.rows(f"/projects/{project}/experiments", columns="subject_label")
    assert [row["subject_label"] for row in rows] == ["S2"]


def test_A5_4_to_another_subject_by_address(site: Site, project: str) -> None:
    site.put(f"/projects/{project}/subjects/S2")
    answer = site.put(f"/projects/{project}/subjects/S2/experiments/E1?xsiType={MR}&note=x")
    assert answer.status_code == 200
    rows = site.rows(f"/projects/{project}/experiments", columns="subject_label")
    assert [row["subject_label"] for row in rows] == ["S2"]


def test_A5_4_share(site: Site, project: str) -> None:
    second = site.project()
    base = f"/projects/{project}/subjects/S1/experiments/E1/projects"
    assert site.put(f"{base}/{second}?label=X1").status_code == 200
    assert labels(site, second) == {"X1"}
    assert labels(site, project) == {"E1"}
    rows = site.rows(base)
    assert {(row["ID"], row["label"]) for row in rows} == {(project, "E1"), (second, "X1")}
    again = site.put(f"{base}/{second}?label=X2")
    assert again.status_code == 409
    assert f"Already assigned to project:{second}" in again.text
    assert site.put(f"{base}/NOPE").status_code == 404


def test_A5_4_share_with_a_label_in_use(site: Site, project: str) -> None:
    second = site.project()
    site.put(f"/projects/{second}/subjects/S1/experiments/E1?xsiType={MR}")
    answer = site.put(f"/projects/{project}/subjects/S1/experiments/E1/projects/{second}")
    assert answer.status_code == 409
    assert "Label already in use:E1" in answer.text


def test_A5_4_unshare_through_the_other_project(site: Site, project: str) -> None:
    second = site.project()
    own = f"/projects/{project}/subjects/S1/experiments/E1"
    site.put(f"{own}/projects/{second}?label=X1")
    assert site.delete(f"{own}/projects/{second}").status_code == 200
    assert labels(site, second) == set()
    # Deleting an item through a project that has only a share takes back the share.
    site.put(f"{own}/projects/{second}?label=X1")
    assert site.delete(f"/projects/{second}/experiments/X1?removeFiles=true").status_code == 200
    assert labels(site, second) == set()
    assert labels(site, project) == {"E1"}
    assert site.get(f"{own}/scans/1/resources/DICOM/files/a.dcm").content == b"hello"


def test_A5_4_unshare_is_refused_while_something_hangs_below(site: Site, project: str) -> None:
    second = site.project()
    subject = f"/projects/{project}/subjects/S1"
    site.put(f"{subject}/projects/{second}?label=X1")
    site.put(f"/projects/{second}/subjects/X1/experiments/N1?xsiType={MR}")
    assert site.delete(f"{subject}/projects/{second}").status_code == 403
    assert labels(site, second, "subjects") == {"X1"}


def test_A5_4_a_project_is_not_changed_by_the_way(site: Site, project: str) -> None:
    second = site.project()
    session = site.rows(f"/projects/{project}/experiments")[0]["ID"]
    answer = site.put(f"/projects/{second}/experiments/{session}?xsiType={MR}&note=x")
    assert answer.status_code in (400, 409)
    assert labels(site, second) == set()
    assert site.rows(f"/projects/{project}/experiments", columns="note")[0]["note"] == "old"


def test_A5_2_lock(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session(
        "P1", "S1", "E1", scans={"1": {"type": "T1", "resources": {"R": {"a": b"a"}}}}
    )
    path = f"/projects/P1/subjects/S1/experiments/{session}"
    resource = f"{path}/scans/1/resources/R"
    assert own_site.put(f"{path}?xsiType={MR}&_lock=true").status_code == 200
    assert own_site.put(f"{path}?xsiType={MR}&note=x").status_code == 403
    assert own_site.delete(path).status_code == 403
    assert own_site.delete(resource).status_code == 403
    assert own_site.delete(f"{resource}/files/a").status_code == 403
    assert own_site.get(f"{resource}/files/a").content == b"a"
    assert own_site.put(f"{path}?xsiType={MR}&_unlock=true").status_code == 200
    assert own_site.put(f"{path}?xsiType={MR}&note=x").status_code == 200
    assert own_site.delete(resource).status_code == 200


def test_A5_4_share_of_a_subject(site: Site, project: str) -> None:
    second = site.project()
    assert site.put(f"/projects/{project}/subjects/S1/projects/{second}?label=X1").ok
    assert labels(site, second, "subjects") == {"X1"}
    assert site.get(f"/projects/{second}/subjects/X1?format=json").status_code == 200


def test_A5_4_primary_moves_files_and_ownership(site: Site, project: str) -> None:
    second = site.project()
    own = f"/projects/{project}/subjects/S1/experiments/E1"
    assert site.put(f"{own}/projects/{second}?primary=true").status_code == 200
    assert labels(site, project) == set()
    assert labels(site, second) == {"E1"}
    session = site.rows(f"/projects/{second}/experiments")[0]["ID"]
    file = f"/experiments/{session}/scans/1/resources/DICOM/files/a.dcm"
    assert site.get(file).content == b"hello"


def test_A5_4_scan_shares_its_session_too(site: Site, project: str) -> None:
    second = site.project()
    scan = f"/projects/{project}/subjects/S1/experiments/E1/scans/1"
    assert site.put(f"{scan}/projects/{second}").status_code == 200
    assert labels(site, second) == {"E1"}


def test_A5_4_share_rights(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    standin.add_project("P2")
    standin.state.users.set_role("P1", "reader", "owner")
    standin.state.users.set_role("P2", "reader", "collaborator")
    reader = own_site.as_user("reader")
    assert reader.put(f"/experiments/{session}/projects/P2").status_code == 403


# 5.6 --------------------------------------------------------------------------------------------


def folder(server: StandIn, label: str = "E1") -> Path:
    return server.root / "archive" / "P1" / "arc001" / label


@pytest.mark.parametrize("files", [True, False])
def test_A5_6_delete_and_the_files(own_site: Site, standin: StandIn, files: bool) -> None:
    scans = {"1": {"type": "T1", "resources": {"DICOM": {"a.dcm": b"hello"}}}}
    session = standin.add_session("P1", "S1", "E1", scans=scans)
    assert folder(standin).is_dir()
    query = "?removeFiles=true" if files else ""
    answer = own_site.delete(f"/projects/P1/subjects/S1/experiments/{session}{query}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert own_site.get(f"/experiments/{session}?format=json").status_code == 404
    assert folder(standin).exists() is not files


def test_A5_6_files_left_behind_collide_later(own_site: Site, standin: StandIn) -> None:
    scans = {"1": {"type": "T1", "resources": {"DICOM": {"a.dcm": b"hello"}}}}
    standin.add_session("P1", "S1", "E1", scans=scans)
    base = "/projects/P1/subjects/S1/experiments/E1"
    own_site.delete(base)
    own_site.put(f"{base}?xsiType={MR}")
    own_site.put(f"{base}/scans/1?xsiType=xnat:mrScanData")
    answer = own_site.put(f"{base}/scans/1/resources/DICOM/files/a.dcm?inbody=true", b"new")
    assert answer.json() == {"duplicates": ["a.dcm"]}


def test_A5_6_cascades(site: Site, project: str) -> None:
    base = f"/projects/{project}/subjects/S1"
    qc = site.put(f"{base}/experiments/E1/assessors/Q?xsiType=xnat:qcManualAssessorData").text
    session = site.rows(f"{base}/experiments")[0]["ID"]
    assert site.delete(base).status_code == 200
    for item in (qc, session):
        assert site.get(f"/experiments/{item}?format=json").status_code == 404
    assert labels(site, project, "subjects") == set()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/{P}/subjects/NOPE", 404),
        ("/projects/{P}/subjects/S1/experiments/NOPE", 404),
        ("/projects/{P}/subjects/S1/experiments/E1/scans/9", 404),
        ("/projects/NOPE/subjects/S1", 400),
        ("/projects/NOPE/subjects/S1/experiments/E1", 400),
    ],
)
def test_A5_6_what_is_not_there(site: Site, project: str, path: str, status: int) -> None:
    assert site.delete(path.replace("{P}", project)).status_code == status


def test_A5_6_members_cannot_delete_owners_can(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", scans={"1": "T1"})
    standin.add_user("member", "member", P1="member")
    standin.add_user("owner", "owner", P1="owner")
    path = f"/projects/P1/subjects/S1/experiments/{session}"
    member, owner = own_site.as_user("member"), own_site.as_user("owner")
    assert member.delete(path).status_code == 403
    assert member.delete(f"{path}/scans/1").status_code == 403
    assert owner.delete(f"{path}/scans/1").status_code == 200
    assert owner.delete(path).status_code == 200


def test_A5_6_site_forbids_deletion(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    standin.preferences["preventDataDeletion"] = True
    answer = own_site.delete(f"/projects/P1/subjects/S1/experiments/{session}")
    assert answer.status_code == 403
    assert "User account cannot delete experiments" in answer.text


def test_A5_6_experiment_without_project(site: Site, project: str) -> None:
    session = site.rows(f"/projects/{project}/experiments")[0]["ID"]
    assert site.delete(f"/experiments/{session}").status_code == 200
    assert labels(site, project) == set()


def test_A5_6_deleting_twice(site: Site, project: str) -> None:
    path = f"/projects/{project}/subjects/S1/experiments/E1"
    assert [site.delete(path).status_code for _ in range(2)] == [200, 404]
