"""Four intakes at once against a server that misbehaves.

    python -m tests.chaos.intake --studies 200 --seed 1

Answers are dropped, 504 comes while the job runs, jobs fail, builds are slow; intakes and server
are killed with SIGKILL and started again. Afterwards every study is archived exactly once, whole,
or held with a reason, and nothing else is on the server.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.material import MadeStudy, cut, make_study, series_of, uid
from tests.chaos.intake_worker import PACE
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.dicom import read_header
from xnat_luigi.gate.running import retry
from xnat_luigi.intake.arrivals import make_images
from xnat_luigi.intake.ledger import DONE, FAILED, HELD, Ledger
from xnat_luigi.rest import contents, listings, prearchive
from xnat_luigi.standin import StandIn

HERE = Path(__file__).parents[2]
WORKERS = 4
SOUND, CUT, TAKEN = "sound", "cut", "label taken"


@dataclass
class Outcome:
    """What became of the studies, and what was done to them on the way."""

    archived: int = 0
    held: int = 0
    held_at_first: int = 0
    kills: int = 0
    restarts: int = 0
    passes: int = 0


@dataclass
class Chaos:
    """The folder, the server and the intakes of one run."""

    base: Path
    dice: random.Random
    kinds: dict[str, str] = field(default_factory=dict)
    made: dict[str, MadeStudy] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    port: int = 0
    server: subprocess.Popen[str] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # before -------------------------------------------------------------------------------------

    def prepare(self, studies: int) -> None:
        """Studies on disk, a project on the server, a login."""
        netrc = self.base / "netrc"
        netrc.write_text("machine 127.0.0.1\nlogin admin\npassword admin\n")
        netrc.chmod(0o600)
        os.environ["NETRC"] = str(netrc)
        with StandIn(self.base / "server", users={"admin": "admin"}) as server:
            server.add_project("P1")
            for number in range(studies):
                session = f"S{number:03d}_MR1"
                kind = {3: CUT, 4: TAKEN}.get(number % 6, SOUND)
                study = make_study(
                    self.base / "incoming" / session,
                    subject=f"S{number:03d}",
                    session=session,
                    series=series_of(("T1w", "T2w"), slices=2),
                    side=64,
                )
                if kind == CUT:
                    cut(study.files[1])
                if kind == TAKEN:
                    server.add_session("P1", "other", session, UID=uid("other", number))
                self.kinds[session], self.made[session] = kind, study

    # meanwhile ----------------------------------------------------------------------------------

    def start_server(self, *, calm: bool = False) -> None:
        seed = 0 if calm else self.dice.randrange(1, 1 << 30)
        words = [str(self.base / "server"), str(self.port), str(seed)]
        with (self.base / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.intake_server", *words],
                cwd=HERE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.server.stdout is not None
        said = self.server.stdout.readline().split()
        assert said and said[0] == "ready", "the server did not start"
        self.port = int(said[1])

    def kill_server(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.communicate()
            self.server = None

    def start_worker(self) -> None:
        words = [self.url, str(self.base / "incoming"), str(self.base / "state")]
        with (self.base / "workers.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.intake_worker", *words],
                cwd=HERE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.workers.append(worker)
        self.outcome.passes += 1

    def run(self, *, kills: int, restarts: int, longest: float) -> None:
        """So many kills and restarts, each at a moment of work; then the rest ends in peace."""
        end = time.monotonic() + longest
        server_dies = time.monotonic() + self.dice.uniform(0.5, 3.0)
        while time.monotonic() < end and not self.at_rest():
            self.workers = [one for one in self.workers if one.poll() is None]
            while len(self.workers) < WORKERS:
                self.start_worker()
            if self.outcome.kills < kills:
                self.kill_worker()
            if self.outcome.restarts < restarts and time.monotonic() > server_dies:
                self.kill_server()
                time.sleep(self.dice.uniform(0.0, 0.5))
                self.start_server()
                self.outcome.restarts += 1
                server_dies = time.monotonic() + self.dice.uniform(2.0, 6.0)
            time.sleep(0.1)
        for worker in self.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=60)
            worker.kill()
            worker.communicate()

    def kill_worker(self) -> None:
        """One of those that have begun, somewhere in its work."""
        victim = self.dice.choice(self.workers)
        assert victim.stdout is not None
        victim.stdout.readline()  # `begin`, or the end of one that ended
        time.sleep(self.dice.uniform(0.05, 1.2))
        if victim.poll() is None:
            self.outcome.kills += 1
        victim.kill()
        victim.communicate()
        self.workers.remove(victim)

    def at_rest(self) -> bool:
        stages = [entry.stage for entry in Ledger(self.base / "state").entries()]
        return len(stages) == len(self.kinds) and set(stages) <= {DONE, HELD}

    # afterwards ---------------------------------------------------------------------------------

    def check(self, conn: Connection, *, final: bool) -> None:
        """Every study once and whole, or held with a reason; nothing else.

        final: nothing but what is wrong in itself may still be held.
        """
        entries = {entry.key.session: entry for entry in Ledger(self.base / "state").entries()}
        assert set(entries) == set(self.kinds), "a study is not in the ledger"
        sessions = listings.list_sessions(conn, "P1")
        by_label = {one.label: one for one in sessions}
        assert len(by_label) == len(sessions), "a label occurs twice"
        uids = [one.uid for one in sessions]
        assert len(set(uids)) == len(uids), "a study occurs twice"
        rows = {row.name: row for row in prearchive.list_rows(conn)}
        for session, kind in self.kinds.items():
            entry, made = entries[session], self.made[session]
            mine = by_label.pop(session, None)
            row = rows.pop(session, None)
            if entry.stage == DONE:
                assert kind == SOUND and mine is not None and mine.uid == made.uid, session
                assert row is None, f"{session} is archived and its row is still there"
                self.check_files(conn, mine.id, made)
                continue
            assert entry.stage == HELD or not final, f"{session}: {entry.stage} {entry.detail}"
            assert entry.detail, f"{session} is held without a reason"
            if kind == TAKEN:
                assert mine is not None and mine.uid != made.uid, session
            if final:
                assert kind != SOUND, f"{session} is held: {entry.detail}"
                assert row is None, f"{session} has a row: {row}"
        assert not by_label and not rows, f"more is on the server: {by_label} {rows}"

    def check_files(self, conn: Connection, experiment: str, made: MadeStudy) -> None:
        """Every image, once, byte for byte."""
        wanted = {
            image.name: hashlib.md5(Path(image.path).read_bytes()).hexdigest()
            for image in make_images(read_header(path) for path in made.files)
        }
        files = [
            file
            for file in contents.list_session_files(conn, experiment)
            if file.resource_label == "DICOM"
        ]
        assert len(files) == len(wanted), f"{made.session}: {len(files)} files"
        assert {file.path: file.digest for file in files} == wanted, made.session
        assessors = listings.list_assessors(conn, experiment)
        assert [one.label for one in assessors] == [f"{made.session}_QC"], assessors


def chaos(
    studies: int, seed: int, say: Callable[[str], object], *, longest: float = 900.0
) -> Outcome:
    """One run; raises at the first thing that is not as promised."""
    base = Path(tempfile.mkdtemp(prefix="chaos-intake-"))
    before = os.environ.get("NETRC")
    one = Chaos(base, random.Random(seed))
    try:
        one.prepare(studies)
        one.start_server()
        one.run(kills=3 + studies, restarts=1 + studies // 8, longest=longest)
        one.kill_server()
        one.start_server(calm=True)
        conn = connection_for(one.url)
        one.check(conn, final=False)
        entries = Ledger(base / "state").entries()
        waiting = [entry for entry in entries if entry.stage in (HELD, FAILED)]
        one.outcome.held_at_first = len(waiting)
        say(f"after the chaos {len(waiting)} of {studies} wait; they are tried once more")
        retry(conn, str(base / "state"), waiting, pace=PACE)
        one.check(conn, final=True)
        stages = [entry.stage for entry in Ledger(base / "state").entries()]
        one.outcome.archived, one.outcome.held = stages.count(DONE), stages.count(HELD)
    except BaseException:
        say(f"everything of this run is kept in {base}")
        raise
    else:
        shutil.rmtree(base, ignore_errors=True)
    finally:
        close_all()
        one.kill_server()
        for worker in one.workers:
            worker.kill()
            worker.wait()
        if before is None:
            os.environ.pop("NETRC", None)
        else:
            os.environ["NETRC"] = before
    return one.outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    sys.stdout.write(f"seed {arguments.seed}\n")
    begin = time.monotonic()
    done = chaos(arguments.studies, arguments.seed, lambda line: sys.stdout.write(line + "\n"))
    sys.stdout.write(f"{done} in {time.monotonic() - begin:.0f} s: all right\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
