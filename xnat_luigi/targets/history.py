"""A study's stage in the ledger as a target."""

from __future__ import annotations

from dataclasses import dataclass

import luigi

from ..intake.keys import StudyKey
from ..intake.ledger import RESTING, Ledger

__all__ = ["LedgerTarget"]


@dataclass(frozen=True)
class LedgerTarget(luigi.Target):
    """Exists when the ledger says that a study passed a stage, and rests at none that stops it.

    For steps whose result is a proof or a decision, not an object on the server.

    Args:
        state: folder of the ledger.
        stage: one of `intake.ledger.STAGES`.
    """

    state: str
    server: str
    project: str
    study: str
    subject: str
    session: str
    stage: str

    def exists(self) -> bool:
        key = StudyKey(self.project, self.study, self.subject, self.session)
        entry = Ledger(self.state).read(self.server, key)
        return entry is not None and entry.passed(self.stage) and entry.stage not in RESTING
