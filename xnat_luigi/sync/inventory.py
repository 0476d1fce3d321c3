"""What the server has: two requests for a project, however many sessions it holds.

Subjects come with the stamp that moves with anything below them (wire contract A 3.7). Not seen by
it: an overwrite of a file by one of the same size, and uploads that skip the statistics; a deep
sync compares digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..rest import listings
from ..rest.records import Experiment
from ..transfer.select import Selection

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Inventory", "take"]


@dataclass(frozen=True)
class Inventory:
    """The sessions that are meant, and the stamp of every subject (ID -> the server's words)."""

    server: str
    project: str
    sessions: tuple[Experiment, ...]
    stamps: dict[str, str]
    selection: Selection

    def stamp(self, session: Experiment) -> str:
        """What must have changed if anything in a session has."""
        return self.stamps.get(session.subject_id, "")


def take(conn: Connection, project: str, selection: Selection | None = None) -> Inventory:
    """Ask the server; stamps before sessions, so that a change in between is seen next time.

    Raises
    ------
    XNATNotFoundError
        The project is not there, or hidden.
    """
    chosen = selection or Selection()
    stamps = {one.id: one.last_modified for one in listings.list_subjects(conn, project)}
    sessions = listings.list_experiments(conn, project)
    meant = sorted(
        (one for one in sessions if chosen.takes_session(one)), key=lambda one: (one.label, one.id)
    )
    return Inventory(conn.server, project, tuple(meant), stamps, chosen)
