"""Storing files (wire contract A 6.4).

The server says 200 to an upload that stored nothing: the file was there already (the answer lists
it), or our user may not edit (the answer is empty). The first is an error here; the second only a
listing afterwards can tell, which `transfer.upload` makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING

from ... import uris
from ...connection.login import Wait
from ...exceptions import XNATUnsafeNameError, XNATUploadError
from ..answers import read_duplicates

if TYPE_CHECKING:
    from ...connection.login import Connection

__all__ = ["ARCHIVES", "check_file_path", "create_resource", "put_archive", "put_file"]

ARCHIVES = (".zip", ".zar", ".tar", ".xar", ".tgz", ".tar.gz")
"""names that the server unpacks with `extract=true`; `.gz` alone it would gunzip (A 6.4)"""


def check_file_path(path: str, *, archived: bool = False) -> str:
    """Return the path, or refuse one that would not be stored as it is (T4).

    Parameters
    ----------
    archived : bool
        The file travels inside an archive, where no address is decoded: any printable name will
        do.

    Raises
    ------
    XNATUnsafeNameError
        The path cannot be addressed, would be stored encoded, or is a catalog's.
    """
    uris.quote_path(path)
    name = path.rsplit("/", 1)[-1]
    if not name or "\\" in path:
        raise XNATUnsafeNameError(f"file path {path!r} is refused: it names no file")
    if name.endswith("_catalog.xml"):
        raise XNATUnsafeNameError(f"file path {path!r} is refused: the server's catalogs end so")
    if not archived and not uris.survives_upload(path):
        raise XNATUnsafeNameError(
            f"file path {path!r} is refused: the server would store it percent-encoded; only "
            "letters, digits, '.', '_', '-' and '/' are kept, and all else if it has a blank or "
            "'+'. Inside an archive it can be sent"
        )
    return path


def create_resource(
    conn: Connection,
    address: uris.Address,
    label: str,
    *,
    format: str | None = None,
    content: str | None = None,
    tags: Iterable[str] = (),
    description: str | None = None,
) -> bool:
    """Create a resource (A 6.1), return False when it was there already.

    An existing one keeps its format, content and tags.
    """
    uris.check_resource_label(label)
    query: list[tuple[str, str]] = [("tags", ",".join(tags))] if tags else []
    for key, value in (("format", format), ("content", content), ("description", description)):
        if value is not None:
            query.append((key, value))
    answer = conn.request(
        "PUT", address.resource(label), query=query, accepted=(200, 409), repeatable=True
    )
    return answer.status == 200


def put_file(
    conn: Connection,
    address: uris.Address,
    label: str,
    path: str,
    body: bytes | IO[bytes],
    *,
    overwrite: bool = False,
    update_stats: bool = True,
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Store one file, never empty, in a resource; the resource is made when it is not there.

    Uploads into one resource must follow each other; into several they may run side by side.

    Parameters
    ----------
    address : Address
        The item that owns the resource: below another item the server makes a second one (A 6.1).
    body : bytes or binary file
        With a known length above 0; the server refuses chunked and empty bodies. Send empty files
        in an archive.
    overwrite : bool
        Replace a file of this path. With it the request may be repeated.
    update_stats : bool
        False leaves the counts stale until the next refresh; counting reads the whole resource
        each time (A 6.4).
    attributes : mapping, optional
        `format`, `content`, `tags`, `description`: the server also sets them on the resource.

    Raises
    ------
    XNATUploadError
        A file of this path is there already (the server's answer is 200).
    XNATUnsafeNameError
        The path or label would not be stored as it is; nothing was sent.
    XNATUnclearError
        The answer was lost: compare the listing.
    """
    uris.check_resource_label(label)
    check_file_path(path)
    query: dict[str, str] = {"inbody": "true", **(attributes or {})}
    if overwrite:
        query["overwrite"] = "true"
    if not update_stats:
        query["update-stats"] = "false"
    answer = conn.request(
        "PUT",
        address.file(label, path),
        query=query,
        headers={"Content-Type": "application/octet-stream"},
        body=body,
        wait=Wait.TRANSFER,
        repeatable=overwrite,
        html=True,
    )
    _refuse_duplicates(address, label, read_duplicates(answer))


def put_archive(
    conn: Connection,
    address: uris.Address,
    label: str,
    body: bytes | IO[bytes] | Iterable[bytes],
    *,
    overwrite: bool = False,
    name: str = "upload.zip",
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Store all files of one archive in a resource, in one request; empty files too.

    Paths in the archive are paths in the resource. With files that are there already the others
    are stored all the same.

    Parameters
    ----------
    body : bytes, binary file or iterable of bytes
        Only a zip may be streamed without a known length (A 6.4).
    name : str
        Tells the kind, one of `ARCHIVES`.

    Raises
    ------
    XNATUploadError
        Some files are there already; they were left as they are.
    """
    uris.check_resource_label(label)
    if not name.endswith(ARCHIVES):
        raise XNATUnsafeNameError(f"archive name {name!r} is none of {', '.join(ARCHIVES)}")
    query = {"extract": "true", **(attributes or {})}
    if overwrite:
        query["overwrite"] = "true"
    kind = "application/zip" if name.endswith((".zip", ".zar")) else "application/octet-stream"
    answer = conn.request(
        "PUT",
        address.file(label, name),
        query=query,
        headers={"Content-Type": kind},
        body=body,
        wait=Wait.TRANSFER,
        repeatable=overwrite and isinstance(body, bytes),
        html=True,
    )
    _refuse_duplicates(address, label, read_duplicates(answer))


def _refuse_duplicates(address: uris.Address, label: str, paths: list[str]) -> None:
    if paths:
        shown = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        raise XNATUploadError(
            f"{address.path()}: resource {label!r} has {shown} already; "
            "they were not replaced (overwrite replaces)"
        )
