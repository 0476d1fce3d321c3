"""A study's zip as a stream, and the digests of what was sent."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from pathlib import Path

import pytest

from tests.intake.conftest import Line
from xnat_luigi.exceptions import XNATIntegrityError
from xnat_luigi.intake import bringing
from xnat_luigi.intake.ahead import Background
from xnat_luigi.intake.arrivals import make_images
from xnat_luigi.intake.bringing import Sending


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


def test_N11_a_file_that_is_another_after_it_was_sent_is_no_digest_of_it(line: Line) -> None:
    with Sending(make_images(line.files)) as sending:
        stream = sending.stream()
        pieces = [next(stream)]
        victim = Path(sending.images[0].path)  # sent already: six small files are one piece
        data = bytearray(victim.read_bytes())
        data[-1] ^= 1
        victim.write_bytes(bytes(data))
        pieces += stream
        with pytest.raises(XNATIntegrityError, match="changed while it was sent"):
            _ = sending.md5
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None  # what was sent is whole, only not what lies here


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
