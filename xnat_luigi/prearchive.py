"""The prearchive for people: sessions that wait, their scans and files (wire contract B 2, 3).

The server says 200 to much that it does not do, so every order is followed by a look.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import uris
from .core import XNATBaseObject
from .core.making import show_experiment
from .core.named import Named
from .core.reader import RemoteFile, read_header
from .core.session import OfSession
from .exceptions import (
    XNATConflictError,
    XNATNotFoundError,
    XNATResponseError,
    XNATValueError,
)
from .rest import prearchive as rows
from .rest.absence import find_row_at
from .rest.archiving import archive_row
from .rest.records import File, PrearchiveRow
from .rest.services import dicom_dump
from .rest.states import locked
from .schema.datatypes import convert_to
from .transfer.zipped import save_file, save_zip

if TYPE_CHECKING:
    from pydicom import FileDataset

__all__ = ["Prearchive", "PrearchiveFile", "PrearchiveScan", "PrearchiveSession"]


class _Waiting(XNATBaseObject):
    """What is in the prearchive has one table row of data and no fields that can be set."""

    @property
    def fulldata(self) -> Any:
        """The same as `data`: there is nothing more."""
        return self.data

    @property
    def xpath(self) -> str:
        """Its type; nothing in the prearchive can be set."""
        return self._XSI_TYPE

    def __str__(self) -> str:
        if not self._alive:
            return f"<{type(self).__name__} (gone)>"
        return f"<{type(self).__name__} {self._shown_name()}>"

    __repr__ = __str__

    def _shown_name(self) -> Any:
        return self.id


class PrearchiveSession(_Waiting):
    """A session in the prearchive.

    Parameters
    ----------
    uri : str
        `/data/prearchive/projects/PROJECT/TIMESTAMP/FOLDER`.
    datafields : dict, optional
        Its row, so that it need not be read.
    """

    _XSI_TYPE = "xnat_prearchive:session"

    def __init__(
        self,
        uri: str | None = None,
        xnat_session: Any = None,
        id_: str | None = None,
        datafields: dict[str, Any] | None = None,
        parent: Any = None,
        fieldname: str | int | None = None,
        overwrites: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if uri is None:
            raise XNATValueError("prearchive sessions are not made by themselves: import them")
        super().__init__(
            uri=uri,
            xnat_session=xnat_session,
            id_=id_,
            parent=parent,
            fieldname=fieldname,
            overwrites=overwrites,
            **kwargs,
        )
        if datafields:
            self._cache["row"] = rows.make_row(datafields)

    # What it is ---------------------------------------------------------------------------------

    def _row(self) -> PrearchiveRow:
        found: PrearchiveRow | None = self._cache.get("row")
        if found is None:
            found = self._read_row()
            if self.caching:
                self._cache["row"] = found
        return found

    def _read_row(self) -> PrearchiveRow:
        project, timestamp, folder = self.uri.rstrip("/").split("/")[-3:]
        conn = self.xnat_session.connection
        try:
            found = rows.get_row(conn, project, timestamp, folder)
        except (XNATNotFoundError, XNATResponseError) as error:
            if error.status in (401, 403):
                raise
            found = None  # servers 1.7.0 to 1.7.2 have no such route: their list has it (S-245)
        found = found or find_row_at(conn, project, timestamp, folder)
        if found is None:
            raise XNATNotFoundError(
                f"{self.uri}: this session is not in the prearchive any more",
                status=200,
                method="GET",
                path=self.uri,
            )
        return found

    @property
    def data(self) -> dict[str, Any]:
        """Its row in the prearchive's table, as the server names the columns."""
        row = self._row()
        names = {"folderName": row.folder, "SOURCE": row.source, "VISIT": row.visit}
        names |= {"PROTOCOL": row.protocol, "TIMEZONE": row.timezone}
        same = "project timestamp lastmod uploaded scan_date scan_time subject name tag status url"
        values = {name: getattr(row, name) for name in [*same.split(), "autoarchive"]}
        flags = {"prevent_anon": row.prevent_anon, "prevent_auto_commit": row.prevent_auto_commit}
        return {**values, **names, **flags}

    @property
    def id(self) -> str:
        """PROJECT/TIMESTAMP/NAME, unique in the prearchive (S-234)."""
        row = self._row()
        return f"{row.project}/{row.timestamp}/{row.name}"

    @property
    def project(self) -> str:
        """The ID of its project."""
        return self._row().project

    @property
    def subject(self) -> str:
        """The label of its subject, `""` when none could be derived."""
        return self._row().subject

    @property
    def name(self) -> str:
        """The label its experiment will have."""
        return self._row().name

    @property
    def label(self) -> str:
        """The same as `name`."""
        return self._row().name

    @property
    def folder_name(self) -> str:
        """The folder it lies in, as a rule its name."""
        return self._row().folder

    @property
    def timestamp(self) -> str:
        """The timestamp that is part of its address."""
        return self._row().timestamp

    @property
    def status(self) -> str:
        """What the server does with it: RECEIVING, READY, CONFLICT, ERROR, ... (B 2.4)."""
        return self._row().status

    @property
    def tag(self) -> str:
        """The StudyInstanceUID."""
        return self._row().tag

    @property
    def autoarchive(self) -> str:
        """Whether the server archives it by itself: `Manual`, `AutoArchive`, ..."""
        return self._row().autoarchive

    @property
    def prevent_anon(self) -> bool:
        """Whether the site's anonymization is skipped for it."""
        return self._row().prevent_anon

    @property
    def prevent_auto_commit(self) -> bool:
        """Whether the server leaves it alone until it is told."""
        return self._row().prevent_auto_commit

    @property
    def uploaded(self) -> datetime.datetime | None:
        """When it was uploaded, in the server's time."""
        return _when(self._row().uploaded)

    @property
    def lastmod(self) -> datetime.datetime | None:
        """When it was changed last, in the server's time."""
        return _when(self._row().lastmod)

    @property
    def scan_date(self) -> datetime.date | None:
        """The day on which it was scanned."""
        text = self._row().scan_date
        found: datetime.date | None = convert_to(text[:10], "xs:date") if text else None
        return found

    @property
    def scan_time(self) -> datetime.time | None:
        """The time at which it was scanned, None when the server has none."""
        text = self._row().scan_time
        if not text and len(self._row().scan_date) > 10:
            text = self._row().scan_date[11:]
        found: datetime.time | None = convert_to(text, "xs:time") if text else None
        return found

    @property
    def scans(self) -> Named[PrearchiveScan]:
        """Its scans, also by their ID; it must be built for that (see `rebuild`)."""
        found = rows.list_scans(self.xnat_session.connection, self._row())
        return Named(
            PrearchiveScan(
                uris.prearchive_scans(rows.address_of(self._row()), scan.id),
                self._session,
                id_=scan.id,
                datafields={
                    "ID": scan.id,
                    "xsiType": scan.xsi_type,
                    "series_description": scan.series_description,
                },
                parent=self,
            )
            for scan in found
        )

    # What can be done with it -------------------------------------------------------------------

    def download(self, path: str | Path) -> str:
        """Save all its files as a zip, compared with the server's listing; return the path."""
        files = [record for scan in self.scans for record in scan._records()]
        address = rows.address_of(self._row())
        save_zip(self.xnat_session.connection, address, files, Path(path))
        return str(path)

    def archive(
        self,
        overwrite: str | None = None,
        quarantine: bool | None = None,
        trigger_pipelines: bool | None = None,
        project: Any = None,
        subject: Any = None,
        experiment: Any = None,
    ) -> Any:
        """Move it to the archive and return the new experiment.

        It waits for the end of the server's job, also when a proxy gives up before that, and
        never orders twice.

        Parameters
        ----------
        overwrite : {"none", "append", "delete"}, optional
            Both of the latter replace overlapping files and skip most of the server's checks.
        quarantine : bool, optional
            Put the experiment into quarantine.
        trigger_pipelines : bool, optional
            False keeps archiving from starting pipelines.
        project, subject, experiment : str or object, optional
            Where it goes; what the server derived from it when missing. To go to another project
            it is moved in the prearchive first, and stays there if archiving fails.

        Raises
        ------
        XNATConflictError
            It is not READY, or there is such an experiment that it may not be merged with.
        """
        if overwrite not in (None, "none", "append", "delete"):
            raise XNATValueError(f"overwrite {overwrite!r} is none of 'none', 'append', 'delete'")
        target = name_of(project, "id")
        if target not in (None, self._read_row().project):
            self.move(target)  # the archive service does not change projects reliably (B 3.1)
        found = archive_row(
            self.xnat_session.connection,
            self._read_row(),
            project=target,
            subject=name_of(subject, "label"),
            session=name_of(experiment, "label"),
            overwrite=None if overwrite == "none" else overwrite,
            quarantine=bool(quarantine),
            trigger_pipelines=trigger_pipelines is not False,
        )
        made = show_experiment(self._session, found)
        made._forget_container(None)
        self._bury()
        return made

    def rebuild(self, asynchronous: bool | None = None) -> Any:
        """Have the server read its files again; return the response (S-240).

        Parameters
        ----------
        asynchronous : bool, optional
            Only put the order into the server's queue.

        Raises
        ------
        XNATConflictError
            The server works on it, or did not get it READY.
        """
        row = self._unlocked("rebuilt")
        if asynchronous:
            return self._queue(uris.PREARCHIVE_REBUILD, row)
        answer = self._session.post(rows.address_of(row), query={"action": "build"})
        self.clearcache()
        if self.status != "READY":
            reason = rows.read_last_log(self._session.connection, self._row())
            raise XNATConflictError(
                f"{self.uri} is {self.status} after it was built: {reason[:200]}", path=self.uri
            )
        return answer

    def move(self, new_project: Any, asynchronous: bool | None = None) -> Any:
        """Move it to another project in the prearchive; return the response (S-240).

        Raises
        ------
        XNATConflictError
            The server works on it, or did not move it.
        """
        row = self._unlocked("moved")
        target = str(name_of(new_project, "id"))
        if asynchronous:
            return self._queue(uris.PREARCHIVE_MOVE, row, newProject=target)
        answer = self._session.post(
            rows.address_of(row),
            query={"action": "move", "newProject": target},
            accepted_status=[200, 301],
        )
        self.clearcache()
        moved = rows.read_moved(str(answer.text), row, target)
        if moved is None:
            raise XNATConflictError(f"{self.uri} was not moved: the server works on it")
        self._uri = moved
        self._read_row()
        return answer

    def delete(self, asynchronous: bool | None = None) -> Any:
        """Delete it with its files; return the response (S-240).

        Raises
        ------
        XNATConflictError
            The server works on it, or it is still there afterwards.
        """
        row = self._unlocked("deleted")
        if asynchronous:
            answer = self._queue(uris.PREARCHIVE_DELETE, row)
        else:
            answer = self._session.delete(rows.address_of(row))
            rows.refuse_still_there(self._session.connection, row)
        self._bury()
        return answer

    def _unlocked(self, what: str) -> PrearchiveRow:
        row = self._read_row()
        if locked(row.status):
            raise XNATConflictError(f"{self.uri} is locked ({row.status}) and cannot be {what}")
        return row

    def _queue(self, service: str, row: PrearchiveRow, **more: str) -> Any:
        query = {"src": rows.source_of(row), "async": "true", **more}
        answer = self._session.post(service, query=query)
        self.clearcache()
        return answer

    def clearcache(self) -> None:
        """Forget its row, so that it is read anew."""
        self._cache.clear()


