"""What the ledger knows, told to people and machines: tables, one study's history, a mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from . import ledger as stages
from .ledger import Entry

HEADINGS = ("project", "session", "stage", "since", "verdict", "waits for")
_ATTENTION = (stages.HELD, stages.FAILED)
_SHOWN = 20


def status_row(entry: Entry) -> tuple[str, ...]:
    """One study as a line of the table, in the order of `HEADINGS`."""
    return (
        entry.key.project,
        entry.key.session,
        entry.stage,
        _minute(entry.since),
        entry.verdict,
        entry.waits_for,
    )


def status_data(entry: Entry) -> dict[str, Any]:
    """One study as JSON values; the names are stable."""
    return {
        "server": entry.server,
        "project": entry.key.project,
        "subject": entry.key.subject,
        "session": entry.key.session,
        "study_uid": entry.key.study_uid,
        "stage": entry.stage,
        "since": entry.since,
        "detail": entry.detail,
        "verdict": entry.verdict,
        "reasons": list(entry.facts.get("reasons", ())),
        "waits_for": entry.waits_for,
        "experiment": entry.facts.get("experiment", ""),
        "decision": entry.facts.get("decision"),
    }


def history_data(entry: Entry) -> dict[str, Any]:
    """One study with every line of its history, as JSON values."""
    events = [
        {"at": event.at, "stage": event.stage, "detail": event.detail, "by": event.by}
        for event in entry.events
    ]
    return {**status_data(entry), "events": events}


def tell(entry: Entry) -> str:
    """The whole history of a study as text, oldest line first, with what to do next."""
    lines = [str(entry.key), f"on {entry.server}", ""]
    lines += [
        f"{_second(event.at)}  {event.stage:<9}  {event.detail}".rstrip() for event in entry.events
    ]
    decision = entry.facts.get("decision")
    if decision:
        lines += ["", f"{decision['what']} by {decision['who']}: {decision['why']}"]
    if entry.facts.get("log"):
        lines += ["", f"the server's log: {entry.facts['log']}"]
    lines += ["", _next_step(entry)]
    return "\n".join(lines)


def _next_step(entry: Entry) -> str:
    session = entry.key.session
    if entry.stage == stages.HELD and entry.verdict in ("warn", "fail"):
        return (
            f"It waits for a human: xnat-luigi qc approve {session} --reason '...', or reject; "
            "or repair the files and run the intake again."
        )
    if entry.stage == stages.HELD:
        return f"It waits for a human: repair what is said above, then intake retry {session}."
    if entry.stage == stages.FAILED:
        return f"The next run tries again, or now: xnat-luigi intake retry {session}."
    if entry.stage == stages.APPROVED:
        return "The next run goes on with it."
    if entry.stage == stages.REJECTED:
        return "It is kept out. Nothing more happens unless somebody approves it."
    if entry.stage in (stages.DONE, stages.DELETED):
        return "Nothing is left to do."
    return "It is on its way, or its run was ended: the next run goes on with it."


def select(
    entries: Iterable[Entry], *, only: Sequence[str] = (), since: datetime | None = None
) -> list[Entry]:
    """Entries in some stages, changed since a moment."""
    found = [entry for entry in entries if not only or entry.stage in only]
    if since is None:
        return found
    return [entry for entry in found if entry.events and _moment(entry.events[-1].at) >= since]


def mail(entries: Sequence[Entry], *, now: datetime, hours: float = 24.0) -> str:
    """A summary for a mail: what came in the last hours, and what waits, however long.

    The first line is made to be the subject; a blank line follows.
    """
    recent = select(entries, since=now - timedelta(hours=hours))
    waiting = [entry for entry in entries if entry.stage in _ATTENTION]
    done = [entry for entry in recent if entry.stage == stages.DONE]
    counts = Counter(entry.stage for entry in recent)
    lines = [
        f"XNAT intake: {len(done)} archived, {len(waiting)} waiting",
        "",
        f"In the {hours:g} hours before {now.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC "
        f"{len(recent)} studies moved"
        + (
            f": {', '.join(f'{n} {stage}' for stage, n in sorted(counts.items()))}."
            if counts
            else "."
        ),
    ]
    if waiting:
        lines += ["", f"{len(waiting)} wait for somebody:"]
        lines += [
            f"  {one.key.project}/{one.key.session} since {_minute(one.since)}: {one.waits_for}"
            for one in sorted(waiting, key=lambda one: one.since)[:_SHOWN]
        ]
        if len(waiting) > _SHOWN:
            lines.append(f"  and {len(waiting) - _SHOWN} more: xnat-luigi intake status")
    if done:
        lines += ["", "Archived:"]
        lines += [f"  {entry.key.project}/{entry.key.session}" for entry in done[:_SHOWN]]
        if len(done) > _SHOWN:
            lines.append(f"  and {len(done) - _SHOWN} more")
    return "\n".join(lines) + "\n"


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")


def _second(at: str) -> str:
    return at[:19].replace("T", " ")
