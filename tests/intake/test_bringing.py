"""Files into the prearchive: once, whole, and never where somebody else's study lies."""

from __future__ import annotations

import threading

import pydicom
import pytest

from pipelines.material import cut
from tests.intake.conftest import Line
from xnat_luigi.dicom import read_header
from xnat_luigi.exceptions import XNATIntegrityError, XNATResponseError, XNATValueError
from xnat_luigi.intake import ledger
from xnat_luigi.intake.archiving import archive
from xnat_luigi.intake.arrivals import in_row, make_images
from xnat_luigi.intake.bringing import Brought, Sending, bring_in
from xnat_luigi.intake.changing import Change, change_study
from xnat_luigi.intake.keys import StudyHeldError
from xnat_luigi.intake.studies import read_folder
from xnat_luigi.rest import prearchive, services
from xnat_luigi.standin.faults import Fault


def bring(line: Line) -> Brought:
    return bring_in(line.conn, line.key, line.files, pace=line.pace)


def test_B13_upload_without_dest_then_build(line: Line) -> None:
    brought = bring(line)
    assert brought.row is not None and brought.row.status == "READY"
    assert brought.arrival is not None and brought.arrival.complete
    assert line.rows() == [("S001_MR1", "READY")] and line.experiments() == []
    query = next(r.query for r in line.server.requests if "/services/import" in r.path)
    assert "dest" not in query and "overwrite" not in query
    assert len(brought.sent) == 6 and all(len(md5) == 32 for md5 in brought.sent.values())


def test_B13_2_a_second_call_sends_nothing(line: Line) -> None:
    bring(line)
    again = bring(line)
    assert again.uploads == 0 and line.imports == 1 and line.rows() == [("S001_MR1", "READY")]


def test_B13_2_what_is_archived_is_not_sent_again(line: Line) -> None:
    bring(line)
    archive(line.conn, line.key, pace=line.pace)
    again = bring(line)
    assert again.row is None and again.experiment is not None
    assert line.imports == 1 and line.archived_once()


def test_B1_6_files_that_came_later_are_sent_to_the_same_row(line: Line) -> None:
    bring_in(line.conn, line.key, line.files[:4], pace=line.pace)
    brought = bring(line)
    assert brought.uploads == 1 and brought.arrival is not None
    assert brought.arrival.found == 6 and line.rows() == [("S001_MR1", "READY")]


def test_B2_4_a_file_that_came_during_a_build_is_not_lost(line: Line) -> None:
    """The build ends in READY with a document that lacks it; the comparison finds that."""
    first = bring_in(line.conn, line.key, line.files[:5], pace=line.pace).row
    assert first is not None
    line.services.jobs.hold("_BUILDING")
    builder = threading.Thread(target=prearchive.build, args=(line.conn, first))
    builder.start()
    assert line.services.jobs.reached("_BUILDING")
    sending = Sending(make_images(line.files))
    services.import_archive(
        line.conn, sending.stream(), project="P1", subject="S001", session="S001_MR1"
    )
    line.services.jobs.release()
    builder.join()
    row = prearchive.list_rows(line.conn, "P1")[0]
    assert row.status == "READY" and not in_row(line.conn, row, sending.md5).complete
    brought = bring(line)
    assert brought.arrival is not None and brought.arrival.found == 6


def test_a_study_in_the_row_of_another_label_is_left_alone(line: Line) -> None:
    other = line.key.__class__(line.key.project, line.key.study_uid, line.key.subject, "S001_OTHER")
    bring_in(line.conn, other, line.files, pace=line.pace)
    with pytest.raises(StudyHeldError, match="S001_OTHER"):
        bring(line)
    assert line.imports == 1


def test_B13_1_a_study_in_another_project_is_not_sent_again(line: Line) -> None:
    line.server.add_project("P2")
    other = line.key.__class__("P2", line.key.study_uid, line.key.subject, line.key.session)
    bring_in(line.conn, other, line.files, pace=line.pace)
    with pytest.raises(StudyHeldError, match="P2"):
        bring(line)
    assert line.imports == 1


