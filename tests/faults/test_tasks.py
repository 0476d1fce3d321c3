"""Luigi over a server that misbehaves: rows T1, T2, T3, D3 and A6 of the fault matrix."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.material import make_study, series_of
from xnat_luigi.connection.registry import close_all
from xnat_luigi.standin import Fault, StandIn

SESSIONS = 6
BYTES = r"format=zip|\.dcm"
"""Requests for content, as zips or file by file."""


@pytest.fixture
def wanted(standin: StandIn, netrc: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Project P1 with six sessions of two images; MD5 by name of the images."""
    digests = {}
    for number in range(1, SESSIONS + 1):
        label = f"S{number}_MR1"
        made = make_study(
            tmp_path / "made" / label,
            subject=f"S{number}",
            session=label,
            series=series_of(["T1w"], slices=2),
            side=64,
        )
        files = {path.name: path.read_bytes() for path in made.files}
        scans: dict[str, Any] = {"1": {"type": "T1w", "resources": {"DICOM": files}}}
        standin.add_session("P1", f"S{number}", label, scans=scans)
        digests.update({name: md5(data) for name, data in files.items()})
    yield digests
    close_all()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def there(dest: Path) -> dict[str, str]:
    return {path.name: md5(path.read_bytes()) for path in dest.rglob("*.dcm")}


def leftovers(dest: Path) -> list[Path]:
    return list(dest.rglob("*.part"))


Sync = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def sync(standin: StandIn, tmp_path: Path) -> Sync:
    """Starts `luigi ... xnat.SyncProject` as a user does, with a netrc alone."""

    def start(*more: str, task: str = "xnat.SyncProject", workers: int = 2) -> Any:
        environ = {**os.environ, "XNAT_LUIGI_ATTEMPTS": "2"}
        for name in ("LUIGI_CONFIG_PATH", "XNAT_LUIGI_USER", "XNAT_LUIGI_PASSWORD"):
            environ.pop(name, None)
        command = [sys.executable, "-m", "luigi", "--module", "xnat_luigi.tasks", task]
        command += ["--server", standin.url, "--project", "P1", "--dest", str(tmp_path / "dest")]
        command += ["--local-scheduler", "--workers", str(workers), *more]
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def test_a_netrc_alone_is_enough(sync: Sync, wanted: dict[str, str], tmp_path: Path) -> None:
    status, said = finish(sync())
    assert status == 0, said
    assert there(tmp_path / "dest") == wanted
    assert "admin" not in re.sub(r"username=\w+", "", said)


def test_a_session_that_cannot_be_fetched_makes_the_status_non_zero(
    standin: StandIn, sync: Sync, wanted: dict[str, str], tmp_path: Path
) -> None:
    broken = standin.add_session("P1", "S3", "S3_MR1")
    standin.faults.add(Fault(method="GET", path=rf"/{broken}/.*(format=zip|\.dcm)", status=404))
    status, said = finish(sync())
    assert status == 1
    assert re.search(r"1 of 6 sessions of P1 could not be fetched: S3_MR1: .*404", said)
    got = there(tmp_path / "dest")
    assert got == {name: digest for name, digest in wanted.items() if "S3_MR1" not in name}
    assert leftovers(tmp_path / "dest") == []
    standin.faults.clear()
    status, said = finish(sync())
    assert status == 0, said
    assert there(tmp_path / "dest") == wanted


def test_T1_an_outage_in_complete_is_a_scheduling_error_and_nothing_runs(
    standin: StandIn, sync: Sync, wanted: dict[str, str], tmp_path: Path
) -> None:
    standin.faults.add(Fault(method="GET", path=r"/data/projects/P1", status=503))
    status, said = finish(sync())
    assert status == 5
    assert "Did not run any tasks" in said
    assert not any(re.search(BYTES, f"{r.path}?{r.query}") for r in standin.requests)
    assert there(tmp_path / "dest") == {}


FORGETFUL = """
from xnat_luigi.targets.resource import ResourceTarget
from xnat_luigi.tasks import XnatTask


class Forgets(XnatTask):
    def output(self):
        return ResourceTarget(self.server, self.project, "RESULT", experiment="S1_MR1")

    def run(self):
        pass
"""


def test_T2_what_is_incomplete_after_run_has_failed(
    standin: StandIn, wanted: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    done = luigi_once(
        tmp_path, "--module", "forgetful", "xnat.Forgets", "--server", standin.url, "--project=P1"
    )
    assert done.returncode == 1
    assert "complete() is still returning false" in done.stderr


def test_T2_an_upload_that_stored_nothing_has_failed(
    standin: StandIn, wanted: dict[str, str], tmp_path: Path
) -> None:
    standin.faults.add(Fault(method="PUT", path=r"/resources/UP/files/.*", status=200, body=""))
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "a.txt").write_text("a")
    words = ["--module", "xnat_luigi.tasks", "xnat.UploadResource", "--server", standin.url]
    words += ["--project", "P1", "--experiment", "S1_MR1", "--resource", "UP"]
    done = luigi_once(tmp_path, *words, "--source", str(tmp_path / "up"))
    assert done.returncode == 1
    assert "does not show" in done.stderr


