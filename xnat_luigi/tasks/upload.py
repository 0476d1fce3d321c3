"""A local folder into a resource, proven."""

from __future__ import annotations

from pathlib import Path

import luigi

from ..exceptions import XNATNotFoundError
from ..rest.records import File
from ..targets.resource import ResourceTarget, fingerprint
from ..transfer.upload import read_sendings, upload_files
from .base import XnatTask
from .ending import cleanly

__all__ = ["UploadResource"]


class UploadResource(XnatTask):
    """Uploads all files below a folder.

    Complete when the resource holds exactly these files: by path, size and MD5, by path and size
    where the server has no digests. A half upload is completed by running again; what is there and
    differs is an error unless `overwrite` is given.
    """

    source: str = luigi.StrParameter(description="folder with the files")
    resource: str = luigi.StrParameter(description="label of the resource")
    subject: str = luigi.StrParameter(default="", description="ID or label of the subject")
    experiment: str = luigi.StrParameter(default="", description="ID or label of the experiment")
    scan: str = luigi.StrParameter(default="", description="ID of the scan")
    assessor: str = luigi.StrParameter(default="", description="ID or label of the assessor")
    overwrite: bool = luigi.BoolParameter(description="replace files that differ")

    def output(self) -> ResourceTarget:
        return ResourceTarget(
            self.server,
            self.project,
            self.resource,
            subject=self.subject,
            experiment=self.experiment,
            scan=self.scan,
            assessor=self.assessor,
            fingerprint=fingerprint(
                File(sending.path, sending.size, sending.md5)
                for sending in read_sendings(Path(self.source))
            ),
        )

    @cleanly
    def run(self) -> None:
        connection = self.connect()
        target = self.output()
        place = target.address(connection)
        if place is None:
            raise XNATNotFoundError(f"there is no item to hold the resource: {target}")
        status = self.status_line()
        sendings = read_sendings(Path(self.source))
        status.say(f"uploading {len(sendings)} files", final=True)
        done = upload_files(
            connection, place, self.resource, sendings, overwrite=self.overwrite, resume=True
        )
        status.say(f"{len(done.sent)} sent, {len(done.kept)} kept", done=1.0, final=True)
