"""Doing what a plan says: session after session, several at a time, each for itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ..exceptions import XNATError, XNATIOError
from ..rest import contents
from ..rest.records import File, Resource
from ..staging.lock import staged_lock
from ..staging.manifest import Entry, Manifest, verify
from ..staging.sweep import sweep
from ..transfer.fetch import fetch_resource
from ..transfer.layout import Origin
from ..uris import Address
from .plan import STATE, Plan, Step, read_known, selection_words, session_folder, write_seen
from .report import Report, SessionReport

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["apply"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def apply(
    conn: Connection, plan: Plan, *, workers: int = 4, progress: Progress | None = None
) -> Report:
    """Fetch what a plan says; one session that fails does not stop the others.

    Parameters
    ----------
    workers : int
        Sessions at a time. The threads end before this returns.
    progress : callable, optional
        Called with the number of sessions done and of all, from one thread at a time.
    """
    begin = time.monotonic()
    sweep(plan.root)
    done: list[SessionReport] = []
    stop = threading.Event()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for one in pool.map(lambda step: _session(conn, plan, step, stop), plan.steps):
                done.append(one)
                if progress is not None:
                    progress(len(done), len(plan.steps))
        except BaseException:  # Ctrl-C, SIGTERM: the threads end at their next piece (D3)
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    seconds = round(time.monotonic() - begin, 3)
    return Report(plan.inventory.project, tuple(done), plan.same, seconds, plan.deleted)


def _session(conn: Connection, plan: Plan, step: Step, stop: threading.Event) -> SessionReport:
    session = step.session
    lock = plan.root / STATE / "locks" / plan.inventory.project / f"{session.id}.lock"
    try:
        with staged_lock(lock, owner=f"sync of {session.label}"):
            return _fetch_session(conn, plan, step, stop)
    except (XNATError, OSError) as error:
        logger.warning("%s: %s", session.label, error)
        status = getattr(error, "exit_status", 1)
        return SessionReport(session.label, step.reason, failed=str(error), exit_status=status)


def _fetch_session(
    conn: Connection, plan: Plan, step: Step, stop: threading.Event
) -> SessionReport:
    session, inventory = step.session, plan.inventory

    def check() -> None:
        if stop.is_set():
            raise XNATIOError("the sync was stopped")

    check()
    rows = contents.list_resources(conn, Address(experiment=session.id), everything=True)
    files = contents.list_session_files(conn, session.id) if rows else []
    folder = session_folder(plan.root, inventory.project, session.id)
    known = {one.origin.get("resource_id", ""): one for one in read_known(folder)[1]}
    wanted = [row for row in rows if inventory.selection.takes_resource(row)]
    count = size = kept = 0
    removed: list[str] = []
    drifted: list[str] = []
    for row in wanted:
        mine = [file for file in files if file.resource_id == row.id]
        old = known.pop(row.id, None)
        keep, edited = _still_right(old, mine, plan)
        drifted += edited
        removed += _gone(old, mine)
        fetched = fetch_resource(
            conn,
            _origin(plan, step, row),
            mine,
            plan.root,
            layout=plan.layout,
            keep=keep,
            stamps={"subject": inventory.stamp(session)},
            check=check,
        )
        count, size, kept = count + fetched.files, size + fetched.size, kept + len(keep)
    removed += [entry.path for manifest in known.values() for entry in manifest.entries]
    words = selection_words(inventory, plan.layout)
    lying = len(wanted) + len(known)
    write_seen(plan.root, inventory.project, session, words, lying, inventory.stamp(session))
    return SessionReport(
        session.label, step.reason, count, size, kept, tuple(removed), tuple(drifted)
    )


def _origin(plan: Plan, step: Step, row: Resource) -> Origin:
    session = step.session
    own = row.category in ("", "resources")
    return Origin(
        server=plan.inventory.server,
        project=plan.inventory.project,
        subject_id=session.subject_id,
        subject_label=session.subject_label,
        experiment_id=session.id,
        experiment_label=session.label,
        category="resources" if own else row.category,
        parent_id="" if own else row.cat_id,
        parent_desc="" if own else row.cat_desc,
        resource_id=row.id,
        resource_label=row.label,
    )


def _still_right(
    old: Manifest | None, files: list[File], plan: Plan
) -> tuple[list[Entry], list[str]]:
    """Entries that need no fetching, and those of them that somebody edited here."""
    if old is None:
        return [], []
    damages = {damage.path: damage.kind for damage in verify(old, plan.root)}
    now = {file.path: file for file in files}
    keep, edited = [], []
    for entry in old.entries:
        file = now.get(entry.remote)
        if file is None or (file.size is not None and file.size != entry.size):
            continue
        if file.digest and file.digest != entry.md5:
            continue
        kind = damages.get(entry.path)
        if kind == "drifted":
            edited.append(entry.path)
        elif kind is not None:
            continue
        keep.append(entry)
    return keep, edited


def _gone(old: Manifest | None, files: list[File]) -> list[str]:
    """Files on disk that the server does not list any more; they stay."""
    there = {file.path for file in files}
    return [entry.path for entry in old.entries if entry.remote not in there] if old else []
