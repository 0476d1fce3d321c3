"""Doing what a plan says: session after session, several at a time, each for itself."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import (
    XNATAuthError,
    XNATConnectionError,
    XNATError,
    XNATIntegrityError,
    XNATIOError,
    XNATLockError,
    XNATNotFoundError,
    XNATUnavailableError,
    XNATValueError,
)
from ..rest import contents
from ..rest.records import Experiment, File, Resource
from ..rest.services import refresh_catalog
from ..staging.lock import slot, staged_lock
from ..staging.manifest import Entry, Manifest, verify
from ..staging.save import sync_all
from ..staging.sweep import remove_leftovers
from ..transfer.carry import Carrier
from ..transfer.fetch import DIGESTS, Fetched, Job, fetch_session
from ..uris import Address
from .crew import Crew, Hand, may_fork
from .plan import Plan, Step, origin_of, selection_words, wanted_resources
from .report import Report, SessionReport, summarize
from .state import Known, State

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Rules", "apply"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Watch = Callable[[SessionReport], None]
LOCK_WAIT = 6 * 3600.0
MOST_OUTAGES = 3
"""so many sessions in a row that no answer came for: the others are not tried any more"""
_NO_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Rules:
    """How to fetch.

    Attributes
    ----------
    digests : {"size", "fail", "refresh"}
        What to do with files for which the server has no digest: take them by size (noted in the
        manifest), refuse them, or have the server compute them first.
    cap : int
        Sessions that are fetched from one server at a time by all processes of this user on this
        machine together; 0 is no cap.
    slots : Path, optional
        Where the locks of that cap lie; by default a folder of this user for temporary files.
    """

    digests: str = "size"
    cap: int = 0
    slots: Path | None = None

    def __post_init__(self) -> None:
        if self.digests not in DIGESTS:
            raise XNATValueError(f"digests: {self.digests!r} is not of {', '.join(DIGESTS)}")


@dataclass(frozen=True)
class _End:
    """How a session ended: its report, None if somebody else works on it; and for the others
    "done", "outage" (no answer), "hopeless" (a refused login, a full disk), or "" (nothing)."""

    report: SessionReport | None
    kind: str = ""


def _failed(step: Step, reason: str, status: int = 1, kind: str = "") -> _End:
    report = SessionReport(step.session.label, step.reason, failed=reason, exit_status=status)
    return _End(report, kind)


def _kind_of(error: Exception) -> str:
    if isinstance(error, XNATAuthError) or getattr(error, "errno", None) in _NO_DISK:
        return "hopeless"
    return "outage" if isinstance(error, (XNATConnectionError, XNATUnavailableError)) else ""


@dataclass
class _Run:
    """What the threads of one run share."""

    conn: Connection
    plan: Plan
    rules: Rules
    state: State
    pulse: Callable[[int], None]
    stop: threading.Event = field(default_factory=threading.Event)
    broken: str = ""
    status: int = 1
    outages: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def note(self, end: _End) -> None:
        """Learn from the end of a session whether the others have a chance."""
        with self.guard:
            if end.kind == "done":
                self.outages = 0
            elif end.kind == "outage":
                self.outages += 1
            hopeless = end.kind == "hopeless" or self.outages >= MOST_OUTAGES
            if end.report is not None and hopeless and not self.broken:
                self.broken = end.report.failed
                self.status = end.report.exit_status

    def refuse(self, number: int) -> _End | None:
        """The end of a session that is not tried, as no other has a chance; None if it is."""
        if not self.broken:
            return None
        return _failed(self.plan.steps[number], f"not tried, since: {self.broken}", self.status)

    def beat(self, count: int) -> None:
        self.rest(0)
        self.pulse(count)

    def rest(self, seconds: float) -> None:
        """Wait, but not beyond the end of the run."""
        if self.stop.wait(seconds) if seconds else self.stop.is_set():
            raise XNATIOError("the sync was stopped")


def apply(
    conn: Connection,
    plan: Plan,
    *,
    workers: int = 4,
    processes: int = 1,
    rules: Rules | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    pulse: Callable[[int], None] | None = None,
) -> Report:
    """Fetch what a plan says; one session that fails does not stop the others.

    What concerns all of them does: a full disk, a refused login, or no answer for several sessions
    in a row. The sessions that were not tried then say so.

    Parameters
    ----------
    workers : int
        Sessions at a time. The threads end before this returns.
    processes : int
        Over so many processes the threads are spread, where that pays and is safe: forked children
        of this process, if it has no other thread. They end before this returns.
    progress : callable, optional
        Called with the number of sessions done and of all, from one thread at a time.
    watch : callable, optional
        Called with the report of each session as it ends, in the plan's order.
    pulse : callable, optional
        Called from the threads with the number of bytes of every piece that arrives.
    """
    begin = time.monotonic()
    state = State(plan.root, plan.inventory.project)
    run = _Run(conn, plan, rules or Rules(), state, pulse or (lambda count: None))
    if plan.steps:
        state.check_server(plan.inventory.server)
        state.bind(plan.inventory.server)
    done: dict[str, SessionReport] = {}
    with _hands(run, workers, processes) as do:
        todo: Sequence[int] = range(len(plan.steps))
        for patient in (False, True):  # what others work on comes last: they may end it for us
            later = []
            for number, end in do(todo, patient):
                if end.report is None:
                    later.append(number)
                    continue
                done[plan.steps[number].session.id] = one = end.report
                if watch is not None:
                    watch(one)
                if progress is not None:
                    progress(len(done), len(plan.steps))
            todo = later
    for step in plan.settled:
        _settle(run, step)
    if plan.steps:
        state.sweep()
        sync_all(plan.root)
    seconds = round(time.monotonic() - begin, 3)
    reports = tuple(done[step.session.id] for step in plan.steps)
    return summarize(plan, reports, seconds)


_Do = Callable[[Sequence[int], bool], Iterator[tuple[int, _End]]]
"""Does the steps of these numbers, and yields each with its end, in this order"""


def _hands(run: _Run, workers: int, processes: int) -> AbstractContextManager[_Do]:
    """Threads of this process, or several processes where that pays and is safe."""
    processes = min(processes, workers)
    if processes > 1 and len(run.plan.steps) >= 2 * processes and may_fork():
        try:
            return _in_processes(run, workers, processes)
        except OSError as error:
            log.warning("%s: the sync stays in one process", error)
    return _in_threads(run, workers)


@contextmanager
def _in_threads(run: _Run, workers: int) -> Iterator[_Do]:
    steps = run.plan.steps
    with ThreadPoolExecutor(max(1, workers)) as pool:

        def one(number: int, patient: bool) -> _End:
            end = run.refuse(number) or _session(run, steps[number], patient)
            run.note(end)
            return end

        def do(numbers: Sequence[int], patient: bool) -> Iterator[tuple[int, _End]]:
            found = pool.map(lambda number: one(number, patient), numbers)
            return zip(numbers, found, strict=True)

        try:
            yield do
        except BaseException:  # Ctrl-C, SIGTERM: the threads end, whatever they wait for (D3)
            run.stop.set()
            run.conn.interrupt()
            try:
                pool.shutdown(cancel_futures=True)
            finally:
                run.conn.resume()
            raise


def _in_processes(run: _Run, workers: int, processes: int) -> AbstractContextManager[_Do]:
    steps, session = run.plan.steps, run.conn.session_id

    def begin(pulse: Callable[[int], None]) -> None:
        run.conn.go_on(session)
        run.pulse = pulse

    def stop() -> None:
        run.stop.set()
        run.conn.interrupt()

    def work(number: int, patient: bool) -> _End:
        return _session(run, steps[number], patient)

    def lost(number: int, reason: str) -> _End:
        return _failed(steps[number], reason)

    crew = Crew(
        Hand(work, begin, stop, run.conn.close),
        processes=processes,
        threads=workers,
        lost=lost,
        refuse=run.refuse,
        heard=run.note,
        pulse=run.pulse,
    )

    @contextmanager
    def leading() -> Iterator[_Do]:
        with crew:
            yield crew.do

    return leading()


def _settle(run: _Run, step: Step) -> None:
    """Note a subject's new stamp at a session that it is not about."""
    known = run.state.read(step.session.id)
    if known.stamp("session") == step.stamp and known.whole:
        _write_seen(run, step.session, len(known.resources), step.stamp)


