"""Every kind of remote target keeps the contract."""

from __future__ import annotations

from typing import Any

import pytest

from xnat_luigi.standin import StandIn
from xnat_luigi.targets.catalog import CatalogTarget
from xnat_luigi.targets.remote import (
    AssessorTarget,
    ExperimentTarget,
    ProjectTarget,
    ScanTarget,
    SubjectTarget,
)
from xnat_luigi.targets.resource import FileTarget, ResourceTarget

from .contract import RemoteContract


class TestProject(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn) -> Any:
        return ProjectTarget(archive.url, "P1")

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return ProjectTarget(archive.url, "NOPE")


class TestSubject(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn) -> Any:
        return SubjectTarget(archive.url, "P1", "S1")

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return SubjectTarget(archive.url, "P1", "S2")


class TestExperiment(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn) -> Any:
        return ExperimentTarget(archive.url, "P1", "S1_MR1")

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return ExperimentTarget(archive.url, "P1", "S1_MR2")


class TestScan(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn) -> Any:
        return ScanTarget(archive.url, "P1", "S1_MR1", "1")

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return ScanTarget(archive.url, "P1", "S1_MR1", "2")


class TestAssessor(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn) -> Any:
        return AssessorTarget(archive.url, "P1", "S1_MR1", "S1_QC")

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return AssessorTarget(archive.url, "P1", "S1_MR1", "S1_OTHER")


class TestResource(RemoteContract):
    methods = ("fork", "spawn")

    @pytest.fixture
    def present(self, archive: StandIn) -> Any:
        return ResourceTarget(archive.url, "P1", "DICOM", experiment="S1_MR1", scan="1")

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return ResourceTarget(archive.url, "P1", "NIFTI", experiment="S1_MR1", scan="1")


class TestFile(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn) -> Any:
        return FileTarget(
            archive.url, "P1", "DICOM", experiment="S1_MR1", scan="1", path="sub/2.dcm"
        )

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return FileTarget(archive.url, "P1", "DICOM", experiment="S1_MR1", scan="1", path="2.dcm")


class TestCatalog(RemoteContract):
    @pytest.fixture
    def present(self, archive: StandIn) -> Any:
        return CatalogTarget(archive.url, "P1", "S1_MR1")

    @pytest.fixture
    def absent(self, archive: StandIn) -> Any:
        return CatalogTarget(archive.url, "P1", "S1_MR2")


@pytest.mark.parametrize(
    "target",
    [
        ScanTarget("SERVER", "P1", "S1_MR2", "1"),
        AssessorTarget("SERVER", "P1", "S1_MR2", "S1_QC"),
        ResourceTarget("SERVER", "P1", "DICOM", experiment="S1_MR2", scan="1"),
        ResourceTarget("SERVER", "P1", "DICOM", experiment="S1_MR1", scan="7"),
        ResourceTarget("SERVER", "P1", "DICOM", subject="S9"),
        FileTarget("SERVER", "P1", "DICOM", experiment="S1_MR2", scan="1", path="1.dcm"),
    ],
)
def test_what_lies_below_an_absent_item_is_absent(archive: StandIn, target: Any) -> None:
    fields = {**vars(target), "server": archive.url}
    assert type(target)(**fields).exists() is False


@pytest.mark.parametrize(
    "place",
    [
        {"experiment": "S1_MR1", "resource": "NOTES"},
        {"experiment": "S1_MR1", "assessor": "S1_QC", "resource": "REPORT"},
        {"experiment": "S1_MR1", "scan": "1", "resource": "DICOM"},
    ],
)
def test_resources_are_found_where_they_are(archive: StandIn, place: dict[str, str]) -> None:
    label = place.pop("resource")
    assert ResourceTarget(archive.url, "P1", label, **place).exists()
    assert not ResourceTarget(archive.url, "P1", label).exists()
