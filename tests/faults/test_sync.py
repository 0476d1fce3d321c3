"""Fault rows L1, D2 and D3 of a whole sync: several processes, and processes that die."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.sync import inventory, plan
from xnat_luigi.sync.apply import apply

from ..sync.conftest import content, fetched, fill, tree
from .test_staging import needs_mount

HERE = Path(__file__).parents[2]


def start(server: StandIn, root: Path, workers: int = 2) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.chaos.worker",
        server.url,
        "P1",
        str(root),
        str(workers),
    ]
    return subprocess.Popen(
        command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_L1_eight_processes_fetch_each_file_once(
    standin: StandIn, netrc: Path, tmp_path: Path
) -> None:
    fill(standin, 12)
    runs = [start(standin, tmp_path / "data") for _ in range(8)]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0] * 8, said
    reports = [json.loads(out) for out, _ in said]
    assert sum(report["files"] for report in reports) == 120
    times = Counter(fetched(standin))
    assert len(times) == 12  # a zip for each session
    assert set(times.values()) == {1}
    assert len(tree(tmp_path / "data")) == 120
    assert list((tmp_path / "data").rglob("*.part")) == []


def test_L1_who_comes_second_finds_it(standin: StandIn, netrc: Path, tmp_path: Path) -> None:
    fill(standin, 1)
    standin.faults.add(Fault(path="format=zip", delay=1.0, times=1))
    first = start(standin, tmp_path / "data")
    while not (tmp_path / "data").rglob("*.lock.owner"):
        time.sleep(0.01)
    second = start(standin, tmp_path / "data")
    reports = [json.loads(run.communicate(timeout=60)[0]) for run in (first, second)]
    assert sorted(report["files"] for report in reports) == [0, 10]
    assert len(fetched(standin)) == 1


def test_D2_a_killed_sync_leaves_whole_files_and_the_rerun_fetches_the_rest(
    standin: StandIn, netrc: Path, tmp_path: Path
) -> None:
    fill(standin, 6)
    root = tmp_path / "data"
    fault = standin.faults.add(Fault(path="E00004/resources/.*format=zip", hang=True, times=1))
    run = start(standin, root, workers=1)
    wait_for(lambda: fault.fired)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    standin.log.clear()
    done = start(standin, root)
    report = json.loads(done.communicate(timeout=60)[0])
    assert (done.returncode, report["files"], report["same"]) == (0, 30, 3)
    assert len(set(fetched(standin))) == 3
    assert len(tree(root)) == 60
    assert list(root.rglob("*.part")) == []


def test_D3_sigterm_frees_locks_parts_and_login(
    standin: StandIn, netrc: Path, tmp_path: Path
) -> None:
    fill(standin, 4)
    root = tmp_path / "data"
    standin.faults.add(Fault(path="format=zip", drip=500))
    command = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *facts: sys.exit(143))
from tests.chaos.worker import main
sys.exit(main({standin.url!r}, "P1", {str(root)!r}, "2"))
"""
    run = subprocess.Popen([sys.executable, "-c", command], cwd=HERE, stderr=subprocess.PIPE)
    wait_for(
        lambda: (
            any("format=zip" in str(one.query) for one in standin.requests)
            or list(root.rglob("*.part"))
        )
    )
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    assert run.returncode == 143
    assert list(root.rglob("*.part")) == []
    assert [one.method for one in standin.requests].count("DELETE") == 1  # logged out
    standin.faults.clear()
    again = start(standin, root)
    assert json.loads(again.communicate(timeout=60)[0])["exit_status"] == 0
    assert len(tree(root)) == 40


def test_N1_a_server_that_is_gone_is_not_asked_for_every_session(
    standin: StandIn, tmp_path: Path
) -> None:
    fill(standin, 9)
    slept: list[float] = []
    conn = Connection(Transport(standin.url), Credentials("admin", "admin"), sleep=slept.append)
    todo = plan.make(inventory.take(conn, "P1"), tmp_path / "data")
    standin.faults.add(Fault(path="/resources", status=503))
    report = apply(conn, todo, workers=1)
    standin.faults.clear()
    assert report.exit_status == 5
    assert len(report.failed) == 9
    said = [one.failed for one in report.sessions]
    assert all(": 503" in text for text in said), said
    assert [text.startswith("not tried") for text in said] == [False] * 3 + [True] * 6
    assert apply(conn, todo, workers=1).exit_status == 0
    conn.close()


@needs_mount
def test_D1_a_full_disk_ends_the_sync_and_room_completes_it(
    standin: StandIn, netrc: Path, tmp_path: Path
) -> None:
    for number in range(6):
        files = {f"{n}.dcm": content(number, n, size=100_000) for n in range(4)}
        standin.add_session("P1", "S0", f"E{number}", scans={"1": {"resources": {"DICOM": files}}})
    root = tmp_path / "disk"
    root.mkdir()
    worker = f'"{sys.executable}" -m tests.chaos.worker {standin.url} P1 "{root}" 1'
    script = (
        f'mount -t tmpfs -o size=1500k none "{root}" && cd "{HERE}" && '
        f'{worker} >"{tmp_path}/full"; '
        f'find "{root}" -name "*.dcm" -size +0 | wc -l; find "{root}" -name "*.part" | wc -l; '
        f'mount -o remount,size=8m "{root}" && {worker}'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=120
    )
    full = json.loads((tmp_path / "full").read_text())
    assert full["exit_status"] == 1
    failed = [one["failed"] for one in full["sessions"] if one["failed"]]
    assert "the disk is full: make room and run again" in failed[0]
    assert all(text.startswith("not tried, since") for text in failed[1:])
    whole, parts, report = done.stdout.split("\n", 2)
    assert int(whole) >= 8
    assert parts == "0"
    assert done.returncode == 0, done.stderr
    assert json.loads(report)["exit_status"] == 0


def wait_for(condition: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
