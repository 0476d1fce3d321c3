"""After the archive: proof, results beside the data, and the end of a study's way."""

from __future__ import annotations

from pathlib import Path

import luigi

from ..exceptions import XNATNotFoundError
from ..gate.judging import series_statuses
from ..intake.arrivals import delete_proven, make_images, verify
from ..intake.ledger import DONE, RECORDED, VERIFIED, Ledger
from ..intake.policy import Policies, Policy, read_policies
from ..intake.recording import record_results
from ..qc.material import make_material
from ..qc.verdicts import FAIL, Verdict
from ..rest.records import Experiment
from ..targets.history import LedgerTarget
from ..targets.prearchive import StudyTarget
from ..targets.remote import AssessorTarget
from .ending import cleanly
from .qc import REPORTS, GatedTask
from .refresh import RefreshSession

__all__ = ["CloseSession", "RecordQC", "VerifySession"]


class _Archived(GatedTask):
    """A task about a study that is in the archive."""

    policy: str = luigi.StrParameter(
        default="", description="TOML file: what follows a verdict, per project"
    )

    def stage(self, stage: str) -> LedgerTarget:
        """The study's stage in the ledger."""
        return LedgerTarget(
            self.evidence,
            self.server,
            self.project,
            self.study,
            self.subject,
            self.session,
            stage,
        )

    def experiment(self) -> Experiment:
        """The archived session. Raises XNATNotFoundError."""
        found = StudyTarget(self.server, self.project, self.study).find()
        if not isinstance(found, Experiment):
            raise XNATNotFoundError(f"{self.key} is not archived")
        return found

    def read_sent(self) -> dict[str, str]:
        """Names and MD5 sums of what was sent, as far as the ledger knows."""
        entry = Ledger(self.evidence).read(self.server, self.key)
        return dict(entry.facts.get("sent", {})) if entry is not None else {}

    def policies(self) -> Policy:
        """What the policy file says of the project."""
        known = read_policies(self.policy) if self.policy else Policies()
        return known.of(self.project)


class VerifySession(_Archived):
    """Proves that the archive holds what was sent: every image, with its MD5 where it was kept.

    After `RefreshSession`, so that there are digests to compare.
    """

    def requires(self) -> RefreshSession:
        return self.derive(RefreshSession)

    def output(self) -> LedgerTarget:
        return self.stage(VERIFIED)

    @cleanly
    def run(self) -> None:
        wanted = {image.name: "" for image in make_images(self.read_study().files)}
        proof = verify(self.connect(), self.experiment(), {**wanted, **self.read_sent()})
        self.journal(VERIFIED, str(proof), proof=str(proof))
        self.status_line().say(str(proof), done=1.0, final=True)


class RecordQC(_Archived):
    """Writes what QC said beside the data: scan quality, assessor `SESSION_QC`, resource `QC`."""

    def requires(self) -> VerifySession:
        return self.derive(VerifySession)

    def output(self) -> AssessorTarget:
        return AssessorTarget(self.server, self.project, self.session, f"{self.session}_QC")

    def complete(self) -> bool:
        """The assessor is there, and the ledger says that the rest was written after it."""
        return self.stage(RECORDED).exists() and self.output().exists()

    @cleanly
    def run(self) -> None:
        verdict = self.verdict.read() or Verdict(())
        material = make_material(self.read_study().files)
        experiment = self.experiment()
        page = Path(self.evidence) / REPORTS / self.project / f"{self.session}.html"
        files = [page, page.with_suffix(".json"), *([Path(self.rules)] if self.rules else [])]
        record_results(
            self.connect(),
            self.key,
            experiment,
            status=verdict.status if verdict.findings else FAIL,
            reasons=verdict.reasons,
            series=series_statuses(material, verdict),
            policy=self.policies(),
            files=[path for path in files if path.is_file()],
        )
        told = f"quality, {self.session}_QC and resource QC"
        self.journal(RECORDED, told, experiment=experiment.id)
        self.status_line().say(told, done=1.0, final=True)


class CloseSession(_Archived):
    """The end of a study's way; deletes the source where policy says so, after a last proof.

    Complete when the ledger says `done`, so that a study whose source is gone stays complete.
    """

    def requires(self) -> RecordQC:
        return self.derive(RecordQC)

    def output(self) -> LedgerTarget:
        return self.stage(DONE)

    @cleanly
    def run(self) -> None:
        if self.policies().delete_source:
            files = self.read_study().files
            experiment = self.experiment()
            # Once more and at the last moment: what is deleted here is in the archive.
            proof = verify(self.connect(), experiment, {i.name: "" for i in make_images(files)})
            if not proof.renamed:
                told = delete_proven(self.connect(), experiment, files, self.read_sent())
                self.journal(RECORDED, f"{told}: {proof}")
        self.journal(DONE)
        self.status_line().say("done", done=1.0, final=True)
