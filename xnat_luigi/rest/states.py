"""The prearchive's statuses as a table (wire contract B 2.4).

Only the forms with a leading `_` are locks. `QUEUED_*` and plain `ARCHIVING`, `BUILDING` ... do not
refuse a second request, so a client must: while `in_flight` is true, wait and order nothing.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["STATUSES", "Phase", "failed", "in_flight", "locked", "phase", "terminal"]


class Phase(Enum):
    """What a status means for a client."""

    RECEIVING = "files arrive"
    WORKING = "the server works or is about to"
    READY = "built, may be archived"
    STUCK = "needs a decision"


STATUSES: dict[str, Phase] = {
    "RECEIVING": Phase.RECEIVING,
    "RECEIVING_INTERRUPT": Phase.RECEIVING,
    "_RECEIVING": Phase.RECEIVING,
    "_RECEIVING_INTERRUPT": Phase.RECEIVING,
    "READY": Phase.READY,
    "CONFLICT": Phase.STUCK,
    "_CONFLICT": Phase.STUCK,
    "ERROR": Phase.STUCK,
    **{
        prefix + status: Phase.WORKING
        for status in ("BUILDING", "ARCHIVING", "MOVING", "DELETING", "SEPARATING")
        for prefix in ("", "_", "QUEUED_")
    },
}
"""every status of the contract; any other is treated as in flight, never as done"""

TERMINAL = frozenset({"READY", "CONFLICT", "ERROR"})


def phase(status: str) -> Phase:
    """Return what a status means. A status that is not in the table counts as `WORKING`."""
    return STATUSES.get(status, Phase.WORKING)


def terminal(status: str) -> bool:
    """Say whether the server will not go on by itself: READY, CONFLICT or ERROR (B 2.4).

    READY of a project that archives by itself may still go on; ask `PrearchiveRow.autoarchive`.
    """
    return status in TERMINAL


def in_flight(status: str) -> bool:
    """Say whether the row is still moving: everything that is not `terminal`."""
    return not terminal(status)


def locked(status: str) -> bool:
    """Say whether the server refuses changes of status (the `_` forms only)."""
    return status.startswith("_")


def failed(status: str) -> bool:
    """Say whether the row waits for a decision: CONFLICT or ERROR."""
    return status in {"CONFLICT", "ERROR"}
