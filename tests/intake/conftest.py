"""A project on a stand-in, a study on disk, and a pace whose time is the test's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest

from pipelines.material import MadeStudy, make_study, series_of
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.dicom import Header
from xnat_luigi.intake.keys import StudyKey
from xnat_luigi.intake.pace import Pace
from xnat_luigi.intake.studies import read_folder
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.services import Services

PROJECT = "P1"


@dataclass
class Line:
    """The scanner's end of one study: server, connection, study, and a clock under control.

    `pace` waits on the test's clock: every wait passes at once, moves the server's clock as well,
    and calls `on_wait` (once per wait) with the number of the wait.
    """

    server: StandIn
    conn: Connection
    made: MadeStudy
    clock: float = 0.0
    waits: int = 0
    on_wait: Callable[[int], None] = field(default=lambda number: None)

    @property
    def key(self) -> StudyKey:
        return StudyKey(PROJECT, self.made.uid, self.made.subject, self.made.session)

    @property
    def files(self) -> tuple[Header, ...]:
        return read_folder(self.made.folder).find(self.made.uid).files

    @property
    def services(self) -> Services:
        """The knobs of the server's import and archive."""
        return self.server.state.part(Services)

    @property
    def pace(self) -> Pace:
        return Pace(deadline=3600.0, grace=30.0, now=lambda: self.clock, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        self.waits += 1
        self.server.clock.advance(seconds)
        self.on_wait(self.waits)
        time.sleep(0.03)  # the server's own threads notice its clock

    def asked(self, method: str, path: str) -> int:
        """How often the server was asked that."""
        time.sleep(0.02)  # a request is noted after its answer has left
        return sum(r.method == method and path in r.path for r in self.server.requests)

    @property
    def imports(self) -> int:
        return self.asked("POST", "/services/import")

    @property
    def orders(self) -> int:
        return self.asked("POST", "/services/archive")

    def experiments(self) -> list[tuple[str, str]]:
        """Label and UID of every experiment of the project, from the state itself."""
        found = self.server.state.items.all("experiment")
        return [(item.label, str(item.fields.get("UID", ""))) for item in found]

    def rows(self) -> list[tuple[str, str]]:
        """Name and status of every row of the prearchive, from the state itself."""
        return [(row.name, row.status) for row in self.services.prearchive.all()]

    def archived_once(self) -> bool:
        """Exactly this study is archived and nothing else is on the server."""
        return self.experiments() == [(self.made.session, self.made.uid)] and self.rows() == []


def small_study(folder: Path, number: int = 1, *, slices: int = 3) -> MadeStudy:
    """Two series of a few small slices."""
    subject = f"S{number:03d}"
    return make_study(
        folder,
        subject=subject,
        session=f"{subject}_MR1",
        series=series_of(("T1w", "T2w"), slices=slices),
        side=64,
    )


def correct(path: Path) -> None:
    """Another patient's name in a file; it stays the same image."""
    dataset: Any = pydicom.dcmread(path)
    dataset.PatientName = "Corrected^By^Hand"
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def line(standin: StandIn, netrc: Path, tmp_path: Path) -> Iterator[Line]:
    """A project `P1`, a study of six files in a folder, a connection."""
    standin.add_project(PROJECT)
    yield Line(standin, connection_for(standin.url), small_study(tmp_path / "in"))
    close_all()
