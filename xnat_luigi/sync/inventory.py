"""What the server has: two requests for a project, however many sessions it holds.

Subjects come with the stamp that moves with anything below them (wire contract A 3.7). Where it
has moved, one request for each type of session tells which sessions are meant. Stamps are the
server's words and compared for equality, never with a clock; they are taken before the files are
listed, so a change in between is seen by the next run. Not seen by any stamp: an overwrite of a
file by one of the same size, and uploads that skip the statistics; a deep sync compares digests.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import XNATValueError
from ..rest import listings
from ..rest.records import Experiment
from ..transfer.select import Selection, nearest

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Inventory", "take"]

log = logging.getLogger(__name__)

FEW_SUBJECTS = 50
"""up to so many are named in an address, for more the whole project is asked for"""

_MAGIC = re.compile(r"[*?\[]")

_ABSTRACT = {"", "xnat:imageSessionData", "xnat:experimentData", "xnat:subjectAssessorData"}


def _nothing(sessions: Collection[Experiment]) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Inventory:
    """The sessions that are meant, and the stamp of every subject (ID -> the server's words).

    `ids` are those of all sessions of the project, meant or not: what is on disk and not among
    them was deleted on the server. `names` are all that `sessions`, `subjects` and `types` of a
    selection could name. `look_closer` asks for the stamps of some sessions by themselves
    (ID -> the server's words), one request for each of their types; abstract types have none.
    """

    server: str
    project: str
    sessions: tuple[Experiment, ...]
    stamps: Mapping[str, str]
    selection: Selection
    ids: frozenset[str] = frozenset()
    names: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False, repr=False)
    look_closer: Callable[[Collection[Experiment]], Mapping[str, str]] = field(
        default=_nothing, compare=False, repr=False
    )

    def stamp(self, session: Experiment) -> str:
        """What must have changed if anything in a session has."""
        return self.stamps.get(session.subject_id, "")

    def refuse_unknown(self) -> None:
        """Refuse names that the project does not have; a pattern may fit nothing.

        Raises
        ------
        XNATValueError
            Says the nearest name that there is.
        """
        for key, known in self.names.items():
            for name in getattr(self.selection, key):
                if not _MAGIC.search(name) and name not in known:
                    raise XNATValueError(
                        f"project {self.project} has no {key.removesuffix('s')} {name!r}"
                        + nearest(name, known if len(known) < 20 else _near(name, known))
                    )


def take(conn: Connection, project: str, selection: Selection | None = None) -> Inventory:
    """Ask the server; stamps before sessions, so that a change in between is seen next time.

    Two requests; one more if shared sessions are left out, and one for each type of session if
    custom variables are asked for.

    Raises
    ------
    XNATNotFoundError
        The project is not there, or hidden.
    """
    chosen = selection or Selection()
    stamps = {one.id: one.last_modified for one in listings.list_subjects(conn, project)}
    sessions = listings.list_experiments(conn, project)
    ids = frozenset(one.id for one in sessions)
    possible = sessions if chosen.shared else _own(conn, project, sessions)
    custom = _custom(conn, project, possible) if chosen.custom else {}
    meant = sorted(
        (one for one in possible if chosen.takes_session(one, custom.get(one.id))),
        key=lambda one: (one.label, one.id),
    )

    if ids and not meant:
        log.warning("%s: none of its %d sessions fits the selection", project, len(ids))

    def look_closer(some: Collection[Experiment]) -> Mapping[str, str]:
        return _session_stamps(conn, project, some)

    names = {
        "sessions": ids | {one.label for one in sessions},
        "subjects": stamps.keys() | {one.subject_label for one in sessions},
        "types": {one.xsi_type for one in sessions},
    }
    return Inventory(
        conn.server,
        project,
        tuple(meant),
        stamps,
        chosen,
        ids,
        {key: frozenset(some) for key, some in names.items()},
        look_closer,
    )


def _near(name: str, known: Iterable[str]) -> list[str]:
    """A few names that are like this one, to keep a message short."""
    return difflib.get_close_matches(name, sorted(known), n=5, cutoff=0.5) or sorted(known)[:5]


def _own(conn: Connection, project: str, sessions: list[Experiment]) -> list[Experiment]:
    """Leave out sessions of other projects: only this listing goes by the owner (A 3.5)."""
    own = {one.id for one in listings.list_experiments(conn, filters={"project": project})}
    return [one for one in sessions if one.id in own]


def _custom(
    conn: Connection, project: str, sessions: list[Experiment]
) -> dict[str, dict[str, str]]:
    """Custom variables by experiment ID: name -> value; they are listed escaped (A 0.2)."""
    found: dict[str, dict[str, str]] = {}
    for xsi_type in sorted({one.xsi_type for one in sessions} - _ABSTRACT):
        name, value = f"{xsi_type}/fields/field/name", f"{xsi_type}/fields/field/field"
        rows = listings.select_rows(
            conn, uris.experiments(project), ("ID", name, value), xsi_type=xsi_type
        )
        for row in rows:
            if row[name]:
                found.setdefault(row["ID"], {})[unescape(row[name])] = unescape(row[value])
    return found


def _session_stamps(
    conn: Connection, project: str, sessions: Collection[Experiment]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for xsi_type in sorted({one.xsi_type for one in sessions} - _ABSTRACT):
        subjects = sorted({one.subject_id for one in sessions if one.xsi_type == xsi_type})
        filters = {"subject_ID": subjects} if len(subjects) <= FEW_SUBJECTS else None
        column = f"{xsi_type}/meta/last_modified"
        rows = listings.select_rows(
            conn, uris.experiments(project), ("ID", column), filters, xsi_type=xsi_type
        )
        found |= {row["ID"]: row[column] for row in rows if row["ID"] and row[column]}
    return found
