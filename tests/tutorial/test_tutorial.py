"""The tutorial of the documented client (section 1.2), run as printed.

Where the document shows an answer, the test compares it; names of servers and folders are those of
the test. Differences are D-numbers of tests/seed/decisions.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest

import xnat_luigi as xnat
from xnat_luigi.exceptions import XNATAuthError, XNATError, XNATNotConnectedError, XNATValueError
from xnat_luigi.standin import StandIn

EXAMPLE = """
import xnat_luigi as xnat
import argparse
import re

def get_files(connection, project, subject, session, scan):
    xnat_project = connection.projects[project]
    xnat_subject = xnat_project.subjects[subject]
    xnat_experiment = xnat_subject.experiments[session]
    xnat_scan = xnat_experiment.scans[scan]
    files = xnat_scan.files.values()
    return files

def filter_files(xnat_files, regex):
    filtered_files = []
    regex = re.compile(regex)
    for file in xnat_files:
        found = regex.match(file.name)
        if found:
            filtered_files.append(file)
    return filtered_files

def main():
    parser = argparse.ArgumentParser(description='Prints all files from a certain scan.')
    parser.add_argument('--xnathost', type=str, required=True, help='xnat host name')
    parser.add_argument('--project', type=str, required=True, help='Project id')
    parser.add_argument('--subject', type=str, required=True, help='subject')
    parser.add_argument('--session', type=str, required=True, help='session')
    parser.add_argument('--scan', type=str, required=True, help='scan')
    parser.add_argument('--filter', type=str, required=False, default='.*',
                        help='regex filter for file names')
    args = parser.parse_args()

    with xnat.connect(args.xnathost) as connection:
        xnat_files = get_files(connection, args.project, args.subject, args.session, args.scan)
        xnat_files = filter_files(xnat_files, args.filter)
        for file in xnat_files:
            print('{}'.format(file.name))

if __name__ == '__main__':
    main()
