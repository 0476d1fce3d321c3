"""The prearchive: rows, what is below them, and orders about them (wire contract B 2).

The server says 200 to much that it does not do (a locked row is neither moved nor deleted), so
every order here is followed by a look. Waiting for states belongs to the caller.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING
from urllib.parse import unquote

from .. import uris
from ..connection.login import Wait
from ..exceptions import (
    XNATConflictError,
    XNATNotFoundError,
    XNATResponseError,
    XNATUnsafeNameError,
)
from .answers import cell, number, read_table
from .records import LogEntry, PrearchiveFile, PrearchiveResource, PrearchiveRow, PrearchiveScan
from .states import locked

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "UNASSIGNED",
    "address_of",
    "build",
    "delete_row",
    "get_row",
    "list_resource_files",
    "list_resources",
    "list_rows",
    "list_scan_files",
    "list_scans",
    "make_row",
    "move",
    "put_file",
    "read_last_log",
    "read_logs",
    "read_moved",
    "rebuild",
    "refuse_still_there",
    "reset_status",
    "source_of",
]

UNASSIGNED = "Unassigned"
"""the project of rows that could not be routed; only administrators see them (B 1.6)"""


def make_row(row: dict[str, str]) -> PrearchiveRow:
    """Make the record of a row of the prearchive's table (B 2.1)."""
    return PrearchiveRow(
        project=cell(row, "project"),
        timestamp=cell(row, "timestamp"),
        folder=cell(row, "folderName"),
        subject=cell(row, "subject"),
        name=cell(row, "name"),
        tag=cell(row, "tag"),
        status=cell(row, "status"),
        url=cell(row, "url"),
        lastmod=cell(row, "lastmod"),
        uploaded=cell(row, "uploaded"),
        scan_date=cell(row, "scan_date"),
        scan_time=cell(row, "scan_time"),
        autoarchive=cell(row, "autoarchive"),
        prevent_anon=cell(row, "prevent_anon") == "true",
        prevent_auto_commit=cell(row, "prevent_auto_commit") == "true",
        source=cell(row, "SOURCE"),
        visit=cell(row, "VISIT"),
        protocol=cell(row, "PROTOCOL"),
        timezone=cell(row, "TIMEZONE"),
    )


def address_of(row: PrearchiveRow) -> str:
    """Return the REST address of a row."""
    return uris.prearchive_session(row.project, row.timestamp, row.folder)


def source_of(row: PrearchiveRow) -> str:
    """Return the spelling of a row that services take as `src` (B 3.1)."""
    return uris.prearchive_source(row.project, row.timestamp, row.folder)


def list_rows(conn: Connection, project: str | None = None) -> list[PrearchiveRow]:
    """Return the rows of a project, or of all projects our user can edit.

    Rows of other projects that the server adds for administrators (`Unassigned`, B 2.1) are left
    out of a project's list.

    Raises
    ------
    XNATNotFoundError, XNATForbiddenError
        The project is not there, or may not be read; the contract leaves open which (B 2.1).
    """
    answer = conn.request("GET", uris.prearchive(project), query={"format": "json"})
    rows = [make_row(row) for row in read_table(answer)]
    return rows if project is None else [row for row in rows if row.project == project]


def get_row(conn: Connection, project: str, timestamp: str, folder: str) -> PrearchiveRow | None:
    """Return one row, None when the server shows an empty table (B 2.2).

    None is no proof: use `absence.find_row` to learn that a row is gone.

    Raises
    ------
    XNATForbiddenError
        Our user may not edit the project's sessions.
    """
    path = uris.prearchive_session(project, timestamp, folder)
    rows = read_table(conn.request("GET", path, query={"format": "json"}))
    found = [make_row(row) for row in rows]
    return next((r for r in found if (r.timestamp, r.folder) == (timestamp, folder)), None)


def _refresh(conn: Connection, row: PrearchiveRow) -> PrearchiveRow:
    now = get_row(conn, row.project, row.timestamp, row.folder)
    if now is None:
        raise XNATNotFoundError(
            f"prearchive row {row.url or address_of(row)} is not there any more",
            status=200,
            method="GET",
            path=address_of(row),
        )
    return now


