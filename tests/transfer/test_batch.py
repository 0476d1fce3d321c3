"""Downloads chosen by patterns; the command for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_luigi.cli import main
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import XNATConnectionError, XNATNotFoundError, XNATValueError
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.transfer.batch import download_selected
from xnat_luigi.transfer.select import Selection


@pytest.fixture
def conn(standin: StandIn) -> Iterator[Connection]:
    connection = Connection(
        Transport(standin.url), Credentials("admin", "admin"), sleep=lambda seconds: None
    )
    yield connection
    standin.faults.clear()
    connection.close()


@pytest.fixture(autouse=True)
def site(standin: StandIn) -> StandIn:
    for project in ("P1", "P2", "OTHER"):
        for number in (1, 2):
            standin.add_session(
                project,
                f"S{number}",
                f"S{number}_MR",
                scans={
                    "1": {
                        "type": "T1",
                        "resources": {
                            "DICOM": {"1.dcm": b"one", "2.dcm": b"two", "3.dcm": b"three"},
                            "NII": {"a.nii": b"a"},
                        },
                    },
                    "2": {
                        "type": "T2 FLAIR",
                        "quality": "unusable",
                        "resources": {"DICOM": {"1.dcm": project.encode()}},
                    },
                },
                resources={"LOGS": {"log.txt": b"it ran"}},
                date=f"2024-0{number}-01",
            )
    return standin


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_everything_of_one_project(conn: Connection, tmp_path: Path) -> None:
    told: list[str] = []
    done = download_selected(conn, tmp_path, ["P1"], progress=told.append)
    assert (done.sessions, done.files, done.kept, done.failed) == (2, 12, 0, [])
    found = tree(tmp_path)
    assert found["P1/S1/S1_MR/scans/2-T2_FLAIR/resources/DICOM/files/1.dcm"] == b"P1"
    assert found["P1/S2/S2_MR/resources/LOGS/files/log.txt"] == b"it ran"
    assert len(found) == 12 and told == ["P1/S1/S1_MR", "P1/S2/S2_MR"]


@pytest.mark.parametrize(
    ("projects", "selection", "count"),
    [
        (["P*"], Selection(), 24),
        (["re:P[12]"], Selection(sessions=("re:S1_.*",)), 12),
        (["P1"], Selection(subjects=("S2",), resources=("DICOM", "NII")), 5),
        (["P1"], Selection(scans=("T1",), resources=("re:D.*",)), 6),
        (["P1"], Selection(scans=("re:T2.*",)), 2),
        (["P1", "P2"], Selection(resources=("LOGS",)), 4),
        (["P1"], Selection(qualities=("unusable",)), 2),
        (["P1"], Selection(since="2024-01-15", resources=("NII",)), 1),
        (["P1"], Selection(sessions=("NOPE",)), 0),
    ],
)
def test_patterns(
    conn: Connection, tmp_path: Path, projects: list[str], selection: Selection, count: int
) -> None:
    done = download_selected(conn, tmp_path, projects, selection)
    assert (done.files, done.failed) == (count, [])
    assert len(tree(tmp_path)) == count


def test_what_is_there_is_not_downloaded_again(
    conn: Connection, tmp_path: Path, standin: StandIn
) -> None:
    download_selected(conn, tmp_path, ["P1"])
    place = tmp_path / "P1/S1/S1_MR/resources/LOGS/files/log.txt"
    place.write_bytes(b"it ram")
    done = download_selected(conn, tmp_path, ["P1"])
    assert (done.files, done.kept) == (1, 11)
    assert place.read_bytes() == b"it ran"


def test_what_was_edited_here_moves_to_the_trash_and_is_named(
    conn: Connection,
    tmp_path: Path,
    standin: StandIn,
    netrc: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "data"
    download_selected(conn, root, ["P1"])
    inside = "P1/S1/S1_MR/resources/LOGS/files/log.txt"
    (root / inside).write_bytes(b"my words")
    standin.faults.add(Fault(path="LOGS|log.txt", flip=0))
    assert download_selected(conn, root, ["P1"]).displaced == []
    assert (root / inside).read_bytes() == b"my words"
    standin.faults.clear()
    words = ["download", "--server", standin.url, "--project", "P1", "--dest", str(root)]
    assert main(words) == 0
    assert f"{inside}: other than on the server" in capsys.readouterr().err
    assert (root / inside).read_bytes() == b"it ran"
    trash = root / ".xnat-luigi" / "trash"
    assert [one.read_bytes() for one in trash.rglob("log.txt")] == [b"my words"]


def test_N12_files_without_a_digest_are_counted(
    conn: Connection, tmp_path: Path, standin: StandIn
) -> None:
    standin.preferences["checksums"] = False
    standin.add_session("P1", "S3", "S3_MR", resources={"NEW": {"x.txt": b"x"}})
    done = download_selected(conn, tmp_path, ["P1"], Selection(resources=("NEW", "LOGS")))
    assert (done.files, done.unverified) == (3, 1)
    again = download_selected(conn, tmp_path, ["P1"], Selection(resources=("NEW", "LOGS")))
    assert (again.files, again.kept) == (1, 2)  # what cannot be proven is fetched again


def test_only_the_scans_asked_for_travel(
    conn: Connection, tmp_path: Path, standin: StandIn
) -> None:
    download_selected(conn, tmp_path, ["P1"], Selection(scans=("T1",), sessions=("S1*",)))
    (zipped,) = [one for one in standin.requests if "format=zip" in one.query]
    assert "/scans/1/resources/DICOM,NII/files" in zipped.path


def test_one_session_that_fails_is_named_and_the_rest_comes(
    conn: Connection, tmp_path: Path, standin: StandIn
) -> None:
    for found in (standin.root / "archive" / "P1").rglob("S1_MR/**/2.dcm"):
        found.unlink()
    done = download_selected(conn, tmp_path, ["P1"])
    ((place, reason),) = done.failed
    assert place == "P1/S1/S1_MR" and "2.dcm" in reason
    assert len(tree(tmp_path)) == 6
    standin.faults.add(Fault(path="/data/", reset=True))
    with pytest.raises(XNATConnectionError):
        download_selected(conn, tmp_path, ["P1"])


def test_nothing_that_fits_and_patterns_that_are_none(conn: Connection, tmp_path: Path) -> None:
    with pytest.raises(XNATNotFoundError, match="no project that fits Q"):
        download_selected(conn, tmp_path, ["Q*"])
    with pytest.raises(XNATNotFoundError):
        download_selected(conn, tmp_path, ["NOPE"])
    with pytest.raises(XNATValueError, match="no regular expression"):
        Selection(sessions=("re:(",))


def test_the_command(
    standin: StandIn, netrc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["download", "--server", standin.url, "--project", "P*", "--dest", str(tmp_path / "d")]
    assert main([*words, "--scans", "T1", "--resources", "DICOM"]) == 0
    shown = capsys.readouterr()
    assert "4 sessions: 12 files with 44 bytes downloaded, 0 were there" in shown.out
    assert "P1/S1/S1_MR" in shown.err
    assert main([*words, "--json", "--quiet", "--layout", "{project}/{session}/{path}"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["sessions"] == 4 and len(report["failed"]) == 4  # files of one name collide
    flat = ["--layout", "flat", "--resources", "LOGS", "--quiet"]
    assert main([*words, *flat]) == 1
    assert "log.txt is already that of P1/S1_MR: choose a layout" in capsys.readouterr().err
    assert main([*words[:-4], "--project", "NOPE*", "--dest", str(tmp_path)]) == 3
