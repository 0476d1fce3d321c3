"""What a sync did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from .state import State

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["Report", "SessionReport", "summarize"]

MOST_NAMED = 20
"""so many files of a kind are named in a text; `to_dict` has all of them"""


@dataclass(frozen=True)
class SessionReport:
    """One session: what was done.

    `files` and `bytes` were fetched; `kept` files needed no fetching, of these `adopted` had been
    put there by somebody else and `moved` lay elsewhere. `bare` files have no digest on the
    server and were proven by size at most. `removed` are not on the server any more and stay here,
    `drifted` were edited here and stay, `displaced` were in the way and are in the trash.
    `failed` is the reason if not all of the session is here.
    """

    session: str
    reason: str
    files: int = 0
    bytes: int = 0
    kept: int = 0
    adopted: int = 0
    moved: int = 0
    bare: int = 0
    removed: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    displaced: tuple[str, ...] = ()
    failed: str = ""
    exit_status: int = 0
    requests: int = 0
    seconds: float = 0.0

    def to_text(self) -> str:
        """A line, and one for each file that needs attention."""
        said = f"{self.files} files, {self.bytes:,} bytes"
        for count, word in ((self.adopted, "adopted"), (self.moved, "moved")):
            said += f", {count} {word}" if count else ""
        if self.bare:
            said += f"; {self.bare} have no digest on the server"
        if self.failed:
            said = f"failed: {self.failed}"
        lines = [f"{self.session}: {self.reason}, {said}"]
        lines += [f"  {path}: not on the server any more, still here" for path in self.removed]
        lines += [f"  {path}: edited here, left as it is" for path in self.drifted]
        lines += [f"  {path}: what lay here is in the trash" for path in self.displaced]
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """All sessions of a run, and what it found lying here.

    `deleted` are IDs (with labels in `labels`) of sessions here that are not on the server any
    more, `gone` such files of sessions that are still there, as earlier runs have found them.
    `drifted` were edited here, in sessions that this run did not look into. All of them stay.
    """

    project: str
    sessions: tuple[SessionReport, ...]
    same: int
    seconds: float = 0.0
    deleted: tuple[str, ...] = field(default=())
    labels: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """Files fetched."""
        return sum(one.files for one in self.sessions)

    @property
    def bytes(self) -> int:
        """Bytes fetched."""
        return sum(one.bytes for one in self.sessions)

    @property
    def requests(self) -> int:
        """Requests for the sessions looked at, without those of the inventory."""
        return sum(one.requests for one in self.sessions)

    @property
    def failed(self) -> tuple[SessionReport, ...]:
        """The sessions that could not be fetched."""
        return tuple(one for one in self.sessions if one.failed)

    @property
    def exit_status(self) -> int:
        """0, or the largest status of a failure."""
        return max((one.exit_status for one in self.failed), default=0)

    @property
    def rate(self) -> float:
        """Bytes fetched a second."""
        return self.bytes / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, object]:
        """For machines."""
        return {
            **asdict(self),
            "files": self.files,
            "bytes": self.bytes,
            "requests": self.requests,
            "exit_status": self.exit_status,
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def to_text(self) -> str:
        """For people: a line for every session that was not the same, remarks, and a sum."""
        sessions = (one.to_text() for one in self.sessions)
        return "\n".join([*sessions, *self.to_remarks(), self.to_line()])

    def to_remarks(self) -> list[str]:
        """A line for everything that lies here and is not as on the server, and what helps."""
        names = [f"{self.labels.get(one, '')} ({one})".lstrip() for one in self.deleted]
        lines = [f"{one}: edited here, left as it is" for one in _some(self.drifted)]
        lines += [f"{one}: not on the server any more, still here" for one in _some(self.gone)]
        lines += [f"{one}: deleted on the server, still here" for one in _some(names)]
        if self.gone or self.deleted or any(one.removed for one in self.sessions):
            lines.append("`xnat-luigi prune` moves to the trash what is not on the server any more")
        return lines

    def to_line(self) -> str:
        """The sum in one line."""
        reasons = Counter(one.reason for one in self.sessions if not one.failed)
        facts = [f"{count} {reason}" for reason, count in sorted(reasons.items())]
        facts += [f"{self.same} the same", f"{len(self.failed)} failed"]
        facts += [f"{len(self.deleted)} deleted on the server"] if self.deleted else []
        for word, count in (
            ("adopted", sum(one.adopted for one in self.sessions)),
            ("moved", sum(one.moved for one in self.sessions)),
            (
                "removed on the server",
                sum(len(one.removed) for one in self.sessions) + len(self.gone),
            ),
            ("edited here", sum(len(one.drifted) for one in self.sessions) + len(self.drifted)),
            ("put into the trash", sum(len(one.displaced) for one in self.sessions)),
        ):
            facts += [f"{count} files {word}"] if count else []
        return (
            f"{self.project}: {', '.join(facts)}; {self.files} files, {self.bytes:,} bytes in "
            f"{self.seconds:.1f} s ({self.rate / 1e6:.1f} MB/s), "
            f"{self.requests} requests for sessions"
        )


def _some(names: Sequence[str]) -> list[str]:
    more = len(names) - MOST_NAMED
    return [*names[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]


def summarize(plan: Plan, sessions: tuple[SessionReport, ...] = (), seconds: float = 0.0) -> Report:
    """All sessions, and what the plan has found, as far as the sessions did not change that."""
    told = {path for one in sessions for path in (*one.drifted, *one.displaced, *one.removed)}
    state = State(plan.root, plan.inventory.project)
    left = {entry.path for _, entry in state.all_gone()} - told if plan.gone else ()
    return Report(
        plan.inventory.project,
        sessions,
        plan.same,
        seconds,
        plan.deleted,
        dict(plan.labels or {}),
        tuple(path for path in plan.gone if path in left),
        tuple(path for path in plan.drifted if path not in told),
    )
