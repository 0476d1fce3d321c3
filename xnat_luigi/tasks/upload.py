"""A local folder into a resource, proven, with a record that says so."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from ..exceptions import XNATIntegrityError, XNATNotFoundError, XNATUploadError, XNATValueError
from ..rest.files import download
from ..rest.files.upload import create_resource
from ..rest.records import File
from ..targets import snapshot
from ..targets.resource import ResourceTarget
from ..transfer.upload import Sending, read_sendings, send_text, upload_files
from .base import XnatTask
from .condition import find_damage
from .ending import cleanly
from .record import (
    OWN_NAMES,
    RECORD_NAME,
    OutputRecord,
    Record,
    describe_code,
    describe_machine,
)

if TYPE_CHECKING:
    from ..uris import Address

__all__ = ["UploadResource"]

RECORD_LIMIT = 64 * 1024 * 1024


class UploadResource(XnatTask):
    """Uploads all files below a folder.

    The files travel in one archive where the server takes one, and are proven by a listing: path,
    size and MD5. A record, `provenance.json`, says «uploading» before the first file and
    «complete» after the last is proven, so that a half upload is seen, by others too, and
    completed by running again.

    Complete when the record says so, the resource holds the files it names, and these are the
    folder's, if the folder is still there. What is there and differs is an error unless
    `overwrite` is given; so are files that the folder does not have, unless `beside` is.
    """

    source: str = luigi.StrParameter(description="folder with the files")
    resource: str = luigi.StrParameter(description="label of the resource")
    subject: str = luigi.StrParameter(default="", description="ID or label of the subject")
    experiment: str = luigi.StrParameter(default="", description="ID or label of the experiment")
    scan: str = luigi.StrParameter(default="", description="ID of the scan")
    assessor: str = luigi.StrParameter(default="", description="ID or label of the assessor")
    overwrite: bool = luigi.BoolParameter(description="replace files that differ")
    beside: bool = luigi.BoolParameter(description="other files may be in the resource")

    @property
    def folder(self) -> Path:
        """The folder with the files."""
        return Path(self.source).expanduser()

    def output(self) -> ResourceTarget:
        return ResourceTarget(
            self.server,
            self.project,
            self.resource,
            subject=self.subject,
            experiment=self.experiment,
            scan=self.scan,
            assessor=self.assessor,
        )

    def complete(self) -> bool:
        found = self.output().list()
        record = self._read_record(found or ())
        if found is None or record is None or record.state != "complete":
            return False
        if self._damage(record, found):
            return False
        return not self.folder.exists() or record.outputs.files == _rows(self._sendings())

    @cleanly
    def run(self) -> None:
        connection = self.connect()
        target = self.output()
        place = target.address(connection)
        if place is None:
            raise XNATNotFoundError(f"there is no item to hold the resource: {target}")
        status = self.status_line()
        sendings = self._sendings()
        started = _now()
        there = target.list()
        self._refuse_others(sendings, there or ())
        if there is None:  # 403 without the right to edit, where an upload would say 200
            create_resource(connection, place, self.resource)
        status.say(f"uploading {len(sendings)} files", final=True)
        record = self._record(place, sendings, started)
        self._put(place, replace(record, state="uploading"))
        done = upload_files(
            connection, place, self.resource, sendings, overwrite=self.overwrite, resume=True
        )
        self._put(place, replace(record, ended=_now()))
        snapshot.forget(self.server, self.project)
        status.say(f"{len(done.sent)} sent, {len(done.kept)} kept", done=1.0, final=True)

    def _sendings(self) -> list[Sending]:
        if not self.folder.is_dir():
            raise XNATValueError(f"{self.source} is no folder; nothing to upload")
        return read_sendings(self.folder)

    def _refuse_others(self, sendings: list[Sending], there: tuple[File, ...]) -> None:
        """Nothing is sent when it could not be completed, or would cover what others put there."""
        mine = {sending.path: sending for sending in sendings}
        taken = sorted(OWN_NAMES & mine.keys())
        if taken:
            raise XNATValueError(f"{self.source}: {taken[0]} is a name of the record")
        others = [file.path for file in there if file.path not in mine.keys() | OWN_NAMES]
        if others and not self.beside:
            raise XNATUploadError(
                f"{self}: the resource holds {', '.join(sorted(others)[:3])}, which {self.source} "
                "has not; --beside lets them be there"
            )
        differ = [
            file.path
            for file in there
            if file.path in mine and (file.size not in (None, mine[file.path].size))
        ]
        if differ and not self.overwrite:
            raise XNATUploadError(
                f"{self}: the resource has other content at {', '.join(sorted(differ)[:3])}; "
                "--overwrite replaces it"
            )

    def _damage(self, record: Record, files: tuple[File, ...]) -> list[str]:
        wanted = {path for path, _, _ in record.outputs.files}
        mine = [file for file in files if not self.beside or file.path in wanted]
        return find_damage(record.outputs, OutputRecord.of(mine))

    def _read_record(self, files: tuple[File, ...]) -> Record | None:
        row = next((file for file in files if file.path == RECORD_NAME), None)
        if row is None:
            return None
        text = download.read_file(self.connect(), row.uri, limit=RECORD_LIMIT)
        try:
            record = Record.from_json(text)
        except XNATIntegrityError as error:
            raise XNATUploadError(
                f"{self}: {RECORD_NAME} in the resource is not of this program ({error}); choose "
                "another label"
            ) from None
        if record.task != self.task_family:
            raise XNATUploadError(
                f"{self}: the resource is a result of {record.task}; choose another label"
            )
        return record

    def _record(self, place: Address, sendings: list[Sending], started: str) -> Record:
        return Record(
            task=self.task_family,
            server=self.server,
            uri=place.resource(self.resource),
            inputs=(),
            parameters={},
            code=describe_code("1", ("xnat-luigi",), None),
            machine=describe_machine(),
            started=started,
            ended=started,
            outputs=OutputRecord(_rows(sendings)),
        )

    def _put(self, place: Address, record: Record) -> None:
        send_text(self.connect(), place, self.resource, RECORD_NAME, record.to_json())


def _rows(sendings: list[Sending]) -> tuple[tuple[str, int | None, str], ...]:
    return tuple(sorted((one.path, one.size, one.md5) for one in sendings))


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
