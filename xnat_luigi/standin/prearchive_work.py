"""What can be done with a prearchive row short of archiving it (wire contract B 2.4 to 2.7).

Every operation walks through its statuses (`QUEUED_X`, `X`, `_X`), passing the hold point of each,
so that a test can look at a row, or send files to it, in any of them.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from .clock import Clock
from .dicom_session import HeaderCache, NoSession, build_session, session_xml
from .jobs import Jobs
from .preferences import Preferences
from .receiving import write_file
from .state.prearchive import UNASSIGNED, Prearchive, Row, StatusRefused, parse_stamp

__all__ = ["BuildFailed", "PrearchiveWork", "Rebuilder", "WorkFailed"]


class WorkFailed(Exception):
    """An operation failed; the row has the status and the log says why."""


class BuildFailed(WorkFailed):
    """The row's files make no session; its status is ERROR."""


class PrearchiveWork:
    """Build, move, delete and reset rows."""

    def __init__(
        self,
        prearchive: Prearchive,
        headers: HeaderCache,
        jobs: Jobs,
        preferences: Preferences,
        *,
        auto_archive: Callable[[str], str],
    ) -> None:
        self.prearchive = prearchive
        self.headers = headers
        self.jobs = jobs
        self.preferences = preferences
        self.auto_archive = auto_archive

    def step(self, row: Row, status: str, *, own: bool = False) -> None:
        """Sets a status and stops there while it is held.

        :raises StatusRefused: locked by somebody else, or gone.
        """
        self.prearchive.set_status(row, status, own=own)
        self.jobs.pass_point(status)

    # build --------------------------------------------------------------------------------------

    def build(self, row: Row) -> Row:
        """Makes the session document; the row is READY afterwards.

        A file that arrives in the meantime is overwritten by READY (B 2.4): the document misses it.

        :raises StatusRefused: the row is locked.
        :raises BuildFailed: nothing to build; status ERROR.
        """
        self.step(row, "BUILDING")
        self.prearchive.set_status(row, "_BUILDING", own=True)
        try:
            self.write_document(row)
        except (NoSession, OSError) as error:
            self.fail(row, "ERROR", f"Unable to build session: {error}")
            raise BuildFailed(str(error)) from error
        self.jobs.pass_point("_BUILDING")
        self.prearchive.set_status(row, "READY", own=True)
        return row

    def write_document(self, row: Row) -> None:
        """Reads the row's files again and writes document and catalogs anew."""
        place = self.prearchive.place(row)
        separate = str(self.preferences.get("separatePETMR", "") or "")
        built = build_session(place, self.headers, separate=separate)
        xml = session_xml(
            built,
            project="" if row.project == UNASSIGNED else row.project,
            subject=row.subject,
            label=row.name,
        )
        write_file(self.prearchive.document(row), xml)
        self.prearchive.update(row, built=built)

    def fail(self, row: Row, status: str, message: str) -> None:
        """Unlocks the row first, then sets CONFLICT or ERROR and logs the reason (B 2.4)."""
        self.prearchive.log(row, message)
        self.prearchive.set_status(row, status, own=True)

    def reset(self, row: Row) -> Row:
        """`reset-status`: READY where there is a document, else RECEIVING; ignores locks."""
        status = "READY" if self.prearchive.is_built(row) else "RECEIVING"
        self.prearchive.set_status(row, status, own=True)
        return row

    # move and delete ----------------------------------------------------------------------------

    def move(self, row: Row, project: str, *, queued: bool = False) -> Row:
        """Moves a row to another project; the new row is READY, built or not (B 2.4).

        :raises StatusRefused: the row is locked.
        :raises WorkFailed: the destination has a row at that place; status ERROR.
        """
        if queued:
            self.step(row, "QUEUED_MOVING")
        self.step(row, "MOVING")
        self.step(row, "_MOVING")
        target = Row(**{**vars(row), "project": project, "pk": 0, "status": "READY"})
        target.autoarchive = self.auto_archive(project)
        if self.prearchive.get(project, row.timestamp, row.folder) is not None:
            self.fail(row, "ERROR", f"{target.url} already exists.")
            raise WorkFailed(f"{target.url} already exists")
        # The files first: whoever sees the new row may archive it at once.
        old, old_document = self.prearchive.place(row), self.prearchive.document(row)
        _move_folder(old, self.prearchive.place(target))
        if old_document.is_file():
            xml = session_xml(row.built, project=project, subject=row.subject, label=row.name)
            write_file(self.prearchive.document(target), xml)
        with self.prearchive.store.writing():
            target = self.prearchive.add(target)
            self.prearchive.delete(row)
        return target

    def delete(self, row: Row, *, queued: bool = False) -> None:
        """Removes a row with its files.

        :raises StatusRefused: the row is locked.
        """
        if queued:
            self.step(row, "QUEUED_DELETING")
        self.step(row, "DELETING")
        self.step(row, "_DELETING")
        self.prearchive.delete(row)

    # in the background --------------------------------------------------------------------------

    def queue_build(self, row: Row, then: Callable[[Row], None] | None = None) -> None:
        """QUEUED_BUILDING now, the build in a job, then `then(row)` if it became READY."""
        self.prearchive.set_status(row, "QUEUED_BUILDING")

        def work() -> None:
            self.jobs.pass_point("QUEUED_BUILDING")
            if self.prearchive.by_pk(row.pk) is None:
                return
            self.build(row)
            if then is not None:
                then(row)

        self.jobs.start("build", work)

    def queue(self, row: Row, status: str, work: Callable[[], object]) -> None:
        """Sets a `QUEUED_` status now and does the work in a job.

        :raises StatusRefused: the row is locked.
        """
        self.prearchive.set_status(row, status)

        def run() -> None:
            self.jobs.pass_point(status)
            try:
                work()
            except (StatusRefused, WorkFailed):
                return

        self.jobs.start(status.lower(), run)


