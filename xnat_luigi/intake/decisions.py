"""A human in the loop: approve or reject a held study; who, when and why stays in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..exceptions import XNATValueError
from . import ledger as stages
from .ledger import Entry, Ledger, local_user

APPROVE = "approve"
REJECT = "reject"


def decide(
    ledger: Ledger, entry: Entry, what: str, why: str, *, who: str = "", now: str = ""
) -> Entry:
    """Record a decision about a held study; the next run goes on (or does not).

    what: "approve" or "reject". why: a reason, required. who: default is the user at this machine.
    An
    approval holds for the reasons that were seen: a new one later is held again.

    Raises XNATValueError for a study that is not held, and for an empty reason.
    """
    if what not in (APPROVE, REJECT):
        raise XNATValueError(f"decision {what!r} is neither approve nor reject")
    if not why.strip():
        raise XNATValueError('a decision needs a reason: --reason "..."')
    if entry.stage not in (stages.HELD, stages.APPROVED, stages.REJECTED):
        raise XNATValueError(
            f"{entry.key} is not held but {entry.stage} since {entry.since}; there is nothing to "
            "decide"
        )
    if what == APPROVE and not entry.verdict:
        raise XNATValueError(
            f"{entry.key} is held by the server, not by QC ({entry.detail}): repair that and run "
            "`xnat-luigi intake retry`"
        )
    person = who or local_user()
    reasons = [str(reason) for reason in entry.facts.get("reasons", ())]
    decision = {
        "what": what,
        "who": person,
        "why": why.strip(),
        "status": entry.verdict,
        "reasons": reasons,
    }
    stage = stages.APPROVED if what == APPROVE else stages.REJECTED
    return ledger.record(
        entry.server, entry.key, stage, f"by {person}: {why.strip()}", decision=decision
    )


def decision_of(entry: Entry | None) -> Mapping[str, Any] | None:
    """The decision about a study, None when there is none."""
    if entry is None:
        return None
    found = entry.facts.get("decision")
    return found if isinstance(found, Mapping) else None


def covers(decision: Mapping[str, Any], status: str, reasons: Iterable[str]) -> bool:
    """Whether an approval was given for this verdict: the same status, no reason it did not see."""
    if decision.get("what") != APPROVE or decision.get("status") != status:
        return False
    return set(reasons) <= set(decision.get("reasons", ()))


def blocks(decision: Mapping[str, Any]) -> bool:
    """Whether the decision keeps the study out."""
    return decision.get("what") == REJECT
