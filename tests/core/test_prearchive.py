"""The prearchive, the import service and other services, as people use them."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path
from typing import Any

import pytest

import xnat_luigi as xnat
from tests.rest.material import put_status, work_of
from tests.standin.objects import study_files, study_zip, tarred
from xnat_luigi.exceptions import (
    XNATConflictError,
    XNATForbiddenError,
    XNATNotFoundError,
    XNATObjectDestroyedError,
    XNATResponseError,
    XNATValueError,
)
from xnat_luigi.inspect import Inspect
from xnat_luigi.rest.records import PrearchiveRow
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.archiver import Failure
from xnat_luigi.standin.faults import Fault

from .conftest import asked

UID = "1.2.826.0.1.9"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip of two series with two and one objects."""
    path = tmp_path / "study.zip"
    path.write_bytes(study_zip(UID, {1: 2, 2: 1}, subject="IN1", session="IN1_MR"))
    return path


@pytest.fixture
def waiting(session: Any, archive: Path) -> Any:
    """A built session in the prearchive."""
    return session.services.import_(archive, project="P1", destination="/prearchive")


def row_of(waiting: Any) -> PrearchiveRow:
    """Where it is."""
    return PrearchiveRow(waiting.project, waiting.timestamp, waiting.folder_name)


def test_S230_S231_S232_looking_for_sessions(session: Any, waiting: Any, archive: Path) -> None:
    (found,) = session.prearchive.sessions()
    assert str(found) == f"<PrearchiveSession P1/{waiting.timestamp}/IN1_MR>" == str(waiting)
    assert session.prearchive.sessions("P2") == [] == session.prearchive.sessions(project="P2")
    assert len(session.prearchive.sessions(session.projects["P1"])) == 1
    for query in (
        {"project": "P1"},
        {"subject": "IN1"},
        {"session": "IN1_MR"},
        {"status": "READY"},
        {"project": "P1", "subject": "IN1", "session": "IN1_MR", "status": "READY"},
    ):
        assert len(session.prearchive.find(**query)) == 1, query
    for query in ({"project": "P2"}, {"subject": "X"}, {"session": "X"}, {"status": "ERROR"}):
        assert session.prearchive.find(**query) == [], query
    session.post(
        "/data/services/import",
        data=archive.read_bytes(),
        query={"import-handler": "DICOM-zip", "inbody": "true", "project": "P2"},
        headers={"Content-Type": "application/zip"},
    )
    assert len(session.prearchive.sessions()) == 1  # the other one still receives
    assert len(session.prearchive.find(status="RECEIVING")) == 1
    assert session.prearchive.caching and waiting.caching


def test_S234_S235_S236_what_a_session_tells(waiting: Any) -> None:
    assert waiting.id == f"P1/{waiting.timestamp}/IN1_MR"
    assert (waiting.project, waiting.subject, waiting.name) == ("P1", "IN1", "IN1_MR")
    assert (waiting.label, waiting.folder_name, waiting.status) == ("IN1_MR", "IN1_MR", "READY")
    assert (waiting.tag, waiting.autoarchive) == (UID, "Manual")
    assert waiting.prevent_anon is False and waiting.prevent_auto_commit is False
    assert isinstance(waiting.uploaded, datetime.datetime)
    assert isinstance(waiting.lastmod, datetime.datetime)
    assert waiting.scan_date == datetime.date(2022, 1, 18)
    assert waiting.scan_time == datetime.time(16, 41, 25)
    assert waiting.data["folderName"] == "IN1_MR" and waiting.fulldata["tag"] == UID
    assert isinstance(waiting.xpath, str)


def test_S242_S244_scans_and_files(waiting: Any) -> None:
    first, second = waiting.scans
    assert (first.id, first.series_description) == ("1", "series 1")
    assert str(second) == "<PrearchiveScan series 2 (2)>"
    assert sorted(one.name for one in first.files) == ["1-1.dcm", "1-2.dcm"]
    assert all(one.size > 500 for one in first.files)
    assert first.data["ID"] == "1" and first.fulldata == first.data


def test_S203_S210_S211_headers_before_archiving(waiting: Any) -> None:
    scan = waiting.scans[0]
    (found,) = scan.dicom_dump(fields=["PatientID"])
    assert found["value"] == "IN1_MR"
    assert scan.read_dicom().SeriesNumber == 1
    assert scan.read_dicom(file=scan.files[1], read_pixel_data=True).PixelData
    with scan.files[0].open() as opened:
        assert opened.read(132)[128:] == b"DICM"


