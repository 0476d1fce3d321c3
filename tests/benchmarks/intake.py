"""Grouping DICOM beside a plain loop, uploading beside curl, and a look at many idle rows.

    python -m tests.benchmarks intake [--full]

Prints a table; exit status 1 where a bound is not kept.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

from pipelines.material import MadeStudy, make_study, series_of
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.gate.running import Settings, make_plan, run_rows
from xnat_luigi.intake import rows as intake_rows
from xnat_luigi.intake.arrivals import make_images
from xnat_luigi.intake.bringing import Sending
from xnat_luigi.intake.ledger import HELD
from xnat_luigi.intake.studies import read_folder
from xnat_luigi.rest import items, prearchive, services
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.services import Services
from xnat_luigi.standin.state.prearchive import Row as StoredRow

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Line:
    """One line of the table."""

    what: str
    ours: float
    theirs: float | None
    unit: str
    bound: str
    kept: bool


def grow(folder: Path, template: MadeStudy, count: int) -> None:
    """Many files of many studies, made of a few by links to copies with other UIDs."""
    sources = [pydicom.dcmread(path) for path in template.files]
    for number in range(count):
        dataset: Any = sources[number % len(sources)]
        study = number // 200
        dataset.StudyInstanceUID = f"2.25.77{study}"
        dataset.SeriesInstanceUID = f"2.25.77{study}.{number % 200 // 50}"
        dataset.SOPInstanceUID = f"2.25.77{study}.1.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        place = folder / f"{study:04d}"
        place.mkdir(parents=True, exist_ok=True)
        dataset.save_as(place / f"{number:06d}.dcm", enforce_file_format=True)


def plain_loop(folder: Path) -> int:
    """What one writes first: every file read whole, grouped by study."""
    studies: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.PatientID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID  # noqa: B018
        studies.setdefault(dataset.StudyInstanceUID, []).append(path)
    return len(studies)


def forget(folder: Path) -> None:
    """The files' pages leave the cache, where the kernel allows it."""
    for path in folder.rglob("*.dcm"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(work: Callable[[], object], before: Callable[[], object] | None, count: int) -> float:
    """The best of some runs, in seconds."""
    times = []
    for _ in range(count):
        if before is not None:
            before()
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def of_grouping(base: Path, *, small: int, large: int) -> Iterator[Line]:
    """Small files in a warm cache; large ones read cold."""
    for name, count, side, cold, least in (
        ("small files, warm cache", small, 64, False, 1.8),
        ("files of 5 MB, cold", large, 1600, True, 4.0),
    ):
        folder = base / name.split()[0]
        made = make_study(
            base / "template",
            subject="S",
            session="S_MR1",
            series=series_of(("T1",), slices=1),
            side=side,
        )
        grow(folder, made, count)

        def ours(folder: Path = folder) -> object:
            return read_folder(folder)

        def theirs(folder: Path = folder) -> object:
            return plain_loop(folder)

        def prepare(folder: Path = folder, cold: bool = cold) -> None:
            if cold:
                forget(folder)

        found = len(read_folder(folder))
        assert found == plain_loop(folder), "the two do not find the same studies"
        rate = count / timed(ours, prepare, 3)
        loop = count / timed(theirs, prepare, 3)
        what = f"grouping {count} {name}: files a second"
        yield Line(what, rate, loop, "/s", f"at least {least} times", rate >= least * loop)
        shutil.rmtree(folder)


@contextlib.contextmanager
def calm_server(base: Path) -> Iterator[str]:
    """A server in a process of its own, as it would be."""
    (base / "server").mkdir()
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.intake_server", str(base / "server"), "0", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert run.stdout is not None
        yield f"http://127.0.0.1:{run.stdout.readline().split()[1]}"
    finally:
        run.kill()
        run.communicate()


def of_upload(base: Path, *, files: int, repeats: int) -> Iterator[Line]:
    """A study as a streamed zip, beside curl with a zip made beforehand."""
    curl = shutil.which("curl")
    made = make_study(
        base / "study",
        subject="S1",
        session="S1_MR1",
        series=series_of(("T1",), slices=files),
    )
    images = make_images(read_folder(made.folder).find(made.uid).files)
    archive = base / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for image in images:
            file.write(image.path, image.name)
    with calm_server(base) as url:
        conn = connection_for(url)
        items.create_project(conn, "P1")

        def clear() -> None:
            for row in prearchive.list_rows(conn, "P1"):
                prearchive.delete_row(conn, row)

        def ours() -> None:
            with Sending(images) as sending:
                services.import_archive(
                    conn, sending.stream(), project="P1", subject="S1", session="S1_MR1"
                )
                assert len(sending.md5) == files  # known when the upload counts as done

        def theirs() -> None:
            query = "import-handler=DICOM-zip&inbody=true&project=P1&subject=S1&session=S1_MR1"
            subprocess.run(
                [
                    *(str(curl), "-sS", "--fail", "-o", os.devnull, "--netrc-file"),
                    *(os.environ["NETRC"], "-H", "Content-Type: application/zip"),
                    *("-X", "POST", "-T", str(archive)),
                    f"{url}/data/services/import?{query}",
                ],
                check=True,
            )

        try:
            # Turn and turn about, so that a busy moment meets both.
            mine, other = float("inf"), float("inf") if curl else None
            for _ in range(repeats):
                mine = min(mine, timed(ours, clear, 1))
                if other is not None:
                    other = min(other, timed(theirs, clear, 1))
        finally:
            close_all()
    kept = other is None or mine <= 1.2 * other
    what = f"uploading {made.bytes / 1e6:.0f} MB in {files} files"
    yield Line(what, mine, other, "s", "at most 1.2 of curl's", kept)


def of_rows(base: Path, *, count: int) -> Iterator[Line]:
    """Rows that were held before and have not changed."""
    with StandIn() as server:
        server.add_project("P1")
        stored = server.state.part(Services).prearchive
        for number in range(count):
            stamp = f"20240611_{number:09d}"
            session = f"S{number:05d}"
            uid = f"2.25.99{number}"
            made = StoredRow("P1", stamp, session, session, "S", uid, "READY")
            stored.set_status(stored.add(made), "READY")
        conn = connection_for(server.url)
        settings = Settings(str(base / "state"), project="P1", thumbnails=0)
        plan = make_plan(settings)
        for row in prearchive.list_rows(conn, "P1"):
            key = intake_rows.key_of(row)
            seen = intake_rows.seen_of(row, plan)
            plan.ledger.record(conn.server, key, HELD, "QC says fail", seen=seen)
        close_all()
        server.log.clear()
        begin = time.perf_counter()
        outcome = run_rows(connection_for(server.url), settings)
        seconds = time.perf_counter() - begin
        assert outcome.entries == (), "rows were taken that should rest"
        asked = [r for r in server.requests if "/auth" not in r.path and "JSESSION" not in r.path]
        close_all()
    what = f"a look at {count} rows with nothing to do"
    yield Line(f"{what}: requests", len(asked), None, "", "at most 3", len(asked) <= 3)
    yield Line(f"{what}: time", seconds, None, "s", "", True)


def table(lines: list[Line]) -> str:
    out = ["| | ours | theirs | ratio | bound | kept |", "|---|---|---|---|---|---|"]
    for line in lines:
        theirs = "" if line.theirs is None else f"{line.theirs:.4g} {line.unit}"
        ratio = f"{line.ours / line.theirs:.2f}" if line.theirs else ""
        kept = "yes" if line.kept else "**no**"
        out.append(
            f"| {line.what} | {line.ours:.4g} {line.unit} | {theirs} | {ratio} "
            f"| {line.bound} | {kept} |"
        )
    return "\n".join(out)


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; `--full` takes the sizes of the promises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    full = parser.parse_args(argv).full
    base = Path(tempfile.mkdtemp(prefix="bench-intake-"))
    before = os.environ.get("NETRC")
    netrc = base / "netrc"
    netrc.write_text("machine 127.0.0.1\nlogin admin\npassword admin\n")
    netrc.chmod(0o600)
    os.environ["NETRC"] = str(netrc)
    try:
        lines = [
            *of_grouping(base, small=20_000 if full else 2_000, large=200 if full else 40),
            *of_upload(base, files=400 if full else 100, repeats=7 if full else 5),
            *of_rows(base, count=1_000),
        ]
    finally:
        if before is None:
            os.environ.pop("NETRC", None)
        else:
            os.environ["NETRC"] = before
        shutil.rmtree(base, ignore_errors=True)
    print(table(lines))
    return 0 if all(line.kept for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
