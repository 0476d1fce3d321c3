"""The whole way of one study: looked at, brought in, archived, proven, recorded; or held with the
reason.

Every step asks the ledger and the server what is done already, so the way can be interrupted
anywhere and taken up again by running it again. A study that was held is looked at again when its
files, the rules, the policy or a human's decision changed, and when `Plan.again` says so.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..dicom import Header, read_header
from ..exceptions import XNATAuthError, XNATError, XNATIntegrityError, XNATLockError
from ..rest import prearchive
from ..rest.records import Experiment, PrearchiveRow
from ..rest.records import Finding as ServerFinding
from . import ledger as stages
from .archiving import archive, validate
from .arrivals import Proof, delete_proven, verify, verify_names
from .bringing import bring_in, past_of
from .changing import Change, Hook
from .decisions import blocks, covers, decision_of
from .keys import StudyHeldError, StudyKey
from .ledger import Entry, Journal, Ledger
from .pace import Pace
from .policy import ARCHIVE, QUARANTINE, Policies
from .recording import record_results
from .recovery import look
from .studies import Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ..connection.login import Connection

log = logging.getLogger(__name__)
DEADLY_WARNINGS = frozenset({20, 21, 22})
"""Only WARN in the server's dry run, and yet the real archive fails with them (B 3.5)."""

Notes = Sequence[tuple[str, Sequence[str]]]
"""Sections of a report: title and lines."""


@dataclass(frozen=True)
class Judgement:
    """What QC says of a study, as plain data: intake does not know how it was found.

    status: "pass", "warn" or "fail". reasons: a sentence for everything that is no pass. series:
    SeriesNumber -> status. verdict: the whole verdict as JSON values. report: writes the report
    with further sections and returns its files, to be kept with the session.
    """

    status: str
    reasons: tuple[str, ...] = ()
    series: Mapping[str, str] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    report: Callable[[Notes], tuple[Path, ...]] = field(default=lambda notes: (), repr=False)


class Judge(Protocol):
    """Makes a judgement of headers; `open_file` gets at files that do not lie on this disk."""

    def __call__(
        self,
        key: StudyKey,
        headers: Sequence[Header],
        open_file: Callable[[Header], Dataset] | None = None,
    ) -> Judgement: ...