def test_S243_downloads(waiting: Any, tmp_path: Path) -> None:
    for owner, count in ((waiting, 3), (waiting.scans[0], 2)):
        target = tmp_path / "x.zip"
        assert owner.download(str(target)) == str(target)
        with zipfile.ZipFile(target) as found:
            assert sum(name.endswith(".dcm") for name in found.namelist()) == count
    file = waiting.scans[0].files[0]
    assert file.download(str(tmp_path / "one.dcm")) == str(tmp_path / "one.dcm")
    assert (tmp_path / "one.dcm").stat().st_size == file.size


def test_S237_S238_archiving(session: Any, waiting: Any) -> None:
    made = waiting.archive(subject="OTHER", experiment="OTHER_MR")
    assert type(made).__name__ == "MrSessionData" and made.label == "OTHER_MR"
    assert made.subject.label == "OTHER"
    assert session.projects["P1"].experiments["OTHER_MR"].id == made.id
    assert {one.id for one in made.scans.listing} == {"1", "2"}
    with pytest.raises(XNATObjectDestroyedError):
        waiting.scans  # noqa: B018


def test_S238_archiving_into_another_project(session: Any, waiting: Any, site: StandIn) -> None:
    made = waiting.archive(project=session.projects["P2"], subject="S7")
    assert (made.project, made.label, made.subject.label) == ("P2", "IN1_MR", "S7")
    assert "IN1_MR" not in session.projects["P1"].experiments
    assert session.prearchive.sessions() == []
    moves = [one for one in site.requests if "action=move" in one.query]
    assert len(moves) == 1


def test_S239_overwriting_quarantine_and_pipelines(
    session: Any, waiting: Any, archive: Path
) -> None:
    made = waiting.archive(overwrite="none", quarantine=True, trigger_pipelines=False)
    assert session.get(f"{made.uri}/status").text.strip() == "quarantine"
    again = session.services.import_(archive, project="P1", destination="/prearchive")
    with pytest.raises(XNATConflictError, match="already exists"):
        again.archive()
    (found,) = session.prearchive.sessions()
    assert found.status == "CONFLICT"
    with pytest.raises(XNATConflictError, match="overwrite='append'"):
        found.archive()
    merged = found.archive(overwrite="append")
    assert merged.id == made.id and session.prearchive.sessions() == []
    with pytest.raises(XNATValueError, match="'none', 'append', 'delete'"):
        again.archive(overwrite="nonsense")


def test_S240_S241_S246_moved_rebuilt_deleted(session: Any, waiting: Any, site: StandIn) -> None:
    assert waiting.rebuild().status_code == 200
    assert waiting.status == "READY"
    assert waiting.move("P2").status_code == 301
    assert waiting.project == "P2" and len(session.prearchive.sessions("P2")) == 1
    assert waiting.rebuild(asynchronous=True).status_code == 200
    for _ in range(500):
        waiting.clearcache()
        if waiting.status == "READY":
            break
    assert waiting.move("P1", asynchronous=True).status_code == 200
    for _ in range(500):
        if session.prearchive.find(project="P1", status="READY"):
            break
    (found,) = session.prearchive.find(project="P1")
    assert found.delete().status_code == 200
    assert session.prearchive.sessions() == []
    with pytest.raises(XNATObjectDestroyedError):
        found.uri  # noqa: B018


def test_S240_a_locked_session_is_told(session: Any, waiting: Any, site: StandIn) -> None:
    put_status(site, row_of(waiting), "_ARCHIVING")
    with pytest.raises(XNATConflictError, match="locked"):
        waiting.rebuild()
    with pytest.raises(XNATConflictError, match="locked"):
        waiting.move("P2")
    with pytest.raises(XNATConflictError, match="locked"):
        waiting.delete(asynchronous=True)
    assert len(session.prearchive.sessions()) == 1


def test_S245_servers_without_the_route_of_one_session(
    session: Any, waiting: Any, site: StandIn
) -> None:
    row = row_of(waiting)
    path = f"/prearchive/projects/P1/{row.timestamp}/{row.folder}"
    site.faults.add(Fault(method="GET", path=rf"{path}\?format=json", status=404))
    waiting.clearcache()
    assert (waiting.subject, waiting.status) == ("IN1", "READY")
    site.faults.clear()
    waiting.delete()
    gone = type(waiting)(f"/data{path}", session)
    with pytest.raises(XNATNotFoundError, match="not in the prearchive any more"):
        gone.status  # noqa: B018


def test_S214_S216_S220_objects_as_well_as_names(
    session: Any, archive: Path, site: StandIn
) -> None:
    project = session.projects["P1"]
    made = session.services.import_(archive, project=project, subject=project.subjects["S2"])
    assert made.subject.id == project.subjects["S2"].id and made.label == "IN1_MR"
    again = session.services.import_(
        str(archive), overwrite="append", project=project, subject="S2", experiment=made
    )
    assert again.id == made.id


