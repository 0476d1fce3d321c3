"""Downloads and uploads of a session (sections 1.2.4 and 1.4.2), against the stand-in."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xnat_luigi
from xnat_luigi.exceptions import (
    XNATConnectionError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATPageError,
    XNATUnclearError,
    XNATUnsafeNameError,
    XNATUploadError,
    XNATValueError,
)
from xnat_luigi.session import transfers
from xnat_luigi.standin import Fault, StandIn

DATA = bytes(range(256)) * 8


@pytest.fixture
def session(standin: StandIn) -> Iterator[Any]:
    standin.add_project("P")
    standin.add_session(
        "P",
        "S",
        "E",
        scans={"1": {"type": "T1", "resources": {"R": {"a.bin": DATA, "sub/b.txt": b"text"}}}},
    )
    with xnat_luigi.connect(
        standin.url, user="admin", password="admin", no_parse_model=True
    ) as session:
        yield session


@pytest.fixture
def files(session: Any) -> str:
    """The address of the resource's files."""
    rows = session.get_json("/data/projects/P/experiments")["ResultSet"]["Result"]
    return f"{rows[0]['URI']}/scans/1/resources/R/files"


def listed(session: Any, files: str) -> dict[str, dict[str, str]]:
    rows = session.get_json(files)["ResultSet"]["Result"]
    return {row["URI"].partition("/files/")[2]: row for row in rows}


# Downloads ----------------------------------------------------------------------------------------


def test_S076_download_saves_a_file_and_gives_its_path(
    session: Any, files: str, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "a.bin"
    assert session.download(f"{files}/a.bin", target) == str(target)
    assert target.read_bytes() == DATA
    session.download(f"{session.server}{files}/sub/b.txt", str(target), verbose=False)
    assert target.read_bytes() == b"text"
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]


def test_S076_a_listing_is_saved_in_the_format_asked_for(
    session: Any, files: str, tmp_path: Path
) -> None:
    session.download("/data/projects", tmp_path / "p.csv", format="csv")
    assert (tmp_path / "p.csv").read_text().splitlines()[1].startswith("P,")
    session.download(files, tmp_path / "f.zip", format="zip")
    assert zipfile.is_zipfile(tmp_path / "f.zip")


def test_S077_a_zip_holds_all_files(session: Any, files: str, tmp_path: Path) -> None:
    assert session.download_zip(files, tmp_path / "f.zip") == str(tmp_path / "f.zip")
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        assert sorted(name.partition("/files/")[2] for name in archive.namelist()) == [
            "a.bin",
            "sub/b.txt",
        ]
        assert archive.testzip() is None


