"""Archiving that goes wrong on the way: ordered once, looked after to its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rest.conftest import no_sleep
from tests.rest.material import UID, put_status, study_zip, work_of
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import (
    XNATConflictError,
    XNATNotFoundError,
    XNATResponseError,
    XNATTimeoutError,
    XNATUnclearError,
)
from xnat_luigi.rest import absence, prearchive, services
from xnat_luigi.rest.archiving import Patience, archive_row, wait_for_row
from xnat_luigi.rest.records import PrearchiveRow
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.archiver import Failure
from xnat_luigi.standin.faults import Fault


@pytest.fixture
def conn(standin: StandIn) -> Iterator[Connection]:
    connection = Connection(Transport(standin.url), Credentials("admin", "admin"), sleep=no_sleep)
    yield connection
    standin.faults.clear()
    connection.close()


@pytest.fixture
def row(conn: Connection, standin: StandIn) -> PrearchiveRow:
    standin.add_project("P1")
    services.import_archive(conn, study_zip(), project="P1", subject="S1", session="S1_MR1")
    found = absence.find_row(conn, "P1", UID)
    assert found is not None
    return prearchive.build(conn, found)


class Pacer:
    """A clock that stands until somebody sleeps, and then moves the stand-in's clock too."""

    def __init__(self, standin: StandIn) -> None:
        self.now = 0.0
        self.standin = standin
        self.slept: list[float] = []

    def patience(self, most: float = 60.0, grace: float = 10.0) -> Patience:
        return Patience(most, grace, 1.0, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self.standin.clock.advance(seconds)


@pytest.fixture
def pacer(standin: StandIn) -> Pacer:
    return Pacer(standin)


def orders(standin: StandIn) -> int:
    """How many orders to archive the server got."""
    return sum(
        1
        for one in standin.requests
        if one.method == "POST" and one.path.endswith("/services/archive")
    )


@pytest.mark.parametrize("status", [502, 503, 504])
def test_N8_a_proxy_gives_up_while_the_job_runs(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer, status: int
) -> None:
    work_of(standin).archiver.knobs.archive_delay = 3.0
    standin.faults.add(Fault(method="POST", path="/services/archive", rewrite_status=status))
    standin.clock.advance(0)
    import threading

    ticking = threading.Event()

    def tick() -> None:
        while not ticking.wait(0.02):
            standin.clock.advance(0.5)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        found = archive_row(conn, row, patience=pacer.patience())
    finally:
        ticking.set()
        thread.join()
    assert (found.label, found.uid) == ("S1_MR1", UID)
    assert orders(standin) == 1


def test_N8_the_connection_is_lost_after_the_order(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer
) -> None:
    standin.faults.add(Fault(method="POST", path="/services/archive", drop=True))
    found = archive_row(conn, row, subject="T1", session="T1_MR", patience=pacer.patience())
    assert found.label == "T1_MR"
    assert orders(standin) == 1


def test_N8_an_order_that_never_arrived_is_told_and_not_repeated(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer
) -> None:
    standin.faults.add(Fault(method="POST", path="/services/archive", status=504))
    with pytest.raises(XNATUnclearError):
        archive_row(conn, row, patience=pacer.patience(grace=5))
    assert orders(standin) == 1
    assert sum(pacer.slept) >= 5
    (still,) = prearchive.list_rows(conn, "P1")
    assert still.status == "READY"


@pytest.mark.parametrize("status", [None, 400, 409, 500])
def test_P3_a_conflict_is_one_error_with_the_servers_log(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer, status: int | None
) -> None:
    knobs = work_of(standin).archiver.knobs
    knobs.failure = Failure("CONFLICT", "Session already exists with matching files.")
    if status is not None:
        standin.faults.add(Fault(method="POST", path="/services/archive", rewrite_status=status))
    with pytest.raises(XNATConflictError, match="already exists with matching files") as caught:
        archive_row(conn, row, patience=pacer.patience())
    assert "CONFLICT" in str(caught.value) and row.url in str(caught.value)
    assert orders(standin) == 1


def test_P3_an_error_of_the_job_is_no_conflict(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer
) -> None:
    work_of(standin).archiver.knobs.failure = Failure("ERROR", "The disk is on fire.")
    with pytest.raises(XNATResponseError, match="on fire") as caught:
        archive_row(conn, row, patience=pacer.patience())
    assert not isinstance(caught.value, XNATConflictError)
    with pytest.raises(XNATConflictError, match="look into its log"):
        archive_row(conn, row, patience=pacer.patience())
    assert orders(standin) == 1


def test_P4_archived_by_others_meanwhile_is_done(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer
) -> None:
    services.archive(conn, row)
    with pytest.raises(XNATNotFoundError, match="archived already"):
        archive_row(conn, row, patience=pacer.patience())
    assert orders(standin) == 1


def test_P4_an_experiment_that_appears_late(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer
) -> None:
    work_of(standin).archiver.knobs.visibility_delay = 4.0
    found = archive_row(conn, row, patience=pacer.patience(grace=30))
    assert found.uid == UID
    assert 0 < sum(pacer.slept) < 30


def test_P4_removed_by_others_is_told(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer
) -> None:
    work_of(standin).archiver.knobs.visibility_delay = 10_000.0
    with pytest.raises(XNATNotFoundError, match="shows no experiment"):
        archive_row(conn, row, patience=pacer.patience(grace=3))


def test_P2_a_stuck_row_ends_with_its_last_status(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer
) -> None:
    put_status(standin, row, "_ARCHIVING")
    with pytest.raises(XNATTimeoutError, match="still _ARCHIVING after 20 s"):
        wait_for_row(conn, row, pacer.patience(most=20))
    with pytest.raises(XNATConflictError, match="wait"):
        archive_row(conn, row, patience=pacer.patience())
    assert orders(standin) == 0


def test_B3_3_a_row_that_still_receives_is_not_archived(
    conn: Connection, row: PrearchiveRow, standin: StandIn, pacer: Pacer
) -> None:
    services.import_archive(conn, study_zip(), project="P1", subject="S1", session="S1_MR1")
    with pytest.raises(XNATConflictError, match="may still arrive"):
        archive_row(conn, row, patience=pacer.patience())
    assert orders(standin) == 0
