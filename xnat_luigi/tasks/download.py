"""One resource to disk."""

from __future__ import annotations

from pathlib import Path

import luigi

from ..exceptions import XNATNotFoundError
from ..staging.lock import staged_lock
from ..targets.staged import STATE, StagedResourceTarget
from ..transfer.fetch import fetch_resource
from .base import XnatTask
from .ending import cleanly

__all__ = ["DownloadResource"]

DIGESTS = ("size", "fail")


class DownloadResource(XnatTask):
    """Brings one resource onto the disk, proven by size and MD5, its manifest last.

    Complete when its manifest verifies and is what the server lists now. Only files that are
    missing, damaged or changed are fetched; a killed run leaves whole files or none.
    """

    dest: str = luigi.StrParameter(description="folder on this machine")
    resource: str = luigi.StrParameter(description="label of the resource")
    subject: str = luigi.StrParameter(default="", description="ID or label of the subject")
    experiment: str = luigi.StrParameter(default="", description="ID or label of the experiment")
    scan: str = luigi.StrParameter(default="", description="ID of the scan")
    assessor: str = luigi.StrParameter(default="", description="ID or label of the assessor")
    layout: str = luigi.StrParameter(
        default="documented", description="name of a layout, or a template"
    )
    digests: str = luigi.ChoiceParameter(
        choices=DIGESTS,
        default="size",
        significant=False,
        description="files without a digest on the server: take them by size, or fail",
    )

    def output(self) -> StagedResourceTarget:
        return StagedResourceTarget(
            self.server,
            self.project,
            self.resource,
            subject=self.subject,
            experiment=self.experiment,
            scan=self.scan,
            assessor=self.assessor,
            root=str(Path(self.dest).expanduser().absolute()),
            layout=self.layout,
        )

    @cleanly
    def run(self) -> None:
        target = self.output()
        found = target.remote()
        if found is None:
            raise XNATNotFoundError(f"{self.server} has no such resource: {target}")
        origin, files = found
        line = self.status_line()
        name = origin.experiment_id or "project"
        lock = target.folder / STATE / "locks" / self.project / f"{name}.lock"
        with staged_lock(lock, owner=f"download of {self.resource}"):
            keep = target.standing(origin, files)
            line.say(f"{len(files) - len(keep)} of {len(files)} files to fetch", final=True)
            done = fetch_resource(
                self.connect(),
                origin,
                files,
                target.folder,
                layout=self.layout,
                digests=self.digests,
                keep=keep,
            )
        line.say(f"{done.files} files, {done.size} bytes", done=1.0, final=True)
