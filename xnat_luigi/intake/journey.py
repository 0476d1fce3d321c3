"""The whole way of one study: looked at, brought in, archived, proven, recorded; or held with the
reason.

Every step asks the ledger and the server what is done already, so the way can be interrupted
anywhere and taken up again by running it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import XNATAuthError, XNATError, XNATLockError
from ..rest import prearchive
from ..rest.records import Experiment, PrearchiveRow
from ..rest.records import Finding as ServerFinding
from . import ledger as stages
from .archiving import archive, validate
from .arrivals import Proof, verify
from .bringing import bring_in
from .changing import Change, Hook
from .decisions import blocks, decision_of
from .keys import StudyHeldError, StudyKey
from .ledger import Entry, Journal, Ledger
from .pace import Pace
from .policy import ARCHIVE, DELETE, QUARANTINE, Policies, Policy
from .recording import record_results
from .recovery import look
from .studies import Study

if TYPE_CHECKING:
    from ..connection.login import Connection

log = logging.getLogger(__name__)
DEADLY_WARNINGS = frozenset({20, 21, 22})
"""Only WARN in the server's dry run, and yet the real archive fails with them (B 3.5)."""


@dataclass(frozen=True)
class Judgement:
    """What QC says of a study, as plain data: intake does not know how it was found.

    status: "pass", "warn" or "fail". series: SeriesNumber -> status. verdict: the whole verdict as
    JSON values. files: report, verdict and rules, to be kept with the session.
    """

    status: str
    reasons: tuple[str, ...] = ()
    series: Mapping[str, str] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


Judge = Callable[[StudyKey, Sequence[Any], Sequence[tuple[str, Sequence[str]]]], Judgement]
"""Called with the key, the headers of the study and further sections for the report."""


@dataclass(frozen=True)
class Plan:
    """What is the same for all studies of a run.

    judge: makes the judgement; `cli` builds it of `qc`. hook: changes data sets on their way.
    overwrite: the user's word for one study, never a setting for many.
    """

    ledger: Ledger
    judge: Judge
    policies: Policies = field(default_factory=Policies)
    pace: Pace = field(default_factory=Pace)
    hook: Hook | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[int, int], None] | None = None


def take_in(conn: Connection, study: Study, key: StudyKey, plan: Plan) -> Entry:
    """Take one study of a folder as far as it may go; returns where it stands.

    Held and failed studies are an answer, not an error: the entry says why. Raises XNATAuthError,
    with which no other study would fare better, and XNATLockError when another process has it in
    hand.
    """
    with plan.ledger.lock(conn.server, key):
        return _guarded(
            conn, key, plan, lambda journal: _from_folder(conn, study, key, plan, journal)
        )


def take_row(
    conn: Connection,
    row: PrearchiveRow,
    key: StudyKey,
    headers: Callable[[], Sequence[Any]],
    plan: Plan,
) -> Entry:
    """Take one built row of the prearchive as far as it may go. headers: read when they are
    needed.
    """
    with plan.ledger.lock(conn.server, key):
        return _guarded(
            conn, key, plan, lambda journal: _from_row(conn, row, key, headers, plan, journal)
        )


def _guarded(conn: Connection, key: StudyKey, plan: Plan, go: Callable[[Journal], None]) -> Entry:
    journal = plan.ledger.journal(conn.server, key)
    try:
        go(journal)
    except StudyHeldError as error:
        journal(stages.HELD, error.reason, log=error.log or None)
    except (XNATAuthError, XNATLockError):
        raise
    except XNATError as error:
        # An outage, a time-out or a surprise: nothing is decided, `intake retry` looks again.
        journal(stages.FAILED, f"{type(error).__name__}: {error}")
    entry = plan.ledger.read(conn.server, key)
    assert entry is not None
    return entry


def _from_folder(
    conn: Connection, study: Study, key: StudyKey, plan: Plan, journal: Journal
) -> None:
    entry = plan.ledger.read(conn.server, key)
    if entry is not None and entry.stage == stages.DONE:
        return
    count = f"{len(study.files)} files, {len(study.series)} series"
    journal(stages.FOUND, count, problems=[p.detail for p in study.problems] or None)
    judgement = _judge(key, [*study.files, *_damaged(study)], plan, journal, ())
    _wait_for_human(key, plan, conn.server, judgement)
    change = Change(plan.hook) if plan.hook is not None else None
    brought = bring_in(
        conn,
        key,
        study.files,
        pace=plan.pace,
        journal=journal,
        parameters=plan.parameters,
        change=change,
        progress=plan.progress,
    )
    sent = _sent(plan, conn.server, key, brought.sent)
    _finish(conn, key, plan, journal, judgement, sent)
    if plan.policies.of(key.project).delete_source and change is None:
        _delete_source(study, journal)
    journal(stages.DONE)


def _damaged(study: Study) -> list[Any]:
    """Files that are no part of a series because they are cut: QC shall see them too."""
    from ..dicom import read_header

    return [read_header(problem.path) for problem in study.problems if problem.kind == "truncated"]


