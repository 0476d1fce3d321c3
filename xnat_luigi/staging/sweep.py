"""Leftovers of killed runs: part files that nobody will ever rename."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .save import machine, remove_file

__all__ = ["Inside", "find_leftovers", "find_parts", "look_inside", "remove_leftovers", "sweep"]

_PART = re.compile(r"^\.(.*)\.([0-9a-f]+)-([0-9a-f]{8})-[0-9a-f]{8}\.part$", re.DOTALL)
DAY = 86400.0


def sweep(
    root: Path, *, older_than: float = DAY, now: Callable[[], float] = time.time, dry: bool = False
) -> list[Path]:
    """Remove part files below a folder that no living process writes; return their paths.

    A part of a process of this machine goes as soon as that process is gone; one of another
    machine (a shared disk) when it was not touched for `older_than` seconds. Only names made by
    `save` match, symbolic links are not followed (D2).
    """
    gone: list[Path] = []
    for path, seconds in find_parts(root, now()):
        match = _PART.match(path.name)
        if match and (_is_dead(match[2], match[3]) or seconds >= older_than):
            if not dry:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
            gone.append(path)
    return gone


@dataclass
class Inside:
    """What lies in a folder: all names, casefolded, and the leftovers by the name they were to get.

    A leftover is a part of a dead process of this machine. It may hold all bytes and have lacked
    only its name when its process was killed. (Names so long that a part could not hold them whole
    are not found by their name.)
    """

    names: set[str] = field(default_factory=set)
    leftovers: dict[str, list[Path]] = field(default_factory=dict)


def look_inside(folder: Path) -> Inside:
    """Look into one folder; one that is not there holds nothing."""
    found = Inside()
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    found.names.update(name.casefold() for name in names)
    for name in names:
        match = _PART.match(name) if name.endswith(".part") else None
        if match and _is_dead(match[2], match[3]):
            found.leftovers.setdefault(match[1], []).append(folder / name)
    return found


def find_leftovers(folder: Path) -> dict[str, list[Path]]:
    """The leftovers of `Inside`."""
    return look_inside(folder).leftovers


def remove_leftovers(folder: Path) -> None:
    """Remove the leftovers in one folder."""
    for parts in find_leftovers(folder).values():
        for part in parts:
            remove_file(part)


def find_parts(root: Path, now: float) -> Iterator[tuple[Path, float]]:
    """Part files below a folder with the seconds since they were last written."""
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".part") and _PART.match(name):
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    yield path, now - path.lstat().st_mtime


def _is_dead(pid: str, where: str) -> bool:
    if where != machine():
        return False
    try:
        os.kill(int(pid, 16), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    # A killed process whose parent has not asked for it yet is in the table still, but writes no
    # more; not every container's first process asks at once.
    try:
        status = Path(f"/proc/{int(pid, 16)}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]
