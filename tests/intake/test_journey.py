"""One study from a folder to the end, and every place where it may rest."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.material import cut, make_study, series_of
from tests.intake.conftest import Line, correct
from xnat_luigi.exceptions import XNATLockError
from xnat_luigi.gate.judging import Judging
from xnat_luigi.intake import ledger as stages
from xnat_luigi.intake.bringing import bring_in
from xnat_luigi.intake.decisions import decide
from xnat_luigi.intake.journey import Arrived, Plan, take_in, take_row
from xnat_luigi.intake.keys import StudyKey
from xnat_luigi.intake.ledger import Entry, Ledger
from xnat_luigi.intake.policy import Policies, Policy
from xnat_luigi.intake.rows import read_row
from xnat_luigi.intake.studies import Study, read_folder
from xnat_luigi.rest import contents, listings, prearchive
from xnat_luigi.standin.archiver import Failure
from xnat_luigi.standin.faults import Fault
from xnat_luigi.uris import Address

WARNING = '[header]\nModality = { value = "CT", severity = "warn" }\n'


@pytest.fixture
def plan(line: Line, tmp_path: Path) -> Plan:
    """A plan with the first gate alone, reports and a ledger."""
    judge = Judging(reports=str(tmp_path / "reports"), thumbnails=1)
    return Plan(Ledger(tmp_path / "state"), judge, pace=line.pace)


def study(line: Line) -> Study:
    return read_folder(line.made.folder).find(line.made.uid)


def go(line: Line, plan: Plan) -> Entry:
    return take_in(line.conn, study(line), line.key, plan)


def with_rules(plan: Plan, tmp_path: Path, text: str) -> Plan:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    judge = Judging(str(path), str(tmp_path / "reports"), thumbnails=1)
    return replace(plan, judge=judge, version=judge.version)


def named(entry: Entry) -> list[str]:
    return [event.stage for event in entry.events]


def test_a_sound_study_goes_all_the_way(line: Line, plan: Plan) -> None:
    entry = go(line, plan)
    assert entry.stage == stages.DONE, entry.detail
    assert line.archived_once()
    assert named(entry) == [
        *("found", "checked", "sending", "sent", "built", "built", "archiving", "archived"),
        *("verified", "recorded", "done"),
    ]
    assert "with the MD5 sent" in entry.facts["proof"]


def test_what_is_recorded_beside_the_data(line: Line, plan: Plan) -> None:
    """Scan quality, one assessor, the resource QC with page and verdict (B 11)."""
    entry = go(line, plan)
    experiment = entry.facts["experiment"]
    scans = listings.list_scans(line.conn, experiment)
    assert [scan.quality for scan in scans] == ["usable", "usable"]
    assessors = listings.list_assessors(line.conn, experiment)
    assert [(a.label, a.xsi_type) for a in assessors] == [
        ("S001_MR1_QC", "xnat:qcManualAssessorData")
    ]
    files = contents.list_files(line.conn, Address(experiment=experiment), "QC")
    assert {file.path for file in files} == {"S001_MR1.html", "S001_MR1.json"}


def test_a_second_run_does_nothing(line: Line, plan: Plan) -> None:
    before = go(line, plan)
    asked = len(line.server.requests)
    assert go(line, plan) == before and len(line.server.requests) == asked


def test_warnings_wait_for_a_human(line: Line, plan: Plan, tmp_path: Path) -> None:
    plan = with_rules(plan, tmp_path, WARNING)
    entry = go(line, plan)
    assert entry.stage == stages.HELD and entry.verdict == "warn"
    assert "Modality is MR, wanted CT" in entry.detail and line.imports == 0
    again = go(line, plan)
    assert again == entry  # nothing changed, so nothing is done and nothing is written


def test_an_approval_lets_it_go_on(line: Line, plan: Plan, tmp_path: Path) -> None:
    plan = with_rules(plan, tmp_path, WARNING)
    decide(plan.ledger, go(line, plan), "approve", "it is an MR study", who="ada")
    entry = go(line, plan)
    assert entry.stage == stages.DONE and line.archived_once()
    assert "by ada: it is an MR study" in [event.detail for event in entry.events]
    scans = listings.list_scans(line.conn, entry.facts["experiment"])
    assert {scan.quality for scan in scans} <= {"usable", "questionable"}


def test_an_approval_holds_for_the_reasons_that_were_seen(
    line: Line, plan: Plan, tmp_path: Path
) -> None:
    plan = with_rules(plan, tmp_path, WARNING)
    decide(plan.ledger, go(line, plan), "approve", "fine")
    worse = WARNING + 'BodyPartExamined = { value = "HEAD", severity = "warn" }\n'
    assert go(line, with_rules(plan, tmp_path, worse)).stage == stages.HELD
    assert line.imports == 0


def test_a_rejection_keeps_it_out(line: Line, plan: Plan, tmp_path: Path) -> None:
    plan = with_rules(plan, tmp_path, WARNING)
    decide(plan.ledger, go(line, plan), "reject", "wrong protocol", who="ada")
    entry = go(line, replace(plan, again=True))
    assert entry.stage == stages.HELD and "rejected by ada: wrong protocol" in entry.detail
    assert line.imports == 0


def test_X_a_cut_file_holds_the_study(line: Line, plan: Plan) -> None:
    cut(line.made.files[0])
    entry = go(line, plan)
    assert entry.stage == stages.HELD and entry.verdict == "fail"
    assert "not whole" in entry.detail and line.imports == 0


def test_a_study_that_was_repaired_goes_on(line: Line, plan: Plan) -> None:
    whole = line.made.files[0].read_bytes()
    cut(line.made.files[0])
    assert go(line, plan).stage == stages.HELD
    line.made.files[0].write_bytes(whole)
    assert go(line, plan).stage == stages.DONE and line.archived_once()


def test_an_exact_copy_is_left_out_and_said(line: Line, plan: Plan, tmp_path: Path) -> None:
    copy = line.made.folder / "copy.dcm"
    copy.write_bytes(line.made.files[0].read_bytes())
    assert go(line, plan).stage == stages.DONE
    page = (tmp_path / "reports" / "P1" / "S001_MR1.html").read_text()
    assert "Left out" in page and line.archived_once()


def test_an_outage_is_a_failure_that_the_next_run_repairs(line: Line, plan: Plan) -> None:
    line.server.faults.add(Fault(method="GET", path="/prearchive", status=500))
    entry = go(line, plan)
    assert entry.stage == stages.FAILED and "500" in entry.detail
    line.server.faults.clear()
    assert go(line, plan).stage == stages.DONE and line.archived_once()


def test_the_servers_reason_is_kept(line: Line, plan: Plan) -> None:
    line.services.archiver.knobs.failure = Failure("ERROR", "the disk is tired", times=9)
    entry = go(line, plan)
    assert entry.stage == stages.HELD and "the disk is tired" in entry.facts["log"]
    assert go(line, replace(plan, again=True)).stage == stages.HELD
    line.services.archiver.knobs.failure = None
    assert go(line, replace(plan, again=True)).stage == stages.DONE and line.archived_once()


def test_files_that_came_after_archiving_are_held_not_lost(line: Line, plan: Plan) -> None:
    go(line, plan)
    more = make_study(
        line.made.folder,
        subject=line.made.subject,
        session=line.made.session,
        series=series_of(("T1w", "T2w", "FLAIR"), slices=3),
        side=64,
    )
    assert more.uid == line.made.uid
    entry = go(line, plan)
    assert entry.stage == stages.HELD and "missing" in entry.detail
    assert line.imports == 1 and line.archived_once()


def test_the_source_is_deleted_only_when_asked_and_only_after_proof(line: Line, plan: Plan) -> None:
    policies = Policies(projects={"P1": Policy(delete_source=True)})
    line.services.archiver.knobs.failure = Failure("ERROR", "no", times=9)
    held = go(line, replace(plan, policies=policies))
    assert held.stage == stages.HELD and all(path.exists() for path in line.made.files)
    line.services.archiver.knobs.failure = None
    done = go(line, replace(plan, policies=policies, again=True))
    assert done.stage == stages.DONE and not any(path.exists() for path in line.made.files)


def test_a_source_file_corrected_after_it_was_sent_stays(line: Line, plan: Plan) -> None:
    """The archive holds older bytes under its name: the one on disk may be the only one."""
    go(line, plan)
    correct(line.made.files[0])
    policies = Policies(projects={"P1": Policy(delete_source=True)})
    entry = go(line, replace(plan, policies=policies))
    assert entry.stage == stages.DONE and line.imports == 1
    assert [path for path in line.made.files if path.exists()] == [line.made.files[0]]
    said = [event.detail for event in entry.events if "of the source" in event.detail]
    assert len(said) == 1 and said[0].startswith("deleted 5 of 6 files")
    assert str(line.made.files[0]) in said[0]


def test_T3_where_the_answer_was_lost_the_archive_itself_proves_the_source(
    line: Line, plan: Plan
) -> None:
    """Nobody noted the MD5 of what was sent then."""
    line.server.faults.add(Fault(method="POST", path="/services/import", times=1, drop=True))
    policies = Policies(projects={"P1": Policy(delete_source=True)})
    entry = go(line, replace(plan, policies=policies))
    assert entry.stage == stages.DONE and line.imports == 1
    assert not any(entry.facts.get("sent", {}).values())
    assert not any(path.exists() for path in line.made.files)


def test_the_source_stays_by_default(line: Line, plan: Plan) -> None:
    go(line, plan)
    assert all(path.exists() for path in line.made.files)


def test_L1_another_process_has_it_in_hand(line: Line, plan: Plan) -> None:
    with plan.ledger.lock(line.conn.server, line.key), pytest.raises(XNATLockError):
        go(line, plan)
    assert line.imports == 0


def arrived(line: Line) -> Arrived:
    return read_row(line.conn, prearchive.list_rows(line.conn, "P1")[0])


def test_a_failed_row_is_moved_to_quarantine_by_policy(
    line: Line, plan: Plan, tmp_path: Path
) -> None:
    line.server.add_project("BAD")
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    (row,) = prearchive.list_rows(line.conn, "P1")
    policy = Policy(on_fail="quarantine", quarantine_project="BAD")
    plan = with_rules(plan, tmp_path, '[header]\nModality = "CT"\n')
    plan = replace(plan, policies=Policies(policy))
    entry = take_row(line.conn, row, line.key, lambda: arrived(line), plan)
    assert entry.stage == stages.HELD and "moved to /prearchive/projects/BAD" in entry.detail
    assert [row.project for row in line.services.prearchive.all()] == ["BAD"]


def test_a_good_row_is_archived(line: Line, plan: Plan) -> None:
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    (row,) = prearchive.list_rows(line.conn, "P1")
    entry = take_row(line.conn, row, line.key, lambda: arrived(line), plan)
    assert entry.stage == stages.DONE and line.archived_once()


def test_B12_two_sessions_of_a_new_subject_are_archived_one_after_the_other(
    line: Line, plan: Plan, tmp_path: Path
) -> None:
    """The server would fail one of two archives that meet at a subject which is not there yet."""
    other = make_study(
        tmp_path / "second",
        subject="S001",
        session="S001_MR2",
        series=series_of(("T1w",), slices=2),
        side=64,
    )
    second = StudyKey("P1", other.uid, "S001", "S001_MR2")
    line.services.jobs.hold("_ARCHIVING")
    runs = [
        threading.Thread(target=go, args=(line, plan)),
        threading.Thread(
            target=take_in, args=(line.conn, read_folder(other.folder).studies[0], second, plan)
        ),
    ]
    for run in runs:
        run.start()
    assert line.services.jobs.reached("_ARCHIVING")
    time.sleep(0.5)
    assert sorted(status for _, status in line.rows()) == ["READY", "_ARCHIVING"]
    line.services.jobs.release()
    for run in runs:
        run.join(30)
    assert len(line.experiments()) == 2 and line.rows() == []
