"""Deleting files and resources (wire contract A 6.1, 6.5).

The server deletes every file whose path *begins* with what is named, and everything for an empty
path, so the listing is read first and a name that would take others along is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import uris
from ...connection.login import Wait
from ...exceptions import XNATConflictError, XNATNotFoundError, XNATResponseError
from ..absence import find_file, find_resource
from ..contents import list_files
from ..documents import resolve

if TYPE_CHECKING:
    from ...connection.login import Connection

__all__ = ["delete_file", "delete_resource"]


def delete_file(conn: Connection, address: uris.Address, label: str, path: str) -> None:
    """Delete one file of a resource and make sure that it, and it alone, is gone.

    Raises
    ------
    XNATNotFoundError
        There is no such file.
    XNATConflictError
        Other files' paths begin with this one (`a.nii` and `a.nii.gz`), or it ends with `*`: the
        server would delete them along.
    XNATForbiddenError
        The *delete* right is missing; edit is not enough.
    """
    place = resolve(conn, address)
    files = list_files(conn, place, label)
    if not any(file.path == path for file in files):
        raise XNATNotFoundError(
            f"{place.path()}: resource {label!r} has no file {path!r}", path=place.files(label)
        )
    others = [file.path for file in files if file.path != path and file.path.startswith(path)]
    if others or path.endswith("*"):
        raise XNATConflictError(
            f"deleting {path!r} would also delete {', '.join(others[:5]) or 'others'}: the server "
            "deletes by the beginning of the path"
        )
    conn.request(
        "DELETE",
        place.file(label, path),
        accepted=(200, 404),
        wait=Wait.TRANSFER,
        repeatable=True,
    )
    if find_file(conn, place, label, path) is not None:
        raise XNATResponseError(
            f"DELETE {place.file(label, path)}: the server said yes, but still lists the file",
            status=200,
            method="DELETE",
            path=place.file(label, path),
        )


def delete_resource(conn: Connection, address: uris.Address, label: str) -> None:
    """Delete a resource with its files and make sure that it is gone.

    Raises
    ------
    XNATNotFoundError
        There is no such resource (the server would say 200).
    XNATResponseError
        207 or 500: it could not be deleted, or it is still listed.
    """
    place = resolve(conn, address)
    if find_resource(conn, place, label) is None:
        raise XNATNotFoundError(f"{place.path()} has no resource {label!r}", path=place.resources())
    conn.request("DELETE", place.resource(label), wait=Wait.TRANSFER, repeatable=True)
    if find_resource(conn, place, label) is not None:
        raise XNATResponseError(
            f"DELETE {place.resource(label)}: the server said yes, but still lists the resource",
            status=200,
            method="DELETE",
            path=place.resource(label),
        )
