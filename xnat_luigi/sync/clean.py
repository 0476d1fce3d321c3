"""Tidying a destination: leftovers of killed runs, and old trash."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import XNATValueError
from ..staging.sweep import sweep
from ..transfer.trash import empty_trash

__all__ = ["Cleaned", "clean"]


@dataclass(frozen=True)
class Cleaned:
    """Part files and days of trash that were removed, or with `dry` would be."""

    parts: tuple[Path, ...]
    days: tuple[Path, ...]
    dry: bool = False

    def to_text(self) -> str:
        """A line for each, and a sum."""
        lines = [f"{path}: a part of a run that was killed" for path in self.parts]
        lines += [f"{path}: trash" for path in self.days]
        end = "would be removed" if self.dry else "removed"
        lines.append(f"{len(self.parts)} parts and {len(self.days)} days of trash {end}")
        return "\n".join(lines)


def clean(
    root: Path,
    *,
    trash_days: float = 30.0,
    dry: bool = False,
    now: Callable[[], float] = time.time,
) -> Cleaned:
    """Remove parts of processes that are gone, and trash older than so many days; 0 is all of it.

    Raises
    ------
    XNATValueError
        Less than no days; nothing was removed.
    """
    if not trash_days >= 0:
        raise XNATValueError(f"trash days: 0 (all of it) or more are due, not {trash_days:g}")
    parts = sweep(root, now=now, dry=dry)
    days = empty_trash(root, trash_days or -1, now(), dry=dry)
    return Cleaned(tuple(parts), tuple(days), dry)
