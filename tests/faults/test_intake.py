"""Rows P1, P2 and P4 of the fault matrix: lost answers, stuck rows, other people's hands.

Whatever happens, at the end the study is archived exactly once or held with a reason.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from tests.intake.conftest import PROJECT, Line, small_study
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.exceptions import XNATError
from xnat_luigi.intake import ledger
from xnat_luigi.intake.archiving import archive
from xnat_luigi.intake.bringing import Sending, bring_in
from xnat_luigi.intake.keys import StudyHeldError, StudyLostError, StudyTimeoutError
from xnat_luigi.rest import prearchive, services
from xnat_luigi.staging.pack import pack_zip
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.archiver import Failure
from xnat_luigi.standin.faults import Fault

IMPORT, ARCHIVE = "/services/import", "/services/archive"


@pytest.fixture
def line(standin: StandIn, netrc: Path, tmp_path: Path) -> Iterator[Line]:
    """A project, a study in a folder, a connection."""
    standin.add_project(PROJECT)
    yield Line(standin, connection_for(standin.url), small_study(tmp_path / "in"))
    close_all()


@pytest.fixture
def ready(line: Line) -> Line:
    """The study is a READY row."""
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    return line


def through(line: Line) -> None:
    """The whole way."""
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    archive(line.conn, line.key, pace=line.pace)


def refused_beside(line: Line) -> None:
    """A scanner sends an image of the same study; then our upload is refused."""
    dataset = pydicom.dcmread(line.made.files[0])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    services.import_archive(
        line.conn,
        pack_zip([("scanner.dcm", buffer.getvalue())]),
        project=PROJECT,
        subject="S001",
        session="S001_MR1",
    )


LOST = [
    pytest.param({"drop": True}, id="dropped"),
    pytest.param({"rewrite_status": 502}, id="502"),
    pytest.param({"rewrite_status": 504}, id="504"),
    pytest.param({"cut": 10}, id="cut"),
    pytest.param({"replace": ""}, id="empty"),
]


@pytest.mark.parametrize("fault", LOST)
def test_P1_an_import_whose_answer_is_lost_is_found_and_not_sent_again(
    line: Line, fault: dict[str, object]
) -> None:
    line.server.faults.add(Fault(method="POST", path=IMPORT, times=1, **fault))  # type: ignore[arg-type]
    through(line)
    assert line.imports == 1 and line.archived_once()


@pytest.mark.parametrize("fault", [{"close": True}, {"reset": True}, {"status": 503}])
def test_P1_an_import_that_never_arrived_is_sent_again(
    line: Line, fault: dict[str, object]
) -> None:
    line.server.faults.add(Fault(method="POST", path=IMPORT, times=1, **fault))  # type: ignore[arg-type]
    through(line)
    assert line.imports == 2 and line.archived_once()


def test_P1_an_import_that_worked_and_was_answered_with_500(line: Line) -> None:
    line.server.faults.add(Fault(method="POST", path=IMPORT, times=1, rewrite_status=500))
    through(line)
    assert line.archived_once()


def test_P1_a_refused_import_leaves_no_part_behind(line: Line) -> None:
    """A project that archives by itself would take the part for a study (B 1.5)."""
    line.server.faults.add(Fault(method="POST", path=IMPORT, rewrite_status=400))
    with pytest.raises(XNATError):
        through(line)
    assert line.imports == 1 and line.rows() == [] and line.experiments() == []


def test_P1_a_refused_import_does_not_remove_what_others_sent(line: Line) -> None:
    """Somebody's image came into the same row between our look and our upload."""
    line.server.faults.add(Fault(method="POST", path=IMPORT, skip=1, rewrite_status=400))
    once = iter([True])
    make = Sending.stream

    def stream(self: Sending) -> Iterator[bytes]:
        if next(once, False):
            refused_beside(line)
        return make(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sending, "stream", stream)
        with pytest.raises(XNATError):
            bring_in(line.conn, line.key, line.files, pace=line.pace)
    (row,) = prearchive.list_rows(line.conn, PROJECT)
    assert any(path.name == "scanner.dcm" for path in line.server.root.rglob("*.dcm")), row


