"""Verifying a synced tree beside `find` and `md5sum`.

    python -m tests.benchmarks verify [--files 100000] [--rounds 5]

An unchanged tree must cost no more than three times `find DIR -newermt DATE`, which reads nothing
but inodes either; a deep verification must reach nine tenths of `md5sum` with as many processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from xnat_luigi.staging.manifest import Entry, Manifest, hash_file, write_manifest

OURS = [sys.executable, "-m", "xnat_luigi.cli", "verify"]


def make_tree(root: Path, files: int, size: int, in_resource: int = 100) -> None:
    """Resources of a hundred files, with their manifests, as a sync leaves them."""
    data = os.urandom(size)
    for number in range(max(1, files // in_resource)):
        folder = root / "P1" / f"S{number // 20}" / f"E{number // 10}" / str(number % 10)
        folder.mkdir(parents=True)
        entries = []
        for n in range(in_resource):
            path = folder / f"1.2.840.113619.2.5.1762583153.215519.{number}.{n}.dcm"
            path.write_bytes(number.to_bytes(4, "big") + n.to_bytes(4, "big") + data)
            status = path.stat()
            inside = path.relative_to(root).as_posix()
            md5 = hash_file(path)
            entries.append(
                Entry(inside, status.st_size, md5, status.st_mtime_ns, status.st_ino, path.name)
            )
        state = root / ".xnat-luigi" / "manifests" / "P1" / f"E{number // 10}"
        write_manifest(state / f"{number}.json", Manifest({}, tuple(entries)), sync=False)


def timed(command: list[str] | str) -> float:
    begin = time.monotonic()
    subprocess.run(command, shell=isinstance(command, str), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def compare(
    ours: Callable[[], float], other: Callable[[], float], rounds: int
) -> tuple[float, float]:
    """Medians of both, taken in turns, after one of each that is not counted."""
    ours()
    other()
    pairs = [(ours(), other()) for _ in range(rounds)]
    return statistics.median(one for one, _ in pairs), statistics.median(two for _, two in pairs)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--full", action="store_true", help="100,000 files")
    arguments = parser.parse_args(argv)
    files = 100_000 if arguments.full else arguments.files
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as folder:
        root = Path(folder, "small")
        make_tree(root, files, 500)
        find = ["find", str(root / "P1"), "-newermt", "2100-01-01"]
        ours, other = compare(
            lambda: timed([*OURS, str(root)]), lambda: timed(find), arguments.rounds
        )
        most = 1.5 * files / 100_000 + 0.3
        rows.append((f"{files} unchanged files", ours, f"{most:.2f} s", ours < most))
        counts = files >= 100_000  # with fewer the start of an interpreter is most of it
        bound = f"{other:.3f} s" + ("; below 3" if counts else "")
        rows.append(("beside find -newermt", ours / other, bound, not counts or ours < 3 * other))
        root = Path(folder, "large")
        make_tree(root, max(100, files // 200), 2_000_000)
        md5sum = f"find {root}/P1 -type f -print0 | xargs -0 -P {arguments.processes} -n 20 md5sum"
        deep = [*OURS, str(root), "--deep", "--threads", str(arguments.processes)]
        ours, other = compare(lambda: timed(deep), lambda: timed(md5sum), arguments.rounds)
        rows.append(("deep, rate beside md5sum", other / ours, "at least 0.9", other / ours >= 0.9))
    print("| | | bound | kept |\n|---|---|---|---|")
    for what, value, bound, kept in rows:
        print(f"| {what} | {value:.3f} | {bound} | {'yes' if kept else '**no**'} |")
    return int(not all(kept for *_, kept in rows))


if __name__ == "__main__":
    sys.exit(main())
