"""Is every file of a project what the server's catalog says? (wire contract A 6.2, 6.6)

Deep: every file is downloaded and hashed, nothing is written to disk. Quick: the server's folders
are compared with its catalogs, which finds what misses, what is too short or long, and what lies
there and is listed nowhere, but no flipped byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import (
    XNATConnectionError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATResponseError,
)
from ..rest.answers import cell, number, read_table
from ..rest.contents import list_files, list_resources, list_session_files
from ..rest.files.download import open_file
from ..rest.listings import list_experiments, list_scans, list_subjects
from ..rest.records import Experiment, File
from .select import Selection
from .zipped import Key, file_key

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["BAD", "STATES", "Checked", "check_project"]

STATES = {
    "ok": "size and MD5 are those of the catalog",
    "size ok": "the size is that of the catalog; no MD5 was compared",
    "missing": "in the catalog, but not on the server's disk",
    "size differs": "another size than in the catalog",
    "digest differs": "another MD5 than in the catalog",
    "not catalogued": "on the server's disk, but in no catalog: a refresh with append adds it",
    "unreadable": "the server did not hand it out",
}
"""what can be said of a file, and what it means"""

BAD = frozenset(STATES) - {"ok", "size ok"}
"""the states that need somebody"""

TRIES = 2


@dataclass(frozen=True)
class Checked:
    """What was found about one file.

    `place` is the label of a session or subject, or the ID of the project; `category`, `parent` and
    `resource` as in `transfer.zipped.Key`; `size` in bytes and `digest` as the catalog has them.
    """

    place: str
    category: str
    parent: str
    resource: str
    path: str
    size: int | None
    digest: str
    state: str
    detail: str = ""
    uri: str = ""


def check_project(
    conn: Connection,
    project: str,
    selection: Selection | None = None,
    *,
    deep: bool = True,
    workers: int = 4,
) -> Iterator[Checked]:
    """Check every file of a project, session by session; yields each with what was found.

    Parameters
    ----------
    selection : Selection, optional
        Which sessions and resources. Without one, resources of the project itself and of its
        subjects are checked as well.
    deep : bool
        Download and hash. False compares the server's folders with its catalogs; files of projects
        and subjects, of which the server shows no folders, are asked for one by one (HEAD).
    workers : int
        Downloads at a time.

    Raises
    ------
    XNATNotFoundError
        The project is not there, or hidden.
    XNATConnectionError, XNATUnavailableError
        The server does not answer any more; what was yielded before holds.
    """
    chosen = selection or Selection()
    check = _check_deep if deep else _check_head
    sessions = [one for one in list_experiments(conn, project) if chosen.takes_session(one)]
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for place, files in _upper_files(conn, project) if selection is None else ():
            yield from pool.map(lambda one: check(conn, *one), [(place, f) for f in files])
        for session in sessions:
            files = _session_files(conn, session, chosen)
            if deep:
                pairs = [(session.label, file) for file in files]
                yield from pool.map(lambda one: _check_deep(conn, *one), pairs)
            else:
                yield from _check_quick(conn, session, files, complete=selection is None)


def _upper_files(conn: Connection, project: str) -> Iterator[tuple[str, list[File]]]:
    """Yield the files of the project's own resources, and of those of its subjects."""
    own = uris.Address(project=project)
    if list_resources(conn, own):
        yield project, list_files(conn, own)
    for subject in list_subjects(conn, project):
        if subject.project in ("", project):
            address = uris.Address(project=project, subject=subject.id)
            if list_resources(conn, address):
                yield subject.label, list_files(conn, address)


def _session_files(conn: Connection, session: Experiment, chosen: Selection) -> list[File]:
    files = list_session_files(conn, session.id)
    if not (chosen.resources or chosen.scans or chosen.qualities):
        return files
    scans = list_scans(conn, session.id) if chosen.needs_scans else ()
    address = uris.Address(experiment=session.id)
    meant = {
        one.id
        for one in list_resources(conn, address, everything=True)
        if chosen.takes_resource(one, scans)
    }
    return [file for file in files if file.resource_id in meant]


