"""Processing steps: how fast «everything is there» is known, and how fast many files go up.

    python -m tests.benchmarks derived --sessions 1000 --files 5000

Measured: (1) whether the results of three steps are there for all sessions, in this process, with
the number of requests against 1 + ceil(sessions / BATCH) + 1 type of assessor + login and logout +
the last step's own; (2) the same as a user asks it, `luigi` with a local scheduler; (3) an upload
of many small files beside `curl` sending a ready archive with `extract=true`.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import luigi

from pipelines.nifti import ScanToNifti
from pipelines.quality import ScanQuality
from pipelines.table import ProjectTable
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.rest import items
from xnat_luigi.rest.records import File
from xnat_luigi.standin import StandIn
from xnat_luigi.targets import snapshot
from xnat_luigi.targets.resource import fingerprint
from xnat_luigi.tasks import Step
from xnat_luigi.tasks.record import (
    RECORD_NAME,
    SEAL_NAME,
    InputRecord,
    OutputRecord,
    Record,
    seal_text,
)
from xnat_luigi.transfer.upload import read_sendings, upload_files
from xnat_luigi.uris import Address

HERE = Path(__file__).resolve().parents[2]
RESULTS, LUIGI, UPLOAD = 10.0, 15.0, 1.3
"""Bounds: seconds, seconds, times the time of curl."""


def listed(files: Mapping[str, bytes]) -> list[File]:
    return [
        File(path, len(data), hashlib.md5(data).hexdigest()) for path, data in sorted(files.items())
    ]


def made_by(
    step: Step,
    uri: str,
    inputs: list[InputRecord],
    files: Mapping[str, bytes],
    values: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """The files a step would have left: its own, the record, the seal."""
    record = Record(
        task=step.task_family,
        server=step.server,
        uri=uri,
        inputs=tuple(inputs),
        parameters=step._parameters(),
        code={"version": step.version, "python": "3", "packages": {}},
        machine={},
        started="2026-01-01T00:00:00+00:00",
        ended="2026-01-01T00:00:01+00:00",
        outputs=OutputRecord.of(listed(files)),
    )
    there = {**files, RECORD_NAME: record.to_json().encode()}
    seal = seal_text(
        step.task_family,
        inputs=inputs,
        parameters=step._parameters(),
        version=step.version,
        outputs=fingerprint(listed(there)),
        values=values,
    )
    return {**there, SEAL_NAME: seal.encode()}


def fill(server: StandIn, sessions: int) -> None:
    """Sessions with the results of all three steps, straight into the server's state."""
    gathered = []
    for number in range(sessions):
        label = f"S{number:04d}_MR1"
        words = {"server": server.url, "project": "P1", "experiment": label, "scan": "1"}
        dicom = {f"{n}.dcm": f"{label}/{n}".encode() * 20 for n in range(3)}
        scan = {"1": {"type": "T1w", "resources": {"DICOM": dicom}}}
        session = server.add_session("P1", label[:5], label, scans=scan)
        base = f"/data/experiments/{session}/scans/1/resources"
        used = [InputRecord.of("dicom", f"{base}/DICOM", listed(dicom))]
        image = {"1.nii.gz": label.encode() * 50, "1.json": b"{}"}
        nifti = made_by(ScanToNifti(**words), f"{base}/NIFTI", used, image)
        server.add_session(
            "P1", label[:5], label, scans={"1": {"type": "T1w", "resources": {"NIFTI": nifti}}}
        )
        values = {"snr": str(10 + number % 7), "ghosting": "0.01", "motion": "0.0"}
        name = f"{label}_1_QUALITY"
        fields = {f"fields/field[name={key}]/field": value for key, value in values.items()}
        assessor = server.add_assessor("P1", label, name, **fields)
        place = f"/data/experiments/{session}/assessors/{assessor}/out/resources/QUALITY"
        used = [InputRecord.of("nifti", f"{base}/NIFTI", listed(nifti))]
        page = {"measures.json": label.encode(), "report.html": b"<p>"}
        quality = made_by(ScanQuality(**words), place, used, page, values)
        server.add_assessor("P1", label, name, resources={"QUALITY": quality})
        gathered.append(InputRecord.of(f"{session}.{assessor}", place, listed(quality)))
    table = ProjectTable(server=server.url, project="P1")
    uri = "/data/projects/P1/resources/MEASURES"
    measures = made_by(table, uri, gathered, {"measures.csv": b"a,b\n"})
    server.add_project("P1", resources={"MEASURES": measures})


