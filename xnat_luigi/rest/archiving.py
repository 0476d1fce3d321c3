"""Archiving a prearchive row to its end: ordered once, then looked after (wire contract B 3, 13).

The answer to the order proves little: a proxy gives up after a minute while the job runs on, and a
conflict is 400, 409 or 500, depending on the server. So what became of it is read from the row and
the experiment. The order itself is never repeated here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exceptions import (
    XNATConflictError,
    XNATNotFoundError,
    XNATResponseError,
    XNATTimeoutError,
    XNATUnclearError,
)
from .absence import find_experiment, find_row_at, find_study
from .prearchive import read_last_log
from .records import Experiment, PrearchiveRow
from .services import archive, read_import_address
from .states import failed, in_flight

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Patience", "archive_row", "wait_for_row"]


@dataclass(frozen=True)
class Patience:
    """How long to look after a job, in seconds; clock and sleep are injected."""

    most: float = 3600.0
    """until a row that is in flight counts as stuck"""
    grace: float = 30.0
    """until what should have begun or appeared counts as lost (B 3.6, 13.1)"""
    pause: float = 1.0
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)
    sleep: Callable[[float], None] = field(default=time.sleep, compare=False)


def wait_for_row(
    conn: Connection, row: PrearchiveRow, patience: Patience | None = None
) -> PrearchiveRow | None:
    """Wait until the server does not work on a row any more; None when it is gone.

    Raises
    ------
    XNATTimeoutError
        It still does after `patience.most` seconds; the message names the last status (P2).
    """
    wait = patience or Patience()
    end = wait.clock() + wait.most
    while True:
        now = find_row_at(conn, row.project, row.timestamp, row.folder)
        if now is None or not in_flight(now.status):
            return now
        if wait.clock() >= end:
            raise XNATTimeoutError(
                f"prearchive row {row.url} is still {now.status} after {wait.most:.0f} s; "
                "look into the server's log, an administrator may have to reset the row"
            )
        wait.sleep(wait.pause)


def archive_row(
    conn: Connection,
    row: PrearchiveRow,
    *,
    project: str | None = None,
    subject: str | None = None,
    session: str | None = None,
    overwrite: str | None = None,
    quarantine: bool = False,
    trigger_pipelines: bool = True,
    fields: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> Experiment:
    """Archive a row and return the experiment once it can be seen.

    Parameters are those of `services.archive`.

    Raises
    ------
    XNATConflictError
        The row is not READY, or archiving ended in a conflict, however the server said so; the
        message holds the last entry of the row's log (P3).
    XNATResponseError
        It ended in an error; the message holds the log as well.
    XNATTimeoutError
        The row is stuck (P2).
    XNATUnclearError
        The answer was lost, and nothing shows that the server began.
    XNATNotFoundError
        The row is gone and no experiment with its UID appeared.
    """
    wait = patience or Patience()
    _refuse_unready(conn, row, overwrite)
    target = project or row.project
    label = session or row.name
    try:
        address = archive(
            conn,
            row,
            project=project,
            subject=subject,
            session=session,
            overwrite=overwrite,
            quarantine=quarantine,
            trigger_pipelines=trigger_pipelines,
            fields=fields,
        )
    except (XNATUnclearError, XNATResponseError) as error:
        return _settle(conn, row, target, label, wait, error)
    done = read_import_address(address)
    return _appear(conn, row, done.project or target, done.session or label, wait)


def _refuse_unready(conn: Connection, row: PrearchiveRow, overwrite: str | None) -> None:
    now = find_row_at(conn, row.project, row.timestamp, row.folder)
    if now is None:
        raise XNATNotFoundError(
            f"prearchive row {row.url} is not there any more; it may be archived already",
            status=200,
            path=row.url,
        )
    if now.status == "READY" or (failed(now.status) and overwrite):
        return
    hint = {
        "CONFLICT": "give overwrite='append' to merge, or delete the row",
        "ERROR": "look into its log, then rebuild() it",
        "RECEIVING": "files may still arrive; rebuild() it when all are sent",
    }.get(now.status, "the server works on it: wait")
    raise XNATConflictError(
        f"prearchive row {row.url} is {now.status} and cannot be archived: {hint}", path=row.url
    )


def _settle(
    conn: Connection,
    row: PrearchiveRow,
    project: str,
    label: str,
    wait: Patience,
    error: XNATUnclearError | XNATResponseError,
) -> Experiment:
    """Find out what became of an order whose answer says too little (B 13.1)."""
    begun = wait.clock()
    while True:
        now = wait_for_row(conn, row, wait)
        if now is None:
            return _appear(conn, row, project, label, wait)
        if failed(now.status):
            _raise_failure(conn, now, error)
        if isinstance(error, XNATResponseError):
            raise error  # READY still: the order was refused before anything began
        if wait.clock() - begun >= wait.grace:
            raise error
        wait.sleep(wait.pause)


def _raise_failure(
    conn: Connection, row: PrearchiveRow, error: XNATUnclearError | XNATResponseError
) -> None:
    reason = read_last_log(conn, row) or getattr(error, "detail", "") or str(error)
    kind = XNATConflictError if row.status == "CONFLICT" else XNATResponseError
    raise kind(
        f"prearchive row {row.url} was not archived, it is {row.status}: {reason[:200]}",
        status=error.status,
        method="POST",
        path=row.url,
        detail=reason[:200],
    ) from error


def _appear(
    conn: Connection, row: PrearchiveRow, project: str, label: str, wait: Patience
) -> Experiment:
    """Return the experiment; it can show up a little after the row is gone (B 3.6, P4)."""
    end = wait.clock() + wait.grace
    while True:
        found = find_experiment(conn, project, label)
        if found is not None and found.uid in ("", row.tag):
            return found
        study = find_study(conn, project, row.tag) if row.tag else None
        if isinstance(study, Experiment):
            return study
        if found is not None:  # a merge keeps the UID of the session that was there
            return found
        if wait.clock() >= end:
            raise XNATNotFoundError(
                f"prearchive row {row.url} is gone, but project {project} shows no experiment "
                f"{label!r} or with UID {row.tag} after {wait.grace:.0f} s; search in other "
                "projects before sending it again",
                path=row.url,
            )
        wait.sleep(wait.pause)
