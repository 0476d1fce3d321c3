"""A study to import, and the knobs of the stand-in's prearchive."""

from __future__ import annotations

from tests.standin.objects import study_zip as _zip
from xnat_luigi.rest.records import PrearchiveRow
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.services import Services

UID = "1.2.826.0.1.77"


def study_zip(uid: str = UID, subject: str = "S1", session: str = "S1_MR1") -> bytes:
    """A zip of one MR series with two objects."""
    return _zip(uid, {1: 2}, subject=subject, session=session, SeriesDescription="T1 MPRAGE")


def work_of(standin: StandIn) -> Services:
    """The stand-in's jobs, rows and knobs."""
    return standin.state.part(Services)


def put_status(standin: StandIn, row: PrearchiveRow, status: str) -> None:
    """Put a row into a status from behind, as a job that hangs leaves it."""
    rows = work_of(standin).prearchive
    found = rows.get(row.project, row.timestamp, row.folder)
    assert found is not None
    rows.update(found, status=status)
