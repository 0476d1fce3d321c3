"""Reading ahead changes nothing but the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.intake.ahead import read_ahead


@given(st.lists(st.binary(max_size=20)), st.integers(1, 5))
def test_the_pieces_come_in_order(pieces: list[bytes], depth: int) -> None:
    assert list(read_ahead(iter(pieces), depth=depth)) == pieces


def test_an_error_comes_where_its_piece_was_due() -> None:
    def source() -> Iterator[bytes]:
        yield b"one"
        raise ZeroDivisionError("two")

    pieces = read_ahead(source())
    assert next(pieces) == b"one"
    with pytest.raises(ZeroDivisionError, match="two"):
        next(pieces)


def test_the_source_is_at_most_so_far_ahead() -> None:
    made: list[int] = []

    def source() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            yield b"x"

    pieces = read_ahead(source(), depth=3)
    next(pieces)
    time.sleep(0.2)
    assert 3 <= len(made) <= 6
    pieces.close()  # type: ignore[attr-defined]


def test_closing_ends_thread_and_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 10
        finally:
            closed.set()

    before = threading.active_count()
    pieces = read_ahead(source())
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert closed.is_set() and threading.active_count() == before
