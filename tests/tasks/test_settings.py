"""Luigi's settings are changed where they would hide failures, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from luigi.configuration.cfg_parser import LuigiConfigParser

from xnat_luigi.tasks.settings import DEFAULTS, apply_defaults


def test_everything_open_is_set() -> None:
    config = LuigiConfigParser()
    made = apply_defaults(config)
    assert sorted(made) == sorted(f"{s}.{o}" for s, options in DEFAULTS.items() for o in options)
    assert config.get("retcode", "task_failed") == "1"
    assert apply_defaults(config) == []


def test_what_the_user_said_stays() -> None:
    config = LuigiConfigParser()
    config.read_string("[retcode]\ntask_failed = 30\n[scheduler]\nretry_count = 7\n")
    made = apply_defaults(config)
    assert "retcode.task_failed" not in made
    assert "scheduler.retry_count" not in made
    assert config.get("retcode", "task_failed") == "30"
    assert "retcode.missing_data" in made


FAILING = """
import luigi
import xnat_luigi.tasks


class Fails(luigi.Task):
    def run(self):
        raise ValueError("on purpose")


class Forgets(luigi.Task):
    def output(self):
        return luigi.LocalTarget("never-written")

    def run(self):
        pass


class Waits(luigi.Task):
    def requires(self):
        return Outside()


class Outside(luigi.ExternalTask):
    def output(self):
        return luigi.LocalTarget("never-there")
"""


def run_luigi(folder: Path, task: str, config: str = "") -> int:
    (folder / "failing.py").write_text(FAILING)
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    environ.pop("LUIGI_CONFIG_PATH", None)
    if config:
        (folder / "luigi.cfg").write_text(config)
    command = [sys.executable, "-m", "luigi", "--module", "failing", task, "--local-scheduler"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False)
    return done.returncode


@pytest.mark.parametrize(
    ("task", "status"),
    [("Fails", 1), ("Waits", 3)],
)
def test_plain_luigi_ends_with_a_status(tmp_path: Path, task: str, status: int) -> None:
    assert run_luigi(tmp_path, task) == status


def test_T2_an_output_that_is_not_there_after_run_is_a_failure(tmp_path: Path) -> None:
    assert run_luigi(tmp_path, "Forgets") == 1


def test_a_users_status_wins(tmp_path: Path) -> None:
    assert run_luigi(tmp_path, "Fails", "[retcode]\ntask_failed = 42\n") == 42
