"""Progress of downloads on the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["UpdateFunction", "default_update_func"]

UpdateFunction = Callable[[int, "int | None", bool], Any]
"""bytes so far, bytes in all (None when unknown), whether that was the end"""


def default_update_func(total: int | None) -> UpdateFunction:
    """Make a function that shows a progress bar on the standard output (S-081, S-083).

    Nothing is shown where the standard output is no terminal, so that logs and pipes stay clean.

    Parameters
    ----------
    total : int or None
        Bytes to come in all; None where that is not known.

    Returns
    -------
    callable
        To be called with the bytes so far, the total and whether that was the end.
    """
    if not sys.stdout.isatty():
        return _nothing
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    task = bar.add_task("", total=total)
    bar.start()

    def update(done: int, total: int | None, finished: bool) -> None:
        bar.update(task, completed=done, total=total)
        if finished:
            bar.stop()

    return update


def _nothing(done: int, total: int | None, finished: bool) -> None:
    return None