def _from_row(
    conn: Connection,
    row: PrearchiveRow,
    key: StudyKey,
    headers: Callable[[], Sequence[Any]],
    plan: Plan,
    journal: Journal,
) -> None:
    journal(stages.FOUND, f"prearchive row {row.url}", row=row.url)
    judgement = _judge(key, headers(), plan, journal, ())
    policy = plan.policies.of(key.project)
    entry = plan.ledger.read(conn.server, key)
    failed = judgement.status == "fail"
    if failed and policy.on_fail == QUARANTINE and not decision_of(entry):
        _quarantine(conn, row, policy, key, judgement)
    _wait_for_human(key, plan, conn.server, judgement)
    _finish(conn, key, plan, journal, judgement, {})
    journal(stages.DONE)


def _judge(
    key: StudyKey,
    headers: Sequence[Any],
    plan: Plan,
    journal: Journal,
    notes: Sequence[tuple[str, Sequence[str]]],
) -> Judgement:
    judgement = plan.judge(key, headers, notes)
    told = "; ".join(judgement.reasons[:3]) or "every rule is met"
    journal(
        stages.CHECKED, f"{judgement.status}: {told}", verdict={**judgement.verdict}, held_for=None
    )
    return judgement


def _wait_for_human(key: StudyKey, plan: Plan, server: str, judgement: Judgement) -> None:
    """Raises StudyHeldError unless policy or a human lets the study go on."""
    policy = plan.policies.of(key.project)
    decision = decision_of(plan.ledger.read(server, key))
    if decision is not None and blocks(decision):
        raise StudyHeldError(key, f"rejected by {decision['who']}: {decision['why']}")
    if policy.after(judgement.status) == ARCHIVE or (
        decision is not None and decision["status"] == judgement.status
    ):
        return
    reasons = "; ".join(judgement.reasons) or "policy holds it"
    raise StudyHeldError(key, f"QC says {judgement.status}: {reasons}")


def _quarantine(
    conn: Connection, row: PrearchiveRow, policy: Policy, key: StudyKey, judgement: Judgement
) -> None:
    """Move a failed row away (matrix: only after looking: the row was just read)."""
    moved = prearchive.move(conn, row, policy.quarantine_project)
    told = "; ".join(judgement.reasons)
    raise StudyHeldError(key, f"moved to {moved.url} because QC says fail: {told}")


def _sent(plan: Plan, server: str, key: StudyKey, sent: Mapping[str, str]) -> Mapping[str, str]:
    """Names and MD5 sums of what was sent, by an earlier run if not by this one."""
    entry = plan.ledger.read(server, key)
    before: Mapping[str, str] = entry.facts.get("sent", {}) if entry is not None else {}
    return {name: md5 or before.get(name, "") for name, md5 in sent.items()}


def _finish(
    conn: Connection,
    key: StudyKey,
    plan: Plan,
    journal: Journal,
    judgement: Judgement,
    sent: Mapping[str, str],
) -> None:
    """Dry run, archive, prove, record."""
    sight = look(conn, key)
    if sight.row is not None and sight.experiment is None:
        _refuse_findings(key, validate(conn, key), journal)
    settled = archive(conn, key, pace=plan.pace, journal=journal)
    proof = _prove(conn, settled.experiment, sent)
    journal(stages.VERIFIED, str(proof) if proof else "no list of what was sent", sent=None)
    record_results(
        conn,
        key,
        settled.experiment,
        status=judgement.status,
        reasons=judgement.reasons,
        series=judgement.series,
        policy=plan.policies.of(key.project),
        files=judgement.files,
    )
    journal(
        stages.RECORDED,
        f"quality, {key.session}_QC and resource QC",
        experiment=settled.experiment.id,
    )


def _prove(conn: Connection, experiment: Experiment, sent: Mapping[str, str]) -> Proof | None:
    return verify(conn, experiment, sent) if sent else None


def _refuse_findings(key: StudyKey, findings: Sequence[ServerFinding], journal: Journal) -> None:
    told = [f"{found.code} {found.type}: {found.message}" for found in findings]
    journal(
        stages.BUILT, "validated: " + ("; ".join(told) or "nothing against it"), validation=told
    )
    bad = [
        line
        for found, line in zip(findings, told, strict=True)
        if found.type in ("FAIL", "CONFLICT") or found.code in DEADLY_WARNINGS
    ]
    if bad:
        raise StudyHeldError(key, f"the server's validation says {'; '.join(bad)}")


def _delete_source(study: Study, journal: Journal) -> None:
    """Only after proof, and only files whose images the archive holds. Copies and cut files
    stay.
    """
    for header in study.files:
        Path(header.path).unlink(missing_ok=True)
    journal(stages.RECORDED, f"deleted {len(study.files)} files of the source")


def is_deletable(entry: Entry, policy: Policy, now: str, age_days: float) -> bool:
    """Whether a failed row may go: policy says so by name, it failed, nobody approved it, it is
    old.
    """
    return (
        policy.on_fail == DELETE
        and entry.stage == stages.HELD
        and entry.verdict == "fail"
        and decision_of(entry) is None
        and age_days >= policy.delete_after_days > 0
        and bool(now)
    )