def build(conn: Connection, row: PrearchiveRow) -> PrearchiveRow:
    """Build the session document of a row and return the row as it is afterwards (B 2.5).

    Synchronous. 200 does not prove READY, so look at the status of what is returned. It may be
    repeated while the row is not locked.

    Raises
    ------
    XNATConflictError
        The row is locked (409).
    XNATUnclearError
        The answer was lost; the server may still build.
    XNATResponseError
        The build failed or the row is absent (both 500).
    """
    return _order(conn, row, {"action": "build"})


def reset_status(conn: Connection, row: PrearchiveRow) -> PrearchiveRow:
    """Have a row's status worked out again from its document, and return the row (B 2.5).

    It ignores locks: never call it while a job may run. A row without a document becomes
    RECEIVING. The row is looked up first, since the server seems to insert absent ones.
    """
    _refresh(conn, row)
    return _order(conn, row, {"action": "reset-status"})


def _order(conn: Connection, row: PrearchiveRow, query: dict[str, str]) -> PrearchiveRow:
    conn.request("POST", address_of(row), query=query, wait=Wait.ARCHIVE)
    return _refresh(conn, row)


def rebuild(conn: Connection, row: PrearchiveRow) -> PrearchiveRow:
    """Queue a rebuild that will not archive by itself (B 2.6), return the row as it is now.

    Asynchronous: poll until the status is terminal. A locked row is skipped by the server
    without a word; here it raises.

    Raises
    ------
    XNATConflictError
        The row is locked.
    """
    _refuse_locked(_refresh(conn, row), "rebuilt")
    conn.request("POST", uris.PREARCHIVE_REBUILD, query={"src": source_of(row), "async": "false"})
    return _refresh(conn, row)


def _refuse_locked(row: PrearchiveRow, what: str) -> None:
    if locked(row.status):
        raise XNATConflictError(
            f"prearchive row {row.url} is locked ({row.status}) and cannot be {what}",
            path=row.url,
        )


def move(conn: Connection, row: PrearchiveRow, new_project: str) -> PrearchiveRow:
    """Move a row to another project and return the row there (B 2.5).

    The server answers 301 without a `Location`, and 200 with an empty body when the row was
    locked and nothing was done; the row in its new project is looked up.

    Raises
    ------
    XNATConflictError
        The row is locked.
    XNATForbiddenError
        Our user may not edit the project it should go to.
    XNATUnclearError
        The answer was lost: look in both projects before asking again.
    """
    _refuse_locked(_refresh(conn, row), "moved")
    answer = conn.request(
        "POST",
        address_of(row),
        query={"action": "move", "newProject": new_project},
        accepted=(200, 301),
        wait=Wait.TRANSFER,
    )
    if answer.status == 200 and not answer.text.strip():
        raise XNATConflictError(
            f"prearchive row {row.url} was not moved: the server did nothing, it is locked",
            path=row.url,
        )
    address = read_moved(answer.text, row, new_project) or address_of(row)
    timestamp, folder = (unquote(part) for part in address.split("/")[-2:])
    moved = get_row(conn, new_project, timestamp, folder)
    if moved is None:
        raise XNATResponseError(
            f"prearchive row {row.url} was moved to {new_project}, but is not seen there",
            status=answer.status,
            method="POST",
            path=address_of(row),
        )
    return moved


def read_moved(text: str, row: PrearchiveRow, project: str) -> str | None:
    """Return the address of a row after its move, as the answer's body names it (B 2.5).

    None for an empty body: the row was locked and nothing was done.
    """
    parts = unquote(text.strip()).strip("/").split("/")
    if len(parts) >= 4 and parts[-4] == "projects":
        return uris.prearchive_session(project, parts[-2], parts[-1])
    return uris.prearchive_session(project, row.timestamp, row.folder) if text.strip() else None


def delete_row(conn: Connection, row: PrearchiveRow) -> None:
    """Delete a row with its files, and make sure that it is gone (B 2.5).

    A row that is gone already is no error. The server's 200 says nothing: it also answers so for
    absent and for locked rows.

    Raises
    ------
    XNATConflictError
        The row is locked, or is still there afterwards.
    """
    before = get_row(conn, row.project, row.timestamp, row.folder)
    if before is None:
        return
    _refuse_locked(before, "deleted")
    conn.request("DELETE", address_of(row), repeatable=True, wait=Wait.TRANSFER)
    refuse_still_there(conn, row)


