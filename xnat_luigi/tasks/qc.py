"""The gate before the archive."""

from __future__ import annotations

from pathlib import Path

import luigi

from ..dicom import read_header
from ..exceptions import XNATConfigError, XNATError
from ..gate.judging import judge_headers
from ..intake.ledger import APPROVED, CHECKED, HELD, RESTING, Ledger
from ..intake.studies import Study
from ..qc.material import Material
from ..qc.report import write_report
from ..qc.rules import Rules, read_rules
from ..qc.verdicts import FAIL, PASS, WARN, Finding, Verdict
from ..rest import prearchive
from ..rest.records import PrearchiveRow
from ..targets.evidence import VerdictTarget
from ..targets.prearchive import StudyTarget
from .ending import cleanly
from .importing import ImportSession, StudyTask

__all__ = ["REPORTS", "GatedTask", "QCSession", "SessionHeldError"]

REPORTS = "reports"
"""Folder of the HTML pages and their index, below `evidence`."""


class SessionHeldError(XNATError):
    """QC keeps a study out of the archive; the message gives the reasons and the evidence."""


class GatedTask(StudyTask):
    """A study's task that knows where verdicts lie and what they may say."""

    rules: str = luigi.StrParameter(default="", description="TOML file with QC rules, or empty")
    patient: str = luigi.StrParameter(default="", description="PatientID expected, empty for any")
    allow_warnings: bool = luigi.BoolParameter(description="warnings do not hold a study")

    @property
    def verdict(self) -> VerdictTarget:
        """Where the verdict about this study lies."""
        path = Path(self.evidence) / self.project / f"{self.session}-{self.study}.json"
        return VerdictTarget(str(path), f"{PASS},{WARN}" if self.allow_warnings else PASS)


class QCSession(GatedTask):
    """The first gate: nothing is archived before this task has written a good verdict.

    Files whole, one study, one patient, nothing twice, and the prearchive holds as many files as
    were sent. The verdict is kept below `evidence`, good or bad; a bad one ends the task with its
    reasons, and looking again is running it again.
    """

    def requires(self) -> ImportSession:
        return self.derive(ImportSession)

    def output(self) -> VerdictTarget:
        return self.verdict

    def complete(self) -> bool:
        """A good verdict, or a person's approval of a worse one (`xnat-luigi qc approve`)."""
        if self.verdict.exists():
            return True
        entry = Ledger(self.evidence).read(self.server, self.key)
        return entry is not None and entry.passed(APPROVED) and entry.stage not in RESTING

    @cleanly
    def run(self) -> None:
        rules = read_rules(self.rules) if self.rules else None
        study = self.read_study(rules.fields if rules else ())
        material, verdict = judge_headers(
            [*study.files, *(read_header(path) for path in study.odd)],
            rules,
            subject=self.subject,
            session=self.session,
            study_uid=self.study,
            patient_id=self.patient,
        )
        verdict += Verdict.of([self._compare(study)])
        target = self.verdict
        target.write(verdict)
        page = self._write_page(material, verdict, rules)
        facts = verdict.to_dict()
        self.status_line().say(f"verdict: {verdict.status}, {page}", done=1.0, final=True)
        if target.exists():
            self.journal(CHECKED, verdict.status, verdict=facts, reasons=list(verdict.reasons))
        else:
            reasons = "; ".join(verdict.reasons)
            self.journal(HELD, reasons, verdict=facts, reasons=list(verdict.reasons))
            raise SessionHeldError(
                f"{self.session} ({self.study}) is held, not archived: {reasons}. "
                f"The whole verdict is in {target.path}; {page}"
            )

    def _write_page(self, material: Material, verdict: Verdict, rules: Rules | None) -> str:
        """A page to look at; its place, or why there is none."""
        try:
            page = write_report(
                Path(self.evidence) / REPORTS, material, verdict, rules, project=self.project
            )
        except XNATConfigError as error:  # the extra `qc` is not installed: the verdict stands
            return str(error)
        return f"page {page}"

    def _compare(self, study: Study) -> Finding:
        """What the prearchive holds beside what was sent."""
        rule = "arrived"
        row = StudyTarget(self.server, self.project, self.study).find()
        if not isinstance(row, PrearchiveRow):
            return Finding(rule, PASS, "the study is archived already")
        connection = self.connect()
        found = sum(
            resource.file_count or 0
            for scan in prearchive.list_scans(connection, row)
            for resource in prearchive.list_resources(connection, row, scan.id)
        )
        wanted = len(study.files)
        status = PASS if found == wanted else FAIL
        message = f"the prearchive holds {found} files, {wanted} were sent"
        return Finding(rule, status, message, str(found), str(wanted))