def luigi_once(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs Luigi with one worker, modules of `folder` importable."""
    return subprocess.run(
        [sys.executable, "-m", "luigi", *words, "--local-scheduler"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def slow(standin: StandIn) -> None:
    standin.faults.add(Fault(method="GET", path=BYTES, drip=12_000))


def wait_for_first_file(standin: StandIn, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if any(fault.fired for fault in standin.faults):
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    pytest.fail("no file was asked for")


def child_of(pid: int) -> int:
    """The process of the running task."""
    for _ in range(200):
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        if found:
            return int(found[0])
        time.sleep(0.05)
    pytest.fail("the task has no process of its own")


@pytest.mark.parametrize("victim", ["task", "all"])
def test_T3_a_worker_killed_midway_leaves_nothing_half(
    standin: StandIn, sync: Sync, wanted: dict[str, str], tmp_path: Path, victim: str
) -> None:
    slow(standin)
    process = sync("--transfers", "2")
    wait_for_first_file(standin, process)
    child = child_of(process.pid)
    if victim == "all":
        process.kill()
    os.kill(child, signal.SIGKILL)
    status, _ = finish(process)
    assert status != 0
    half = there(tmp_path / "dest")
    assert half.items() <= wanted.items(), "whole or absent"
    standin.faults.clear()
    status, said = finish(sync())
    assert status == 0, said
    assert there(tmp_path / "dest") == wanted
    assert leftovers(tmp_path / "dest") == []
    copies = list((tmp_path / "dest").rglob("*.dcm"))
    assert len(copies) == len(wanted), "no duplicate"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_D3_a_stopped_task_gives_everything_back(
    standin: StandIn, sync: Sync, wanted: dict[str, str], tmp_path: Path, signum: signal.Signals
) -> None:
    slow(standin)
    process = sync("--transfers", "2")
    wait_for_first_file(standin, process)
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)  # a terminal's Ctrl-C reaches Luigi and its tasks
    else:
        os.kill(child_of(process.pid), signum)
    status, said = finish(process)
    assert status != 0, said
    assert leftovers(tmp_path / "dest") == []
    assert there(tmp_path / "dest").items() <= wanted.items()
    logins = sum(1 for r in standin.requests if r.path == "/data/services/auth")
    logouts = sum(1 for r in standin.requests if r.method == "DELETE" and "JSESSION" in r.path)
    assert logouts == logins, "every login is given back"
    standin.faults.clear()
    status, said = finish(sync())
    assert status == 0, said


ASKING = """
import luigi
from xnat_luigi.targets.resource import FileTarget
from xnat_luigi.tasks import XnatTask


class Read(XnatTask):
    number = luigi.IntParameter()
    dest = luigi.Parameter()

    def source(self):
        return FileTarget(self.server, "P1", "N", experiment="S1_MR1", path=f"{self.number}.txt")

    def complete(self):
        self.source().exists()  # the parent talks over its own connection before and between forks
        return self.output().exists()

    def output(self):
        return luigi.LocalTarget(f"{self.dest}/{self.number}.txt")

    def run(self):
        with self.source().open() as source, self.output().open("w") as copy:
            copy.write(source.read())


class All(luigi.WrapperTask):
    server, dest = luigi.Parameter(), luigi.Parameter()

    def requires(self):
        return [Read(self.server, "P1", number, self.dest) for number in range(40)]
"""


def test_A6_no_task_gets_the_answer_of_another(
    standin: StandIn, wanted: dict[str, str], tmp_path: Path
) -> None:
    files = {f"{number}.txt": f"content of {number}".encode() * 500 for number in range(40)}
    standin.add_session("P1", "S1", "S1_MR1", resources={"N": files})
    (tmp_path / "asking.py").write_text(ASKING)
    command = [sys.executable, "-m", "luigi", "--module", "asking", "All", "--server", standin.url]
    command += ["--dest", str(tmp_path / "copies"), "--local-scheduler", "--workers", "4"]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    copies = {path.name: path.read_bytes() for path in (tmp_path / "copies").iterdir()}
    assert copies == files


FORKSERVER = """
import multiprocessing, sys

if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")  # what Python 3.14 does on Linux
    from luigi.retcodes import run_with_retcodes

    run_with_retcodes(sys.argv[1:])
"""


def test_A6_tasks_work_where_processes_do_not_fork(
    standin: StandIn, netrc: Path, tmp_path: Path
) -> None:
    for label in ("A", "B"):
        scans = {"1": {"type": "T1w", "resources": {"DICOM": {f"{label}.dcm": b"bytes"}}}}
        standin.add_session("P2", label, f"{label}_MR1", scans=scans)
    (tmp_path / "started.py").write_text(FORKSERVER)
    (tmp_path / "steps.py").write_text(STEP)
    words = ["--module", "steps", "AllSizes", "--server", standin.url, "--project", "P2"]
    words += ["--stage", str(tmp_path / "stage"), "--local-scheduler", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "started.py", *words],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seals = [r for r in standin.requests if r.path.endswith("/SIZES/files/provenance.seal")]
    assert len(seals) == 2


STEP = """
from xnat_luigi.tasks import DerivedTask, EveryScan


class Sizes(DerivedTask):
    task_namespace = ""
    inputs = {"dicom": "DICOM"}
    result = "SIZES"

    def process(self, inputs, workdir):
        for path in inputs["dicom"].iterdir():
            (workdir / (path.name + ".txt")).write_text(str(path.stat().st_size))


class AllSizes(EveryScan):
    task_namespace = ""
    step = Sizes
"""
