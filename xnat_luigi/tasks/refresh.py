"""Catalogs brought up to date, and proven to be."""

from __future__ import annotations

import luigi

from ..exceptions import XNATIntegrityError, XNATNotFoundError, XNATUnclearError
from ..rest import absence, services
from ..targets.catalog import CatalogTarget
from ..targets.remote import ExperimentTarget
from ..transfer.upload import LOOKS
from ..uris import Address
from .archive import ArchiveSession
from .base import XnatTask
from .ending import cleanly
from .qc import GatedTask

__all__ = ["ExperimentReady", "RefreshCatalog", "RefreshSession"]

OPTIONS = ("append", "checksum", "populateStats")
"""Never `delete`: with a missing mount it would empty the catalogs (wire contract B 13.2)."""


class ExperimentReady(luigi.ExternalTask, XnatTask):
    """Somebody else makes the experiment; this task only says whether it is there."""

    experiment: str = luigi.StrParameter(description="ID or label of the experiment")

    def output(self) -> ExperimentTarget:
        return ExperimentTarget(self.server, self.project, self.experiment)


def refresh(task: XnatTask, experiment: str) -> None:
    """Refreshes all catalogs of an experiment and proves by listing that it did something (P5)."""
    connection = task.connect()
    found = absence.find_experiment(connection, task.project, experiment)
    if found is None:
        raise XNATNotFoundError(f"{task.server}: project {task.project} has no {experiment}")
    target = CatalogTarget(task.server, task.project, found.id)
    try:
        services.refresh_catalog(connection, [Address(experiment=found.id).archive_uri()], OPTIONS)
    except XNATUnclearError:  # it may run yet behind a proxy that gave up; no second order (B 13.2)
        for pause in LOOKS:
            if not target.open_points():
                return
            connection.pause(pause)
        if target.open_points():
            raise
        return
    left = target.open_points()
    if left:
        raise XNATIntegrityError(
            f"{task.server}: the catalogs of {experiment} are not right after a refresh: "
            f"{'; '.join(left)}"
        )


class RefreshCatalog(XnatTask):
    """Sizes, digests and counts for all files of an experiment.

    Complete when the listing shows them.
    """

    experiment: str = luigi.StrParameter(description="ID or label of the experiment")

    def requires(self) -> ExperimentReady:
        return self.derive(ExperimentReady)

    def output(self) -> CatalogTarget:
        return CatalogTarget(self.server, self.project, self.experiment)

    @cleanly
    def run(self) -> None:
        refresh(self, self.experiment)
        self.status_line().say("catalogs refreshed", done=1.0, final=True)


class RefreshSession(GatedTask):
    """The end of a study's way in: archived, and its catalogs right."""

    def requires(self) -> ArchiveSession:
        return self.derive(ArchiveSession)

    def output(self) -> CatalogTarget:
        return CatalogTarget(self.server, self.project, self.session)

    @cleanly
    def run(self) -> None:
        refresh(self, self.session)
        self.status_line().say("catalogs refreshed", done=1.0, final=True)
