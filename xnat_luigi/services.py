"""The services of a server: import, header dumps, catalogs, tokens (wire contract B)."""

from __future__ import annotations

import io
import mimetypes
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

from . import uris
from .core import XNATBaseObject, local_path
from .core.making import show_experiment
from .core.session import OfSession
from .exceptions import XNATConflictError, XNATResponseError, XNATValueError
from .prearchive import PrearchiveSession, name_of
from .rest import prearchive as rows
from .rest import services as wire
from .rest.absence import find_row_at
from .rest.answers import read_json
from .rest.archiving import archive_row
from .rest.documents import get_item
from .rest.records import Imported, PrearchiveRow
from .staging.pack import pack_zip

__all__ = ["DicomBoxImportRequest", "Services", "TokenResult"]

_KNOWN_TYPES = {
    "application/zip",
    "application/x-tar",
    "application/x-gtar",
    "application/dicom",
}
"""what the import service can read in a body; `x-tar` is plain, `x-gtar` gzipped (B 1.1)"""
_ENDINGS = (
    (".tar.gz", "application/x-gtar"),
    (".tgz", "application/x-gtar"),
    (".zip", "application/zip"),
    (".zar", "application/zip"),
    (".tar", "application/x-tar"),
    (".dcm", "application/dicom"),
)
_STEPWISE = ("DICOM-zip", "gradual-DICOM")
"""handlers whose sessions are built and archived in requests of their own (B 13)"""
_REVIEW = ("append", "checksum", "populateStats")


class TokenResult(NamedTuple):
    """A login token: an alias to be used as user, a secret to be used as password."""

    alias: str
    secret: str

    def __repr__(self) -> str:
        return f"TokenResult(alias={self.alias!r}, secret=...)"


