"""What a check says: findings, and the verdict they add up to. Plain data that survives JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

PASS = "pass"
WARN = "warn"
FAIL = "fail"
STATUSES = (PASS, WARN, FAIL)
"""From good to bad."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule looked at one thing: the value found beside the value wanted.

    `series` is the SeriesInstanceUID it concerns, "" for the study as a whole; `files` names the
    files that show it (not more than a handful).
    """

    rule: str
    status: str
    message: str
    found: str = ""
    wanted: str = ""
    series: str = ""
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"{self.status!r} is no status of a finding: pass, warn or fail")


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of a study; as bad as its worst finding, and a fail when nothing was checked at
    all.
    """

    findings: tuple[Finding, ...]

    @property
    def status(self) -> str:
        if not self.findings:
            return FAIL
        return max((finding.status for finding in self.findings), key=STATUSES.index)

    @property
    def passed(self) -> bool:
        return self.status == PASS

    @property
    def ordered(self) -> tuple[Finding, ...]:
        """Failing first, then warning, then passing; in the order of the rules within."""
        return tuple(sorted(self.findings, key=lambda found: -STATUSES.index(found.status)))

    @property
    def reasons(self) -> tuple[str, ...]:
        """A sentence for everything that is not a pass."""
        return tuple(
            f"{found.rule}: {found.message}" for found in self.ordered if found.status != PASS
        )

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(self.findings + other.findings)

    def to_dict(self) -> dict[str, Any]:
        return {"status": self.status, "findings": [asdict(found) for found in self.findings]}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        return cls(
            tuple(
                Finding(**{**found, "files": tuple(found.get("files", ()))})
                for found in data["findings"]
            )
        )

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """Raises ValueError for text that `to_json` did not write."""
        try:
            return cls.from_dict(json.loads(text))
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no verdict: {error}") from None

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Verdict:
        return cls(tuple(findings))
