r"""Last night's scans into the archive: what scanners sent to the prearchive, and a folder.

    LUIGI_CONFIG_PATH=config/pipelines/night.cfg \
        luigi --module pipelines.night night.Night --local-scheduler --workers 2

Every study is looked at by the rules before it is archived. One that is held does not stop the
others, and makes the exit status non-zero; `xnat-luigi intake status` says which, and why.
"""

from __future__ import annotations

from typing import Any

import luigi

from xnat_luigi.tasks import ArchiveReady, TakeInFolder

__all__ = ["Night"]


class Night(luigi.WrapperTask):
    """All that came for a project."""

    task_namespace = "night"

    server: str = luigi.StrParameter(description="address of the server")
    project: str = luigi.StrParameter(description="project ID")
    folder: str = luigi.StrParameter(default="", description="folder with DICOM files, or none")
    rules: str = luigi.StrParameter(default="", description="TOML file with QC rules")
    policy: str = luigi.StrParameter(default="", description="TOML file: what follows a verdict")
    evidence: str = luigi.StrParameter(
        default="evidence", description="folder for reports and the history of every study"
    )
    quiet: float = luigi.FloatParameter(
        default=300.0, description="seconds without a new file before a row is taken"
    )

    def requires(self) -> list[luigi.Task]:
        words: dict[str, Any] = {
            "server": self.server,
            "project": self.project,
            "rules": self.rules,
            "policy": self.policy,
            "evidence": self.evidence,
        }
        tasks: list[luigi.Task] = [ArchiveReady(quiet=self.quiet, **words)]
        if self.folder:
            tasks.append(TakeInFolder(folder=self.folder, **words))
        return tasks
