"""The verdict about a study, on disk, as a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import luigi

from ..qc.verdicts import PASS, Verdict
from ..staging.save import save_text

__all__ = ["VerdictTarget"]


@dataclass(frozen=True)
class VerdictTarget(luigi.Target):
    """Exists when the file holds a verdict good enough to go on.

    Args:
        path: the evidence, JSON as `Verdict.to_json` writes it.
        accepted: statuses that let the study pass, separated by commas.
    """

    path: str
    accepted: str = PASS

    def read(self) -> Verdict | None:
        """The verdict, None when there is none or the file is damaged (then it is made again)."""
        try:
            return Verdict.from_json(Path(self.path).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def write(self, verdict: Verdict) -> None:
        """Keeps a verdict, good or bad, replacing an older one."""
        save_text(Path(self.path), verdict.to_json() + "\n")

    def exists(self) -> bool:
        verdict = self.read()
        return verdict is not None and verdict.status in self.accepted.split(",")
