"""The whole way once: a folder of DICOM into the archive, and the project onto the disk.

    python -m pipelines.demo [FOLDER]

Starts the stand-in server on a free port, makes studies of real DICOM, and runs the commands that a
data manager would type. This module only launches; the tasks live in `pipelines.take_in` and
`xnat_luigi.tasks`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.material import MadeStudy, cut, make_study, series_of
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.dicom import read_header
from xnat_luigi.intake.arrivals import make_images
from xnat_luigi.intake.studies import read_folder
from xnat_luigi.qc.verdicts import Verdict
from xnat_luigi.rest import absence
from xnat_luigi.rest.files import upload
from xnat_luigi.standin import StandIn
from xnat_luigi.uris import Address

PROJECT = "DEMO"
USER, PASSWORD = "demo", "demo-password"
MARK = ".made-by-xnat-luigi-demo"
STEPS = {
    "take in": "import, QC, archive, refresh",
    "sync": "the project to disk",
    "again": "the same command once more",
    "changed": "after one file was replaced on the server",
}


@dataclass(frozen=True)
class Line:
    """One line of the table at the end."""

    step: str
    sessions: int
    files: int
    bytes: int
    requests: int
    verified: str
    seconds: float


class DemoError(Exception):
    """Something did not happen as the demonstration promises."""


def check(fact: bool, promise: str) -> None:
    """Ends the demonstration when a promise is broken."""
    if not fact:
        raise DemoError(f"the demonstration failed: {promise}")


class Demo:
    """The folder, the server and the commands of one demonstration."""

    def __init__(self, folder: Path, server: StandIn) -> None:
        self.folder = folder
        self.server = server
        self.synced = folder / "synced"
        self.wanted: dict[str, str] = {}
        self.lines: list[Line] = []
        self.logs = 0
        self.seen = 0
        self.environ = {
            **os.environ,
            "NETRC": str(folder / "netrc"),
            "LUIGI_CONFIG_PATH": str(folder / "luigi.cfg"),
        }

    def prepare(self) -> list[MadeStudy]:
        """The login in a netrc file of its own, a quiet Luigi, and three studies."""
        host = self.server.url.split("//")[1].split(":")[0]
        netrc = self.folder / "netrc"
        netrc.touch(mode=0o600)
        netrc.write_text(f"machine {host} login {USER} password {PASSWORD}\n")
        (self.folder / "luigi.cfg").write_text("[core]\nlog_level = INFO\n")
        os.environ["NETRC"] = str(netrc)
        self.server.add_project(PROJECT)
        incoming = self.folder / "incoming"
        made = [
            make_study(
                incoming / session, subject=subject, session=session, series=series, date=date
            )
            for subject, session, series, date in (
                ("S01", "S01_MR1", series_of(["T1w", "T2w", "FLAIR"]), "20240611"),
                ("S01", "S01_MR2", series_of(["T1w", "T2w"]), "20241203"),
                ("S02", "S02_CT1", series_of(["Thorax", "Abdomen"], modality="CT"), "20240612"),
            )
        ]
        self.wanted = {
            name: _md5(path) for study in made for name, path in server_names(study).items()
        }
        return made

    def luigi(self, *words: str) -> int:
        """Runs `luigi` and says so; what it says goes into a log of its own."""
        command = ["luigi", *words, "--local-scheduler", "--workers", "2"]
        print(f"\n$ {shlex.join(command)}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env=self.environ,
            cwd=Path(__file__).resolve().parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        self.logs += 1
        log = self.folder / "logs" / f"{self.logs}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text(done.stdout + done.stderr)
        print(f"  exit status {done.returncode}, log in {log}", flush=True)
        return done.returncode

    def take_in(self, folder: Path) -> int:
        """Import, QC, archive and refresh of all studies below a folder."""
        return self.luigi(
            *("--module", "pipelines.take_in", "TakeIn"),
            *("--server", self.server.url, "--project", PROJECT, "--folder", str(folder)),
            *("--evidence", str(self.folder / "evidence")),
        )

    def sync(self) -> int:
        """The project to disk."""
        return self.luigi(
            *("--module", "xnat_luigi.tasks", "xnat.SyncProject"),
            *("--server", self.server.url, "--project", PROJECT, "--dest", str(self.synced)),
        )

    def images(self) -> dict[str, Path]:
        """The images that were synced, by file name."""
        return {path.name: path for path in self.synced.rglob("*.dcm")}

    def measure(self, step: str, begin: float, before: dict[str, tuple[int, int]]) -> Line:
        """A line of the table: what changed on disk, what the server was asked, what is right.

        Files that came are those with a new inode or time; digests are taken from the disk here,
        not from what the tasks say.
        """
        asked = self.server.requests[self.seen :]
        self.seen += len(asked)
        there = self.images()
        after = {name: _stamp(path) for name, path in there.items()}
        came = [there[name] for name in after if before.get(name) != after[name]]
        right = sum(1 for name, path in there.items() if self.wanted.get(name) == _md5(path))
        line = Line(
            step,
            len({read_header(path).study_uid for path in came}),
            len(came),
            sum(path.stat().st_size for path in came),
            len(asked),
            f"{right} of {len(there)}",
            time.monotonic() - begin,
        )
        self.lines.append(line)
        return line

    def synced_line(self, step: str) -> Line:
        """Runs the sync and measures it."""
        before = {name: _stamp(path) for name, path in self.images().items()}
        begin = time.monotonic()
        check(self.sync() == 0, "the sync ends with status 0")
        return self.measure(step, begin, before)


def server_names(study: MadeStudy) -> dict[str, Path]:
    """The images of a study by the name they get on the server, which is their SOPInstanceUID."""
    images = make_images(read_folder(study.folder).find(study.uid).files)
    return {image.name: Path(image.path) for image in images}


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def first_way(demo: Demo, made: Sequence[MadeStudy]) -> None:
    """Everything in, everything out."""
    begin = time.monotonic()
    check(demo.take_in(demo.folder / "incoming") == 0, "the studies are archived")
    asked = len(demo.server.requests)
    demo.seen = asked
    demo.lines.append(
        Line(
            "take in",
            len(made),
            sum(len(study.files) for study in made),
            sum(study.bytes for study in made),
            asked,
            "-",
            time.monotonic() - begin,
        )
    )
    line = demo.synced_line("sync")
    check(line.files == len(demo.wanted), "every image comes")
    check(line.verified == f"{line.files} of {line.files}", "every MD5 is right")


def second_way(demo: Demo) -> None:
    """Nothing new, so nothing is fetched."""
    check(demo.synced_line("again").files == 0, "nothing is fetched the second time")


def third_way(demo: Demo, made: Sequence[MadeStudy]) -> None:
    """One file is replaced on the server by one of another size: that one comes, no other."""
    name, original = min(server_names(made[0]).items())
    changed = original.read_bytes() + b"\0" * 1024
    connection = connection_for(demo.server.url)
    session = absence.find_experiment(connection, PROJECT, made[0].session)
    check(session is not None, "the first session is archived")
    assert session is not None
    number = str(int(read_header(original).get("SeriesNumber")))
    address = Address(experiment=session.id, scan=number)
    upload.put_file(connection, address, "DICOM", name, changed, overwrite=True)
    close_all()
    demo.seen = len(demo.server.requests)
    demo.wanted[name] = hashlib.md5(changed, usedforsecurity=False).hexdigest()
    print(f"\n{name} of {made[0].session} is replaced on the server ({len(changed)} bytes)")
    line = demo.synced_line("changed")
    check((line.files, line.bytes) == (1, len(changed)), "exactly the changed file is fetched")
    check(line.verified == f"{len(demo.wanted)} of {len(demo.wanted)}", "every MD5 is right")


def held_study(demo: Demo) -> str:
    """A study with a file that a broken copy cut: QC keeps it out of the archive and says why."""
    folder = demo.folder / "incoming-broken"
    study = make_study(folder, subject="S03", session="S03_MR1", series=series_of(["T1w"]))
    length = cut(study.files[2])
    print(f"\nA broken copy: {study.files[2].name} of S03_MR1 ends after {length} bytes")
    check(demo.take_in(folder) == 1, "a held study makes the exit status 1")
    connection = connection_for(demo.server.url)
    there = absence.experiment_exists(connection, PROJECT, "S03_MR1")
    close_all()
    check(not there, "the broken study is not archived")
    evidence = demo.folder / "evidence" / PROJECT / f"S03_MR1-{study.uid}.json"
    verdict = Verdict.from_json(evidence.read_text(encoding="utf-8"))
    check(verdict.status == "fail", "the verdict says fail")
    return f"S03_MR1 is held: {verdict.reasons[0]}\n  evidence: {evidence}"


def table(lines: Sequence[Line]) -> str:
    """The lines as a table with a title for every step."""
    head = ("step", "sessions", "files", "bytes", "requests", "MD5 verified", "seconds")
    rows = [
        (
            f"{line.step}: {STEPS[line.step]}",
            str(line.sessions),
            str(line.files),
            f"{line.bytes:,}",
            str(line.requests),
            line.verified,
            f"{line.seconds:.1f}",
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    texts = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    ]
    return "\n".join([texts[0], "-" * len(texts[0]), *texts[1:]])


def open_folder(folder: Path) -> Path:
    """The demonstration's folder, emptied if an earlier one left it, refused if it is not ours."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise DemoError(f"{folder} is not empty and not ours: name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    return folder.resolve()


def main(words: Sequence[str] | None = None) -> int:
    """Runs the demonstration; 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.demo", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo-output"))
    arguments = parser.parse_args(words)
    begin = time.monotonic()
    try:
        folder = open_folder(arguments.folder)
        with StandIn(root=folder / "server", port=0, users={USER: PASSWORD}) as server:
            demo = Demo(folder, server)
            made = demo.prepare()
            print(f"A stand-in XNAT listens at {server.url}, its files lie in {server.root}.")
            first_way(demo, made)
            second_way(demo)
            third_way(demo, made)
            reason = held_study(demo)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{table(demo.lines)}\n\n{reason}")
    print(f"\nEverything is in {folder}; done in {time.monotonic() - begin:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
