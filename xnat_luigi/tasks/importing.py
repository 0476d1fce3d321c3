"""From a folder of DICOM into the prearchive.

What may be repeated and what must be looked at first is code of `intake`; the tasks put the steps
into Luigi's graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import luigi

from ..dicom import load_tables
from ..exceptions import XNATValueError
from ..intake.bringing import bring_in, past_of
from ..intake.keys import StudyKey
from ..intake.ledger import Journal, Ledger
from ..intake.studies import Study, read_folder
from ..targets.prearchive import StudyTarget
from ..targets.remote import ProjectTarget
from .base import XnatTask
from .ending import cleanly

__all__ = ["ImportSession", "StudyTask"]


class StudyTask(XnatTask):
    """A task about one DICOM study that lies in a folder."""

    folder: str = luigi.StrParameter(description="folder that holds the study's DICOM files")
    study: str = luigi.StrParameter(description="StudyInstanceUID")
    subject: str = luigi.StrParameter(description="label the subject has or shall have")
    session: str = luigi.StrParameter(description="label the session shall have")

    @property
    def key(self) -> StudyKey:
        """What identifies the study on the server.

        Raises XNATUnsafeNameError for labels that the server would change.
        """
        return StudyKey(self.project, self.study, self.subject, self.session)

    evidence: str = luigi.StrParameter(
        default="evidence", description="folder for verdicts and the history of every study"
    )

    @property
    def journal(self) -> Journal:
        """The study's history, in the ledger that `xnat-luigi intake status` shows."""
        return Ledger(self.evidence).journal(self.server, self.key)

    def read_study(self, fields: Sequence[str] = ()) -> Study:
        """The study's headers; XNATValueError when the folder does not hold it."""
        found = read_folder(self.folder, fields=fields)
        if not found.studies:
            raise XNATValueError(
                f"{self.folder} holds no DICOM study: {len(found.problems)} files were looked at"
            )
        return found.find(self.study)


class ImportSession(StudyTask):
    """Sends the whole files of a study to the project's prearchive.

    Complete if the prearchive holds a row of this StudyInstanceUID, or the archive an experiment
    with it: archiving ends the row. The project must exist, or the server would file the study
    under `Unassigned` and answer 200 (wire contract B 1.3).
    """

    def output(self) -> StudyTarget:
        load_tables()  # asked for in the process that forks
        return StudyTarget(self.server, self.project, self.study)

    @cleanly
    def run(self) -> None:
        status = self.status_line()
        connection = self.connect()
        if not ProjectTarget(self.server, self.project).exists():
            raise XNATValueError(
                f"{self.server} has no project {self.project} that {connection.user} may read; "
                "create it first"
            )
        study = self.read_study()
        status.say(f"importing {len(study.files)} files, {study.size} bytes", final=True)
        bring_in(
            connection,
            self.key,
            study.files,
            journal=self.journal,
            past=past_of(Ledger(self.evidence).read(self.server, self.key)),
        )
        status.say(f"imported {len(study.files)} files", done=1.0, final=True)
