"""What a sync did."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

__all__ = ["Report", "SessionReport"]


@dataclass(frozen=True)
class SessionReport:
    """One session: what was done, files and bytes fetched, and the reason of a failure."""

    session: str
    reason: str
    files: int = 0
    bytes: int = 0
    kept: int = 0
    removed: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    failed: str = ""
    exit_status: int = 0


@dataclass(frozen=True)
class Report:
    """All sessions of a run."""

    project: str
    sessions: tuple[SessionReport, ...]
    same: int
    seconds: float = 0.0
    deleted: tuple[str, ...] = field(default=())

    @property
    def files(self) -> int:
        """Files fetched."""
        return sum(one.files for one in self.sessions)

    @property
    def bytes(self) -> int:
        """Bytes fetched."""
        return sum(one.bytes for one in self.sessions)

    @property
    def failed(self) -> tuple[SessionReport, ...]:
        """The sessions that could not be fetched."""
        return tuple(one for one in self.sessions if one.failed)

    @property
    def exit_status(self) -> int:
        """0, or the largest status of a failure."""
        return max((one.exit_status for one in self.failed), default=0)

    def to_json(self) -> str:
        """For machines."""
        return json.dumps({**asdict(self), "files": self.files, "bytes": self.bytes}, indent=1)

    def to_text(self) -> str:
        """For people: a line for every session that was not the same, and a sum."""
        lines = []
        for one in self.sessions:
            said = (
                f"failed: {one.failed}" if one.failed else f"{one.files} files, {one.bytes} bytes"
            )
            lines.append(f"{one.session}: {one.reason}, {said}")
            lines += [f"  {path}: not on the server any more, still here" for path in one.removed]
            lines += [f"  {path}: edited here, left as it is" for path in one.drifted]
        lines.append(
            f"{self.project}: {len(self.sessions) - len(self.failed)} sessions looked at, "
            f"{self.same} the same, {len(self.failed)} failed; {self.files} files, "
            f"{self.bytes} bytes in {self.seconds:.1f} s"
        )
        return "\n".join(lines)