def ask_once(server: StandIn, sessions: int) -> bool:
    """Whether all results are there, asked in this process."""
    luigi.Task.clear_instance_cache()
    snapshot.forget()
    before, begin = len(server.requests), time.perf_counter()
    complete = ProjectTable(server=server.url, project="P1").complete()
    close_all()
    seconds, asked = time.perf_counter() - begin, len(server.requests) - before
    expected = 1 + math.ceil(sessions / snapshot.BATCH) + 1
    print(
        f"completeness of {2 * sessions + 1} results: {seconds:.2f} s (bound {RESULTS:.0f} s), "
        f"{asked} requests; 1 + ceil({sessions} / {snapshot.BATCH}) + 1 = {expected} for the "
        "snapshot, the others for the login and the project's own result"
    )
    assert complete, "the planted results are not taken for current"
    return seconds <= RESULTS and asked <= expected + 8


def ask_luigi(server: StandIn, sessions: int) -> bool:
    """The same through `luigi`."""
    command = [sys.executable, "-m", "luigi", "--module", "pipelines.table", "table.ProjectTable"]
    command += ["--server", server.url, "--project", "P1", "--local-scheduler"]
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1 complete ones were encountered" in done.stderr, done.stderr[-3000:]
    print(
        f"nothing to do for {sessions} sessions and three steps: {seconds:.2f} s with Luigi's "
        f"start (bound {LUIGI:.0f} s)"
    )
    return seconds <= LUIGI


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """A server in a process of its own, as users have it: it must not share our interpreter."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xnat_luigi.cli", "serve", "--root", str(root)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield "http://" + process.stdout.readline().split("http://")[1].split()[0]
    finally:
        process.terminate()
        process.wait()


def send(url: str, folder: Path, files: int) -> bool:
    """Many small files: ours beside curl, in turns, the better of three each."""
    source = folder / "small"
    for number in range(files):
        path = source / f"{number // 250:03d}" / f"{number:05d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"file {number}\n".encode() * 40)
    connection = connection_for(url)
    items.create_project(connection, "P1")
    items.create_subject(connection, "P1", "S1")
    session = items.create_experiment(connection, "P1", "S1", "S1_MR1", "xnat:mrSessionData")
    archive = folder / "ready.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(source.rglob("*.txt")):
            packed.write(path, path.relative_to(source).as_posix())
    ours, theirs = [], []
    for turn in range(3):
        place = f"{url}/data/experiments/{session}/resources/CURL{turn}/files/ready.zip"
        begin = time.perf_counter()
        subprocess.run(
            [
                *("curl", "-sSf", "-u", "admin:admin", "-H", "Content-Type: application/zip"),
                *("-T", str(archive), f"{place}?extract=true"),
            ],
            check=True,
        )
        theirs.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        sendings = read_sendings(source)
        upload_files(connection, Address(experiment=session), f"OURS{turn}", sendings)
        ours.append(time.perf_counter() - begin)
    close_all()
    ratio = min(ours) / min(theirs)
    print(
        f"upload of {files} small files, read, hashed, packed and proven: {min(ours):.2f} s; curl "
        f"with a ready archive: {min(theirs):.2f} s; ratio {ratio:.2f} (bound {UPLOAD})"
    )
    return ratio <= UPLOAD


def main(argv: list[str]) -> int:
    """Runs all three; 1 when a bound is not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks derived")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--files", type=int, default=5000)
    arguments = parser.parse_args(argv)
    before = os.environ.get("NETRC")
    with tempfile.TemporaryDirectory() as name, StandIn() as server:
        netrc = Path(name) / "netrc"
        netrc.write_text(f"machine {urlsplit(server.url).hostname}\nlogin admin\npassword admin\n")
        netrc.chmod(0o600)
        os.environ["NETRC"] = str(netrc)
        try:
            fill(server, arguments.sessions)
            kept = [
                ask_once(server, arguments.sessions),
                ask_luigi(server, arguments.sessions),
            ]
            with serving(Path(name) / "other") as url:
                kept.append(send(url, Path(name), arguments.files))
        finally:
            close_all()
            if before is None:
                os.environ.pop("NETRC", None)
            else:
                os.environ["NETRC"] = before
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