class PrearchiveScan(_Waiting):
    """A scan of a session in the prearchive."""

    _XSI_TYPE = "xnat_prearchive:scan"

    def __init__(
        self,
        uri: str,
        xnat_session: Any,
        id_: str | None = None,
        datafields: dict[str, Any] | None = None,
        parent: Any = None,
        fieldname: str | int | None = None,
    ) -> None:
        super().__init__(uri, xnat_session, id_, datafields, parent, fieldname)

    @property
    def data(self) -> dict[str, Any]:
        """`ID`, `xsiType` and `series_description`."""
        found: dict[str, Any] | None = self._cache.get("data")
        if found is None:
            for scan in rows.list_scans(self.xnat_session.connection, self._row()):
                if scan.id == self.id:
                    found = {"ID": scan.id, "xsiType": scan.xsi_type}
                    found["series_description"] = scan.series_description
            if found is None:
                raise XNATNotFoundError(f"{self.uri}: the session has no such scan")
            self._cache["data"] = found
        return found

    @property
    def id(self) -> str:
        """Its ID within the session."""
        return str(self._cache.get("id") or self.uri.rstrip("/").rsplit("/", 1)[-1])

    @property
    def series_description(self) -> str:
        """The series description of the scan."""
        return str(self.data.get("series_description", ""))

    def _shown_name(self) -> Any:
        return f"{self.series_description} ({self.id})"

    def _row(self) -> PrearchiveRow:
        parts = self.uri.split("/scans/")[0].strip("/").split("/")
        return PrearchiveRow(project=parts[-3], timestamp=parts[-2], folder=parts[-1])

    def _records(self) -> list[File]:
        conn = self.xnat_session.connection
        row = self._row()
        return [
            File(path=file.path, size=file.size, uri=file.uri, resource_label=resource.label)
            for resource in rows.list_resources(conn, row, self.id)
            for file in rows.list_scan_files(conn, row, self.id, resource.label)
        ]

    @property
    def files(self) -> Named[PrearchiveFile]:
        """Its files, of all its resources, also by their path."""
        return Named(
            PrearchiveFile(
                record.uri,
                self._session,
                id_=record.path,
                datafields={"Name": record.path.rsplit("/", 1)[-1], "Size": record.size},
                parent=self,
            )
            for record in self._records()
        )

    def download(self, path: str | Path) -> str:
        """Save all its files as a zip, compared with the server's listing; return the path."""
        save_zip(
            self.xnat_session.connection,
            uris.quote_listed(self.uri),
            self._records(),
            Path(path),
        )
        return str(path)

    def dicom_dump(self, fields: str | Sequence[str] | None = None) -> list[dict[str, str]]:
        """Return the DICOM header of its first file from the server's dump service (S-203).

        Parameters
        ----------
        fields : str or sequence of str, optional
            Keywords, or tags of eight hexadecimal digits.
        """
        wanted = [fields] if isinstance(fields, str) else list(fields or ())
        found = dicom_dump(self.xnat_session.connection, self.uri, wanted)
        return [dict(vars(tag)) for tag in found]

    def read_dicom(
        self, file: Any = None, read_pixel_data: bool = False, force: bool = False
    ) -> FileDataset:
        """Read one of its files with pydicom, downloading only what is needed (S-210).

        Parameters
        ----------
        file : PrearchiveFile, optional
            Which one; the first by path when missing.
        read_pixel_data : bool
            Read the pixel data as well.
        force : bool
            Read files without a proper header too.

        Raises
        ------
        XNATNotFoundError
            It has no file.
        """
        if file is None:
            files = self.files
            if not files:
                raise XNATNotFoundError(f"{self.uri} has no file")
            file = min(files, key=lambda one: one.id)
        return read_header(file, read_pixel_data, force)


