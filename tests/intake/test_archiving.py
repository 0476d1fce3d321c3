"""From the prearchive into the archive: the recovery table against a server that imitates it."""

from __future__ import annotations

import pytest

from tests.intake.conftest import Line
from xnat_luigi.exceptions import XNATForbiddenError, XNATValueError
from xnat_luigi.intake.archiving import archive, settle, validate
from xnat_luigi.intake.arrivals import make_images
from xnat_luigi.intake.bringing import Sending, bring_in
from xnat_luigi.intake.keys import StudyHeldError, StudyLostError
from xnat_luigi.intake.recovery import Action, decide
from xnat_luigi.rest import prearchive, services
from xnat_luigi.standin.archiver import Failure
from xnat_luigi.standin.faults import Fault


@pytest.fixture
def ready(line: Line) -> Line:
    """The study is a READY row."""
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    return line


def send_again(line: Line, count: int) -> None:
    """An upload that was ordered by nobody's rules, as after archiving by another tool."""
    sending = Sending(make_images(line.files[:count]))
    services.import_archive(
        line.conn, sending.stream(), project="P1", subject="S001", session="S001_MR1"
    )


def test_B13_1_ready_and_no_experiment_is_archived(ready: Line) -> None:
    settled = archive(ready.conn, ready.key, pace=ready.pace)
    assert settled.orders == 1 and settled.experiment.label == "S001_MR1"
    assert ready.archived_once()


def test_B3_the_order_is_sent_without_overwrite_and_without_redirect(ready: Line) -> None:
    archive(ready.conn, ready.key, pace=ready.pace)
    (query,) = (r.query for r in ready.server.requests if r.path.endswith("/services/archive"))
    assert "overwrite" not in query and "auto-archive=false" in query


def test_B13_1_no_row_and_the_same_experiment_is_success(ready: Line) -> None:
    archive(ready.conn, ready.key, pace=ready.pace)
    again = archive(ready.conn, ready.key, pace=ready.pace)
    assert again.orders == 0 and ready.orders == 1


def test_B13_1_neither_row_nor_experiment_is_lost_after_grace(line: Line) -> None:
    with pytest.raises(StudyLostError):
        archive(line.conn, line.key, pace=line.pace)
    assert line.clock >= 30 and line.waits > 3 and line.orders == 0


@pytest.mark.parametrize("status", ["CONFLICT", "ERROR"])
def test_B13_1_conflict_is_rebuilt_once_and_archived_once(ready: Line, status: str) -> None:
    ready.services.archiver.knobs.failure = Failure(status, "once")
    settled = archive(ready.conn, ready.key, pace=ready.pace)
    assert settled.orders == 2 and ready.asked("POST", "/prearchive/projects") == 2
    assert ready.archived_once()


@pytest.mark.parametrize("status", ["CONFLICT", "ERROR"])
def test_B13_1_then_a_human_is_asked_with_the_servers_log(ready: Line, status: str) -> None:
    ready.services.archiver.knobs.failure = Failure(status, "the disk is tired", times=9)
    with pytest.raises(StudyHeldError, match="the disk is tired") as caught:
        archive(ready.conn, ready.key, pace=ready.pace)
    assert status in caught.value.reason and ready.orders == 2
    assert ready.rows() == [("S001_MR1", status)] and ready.experiments() == []


def test_B13_1_a_row_of_archived_data_is_deleted(ready: Line) -> None:
    archive(ready.conn, ready.key, pace=ready.pace)
    send_again(ready, 6)
    ready.services.rebuilder.run()
    settled = archive(ready.conn, ready.key, pace=ready.pace)
    assert settled.orders == 0 and ready.archived_once()


def test_B13_1_a_row_with_more_than_the_archive_has_is_kept(line: Line) -> None:
    bring_in(line.conn, line.key, line.files[:5], pace=line.pace)
    archive(line.conn, line.key, pace=line.pace)
    send_again(line, 6)
    (row,) = prearchive.list_rows(line.conn, "P1")
    prearchive.build(line.conn, row)
    with pytest.raises(StudyHeldError, match="1 files that the archive lacks"):
        archive(line.conn, line.key, pace=line.pace)
    assert line.orders == 1 and line.rows() == [("S001_MR1", "READY")]


def test_append_is_sent_only_when_asked_for_and_once(line: Line) -> None:
    bring_in(line.conn, line.key, line.files[:5], pace=line.pace)
    archive(line.conn, line.key, pace=line.pace)
    send_again(line, 6)
    (row,) = prearchive.list_rows(line.conn, "P1")
    prearchive.build(line.conn, row)
    archive(line.conn, line.key, pace=line.pace, overwrite="append")
    queries = [r.query for r in line.server.requests if r.path.endswith("/services/archive")]
    assert ["overwrite=append" in query for query in queries] == [False, True]
    assert line.archived_once()


def test_overwrite_knows_two_words(line: Line) -> None:
    with pytest.raises(XNATValueError, match="none"):
        archive(line.conn, line.key, overwrite="none")


def test_B13_1_another_study_under_the_label_stops(ready: Line) -> None:
    ready.server.add_session("P1", "S009", "S001_MR1")
    with pytest.raises(StudyHeldError, match="another study"):
        archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.orders == 0 and ready.rows() == [("S001_MR1", "READY")]


def test_B3_5_the_dry_run_says_what_stands_against_it(ready: Line) -> None:
    assert not [f for f in validate(ready.conn, ready.key) if f.type != "WARN"]
    ready.server.add_session("P1", "S009", "S001_MR1")
    assert {f.type for f in validate(ready.conn, ready.key)} >= {"CONFLICT"}


def test_a_row_that_is_locked_is_waited_for(ready: Line) -> None:
    """Another client archives it; ours orders nothing and finds it done."""
    ready.services.jobs.hold("_ARCHIVING")
    ready.server.faults.add(
        Fault(method="POST", path="/services/archive", rewrite_status=504, times=1)
    )
    ready.on_wait = lambda number: ready.services.jobs.release() if number == 4 else None
    ready.server.preferences["sessionArchiveTimeoutInterval"] = 0
    settled = archive(ready.conn, ready.key, pace=ready.pace)
    assert settled.orders == 1 and ready.orders == 1 and ready.archived_once()


def test_settle_waits_and_orders_nothing(ready: Line) -> None:
    row = ready.services.prearchive.all()[0]
    ready.services.prearchive.set_status(row, "_BUILDING")
    ready.on_wait = lambda number: (
        ready.services.prearchive.set_status(row, "READY", own=True) if number == 3 else None
    )
    sight = settle(ready.conn, ready.key, pace=ready.pace)
    assert decide(sight).action is Action.ARCHIVE and ready.waits == 3 and ready.orders == 0


def test_no_right_to_archive_is_told_and_nothing_is_waited_for(ready: Line) -> None:
    ready.server.faults.add(Fault(method="POST", path="/services/archive", status=403))
    with pytest.raises(XNATForbiddenError):
        archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.orders == 1
