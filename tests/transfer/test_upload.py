"""Files into a resource: how they travel, what counts as there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import XNATIOError, XNATUnsafeNameError, XNATUploadError, XNATValueError
from xnat_luigi.rest.contents import list_files, list_resources
from xnat_luigi.standin import StandIn
from xnat_luigi.transfer import upload
from xnat_luigi.transfer.upload import read_sendings, upload_files
from xnat_luigi.uris import Address


@pytest.fixture
def conn(standin: StandIn) -> Iterator[Connection]:
    connection = Connection(
        Transport(standin.url), Credentials("admin", "admin"), sleep=lambda seconds: None
    )
    yield connection
    standin.faults.clear()
    connection.close()


@pytest.fixture
def place(standin: StandIn) -> Address:
    return Address(experiment=standin.add_session("P1", "S1", "S1_MR", scans={"1": "T1"}), scan="1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"one")
    (root / "sub" / "b.txt").write_bytes(b"two")
    (root / "empty").write_bytes(b"")
    return root


def sent(standin: StandIn) -> list[str]:
    """What the PUTs of files were called."""
    return [
        one.path.partition("/files/")[2]
        for one in standin.requests
        if one.method == "PUT" and "/files/" in one.path
    ]


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("auto", ["upload.zip"]),
        ("archive", ["upload.zip"]),
        ("tar", ["upload.tar"]),
        ("tgz", ["upload.tar.gz"]),
        ("files", ["a.txt", "sub/b.txt", "upload.zip"]),
    ],
)
def test_A6_4_ways_to_travel(
    conn: Connection, place: Address, folder: Path, standin: StandIn, mode: str, names: list[str]
) -> None:
    done = upload_files(conn, place, "NEW", read_sendings(folder), mode=mode)
    assert sorted(done.sent) == ["a.txt", "empty", "sub/b.txt"]
    assert sent(standin) == names
    found = {one.path: one.size for one in list_files(conn, place, "NEW")}
    assert found == {"a.txt": 3, "empty": 0, "sub/b.txt": 3}


def test_one_file_travels_alone(
    conn: Connection, place: Address, folder: Path, standin: StandIn
) -> None:
    upload_files(conn, place, "NEW", read_sendings(folder, ["a.txt"]))
    upload_files(conn, place, "NEW", read_sendings(folder, ["empty"]))
    assert sent(standin) == ["a.txt", "upload.zip"]


def test_A6_4_many_bytes_travel_in_several_archives(
    conn: Connection,
    place: Address,
    folder: Path,
    standin: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload, "ARCHIVE_LIMIT", 4)
    done = upload_files(conn, place, "NEW", read_sendings(folder))
    assert len(done.sent) == 3 and sent(standin) == ["upload.zip", "upload.zip"]
    assert len(list_files(conn, place, "NEW")) == 3


def test_attributes_go_along(conn: Connection, place: Address, folder: Path) -> None:
    attributes = {"format": "TEXT", "content": "NOTES"}
    upload_files(conn, place, "NEW", read_sendings(folder), attributes=attributes)
    (resource,) = list_resources(conn, place)
    assert (resource.format, resource.content) == ("TEXT", "NOTES")


def test_progress_is_told(conn: Connection, place: Address, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    upload_files(
        conn, place, "NEW", read_sendings(folder), progress=lambda *both: told.append(both)
    )
    assert told[-1] == (6, 6)


def test_resuming_can_be_refused(conn: Connection, place: Address, folder: Path) -> None:
    upload_files(conn, place, "NEW", read_sendings(folder))
    with pytest.raises(XNATUploadError, match="already"):
        upload_files(conn, place, "NEW", read_sendings(folder), resume=False)
    again = upload_files(conn, place, "NEW", read_sendings(folder), resume=False, overwrite=True)
    assert len(again.sent) == 3 and again.kept == ()


def test_D6_what_is_no_regular_file_is_not_uploaded(
    conn: Connection, place: Address, folder: Path, standin: StandIn
) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(XNATValueError, match="no regular file"):
        read_sendings(folder)
    (folder / "link").unlink()
    with pytest.raises(XNATValueError, match="no file to upload"):
        read_sendings(folder / "nothing")
    with pytest.raises(XNATValueError, match="twice"):
        upload_files(conn, place, "NEW", read_sendings(folder) * 2)
    with pytest.raises(XNATValueError, match="none of"):
        upload_files(conn, place, "NEW", read_sendings(folder), mode="pigeon")
    (folder / "x_catalog.xml").write_text("<x/>")
    with pytest.raises(XNATUnsafeNameError, match="catalogs"):
        upload_files(conn, place, "NEW", read_sendings(folder))
    assert sent(standin) == []


def test_a_file_that_vanishes_meanwhile_is_an_error(
    conn: Connection, place: Address, folder: Path
) -> None:
    entries = read_sendings(folder)
    (folder / "a.txt").unlink()
    for mode in ("archive", "tgz"):
        with pytest.raises(XNATIOError, match=r"reading .*a\.txt failed"):
            upload_files(conn, place, "NEW", entries, mode=mode)


def test_a_file_that_changes_meanwhile_is_noticed(
    conn: Connection, place: Address, folder: Path
) -> None:
    entries = read_sendings(folder)
    (folder / "a.txt").write_bytes(b"two")
    with pytest.raises(XNATUploadError, match="other content"):
        upload_files(conn, place, "NEW", entries)


def test_many_files_take_one_request_and_little_time(
    conn: Connection, place: Address, tmp_path: Path, standin: StandIn
) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(500):
        (root / f"{number}.txt").write_bytes(b"%d" % number)
    entries = read_sendings(root)
    begin = time.process_time()
    done = upload_files(conn, place, "NEW", entries, mode="tgz")
    # The stand-in works in this process too; comparing each with each would take minutes.
    assert time.process_time() - begin < 10
    assert len(done.sent) == 500 and sent(standin) == ["upload.tar.gz"]
