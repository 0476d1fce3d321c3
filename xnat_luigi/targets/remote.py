"""Items on the server as Luigi targets: project, subject, experiment, scan, assessor.

A target is a few strings. It opens no connection before `exists()` is asked, holds none afterwards,
and may be pickled, forked and compared. `exists()` has three answers: True, False by the table of
absence (`rest/absence.py`), and an error for everything else: an outage never looks like «absent»,
so Luigi then runs nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import luigi

from ..connection.registry import connection_for
from ..rest import absence

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "AssessorTarget",
    "ExperimentTarget",
    "ProjectTarget",
    "ScanTarget",
    "SubjectTarget",
    "XnatTarget",
]


@dataclass(frozen=True)
class XnatTarget(luigi.Target):
    """What all targets on a server share.

    Args:
        server: address of the server. The login is found where it is used: environment or netrc.
    """

    server: str

    @abstractmethod
    def exists(self) -> bool:
        """True or False when the server said so; an error of `exceptions.py` otherwise."""

    def connect(self) -> Connection:
        """This process's connection to the server; belongs to the registry, do not close it."""
        return connection_for(self.server)


@dataclass(frozen=True)
class ProjectTarget(XnatTarget):
    """Exists when the project does and we may read it."""

    project: str

    def exists(self) -> bool:
        return absence.project_exists(self.connect(), self.project)


@dataclass(frozen=True)
class SubjectTarget(XnatTarget):
    """Exists when the project has this subject (label or ID)."""

    project: str
    subject: str

    def exists(self) -> bool:
        return absence.subject_exists(self.connect(), self.project, self.subject)


@dataclass(frozen=True)
class ExperimentTarget(XnatTarget):
    """Exists when the project has this experiment (label or ID)."""

    project: str
    experiment: str

    def exists(self) -> bool:
        return absence.experiment_exists(self.connect(), self.project, self.experiment)


@dataclass(frozen=True)
class ScanTarget(XnatTarget):
    """Exists when the experiment has a scan of this ID."""

    project: str
    experiment: str
    scan: str

    def exists(self) -> bool:
        connection = self.connect()
        found = absence.find_experiment(connection, self.project, self.experiment)
        return found is not None and absence.scan_exists(connection, found.id, self.scan)


@dataclass(frozen=True)
class AssessorTarget(XnatTarget):
    """Exists when the experiment has this assessor (label or ID)."""

    project: str
    experiment: str
    assessor: str

    def exists(self) -> bool:
        connection = self.connect()
        found = absence.find_experiment(connection, self.project, self.experiment)
        return found is not None and absence.assessor_exists(connection, found.id, self.assessor)
