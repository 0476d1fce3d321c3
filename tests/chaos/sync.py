"""SIGKILL at random moments of a sync: `python -m tests.chaos.sync --kills 200 --seed 1`.

After every kill: a final name is whole or absent. After the rerun, which gets no help: the tree is
the server's, no part is left, nothing that was whole was fetched again, and there is nothing to do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

HERE = Path(__file__).parents[2]
WORKERS = 4


@dataclass
class Round:
    """What one destination went through: files that were whole after the last kill, and parts."""

    kills: int = 0
    whole: int = 0
    fetched: int = 0
    parts: int = 0


def content(*words: object, size: int) -> bytes:
    seed = hashlib.md5("/".join(map(str, words)).encode()).digest()
    return (seed * (size // 16 + 1))[:size]


def fill(server: StandIn, sessions: int, files: int, size: int) -> dict[str, str]:
    """A project; returns the MD5 of every file by its path on disk."""
    due = {}
    for number in range(sessions):
        label = f"E{number:03d}"
        dicom = {f"{n}.dcm": content(label, n, size=size + n) for n in range(files)}
        scans = {"1": {"type": "T1", "resources": {"DICOM": dicom}}}
        server.add_session(
            "P1", f"S{number % 3}", label, scans=scans, resources={"LOG": {"l": label}}
        )
        base = f"P1/S{number % 3}/{label}"
        for name, data in dicom.items():
            due[f"{base}/scans/1-T1/resources/DICOM/files/{name}"] = hashlib.md5(data).hexdigest()
        due[f"{base}/resources/LOG/files/l"] = hashlib.md5(label.encode()).hexdigest()
    return due


def check_names(root: Path, due: dict[str, str]) -> int:
    """Every final name is whole; returns how many there are."""
    count = 0
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if not path.is_file() or inside.parts[0] == ".xnat-luigi" or path.suffix == ".part":
            continue
        found = hashlib.md5(path.read_bytes()).hexdigest()
        assert due.get(inside.as_posix()) == found, f"{inside} is not whole under its final name"
        count += 1
    return count


def whole_parts(root: Path, due: dict[str, str]) -> int:
    """How many files lacked nothing but their name."""
    found = set()
    for path in root.rglob("*.part"):
        target = path.with_name(path.name[1:].rsplit(".", 2)[0]).relative_to(root).as_posix()
        if due.get(target) == hashlib.md5(path.read_bytes()).hexdigest():
            found.add(target)
    return len(found)


def start(url: str, root: Path, processes: int = 1) -> subprocess.Popen[str]:
    words = [url, "P1", str(root), str(WORKERS), str(processes)]
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.worker", *words],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stderr is not None
    said = run.stderr.readline()
    assert said == "begin\n", said + run.stderr.read()
    return run


def finish(run: subprocess.Popen[str]) -> dict[str, object]:
    out, said = run.communicate(timeout=300)
    assert run.returncode == 0, f"the rerun needed help: {said[-2000:]}"
    report = json.loads(out)
    assert isinstance(report, dict)
    return report


def one_round(
    url: str, root: Path, due: dict[str, str], waits: list[float], digests: bool, processes: int
) -> Round:
    """A destination: killed after each wait, then left to end.

    Of several processes only the first is killed, which must take the others along.
    """
    done = Round()
    for wait in waits:
        run = start(url, root, processes)
        time.sleep(wait)
        run.kill()
        run.communicate()  # returns when the last of its processes has closed the pipes
        done.kills += 1
        done.whole = check_names(root, due)
    done.parts = whole_parts(root, due) if digests else 0  # nothing could prove them
    report = finish(start(url, root))
    done.fetched = int(str(report["files"]))
    assert check_names(root, due) == len(due), "files are missing after the rerun"
    assert not list(root.rglob("*.part")), "parts are left after the rerun"
    assert done.fetched == len(due) - done.whole - done.parts, (
        f"{done.whole} + {done.parts} of {len(due)} files were whole, {done.fetched} were fetched"
    )
    report = finish(start(url, root))
    assert (report["files"], report["sessions"]) == (0, []), "there was still something to do"
    return done


def chaos(
    kills: int,
    seed: int,
    say: Callable[[str], object],
    *,
    sessions: int = 12,
    files: int = 20,
    size: int = 60_000,
    rate: int = 3_000_000,
    digests: bool = True,
) -> list[Round]:
    """Kill so many times, at moments that depend on the seed; raises at the first fault."""
    dice = random.Random(seed)
    base = Path(tempfile.mkdtemp(prefix="chaos-"))
    rounds: list[Round] = []
    before = os.environ.get("NETRC")
    try:
        with StandIn() as server:
            netrc = base / "netrc"
            netrc.write_text(
                f"machine {urlsplit(server.url).hostname}\nlogin admin\npassword admin\n"
            )
            netrc.chmod(0o600)
            os.environ["NETRC"] = str(netrc)
            server.preferences["checksums"] = digests
            due = fill(server, sessions, files, size)
            # A server of a few MB/s, so that the work lasts longer than the start of a program.
            server.faults.add(Fault(path="format=zip", drip=rate))
            run = start(server.url, base / "clean")
            begin = time.monotonic()
            finish(run)
            longest = time.monotonic() - begin
            while sum(one.kills for one in rounds) < kills:
                left = kills - sum(one.kills for one in rounds)
                count = min(left, dice.randint(1, 3))
                waits = [dice.uniform(0, longest / count) for _ in range(count)]
                root = base / f"round{len(rounds)}"
                processes = dice.randint(1, 3)
                rounds.append(one_round(server.url, root, due, waits, digests, processes))
                say(
                    f"seed {seed}, round {len(rounds)}: {processes} processes, "
                    f"killed after {waits}: {rounds[-1]}"
                )
                shutil.rmtree(root)
    finally:
        if before is None:
            os.environ.pop("NETRC", None)
        else:
            os.environ["NETRC"] = before
        shutil.rmtree(base, ignore_errors=True)
    return rounds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--no-digests", action="store_true", help="the server has no MD5s")
    arguments = parser.parse_args()
    sys.stdout.write(f"seed {arguments.seed}\n")
    rounds = chaos(
        arguments.kills,
        arguments.seed,
        lambda line: sys.stdout.write(line + "\n"),
        digests=not arguments.no_digests,
    )
    killed = sum(one.kills for one in rounds)
    midway = sum(one.whole > 0 for one in rounds)
    sys.stdout.write(f"{killed} kills in {len(rounds)} destinations ({midway} midway): all right\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