class Services(OfSession):
    """What a server does besides keeping objects."""

    # Import -------------------------------------------------------------------------------------

    def guess_content_type(self, path: str | Path) -> str | None:
        """Return the content type of a file to import, guessed from its name (S-221, S-222).

        What `mimetypes` says counts if the import service knows it; else the ending does. A
        gzipped tar is `application/x-gtar`: as `x-tar` the server would read it unpacked.
        """
        name = str(path).lower()
        guessed, encoding = mimetypes.guess_type(name)
        if guessed in _KNOWN_TYPES and encoding is None:
            return guessed
        return next((kind for ending, kind in _ENDINGS if name.endswith(ending)), guessed)

    def import_(
        self,
        path: str | Path | IO[bytes] | None,
        overwrite: str | None = None,
        quarantine: bool = False,
        destination: str | None = None,
        trigger_pipelines: bool | None = None,
        project: Any = None,
        subject: Any = None,
        experiment: Any = None,
        content_type: str | None = None,
        import_handler: str | None = None,
        data: IO[bytes] | bytes | None = None,
        ignore_unparsable: bool = False,
        direct_archive: bool = False,
    ) -> Any:
        """Import an archive of DICOM files and return what was made of it (S-212 to S-223).

        The files are uploaded into the prearchive, built there and, unless that is the
        destination, archived: three orders, each looked after to its end. Nothing is sent twice.

        Parameters
        ----------
        path : path or open binary file
            A zip, tar or tar.gz with the files of one session. None when `data` is given.
        overwrite : {"none", "append", "delete"}, optional
            What happens to existing data of the experiment; with none of the latter two an overlap
            is an error.
        quarantine : bool
            Put the experiment into quarantine.
        destination : str, optional
            `/archive` (the default) or `/prearchive`; with `/projects/P/subjects/S/experiments/L`
            behind it, it names project, subject and experiment as well.
        trigger_pipelines : bool, optional
            False keeps archiving from starting pipelines.
        project : str or project, optional
            The ID of the project, not its name.
        subject, experiment : str or object, optional
            Labels.
        content_type : str, optional
            In place of the guessed one.
        import_handler : str, optional
            The server's import handler, `DICOM-zip` when missing.
        data : open binary file or bytes, optional
            What to send in place of a file on disk; say `content_type` unless it is a zip.
        ignore_unparsable : bool
            Leave out what is no DICOM instead of refusing the whole (XNAT 1.8.3 and newer).
        direct_archive : bool
            Have the server write straight into its archive (XNAT 1.8.3 and newer). The address by
            which it can be followed is returned.

        Returns
        -------
        object
            The experiment, or the `PrearchiveSession`; a list where the archive held several.

        Raises
        ------
        XNATUnclearError
            The answer was lost: look into the prearchive before sending it again.
        XNATResponseError
            The server took none of the files, or stored them in another project.
        XNATConflictError
            There is such an experiment; the session waits in the prearchive.
        """
        given = data if data is not None else path
        more = {"Ignore-Unparsable": ignore_unparsable, "Direct-Archive": direct_archive}
        with self._opened(given) as body:
            kind = content_type or self.guess_content_type(str(getattr(body, "name", "")))
            return self._import(
                body,
                kind or "application/zip",
                overwrite=overwrite,
                quarantine=quarantine,
                destination=destination,
                trigger_pipelines=trigger_pipelines,
                names=(name_of(project, "id"), name_of(subject, "label")),
                experiment=name_of(experiment, "label"),
                handler=import_handler,
                more={name: "true" for name, on in more.items() if on},
            )

    @staticmethod
    def _opened(given: Any) -> AbstractContextManager[IO[bytes]]:
        """Open what shall be sent; what is open already stays open afterwards."""
        if given is None:
            raise XNATValueError("import: neither path nor data is given")
        if isinstance(given, bytes):
            return io.BytesIO(given)
        if not isinstance(given, str | Path):
            return nullcontext(given)
        if not Path(given).is_file():
            raise XNATValueError(f"{given} is no file: nothing was sent")
        return Path(given).open("rb")

    def import_dir(
        self,
        directory: str | Path,
        overwrite: str | None = None,
        quarantine: bool = False,
        destination: str | None = None,
        trigger_pipelines: bool | None = None,
        project: Any = None,
        subject: Any = None,
        experiment: Any = None,
        method: str = "zip_file",
        import_handler: str | None = None,
    ) -> Any:
        """Zip a folder of DICOM files and import it, see `import_` (S-224, S-225).

        Parameters
        ----------
        directory : path
            The folder, with those in it; other kinds of files make the server refuse it.
        method : {"zip_file", "zip_memory"}
            Where the zip is made: in a temporary file or in memory.
        """
        if method not in ("zip_file", "zip_memory"):
            raise XNATValueError(f"import method {method!r} is neither 'zip_file' nor 'zip_memory'")
        root = Path(directory)
        found = sorted(one for one in root.rglob("*") if one.is_file() and not one.is_symlink())
        if not found:
            raise XNATValueError(f"{root}: no file to import")
        most = 0 if method == "zip_memory" else 1 << 20
        with tempfile.SpooledTemporaryFile(max_size=most) as spool:
            for piece in pack_zip((one.relative_to(root).as_posix(), one) for one in found):
                spool.write(piece)
            spool.seek(0)
            return self._import(
                spool,
                "application/zip",
                overwrite=overwrite,
                quarantine=quarantine,
                destination=destination,
                trigger_pipelines=trigger_pipelines,
                names=(name_of(project, "id"), name_of(subject, "label")),
                experiment=name_of(experiment, "label"),
                handler=import_handler,
            )

    def _import(
        self,
        body: IO[bytes],
        kind: str,
        *,
        overwrite: str | None,
        quarantine: bool,
        destination: str | None,
        trigger_pipelines: bool | None,
        names: tuple[str | None, str | None],
        experiment: str | None,
        handler: str | None,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        if overwrite not in (None, "none", "append", "delete"):
            raise XNATValueError(f"overwrite {overwrite!r} is none of 'none', 'append', 'delete'")
        place = _Destination(destination, names, experiment)
        chosen = handler or ("gradual-DICOM" if kind == "application/dicom" else "DICOM-zip")
        wanted = None if overwrite == "none" else overwrite
        parameters: dict[str, str] = dict(more or {})
        stepwise = chosen in _STEPWISE
        if not stepwise:
            parameters |= _parameters(destination, wanted, quarantine, trigger_pipelines)
        found = wire.import_archive(
            self._session.connection,
            body,
            project=place.project,
            subject=place.subject,
            session=place.experiment,
            handler=chosen,
            content_type=kind,
            parameters=parameters,
        )
        made = []
        for address in found:
            imported = wire.read_import_address(address)
            if imported.place == "prearchive" and stepwise:
                row = self._built(imported)
                if place.archive:
                    made.append(self._archived(row, place, wanted, quarantine, trigger_pipelines))
                    continue
            made.append(self._shown(imported, address))
        return made[0] if len(made) == 1 else made

    def _built(self, imported: Imported) -> PrearchiveRow:
        conn = self._session.connection
        row = find_row_at(conn, imported.project, imported.timestamp, imported.folder)
        if row is None:
            raise XNATResponseError(
                f"{imported.uri}: the server took the files, but does not show the session"
            )
        built = rows.build(conn, row)
        if built.status != "READY":
            reason = rows.read_last_log(conn, built)
            raise XNATConflictError(
                f"prearchive row {built.url} is {built.status} after it was built: {reason[:200]}",
                path=built.url,
            )
        return built

    def _archived(
        self,
        row: PrearchiveRow,
        place: _Destination,
        overwrite: str | None,
        quarantine: bool,
        trigger_pipelines: bool | None,
    ) -> Any:
        found = archive_row(
            self._session.connection,
            row,
            project=place.project,
            subject=place.subject,
            session=place.experiment,
            overwrite=overwrite,
            quarantine=quarantine,
            trigger_pipelines=trigger_pipelines is not False,
        )
        made = show_experiment(self._session, found)
        made._forget_container(None)
        return made

    def _shown(self, imported: Imported, address: str) -> Any:
        if imported.place == "prearchive":
            uri = uris.prearchive_session(imported.project, imported.timestamp, imported.folder)
            return PrearchiveSession(uri, self._session)
        if imported.place == "archive":
            path = uris.experiment(imported.session, imported.project, imported.subject)
            item = get_item(self._session.connection, path)
            return self._session.create_object(uris.experiment(item.text("ID")))
        return address

    def import_dicom_inbox(
        self,
        path: str,
        cleanup: bool = False,
        project: Any = None,
        subject: Any = None,
        experiment: Any = None,
    ) -> DicomBoxImportRequest:
        """Have the server import a folder of its own inbox (S-226 to S-229).

        Parameters
        ----------
        path : str
            A folder on the server, below its inbox.
        cleanup : bool
            Delete the files there afterwards.
        project, subject, experiment : str or object
            Where they go; the ID of the project, not its name.

        Raises
        ------
        XNATValueError
            No project is named.
        XNATResponseError
            The folder is missing, empty or outside of the inbox.
        """
        target = name_of(project, "id")
        if not target:
            raise XNATValueError("import from the inbox: name the project it goes to")
        address = wire.import_inbox(
            self._session.connection,
            path,
            project=target,
            subject=name_of(subject, "label"),
            session=name_of(experiment, "label"),
            cleanup=cleanup,
        )
        number = wire.read_import_address(address[address.rfind("/xapi/") :]).timestamp
        return DicomBoxImportRequest(uris.inbox_request(number), self._session)

    # Other services -----------------------------------------------------------------------------

    def dicom_dump(
        self, src: Any, fields: str | Sequence[str] | None = None
    ) -> list[dict[str, str]]:
        """Return the DICOM header of the first file of a scan or session (S-201 to S-205).

        Values are cut at 255 characters by the server; use `read_dicom` for whole ones.

        Parameters
        ----------
        src : str or object
            An experiment, scan or file, here or in the prearchive, or its address.
        fields : str or sequence of str, optional
            Keywords, or tags of eight hexadecimal digits; all when missing.

        Returns
        -------
        list of dict
            `tag1`, `tag2`, `vr`, `value`, `desc`.
        """
        wanted = [fields] if isinstance(fields, str) else list(fields or ())
        found = wire.dicom_dump(self._session.connection, self._source(src), wanted)
        return [dict(vars(tag)) for tag in found]

    def _source(self, src: Any) -> str:
        """Return the address of something as the dump service wants it, through its project."""
        path = local_path(self._session, src if isinstance(src, str) else src.uri)
        direct = re.fullmatch(r"/(?:data|REST)(?:/archive)?/experiments/([^/]+)(/.*)?", path)
        if direct is None:
            return re.sub(r"^/(data|REST)/projects/", r"/\1/archive/projects/", path)
        item = get_item(self._session.connection, uris.experiment(direct[1]))
        place = uris.Address(
            project=item.text("project"), subject=item.text("subject_ID"), experiment=direct[1]
        )
        return place.archive_uri() + (direct[2] or "")

    def issue_token(self, user: str | None = None) -> TokenResult:
        """Issue a login token, for oneself or (administrators) for another user (S-247, S-248)."""
        token = wire.issue_token(self._session.connection, user)
        return TokenResult(token.alias, token.secret)

    def refresh_catalog(
        self,
        resource: Any,
        checksum: bool = False,
        delete: bool = False,
        append: bool = False,
        populate_stats: bool = False,
    ) -> None:
        """Have the server bring catalogs up to date with its files (S-250 to S-253).

        Without any option files that lie on its disk are added, missing checksums are computed
        and counts are made right; nothing is dropped. (To the server itself no option means
        everything, dropping included.)

        Parameters
        ----------
        resource : object or str
            A resource, or whatever has resources, or its address.
        checksum : bool
            Compute missing checksums.
        delete : bool
            Drop entries without a file.
        append : bool
            Add entries for files that have none.
        populate_stats : bool
            Count files and bytes anew.

        Raises
        ------
        XNATResponseError
            400 absent, 403 no right to edit, 500 somebody else changes it.
        """
        asked = {
            "append": append,
            "checksum": checksum,
            "delete": delete,
            "populateStats": populate_stats,
        }
        options = [name for name, on in asked.items() if on] or list(_REVIEW)
        path = local_path(self._session, resource if isinstance(resource, str) else resource.uri)
        place = re.sub(r"^/(data|REST)(/archive)?/", "/archive/", path)
        wire.refresh_catalog(self._session.connection, place, options)
        if isinstance(resource, XNATBaseObject):
            resource._forget_container(None)
            resource.clearcache()


class _Destination:
    """Where an import goes: archive or prearchive, and the names that its address holds."""

    def __init__(
        self,
        destination: str | None,
        names: tuple[str | None, str | None],
        experiment: str | None,
    ) -> None:
        self.project, self.subject = names
        self.experiment = experiment
        parts = (destination or "/archive").strip("/").split("/")
        if parts[0] in ("data", "REST"):
            parts = parts[1:]
        if not parts or parts[0] not in ("archive", "prearchive"):
            raise XNATValueError(
                f"destination {destination!r} begins neither with /archive nor with /prearchive"
            )
        self.archive = parts[0] == "archive"
        found = dict(zip(parts[1::2], parts[2::2], strict=False))
        self.project = self.project or found.get("projects")
        self.subject = self.subject or found.get("subjects")
        self.experiment = self.experiment or found.get("experiments")


def _parameters(
    destination: str | None,
    overwrite: str | None,
    quarantine: bool,
    trigger_pipelines: bool | None,
) -> dict[str, str]:
    """What handlers other than DICOM-zip take in the request of the import itself (B 1.3)."""
    found: dict[str, str] = {}
    if destination is not None:
        found["dest"] = destination
    if overwrite is not None:
        found["overwrite"] = overwrite
    if quarantine:
        found["quarantine"] = "true"
    if trigger_pipelines is not None:
        found["triggerPipelines"] = "true" if trigger_pipelines else "false"
    return found


class DicomBoxImportRequest:
    """An import from the server's inbox, whose state can be followed (B 7).

    Everything but its address is read anew each time.
    """

    def __init__(self, uri: str, xnat_session: Any) -> None:
        self._uri = uri
        self._session = xnat_session

    def __repr__(self) -> str:
        return f"<DicomBoxImportRequest {self.id}>"

    @property
    def uri(self) -> str:
        """Its address, a path on the server."""
        return self._uri

    @property
    def xnat_session(self) -> Any:
        """The session it belongs to."""
        return self._session

    @property
    def data(self) -> dict[str, Any]:
        """What the server says about it."""
        found = read_json(self._session.connection.request("GET", self._uri))
        if not isinstance(found, dict):
            raise XNATResponseError(f"{self._uri}: the answer is no import request")
        return found

    @property
    def id(self) -> str:
        """Its number."""
        return self._uri.rsplit("/", 1)[-1]

    @property
    def username(self) -> str:
        """Who ordered it."""
        return str(self.data.get("username", ""))

    @property
    def session_path(self) -> str:
        """The folder on the server."""
        return str(self.data.get("sessionPath", ""))

    def _parameter(self, name: str) -> str:
        return str((self.data.get("parameters") or {}).get(name, ""))

    @property
    def project_id(self) -> str:
        """The project it goes to."""
        return self._parameter("PROJECT_ID")

    @property
    def subject_id(self) -> str:
        """The subject it goes to, `""` when none was named."""
        return self._parameter("SUBJECT_ID")

    @property
    def status(self) -> str:
        """`Queued`, `Accepted`, `Importing`, `Processed`, `Completed` or `Failed`.

        `Completed` comes only where the server archives by itself, else it ends at `Processed`.
        """
        return str(self.data.get("status", ""))

    @property
    def cleanup_after_import(self) -> bool:
        """Whether the files are deleted afterwards."""
        return self.data.get("cleanupAfterImport") in (True, "true")

    @property
    def created(self) -> Any:
        """When it was ordered, as the server says it."""
        return self.data.get("created")

    @property
    def timestamp(self) -> Any:
        """When it changed last, as the server says it."""
        return self.data.get("timestamp")

    @property
    def enabled(self) -> bool:
        """Whether the server works on it."""
        return self.data.get("enabled") in (True, "true")
