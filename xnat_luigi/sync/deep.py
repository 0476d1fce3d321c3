"""Looking deep, a part of the project each night: which part is whose turn.

The turn is kept beside the data and moves on only after a run without failures, so no part is
left out because a night was lost.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import XNATValueError
from ..rest.records import Experiment
from ..staging.save import save_text
from .state import STATE

__all__ = ["Turn", "parse_deep"]


def parse_deep(text: str) -> int:
    """Into how many parts a project is cut: `all` is one, `1/30` thirty, "" none (0).

    Raises
    ------
    XNATValueError
        Neither.
    """
    if text in ("", "all", "1"):
        return 1 if text else 0
    first, _, last = text.partition("/")
    if first != "1" or not last.isdigit() or int(last) < 1:
        raise XNATValueError(f"deep: 'all' or a part like 1/30 is due, not {text!r}")
    return int(last)


@dataclass(frozen=True)
class Turn:
    """Part `number` (from 0) of `parts` of a project."""

    root: Path
    project: str
    parts: int
    number: int = 0

    @classmethod
    def read(cls, root: Path, project: str, parts: int) -> Turn:
        """Whose turn it is; another number of parts begins anew."""
        try:
            kept = json.loads(_path(root, project).read_text(encoding="utf-8"))
            if kept["parts"] == parts and 0 <= int(kept["next"]) < parts:
                return cls(root, project, parts, int(kept["next"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls(root, project, parts)

    def takes(self, session: Experiment) -> bool:
        """Whether a session is in this part; it is always in the same one."""
        digest = hashlib.md5(session.id.encode(), usedforsecurity=False).digest()
        return int.from_bytes(digest[:8], "big") % self.parts == self.number

    def done(self) -> None:
        """Pass the turn on."""
        text = json.dumps({"parts": self.parts, "next": (self.number + 1) % self.parts})
        save_text(_path(self.root, self.project), text)


def _path(root: Path, project: str) -> Path:
    return root / STATE / "deep" / f"{project}.json"
