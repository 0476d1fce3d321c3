r"""Projects to disk, one after the other or side by side: what a night's copy begins with.

    LUIGI_CONFIG_PATH=config/pipelines/sync.cfg \
        luigi --module pipelines.sync sync.Projects --local-scheduler --workers 2

Every project is one `xnat.SyncProject`, so one that cannot be fetched does not stop the others and
makes the exit status non-zero. Run it again as often as you like: what is there is not fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import luigi

from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.tasks import SyncProject

__all__ = ["Projects"]


class Projects(luigi.WrapperTask):
    """Several projects of one server."""

    task_namespace = "sync"

    server: str = luigi.StrParameter(description="address of the server")
    projects: str = luigi.StrParameter(description="project IDs, separated by commas")
    dest: str = luigi.StrParameter(description="folder on this machine")
    layout: str = luigi.StrParameter(default="documented", description="see xnat.SyncProject")
    labels: str = luigi.StrParameter(default="", description="labels of resources, globs")
    select: Mapping[str, Any] = luigi.DictParameter(default={}, description="see xnat.SyncProject")
    digests: str = luigi.StrParameter(
        default="size", significant=False, description="see xnat.SyncProject"
    )

    def requires(self) -> list[SyncProject]:
        names = [name.strip() for name in self.projects.split(",") if name.strip()]
        if not names:
            raise XNATValueError("sync.Projects: no project is named")
        return [
            SyncProject(
                server=self.server,
                project=name,
                dest=self.dest,
                layout=self.layout,
                labels=self.labels,
                select=self.select,
                digests=self.digests,
            )
            for name in names
        ]