def test_S217_S218_S219_existing_data_quarantine_pipelines(session: Any, archive: Path) -> None:
    made = session.services.import_(
        archive, overwrite="none", quarantine=True, trigger_pipelines=False, project="P1"
    )
    assert session.get(f"{made.uri}/status").text.strip() == "quarantine"
    with pytest.raises(XNATConflictError):
        session.services.import_(archive, project="P1")
    (found,) = session.prearchive.sessions()
    assert found.status == "CONFLICT"  # it waits there for a decision
    with pytest.raises(XNATValueError, match="'none', 'append', 'delete'"):
        session.services.import_(archive, overwrite="maybe", project="P1")


def test_S215_the_destination_can_hold_the_names(session: Any, archive: Path) -> None:
    made = session.services.import_(
        archive, destination="/archive/projects/P1/subjects/X1/experiments/X1_MR"
    )
    assert (made.label, made.subject.label, made.project) == ("X1_MR", "X1", "P1")
    with pytest.raises(XNATValueError, match="begins neither"):
        session.services.import_(archive, destination="/elsewhere", project="P1")


def test_S213_an_unknown_project_is_told(session: Any, archive: Path) -> None:
    with pytest.raises(XNATResponseError, match="stored it elsewhere"):
        session.services.import_(archive, project="first")  # the name, not the ID


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.zip", "application/zip"),
        ("x.ZIP", "application/zip"),
        ("x.tar", "application/x-tar"),
        ("x.tar.gz", "application/x-gtar"),
        ("x.tgz", "application/x-gtar"),
        ("x.dcm", "application/dicom"),
        ("x.tar.zip", "application/zip"),
    ],
)
def test_S221_S222_content_types(session: Any, name: str, kind: str) -> None:
    assert session.services.guess_content_type(f"/some/{name}") == kind