def _move_folder(source: Path, target: Path) -> None:
    """Renames a folder onto an empty one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()
    if source.is_dir():
        os.replace(source, target)
    else:
        target.mkdir()
    if source.parent.is_dir() and not any(source.parent.iterdir()):
        shutil.rmtree(source.parent, ignore_errors=True)


class Rebuilder:
    """Builds rows that nobody has sent files to for a while (B 2.7), by the injected clock."""

    def __init__(
        self,
        work: PrearchiveWork,
        clock: Clock,
        preferences: Preferences,
        *,
        is_receiving: Callable[[Row], bool],
        then: Callable[[Row], None],
    ) -> None:
        """
        :param then: what follows READY: auto-archive, or nothing.
        """
        self.work = work
        self.clock = clock
        self.preferences = preferences
        self.is_receiving = is_receiving
        self.then = then
        self._last = clock.time()

    def look(self) -> None:
        """Called often; does something every `sessionXmlRebuilderRepeat` milliseconds only."""
        now = self.clock.time()
        if now - self._last < float(self.preferences["sessionXmlRebuilderRepeat"]) / 1000:
            return
        self._last = now
        self.run()

    def run(self) -> int:
        """One round, now: queues every row that is idle long enough and says how many."""
        queued = 0
        minutes = int(self.preferences["sessionXmlRebuilderInterval"])
        before = self.clock.now() - timedelta(minutes=minutes)
        for row in self.work.prearchive.all("status = 'RECEIVING'"):
            if row.prevent_auto_commit or row.source == "uploader" or self.is_receiving(row):
                continue
            if parse_stamp(row.lastmod) > before:
                continue
            try:
                self.work.queue_build(row, self.then)
            except StatusRefused:
                continue
            queued += 1
        return queued


def new_name() -> str:
    """A name nobody has used, for keys and temporary folders."""
    return uuid.uuid4().hex
