"""Downloads and copies killed at random moments: nothing half, and the same command completes."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.rest.contents import list_session_files
from xnat_luigi.rest.listings import list_experiments
from xnat_luigi.standin import StandIn

KILLS = int(os.environ.get("XNAT_LUIGI_KILLS", "4"))
SEED = 2026


@pytest.fixture
def site(standin: StandIn) -> StandIn:
    """Four sessions with files of some size."""
    for number in range(4):
        content = {f"{k}.dcm": os.urandom(60_000) for k in range(12)}
        standin.add_session(
            "P1",
            f"S{number}",
            f"S{number}_MR",
            scans={"1": {"type": "T1", "resources": {"DICOM": content}}},
        )
    return standin


@pytest.fixture
def other() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


def digests(server: StandIn, project: str) -> dict[tuple[str, str], str]:
    """The files of a project by session and path."""
    conn = Connection(Transport(server.url), Credentials("admin", "admin"))
    try:
        return {
            (one.label, file.path): file.digest
            for one in list_experiments(conn, project)
            for file in list_session_files(conn, one.id)
        }
    finally:
        conn.close()


def run_killed(words: list[str], after: float) -> int:
    """Run a command, kill it after some seconds unless it ends before; return its status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xnat_luigi.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait()


def how_long(words: list[str]) -> float:
    """Seconds of an undisturbed run."""
    begin = time.monotonic()
    assert run_killed(words, 120) == 0
    return time.monotonic() - begin


def test_D2_a_download_killed_at_any_moment(site: StandIn, netrc: Path, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    words = ["download", "--server", site.url, "--project", "P1", "--quiet", "--dest"]
    whole = how_long([*words, str(tmp_path / "first")])
    expected = digests(site, "P1")
    for number in range(KILLS):
        target = tmp_path / f"run{number}"
        run_killed([*words, str(target)], dice.uniform(0.3, 1.0) * whole)
        for path in target.rglob("*.dcm"):
            if not path.name.startswith("."):
                found = hashlib.md5(path.read_bytes()).hexdigest()
                assert found == expected[path.parts[-7], path.name], path
        assert run_killed([*words, str(target)], 120) == 0
        assert len(list(target.rglob("*.dcm"))) == 48
        assert not list(target.rglob(".*"))  # what the killed run left is swept


def test_D2_a_copy_killed_at_any_moment(site: StandIn, other: StandIn, netrc: Path) -> None:
    dice = random.Random(SEED)
    words = ["copy-project", "--source-host", site.url, "--source-project", "P1", "--quiet"]
    words += ["--dest-host", other.url, "--dest-project"]
    whole = how_long([*words, "FIRST"])
    expected = digests(site, "P1")
    for number in range(KILLS):
        run_killed([*words, f"RUN{number}"], dice.uniform(0.3, 1.0) * whole)
        assert run_killed([*words, f"RUN{number}"], 120) == 0
        assert digests(other, f"RUN{number}") == expected
