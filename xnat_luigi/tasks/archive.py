"""From the prearchive into the archive, once."""

from __future__ import annotations

from ..intake.archiving import archive
from ..intake.ledger import Ledger
from ..targets.prearchive import ArchivedTarget
from .ending import cleanly
from .qc import GatedTask, QCSession

__all__ = ["ArchiveSession"]


class ArchiveSession(GatedTask):
    """Archives a study that passed QC; exactly once, whatever answers are lost.

    Complete if an experiment with this UID exists and the prearchive holds the study no more.
    """

    def requires(self) -> QCSession:
        return self.derive(QCSession)

    def output(self) -> ArchivedTarget:
        return ArchivedTarget(self.server, self.project, self.study)

    @cleanly
    def run(self) -> None:
        status = self.status_line()
        status.say(f"archiving {self.session}", final=True)
        with Ledger(self.evidence).lock_subject(self.server, self.key):
            settled = archive(self.connect(), self.key, journal=self.journal)
        status.say(f"archived as {settled.experiment.id}", done=1.0, final=True)