def test_a_label_taken_by_another_study_stops(line: Line) -> None:
    line.server.add_session("P1", "S001", "S001_MR1")
    with pytest.raises(StudyHeldError, match="another study"):
        bring(line)
    assert line.imports == 0


def test_B1_3_an_unknown_project_is_found_before_anything_is_sent(line: Line) -> None:
    nowhere = line.key.__class__("NOWHERE", line.key.study_uid, "S001", "S001_MR1")
    with pytest.raises(XNATResponseError):
        bring_in(line.conn, nowhere, line.files, pace=line.pace)
    assert line.imports == 0 and line.rows() == []


def test_X_a_cut_file_is_refused_before_sending(line: Line) -> None:
    cut(line.made.files[0])
    headers = [read_header(path) for path in line.made.files]
    with pytest.raises(XNATValueError, match="truncated"):
        bring_in(line.conn, line.key, headers, pace=line.pace)
    assert line.imports == 0


def test_a_file_that_changes_after_it_was_looked_at_stops(line: Line) -> None:
    files = line.files
    with line.made.files[0].open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(XNATIntegrityError, match="changed"):
        bring_in(line.conn, line.key, files, pace=line.pace)
    assert line.imports == 0


def test_B1_4_an_empty_answer_is_a_failure(line: Line) -> None:
    """Every upload is answered with nothing: three tries, then an error, nothing believed."""
    line.server.faults.add(Fault(method="POST", path="/services/import", status=200, body=""))
    with pytest.raises(XNATResponseError, match="empty"):
        bring(line)
    assert line.imports == 3 and line.rows() == []
    assert line.clock >= 2 * 30  # the grace of every upload


def test_the_history_says_what_was_sent(
    line: Line, tmp_path_factory: pytest.TempPathFactory
) -> None:
    book = ledger.Ledger(tmp_path_factory.mktemp("book"))
    bring_in(
        line.conn,
        line.key,
        line.files,
        pace=line.pace,
        journal=book.journal(line.conn.server, line.key),
    )
    entry = book.read(line.conn.server, line.key)
    assert entry is not None
    assert [event.stage for event in entry.events] == ["sending", "sent", "built"]
    assert len(entry.facts["sent"]) == 6


def test_progress_is_told_in_bytes(line: Line) -> None:
    told: list[tuple[int, int]] = []
    bring_in(
        line.conn,
        line.key,
        line.files,
        pace=line.pace,
        progress=lambda done, total: told.append((done, total)),
    )
    assert len(told) == 6 and told[-1] == (line.made.bytes, line.made.bytes)


def blank(dataset: pydicom.Dataset) -> None:
    dataset.PatientName = "ANON"
    dataset.PatientBirthDate = ""


def test_a_hook_changes_the_data_sets_on_their_way(line: Line) -> None:
    study = change_study(read_folder(line.made.folder).find(line.made.uid), blank)
    bring_in(line.conn, line.key, study.files, pace=line.pace, change=Change(blank))
    stored = [p for p in line.server.root.rglob("*.dcm") if p.is_file()]
    assert len(stored) == 6
    assert {str(pydicom.dcmread(path).PatientName) for path in stored} == {"ANON"}
    assert {str(pydicom.dcmread(path).PatientName) for path in line.made.files} == {"S001"}


def test_a_hook_that_is_not_repeatable_stops_the_upload(line: Line) -> None:
    count = iter(range(1000))

    def wild(dataset: pydicom.Dataset) -> None:
        dataset.SOPInstanceUID = f"2.25.{next(count)}"

    study = change_study(read_folder(line.made.folder).find(line.made.uid), wild)
    with pytest.raises(XNATIntegrityError, match="repeatable"):
        bring_in(line.conn, line.key, study.files, pace=line.pace, change=Change(wild))
