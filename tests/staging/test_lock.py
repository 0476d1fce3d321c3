"""Locks: one holder, an owner with a name, freed by death."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from xnat_luigi.exceptions import XNATLockError
from xnat_luigi.staging.lock import POLL, read_owner, staged_lock


def test_a_lock_is_held_by_one_and_names_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.lock"
    with staged_lock(path, owner="sync of S1"):
        assert "sync of S1" in read_owner(path)
        said = r"process \d+ on .* \(sync of S1\).*run again"
        with pytest.raises(XNATLockError, match=said), staged_lock(path, timeout=0):
            pytest.fail("held twice")
    assert read_owner(path) == "an unknown process"
    with staged_lock(path, timeout=0):
        pass
    assert path.exists()  # a lock file is never removed while somebody may wait for it


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with pytest.raises(RuntimeError), staged_lock(path):
        raise RuntimeError
    with staged_lock(path, timeout=0):
        pass


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    order: list[str] = []
    held = threading.Event()
    release = threading.Event()

    def first() -> None:
        with staged_lock(path):
            held.set()
            release.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(10)
    threading.Timer(0.1, release.set).start()
    with staged_lock(path, timeout=10):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_L2_the_time_out_follows_the_given_clock(tmp_path: Path) -> None:
    def hours() -> Iterator[float]:
        yield from (n * 3600.0 for n in count())

    clock = hours()
    slept: list[float] = []
    path = tmp_path / "a.lock"
    with (
        staged_lock(path, owner="long work"),
        pytest.raises(XNATLockError, match="waited 7200 s"),
        staged_lock(path, timeout=7200, clock=lambda: next(clock), sleep=slept.append),
    ):
        pytest.fail("held twice")
    assert slept == [POLL]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"pid": 1}', "\0\0"])
def test_a_broken_owner_record_is_no_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.lock.owner").write_text(text)
    assert read_owner(tmp_path / "a.lock") == "an unknown process"


def test_the_owner_record_says_host_process_time_and_work(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with staged_lock(path, owner="w"):
        record = json.loads((tmp_path / "a.lock.owner").read_text())
    assert record.keys() == {"host", "pid", "since", "doing"}