def _write_seen(run: _Run, session: Experiment, resources: int, stamp: str) -> None:
    inventory = run.plan.inventory
    words = selection_words(inventory.selection, run.plan.layout)
    run.state.write_seen(session, words, resources, inventory.stamp(session), stamp)


def _session(run: _Run, step: Step, patient: bool) -> _End:
    """Bring one session, if nobody else works on it or we wait for that."""
    session, rules = step.session, run.rules
    begin = time.monotonic()
    owner = f"sync of {session.label}"
    try:
        run.beat(0)
        with (
            staged_lock(
                run.state.lock(session.id),
                timeout=LOCK_WAIT if patient else 0,
                owner=owner,
                sleep=run.rest,
            ),
            slot(run.conn.server, rules.cap, folder=rules.slots, owner=owner, sleep=run.rest),
        ):
            known = run.state.read(session.id)
            if not (step.deep or step.reason == "repair") and _done_by_others(run, step, known):
                return _End(SessionReport(session.label, "found", kept=_count(known)))
            return _End(_fetch(run, step, known, begin), "done")
    except (XNATError, OSError) as error:
        if run.stop.is_set():
            raise
        if isinstance(error, XNATLockError) and not patient:
            return _End(None)
        log.info("%s failed: %s", session.label, error)
        status = 1 if isinstance(error, XNATNotFoundError) else getattr(error, "exit_status", 1)
        return _failed(step, str(error), status, _kind_of(error))


