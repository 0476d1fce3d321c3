"""Fault rows L1, D2 and D3 of a whole sync: several processes, and processes that die."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from ..sync.conftest import fetched, fill, tree

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


def wait_for(condition: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
