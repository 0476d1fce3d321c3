"""A folder of DICOM into the archive: every study imported, looked at, archived, refreshed.

    luigi --module pipelines.take_in TakeIn --server URL --project P --folder DIR --local-scheduler

Subject and session are named as XNAT's own routing would name them: by PatientName and PatientID.
One study that is held does not stop the others, and makes the exit status non-zero.
"""

from __future__ import annotations

from collections.abc import Iterator

import luigi

from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.intake.studies import read_folder
from xnat_luigi.tasks import RefreshSession

__all__ = ["TakeIn"]


class TakeIn(luigi.WrapperTask):
    """All studies below a folder."""

    server: str = luigi.StrParameter(description="address of the server")
    project: str = luigi.StrParameter(description="project ID")
    folder: str = luigi.StrParameter(description="folder with DICOM files, any depth")
    evidence: str = luigi.StrParameter(default="evidence", description="folder for the verdicts")

    def requires(self) -> Iterator[RefreshSession]:
        found = read_folder(self.folder)
        if not found.studies:
            raise XNATValueError(f"{self.folder} holds no DICOM study")
        for study in found:
            yield RefreshSession(
                server=self.server,
                project=self.project,
                folder=self.folder,
                study=study.uid,
                subject=study.patient_name,
                session=study.patient_id,
                evidence=self.evidence,
            )
