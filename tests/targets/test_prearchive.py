"""Studies on their way in, as targets: the contract, and what the key means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.material import MadeStudy, make_study, series_of
from xnat_luigi.connection.registry import connection_for
from xnat_luigi.qc.verdicts import FAIL, PASS, Finding, Verdict
from xnat_luigi.rest import prearchive, services
from xnat_luigi.staging.pack import pack_zip
from xnat_luigi.standin import StandIn
from xnat_luigi.targets.evidence import VerdictTarget
from xnat_luigi.targets.prearchive import ArchivedTarget, PrearchiveTarget, StudyTarget
from xnat_luigi.targets.staged import StagedResourceTarget
from xnat_luigi.tasks import DownloadResource

from .contract import RemoteContract, TargetContract


@pytest.fixture
def study(archive: StandIn, tmp_path: Path) -> MadeStudy:
    """A study in the prearchive of P1, built."""
    made = make_study(
        tmp_path / "study", subject="S9", session="S9_MR1", series=series_of(["T1w"]), side=64
    )
    connection = connection_for(archive.url)
    body = pack_zip((path.name, path) for path in made.files)
    services.import_archive(connection, body, project="P1", subject="S9", session="S9_MR1")
    row = PrearchiveTarget(archive.url, "P1", made.uid, statuses="").row()
    assert row is not None
    prearchive.build(connection, row)
    return made


@pytest.fixture
def archived(archive: StandIn, study: MadeStudy) -> MadeStudy:
    """The same, archived."""
    row = PrearchiveTarget(archive.url, "P1", study.uid, statuses="").row()
    assert row is not None
    services.archive(connection_for(archive.url), row)
    return study


class TestPrearchive(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn, study: MadeStudy) -> Any:
        return PrearchiveTarget(archive.url, "P1", study.uid)

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return PrearchiveTarget(archive.url, "P1", "1.2.3")


class TestStudy(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn, study: MadeStudy) -> Any:
        return StudyTarget(archive.url, "P1", study.uid)

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return StudyTarget(archive.url, "P1", "1.2.3")


class TestArchived(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn, archived: MadeStudy) -> Any:
        return ArchivedTarget(archive.url, "P1", archived.uid)

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return ArchivedTarget(archive.url, "P1", "1.2.3")


class TestStagedResource(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn, tmp_path: Path) -> Any:
        place = {"experiment": "S1_MR1", "scan": "1", "resource": "DICOM"}
        dest = str(tmp_path / "dest")
        DownloadResource(server=archive.url, project="P1", dest=dest, **place).run()
        return StagedResourceTarget(archive.url, "P1", root=dest, **place)

    @pytest.fixture
    def absent(self, archive: StandIn, tmp_path: Path) -> Any:
        place = {"experiment": "S1_MR1", "resource": "NOTES"}
        return StagedResourceTarget(archive.url, "P1", root=str(tmp_path / "dest"), **place)


class TestVerdict(TargetContract):
    @pytest.fixture
    def present(self, tmp_path: Path) -> Any:
        target = VerdictTarget(str(tmp_path / "good.json"))
        target.write(Verdict.of([Finding("files whole", PASS, "all of them")]))
        return target

    @pytest.fixture
    def absent(self, tmp_path: Path) -> Any:
        target = VerdictTarget(str(tmp_path / "bad.json"))
        target.write(Verdict.of([Finding("files whole", FAIL, "one is cut")]))
        return target


def test_a_study_stays_the_same_when_its_row_ends(archive: StandIn, archived: MadeStudy) -> None:
    """Archiving deletes the row: what asks for the row alone would import again."""
    assert not PrearchiveTarget(archive.url, "P1", archived.uid, statuses="").exists()
    assert StudyTarget(archive.url, "P1", archived.uid).exists()
    assert ArchivedTarget(archive.url, "P1", archived.uid).exists()


def test_a_row_is_not_an_archived_study(archive: StandIn, study: MadeStudy) -> None:
    assert not ArchivedTarget(archive.url, "P1", study.uid).exists()


@pytest.mark.parametrize(
    ("statuses", "there"),
    [("READY", True), ("CONFLICT,READY", True), ("", True), ("ERROR", False)],
)
def test_a_row_counts_with_its_status(
    archive: StandIn, study: MadeStudy, statuses: str, there: bool
) -> None:
    assert PrearchiveTarget(archive.url, "P1", study.uid, statuses).exists() is there


def test_a_damaged_verdict_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_text('{"half')
    assert VerdictTarget(str(path)).exists() is False
