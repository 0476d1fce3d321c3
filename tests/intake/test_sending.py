"""A study's zip as a stream, and the digests of what was sent."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from pathlib import Path

import pytest

from tests.intake.conftest import Line
from xnat_luigi.intake import bringing
from xnat_luigi.intake.ahead import Background
from xnat_luigi.intake.arrivals import make_images
from xnat_luigi.intake.bringing import Sending, bring_in


def due(sending: Sending) -> dict[str, str]:
    return {
        image.name: hashlib.md5(Path(image.path).read_bytes()).hexdigest()
        for image in sending.images
    }


@pytest.mark.parametrize("later", [1 << 30, 0], ids=["hashed afterwards", "hashed on the way"])
def test_the_digests_are_those_of_what_was_sent(
    line: Line, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    monkeypatch.setattr(bringing, "LATER", later)
    told: list[tuple[int, int]] = []
    with Sending(
        make_images(line.files), progress=lambda done, every: told.append((done, every))
    ) as sending:
        sent = b"".join(sending.stream())
        assert sending.md5 == due(sending)
    with zipfile.ZipFile(io.BytesIO(sent)) as archive:
        held = {name: hashlib.md5(archive.read(name)).hexdigest() for name in archive.namelist()}
    assert held == due(sending)
    assert told[-1] == (sending.size, sending.size)


@pytest.mark.parametrize("gone", [False, True])
def test_N11_a_file_that_is_another_after_it_was_sent_has_no_digest(
    line: Line, gone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with Sending(make_images(line.files)) as sending:
        right = due(sending)
        stream = sending.stream()
        pieces = [next(stream)]
        first = sending.images[0]
        victim = Path(first.path)  # sent already: six small files are one piece
        data = bytearray(victim.read_bytes())
        data[-1] ^= 1
        victim.write_bytes(bytes(data))
        if gone:
            victim.unlink()
        pieces += stream
        assert sending.md5 == right | {first.name: ""}
    assert str(victim) in caplog.text
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None  # what was sent is whole, only not what lies here


def test_N11_a_study_whose_file_changes_meanwhile_is_brought_once(line: Line) -> None:
    """What was sent is what is archived: it is neither lost nor sent again."""
    victim = Path(line.files[0].path)

    def spoil(done: int, every: int) -> None:
        if done == every:
            data = bytearray(victim.read_bytes())
            data[-1] ^= 1
            victim.write_bytes(bytes(data))

    brought = bring_in(line.conn, line.key, line.files, pace=line.pace, progress=spoil)
    assert sorted(brought.sent.values()).count("") == 1
    assert line.rows() == [("S001_MR1", "READY")]
    assert line.imports == 1


def test_an_answer_before_the_end_of_the_zip_still_gives_all_digests(line: Line) -> None:
    """A server may answer when it has the last image, and not wait for the directory."""
    with Sending(make_images(line.files)) as sending:
        stream = sending.stream()
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert set(sending.md5) == {image.name for image in sending.images}
        known = {name: md5 for name, md5 in sending.md5.items() if md5}
        assert known.items() <= due(sending).items()
        assert known


def test_leaving_ends_the_hashing(line: Line) -> None:
    before = threading.active_count()
    with Sending(make_images(line.files)) as sending:
        list(sending.stream())
    assert threading.active_count() == before


def test_what_nobody_waits_for_any_more_ends() -> None:
    began = threading.Event()

    def work(over: object) -> str:
        began.set()
        while not over():  # type: ignore[operator]
            pass
        return "left"

    one = Background(work)
    assert began.wait(10)
    one.stop()
    assert one.result() == "left"


def test_an_error_of_the_work_is_raised_where_its_result_is_wanted() -> None:
    def work(over: object) -> str:
        raise OSError("the disk is gone")

    one = Background(work)
    with pytest.raises(OSError, match="the disk is gone"):
        one.result()
    one.stop()