class PrearchiveFile(_Waiting):
    """A file of a scan in the prearchive."""

    _XSI_TYPE = "xnat_prearchive:file"

    def __init__(
        self,
        uri: str,
        xnat_session: Any,
        id_: str | None = None,
        datafields: dict[str, Any] | None = None,
        parent: Any = None,
        fieldname: str | int | None = None,
    ) -> None:
        super().__init__(uri, xnat_session, id_, datafields, parent, fieldname)

    @property
    def data(self) -> dict[str, Any]:
        """`Name` and `Size`."""
        found: dict[str, Any] = self._cache.get("data") or {"Name": self.name}
        return found

    @property
    def id(self) -> str:
        """Its path within its resource."""
        return str(self._cache.get("id") or self.name)

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.uri.rsplit("/", 1)[-1]

    @property
    def size(self) -> int | None:
        """Its size in bytes, None when the server does not say."""
        found: int | None = self.data.get("Size")
        return found

    def open(self) -> RemoteFile:
        """Open it like a local file; only what is read is downloaded (S-211)."""
        return RemoteFile(self.xnat_session.connection, self.uri, self.size)

    def download(self, path: str | Path) -> str:
        """Save it under a path, compared with the size of the listing; return the path."""
        record = File(path=self.id, size=self.size, uri=self.uri)
        save_file(self.xnat_session.connection, record, Path(path))
        return str(path)