def _count(known: Known) -> int:
    return sum(len(one.entries) for one in known.resources)


def _done_by_others(run: _Run, step: Step, known: Known) -> bool:
    """Whether another process has brought this session while we waited for its lock (L1)."""
    inventory = run.plan.inventory
    stamp = inventory.stamp(step.session)
    return (
        known.whole
        and bool(stamp)
        and known.stamp("subject") == stamp
        and known.stamp("selection") == selection_words(inventory.selection, run.plan.layout)
        and not any(verify(one, run.plan.root) for one in known.resources)
    )


def _fetch(run: _Run, step: Step, known: Known, begin: float) -> SessionReport:
    session = step.session
    rows, wanted = wanted_resources(run.conn, run.plan.inventory.selection, session)
    files = _files(run, session, wanted)
    old = {one.origin.get("resource_id", ""): one for one in known.resources}
    _refuse_empty(session, wanted, files, old)
    partial = run.state.read_partial(session.id)
    stamps = {"subject": run.plan.inventory.stamp(session), "session": step.stamp}
    jobs = [
        Job(
            origin_of(run.plan.inventory, session, row),
            tuple(files.get(row.id, ())),
            _with_partial(old.get(row.id), partial.get(row.id, [])),
            stamps,
            restore=run.plan.restore,
            deep=step.deep,
        )
        for row in wanted
    ]
    carrier = Carrier(
        run.conn,
        run.plan.root,
        pulse=run.beat,
        journal=lambda rows: run.state.append_partial(session.id, rows),
    )
    done = fetch_session(carrier, jobs, layout=run.plan.layout, digests=run.rules.digests)
    _sweep(run, session, done)
    failed = [one for one in done if one.error is not None]
    removed = _note_gone(run, session, known, rows, done)
    if not failed:
        lying = len(run.state.read(session.id).resources)
        _write_seen(run, session, lying, step.stamp)
        run.state.end_partial(session.id)
    return SessionReport(
        session.label,
        step.reason,
        files=sum(one.files for one in done),
        bytes=sum(one.size for one in done),
        kept=sum(one.kept for one in done),
        adopted=sum(one.adopted for one in done),
        moved=sum(one.moved for one in done),
        bare=sum(one.bare for one in done),
        removed=tuple(removed),
        drifted=tuple(path for one in done for path in one.drifted),
        displaced=tuple(carrier.traffic.displaced),
        failed="; ".join(str(one.error) for one in failed),
        exit_status=max((_status(one.error) for one in failed if one.error), default=0),
        requests=carrier.traffic.requests + 1 + bool(rows),
        seconds=round(time.monotonic() - begin, 3),
    )


