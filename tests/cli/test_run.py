"""`xnat-luigi run`: a task with the shipped settings, and a status that says what became of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.standin import StandIn

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `xnat-luigi run` in a folder of the test."""

    def call(*words: str) -> Any:
        return subprocess.run(
            [str(Path(sys.executable).with_name("xnat-luigi")), "run", *words],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call


def test_a_task_of_ours_runs_with_a_netrc_alone(
    standin: StandIn, netrc: Path, command: Command, tmp_path: Path
) -> None:
    scans = {"1": {"type": "T1w", "resources": {"DICOM": {"1.dcm": b"bytes"}}}}
    standin.add_session("P1", "S1", "S1_MR1", scans=scans)
    words = ["xnat.SyncProject", "--server", standin.url, "--project", "P1"]
    done = command(*words, "--dest", str(tmp_path / "dest"))
    assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in (tmp_path / "dest").rglob("1.dcm")] == [b"bytes"]


FAILING = """
import luigi


class Fails(luigi.Task):
    def run(self):
        raise ValueError("on purpose")


class Waits(luigi.ExternalTask):
    def output(self):
        return luigi.LocalTarget("never-there")
"""


@pytest.mark.parametrize(("task", "status"), [("Fails", 1), ("Waits", 3), ("NoSuchTask", 2)])
def test_what_did_not_happen_is_told_by_the_status(
    command: Command, tmp_path: Path, task: str, status: int
) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    done = command("--module", "failing", task)
    assert done.returncode == status, done.stderr


def test_a_module_that_is_not_there_is_one_clear_error(command: Command) -> None:
    done = command("--module", "no_such_module", "Task")
    assert done.returncode != 0
    assert "no_such_module" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["xnat.Nope"], "No task xnat.Nope"),
        (["SyncProject"], "xnat.SyncProject"),
        (["xnat.SyncProject", "--server", "http://127.0.0.1:9"], "needs --project"),
        (["xnat.SyncProject", "--transfers", "many"], "many"),
    ],
)
def test_words_that_cannot_be_used_are_one_sentence(
    command: Command, words: list[str], said: str
) -> None:
    done = command(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "fault of the program" not in done.stderr


def test_help_about_a_task_is_no_failure(command: Command) -> None:
    done = command("xnat.SyncProject", "--help")
    assert done.returncode == 0
    assert "--project" in done.stdout
