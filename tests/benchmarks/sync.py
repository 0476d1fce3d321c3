"""A sync beside `curl`, `unzip` and `md5sum`, and beside the official client, on real DICOM.

    python -m tests.benchmarks sync [--sessions 100] [--rounds 3] [--full]

All tools fetch the same project from the same stand-in on this machine with the same parallelism;
rounds are interleaved and medians are shown, with the server's own processor time, which is part of
every wall time where processors are few. Exit status 1 where a bound is not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from xnat_luigi.sync.crew import count_processors

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / ".venv-peers" / "bin" / "python"
OURS = [sys.executable, "-m", "xnat_luigi.cli"]
PROJECT = "BENCH"


@dataclass
class Run:
    """One measurement: seconds on the clock, of processors (ours, the server's), peak memory."""

    wall: float
    cpu: float
    server: float
    peak: float


@dataclass
class Row:
    """A line of the table."""

    what: str
    value: str
    beside: str = ""
    bound: str = ""
    kept: bool | None = None


@dataclass
class Bench:
    """A server with a project, and a folder for what is fetched."""

    folder: Path
    sessions: int
    files: int
    size: int
    workers: int
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.sync_server_worker"]
        words = [str(self.sessions), str(self.files), str(self.size)]
        self.server = subprocess.Popen(
            command + words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        facts = self.hear()
        self.url, self.bytes = str(facts["url"]), int(str(facts["bytes"]))
        netrc = self.folder / "netrc"
        host = urlsplit(self.url).hostname
        netrc.write_text(f"machine {host}\nlogin admin\npassword admin\n")
        netrc.chmod(0o600)
        self.environment = {**os.environ, "NETRC": str(netrc), "HOME": str(self.folder)}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def hear(self) -> dict[str, object]:
        assert self.server.stdout is not None
        found = json.loads(self.server.stdout.readline())
        return found if isinstance(found, dict) else {"value": found}

    def tell(self, words: str) -> dict[str, object]:
        assert self.server.stdin is not None
        self.server.stdin.write(words + "\n")
        self.server.stdin.flush()
        return self.hear()

    def stop(self) -> None:
        self.server.communicate("stop\n", timeout=60)

    def server_cpu(self) -> float:
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self, command: list[str]) -> Run:
        """Run a command to its end, and say what it cost."""
        before, begin = self.server_cpu(), time.monotonic()
        child = subprocess.Popen(
            command,
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - begin
        if status:
            raise SystemExit(f"{' '.join(command)[:200]} failed: {said.decode()[-2000:]}")
        peak = used.ru_maxrss / 1024
        return Run(wall, used.ru_utime + used.ru_stime, self.server_cpu() - before, peak)

    def sync(self, dest: Path) -> Run:
        words = ["sync", "--server", self.url, "--project", PROJECT, "--dest", str(dest)]
        return self.measure([*OURS, *words, "--workers", str(self.workers), "--cap", "0"])

    def curl(self, dest: Path, *, whole: bool) -> Run:
        """Zips of all sessions; with `whole` also unpacked and hashed, and the zips removed."""
        dest.mkdir(parents=True)
        step = (
            'curl -sf -b "$JAR" -o "$DEST/$1.zip" '
            '"$URL/data/experiments/$1/files?all=true&format=zip"'
        )
        if whole:
            step += (
                ' && unzip -q "$DEST/$1.zip" -d "$DEST" && rm "$DEST/$1.zip"'
                ' && curl -sf -b "$JAR" -o /dev/null'
                ' "$URL/data/experiments/$1/files?all=true&format=json"'
            )
        script = f"""
set -e
export JAR="$3" DEST="$2" URL="$1"
curl -sf -c "$JAR" -n --netrc-file "$NETRC" "$URL/data/JSESSION" >/dev/null
curl -sf -b "$JAR" "$URL/data/projects/{PROJECT}/experiments?format=csv&columns=ID" |
  grep -o 'XNAT_E[0-9]*' | sort -u |
  xargs -P {self.workers} -n 1 sh -c '{step}' -
"""
        if whole:
            script += f'\nfind "$DEST" -type f -print0 | xargs -0 -P {self.workers} -n 200 md5sum'
        return self.measure(["bash", "-c", script, "-", self.url, str(dest), f"{dest}.jar"])

    def official(self, dest: Path) -> Run:
        worker = Path(__file__).with_name("sync_peer_worker.py")
        return self.measure(
            [str(PEER), str(worker), self.url, PROJECT, str(dest), str(self.workers)]
        )


def interleaved(
    bench: Bench, tools: dict[str, Callable[[Path], Run]], rounds: int
) -> dict[str, Run]:
    """Medians of the tools, each round in another order and into a fresh folder.

    Nothing is removed between the rounds: ext4 makes new files slowly for minutes after many were
    removed, as it looks for inodes that were not in use of late.
    """
    found: dict[str, list[Run]] = {name: [] for name in tools}
    names = list(tools)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            dest = bench.folder / f"{name}{number}"
            os.sync()
            found[name].append(tools[name](dest))
    return {
        name: Run(
            *(statistics.median(getattr(one, part) for one in runs) for part in Run.__annotations__)
        )
        for name, runs in found.items()
    }


def first_sync(bench: Bench, rounds: int, name: str, peers: float) -> list[Row]:
    """The first sync of all sessions beside the others."""
    tools: dict[str, Callable[[Path], Run]] = {
        "ours": bench.sync,
        "curl-all": lambda dest: bench.curl(dest, whole=True),
        "curl": lambda dest: bench.curl(dest, whole=False),
    }
    if PEER.exists():
        tools["xnatpy"] = bench.official
    found = interleaved(bench, tools, rounds)
    ours = found["ours"]
    gib = bench.bytes / (1 << 30)
    crew = 1 + min(bench.workers, count_processors())
    rows = [
        Row(
            f"{name}: first sync, {bench.sessions} sessions, {gib:.2f} GiB",
            f"{ours.wall:.2f} s, {bench.bytes / ours.wall / 1e6:.0f} MB/s",
            f"server's processor {ours.server:.2f} s",
        ),
        Row(f"{name}: processor for each GiB", f"{ours.cpu / gib:.2f} s"),
        Row(
            f"{name}: peak memory",
            f"{ours.peak:.0f} MiB",
            f"each of {crew} processes, much of it shared",
            "below 150 MiB, all of them",
            crew * ours.peak < 150,
        ),
    ]
    bounds = [("curl-all", "curl + unzip + md5sum", 0.8), ("curl", "bare curl of the zips", 1.6)]
    for tool, words, most in bounds:
        ratio = ours.wall / found[tool].wall
        counts = tool != "curl" or bench.size >= 400_000
        rows.append(
            Row(
                f"{name}: beside {words}",
                f"{ratio:.2f}",
                f"{found[tool].wall:.2f} s, server's processor {found[tool].server:.2f} s",
                f"at most {most}" if counts else "",
                ratio <= most if counts else None,
            )
        )
    if "xnatpy" in found:
        times = found["xnatpy"].wall / ours.wall
        beside = f"{found['xnatpy'].wall:.2f} s"
        rows.append(
            Row(
                f"{name}: times as fast as xnatpy 0.8.1",
                f"{times:.1f}",
                beside,
                f"at least {peers:g}",
                times >= peers,
            )
        )
    return rows


def later_syncs(bench: Bench, rounds: int, name: str, *, peer: bool) -> list[Row]:
    """Nothing changed, then one file."""
    dest = bench.folder / "again"
    bench.sync(dest)
    bench.tell("requests")
    bench.sync(dest)
    idle = bench.tell("requests")
    quiet = statistics.median(bench.sync(dest).wall for _ in range(rounds))
    run = bench.sync(dest)
    bench.tell("requests")
    count = int(str(idle["requests"])) - 3  # login, who am I, logout
    rows = [
        Row(f"{name}: nothing changed, requests", f"{count}", "", "at most 3", count <= 3),
        Row(f"{name}: nothing changed, wall", f"{quiet:.2f} s", f"peak memory {run.peak:.0f} MiB"),
    ]
    if peer and PEER.exists():
        other = bench.folder / "official"
        bench.official(other)
        second = bench.official(other).wall
        rows.append(
            Row(
                f"{name}: nothing changed, of xnatpy's second run",
                f"{quiet / second:.3f}",
                f"{second:.1f} s",
                "at most 0.02" if bench.sessions >= 1000 else "",
                quiet / second <= 0.02 if bench.sessions >= 1000 else None,
            )
        )
        shutil.rmtree(other)
        bench.tell("requests")
    size = int(str(bench.tell(f"touch {bench.sessions // 2}")["value"]))
    bench.sync(dest)
    changed = bench.tell("requests")
    more = int(str(changed["bytes"])) - int(str(idle["bytes"]))
    listings = more - size
    rows.append(
        Row(
            f"{name}: one file changed, bytes beyond a quiet run",
            f"{more}",
            f"the file has {size}",
            "1.05 of it and its session's listings",
            listings <= 0.05 * size + 20_000 + 700 * bench.files,
        )
    )
    shutil.rmtree(dest)
    return rows


def one_large_session(folder: Path, files: int) -> float:
    """Peak memory of a sync of one session with so many files of half a megabyte, in MiB."""
    folder.mkdir()
    bench = Bench(folder, 1, files, 512_000, 1)
    try:
        return bench.sync(folder / "data").peak
    finally:
        bench.stop()
        shutil.rmtree(folder)


def table(rows: list[Row]) -> str:
    lines = ["| | | beside | bound | kept |", "|---|---|---|---|---|"]
    for row in rows:
        kept = {None: "", True: "yes", False: "**no**"}[row.kept]
        lines.append(f"| {row.what} | {row.value} | {row.beside} | {row.bound} | {kept} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument(
        "--full", action="store_true", help="100 sessions; 1,000 unchanged ones of 5 GB"
    )
    arguments = parser.parse_args(argv)
    sessions = 100 if arguments.full else arguments.sessions
    rows: list[Row] = []
    plans = [
        ("large files", sessions, 10, 512_000, 2.0, False),
        ("small files", sessions, 40, 40_000, 3.0, False),
    ]
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as folder:
        for number, (name, many, files, size, peers, _) in enumerate(plans):
            place = Path(folder, str(number))
            place.mkdir()
            bench = Bench(place, many, files, size, arguments.workers)
            try:
                rows += first_sync(bench, arguments.rounds, name, peers)
            finally:
                bench.stop()
        place = Path(folder, "later")
        place.mkdir()
        many, files, size = (1000, 10, 512_000) if arguments.full else (sessions, 4, 100_000)
        bench = Bench(place, many, files, size, arguments.workers)
        try:
            rows += later_syncs(bench, arguments.rounds, "later", peer=True)
        finally:
            bench.stop()
        few, many_files = (256, 2048) if arguments.full else (32, 256)
        small = one_large_session(Path(folder, "few"), few)
        large = one_large_session(Path(folder, "many"), many_files)
        what = f"memory: a session of {many_files // 2} MiB beside one of {few // 2} MiB"
        more = large - small
        rows.append(Row(what, f"{more:+.1f} MiB", f"{small:.0f} MiB", "below 10", more < 10))
    print(table(rows))
    return int(any(row.kept is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