class Prearchive(OfSession):
    """The prearchive of a server; it is asked anew at every call (S-231)."""

    def __init__(self, xnat_session: Any) -> None:
        super().__init__(xnat_session)
        self._caching: bool | None = None

    @property
    def caching(self) -> bool:
        """Whether its sessions keep what they read; the session decides until it is set here."""
        return self._session.caching if self._caching is None else self._caching

    @caching.setter
    def caching(self, value: bool) -> None:
        self._caching = value

    @caching.deleter
    def caching(self) -> None:
        self._caching = None

    def _found(self, project: str | None) -> list[PrearchiveSession]:
        found = []
        for row in rows.list_rows(self._session.connection, project):
            one = PrearchiveSession(rows.address_of(row), self._session)
            one._cache["row"] = row
            if self._caching is not None:
                one.caching = self._caching
            found.append(one)
        return found

    def sessions(self, project: Any = None) -> list[PrearchiveSession]:
        """Return the sessions, without those that still receive files (S-230).

        Parameters
        ----------
        project : str or project, optional
            Only those of this project.
        """
        found = self._found(name_of(project, "id"))
        return [one for one in found if one.status != "RECEIVING"]

    def find(
        self,
        project: Any = None,
        subject: Any = None,
        session: str | None = None,
        status: str | None = None,
    ) -> list[PrearchiveSession]:
        """Return the sessions that fit, those that still receive files included (S-232).

        Parameters
        ----------
        project, subject, session : str, optional
            ID of the project, labels of subject and session.
        status : str, optional
            `READY`, for example.
        """
        label = name_of(subject, "label")
        return [
            one
            for one in self._found(name_of(project, "id"))
            if label in (None, one.subject)
            and session in (None, one.name, one.folder_name)
            and status in (None, one.status)
        ]


def name_of(what: Any, attribute: str) -> str | None:
    """Return the name of an object, a text as it is (S-214)."""
    if what is None or isinstance(what, str):
        return what
    return str(getattr(what, attribute))


def _when(text: str) -> datetime.datetime | None:
    found: datetime.datetime | None = convert_to(text, "xs:dateTime") if text else None
    return found
