"""The documented client beside the official one, against the same stand-in.

    python -m tests.benchmarks client [--full]

Prints a table; exit status 1 where a bound is not kept. The official client is that in
.venv-peers; without it its column stays empty and only our own bounds are looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnat_luigi.standin import StandIn

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("client_worker.py")
PEER = ROOT / ".venv-peers" / "bin" / "python"
OURS, THEIRS = (sys.executable, "xnat_luigi"), (str(PEER), "xnat")
SESSIONS, SCANS = 100, 10
COMPILED = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": os.path.join(
        tempfile.gettempdir(), f"xnat-luigi-compiled-{os.getuid()}"
    ),
}
"""both clients are measured as they are installed: with their modules compiled"""


@dataclass
class Row:
    """One line of the table."""

    what: str
    ours: float
    theirs: float | None
    unit: str
    bound: str
    kept: bool


def run(
    who: tuple[str, str], measure: str, url: str, count: int = 1, cache: str = "off"
) -> dict[str, Any]:
    """One measurement in a fresh interpreter."""
    environment = {**os.environ, **COMPILED, "XNAT_LUIGI_CACHE": cache}
    command = [who[0], str(WORKER), measure, who[1], url, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{measure} of {who[1]} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def import_seconds(who: tuple[str, str], count: int) -> float:
    """Importing the package, an empty interpreter taken off; the median."""
    code = (
        f"import time; begin = time.perf_counter(); import {who[1]}; "
        "print(time.perf_counter() - begin)"
    )
    times = []
    for _ in range(count):
        done = subprocess.run([who[0], "-c", code], capture_output=True, text=True, check=True)
        times.append(float(done.stdout))
    return statistics.median(times)


def ratio_row(what: str, ours: float, theirs: float | None, most: float, unit: str = "s") -> Row:
    kept = theirs is None or ours <= most * theirs
    return Row(what, ours, theirs, unit, f"at most {most:.3g} of theirs", kept)


def of_import(peers: bool, count: int) -> Iterator[Row]:
    ours = import_seconds(OURS, count)
    theirs = import_seconds(THEIRS, count) if peers else None
    yield ratio_row("import", ours, theirs, 0.5)


def first_connects(
    who: tuple[str, str], url: str, count: int, cache: str = "off"
) -> tuple[float, float]:
    """Seconds of the first connect of a process, and the same with loading all modules."""
    found = [run(who, "connect", url, 1, cache) for _ in range(count)]
    alone = statistics.median(one["seconds"][0] for one in found)
    return alone, statistics.median(one["seconds"][0] + one["loading"] for one in found)


def of_connect(server: StandIn, peers: bool, count: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        first, first_loaded = first_connects(OURS, server.url, count)
        run(OURS, "connect", server.url, 1, folder)
        again, again_loaded = first_connects(OURS, server.url, count, folder)
        warm = run(OURS, "connect", server.url, 1 + 3 * count, folder)["seconds"][1:]
        server.log.clear()
        run(OURS, "connect", server.url, 1, folder)
        requests = len([one for one in server.requests if one.method != "DELETE"])
    theirs = loaded = None
    if peers:
        theirs, loaded = first_connects(THEIRS, server.url, count)
    yield ratio_row("connect, first", first, theirs, 1 / 3)
    yield ratio_row("connect, again", again, theirs, 1 / 15)
    yield ratio_row("connect, again, same process", statistics.median(warm), theirs, 1 / 15)
    yield ratio_row("new process: loading and first connect", first_loaded, loaded, 1)
    yield ratio_row("new process: loading and connect, again", again_loaded, loaded, 1)
    yield Row("connect, again, requests", requests, None, "", "at most 5", requests <= 5)


def of_classes(peers: bool, count: int) -> Iterator[Row]:
    folder = os.environ.get("XNAT_LUIGI_SCHEMAS") or str(ROOT.parent / "shared" / "schemas")
    if not os.path.isfile(os.path.join(folder, "xnat.xsd")):
        print("no schemas of a real site: set XNAT_LUIGI_SCHEMAS", file=sys.stderr)
        return
    # The least of several: what others do on the machine only ever adds to it.
    ours = min(run(OURS, "classes", folder, 5 * count)["seconds"])
    theirs = None
    if peers:
        theirs = min(run(THEIRS, "classes", folder, count)["seconds"])
    kept = ours < 0.020
    yield Row("all classes of the real schemas, CPU", ours, theirs, "s", "below 0.020 s", kept)


def of_walk(server: StandIn, peers: bool) -> Iterator[Row]:
    server.add_project("WALK")
    for number in range(SESSIONS):
        scans = {str(scan): {"type": f"T{scan}"} for scan in range(1, SCANS + 1)}
        server.add_session("WALK", f"S{number // 4}", f"S{number // 4}_MR{number}", scans=scans)
    counts: list[float] = []
    times: list[float] = []
    for who in (OURS, THEIRS) if peers else (OURS,):
        server.log.clear()
        times.append(run(who, "walk", server.url)["seconds"][0])
        counts.append(sum(server.log.counts.values()))
    theirs = counts[1] if peers else None
    yield ratio_row("walking 100 sessions, 10 scans each: requests", counts[0], theirs, 0.2, "")
    kept = not peers or times[0] <= times[1]
    yield Row("the same, time", times[0], times[1] if peers else None, "s", "not slower", kept)


def of_memory(server: StandIn, peers: bool, cycles: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        ours = run(OURS, "memory", server.url, cycles, folder)["kib"]
    theirs = run(THEIRS, "memory", server.url, max(10, cycles // 20))["kib"] if peers else None
    if theirs is not None:
        theirs = theirs * cycles / max(10, cycles // 20)
    what = f"growth over {cycles} connects (theirs: extrapolated)"
    yield Row(what, ours, theirs, "KiB", "below 5120 KiB", ours < 5120)


def table(rows: list[Row]) -> str:
    lines = ["| | ours | xnat 0.8.1 | ratio | bound | kept |", "|---|---|---|---|---|---|"]
    for row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs:.4g} {row.unit}"
        ratio = f"{row.ours / row.theirs:.3f}" if row.theirs else ""
        kept = "yes" if row.kept else "**no**"
        ours = f"{row.ours:.4g} {row.unit}"
        lines.append(f"| {row.what} | {ours} | {theirs} | {ratio} | {row.bound} | {kept} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="more repetitions, 1000 connects")
    arguments = parser.parse_args(argv)
    count, cycles = (7, 1000) if arguments.full else (3, 100)
    peers = PEER.exists()
    rows = [*of_import(peers, count), *of_classes(peers, count)]
    with StandIn() as server:
        rows += of_connect(server, peers, count)
        rows += of_walk(server, peers)
        rows += of_memory(server, peers, cycles)
    print(table(rows))
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