def _status(error: XNATError) -> int:
    """A listed file that the server does not have: its bytes are not what they should be."""
    missing = isinstance(error, XNATNotFoundError)
    return XNATIntegrityError.exit_status if missing else error.exit_status


def _refuse_empty(
    session: Experiment,
    wanted: Sequence[Resource],
    files: Mapping[str, Sequence[File]],
    old: Mapping[str, Manifest],
) -> None:
    """Do not believe an empty list where the server itself counts files and we have some."""
    for row in wanted:
        before = old.get(row.id)
        if row.file_count and row.id not in files and before is not None and before.entries:
            raise XNATIntegrityError(
                f"{session.label}: the server counts {row.file_count} files in {row.label} and "
                "lists none; nothing was changed here, refresh its catalog there"
            )


def _with_partial(old: Manifest | None, partial: list[Entry]) -> Manifest | None:
    """An older manifest and what a run that did not end has brought since."""
    if not partial:
        return old
    entries = {entry.remote: entry for entry in (*(old.entries if old else ()), *partial)}
    return Manifest(old.origin if old else {}, tuple(entries.values()))


def _sweep(run: _Run, session: Experiment, done: Sequence[Fetched]) -> None:
    """Remove what killed runs left of this session: its folders only, not all of a large tree."""
    root = run.plan.root
    names = {entry.path.rpartition("/")[0] for one in done for entry in one.manifest.entries}
    for folder in (*(root / name for name in sorted(names)), run.state.folder(session.id)):
        remove_leftovers(folder)


def _files(run: _Run, session: Experiment, wanted: Sequence[Resource]) -> dict[str, list[File]]:
    """The files of a session by resource; digests are ordered first where the rules say so."""
    if not wanted:
        return {}
    found = contents.list_session_files(run.conn, session.id)
    meant = {row.id for row in wanted}
    bare = [file for file in found if file.resource_id in meant and not file.md5]
    if bare and run.rules.digests == "refresh":
        log.info("%s: %d files without a digest, refreshing", session.label, len(bare))
        place = Address(experiment=session.id).archive_uri()
        refresh_catalog(run.conn, place, ("checksum",))
        found = contents.list_session_files(run.conn, session.id)
    by_resource: dict[str, list[File]] = {}
    for file in found:
        by_resource.setdefault(file.resource_id, []).append(file)
    return by_resource


def _note_gone(
    run: _Run, session: Experiment, known: Known, rows: Sequence[Resource], done: Sequence[Fetched]
) -> list[str]:
    """Remember files of ours that the server has no more; they stay until somebody prunes.

    Resources that are only not selected this time keep their manifests.
    """
    there = {row.id for row in rows}
    now = {one.manifest.origin.get("resource_id", ""): one.manifest for one in done}
    old = {one.origin.get("resource_id", ""): one for one in known.resources}
    after = {name: one for name, one in (old | now).items() if name in there}
    lying = {entry.path for one in after.values() for entry in one.entries}
    lost = [entry for one in old.values() for entry in one.entries]
    before = {entry.path: entry for entry in run.state.read_gone(session.id)}
    gone = before | {entry.path: entry for entry in lost}
    kept = [entry for path, entry in gone.items() if path not in lying]
    kept = [entry for entry in kept if (run.plan.root / entry.path).is_file()]
    run.state.write_gone(session.id, session.label, kept)
    for name in old.keys() - there:
        run.state.forget(session.id, name)
    listed = {(name, entry.remote) for name, one in after.items() for entry in one.entries}
    elsewhere = {  # the server has them still, only their old places were left
        entry.path
        for name, one in old.items()
        for entry in one.entries
        if (name, entry.remote) in listed
    }
    return [one.path for one in kept if one.path not in before and one.path not in elsewhere]