def _found(place: str, file: File, state: str, detail: str = "") -> Checked:
    key = file_key(file)
    return Checked(
        place,
        key.category,
        key.parent,
        key.label,
        file.path,
        file.size,
        file.digest,
        state,
        detail,
        file.uri,
    )


def _check_deep(conn: Connection, place: str, file: File) -> Checked:
    """Download one file and compare; what differs is looked at twice (A 6.2).

    An outage is no fault of the file: if the server does not even tell who we are, that is raised.
    """
    result = _found(place, file, "unreadable")
    for _ in range(TRIES):
        try:
            size, md5 = _hash(conn, file)
        except XNATNotFoundError as error:
            return _found(place, file, "missing", str(error)[:200])
        except (XNATResponseError, XNATConnectionError, XNATIntegrityError) as error:
            result = _found(place, file, "unreadable", str(error)[:200])
            if not isinstance(error, XNATIntegrityError):
                conn.logged_in()
            continue
        if file.size is not None and size != file.size:
            result = _found(place, file, "size differs", f"{size} bytes instead of {file.size}")
        elif not file.md5:
            return _found(place, file, "size ok", f"no MD5 in the catalog; it is {md5}")
        elif md5 != file.digest:
            result = _found(place, file, "digest differs", f"MD5 {md5} instead of {file.digest}")
        else:
            return _found(place, file, "ok")
    return result


def _check_head(conn: Connection, place: str, file: File) -> Checked:
    """Ask for the length of one file, without its bytes."""
    path = uris.quote_listed(file.uri)
    try:
        answer = conn.request("HEAD", path, accepted=(200, 404))
    except (XNATResponseError, XNATConnectionError) as error:
        conn.logged_in()
        return _found(place, file, "unreadable", str(error)[:200])
    if answer.status == 404:
        return _found(place, file, "missing", "404")
    size = number(str(answer.headers.get("Content-Length", "")))
    if None not in (size, file.size) and size != file.size:
        return _found(place, file, "size differs", f"{size} bytes instead of {file.size}")
    return _found(place, file, "size ok")


def _hash(conn: Connection, file: File) -> tuple[int, str]:
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with open_file(conn, file.uri) as stream:
        for chunk in stream.chunks():
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()


def _check_quick(
    conn: Connection, session: Experiment, files: Iterable[File], *, complete: bool
) -> Iterator[Checked]:
    """Compare a session's catalogs with its folder on the server's disk (A 3.6)."""
    on_disk = _folder(conn, session)
    by_name: dict[str, list[str]] = {}
    for name in on_disk:
        by_name.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    for file in files:
        key = file_key(file)
        same = by_name.get(file.path.rsplit("/", 1)[-1], [])
        names = [name for name in same if name in on_disk and _is_at(name, key)]
        if not names:
            yield _found(session.label, file, "missing", "not in the session's folder")
            continue
        # Assessors with resources of one label cannot be told apart: the one that fits counts.
        chosen = next((name for name in names if on_disk[name] == file.size), names[0])
        size = on_disk.pop(chosen)
        if file.size in (None, size):
            yield _found(session.label, file, "size ok")
        else:
            detail = f"{size} bytes instead of {file.size}"
            yield _found(session.label, file, "size differs", detail)
    if not complete:
        return
    for name, size in on_disk.items():
        if not name.endswith("_catalog.xml"):
            yield Checked(session.label, "", "", "", name, size, "", "not catalogued")


def _folder(conn: Connection, session: Experiment) -> dict[str, int]:
    """Return path below the session's folder and size of everything on the server's disk."""
    path = uris.session_folder(session.id)
    query = {"recursive": "true", "format": "json"}
    found: dict[str, int] = {}
    for row in read_table(conn.request("GET", path, query=query)):
        _, _, inside = cell(row, "URI").partition("/DIR/")
        size = number(cell(row, "Size"))
        if inside and size is not None:
            found[inside] = size
    return found


def _is_at(name: str, key: Key) -> bool:
    """Say whether a path on the server's disk is that of a file: SCANS/1/DICOM/PATH, ..."""
    end = f"/{key.label}/{key.path}"
    if not name.endswith(end):
        return False
    before = name[: -len(end)].split("/")
    if key.category == "assessors":  # their folder may be called by the label
        return "ASSESSORS" in before
    return not key.parent or key.parent in before
