"""Services: import, archive, validation, refresh, header dumps, tokens, tracking (contract B).

None of the orders here is repeated after a lost answer: `XNATUnclearError` comes to the caller,
who looks at the row and the experiment before deciding (B 13.1).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from html import unescape
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote

from .. import uris
from ..connection.login import Wait
from ..exceptions import (
    XNATPageError,
    XNATResponseError,
    XNATUnclearError,
    XNATValueError,
)
from .answers import cell, number, read_json, read_table, read_uri_list
from .prearchive import source_of
from .records import Finding, Imported, PrearchiveRow, Tag, Token, Tracking

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "REFRESH_OPTIONS",
    "archive",
    "dicom_dump",
    "import_archive",
    "import_inbox",
    "issue_token",
    "read_import_address",
    "refresh_catalog",
    "track",
    "validate_archive",
]

_DUMPING = threading.Lock()

REFRESH_OPTIONS = ("append", "checksum", "delete", "populateStats")
"""what `refresh_catalog` can do, spelled as the server wants it (B 5.1)"""

Body = bytes | IO[bytes] | Iterable[bytes]


def read_import_address(uri: str) -> Imported:
    """Take apart an address that the import or archive service answered (B 1.4).

    Raises
    ------
    XNATResponseError
        It is none of the known forms.
    """
    path = re.sub(r"^https?://[^/]+", "", uri.strip())
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[:1] in (["data"], ["REST"]):
        parts = parts[1:]
    if parts[:2] == ["prearchive", "projects"] and len(parts) >= 5:
        return Imported(uri, "prearchive", parts[2], timestamp=parts[3], folder=parts[4])
    if parts[:2] == ["archive", "projects"] and len(parts) >= 7:
        return Imported(uri, "archive", parts[2], subject=parts[4], session=parts[6])
    if parts[:2] == ["xapi", "direct-archive"] and len(parts) >= 5:
        return Imported(uri, "direct-archive", parts[2], timestamp=parts[3], session=parts[4])
    if parts[:2] == ["xapi", "dicom"] and len(parts) >= 3:
        return Imported(uri, "inbox", timestamp=parts[2])
    raise XNATResponseError(f"the server answered {uri[:200]!r}, which is no address of an import")


def import_archive(
    conn: Connection,
    body: Body,
    *,
    project: str | None,
    subject: str | None = None,
    session: str | None = None,
    handler: str = "DICOM-zip",
    content_type: str = "application/zip",
    parameters: Mapping[str, str] | None = None,
) -> list[str]:
    """Send an archive of DICOM files to the import service, return the addresses it answers.

    Without `dest`, so nothing is built or archived in this request (B 13): build the rows next.
    Take the addresses apart with `read_import_address`.

    Parameters
    ----------
    body : bytes, binary file or iterable of bytes
        A zip may be streamed without a known length; other kinds need one (B 1.1).
    project, subject, session : str, optional
        Sent as given; use clean labels, since others are changed at archive (B 1.3). Without a
        project the server goes by the DICOM headers (B 1.6).
    handler : str
        `DICOM-zip`, `SI` or `gradual-DICOM`; always sent, as the default differs between sites.
    parameters : mapping, optional
        Further parameters of B 1.3.

    Raises
    ------
    XNATUnclearError
        The answer was lost: look for a row with this StudyInstanceUID before sending again (P1).
    XNATResponseError
        The body is empty: every file was rejected. Or an address names another project than
        asked for: the server routes to `Unassigned` or elsewhere without an error (B 1.3); the
        data are there now and must be moved or deleted.
    """
    query: dict[str, str] = {"import-handler": handler, "inbody": "true"}
    if project is not None:
        query["project"] = project
    if subject is not None:
        query["subject"] = subject
    if session is not None:
        query["session"] = session
    _refuse_parameters(parameters or {})
    query.update(parameters or {})
    answer = conn.request(
        "POST",
        uris.IMPORT,
        query=query,
        headers={"Content-Type": content_type},
        body=body,
        wait=Wait.ARCHIVE,
        repeatable=False,
    )
    addresses = read_uri_list(answer)
    astray = [uri for uri in addresses if read_import_address(uri).project not in ("", project)]
    if astray and project is not None:
        raise XNATResponseError(
            f"import into {project}: the server stored it elsewhere ({', '.join(astray)}); "
            "check the project's ID and our user's rights, then move or delete what is there",
            status=answer.status,
            method="POST",
            path=uris.IMPORT,
            detail=", ".join(addresses),
        )
    return addresses


def _refuse_parameters(parameters: Mapping[str, str]) -> None:
    if "format" in parameters:
        raise XNATValueError("import: format=html answers 200 even on failure, so none is sent")
    if parameters.get("overwrite") == "none":
        raise XNATValueError(
            "import: 'none' means append to the server; leave overwrite out (B 1.3)"
        )


def import_inbox(
    conn: Connection,
    path: str,
    *,
    project: str,
    subject: str | None = None,
    session: str | None = None,
    cleanup: bool = False,
) -> str:
    """Have the server import a folder of its own inbox (B 7), return the request's address.

    `cleanup` is always sent: the server's default deletes the source files.
    """
    query = {
        "import-handler": "inbox",
        "path": path,
        "PROJECT_ID": project,
        "cleanupAfterImport": "true" if cleanup else "false",
    }
    if subject is not None:
        query["SUBJECT_ID"] = subject
    if session is not None:
        query["EXPT_LABEL"] = session
    return read_uri_list(conn.request("POST", uris.IMPORT, query=query, repeatable=False))[0]


def _archive_query(
    row: PrearchiveRow, project: str | None, subject: str | None, session: str | None
) -> dict[str, str]:
    query = {"src": "/data" + source_of(row)}
    for key, value in (("project", project), ("subject", subject), ("session", session)):
        if value is not None:
            query[key] = value
    return query


def archive(
    conn: Connection,
    row: PrearchiveRow,
    *,
    project: str | None = None,
    subject: str | None = None,
    session: str | None = None,
    overwrite: str | None = None,
    quarantine: bool = False,
    trigger_pipelines: bool = True,
    fields: Mapping[str, str] | None = None,
) -> str:
    """Archive one row and return the experiment's address (labels, not IDs; B 3.3).

    Check first that the row is READY; the order is never repeated here. `auto-archive=false` is
    always sent, and 303 is taken as success all the same.

    Parameters
    ----------
    overwrite : {"append", "delete"}, optional
        Both replace overlapping files and skip most safety checks (B 3.3). None merges what does
        not overlap.
    fields : mapping, optional
        Further labels or XML paths, for example `xnat:mrSessionData/note`.

    Raises
    ------
    XNATUnclearError
        No answer, or 502, 503, 504, or the server's own time-out (500 "did not complete within"):
        the job keeps running. Poll the row (B 13.1).
    XNATResponseError
        The job failed (500, 409, 400): its kind is told by the row's status and log, not by the
        code (B 13).
    """
    if overwrite not in (None, "append", "delete"):
        raise XNATValueError(f"overwrite {overwrite!r} is neither 'append' nor 'delete'")
    query = _archive_query(row, project, subject, session)
    query["auto-archive"] = "false"
    if overwrite:
        query["overwrite"] = overwrite
    if quarantine:
        query["quarantine"] = "true"
    if not trigger_pipelines:
        query["triggerPipelines"] = "false"
    query.update(fields or {})
    try:
        answer = conn.request(
            "POST",
            uris.ARCHIVE,
            query=query,
            accepted=(200, 303),
            wait=Wait.ARCHIVE,
            repeatable=False,
        )
    except XNATResponseError as error:
        if error.status == 500 and "did not complete within" in f"{error.detail} {error}":
            raise XNATUnclearError(
                f"archiving {row.url}: the server stopped waiting, the job keeps running",
                status=500,
            ) from error
        raise
    if answer.status == 303:
        location = str(answer.headers.get("Location", ""))
        if "/archive/projects/" not in location:
            raise XNATResponseError(
                f"archiving {row.url}: status 303 to {location[:200]!r}, which is no experiment",
                status=303,
                method="POST",
                path=uris.ARCHIVE,
            )
        return location[location.index("/archive/projects/") :]
    return read_uri_list(answer)[0]


def validate_archive(
    conn: Connection,
    row: PrearchiveRow,
    *,
    project: str | None = None,
    subject: str | None = None,
    session: str | None = None,
) -> list[Finding]:
    """Ask what archiving would say; an empty list means nothing stands against it (B 3.5).

    Reads only, so it may be repeated. Codes 20 to 22 are mere warnings here and make the real
    archive fail unless `overwrite` is sent.
    """
    answer = conn.request(
        "POST",
        uris.VALIDATE_ARCHIVE,
        query={**_archive_query(row, project, subject, session), "format": "json"},
        wait=Wait.LISTING,
        repeatable=True,
    )
    return [
        Finding(code=number(cell(r, "code")) or 0, type=cell(r, "type"), message=cell(r, "message"))
        for r in read_table(answer)
    ]


def refresh_catalog(
    conn: Connection, resources: str | Sequence[str], options: Iterable[str]
) -> None:
    """Refresh catalogs so that they agree with the server's disk (B 5.1).

    Parameters
    ----------
    resources : str or sequence of str
        `/archive/...` places (`Address.archive_uri()`). A session includes its scans; a subject or
        project only what lies directly below it.
    options : iterable of str
        Of `REFRESH_OPTIONS`; at least one, since none means *all* to the server, deleting
        included. `delete` empties catalogs when the server's disk is not mounted.

    Raises
    ------
    XNATValueError
        No option, an unknown one, or a place that is not below `/archive`.
    XNATResponseError
        400 absent item, 403 no edit right, 500 a concurrent change. Orders before the first
        failure stay done. That it did something is not said: list afterwards (P5).
    XNATUnclearError
        The answer was lost and the server may be at it yet: list before ordering it again, as only
        one refresh at a time is harmless (B 13.2).
    """
    places = [resources] if isinstance(resources, str) else list(resources)
    wanted = list(options)
    if not wanted:
        raise XNATValueError("refresh: say what to do; without options the server does everything")
    unknown = [option for option in wanted if option not in REFRESH_OPTIONS]
    if unknown:
        raise XNATValueError(f"refresh: {unknown} are not of {', '.join(REFRESH_OPTIONS)}")
    for place in places:
        if not re.match(r"^(/data|/REST)?/archive/", place):
            raise XNATValueError(f"refresh: {place!r} must begin with /archive/")
    if not places:
        raise XNATValueError("refresh: no resource is named, so nothing would be done")
    query = [("resource", place) for place in places] + [("options", ",".join(wanted))]
    conn.request("POST", uris.REFRESH_CATALOG, query=query, wait=Wait.TRANSFER, repeatable=False)


def dicom_dump(
    conn: Connection, source: str, fields: Iterable[str] = (), *, summary: bool = False
) -> list[Tag]:
    """Return headers of the first DICOM file of a session, scan or file (B 6).

    Values are cut to 255 characters. An empty list means that the server took `source` for
    nothing it knows, or found no file. Calls of this process follow each other: the server mixes
    the results of parallel ones.

    Parameters
    ----------
    source : str
        `/archive/projects/P/...` or `/prearchive/projects/...`; a leading `/data` is taken off,
        as the server knows it here without only. `/archive/experiments/E` is not supported.
    fields : iterable of str
        Keywords (`PatientID`) or eight hexadecimal digits; all when empty.
    """
    bare = re.sub(r"^/(data|REST)(?=/)", "", source)
    if not bare.startswith(("/archive/projects/", "/prearchive/projects/")):
        raise XNATValueError(
            f"header dump: {source!r} must begin with /archive/projects/ or /prearchive/projects/"
        )
    query = [("src", bare), ("format", "json"), *(("field", name) for name in fields)]
    if summary:
        query.append(("summary", "true"))
    with _DUMPING:
        rows = read_table(conn.request("GET", uris.DICOM_DUMP, query=query))
    return [
        Tag(
            tag1=cell(r, "tag1"),
            tag2=cell(r, "tag2"),
            vr=cell(r, "vr"),
            value=unescape(cell(r, "value")),
            desc=cell(r, "desc"),
        )
        for r in rows
    ]


def issue_token(conn: Connection, user: str | None = None) -> Token:
    """Issue an alias token for our user, or (administrators) for another (B 8).

    Every call makes a new one, so it is not repeated.
    """
    document = read_json(conn.request("GET", uris.token(user), repeatable=False))
    if not isinstance(document, dict) or not document.get("alias"):
        raise XNATResponseError(f"{uris.token(user)}: the answer holds no token")
    expires = document.get("estimatedExpirationTime")
    return Token(
        alias=str(document["alias"]),
        secret=str(document.get("secret", "")),
        user_id=str(document.get("xdatUserId", "")),
        single_use=bool(document.get("singleUse")),
        expires=int(expires) if isinstance(expires, int) else None,
    )


def track(conn: Connection, key: str) -> Tracking:
    """Return the state of a job by its listener key (B 4.1).

    An import without `dest` never ends: `succeeded` stays None.

    Raises
    ------
    XNATNotFoundError
        The key is unknown, or another user's.
    """
    document: Any = read_json(conn.request("GET", uris.tracking(key)))
    if not isinstance(document, dict):
        raise XNATPageError(f"{uris.tracking(key)}: the answer is no state of a job")
    messages: list[str] = []
    payload = document.get("payload")
    if payload:
        entries = json.loads(payload).get("entryList", []) if isinstance(payload, str) else []
        messages = [str(entry.get("message", "")) for entry in entries]
    succeeded = document.get("succeeded")
    return Tracking(
        key=str(document.get("key", key)),
        succeeded=succeeded if isinstance(succeeded, bool) else None,
        final_message=str(document.get("finalMessage") or ""),
        messages=tuple(messages),
    )
