"""SIGKILL at random moments of a processing run: `python -m tests.chaos.derived --kills 50`.

Sessions of real DICOM go through NIfTI, measures and table with four workers, and everything is
killed, workers too. After every kill: what claims to be current holds exactly the bytes of a run
that nobody disturbed. After the rerun, which gets no help: so does every result, nothing is there
twice, and there is nothing to do.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import luigi

from pipelines.material import make_study, series_of
from pipelines.nifti import ScanToNifti
from pipelines.quality import ScanQuality
from pipelines.table import ProjectTable
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.rest import listings
from xnat_luigi.standin import StandIn
from xnat_luigi.targets import snapshot
from xnat_luigi.tasks import Step
from xnat_luigi.tasks.condition import Condition

HERE = Path(__file__).parents[2]
WORKERS = 4

Outputs = dict[str, tuple[tuple[str, int | None, str], ...]]


@dataclass
class Round:
    """One server: how often its run was killed, and what was found there after each kill."""

    kills: int = 0
    found: Counter[str] = field(default_factory=Counter)


def fill(server: StandIn, folder: Path, sessions: int) -> None:
    """Project P1 with sessions of one short series; the same every time."""
    for number in range(1, sessions + 1):
        label = f"S{number}_MR1"
        made = make_study(
            folder / label,
            subject=f"S{number}",
            session=label,
            series=series_of(["T1w"], slices=2 + number % 2),
            side=64,
        )
        files = {path.name: path.read_bytes() for path in made.files}
        scans = {"1": {"type": "T1w", "resources": {"DICOM": files}}}
        server.add_session("P1", f"S{number}", label, scans=scans)


def start(url: str, stage: Path) -> subprocess.Popen[str]:
    """The run as a user starts it, in a group of its own."""
    command = [sys.executable, "-m", "luigi", "--module", "pipelines.table", "table.ProjectTable"]
    command += ["--server", url, "--project", "P1", "--stage", str(stage), "--local-scheduler"]
    return subprocess.Popen(
        [*command, "--workers", str(WORKERS)],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(run: subprocess.Popen[str]) -> None:
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, f"the rerun needed help:\n{said[-4000:]}"


def steps(url: str, sessions: int) -> Iterator[tuple[str, Step]]:
    """All steps of the project with a name that does not depend on IDs."""
    luigi.Task.clear_instance_cache()
    snapshot.forget()
    for number in range(1, sessions + 1):
        place = {"server": url, "project": "P1", "experiment": f"S{number}_MR1", "scan": "1"}
        yield f"NIFTI of {number}", ScanToNifti(**place)
        yield f"QUALITY of {number}", ScanQuality(**place)
    yield "MEASURES", ProjectTable(server=url, project="P1")


def look(url: str, sessions: int) -> tuple[Counter[str], Outputs]:
    """How the results stand, and the files of those that claim to be current."""
    found: Counter[str] = Counter()
    outputs: Outputs = {}
    for name, step in steps(url, sessions):
        result = step.look()
        found[result.condition.name] += 1
        if result.condition in (Condition.CURRENT, Condition.UNSEALED):
            assert result.record is not None
            outputs[name] = result.record.outputs.files
    close_all()
    return found, outputs


def count_assessors(url: str) -> Counter[str]:
    connection = connection_for(url)
    labels: Counter[str] = Counter()
    for session in listings.list_sessions(connection, "P1"):
        labels.update(one.label for one in listings.list_assessors(connection, session.id))
    close_all()
    return labels


@contextmanager
def login(base: Path, server: StandIn) -> Iterator[None]:
    """A netrc that fits the server, for this process and those it starts."""
    netrc = base / "netrc"
    netrc.write_text(f"machine {urlsplit(server.url).hostname}\nlogin admin\npassword admin\n")
    netrc.chmod(0o600)
    before = os.environ.get("NETRC")
    os.environ["NETRC"] = str(netrc)
    try:
        yield
    finally:
        close_all()
        if before is None:
            os.environ.pop("NETRC", None)
        else:
            os.environ["NETRC"] = before


def count_requests(server: StandIn) -> int:
    """How many requests the server has seen."""
    return sum(server.log.counts.values())


def undisturbed(base: Path, sessions: int) -> tuple[Outputs, int]:
    """What comes out of a run that nobody kills, and how many requests it takes."""
    with StandIn() as server, login(base, server):
        fill(server, base / "made", sessions)
        finish(start(server.url, base / "stage-clean"))
        asked = count_requests(server)
        _, due = look(server.url, sessions)
    assert len(due) == 2 * sessions + 1
    return due, asked


def kill_after(server: StandIn, run: subprocess.Popen[str], requests: int, more: float) -> bool:
    """Kills the whole group that many requests and seconds later; False when it ended before."""
    goal = count_requests(server) + requests
    while count_requests(server) < goal:
        if run.poll() is not None:
            finish(run)
            return False
        time.sleep(0.002)
    time.sleep(more)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    return True


def one_round(base: Path, sessions: int, due: Outputs, waits: list[tuple[int, float]]) -> Round:
    """A server whose run is killed after so many requests and seconds, then left to end."""
    done = Round()
    with StandIn() as server, login(base, server):
        fill(server, base / "made", sessions)
        stage = base / "stage"
        for requests, more in waits:
            done.kills += kill_after(server, start(server.url, stage), requests, more)
            found, outputs = look(server.url, sessions)
            done.found += found
            assert found["FOREIGN"] == found["STALE"] == found["DAMAGED"] == 0, found
            for name, files in outputs.items():
                assert files == due[name], f"{name} claims to be current and is not right"
        finish(start(server.url, stage))
        found, outputs = look(server.url, sessions)
        assert set(found) == {"CURRENT"}, f"after the rerun: {found}"
        assert outputs == due, "the results are not those of an undisturbed run"
        assert set(count_assessors(server.url).values()) == {1}, "an assessor is there twice"
        seen = len(server.requests)
        finish(start(server.url, stage))
        writes = [r.path for r in server.requests[seen:] if r.method == "PUT"]
        assert not [path for path in writes if "/files/" in path], "there was something to do"
    shutil.rmtree(stage, ignore_errors=True)
    return done


def chaos(kills: int, seed: int, say: Callable[[str], object], *, sessions: int = 4) -> list[Round]:
    """Kills so many times, at moments that depend on the seed; raises at the first fault."""
    dice = random.Random(seed)
    base = Path(tempfile.mkdtemp(prefix="chaos-"))
    rounds: list[Round] = []
    try:
        due, asked = undisturbed(base, sessions)
        say(f"undisturbed: {asked} requests for {len(due)} results")
        while sum(one.kills for one in rounds) < kills:
            waits: list[tuple[int, float]] = []
            left = asked
            for _ in range(min(kills - sum(one.kills for one in rounds), dice.randint(1, 3))):
                requests = int(dice.uniform(0.1, 0.9) * left)
                left -= requests
                waits.append((requests, dice.uniform(0, 0.05)))
            rounds.append(one_round(base, sessions, due, waits))
            when = ", ".join(str(requests) for requests, _ in waits)
            found = dict(rounds[-1].found)
            say(f"seed {seed}, round {len(rounds)}: killed after {when} requests: {found}")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return rounds


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sessions", type=int, default=4)
    arguments = parser.parse_args()

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    say(f"seed {arguments.seed}")
    rounds = chaos(arguments.kills, arguments.seed, say, sessions=arguments.sessions)
    found: Counter[str] = Counter()
    for one in rounds:
        found += one.found
    killed = sum(one.kills for one in rounds)
    say(f"{killed} kills in {len(rounds)} runs, then {dict(found)}: all right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
