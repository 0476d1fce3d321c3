"""SIGKILL before and after every request that changes the server: the next run needs no help.

T3 for the intake: nothing is lost, nothing is doubled, whatever was going on.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.intake.conftest import PROJECT, Line, small_study
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.gate.running import Settings, run_folder
from xnat_luigi.intake.ledger import DONE
from xnat_luigi.intake.pace import Pace
from xnat_luigi.rest import contents, listings
from xnat_luigi.standin import StandIn
from xnat_luigi.uris import Address

STEPS = (
    "POST /data/services/import",
    "POST /data/prearchive/projects/",
    "POST /data/services/validate-archive",
    "POST /data/services/archive",
    "PUT /data/experiments/XNAT_E00001/scans/1",
    "PUT /data/experiments/XNAT_E00001/assessors/",
    "PUT /data/experiments/XNAT_E00001/resources/QC",
    "POST /data/services/refresh",
)


@pytest.fixture
def line(standin: StandIn, netrc: Path, tmp_path: Path) -> Iterator[Line]:
    """A project, a study in a folder, a connection."""
    standin.add_project(PROJECT)
    yield Line(standin, connection_for(standin.url), small_study(tmp_path / "in"))
    close_all()


def settings(line: Line, tmp_path: Path) -> Settings:
    """With a word for quality that is not the server's own, so that it must be set."""
    policy = tmp_path / "policy.toml"
    policy.write_text('[default]\nquality_pass = "good"\n')
    return Settings(
        str(tmp_path / "state"),
        project=PROJECT,
        policy=str(policy),
        folder=str(line.made.folder),
        thumbnails=0,
    )


def run_and_die(url: str, netrc: str, wish: Settings, step: str, when: str) -> None:
    """The intake in a process of its own, which ends at a step."""
    os.environ["NETRC"] = netrc
    request = Connection.request

    def dying(self: Connection, method: str, path: str, **words: Any) -> Any:
        here = f"{method} {path}".startswith(step)
        if here and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = request(self, method, path, **words)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    Connection.request = dying  # type: ignore[method-assign]
    run_folder(connection_for(url), wish, workers=1, pace=Pace(first=0.02, longest=0.1))
    os._exit(0)  # the step was never reached


@pytest.fixture(scope="module")
def children() -> Any:
    """Children that start quickly and share nothing with this process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def die(children: Any, line: Line, wish: Settings, step: str, when: str) -> None:
    words = (line.server.url, os.environ["NETRC"], wish, step, when)
    child = children.Process(target=run_and_die, args=words)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL, f"{step} was not reached: {child.exitcode}"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_T3_killed_at_a_step(
    children: Any, line: Line, tmp_path: Path, step: str, when: str
) -> None:
    wish = settings(line, tmp_path)
    die(children, line, wish, step, when)
    (entry,) = run_folder(line.conn, wish, workers=1, pace=line.pace).entries
    assert entry.stage == DONE, entry.detail
    assert line.archived_once()
    assert line.imports == line.orders == 1
    experiment = entry.facts["experiment"]
    assert {scan.quality for scan in listings.list_scans(line.conn, experiment)} == {"good"}
    assert len(listings.list_assessors(line.conn, experiment)) == 1
    files = contents.list_files(line.conn, Address(experiment=experiment), "QC")
    assert {file.path for file in files} == {"S001_MR1.html", "S001_MR1.json"}
    assert "6 of 6 files" in entry.facts["proof"]


@pytest.mark.parametrize("step", [STEPS[0], STEPS[3], STEPS[5]])
def test_a_lost_ledger_costs_a_look_and_no_study(
    children: Any, line: Line, tmp_path: Path, step: str
) -> None:
    wish = settings(line, tmp_path)
    die(children, line, wish, step, "after")
    shutil.rmtree(tmp_path / "state")
    (entry,) = run_folder(line.conn, wish, workers=1, pace=line.pace).entries
    assert entry.stage == DONE, entry.detail
    assert line.archived_once() and line.imports == 1 and line.orders == 1
