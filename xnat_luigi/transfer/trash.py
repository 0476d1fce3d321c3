"""The trash: what was put aside, under its old path and the date it was put there."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from pathlib import Path

from ..staging.save import move

__all__ = ["TRASH", "empty_trash", "put_aside"]

log = logging.getLogger(__name__)

TRASH = ".xnat-luigi/trash"
DAY = 86400.0
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}")


def put_aside(path: Path, root: Path, now: float) -> Path:
    """Move a file below a root into its trash, under today's date; returns its new place.

    Parameters
    ----------
    now : float
        Seconds since 1970.
    """
    day = time.strftime("%Y-%m-%d", time.localtime(now))
    target = root / TRASH / day / path.relative_to(root)
    number = 1
    while os.path.lexists(target):
        number += 1
        target = target.with_name(f"{path.name}.{number}")
    move(path, target, root=root)
    log.info("%s moved to %s", path, target)
    return target


def empty_trash(root: Path, older_than: float, now: float, *, dry: bool = False) -> list[Path]:
    """Remove the days of the trash that are older than so many days; returns their folders."""
    base = root / TRASH
    limit = time.strftime("%Y-%m-%d", time.localtime(now - older_than * DAY))
    if not base.is_dir() or base.is_symlink():
        return []
    days = sorted(path for path in base.iterdir() if _DATED.fullmatch(path.name))
    gone = [path for path in days if path.name < limit and path.is_dir() and not path.is_symlink()]
    for path in gone:
        if not dry:
            shutil.rmtree(path)
    return gone
