"""The recovery table (wire contract B 13.1) and the idempotency matrix (B 13.2) as code.

After any lost answer, any kill and any time-out the same question is asked: what does the server
show now for this study? `look` sees, `decide` reads the table, and only then does anybody act.
Nothing here changes the server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from ..rest import absence, listings, states
from ..rest.records import Experiment, PrearchiveRow
from .keys import StudyKey

if TYPE_CHECKING:
    from ..connection.login import Connection


class RowState(Enum):
    """What the prearchive shows for the study."""

    ABSENT = "no row"
    IN_FLIGHT = "row in flight"
    READY = "row READY"
    CONFLICT = "row CONFLICT"
    ERROR = "row ERROR"


class Archived(Enum):
    """What the archive shows under the session's label, or under the study's UID."""

    NO = "no experiment"
    SAME = "experiment of this study"
    OTHER = "experiment of another study"
    ELSEWHERE = "this study under another label"


class Action(Enum):
    """What may be done next."""

    WAIT = "wait, send nothing"
    ARCHIVE = "archive without overwrite"
    REBUILD = "read the log, rebuild once, archive once, then a human"
    COMPARE = "delete the row if the archive holds all of it, else a human"
    DONE = "success"
    STOP = "a human"
    SEARCH = "after grace: look elsewhere, then send again"


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the recovery table."""

    row: RowState
    archived: tuple[Archived, ...]
    action: Action
    meaning: str


_ANY = tuple(Archived)
RECOVERY: tuple[Case, ...] = (
    Case(RowState.IN_FLIGHT, _ANY, Action.WAIT, "the server works on the row"),
    Case(RowState.READY, (Archived.NO,), Action.ARCHIVE, "not archived, or never queued"),
    Case(
        RowState.READY,
        (Archived.SAME,),
        Action.COMPARE,
        "archived data were sent again, or a merge is pending",
    ),
    Case(
        RowState.CONFLICT,
        (Archived.NO,),
        Action.REBUILD,
        "the server could not archive it",
    ),
    Case(
        RowState.ERROR,
        (Archived.NO,),
        Action.REBUILD,
        "the server could not build or archive it",
    ),
    Case(RowState.CONFLICT, (Archived.SAME,), Action.COMPARE, "archived data were sent again"),
    # The contract is silent about ERROR beside an experiment of the study; it is looked at as a
    # conflict.
    Case(RowState.ERROR, (Archived.SAME,), Action.COMPARE, "archived data were sent again"),
    *(
        Case(row, (Archived.OTHER,), Action.STOP, "the session label is taken by another study")
        for row in (RowState.ABSENT, RowState.READY, RowState.CONFLICT, RowState.ERROR)
    ),
    # Not in the contract's table: the study is in the archive under a label that nobody asked for.
    *(
        Case(row, (Archived.ELSEWHERE,), Action.STOP, "the study is archived under another label")
        for row in (RowState.ABSENT, RowState.READY, RowState.CONFLICT, RowState.ERROR)
    ),
    Case(RowState.ABSENT, (Archived.SAME,), Action.DONE, "archived, and the row is gone"),
    Case(RowState.ABSENT, (Archived.NO,), Action.SEARCH, "never sent, lost, deleted or moved"),
)
"""Every pair of row and experiment has exactly one line (tested)."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the server shows for one study at one moment.

    `row` is the row of this key; `others` are rows of the same study under another label.
    `experiment` is the one that wears the session's label, `twin` one with the study's UID under
    another label.
    """

    key: StudyKey
    row: PrearchiveRow | None = None
    others: tuple[PrearchiveRow, ...] = ()
    experiment: Experiment | None = None
    twin: Experiment | None = None

    @property
    def row_state(self) -> RowState:
        return row_state(self.row)

    @property
    def archived(self) -> Archived:
        if self.experiment is not None:
            same = self.experiment.uid == self.key.study_uid
            return Archived.SAME if same else Archived.OTHER
        return Archived.ELSEWHERE if self.twin is not None else Archived.NO

    def __str__(self) -> str:
        status = f"row {self.row.status}" if self.row else "no row"
        label = self.experiment or self.twin
        return f"{status}, {self.archived.value}" + (f" ({label.label})" if label else "")


def row_state(row: PrearchiveRow | None) -> RowState:
    """The row as the recovery table sees it; an unknown status counts as in flight."""
    if row is None:
        return RowState.ABSENT
    if states.in_flight(row.status):
        return RowState.IN_FLIGHT
    return {"READY": RowState.READY, "CONFLICT": RowState.CONFLICT}.get(row.status, RowState.ERROR)


def decide(sight: Sight) -> Case:
    """The line of the recovery table that holds now."""
    for case in RECOVERY:
        if case.row is sight.row_state and sight.archived in case.archived:
            return case
    raise AssertionError(f"the recovery table has no line for {sight}")


def look(conn: Connection, key: StudyKey) -> Sight:
    """Ask the server what it shows for a study; three requests, each of them harmless.

    The experiment is looked for by label and by UID (an archived study may wear another label).
    Raises for
    everything that is not an answer: an outage is never taken for an absence.
    """
    # The rows first: a study that is archived between the requests is then seen in one of the
    # places.
    rows = absence.find_rows(conn, key.project, tag=key.study_uid)
    labelled = absence.find_experiment(conn, key.project, key.session)
    twins = listings.list_sessions(conn, key.project, filters={"UID": key.study_uid})
    return see(key, rows, [*([labelled] if labelled else []), *twins])


def see(key: StudyKey, rows: Iterable[PrearchiveRow], experiments: Iterable[Experiment]) -> Sight:
    """The sight of one study in listings that were made before; pure.

    rows: the prearchive of the project. experiments: those that wear the session's label or the
    study's UID, or all of the project.
    """
    mine: PrearchiveRow | None = None
    others = []
    for row in rows:
        if row.project != key.project or row.tag != key.study_uid:
            continue  # an administrator's listing also holds rows of `Unassigned` (B 2.1)
        if mine is None and key.session in (row.name, row.folder):
            mine = row
        else:
            others.append(row)
    labelled: Experiment | None = None
    twin: Experiment | None = None
    for experiment in experiments:
        if experiment.label == key.session:
            labelled = labelled if labelled is not None and labelled.uid else experiment
        elif experiment.uid == key.study_uid:
            twin = twin or experiment
    return Sight(key, mine, tuple(others), labelled, twin)


class Repeat(Enum):
    """Whether a call may be sent again without having looked (B 13.2)."""

    YES = "yes"
    UNLOCKED = "yes, if the row is not locked"
    AFTER_LOOKING = "only after looking"
    NEVER = "never without a human"


IDEMPOTENCY: dict[str, Repeat] = {
    "import without dest, before archiving": Repeat.YES,
    "import without dest, after archiving": Repeat.AFTER_LOOKING,
    "import with dest or commit": Repeat.NEVER,
    "session importer": Repeat.NEVER,
    "build": Repeat.UNLOCKED,
    "reset-status": Repeat.NEVER,
    "archive without overwrite": Repeat.AFTER_LOOKING,
    "archive with overwrite": Repeat.NEVER,
    "move": Repeat.AFTER_LOOKING,
    "delete row": Repeat.UNLOCKED,
    "refresh with explicit options": Repeat.YES,
    "refresh with delete": Repeat.NEVER,
    "put quality, validation or assessor by label": Repeat.YES,
    "issue token": Repeat.NEVER,
}
"""The matrix; `bringing.py` and `archiving.py` say which line each of their calls stands on."""