def test_S077_what_is_no_zip_is_refused(session: Any, files: str, tmp_path: Path) -> None:
    experiment = files.partition("/scans/")[0]
    with pytest.raises(XNATPageError, match="zip"):
        session.download_zip(experiment, tmp_path / "f.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_S079_the_stream_is_written_in_pieces_of_chunk_size(session: Any, files: str) -> None:
    sizes: list[int] = []

    class Target(io.BytesIO):
        def write(self, data: Any) -> int:
            sizes.append(len(data))
            return super().write(data)

    target = Target()
    session.download_stream(f"{files}/a.bin", target, chunk_size=600)
    assert target.getvalue() == DATA
    assert sizes == [600, 600, 600, 248]
    with pytest.raises(XNATValueError, match="chunk_size"):
        session.download_stream(f"{files}/a.bin", target, chunk_size=0)


def test_S080_progress_is_told_and_the_end_once(session: Any, files: str) -> None:
    told: list[tuple[int, int | None, bool]] = []
    session.download_stream(
        f"{files}/a.bin", io.BytesIO(), chunk_size=1024, update_func=lambda *a: told.append(a)
    )
    assert told == [(1024, 2048, False), (2048, 2048, False), (2048, 2048, True)]
    told.clear()
    session.download_stream(
        files, io.BytesIO(), format="zip", update_func=lambda *a: told.append(a)
    )
    assert {total for _, total, _ in told} == {None}
    assert [done for _, _, done in told].count(True) == 1


def test_S080_the_end_is_told_after_a_failure_too(
    session: Any, standin: StandIn, files: str
) -> None:
    standin.faults.add(Fault(method="GET", path=".*a.bin", cut=1000))
    told: list[tuple[int, int | None, bool]] = []
    with pytest.raises(XNATConnectionError):
        session.download_stream(
            f"{files}/a.bin",
            io.BytesIO(),
            chunk_size=100,
            update_func=lambda *a: told.append(a),
        )
    assert told[-1][1:] == (2048, True)
    assert [end for _, _, end in told].count(True) == 1


def test_S084_download_and_zip_show_progress_and_the_stream_does_not(
    session: Any, files: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int | None] = []

    def make(total: int | None) -> Any:
        made.append(total)
        return lambda *_: None

    monkeypatch.setattr(transfers, "default_update_func", make)
    session.download_stream(f"{files}/a.bin", io.BytesIO())
    assert made == []
    session.download(f"{files}/a.bin", tmp_path / "a")
    session.download_zip(files, tmp_path / "z")
    assert made == [2048, None]
    session.download(f"{files}/a.bin", tmp_path / "a", verbose=False)
    session.download_zip(files, tmp_path / "z", verbose=False)
    assert len(made) == 2


def test_S081_an_update_func_takes_the_place_of_the_bar(
    session: Any, files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int | None] = []

    def make(total: int | None) -> Any:
        made.append(total)
        return lambda *_: None

    monkeypatch.setattr(transfers, "default_update_func", make)
    session.download_stream(f"{files}/a.bin", io.BytesIO(), verbose=True)
    assert made == [2048]
    session.download_stream(
        f"{files}/a.bin", io.BytesIO(), verbose=True, update_func=lambda *_: None
    )
    assert made == [2048]


def test_N4_a_file_that_is_not_as_listed_is_not_kept(
    session: Any, standin: StandIn, files: str, tmp_path: Path
) -> None:
    standin.faults.add(Fault(method="GET", path=".*a.bin", flip=-1))
    with pytest.raises(XNATIntegrityError, match="MD5"):
        session.download(f"{files}/a.bin", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_N11_a_file_that_came_wrong_once_is_asked_for_again(
    session: Any, standin: StandIn, files: str, tmp_path: Path
) -> None:
    standin.faults.add(Fault(method="GET", path=".*a.bin", flip=-1, nth=1))
    session.download(f"{files}/a.bin", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA


def test_Z3_a_zip_that_was_cut_is_not_kept(
    session: Any, standin: StandIn, files: str, tmp_path: Path
) -> None:
    standin.faults.add(Fault(method="GET", path="format=zip", cut=300))
    with pytest.raises((XNATIntegrityError, XNATConnectionError)):
        session.download_zip(files, tmp_path / "z")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_file_that_is_not_there_leaves_nothing(session: Any, files: str, tmp_path: Path) -> None:
    with pytest.raises(XNATNotFoundError, match=r"none\.txt"):
        session.download(f"{files}/none.txt", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


# Uploads ------------------------------------------------------------------------------------------


def test_S086_upload_takes_files_paths_and_data(session: Any, files: str, tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(b"from a path")
    with path.open("rb") as file:
        session.upload(f"{files}/1.txt", file)
    session.upload(f"{files}/2.txt", str(path))
    session.upload(f"{files}/3.txt", path)
    session.upload(f"{files}/4.txt", "größe")
    session.upload(f"{files}/5.txt", b"bytes")
    read, write = os.pipe()
    os.write(write, b"piped")
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        session.upload(f"{files}/6.txt", pipe)
    expected = {
        "1.txt": b"from a path",
        "2.txt": b"from a path",
        "3.txt": b"from a path",
        "4.txt": "größe".encode(),
        "5.txt": b"bytes",
        "6.txt": b"piped",
    }
    for name, content in expected.items():
        assert session.get(f"{files}/{name}").content == content


def test_S092_text_and_binary_files_are_sent_as_they_are(
    session: Any, files: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.txt"
    path.write_text("größe\nzwei", encoding="utf-8")
    with path.open(encoding="utf-8") as text:
        session.upload(f"{files}/t.txt", text)
    with path.open("rb") as binary:
        binary.seek(3)
        session.upload(f"{files}/b.txt", binary)
    assert session.get(f"{files}/t.txt").content == path.read_bytes()
    assert session.get(f"{files}/b.txt").content == path.read_bytes()[3:]


def test_S087_upload_tries_again_after_a_failure(
    session: Any, standin: StandIn, files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(transfers.time, "sleep", waited.append)
    fault = Fault(method="PUT", path=".*/files/.*", status=503)
    standin.faults.add(fault)
    with pytest.raises(XNATUnclearError):
        session.upload(f"{files}/r.txt", b"x", retries=3)
    standin.faults.clear()
    assert "r.txt" not in listed(session, files)
    standin.faults.add(Fault(method="PUT", path=".*/files/.*", status=503, nth=1))
    session.upload(f"{files}/r.txt", io.BytesIO(b"whole"), retries=3, overwrite=True)
    assert session.get(f"{files}/r.txt").content == b"whole"


def test_S087_what_may_have_worked_is_not_sent_again_unless_it_replaces_itself(
    session: Any, standin: StandIn, files: str
) -> None:
    standin.faults.add(Fault(method="PUT", path=".*/files/.*", drop=True))
    standin.log.clear()
    with pytest.raises(XNATUnclearError):
        session.upload(f"{files}/once.txt", b"x", retries=5)
    assert [one.method for one in standin.requests].count("PUT") <= 1
    standin.faults.clear()
    assert "once.txt" in listed(session, files)


def test_S088_S091_type_and_query_of_an_upload(session: Any, standin: StandIn, files: str) -> None:
    standin.log.clear()
    session.upload(f"{files}/q.txt", b"x", query={"content": "NOTES", "tags": "a"})
    row = listed(session, files)["q.txt"]
    assert row["file_content"] == "NOTES"
    sent = next(one for one in standin.requests if one.method == "PUT")
    assert "content=NOTES" in sent.query
    session.upload(f"{files}/q2.txt", b"x", content_type="text/plain")
    assert session.get(f"{files}/q2.txt").content == b"x"


def test_S089_upload_puts_or_posts(session: Any, standin: StandIn, files: str) -> None:
    standin.log.clear()
    session.upload(f"{files}/a1.txt", b"x")
    session.upload(f"{files}/a2.txt", b"x", method="post")
    assert [one.method for one in standin.requests if one.method != "GET"] == ["PUT", "POST"]
    assert {"a1.txt", "a2.txt"} <= set(listed(session, files))
    with pytest.raises(XNATValueError, match="patch"):
        session.upload(f"{files}/a3.txt", b"x", method="patch")


def test_S090_what_is_there_is_replaced_with_overwrite_only(session: Any, files: str) -> None:
    with pytest.raises(XNATUploadError, match=r"a\.bin.*overwrite"):
        session.upload(f"{files}/a.bin", b"new")
    assert session.get(f"{files}/a.bin").content == DATA
    session.upload(f"{files}/a.bin", b"new", overwrite=True)
    assert session.get(f"{files}/a.bin").content == b"new"


def test_an_empty_file_is_refused_before_it_is_sent(
    session: Any, standin: StandIn, files: str
) -> None:
    standin.log.clear()
    with pytest.raises(XNATUploadError, match="upload_dir"):
        session.upload(f"{files}/empty.txt", b"")
    assert [one for one in standin.requests if one.method == "PUT"] == []


def test_what_cannot_be_sent_is_refused(session: Any, files: str, tmp_path: Path) -> None:
    with pytest.raises(XNATValueError, match="int"):
        session.upload(f"{files}/n.txt", 5)
    with pytest.raises(FileNotFoundError):
        session.upload(f"{files}/n.txt", tmp_path / "missing")


@pytest.mark.parametrize("name", ["new#.txt", "50%25.txt", "a;b.txt", "x_catalog.xml"])
def test_T4_a_name_that_would_not_stay_is_refused_before_it_is_sent(
    session: Any, standin: StandIn, files: str, name: str
) -> None:
    before = len(standin.requests)
    with pytest.raises(XNATUnsafeNameError):
        session.upload(f"{files}/{name}", b"bytes")
    assert len(standin.requests) == before


def test_an_upload_without_the_right_to_edit_is_an_error(
    session: Any, standin: StandIn, files: str
) -> None:
    session.put("/data/projects/P/accessibility/public")
    with (
        xnat_luigi.connect(standin.url, "reader", "reader", no_parse_model=True) as other,
        pytest.raises(XNATUploadError, match="right to edit"),
    ):
        other.upload(f"{files}/mine.txt", b"bytes")
