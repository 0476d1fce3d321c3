"""Studies on their way into the archive as targets. The key is the StudyInstanceUID."""

from __future__ import annotations

from dataclasses import dataclass

from ..rest import absence
from ..rest.records import Experiment, PrearchiveRow
from .remote import XnatTarget

__all__ = ["ArchivedTarget", "PrearchiveTarget", "StudyTarget"]


@dataclass(frozen=True)
class PrearchiveTarget(XnatTarget):
    """Exists when the prearchive holds the study in one of some statuses.

    Args:
        study: StudyInstanceUID (the row's `tag`).
        statuses: names of wire contract B 2.4, separated by commas; any status when empty.
    """

    project: str
    study: str
    statuses: str = "READY"

    def row(self) -> PrearchiveRow | None:
        """The study's oldest row, None when the prearchive has none."""
        rows = absence.find_rows(self.connect(), self.project, tag=self.study)
        return min(rows, key=lambda row: row.timestamp, default=None)

    def exists(self) -> bool:
        row = self.row()
        if row is None:
            return False
        return not self.statuses or row.status in self.statuses.split(",")


@dataclass(frozen=True)
class StudyTarget(XnatTarget):
    """Exists when the study is on the server: in the prearchive or archived, which ends its row."""

    project: str
    study: str

    def find(self) -> PrearchiveRow | Experiment | None:
        """The row, else the experiment, else None."""
        return absence.find_study(self.connect(), self.project, self.study)

    def exists(self) -> bool:
        return self.find() is not None


@dataclass(frozen=True)
class ArchivedTarget(StudyTarget):
    """Exists when an experiment with this UID does and the prearchive holds the study no more.

    The experiment becomes visible while the job that archives it still runs (wire contract B 3.3):
    only the row's end says that it is done.
    """

    def exists(self) -> bool:
        return isinstance(self.find(), Experiment)
