"""The table of absence: what may be called «not there». The heart of the package.

===================================== ======================================== ==============
kind                                  absent means                             everything else
===================================== ======================================== ==============
project, subject, experiment, scan,   404, and the server still names our      raises
assessor                              user, and the parent can be read
resource, file                        not in the complete listing of a parent  raises
                                      that is confirmed to exist
prearchive row                        empty result, and the project can be     raises
                                      read
imported study                        no row with its StudyInstanceUID and no  raises
                                      experiment with that UID
===================================== ======================================== ==============

A lost login looks like 404, like an empty list or like a login page (wire contract A 1.3), a
hidden project like an absent one (A 4); the former is told apart by asking `/data/auth`, the
latter cannot be, so a missing *parent* is an error and never «absent».
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .. import uris
from ..exceptions import XNATIntegrityError, XNATLoginFailedError, XNATNotFoundError
from .contents import list_files, list_resources
from .documents import belongs, get_item, get_project, label_in, seek_item
from .listings import IMAGE_SESSIONS, list_assessors, list_experiments, list_subjects
from .prearchive import list_rows
from .records import Experiment, File, Item, PrearchiveRow, Resource, Subject

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "assessor_exists",
    "experiment_exists",
    "find_experiment",
    "find_file",
    "find_resource",
    "find_row",
    "find_row_at",
    "find_rows",
    "find_study",
    "find_subject",
    "project_exists",
    "scan_exists",
    "subject_exists",
]

Found = TypeVar("Found")


def _confirmed(conn: Connection, ask: Callable[[], Found | None]) -> Found | None:
    """Ask; when nothing is found, make sure that a live login was told so, else ask again."""
    for _ in range(2):
        found = ask()
        if found is not None or conn.logged_in():
            return found
    raise XNATLoginFailedError(
        f"{conn.server} shows nothing and does not know the user {conn.user!r} any more; "
        "log in again before asking whether something exists"
    )


def project_exists(conn: Connection, project: str) -> bool:
    """Say whether there is a project of this ID or alias that our user can see."""
    return seek_item(conn, uris.project(project)) is not None


def find_subject(conn: Connection, project: str, subject: str) -> Subject | None:
    """Return a subject of a project (own or shared) by label or ID, None when it is absent.

    Raises
    ------
    XNATNotFoundError
        The project is not there, or hidden.
    """
    item = seek_item(conn, uris.subject(subject, project))
    if item is None:
        get_project(conn, project)
        return None
    if belongs(conn, item, project):
        label = label_in(item, project) or item.text("label")
        return Subject(id=item.text("ID"), label=label, project=item.text("project"))

    # The server answered with another project's subject of that ID (A 7): only the list tells.
    def ask() -> Subject | None:
        rows = list_subjects(conn, project)
        return next((row for row in rows if subject in (row.label, row.id)), None)

    return _confirmed(conn, ask)


def subject_exists(conn: Connection, project: str, subject: str) -> bool:
    """Say whether a project has a subject of this label or ID, see `find_subject`."""
    return find_subject(conn, project, subject) is not None


def find_experiment(conn: Connection, project: str | None, experiment: str) -> Experiment | None:
    """Return an experiment of a project by label or ID, None when it is absent.

    Without a project `experiment` is an ID. An assessor is an experiment too.

    Raises
    ------
    XNATNotFoundError
        The project is not there, or hidden.
    """
    item = seek_item(conn, uris.experiment(experiment, project))
    if item is None:
        if project is not None:
            get_project(conn, project)
        return None
    if project is None or belongs(conn, item, project):
        return _experiment_of(item, project)

    # The server answered with another project's experiment of that ID (A 7): only the list tells.
    def ask() -> Experiment | None:
        rows = list_experiments(conn, project)
        return next((row for row in rows if experiment in (row.label, row.id)), None)

    return _confirmed(conn, ask)


def _experiment_of(item: Item, project: str | None) -> Experiment:
    label = label_in(item, project) if project else None
    return Experiment(
        id=item.text("ID"),
        label=label or item.text("label"),
        xsi_type=item.xsi_type,
        project=item.text("project"),
        subject_id=item.text("subject_ID"),
        date=item.text("date"),
        uid=item.text("UID"),
    )


def experiment_exists(conn: Connection, project: str | None, experiment: str) -> bool:
    """Say whether there is an experiment of this label or ID, see `find_experiment`."""
    return find_experiment(conn, project, experiment) is not None


def scan_exists(conn: Connection, experiment_id: str, scan: str) -> bool:
    """Say whether an experiment, given by its ID, has a scan of this ID.

    Raises
    ------
    XNATNotFoundError
        The experiment is not there, or hidden.
    """
    if seek_item(conn, uris.scan(experiment_id, scan)) is not None:
        return True
    get_item(conn, uris.experiment(experiment_id))
    return False


def assessor_exists(conn: Connection, experiment_id: str, assessor: str) -> bool:
    """Say whether an experiment, given by its ID, has an assessor of this label or ID.

    Raises
    ------
    XNATNotFoundError
        The experiment is not there, or hidden.
    """
    item = seek_item(conn, uris.assessor(experiment_id, assessor))
    if item is None:
        get_item(conn, uris.experiment(experiment_id))
        return False
    if item.text("imageSession_ID") == experiment_id:
        return True

    # IDs are looked up in the whole site: it may be another session's.
    def ask() -> bool | None:
        rows = list_assessors(conn, experiment_id)
        return any(assessor in (row.label, row.id) for row in rows) or None

    return bool(_confirmed(conn, ask))


def find_resource(conn: Connection, address: uris.Address, label: str) -> Resource | None:
    """Return the resource of a place by label or numeric ID, None when it is absent.

    Raises
    ------
    XNATNotFoundError
        The place itself is not there.
    XNATIntegrityError
        The place has two resources of this label, as racing creators leave them (A 6.1): name one
        by its numeric ID.
    """

    def ask() -> Resource | None:
        rows = list_resources(conn, address)
        same = [row for row in rows if row.label == label]
        if len(same) > 1:
            ids = ", ".join(row.id for row in same)
            raise XNATIntegrityError(
                f"{address.path()} has {len(same)} resources {label!r}: name one by its ID ({ids})"
            )
        return same[0] if same else next((row for row in rows if row.id == label), None)

    found = _confirmed(conn, ask)
    if found is None:
        get_item(conn, address.item())
    return found


def find_file(conn: Connection, address: uris.Address, label: str, path: str) -> File | None:
    """Return a file of a resource by its path, None when the file or the resource is absent.

    Raises
    ------
    XNATNotFoundError
        The place of the resource is not there.
    """

    def ask() -> File | None:
        try:
            rows = list_files(conn, address, label)
        except XNATNotFoundError:
            if find_resource(conn, address, label) is None:
                return None
            raise
        return next((row for row in rows if row.path == path), None)

    return _confirmed(conn, ask)


def find_rows(
    conn: Connection, project: str, *, tag: str | None = None, name: str | None = None
) -> list[PrearchiveRow]:
    """Return the prearchive rows of a project, of one StudyInstanceUID or session label.

    An empty answer is confirmed: the login lives and the project can be read.

    Raises
    ------
    XNATNotFoundError
        The project is not there, or hidden.
    """

    def ask() -> list[PrearchiveRow] | None:
        rows = [
            row
            for row in list_rows(conn, project)
            if (tag is None or row.tag == tag) and (name is None or row.name == name)
        ]
        return rows or None

    found = _confirmed(conn, ask)
    if found is None and project != "Unassigned":
        get_project(conn, project)
    return found or []


def find_row(
    conn: Connection, project: str, uid: str, *, name: str | None = None
) -> PrearchiveRow | None:
    """Return the (oldest) prearchive row of a StudyInstanceUID, None when it is absent.

    `name` is the session label; only rows of it count.
    """
    rows = find_rows(conn, project, tag=uid, name=name)
    return min(rows, key=lambda row: row.timestamp) if rows else None


def find_row_at(
    conn: Connection, project: str, timestamp: str, folder: str
) -> PrearchiveRow | None:
    """Return the prearchive row at a place, None when it is absent.

    Servers 1.7.0 to 1.7.2 cannot answer for one row (B 2.2), so the project's list is read.
    """
    rows = find_rows(conn, project)
    return next((r for r in rows if (r.timestamp, r.folder) == (timestamp, folder)), None)


def find_study(
    conn: Connection, project: str, uid: str, *, name: str | None = None
) -> PrearchiveRow | Experiment | None:
    """Return where a study is: its prearchive row, else its experiment, None when it is absent.

    The prearchive is asked first: a study that is being archived meanwhile is then seen in one of
    the two places. A gap of a second or so between the row's removal and the experiment's
    appearance remains (B 3.6): ask again before calling a study lost.

    Parameters
    ----------
    uid : str
        The StudyInstanceUID.
    name : str, optional
        The session label; only rows and experiments of it count.
    """
    row = find_row(conn, project, uid, name=name)
    if row is not None:
        return row

    def ask() -> Experiment | None:
        sessions = list_experiments(
            conn, project, xsi_type=IMAGE_SESSIONS, columns=("UID",), filters={"UID": uid}
        )
        for session in sessions:
            if session.uid == uid and name in (None, session.label):
                return session
        return None

    return _confirmed(conn, ask)