def test_the_deadline_begins_after_the_upload(line: Line) -> None:
    """An upload may take longer than the server is given for its own work."""

    def slow(done: int, total: int) -> None:
        line.clock += 3600.0

    line.server.faults.add(Fault(method="POST", path="action=build", times=2, status=504))
    brought = bring_in(line.conn, line.key, line.files, pace=line.pace, progress=slow)
    assert brought.row is not None and line.clock > 6 * 3600


@pytest.mark.parametrize("fault", LOST)
def test_P1_an_archive_order_whose_answer_is_lost_is_not_repeated(
    ready: Line, fault: dict[str, object]
) -> None:
    ready.server.faults.add(Fault(method="POST", path=ARCHIVE, times=1, **fault))  # type: ignore[arg-type]
    archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.orders == 1 and ready.archived_once()


def test_N8_504_while_the_job_runs_is_polled_and_not_ordered_again(ready: Line) -> None:
    """The request ends at once, the job stands at a held point for a long while."""
    ready.services.jobs.hold("_ARCHIVING")
    ready.server.preferences["sessionArchiveTimeoutInterval"] = 0
    ready.on_wait = lambda number: ready.services.jobs.release() if number == 8 else None
    archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.orders == 1 and ready.waits >= 8 and ready.archived_once()


@pytest.mark.parametrize("status", [400, 409, 500])
def test_P3_a_conflict_has_the_servers_log_whatever_its_code(ready: Line, status: int) -> None:
    ready.services.archiver.knobs.failure = Failure("CONFLICT", "same files", times=9)
    ready.server.faults.add(Fault(method="POST", path=ARCHIVE, rewrite_status=status))
    with pytest.raises(StudyHeldError, match="same files"):
        archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.experiments() == [] and ready.rows() == [("S001_MR1", "CONFLICT")]


@pytest.mark.parametrize("status", ["RECEIVING", "_ARCHIVING", "QUEUED_ARCHIVING", "_MOVING"])
def test_P2_a_row_that_never_moves_ends_at_the_deadline_with_its_status(
    ready: Line, status: str
) -> None:
    ready.services.prearchive.set_status(ready.services.prearchive.all()[0], status)
    with pytest.raises(StudyTimeoutError, match=f"row {status}"):
        archive(ready.conn, ready.key, pace=replace(ready.pace, deadline=60.0))
    assert 60 <= ready.clock < 120 and ready.orders == 0


def test_P2_a_build_that_never_ends_ends_at_the_deadline(ready: Line) -> None:
    ready.services.prearchive.set_status(ready.services.prearchive.all()[0], "_BUILDING")
    with pytest.raises(StudyTimeoutError, match="row _BUILDING"):
        bring_in(ready.conn, ready.key, ready.files, pace=replace(ready.pace, deadline=60.0))
    assert ready.imports == 1


def test_P4_archived_by_somebody_else_is_done(ready: Line) -> None:
    archive(connection_for(ready.server.url), ready.key, pace=ready.pace)
    assert archive(ready.conn, ready.key, pace=ready.pace).orders == 0
    assert ready.archived_once()


def test_P4_archived_by_somebody_else_in_the_same_moment(ready: Line) -> None:
    """Ours is refused because theirs runs; both end with the one experiment."""
    ready.services.jobs.hold("_ARCHIVING")
    theirs = threading.Thread(
        target=archive, args=(ready.conn, ready.key), kwargs={"pace": ready.pace}
    )
    theirs.start()
    assert ready.services.jobs.reached("_ARCHIVING")
    ready.on_wait = lambda number: ready.services.jobs.release()
    settled = archive(ready.conn, ready.key, pace=ready.pace)
    theirs.join()
    assert settled.orders == 0 and ready.orders == 1 and ready.archived_once()


def test_P4_an_order_after_the_success_is_no_failure(ready: Line) -> None:
    """Our look was just before theirs finished: the order gets 404, the next look says done."""
    first = prearchive.list_rows(ready.conn, PROJECT)
    archive(ready.conn, ready.key, pace=ready.pace)
    ready.server.faults.add(
        Fault(
            method="GET",
            path=f"/prearchive/projects/{PROJECT}\\?",
            times=1,
            status=200,
            headers={"Content-Type": "application/json"},
            body=_table(first[0].url, ready.made.uid),
        )
    )
    assert archive(ready.conn, ready.key, pace=ready.pace).experiment.label == "S001_MR1"
    assert ready.archived_once()