def test_S222_zips_on_systems_that_call_them_otherwise(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mimetypes

    monkeypatch.setattr(
        mimetypes, "guess_type", lambda name: ("application/x-zip-compressed", None)
    )
    assert session.services.guess_content_type("x.zip") == "application/zip"


def test_S221_A8_a_gzipped_tar_is_not_sent_as_a_plain_one(session: Any, tmp_path: Path) -> None:
    path = tmp_path / "study.tar.gz"
    path.write_bytes(tarred(study_files(UID, {1: 1}, session="TGZ_MR"), "w:gz"))
    assert session.services.import_(path, project="P1").label == "TGZ_MR"
    plain = tmp_path / "other.bin"
    plain.write_bytes(study_zip("1.2.3.9", {1: 1}, session="BIN_MR"))
    made = session.services.import_(plain, project="P1", content_type="application/zip")
    assert made.label == "BIN_MR"


def test_S223_handlers(session: Any, archive: Path, tmp_path: Path) -> None:
    made = session.services.import_(archive, project="P1", import_handler="SI")
    assert type(made).__name__ == "PrearchiveSession"
    one = tmp_path / "one.dcm"
    one.write_bytes(next(iter(study_files("1.2.3.8", {1: 1}, session="ONE_MR").values())))
    single = session.services.import_(one, project="P1", import_handler="gradual-DICOM")
    assert single.label == "ONE_MR"
    with pytest.raises(XNATResponseError):
        session.services.import_(archive, project="P1", import_handler="nonsense")


@pytest.mark.parametrize("method", ["zip_file", "zip_memory"])
def test_S224_S225_a_folder(session: Any, tmp_path: Path, method: str) -> None:
    folder = tmp_path / "dicom" / "deep"
    folder.mkdir(parents=True)
    for name, data in study_files(UID, {1: 2}, session="DIR_MR").items():
        (folder / name).write_bytes(data)
    made = session.services.import_dir(tmp_path / "dicom", project="P1", method=method)
    assert made.label == "DIR_MR" and len(made.scans["1"].files) == 2
    with pytest.raises(XNATValueError, match="zip_memory"):
        session.services.import_dir(tmp_path, project="P1", method="pigeon")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(XNATValueError, match="no file"):
        session.services.import_dir(tmp_path / "nothing", project="P1")


def test_S226_S227_S228_S229_from_the_inbox_of_the_server(session: Any, site: StandIn) -> None:
    root = site.root / "inbox"
    site.preferences["inboxPath"] = str(root)
    folder = root / "P1" / "one"
    folder.mkdir(parents=True)
    for name, data in study_files(UID, {1: 1}).items():
        (folder / name).write_bytes(data)
    request = session.services.import_dicom_inbox(
        str(folder), project="P1", subject="IN1", experiment="IN1_MR"
    )
    for _ in range(500):
        if request.status in ("Processed", "Completed", "Failed"):
            break
    assert request.status == "Processed"
    assert (request.project_id, request.subject_id, request.username) == ("P1", "IN1", "admin")
    assert request.session_path == str(folder) and request.id in repr(request)
    assert request.cleanup_after_import is False and len(list(folder.iterdir())) == 1
    assert request.created and request.timestamp and isinstance(request.enabled, bool)
    with pytest.raises(XNATValueError, match="project"):
        session.services.import_dicom_inbox(str(folder))


def test_P3_a_failed_import_says_why(session: Any, archive: Path, site: StandIn) -> None:
    work_of(site).archiver.knobs.failure = Failure("ERROR", "The disk is on fire.")
    with pytest.raises(XNATResponseError, match="on fire"):
        session.services.import_(archive, project="P1")
    assert sum(one.endswith("/services/archive") for one in asked(site)) == 1


def test_S122_S123_users(session: Any) -> None:
    users = session.users
    assert {"admin", "reader"} == set(users) and len(users) == 2 and "admin" in users
    user = users["reader"]
    assert user.login == "reader" and user.id and user.data["login"] == "reader"
    assert isinstance(user.email, str) and isinstance(user.first_name + user.last_name, str)
    assert "reader" in repr(user)
    with pytest.raises(KeyError):
        users["nobody"]


def test_S247_S248_S249_tokens(session: Any, site: StandIn) -> None:
    token = session.services.issue_token()
    alias, secret = token
    assert token._fields == ("alias", "secret") and (token.alias, token.secret) == (alias, secret)
    assert secret not in repr(token)
    with xnat.connect(site.url, user=alias, password=secret) as other:
        assert "P1" in other.projects
    assert session.services.issue_token("reader").alias != alias
    reader = xnat.connect(site.url, user="reader", password="reader")
    with reader, pytest.raises(XNATForbiddenError):
        reader.services.issue_token("admin")


def test_S124_S125_types_and_fields(session: Any) -> None:
    inspect = Inspect(session)
    assert inspect.xnat_session is session
    assert "xnat:mrSessionData" in inspect.datatypes()
    assert set(inspect.datatypes("xnat:mr*")) <= set(inspect.datatypes())
    fields = inspect.datafields("xnat:mrSessionData")
    assert "xnat:mrSessionData/LABEL" in fields
    assert "LABEL" in inspect.datafields("xnat:mrSessionData", prepend_type=False)
    assert inspect.datafields("xnat:mrSessionData", pattern="LAB*") == ["xnat:mrSessionData/LABEL"]
    assert "xnat:mrSessionData/LABEL" in inspect.datatypes("xnat:mrS*", fields_pattern="L*")
    with pytest.raises(XNATNotFoundError):
        inspect.datafields("xnat:nothing")


def test_S121_scanners_and_scan_types(session: Any, experiment: Any) -> None:
    assert {"T1", "T2"} <= {str(one) for one in session.scan_types}
    experiment.set("scanner", "SCN1")
    session.clearcache()
    assert session.scanners is not None


def test_S242_scans_and_files_by_their_names_too(waiting: Any) -> None:
    assert waiting.scans["2"].series_description == "series 2" and waiting.scans[1].id == "2"
    assert waiting.scans.keys() == ["1", "2"] and len(waiting.scans.values()) == 2
    assert [key for key, _ in waiting.scans.items()] == ["1", "2"]
    files = waiting.scans["1"].files
    assert files["1-2.dcm"].size == files[1].size
    with pytest.raises(KeyError):
        waiting.scans["9"]


def test_S212_from_an_open_file_or_from_memory(session: Any, archive: Path) -> None:
    with archive.open("rb") as stream:
        made = session.services.import_(stream, project="P1", experiment="STREAM")
        assert not stream.closed
    assert made.label == "STREAM"
    content = study_zip("1.2.3.55", {1: 1}, session="BYTES")
    assert session.services.import_(None, data=content, project="P1").label == "BYTES"
    with pytest.raises(XNATValueError, match="neither path nor data"):
        session.services.import_(None, project="P1")
    with pytest.raises(XNATValueError, match="no file"):
        session.services.import_("/no/such/file.zip", project="P1")


def test_B1_3_what_is_no_dicom_can_be_left_out(session: Any, tmp_path: Path) -> None:
    files = {**study_files("1.2.3.66", {1: 1}, session="MIXED"), "readme.txt": b"not DICOM"}
    path = tmp_path / "mixed.tar"
    path.write_bytes(tarred(files))
    with pytest.raises(XNATResponseError, match="400"):
        session.services.import_(path, project="P2")
    made = session.services.import_(path, project="P1", ignore_unparsable=True)
    assert made.label == "MIXED" and len(made.scans["1"].files) == 1


def test_B4_2_straight_into_the_archive(session: Any, archive: Path) -> None:
    address = session.services.import_(archive, project="P1", direct_archive=True)
    assert address == f"/xapi/direct-archive/P1/{UID}/IN1_MR"
