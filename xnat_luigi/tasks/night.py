"""Everything that came: a folder of studies, or the rows that scanners sent into the prearchive.

    luigi --module xnat_luigi.tasks xnat.TakeInFolder --server URL --project P --folder DIR
    luigi --module xnat_luigi.tasks xnat.ArchiveReady --server URL --project P --rules rules.toml

One study that is held does not stop the others, and makes the exit status non-zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import luigi

from ..dicom import load_tables
from ..exceptions import XNATNotFoundError, XNATValueError
from ..gate.running import (
    Settings,
    look_into,
    make_plan,
    naming_rules,
    take_one_row,
    write_index,
)
from ..intake.keys import StudyKey
from ..intake.ledger import DONE, Ledger
from ..intake.naming import name_all
from ..intake.rows import Survey, survey, watchman
from ..rest import prearchive
from ..targets.prearchive import ArchivedTarget
from .base import XnatTask
from .ending import cleanly
from .outcome import CloseSession
from .qc import SessionHeldError

__all__ = ["ArchiveReady", "ArchiveRow", "TakeInFolder"]


class TakeInFolder(luigi.WrapperTask, XnatTask):
    """Every study of a folder, named by rule, on its whole way: `CloseSession` for each."""

    folder: str = luigi.StrParameter(description="folder with DICOM files, any depth")
    naming: str = luigi.StrParameter(
        default="",
        description="TOML file: what studies are called; else PatientName and PatientID",
    )
    rules: str = luigi.StrParameter(default="", description="TOML file with QC rules, or empty")
    policy: str = luigi.StrParameter(default="", description="TOML file: what follows a verdict")
    evidence: str = luigi.StrParameter(
        default="evidence", description="folder for verdicts and the history of every study"
    )
    allow_warnings: bool = luigi.BoolParameter(description="warnings do not hold a study")

    @cached_property
    def studies(self) -> list[StudyKey]:
        """The studies that the rules name; those that none names make an error.

        The folder is read once in the life of a task object.
        """
        settings = Settings(
            self.evidence, project=self.project, naming=self.naming, folder=self.folder
        )
        named, refused = name_all(look_into(settings), naming_rules(settings))
        if refused:
            raise XNATValueError("; ".join(why for _, why in refused))
        return [key for _, key in named]

    def requires(self) -> Iterator[CloseSession]:
        for key in self.studies:
            yield CloseSession(
                server=self.server,
                project=key.project,
                folder=self.folder,
                study=key.study_uid,
                subject=key.subject,
                session=key.session,
                rules=self.rules,
                policy=self.policy,
                evidence=self.evidence,
                allow_warnings=self.allow_warnings,
            )


class RowTask(XnatTask):
    """What `ArchiveReady` and `ArchiveRow` are told alike."""

    rules: str = luigi.StrParameter(default="", description="TOML file with QC rules, or empty")
    policy: str = luigi.StrParameter(default="", description="TOML file: what follows a verdict")
    evidence: str = luigi.StrParameter(
        default="evidence", description="folder for reports and the history of every study"
    )

    @property
    def settings(self) -> Settings:
        return Settings(self.evidence, project=self.project, rules=self.rules, policy=self.policy)


class ArchiveRow(RowTask):
    """One row of the prearchive: built, looked at on the server's side, archived, recorded."""

    timestamp: str = luigi.StrParameter(description="timestamp of the row")
    folder: str = luigi.StrParameter(description="folder of the row")
    study: str = luigi.StrParameter(description="StudyInstanceUID")
    subject: str = luigi.StrParameter(description="subject label of the row")
    session: str = luigi.StrParameter(description="session label of the row")

    def output(self) -> ArchivedTarget:
        return ArchivedTarget(self.server, self.project, self.study)

    def complete(self) -> bool:
        """Archived, and everything after that done too."""
        entry = Ledger(self.evidence).read(self.server, self.key)
        return entry is not None and entry.stage == DONE and self.output().exists()

    @property
    def key(self) -> StudyKey:
        return StudyKey(self.project, self.study, self.subject, self.session)

    @cleanly
    def run(self) -> None:
        connection = self.connect()
        row = prearchive.get_row(connection, self.project, self.timestamp, self.folder)
        if row is None and not self.output().exists():
            raise XNATNotFoundError(f"{self.key}: its row is gone and it is not archived")
        status = self.status_line()
        status.say(f"taking in {self.session}", final=True)
        if row is None:
            Ledger(self.evidence).record(connection.server, self.key, DONE, "archived by others")
            return
        entry = take_one_row(connection, row, self.key, make_plan(self.settings))
        write_index(self.settings)
        status.say(f"{entry.stage}: {entry.detail}", done=1.0, final=True)
        if entry.stage != DONE:
            raise SessionHeldError(f"{self.session} is {entry.stage}: {entry.detail}")


class ArchiveReady(luigi.WrapperTask, RowTask):
    """All rows of a project that are quiet, as one `ArchiveRow` each; one look for all of them.

    What was held before and has not changed is left alone and costs no request.
    """

    quiet: float = luigi.FloatParameter(
        default=300.0, description="seconds without a new file before a row is built"
    )

    def look(self) -> Survey:
        """The look at all rows, made anew each time: Luigi keeps task objects, rows move on."""
        load_tables()  # here once, not in every child that looks into a row
        connection = self.connect()
        plan = make_plan(self.settings)
        watch = watchman(plan.ledger, connection.server)
        return survey(connection, plan, project=self.project, watch=watch, quiet=self.quiet)

    def requires(self) -> Iterator[ArchiveRow]:
        for row, key in self.look().ripe:
            yield ArchiveRow(
                server=self.server,
                project=row.project,
                rules=self.rules,
                policy=self.policy,
                evidence=self.evidence,
                timestamp=row.timestamp,
                folder=row.folder,
                study=key.study_uid,
                subject=key.subject,
                session=key.session,
            )