def refuse_still_there(conn: Connection, row: PrearchiveRow) -> None:
    """Make sure that a row is gone after its deletion.

    Raises
    ------
    XNATConflictError
        It is still there.
    """
    after = get_row(conn, row.project, row.timestamp, row.folder)
    if after is not None:
        raise XNATConflictError(
            f"prearchive row {row.url} is still there ({after.status}) after its deletion",
            path=row.url,
        )


def list_scans(conn: Connection, row: PrearchiveRow) -> list[PrearchiveScan]:
    """Return the scans of a built row (B 2.3).

    Raises
    ------
    XNATNotFoundError
        The row is not built yet, or gone.
    """
    path = uris.prearchive_scans(address_of(row))
    rows = read_table(conn.request("GET", path, query={"format": "json"}))
    return [
        PrearchiveScan(
            id=cell(r, "ID"),
            xsi_type=cell(r, "xsiType"),
            series_description=cell(r, "series_description"),
        )
        for r in rows
    ]


def list_resources(
    conn: Connection, row: PrearchiveRow, scan: str | None = None
) -> list[PrearchiveResource]:
    """Return the resources of a built row's scan, or of the row itself (B 2.3)."""
    path = uris.prearchive_resources(address_of(row), scan)
    rows = read_table(conn.request("GET", path, query={"format": "json"}))
    return [
        PrearchiveResource(
            label=cell(r, "label"),
            scan=scan or (cell(r, "cat_id") if cell(r, "category") == "scans" else ""),
            category=cell(r, "category"),
            file_count=number(cell(r, "file_count")),
            file_size=number(cell(r, "file_size")),
        )
        for r in rows
    ]


def list_scan_files(
    conn: Connection, row: PrearchiveRow, scan: str, label: str = "DICOM"
) -> list[PrearchiveFile]:
    """Return the files of a scan's resource (B 2.3), without digests: the server has none here."""
    path = uris.prearchive_files(address_of(row), label, scan)
    return _files(conn, path)


def list_resource_files(conn: Connection, row: PrearchiveRow, label: str) -> list[PrearchiveFile]:
    """Return the files of a resource of the row itself."""
    return _files(conn, uris.prearchive_files(address_of(row), label))


def _files(conn: Connection, path: str) -> list[PrearchiveFile]:
    found = []
    for row in read_table(conn.request("GET", path, query={"format": "json"})):
        uri = cell(row, "URI")
        _, _, inside = uri.partition("/files/")
        name = inside or cell(row, "Name")
        found.append(PrearchiveFile(path=name, size=number(cell(row, "Size")), uri=uri))
    return found


def put_file(
    conn: Connection,
    row: PrearchiveRow,
    label: str,
    path: str,
    body: bytes | IO[bytes],
) -> None:
    """Store a file in a resource of the row itself, for example a QC report (B 2.3).

    An existing file is replaced without a word, so it may be repeated. The session must be built.

    Raises
    ------
    XNATUnsafeNameError
        The label or path would not be stored as given.
    """
    uris.check_resource_label(label)
    if not uris.survives_upload(path) or path.endswith(("/", "_catalog.xml")):
        raise XNATUnsafeNameError(f"file path {path!r} would not be stored as it is")
    conn.request(
        "PUT",
        uris.prearchive_files(address_of(row), label, path=path),
        query={"inbody": "true"},
        headers={"Content-Type": "application/octet-stream"},
        body=body,
        wait=Wait.TRANSFER,
        repeatable=True,
    )


def read_logs(conn: Connection, row: PrearchiveRow) -> list[LogEntry]:
    """Return the row's log; reasons of conflicts and errors live here (B 2.3)."""
    path = uris.prearchive_logs(address_of(row))
    query = {"format": "json", "template": "details"}
    return [
        LogEntry(id=cell(r, "id"), date=cell(r, "date"), entry=cell(r, "entry"))
        for r in read_table(conn.request("GET", path, query=query))
    ]


def read_last_log(conn: Connection, row: PrearchiveRow) -> str:
    """Return the text of the last log entry, `""` when there is none.

    What the server answers without a log is open in the contract (B 2.3): an error status or an
    unusable body count as «none». Use it for messages, not for logic.
    """
    path = uris.prearchive_logs(address_of(row), "last")
    answer = conn.request("GET", path, accepted=(200, 204, 404, 500), html=True)
    text = answer.text.strip()
    return "" if answer.status != 200 or text[:1] == "<" else text