@dataclass(frozen=True)
class Arrived:
    """What a prearchive row holds, as far as it was read; `row` is the row after its build."""

    row: PrearchiveRow
    headers: tuple[Header, ...]
    open_file: Callable[[Header], Dataset] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is the same for all studies of a run.

    judge: makes the judgement; it is built of `qc` by whom may know both. version: changes when
    rules or policy do. source: words the ledger keeps, with which a later command can run the same
    again. hook: changes data sets on their way. again: look again at what was held or failed.
    overwrite: "append" or "delete", the user's word for the studies of this very run; never kept.
    """

    ledger: Ledger
    judge: Judge
    version: str = ""
    source: Mapping[str, str] = field(default_factory=dict)
    policies: Policies = field(default_factory=Policies)
    pace: Pace = field(default_factory=Pace)
    hook: Hook | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[int, int], None] | None = None
    again: bool = False
    overwrite: str | None = None


def take_in(conn: Connection, study: Study, key: StudyKey, plan: Plan) -> Entry:
    """Take one study of a folder as far as it may go; returns where it stands.

    Held and failed studies are an answer, not an error: the entry says why. Raises XNATAuthError,
    with which no other study would fare better, and XNATLockError when another process has it in
    hand.
    """
    seen = fingerprint((f"{f.path} {f.size} {f.modified}" for f in study.files), plan)
    with plan.ledger.lock(conn.server, key):
        return _guarded(conn, key, plan, seen, lambda way: _from_folder(way, study))


def take_row(
    conn: Connection,
    row: PrearchiveRow,
    key: StudyKey,
    read: Callable[[], Arrived],
    plan: Plan,
) -> Entry:
    """Take one row of the prearchive as far as it may go.

    read: builds the row and reads what is in it; called when it is needed, may raise
    StudyHeldError.
    """
    seen = fingerprint((row.url, row.lastmod), plan)
    with plan.ledger.lock(conn.server, key):
        return _guarded(conn, key, plan, seen, lambda way: _from_row(way, row, read))


def fingerprint(words: Iterable[str], plan: Plan) -> str:
    """A word that changes when the study or what is asked of it does."""
    digest = hashlib.sha256(plan.version.encode())
    for word in sorted(words):
        digest.update(b"\0" + word.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


def rests(entry: Entry | None, seen: str, plan: Plan) -> bool:
    """Whether there is nothing to do: done, or held as it was seen before and nobody decided."""
    if entry is None or plan.again or entry.facts.get("seen") != seen:
        return False
    return entry.stage in (stages.DONE, stages.HELD, stages.REJECTED, stages.DELETED)


@dataclass
class _Way:
    """One study on its way."""

    conn: Connection
    key: StudyKey
    plan: Plan
    journal: Journal
    seen: str

    def entry(self) -> Entry | None:
        return self.plan.ledger.read(self.conn.server, self.key)


def _guarded(
    conn: Connection, key: StudyKey, plan: Plan, seen: str, go: Callable[[_Way], None]
) -> Entry:
    journal = plan.ledger.journal(conn.server, key)
    before = plan.ledger.read(conn.server, key)
    if before is not None and rests(before, seen, plan):
        return before
    way = _Way(conn, key, plan, journal, seen)
    try:
        go(way)
    except StudyHeldError as error:
        journal(stages.HELD, error.reason, log=error.log or None, seen=way.seen)
    except (XNATAuthError, XNATLockError):
        raise
    except (XNATError, OSError) as error:
        # An outage, a time-out or a surprise: nothing is decided, the next run looks again.
        journal(stages.FAILED, str(error) or type(error).__name__)
    else:
        journal(stages.DONE, seen=way.seen, log=None)
    entry = plan.ledger.read(conn.server, key)
    if entry is None:
        raise XNATIntegrityError(
            f"{key}: the ledger below {plan.ledger.root} forgets what it is told"
        )
    return entry


def _from_folder(way: _Way, study: Study) -> None:
    plan = way.plan
    count = f"{len(study.files)} files, {len(study.series)} series"
    way.journal(stages.FOUND, count, source={**plan.source})
    odd = [read_header(path) for path in study.odd]
    judgement = _judge(way, [*study.files, *odd], None)
    copies = [f"{p.path}: {p.detail}" for p in study.problems if p.path not in study.odd]
    notes = [("Left out", copies), ("Notes", study.notes)]
    if copies or study.notes:
        judgement.report(notes)
    _wait_for_human(way, judgement)
    brought = bring_in(
        way.conn,
        way.key,
        study.files,
        pace=plan.pace,
        journal=way.journal,
        parameters=plan.parameters,
        change=Change(plan.hook) if plan.hook is not None else None,
        progress=plan.progress,
        past=past_of(way.entry()),
        more=plan.overwrite is not None,
    )
    sent = _sent(way, brought.sent)
    proof = _finish(way, judgement, lambda found: verify(way.conn, found, sent), notes)
    if plan.policies.of(way.key.project).delete_source:
        _delete_source(study, proof, way, sent)


def _from_row(way: _Way, row: PrearchiveRow, read: Callable[[], Arrived]) -> None:
    way.journal(stages.FOUND, f"prearchive row {row.url}", source={**way.plan.source}, row=row.url)
    arrived = read()
    row = arrived.row
    way.seen = fingerprint((row.url, row.lastmod), way.plan)
    judgement = _judge(way, arrived.headers, arrived.open_file)
    policy = way.plan.policies.of(way.key.project)
    if judgement.status == "fail" and policy.on_fail == QUARANTINE and not decision_of(way.entry()):
        _quarantine(way, row, policy.quarantine_project, judgement)
    _wait_for_human(way, judgement)
    names = [header.path.rpartition("/")[2] for header in arrived.headers]
    _finish(
        way,
        judgement,
        lambda found: verify_names(way.conn, found, names),
        [("Notes", arrived.notes)],
    )


def _judge(
    way: _Way, headers: Sequence[Header], open_file: Callable[[Header], Dataset] | None
) -> Judgement:
    judgement = way.plan.judge(way.key, headers, open_file)
    told = "; ".join(judgement.reasons[:3]) or "every rule is met"
    way.journal(
        stages.CHECKED,
        f"{judgement.status}: {told}",
        verdict={**judgement.verdict},
        reasons=list(judgement.reasons),
    )
    return judgement


def _wait_for_human(way: _Way, judgement: Judgement) -> None:
    """Raises StudyHeldError unless policy or a human lets the study go on."""
    policy = way.plan.policies.of(way.key.project)
    decision = decision_of(way.entry())
    if decision is not None and blocks(decision):
        raise StudyHeldError(way.key, f"rejected by {decision['who']}: {decision['why']}")
    if policy.after(judgement.status) == ARCHIVE:
        return
    if decision is not None and covers(decision, judgement.status, judgement.reasons):
        return
    reasons = "; ".join(judgement.reasons) or "policy holds it"
    raise StudyHeldError(way.key, f"QC says {judgement.status}: {reasons}")


def _quarantine(way: _Way, row: PrearchiveRow, project: str, judgement: Judgement) -> None:
    """Move a failed row away (matrix: only after looking: the row was just read)."""
    moved = prearchive.move(way.conn, row, project)
    told = "; ".join(judgement.reasons)
    raise StudyHeldError(way.key, f"moved to {moved.url} because QC says fail: {told}")


def _sent(way: _Way, sent: Mapping[str, str]) -> Mapping[str, str]:
    """Names and MD5 sums of what was sent, by an earlier run if not by this one."""
    entry = way.entry()
    before: Mapping[str, str] = entry.facts.get("sent", {}) if entry is not None else {}
    return {name: md5 or before.get(name, "") for name, md5 in sent.items()}


def _finish(
    way: _Way, judgement: Judgement, prove: Callable[[Experiment], Proof], notes: Notes
) -> Proof:
    """Dry run, archive, prove, record."""
    sight = look(way.conn, way.key)
    told: list[str] = []
    if sight.row is not None and sight.experiment is None:
        told = refuse_findings(way.key, validate(way.conn, way.key), way.journal)
    with way.plan.ledger.lock_subject(way.conn.server, way.key):
        settled = archive(
            way.conn,
            way.key,
            pace=way.plan.pace,
            journal=way.journal,
            overwrite=way.plan.overwrite,
        )
    proof = _prove(way, settled.experiment, prove)
    files = judgement.report([("The server's dry run", told or ["nothing against it"]), *notes])
    record_results(
        way.conn,
        way.key,
        settled.experiment,
        status=judgement.status,
        reasons=judgement.reasons,
        series=judgement.series,
        policy=way.plan.policies.of(way.key.project),
        files=files,
    )
    way.journal(
        stages.RECORDED,
        f"quality, {way.key.session}_QC and resource QC",
        experiment=settled.experiment.id,
    )
    return proof


def _prove(way: _Way, experiment: Experiment, prove: Callable[[Experiment], Proof]) -> Proof:
    """The archive holds what was sent; a study that grew after it was archived is held."""
    try:
        proof = prove(experiment)
    except XNATIntegrityError as error:
        raise StudyHeldError(
            way.key, f"{error}; to add them say `intake retry SESSION --append`"
        ) from error
    way.journal(stages.VERIFIED, str(proof), proof=str(proof))
    return proof


def refuse_findings(
    key: StudyKey, findings: Sequence[ServerFinding], journal: Journal
) -> list[str]:
    """What the server's dry run said, as lines. Raises StudyHeldError when archiving would fail."""
    told = [f"{found.code} {found.type}: {found.message}" for found in findings]
    journal(stages.BUILT, "validated: " + ("; ".join(told) or "nothing against it"))
    bad = [
        line
        for found, line in zip(findings, told, strict=True)
        if found.type in ("FAIL", "CONFLICT") or found.code in DEADLY_WARNINGS
    ]
    if bad:
        raise StudyHeldError(key, f"the server's validation says {'; '.join(bad)}")
    return told


def _delete_source(study: Study, proof: Proof, way: _Way, sent: Mapping[str, str]) -> None:
    """Only after proof, and only files whose images the archive holds, byte by byte those sent.

    Everything stays where the proof is by number alone.
    """
    found = look(way.conn, way.key).experiment
    if proof.renamed or way.plan.hook is not None or found is None:
        why = "the archive's files cannot be compared with these one by one"
        way.journal(stages.RECORDED, f"the source is kept: {why}")
        return
    way.journal(stages.RECORDED, delete_proven(way.conn, found, study.files, sent))