"""


# 1.1.1 Getting started, 1.2.3 Connecting to a server


def test_S001_S037_getting_started(server: StandIn) -> None:
    session = xnat.connect(server.url, user="admin", password="admin")
    assert len(session.projects["sandbox"].subjects) == 2
    session.disconnect()
    with pytest.raises(XNATNotConnectedError):
        session.get("/data/projects")


def test_S003_credentials_in_the_call(server: StandIn) -> None:
    session = xnat.connect(server.url, user="admin", password="admin")
    assert session.logged_in_user == "admin"
    session.disconnect()


def test_S004_a_missing_password_is_asked_for(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def answer(*prompt: Any, **_: Any) -> str:
        asked.append(prompt)
        return "admin"

    monkeypatch.setattr("getpass.getpass", answer)
    with xnat.connect(server.url, user="admin") as session:
        assert session.logged_in_user == "admin"
    assert len(asked) == 1


def test_S005_S006_credentials_in_the_netrc_file(server: StandIn, home: Path) -> None:
    with xnat.connect(server.url) as session:
        assert session.logged_in_user == "admin"


def test_S007_a_netrc_file_open_to_others_is_refused(server: StandIn, home: Path) -> None:
    (home / ".netrc").chmod(0o644)
    with pytest.raises(XNATError, match="netrc"):
        xnat.connect(server.url)


def test_S035_S036_self_closing_sessions(
    server: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    with xnat.connect(server.url, user="admin", password="admin") as session:
        print(session.projects)
    assert "<ProjectData sandbox project (sandbox)>" in capsys.readouterr().out
    with (
        pytest.raises(ZeroDivisionError),
        xnat.connect(server.url, user="admin", password="admin") as session,
    ):
        1 / 0  # noqa: B018
    with pytest.raises(XNATNotConnectedError):
        session.get("/data/projects")


# 1.2.4 Low level REST directives


def test_S056_S058_S059_the_verbs(session: Any, server: StandIn) -> None:
    connection = session
    assert repr(connection.get("/data/projects")) == "<Response [200]>"
    assert connection.get(f"{server.url}/data/projects").status_code == 200
    assert connection.head("/data/projects").status_code == 200
    assert connection.put("/data/projects/sandbox/subjects/verb1").status_code == 201
    assert connection.delete("/data/projects/sandbox/subjects/verb1").status_code == 200


def test_S060_an_unaccepted_status_is_an_error(session: Any) -> None:
    with pytest.raises(XNATError, match="404"):
        session.get("/data/projects/nothing", format="json")


def test_S073_json_is_unpacked(session: Any) -> None:
    found = session.get_json("/data/projects/sandbox")
    assert set(found) == {"items"}
    assert "children" in found["items"][0]


def test_S076_S077_S078_S086_up_and_down(session: Any, tmp_path: Path) -> None:
    resource = session.projects["sandbox"].create_resource("notes")
    session.upload(f"{resource.fulluri}/files/a.txt", "some words")
    uri = f"{resource.fulluri}/files/a.txt"
    session.download(uri, str(tmp_path / "a.txt"), verbose=False)
    assert (tmp_path / "a.txt").read_text() == "some words"
    with open(tmp_path / "b.txt", "wb") as stream:
        session.download_stream(uri, stream)
    assert (tmp_path / "b.txt").read_bytes() == b"some words"
    session.download_zip(f"{resource.fulluri}/files", str(tmp_path / "c.zip"), verbose=False)
    assert (tmp_path / "c.zip").read_bytes()[:2] == b"PK"
    resource.delete()


def test_S075_the_requests_session_is_there(session: Any, server: StandIn) -> None:
    assert session.interface.get(f"{server.url}/data/projects").status_code == 200
    assert session.interface.get(f"{server.url}/data/projects/none?format=json").status_code == 404


# 1.2.5 Exploring, 1.2.6 Looping


def test_S093_S096_S097_S100_exploring(session: Any) -> None:
    text = str(session.projects)
    assert text.startswith("<XNATListing ")
    assert "(sandbox, sandbox project): <ProjectData sandbox project (sandbox)>" in text
    sandbox_project = session.projects["sandbox"]
    assert session.projects["sandbox project"] is sandbox_project
    key = sandbox_project.subjects["test001"].id
    assert f"({key}, test001): <SubjectData test001 ({key})>" in str(sandbox_project.subjects)
    assert sandbox_project.subjects[key] is sandbox_project.subjects["test001"]


def test_S094_S095_the_levels(session: Any) -> None:
    project = session.projects["sandbox"]
    experiment = project.subjects["ANONYMIZ"].experiments["ANONYMIZ"]
    scan = experiment.scans["T1"]
    resource = scan.resources["DICOM"]
    assert len(resource.files) == 4
    assert list(experiment.assessors) == []
    assert experiment.id in project.experiments


def test_S099_looping_over_data(session: Any, capsys: pytest.CaptureFixture[str]) -> None:
    subjects = session.projects["sandbox"].subjects
    ids = [subject.id for subject in subjects.values()]
    assert list(subjects.keys()) == ids
    assert repr(subjects["test001"]) == f"<SubjectData test001 ({subjects['test001'].id})>"
    assert len(subjects) == 2
    for subject in subjects.values():
        print(subject.label)
    assert sorted(capsys.readouterr().out.split()) == ["ANONYMIZ", "test001"]


# 1.2.7 Selecting an object by its uri


def test_S109_S110_an_object_by_its_uri(session: Any, server: StandIn) -> None:
    connection = session
    known = connection.projects["sandbox"].experiments["ANONYMIZ"]
    uri = f"/data/projects/sandbox/experiments/{known.id}"
    experiment_object = connection.create_object(uri)
    assert repr(experiment_object) == f"<MrSessionData ANONYMIZ ({known.id})>"
    assert experiment_object.id == known.id
    assert experiment_object.scans.keys() == known.scans.keys()
    assert connection.create_object(server.url + uri).label == "ANONYMIZ"


# 1.2.8 Downloading data


def test_S085_S168_S169_a_scan_as_a_zip(session: Any, tmp_path: Path) -> None:
    import zipfile

    experiment = session.projects["sandbox"].experiments["ANONYMIZ"]
    scan = experiment.scans["T1"]
    assert repr(scan) == f"<MrScanData T1 ({scan.id})>"
    scan.download(str(tmp_path / "T1.zip"))
    with zipfile.ZipFile(tmp_path / "T1.zip") as archive:
        assert len([name for name in archive.namelist() if name.endswith(".dcm")]) == 4


def test_S155_S170_S171_S174_a_subject_into_a_folder(session: Any, tmp_path: Path) -> None:
    experiment = session.projects["sandbox"].experiments["ANONYMIZ"]
    subject = experiment.subject
    assert subject.label == "ANONYMIZ"
    subject.download_dir(str(tmp_path))
    found = sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    )
    pattern = r"ANONYMIZ/ANONYMIZ/scans/[^/]+-(T1|FLAIR)/resources/DICOM/files/[^/]+\.dcm"
    assert len(found) == 8
    assert all(re.fullmatch(pattern, path) for path in found), found


# 1.2.9 Custom variables


def test_S143_S144_S145_S146_custom_variables(session: Any) -> None:
    experiment = session.projects["sandbox"].subjects["ANONYMIZ"].experiments["ANONYMIZ"]
    experiment.fields["brain_volume"] = 0
    assert repr(experiment.fields) == "<VariableMap {'brain_volume': '0'}>"
    assert experiment.fields["brain_volume"] == "0"
    experiment.fields["brain_volume"] = 42.0
    assert repr(experiment.fields) == "<VariableMap {'brain_volume': '42.0'}>"
    assert experiment.fields["brain_volume"] == "42.0"


# 1.2.10 External urls


def test_S149_S150_external_urls(session: Any, server: StandIn) -> None:
    experiment = session.projects["sandbox"].subjects["ANONYMIZ"].experiments["ANONYMIZ"]
    subject = experiment.subject
    path = f"/data/archive/projects/sandbox/subjects/{subject.id}/experiments/{experiment.id}"
    assert experiment.external_uri() == server.url + path
    host = server.url.partition("://")[2]
    shown = experiment.external_uri(scheme="test", query={"hello": "world"})
    assert shown == f"test://{host}{path}?hello=world"


# 1.2.11 Importing, 1.2.12 Prearchive


def test_S212_S213_S216_an_import_into_the_archive(session: Any, study_zip: Path) -> None:
    experiment = session.services.import_(
        str(study_zip), project="myproject", subject="test002", experiment="test002_MR"
    )
    assert repr(experiment) == f"<MrSessionData test002_MR ({experiment.id})>"
    assert sorted(scan.type for scan in experiment.scans.values()) == ["FLAIR", "T1"]
    assert experiment.subject.label == "test002"


def test_S215_S230_S233_S237_S238_an_import_by_way_of_the_prearchive(
    session: Any, study_zip: Path
) -> None:
    assert session.prearchive.sessions() == []
    prearchive_session = session.services.import_(
        str(study_zip), project="brainimages", destination="/prearchive"
    )
    shown = r"<PrearchiveSession brainimages/\d{8}_\d{9}/ANONYMIZ>"
    assert re.fullmatch(shown, str(prearchive_session))
    (waiting,) = session.prearchive.sessions()
    assert re.fullmatch(shown, str(waiting))
    assert sorted(scan.series_description for scan in waiting.scans) == ["FLAIR", "T1"]
    experiment = waiting.archive(subject="ANONYMIZ3", experiment="ANONYMIZ3")
    assert str(experiment) == f"<MrSessionData ANONYMIZ3 ({experiment.id})>"
    assert session.prearchive.sessions() == []


# 1.2.13 Object creation


def test_S156_S157_objects_are_made(session: Any) -> None:
    connection = session
    project = connection.projects["myproject"]
    subject = connection.classes.SubjectData(parent=project, label="new_subject_label")
    assert str(subject).startswith("<SubjectData new_subject_label")
    assert project.subjects["new_subject_label"].id == subject.id
    made = connection.classes.MrSessionData(parent=subject, label="new_MR")
    assert project.experiments["new_MR"].id == made.id
    with pytest.raises(XNATValueError, match="subject"):
        connection.classes.MrSessionData(parent=project, label="wrong_MR")
    new = connection.classes.ProjectData(parent=connection, name="tutorial_made")
    assert new.id in connection.projects


def test_S116_S158_all_classes_are_listed(session: Any) -> None:
    names = dir(session.classes)
    assert {"MrSessionData", "CtSessionData", "SubjectData", "ProjectData"} <= set(names)
    assert "scans" in dir(session.projects["sandbox"].experiments["ANONYMIZ"])


# 1.2.14 Files as local files


def first_file(connection: Any) -> Any:
    experiment = connection.projects["sandbox"].subjects["ANONYMIZ"].experiments["ANONYMIZ"]
    return experiment.scans["T1"].resources["DICOM"].files[0]


def test_S191_S196_S197_a_file_is_opened(session: Any) -> None:
    file_obj = first_file(session)
    assert re.fullmatch(r"<FileData (\S+\.dcm) \(\1\)>", repr(file_obj))
    with file_obj.open() as fin:
        data = fin.read(3000)
    assert len(data) == 3000


def test_S199_pydicom_reads_an_opened_file(session: Any) -> None:
    with first_file(session).open() as fin:
        data = pydicom.dcmread(fin, stop_before_pixels=True)
    assert str(data.PatientID) == "ANONYMIZ"


# 1.2.15 DICOM headers


def test_S201_S202_headers_from_the_server(session: Any) -> None:
    scan = session.projects["sandbox"].experiments["ANONYMIZ"].scans["T1"]
    dump = session.services.dicom_dump(scan.uri)
    assert dump == scan.dicom_dump()
    assert any(row["desc"] == "Patient ID" and row["value"] == "ANONYMIZ" for row in dump)


def test_S206_S207_headers_read_with_pydicom(session: Any) -> None:
    scan = session.projects["sandbox"].experiments["ANONYMIZ"].scans["T1"]
    header = scan.read_dicom()
    assert "PixelData" not in header
    whole = scan.read_dicom(read_pixel_data=True)
    assert len(whole.PixelData) == whole.Rows * whole.Columns * whole.BitsAllocated // 8


# 1.2.16 Re-using a login session


def test_S047_S048_S049_S052_S054_S055_a_shared_login(server: StandIn) -> None:
    connection = xnat.connect(server.url, user="admin", password="admin")
    connection2 = xnat.connect(server.url, jsession=connection.JSESSION, cli=True)
    assert re.fullmatch("[0-9A-F]{32}", connection2.JSESSION)
    assert connection2.JSESSION == connection.JSESSION
    connection2.disconnect()
    assert len(connection.projects["sandbox"].subjects) >= 2
    connection3 = xnat.connect(server.url, jsession=connection.JSESSION, cli=True)
    connection.disconnect()
    with pytest.raises(XNATAuthError):
        connection3.get("/data/projects")
    connection3.disconnect()


def test_S050_a_dead_login_is_an_error(server: StandIn) -> None:
    with pytest.raises(XNATAuthError):
        xnat.connect(server.url, jsession="0" * 32)


# 1.2.17 Example scripts


def run_example(server: StandIn, folder: Path, *further: str) -> list[str]:
    script = folder / "list_files.py"
    script.write_text(EXAMPLE)
    place = ["--project=sandbox", "--subject=ANONYMIZ", "--session=ANONYMIZ", "--scan=T1"]
    done = subprocess.run(
        [sys.executable, str(script), f"--xnathost={server.url}", *place, *further],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_S255_the_example_script(server: StandIn, session: Any, home: Path) -> None:
    scan = session.projects["sandbox"].experiments["ANONYMIZ"].scans["T1"]
    names = [file.name for file in scan.files.values()]
    assert run_example(server, home) == names
    assert run_example(server, home, "--filter=" + re.escape(names[0])) == names[:1]
