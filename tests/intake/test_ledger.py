"""The ledger: a history that survives kills, damage and two processes at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from xnat_luigi.exceptions import XNATLockError
from xnat_luigi.intake.keys import StudyKey
from xnat_luigi.intake.ledger import ARCHIVED, BUILT, FOUND, HELD, SENDING, Ledger, histories

SERVER = "http://127.0.0.1:8080"
KEY = StudyKey("P1", "1.2.3", "S1", "S1_MR1")


def test_a_history_grows_and_is_read_back(tmp_path: Path) -> None:
    moments = iter(datetime(2024, 6, 11, tzinfo=timezone.utc) + timedelta(s) for s in range(9))
    ledger = Ledger(tmp_path, now=lambda: next(moments))
    ledger.record(SERVER, KEY, FOUND, source="folder")
    ledger.record(SERVER, KEY, SENDING, "upload 1", sent={"a": "b"})
    entry = ledger.record(SERVER, KEY, SENDING, "upload 2", source=None)
    assert Ledger(tmp_path).read(SERVER, KEY) == entry
    assert [event.stage for event in entry.events] == [FOUND, SENDING, SENDING]
    assert entry.since == "2024-06-12T00:00:00.000+00:00"
    assert entry.facts == {"sent": {"a": "b"}} and entry.waits_for == "the server"
    assert entry.passed(FOUND) and not entry.passed(ARCHIVED)


def test_the_same_line_is_written_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.record(SERVER, KEY, HELD, "because")
    entry = ledger.record(SERVER, KEY, HELD, "because")
    assert len(entry.events) == 1 and entry.waits_for == "a human: because"


def test_an_unknown_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no stage"):
        Ledger(tmp_path).record(SERVER, KEY, "somewhere")


def test_keys_and_servers_are_kept_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    keys = [KEY, StudyKey("P1", "1.2.4", "S1", "S1_MR1"), StudyKey("P2", "1.2.3", "S1", "S1_MR1")]
    for server in (SERVER, SERVER + "/xnat"):
        for key in keys:
            ledger.record(server, key, FOUND)
    assert len(ledger.entries()) == 6
    assert len(ledger.entries(server=SERVER)) == 3
    assert len(ledger.entries(server=SERVER, project="P2")) == 1
    assert len(ledger.find("1.2.3")) == 4 and len(ledger.find("S1_MR1", project="P1")) == 4
    assert len(list(histories(ledger.entries()))) == 6


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', '{"version": 1}', "\0"])
def test_D5_a_damaged_entry_counts_as_absent(tmp_path: Path, text: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.record(SERVER, KEY, FOUND)
    ledger.place(SERVER, KEY).write_text(text)
    assert ledger.read(SERVER, KEY) is None and ledger.entries() == []
    assert ledger.record(SERVER, KEY, BUILT).stage == BUILT


def _record_many(root: Path, name: str) -> None:
    ledger = Ledger(root)
    for number in range(10):
        ledger.record(SERVER, KEY, SENDING, f"{name} {number}")


def test_two_processes_lose_no_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_record_many, args=(tmp_path, name)) for name in ("one", "two")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    entry = Ledger(tmp_path).read(SERVER, KEY)
    assert entry is not None
    assert {event.detail for event in entry.events} == {
        f"{name} {number}" for name in ("one", "two") for number in range(10)
    }


WRITER = """
import sys
from xnat_luigi.intake.keys import StudyKey
from xnat_luigi.intake.ledger import Ledger
ledger = Ledger(sys.argv[1])
print("ready", flush=True)
for number in range(100000):
    ledger.record("http://s", StudyKey("P1", "1.2.3", "S1", "S1_MR1"), "sending", f"line {number}")
"""


def test_D2_a_killed_writer_leaves_a_whole_entry(tmp_path: Path) -> None:
    for round_number in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.05 * (round_number + 1))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        entry = Ledger(tmp_path).read("http://s", KEY)
        assert entry is not None and entry.events
        assert Ledger(tmp_path).record("http://s", KEY, HELD, f"after {round_number}")


def test_L2_the_lock_names_its_holder(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with (
        ledger.lock(SERVER, KEY),
        pytest.raises(XNATLockError, match="S1_MR1"),
        ledger.lock(SERVER, KEY),
    ):
        pass
