"""From the prearchive into the archive, exactly once.

`archive` reads the recovery table until it says «success» or «a human». Every order is preceded by
a look,
and no answer of the archive service is believed: success is an experiment of this study and no row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..exceptions import (
    XNATConflictError,
    XNATError,
    XNATForbiddenError,
    XNATNotFoundError,
    XNATResponseError,
    XNATUnclearError,
    XNATValueError,
)
from ..rest import prearchive, services, states
from ..rest.records import Experiment, Finding, PrearchiveRow
from . import ledger
from .arrivals import lacking, list_archived_files, list_row_files
from .bringing import Note, refuse_elsewhere
from .keys import StudyHeldError, StudyKey, StudyLostError
from .pace import Pace, Watch
from .recovery import Action, Archived, Sight, decide, look

if TYPE_CHECKING:
    from ..connection.login import Connection

POSTS = 3


@dataclass(frozen=True)
class Settled:
    """A study that is archived: the experiment, and how many orders it took (0: it was there)."""

    key: StudyKey
    experiment: Experiment
    orders: int = 0


def validate(conn: Connection, key: StudyKey) -> list[Finding]:
    """Ask the server what archiving would say; an empty list for a study without a row.

    Codes 20 to 22 are only warnings there, but make the real archive fail (wire contract B 3.5).
    """
    row = look(conn, key).row
    if row is None:
        return []
    return services.validate_archive(
        conn, row, project=key.project, subject=key.subject, session=key.session
    )


def archive(
    conn: Connection,
    key: StudyKey,
    *,
    pace: Pace | None = None,
    journal: Note = ledger.no_journal,
    overwrite: str | None = None,
    quarantine: bool = False,
    trigger_pipelines: bool = True,
) -> Settled:
    """Archive the study's row; safe to call again after anything, also when it is archived already.

    overwrite: "append" or "delete", only ever sent when the user asked for it for this very study
    and the study is archived already: it skips the server's safety checks (B 3.3), is ordered once
    and never repeated.

    Raises StudyHeldError (with the server's log) when a human must decide, StudyLostError when the
    study is nowhere, StudyTimeoutError when the server does not come to an end (asking again later
    is safe).
    """
    if overwrite not in (None, "append", "delete"):
        raise XNATValueError(f"overwrite={overwrite!r}: give 'append', 'delete' or nothing")
    order = Order(overwrite, quarantine, trigger_pipelines)
    course = _Course(conn, key, pace or Pace(), journal, order)
    while True:
        settled = course.step()
        if settled is not None:
            return settled


@dataclass(frozen=True)
class Order:
    """How to archive."""

    overwrite: str | None = None
    quarantine: bool = False
    trigger_pipelines: bool = True


class _Course:
    """One call of `archive`: what it has done so far."""

    def __init__(
        self, conn: Connection, key: StudyKey, pace: Pace, journal: Note, order: Order
    ) -> None:
        self.conn = conn
        self.key = key
        self.watch: Watch = pace.watch(key)
        self.journal = journal
        self.order = order
        self.posts = 0
        self.rebuilds = 0
        self.said = ""

    def step(self) -> Settled | None:
        """Look, decide, act once. None: look again."""
        sight = look(self.conn, self.key)
        case = decide(sight)
        row = sight.row
        if case.action is Action.DONE and sight.experiment is not None:
            self.journal(ledger.ARCHIVED, f"experiment {sight.experiment.id}")
            return Settled(self.key, sight.experiment, self.posts)
        if case.action is Action.SEARCH or row is None:
            if case.action is not Action.SEARCH:
                raise StudyHeldError(self.key, f"{case.meaning} ({sight})")
            self._search(sight)
        elif case.action is Action.WAIT:
            self.watch.wait(f"row {row.status}")
        elif case.action is Action.ARCHIVE:
            self._archive(row)
        elif case.action is Action.REBUILD:
            self._rebuild(row)
        elif case.action is Action.COMPARE:
            self._compare(sight, row)
        else:
            raise StudyHeldError(self.key, f"{case.meaning} ({sight})")
        return None

    def _archive(self, row: PrearchiveRow) -> None:
        """READY and no experiment: order it (matrix: only after looking, which was just done)."""
        if self.posts >= POSTS:
            raise StudyHeldError(
                self.key, f"ordered {self.posts} times, and the row is READY still", self.said
            )
        self._post(row, None)  # there is nothing to overwrite, so no check is given up

    def _post(self, row: PrearchiveRow, overwrite: str | None) -> None:
        self.posts += 1
        self.journal(ledger.ARCHIVING, f"order {self.posts} for {row.url}")
        try:
            services.archive(
                self.conn,
                row,
                project=self.key.project,
                subject=self.key.subject,
                session=self.key.session,
                overwrite=overwrite,
                quarantine=self.order.quarantine,
                trigger_pipelines=self.order.trigger_pipelines,
            )
        except XNATUnclearError as error:
            self._note(f"the answer was lost: {error}")
            self.watch.wait(f"row {row.status}, order without an answer")
        except XNATForbiddenError as error:
            # Locked, because somebody else archives it; or we may not. The row tells (B 3.4).
            now = look(self.conn, self.key)
            if now.row is not None and now.row.status == "READY":
                raise
            self._note(f"refused: {error}")
        except XNATNotFoundError as error:
            self._note(f"the row is gone: {error}")  # what an order after the success gets
        except XNATResponseError as error:
            # Conflicts come as 400, 409 or 500: the row's status tells, not the code (B 13).
            self._note(f"status {error.status}: {error}")
            self.watch.wait(f"row {row.status}, order answered with {error.status}")

    def _note(self, detail: str) -> None:
        self.said = detail
        self.journal(ledger.ARCHIVING, detail)

    def _rebuild(self, row: PrearchiveRow) -> None:
        """CONFLICT or ERROR and no experiment: rebuild once, then a human with the server's log."""
        log = prearchive.read_last_log(self.conn, row) or self.said
        if self.rebuilds:
            raise StudyHeldError(self.key, f"the row is {row.status} after a rebuild", log)
        self.rebuilds += 1
        self._note(f"row {row.status}, rebuilding once: {log}")
        try:
            prearchive.build(self.conn, row)
        except (XNATConflictError, XNATUnclearError):
            self.watch.wait(f"row {row.status}, build without an answer")
        except XNATNotFoundError:
            return
        except XNATResponseError as error:
            if self._moved_on(row):
                return
            raise StudyHeldError(
                self.key, f"the row is {row.status} and cannot be rebuilt", log
            ) from error

    def _moved_on(self, row: PrearchiveRow) -> bool:
        """Whether somebody else took the row away since it was seen: then the next look tells."""
        now = look(self.conn, self.key).row
        return now is None or now.url != row.url or not states.failed(now.status)

    def _compare(self, sight: Sight, row: PrearchiveRow) -> None:
        """A row beside the study's own experiment: delete it if the archive holds all of it."""
        if self.order.overwrite and not self.posts:
            self._post(row, self.order.overwrite)
            return
        assert sight.experiment is not None and sight.archived is Archived.SAME
        try:
            files = list_row_files(self.conn, row)
        except XNATNotFoundError:
            now = look(self.conn, self.key).row
            if now is None or now.status != row.status:
                return  # archived or removed by somebody else meanwhile
            if self.rebuilds:
                raise StudyHeldError(
                    self.key, f"the row {row.url} beside the archived session cannot be read"
                ) from None
            self._rebuild(row)
            return
        left = lacking(files, list_archived_files(self.conn, sight.experiment))
        if left or not any(files.values()):
            log = prearchive.read_last_log(self.conn, row) if row.status != "READY" else ""
            raise StudyHeldError(
                self.key,
                f"archived as {sight.experiment.id}, but the row {row.url} ({row.status}) holds "
                f"{len(left)} files that the archive lacks, such as {left[:3]}; archive it with "
                "append, or delete the row",
                log,
            )
        self._note(f"deleting {row.url}: the archive holds all of it")
        try:
            prearchive.delete_row(self.conn, row)
        except XNATConflictError:
            self.watch.wait(f"row {row.status}, locked against deletion")

    def _search(self, sight: Sight) -> None:
        """Neither row nor experiment: wait for late visibility, then look elsewhere (P4)."""
        if self.watch.missing():
            return
        refuse_elsewhere(self.conn, self.key)
        where = f"; rows of the study: {[row.url for row in sight.others]}" if sight.others else ""
        raise StudyLostError(self.key, f"neither a row nor an experiment{where}", self.said)


def settle(conn: Connection, key: StudyKey, *, pace: Pace | None = None) -> Sight:
    """Wait until nothing is in flight, and say what is there; orders nothing."""
    watch = (pace or Pace()).watch(key)
    while True:
        sight = look(conn, key)
        if decide(sight).action is not Action.WAIT:
            return sight
        watch.wait(str(sight))


def is_outage(error: Exception) -> bool:
    """Whether an error says nothing about the study: the server was not to be reached."""
    return (
        isinstance(error, XNATError)
        and not isinstance(error, StudyHeldError)
        and (error.exit_status == 5)
    )
