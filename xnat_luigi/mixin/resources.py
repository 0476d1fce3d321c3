"""What resources and files can do."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .. import uris
from ..core import XNATBaseObject, XNATListing, caching, registry_of
from ..core.reader import RemoteFile
from ..exceptions import (
    XNATIntegrityError,
    XNATNotFoundError,
    XNATResponseError,
    XNATUploadError,
    XNATValueError,
)
from ..rest.answers import number, read_duplicates, read_table
from ..rest.contents import list_files, make_file
from ..rest.files.download import open_file
from ..rest.files.removal import delete_file, delete_resource
from ..rest.files.upload import ARCHIVES, check_file_path
from ..rest.files.upload import create_resource as put_resource
from ..rest.records import md5_of
from ..staging.save import save_bytes
from ..transfer import zipped
from .folders import download_resource
from .owners import file_listing
from .sending import send_folder

__all__ = ["AbstractResource", "FileData", "save_zip"]


def save_zip(owner: Any, files_uri: str, path: str | Path, verbose: bool) -> str:
    """Save the zip of a listing of files and compare it with the listing; return the path.

    Raises
    ------
    XNATNotFoundError
        There are no files.
    XNATIntegrityError
        Files of the listing are missing in the zip, or have another size, or the zip is damaged.
        Nothing is left under the path then.
    """
    conn = owner.xnat_session.connection
    address = uris.quote_listed(files_uri)
    rows = read_table(conn.request("GET", address, query={"format": "json"}))
    expected = [make_file(row) for row in rows]
    if not expected:
        raise XNATNotFoundError(f"{files_uri}: there are no files to download", path=files_uri)
    owner.logger.info("Downloading %s", owner.external_uri())
    saved = zipped.save_zip(conn, address, expected, Path(path))
    if verbose:
        owner.logger.info("Saved %d bytes as %s", saved.size, path)
    return str(path)


class AbstractResource(XNATBaseObject):
    """A resource: a set of files. Its parent is what has it."""

    SECONDARY_LOOKUP_FIELD = "label"
    _CONTAINED_IN = "resources"

    if TYPE_CHECKING:  # what the schema adds, for editors
        format: str | None
        content: str | None

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        uri: str | None = None,
        xnat_session: Any = None,
        id_: str | None = None,
        datafields: dict[str, Any] | None = None,
        parent: Any = None,
        fieldname: str | int | None = None,
        overwrites: dict[str, Any] | None = None,
        data_dir: str | Path | None = None,
        upload_method: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            uri=uri,
            xnat_session=xnat_session,
            id_=id_,
            datafields=datafields,
            parent=parent,
            fieldname=fieldname,
            overwrites=overwrites,
            **kwargs,
        )
        if data_dir is not None:
            self.upload_dir(data_dir, method=upload_method or "tgz_file")

    def _put_new(self, parent: Any, name: str, fields: dict[str, Any]) -> str:
        if not hasattr(parent, "_address"):
            raise XNATValueError(f"a {type(parent).__name__} has no resources of its own")
        short = {key.rsplit("/", 1)[-1]: value for key, value in fields.items()}
        unknown = set(short) - {"format", "content", "tags", "description"}
        if unknown:
            raise XNATValueError(f"a new resource cannot be given {', '.join(sorted(unknown))}")
        put_resource(parent.xnat_session.connection, parent._address(), name, **short)
        return ""

    # What it is ---------------------------------------------------------------------------------

    def _row(self) -> dict[str, str]:
        """Return its row in the listing of its owner: the server has no JSON of it (A 4)."""
        row: dict[str, str] | None = self._cache.get("row")
        if row is None:
            row = self._find_row()
            if self.caching:
                self._cache["row"] = row
        return row

    def _find_row(self) -> dict[str, str]:
        listing_uri, _, name = self.uri.rpartition("/")
        conn = self.xnat_session.connection
        path = uris.quote_listed(listing_uri)
        for row in read_table(conn.request("GET", path, query={"format": "json"})):
            if name in (row.get("xnat_abstractresource_id"), row.get("label")):
                return row
        raise XNATNotFoundError(f"{listing_uri} has no resource {name!r}", path=listing_uri)

    @property
    def data(self) -> dict[str, Any]:
        """Its own data fields, from the listing of its owner."""
        row = dict(self._row())
        row["ID"] = row.get("xnat_abstractresource_id", "")
        return row

    @property
    def fulldata(self) -> Any:
        """Its data in the form of a document."""
        return {
            "data_fields": self.data,
            "children": [],
            "meta": {"xsi:type": self._row().get("element_name", ""), "isHistory": False},
        }

    @property
    def id(self) -> str:
        """Its numeric ID, kept when its cache is cleared (S-120)."""
        found = self._cache.get("id")
        if found is None:
            name = self.uri.rpartition("/")[2]
            found = name if name.isdigit() else str(self.data["ID"])
            self._cache["id"] = found
        return str(found)

    @property
    def label(self) -> str:
        """Its label."""
        return str(self.get("label"))

    @property
    def file_count(self) -> int | None:
        """How many files it has as the server counted them; None when it did not."""
        return number(str(self.data.get("file_count", "")))

    @property
    def file_size(self) -> int | None:
        """How many bytes its files have as the server counted them; None when it did not."""
        return number(str(self.data.get("file_size", "")))

    @property
    @caching
    def files(self) -> XNATListing[FileData]:
        """Its files, by name and path."""
        return file_listing(self)

    def _owner_address(self) -> uris.Address:
        """Return the address of what has it, where uploads must go (A 6.1)."""
        parent = self._parent
        if parent is not None and hasattr(parent, "_address"):
            found: uris.Address = parent._address()
            return found
        return _address_in(self.uri)

    # Downloads ----------------------------------------------------------------------------------

    def download(self, path: str | Path, verbose: bool = True) -> str:
        """Save all its files as a zip, compared with the listing; return the path (S-168)."""
        return save_zip(self, self._listing_uri("files"), path, verbose)

    def download_dir(
        self, target_dir: str | Path, verbose: bool = True, flatten_dirs: bool = False
    ) -> None:
        """Download it into a folder and unpack it, every file compared with the listing.

        Parameters
        ----------
        target_dir : path
            The folder; made when missing.
        verbose : bool
            Report at INFO what was downloaded.
        flatten_dirs : bool
            Put all files right into the folder (S-177).

        Raises
        ------
        XNATIntegrityError
            A file is not what the listing says.
        XNATUnsafeNameError
            With `flatten_dirs` two files would get the same name; nothing was written.
        """
        download_resource(self, Path(target_dir), verbose, flatten_dirs)

    # Uploads ------------------------------------------------------------------------------------

    def upload(
        self,
        data: str | Path | IO[Any],
        remotepath: str,
        overwrite: bool = False,
        extract: bool = False,
        file_content: str | None = None,
        file_format: str | None = None,
        file_tags: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Upload one file and make sure that the server has it (S-178).

        Parameters
        ----------
        data : path, open file or str
            What to send, see `BaseXNATSession.upload`.
        remotepath : str
            Its path in the resource.
        overwrite : bool
            Replace a file that is there.
        extract : bool
            Have the server unpack the archive (zip or tar, by the name; S-180).
        file_content, file_format, file_tags : str, optional
            Stored with the file, and by the server with the resource as well.
        kwargs
            Handed on to the session's `upload`.

        Raises
        ------
        XNATUploadError
            A file is there already, or the server does not show it afterwards.
        XNATUnsafeNameError
            The path would not be stored as it is; nothing was sent.
        """
        check_file_path(remotepath)
        if extract and not remotepath.endswith(ARCHIVES):
            raise XNATValueError(
                f"{remotepath!r} cannot be unpacked: none of {', '.join(ARCHIVES)}"
            )
        query: dict[str, str] = dict(kwargs.pop("query", None) or {})
        for key, value in (
            ("extract", "true" if extract else None),
            ("content", file_content),
            ("format", file_format),
            ("tags", file_tags),
        ):
            if value is not None:
                query[key] = value
        address = self._owner_address()
        answer = self.xnat_session.upload(
            address.file(self.label, remotepath), data, query=query, overwrite=overwrite, **kwargs
        )
        self._forget_files()
        taken = read_duplicates(answer) if hasattr(answer, "path") else _duplicates_in(answer)
        if taken:
            raise XNATUploadError(
                f"{self.uri}: {', '.join(taken[:5])} is there already; overwrite=True replaces it"
            )
        if not extract and not any(f.path == remotepath for f in self._listed()):
            raise XNATUploadError(
                f"{self.uri}: the server said yes, but does not show {remotepath!r}; a user "
                "without the right to edit gets just that answer"
            )
        return answer

    def upload_data(
        self,
        data: str | bytes | IO[bytes],
        remotepath: str,
        overwrite: bool = False,
        extract: bool = False,
        file_content: str | None = None,
        file_format: str | None = None,
        file_tags: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Upload what is in memory or in an open file, never a path; else as `upload`.

        So newer releases of the official client call it.
        """
        body = data.encode() if isinstance(data, str) else data
        stream = io.BytesIO(body) if isinstance(body, bytes) else body
        return self.upload(
            stream, remotepath, overwrite, extract, file_content, file_format, file_tags, **kwargs
        )

    def _listed(self) -> list[Any]:
        return list_files(self.xnat_session.connection, self._owner_address(), self.id)

    def upload_dir(
        self,
        directory: str | Path,
        overwrite: bool = False,
        method: str = "tgz_file",
        **kwargs: Any,
    ) -> None:
        """Upload the content of a folder: FOLDER/a.txt becomes a.txt (S-184).

        Every file is compared with the server's listing afterwards, by size and digest; empty
        files are sent as well. Files that are there and equal are not sent again.

        Parameters
        ----------
        method : {"tgz_file", "per_file", "tar_memory", "tgz_memory", "tar_file"}
            How to send: one request per file, or one archive, made in memory or in a temporary
            file (S-185).

        Raises
        ------
        XNATValueError
            There is no such method.
        XNATUploadError
            A file is there already and differs, or is not shown afterwards.
        """
        send_folder(self, Path(directory), overwrite, method, **kwargs)
        self._forget_files()

    def _forget_files(self) -> None:
        """Have files and counts read anew (S-183)."""
        registry_of(self._session).clear_listings()
        self.clearcache()

    def refresh_catalog(self) -> None:
        """Have the server bring its catalog up to date with its files (S-190)."""
        self.xnat_session.services.refresh_catalog(self)
        self._forget_files()

    def delete(self, remove_files: bool = True) -> None:
        """Delete it with its files, and make sure that it is gone.

        Raises
        ------
        XNATNotFoundError
            It is not there.
        """
        delete_resource(self.xnat_session.connection, self._owner_address(), self.id)
        self._bury()


def _duplicates_in(response: Any) -> list[str]:
    """Return the paths that an upload found taken; the answer is a response of requests."""
    text = str(getattr(response, "text", "") or "").strip()
    if not text.startswith("{"):
        return []
    try:
        return [str(path) for path in response.json().get("duplicates", [])]
    except (ValueError, AttributeError):
        return []


def _address_in(uri: str) -> uris.Address:
    """Return the place that an address of a resource or file names."""
    place = uri.split("/resources/", 1)[0]
    parts = [part for part in place.strip("/").split("/") if part not in ("data", "archive")]
    if parts and parts[-1] in ("in", "out"):
        direction: str | None = parts.pop()
    else:
        direction = None
    names = {"projects": "project", "subjects": "subject", "experiments": "experiment"}
    names |= {"scans": "scan", "assessors": "assessor", "reconstructions": "reconstruction"}
    found = {names[word]: parts[i + 1] for i, word in enumerate(parts[:-1]) if word in names}
    if "assessor" in found or "reconstruction" in found:
        return uris.Address(**found, direction=direction)
    return uris.Address(**found)


class FileData(XNATBaseObject):
    """A file of a resource."""

    SECONDARY_LOOKUP_FIELD = "path"
    _CONTAINED_IN = None

    def __init__(
        self,
        uri: str | None = None,
        xnat_session: Any = None,
        id_: str | None = None,
        datafields: dict[str, Any] | None = None,
        parent: Any = None,
        fieldname: str | int | None = None,
        overwrites: dict[str, Any] | None = None,
        path: str | None = None,
    ) -> None:
        if uri is None:
            raise XNATValueError("files are not made by themselves: upload them to a resource")
        super().__init__(
            uri=uri,
            xnat_session=xnat_session,
            id_=id_,
            datafields=datafields,
            parent=parent,
            fieldname=fieldname,
            overwrites=overwrites,
        )
        if path is not None:
            self._overwrites["path"] = path.lstrip("/")

    @property
    @caching
    def data(self) -> dict[str, Any]:
        """Its row in the listing of its resource (S-193)."""
        base, _, path = self.uri.partition("/files/")
        conn = self.xnat_session.connection
        listing = uris.quote_listed(f"{base}/files")
        for row in read_table(conn.request("GET", listing, query={"format": "json"})):
            if row.get("URI", "").partition("/files/")[2] == path:
                return dict(row)
        raise XNATNotFoundError(f"{base} lists no file {path!r}", path=self.uri)

    @property
    def fulldata(self) -> Any:
        """Its data in the form of a document."""
        return {"data_fields": self.data, "children": [], "meta": {"xsi:type": self._XSI_TYPE}}

    @property
    def id(self) -> str:
        """Its name."""
        return str(self._cache.get("id") or self.path.rsplit("/", 1)[-1])

    @property
    def name(self) -> str:
        """Its name, as the example scripts call it (D-04)."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def path(self) -> str:
        """Its path in the resource, without a leading slash."""
        found = self._overwrites.get("path") or self.uri.partition("/files/")[2]
        return str(found).lstrip("/")

    @property
    def cat_id(self) -> Any:
        """The numeric ID of its resource."""
        return self.data.get("cat_ID")

    @property
    def collection(self) -> Any:
        """The label of its resource."""
        return self.data.get("collection")

    @property
    def digest(self) -> Any:
        """Its MD5 as the server has it, `""` when it has none."""
        return self.data.get("digest")

    @property
    def file_content(self) -> Any:
        """Its content as given at the upload."""
        return self.data.get("file_content")

    @property
    def file_format(self) -> Any:
        """Its format as given at the upload."""
        return self.data.get("file_format")

    @property
    def file_tags(self) -> Any:
        """Its tags as given at the upload."""
        return self.data.get("file_tags")

    @property
    def file_size(self) -> int | None:
        """Its size in bytes as the listing has it, None when it has none."""
        return number(str(self.data.get("Size", "")))

    @property
    def size(self) -> int | None:
        """Its size in bytes: from the listing, else as the server announces the file (S-194)."""
        listed = self.file_size
        if listed is not None:
            return listed
        conn = self.xnat_session.connection
        answer = conn.request("HEAD", uris.quote_listed(self.uri))
        return number(str(answer.headers.get("Content-Length", "")))

    def open(self) -> RemoteFile:
        """Open it like a local file; only what is read is downloaded (S-196)."""
        return RemoteFile(self.xnat_session.connection, self.uri, self.file_size)

    def download(self, *args: Any, **kwargs: Any) -> str:
        """Save it under a path, compared with size and digest of the listing; return the path.

        Takes what `BaseXNATSession.download` takes: `target`, `verbose`.

        Raises
        ------
        XNATIntegrityError
            It is not what the listing says, twice.
        """
        return _download(self, *args, **kwargs)

    def download_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Write it to an open binary file, see `BaseXNATSession.download_stream`."""
        return self.xnat_session.download_stream(uris.quote_listed(self.uri), *args, **kwargs)

    def delete(self, remove_files: bool = True) -> None:
        """Delete it, and it alone: the server deletes by the beginning of a path (A 6.5).

        Raises
        ------
        XNATConflictError
            Other files' paths begin with this one's.
        """
        label = self.uri.partition("/resources/")[2].partition("/")[0]
        delete_file(self.xnat_session.connection, _address_in(self.uri), label, self.path)
        self._bury()


def _download(
    file: FileData, target: str | Path, format: str | None = None, verbose: bool = True, **_: Any
) -> str:
    if format is not None:
        raise XNATValueError("a file is downloaded as it is: no format can be asked for (A 6.3)")
    conn = file.xnat_session.connection
    md5 = md5_of(str(file.digest or ""))
    for attempt in (1, 2):
        try:
            with open_file(conn, file.uri) as stream:
                saved = save_bytes(Path(target), stream.chunks(), size=file.file_size, md5=md5)
            break
        except (XNATIntegrityError, XNATResponseError):
            if attempt == 2:
                raise
            file.clearcache()  # it may have been replaced meanwhile: read size and digest anew
            md5 = md5_of(str(file.digest or ""))
    if verbose:
        file.logger.info("Saved %d bytes as %s", saved.size, target)
    return str(target)
