"""The intake as Luigi tasks: one a stage, each with a target of its own."""

from __future__ import annotations

from pathlib import Path

import luigi
import pytest

from pipelines.material import cut
from tests.intake.conftest import Line, correct, small_study
from tests.targets.contract import TargetContract
from xnat_luigi.intake.bringing import bring_in
from xnat_luigi.intake.keys import StudyKey
from xnat_luigi.intake.ledger import DONE, HELD, Ledger
from xnat_luigi.rest import listings
from xnat_luigi.targets.history import LedgerTarget
from xnat_luigi.tasks import ArchiveReady, CloseSession, TakeInFolder


def build(task: luigi.Task) -> bool:
    result = luigi.build([task], local_scheduler=True, no_lock=True, log_level="ERROR")
    return bool(result)


def night(line: Line, tmp_path: Path, **words: str) -> TakeInFolder:
    return TakeInFolder(
        server=line.server.url,
        project="P1",
        folder=str(line.made.folder),
        evidence=str(tmp_path / "evidence"),
        **words,
    )


def ready(line: Line, tmp_path: Path, **words: str) -> ArchiveReady:
    return ArchiveReady(
        server=line.server.url, project="P1", evidence=str(tmp_path / "evidence"), **words
    )


def test_a_folder_goes_all_the_way(line: Line, tmp_path: Path) -> None:
    small_study(line.made.folder / "more", 2)
    assert build(night(line, tmp_path))
    assert len(line.experiments()) == 2 and line.rows() == []
    entries = Ledger(tmp_path / "evidence").entries()
    assert [entry.stage for entry in entries] == [DONE, DONE]
    assert "6 with the MD5 sent" in entries[0].facts["proof"]
    experiment = entries[0].facts["experiment"]
    assert [a.label for a in listings.list_assessors(line.conn, experiment)] == ["S001_MR1_QC"]
    assert {scan.quality for scan in listings.list_scans(line.conn, experiment)} == {"usable"}
    assert (tmp_path / "evidence" / "reports" / "index.html").is_file()


def test_a_second_run_asks_the_server_nothing(line: Line, tmp_path: Path) -> None:
    assert build(night(line, tmp_path))
    line.server.log.clear()
    assert build(night(line, tmp_path))
    assert line.server.requests == []


def test_one_held_study_stops_no_other(line: Line, tmp_path: Path) -> None:
    cut(line.made.files[0])
    small_study(line.made.folder / "more", 2)
    assert not build(night(line, tmp_path))
    assert [label for label, _ in line.experiments()] == ["S002_MR1"]
    stages = [entry.stage for entry in Ledger(tmp_path / "evidence").entries()]
    assert stages == [HELD, DONE]


def test_the_source_is_deleted_by_policy_and_stays_complete(line: Line, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[project.P1]\ndelete_source = true\n")
    task = night(line, tmp_path, policy=str(policy))
    (close,) = task.requires()
    assert build(task) and line.archived_once()
    assert not any(path.exists() for path in line.made.files)
    assert isinstance(close, CloseSession) and close.complete()


def test_a_source_corrected_before_the_end_stays(line: Line, tmp_path: Path) -> None:
    """Days may lie between the import and the end of a study's way."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[project.P1]\ndelete_source = true\n")
    (close,) = night(line, tmp_path, policy=str(policy)).requires()
    assert build(close.requires())
    correct(line.made.files[0])
    assert build(close) and close.complete()
    assert [path for path in line.made.files if path.exists()] == [line.made.files[0]]
    (entry,) = Ledger(tmp_path / "evidence").entries()
    assert any("deleted 5 of 6 files" in event.detail for event in entry.events)


def test_ready_rows_are_archived(line: Line, tmp_path: Path) -> None:
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    assert build(ready(line, tmp_path))
    assert line.archived_once()
    line.server.log.clear()
    assert build(ready(line, tmp_path))
    asked = [r.path for r in line.server.requests]
    confirmed = ["/data/auth", "/data/projects/P1"]  # no row could also be no project
    assert asked == ["/data/prearchive/projects/P1", *confirmed]


def test_a_held_row_fails_its_task_once_and_is_left_alone_then(line: Line, tmp_path: Path) -> None:
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    rules = tmp_path / "rules.toml"
    rules.write_text('[header]\nModality = "CT"\n')
    assert not build(ready(line, tmp_path, rules=str(rules)))
    assert line.rows() == [("S001_MR1", "READY")]
    line.server.log.clear()
    assert build(ready(line, tmp_path, rules=str(rules)))
    assert len(line.server.requests) == 1


class TestLedgerTarget(TargetContract):
    """The contract of all targets; here nothing is asked of a server."""

    @pytest.fixture
    def present(self, tmp_path: Path) -> LedgerTarget:
        target = LedgerTarget(str(tmp_path), "http://x", "P1", "1.2.3", "S1", "S1_MR1", "verified")
        ledger = Ledger(tmp_path)
        ledger.record("http://x", StudyKey("P1", "1.2.3", "S1", "S1_MR1"), "verified")
        return target

    @pytest.fixture
    def absent(self, present: LedgerTarget) -> LedgerTarget:
        return LedgerTarget(*(*vars(present).values(),)[:-1], "done")