def _table(url: str, uid: str) -> str:
    """The listing as it was a moment ago."""
    _, _, _, project, stamp, folder = url.split("/")
    row = {
        "project": project,
        "timestamp": stamp,
        "folderName": folder,
        "name": folder,
        "subject": "S001",
        "tag": uid,
        "status": "READY",
        "url": url,
    }
    return json.dumps({"ResultSet": {"Result": [row]}})


def test_P4_the_experiment_becomes_visible_late(ready: Line) -> None:
    ready.services.archiver.knobs.visibility_delay = 12.0
    settled = archive(ready.conn, ready.key, pace=ready.pace)
    assert settled.orders == 1 and 12 <= ready.clock < 30
    ready.services.jobs.settle()
    assert ready.archived_once()


def test_P4_a_run_that_was_killed_after_its_order_is_not_sent_again(ready: Line) -> None:
    """The next run finds neither row nor experiment for a while: it must not send at once."""
    ready.services.archiver.knobs.visibility_delay = 12.0
    services.archive(ready.conn, prearchive.list_rows(ready.conn, PROJECT)[0])
    assert ready.rows() == [] and ready.experiments() == []
    brought = bring_in(ready.conn, ready.key, ready.files, pace=ready.pace, past=ledger.SENDING)
    assert brought.experiment is not None and ready.imports == 1
    ready.services.jobs.settle()
    assert ready.archived_once()


def test_P4_what_was_archived_and_is_gone_is_not_sent_by_itself(line: Line) -> None:
    with pytest.raises(StudyLostError, match="archived before and is gone"):
        bring_in(line.conn, line.key, line.files, pace=line.pace, past=ledger.ARCHIVED)
    assert line.imports == 0 and line.clock >= 30


def test_P4_the_experiment_is_visible_while_the_job_still_runs(ready: Line) -> None:
    ready.services.jobs.hold("SAVED")
    ready.server.preferences["sessionArchiveTimeoutInterval"] = 0
    ready.on_wait = lambda number: ready.services.jobs.release() if number == 5 else None
    archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.waits >= 5 and ready.orders == 1 and ready.archived_once()


def test_P4_a_row_deleted_by_somebody_is_lost_and_said_so(ready: Line) -> None:
    ready.services.prearchive.delete(ready.services.prearchive.all()[0])
    with pytest.raises(StudyLostError, match="neither a row nor an experiment"):
        archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.orders == 0


def test_P4_a_row_moved_by_somebody_is_named(ready: Line) -> None:
    ready.server.add_project("P2")
    prearchive.move(ready.conn, prearchive.list_rows(ready.conn, PROJECT)[0], "P2")
    with pytest.raises(StudyHeldError, match="prearchive of P2"):
        archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.orders == 0


@pytest.mark.parametrize("path", ["/prearchive/projects/P1", "/experiments"])
def test_an_outage_while_looking_is_never_an_absence(ready: Line, path: str) -> None:
    ready.server.faults.add(Fault(method="GET", path=path, status=500))
    with pytest.raises(XNATError):
        archive(ready.conn, ready.key, pace=ready.pace)
    assert ready.orders == 0 and ready.imports == 1


WORKER = """
import sys
from xnat_luigi.connection.registry import connection_for
from xnat_luigi.intake import ledger
from xnat_luigi.intake.archiving import archive
from xnat_luigi.intake.bringing import Sending, bring_in
from xnat_luigi.intake.keys import StudyKey
from xnat_luigi.intake.studies import read_folder
url, folder, uid, subject, session = sys.argv[1:]
conn, key = connection_for(url), StudyKey("P1", uid, subject, session)
bring_in(conn, key, read_folder(folder).find(uid).files)
archive(conn, key)
"""


def test_two_processes_without_a_lock_archive_it_once(line: Line) -> None:
    """No ledger, no lock: what is right depends on looking alone."""
    made = line.made
    words = [str(made.folder), made.uid, made.subject, made.session]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, line.server.url, *words],
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert line.archived_once()
