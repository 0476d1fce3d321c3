"""Opening files and zips on the server (wire contract A 6.3, 6.7). Checks of the bytes against a
listing belong to `transfer/`; here is made sure that it is a file and no page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from ... import uris
from ...exceptions import XNATIntegrityError, XNATPageError

if TYPE_CHECKING:
    from ...connection.login import Connection, Stream

__all__ = ["open_file", "open_zip", "read_file"]


def open_file(conn: Connection, uri: str) -> AbstractContextManager[Stream]:
    """Open one file by its `URI` as a listing gives it (unquoted).

    No `format` is sent, since that could wrap the file in a zip. The type the server names is not
    to be trusted, so a web page may come: compare size and digest with the listing.

    Raises
    ------
    XNATNotFoundError
        Not in the catalog, or in the catalog and not on the server's disk.
    XNATUnsafeNameError
        The address would lead out of the server's REST tree.
    """
    return conn.stream(uris.quote_listed(uri))


@contextmanager
def open_zip(
    conn: Connection, files_path: str, *, query: Mapping[str, str] | None = None
) -> Iterator[Stream]:
    """Open the zip of any listing of files; `files_path` is that listing's address (A 6.7).

    Files that miss on the server's disk are silently missing in the zip, and a body that breaks
    off has status 200: compare with a listing.

    Raises
    ------
    XNATNotFoundError
        Nothing at all to send.
    XNATPageError
        The body is no zip: the router answers with an item's page where there is no such route
        (A 0.1), or the login is lost.
    """
    asked = {"format": "zip", **(query or {})}
    with conn.stream(files_path, query=asked) as stream:
        kind = str(stream.headers.get("Content-Type", "")).split(";")[0].strip().lower()
        if kind in {"text/html", "application/json", "text/xml", "application/xml"}:
            raise XNATPageError(
                f"GET {files_path}: {kind} where a zip was due",
                status=stream.status,
                method="GET",
                path=files_path,
            )
        yield stream


def read_file(conn: Connection, uri: str, *, limit: int) -> bytes:
    """Return a whole file of at most `limit` bytes.

    Raises
    ------
    XNATIntegrityError
        It is larger.
    """
    parts: list[bytes] = []
    size = 0
    with open_file(conn, uri) as stream:
        for chunk in stream.chunks():
            size += len(chunk)
            if size > limit:
                raise XNATIntegrityError(f"{uri}: more than {limit} bytes")
            parts.append(chunk)
    return b"".join(parts)
