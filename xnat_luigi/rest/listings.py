"""Listings: one request each, complete or an error (wire contract A 3).

Nothing here pages, because pages have no order (A 3.4), and nothing relies on the server's habit
of narrowing a listing by the columns asked for (A 3.3): a column that would narrow needs a type.

Whether something is *absent* is not for a listing alone to say: see `absence`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import XNATNotFoundError, XNATResponseError, XNATValueError
from .answers import cell, read_table
from .contents import list_files, list_resources, list_session_files
from .documents import get_project
from .records import Assessor, Experiment, Project, Scan, Share, Subject, User

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "IMAGE_SESSIONS",
    "list_assessors",
    "list_experiments",
    "list_files",
    "list_projects",
    "list_resources",
    "list_scan_types",
    "list_scanners",
    "list_scans",
    "list_session_files",
    "list_session_stamps",
    "list_sessions",
    "list_shares",
    "list_subjects",
    "list_users",
    "make_experiment",
    "merge_rows",
    "select_rows",
]

log = logging.getLogger(__name__)

IMAGE_SESSIONS = "xnat:imageSessionData"

_NARROWING = frozenset(
    {
        "UID",
        "scanner",
        "operator",
        "modality",
        "session_type",
        "dcmAccessionNumber",
        "dcmPatientId",
        "dcmPatientName",
        "session_ID",
        "session_label",
        "session_project",
        "fieldStrength",
        "coil",
        "marker",
        "stabilization",
    }
)
"""shortcuts that make the server drop rows of other types without a word (A 3.3)"""

_EXPERIMENT_COLUMNS = (
    "ID",
    "label",
    "project",
    "xsiType",
    "date",
    "subject_ID",
    "subject_label",
    "insert_date",
)
_SUBJECT_COLUMNS = ("ID", "label", "project", "insert_date", "last_modified")

Filters = Mapping[str, str | Sequence[str]]


def select_rows(
    conn: Connection,
    path: str,
    columns: Iterable[str] = (),
    filters: Filters | None = None,
    *,
    xsi_type: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> list[dict[str, str]]:
    """Return the rows of any listing with the columns asked for (A 3.3, 3.4).

    Parameters
    ----------
    path : str
        A listing's address, made by `uris`.
    columns : iterable of str
        Shortcuts and full paths. The rows have these keys as they were asked for, though the
        server answers full paths in lower case; a listing's own further keys stay.
    filters : mapping, optional
        Passed on; a sequence of values means one of them. Scans, assessors, resources and files
        ignore filters (A 3.4): there they are refused.
    xsi_type : str, optional
        The root type, subtypes included. Needed when a column or filter belongs to a subtype.
    extra : mapping, optional
        Further keys of the query.

    Raises
    ------
    XNATValueError
        The server does not know a column, or a column or filter would narrow the listing without
        a word.
    XNATResponseError
        The body is empty (an unknown path as a column) or no table.
    """
    asked = list(dict.fromkeys(columns))
    wanted = dict(filters or {})
    tail = path.rstrip("/").rsplit("/", 1)[-1]
    if wanted and tail in {"scans", "assessors", "reconstructions"}:
        raise XNATValueError(f"the server ignores filters on {tail}: filter the rows instead")
    if tail == "experiments":
        _refuse_narrowing([*asked, *wanted], xsi_type)
    query: list[tuple[str, str]] = [("format", "json")]
    if xsi_type:
        query.append(("xsiType", xsi_type))
    if asked:
        query.append(("columns", ",".join(asked)))
    for key, value in wanted.items():
        query.append((key, value if isinstance(value, str) else ",".join(value)))
    query.extend((extra or {}).items())
    rows = read_table(conn.request("GET", path, query=query))
    for name in asked:
        if rows and not any(name in row or name.lower() in row for row in rows):
            raise XNATValueError(f"{path}: the server does not know the column {name!r}")
    for row in rows:
        for name in asked:
            if name not in row:
                row[name] = cell(row, name)
    return rows


def _refuse_narrowing(names: Iterable[str], xsi_type: str | None) -> None:
    if xsi_type:
        return
    for name in names:
        if name in _NARROWING or name.startswith("tracer_") or "/" in name:
            raise XNATValueError(
                f"the column {name!r} belongs to some types only and would make the server leave "
                f"out all others: say which type is meant, for example xsi_type={IMAGE_SESSIONS!r}"
            )


def merge_rows(
    rows: Iterable[Mapping[str, str]], keys: Sequence[str], parts: Mapping[str, Sequence[str]]
) -> list[dict[str, object]]:
    """Merge the rows of a join: one row per child combination becomes one row per item (A 3.3).

    Parameters
    ----------
    rows : iterable of mapping
        As `select_rows` gives them.
    keys : sequence of str
        The columns that name an item, as a rule `["ID"]`.
    parts : mapping of str to sequence of str
        Name of a list in the result, and the columns that make one entry of it. Entries whose
        columns are all empty (an item without children) are left out, equal ones appear once.

    Returns
    -------
    list of dict
        The first row of each item, with the columns of the parts replaced by lists of dicts.
    """
    merged: dict[tuple[str, ...], dict[str, object]] = {}
    seen: dict[tuple[str, ...], dict[str, dict[tuple[str, ...], dict[str, str]]]] = {}
    inside = {column for columns in parts.values() for column in columns}
    for row in rows:
        key = tuple(cell(dict(row), name) for name in keys)
        if key not in merged:
            merged[key] = {k: v for k, v in row.items() if k not in inside}
            seen[key] = {name: {} for name in parts}
        for name, columns in parts.items():
            values = tuple(cell(dict(row), column) for column in columns)
            if any(values):
                seen[key][name][values] = dict(zip(columns, values, strict=True))
    for key, item in merged.items():
        for name in parts:
            item[name] = list(seen[key][name].values())
    return list(merged.values())


def _with_id(rows: Iterable[dict[str, str]], what: str, *names: str) -> list[dict[str, str]]:
    """Leave out rows without an ID, aloud (A 8, row 7)."""
    kept = []
    for row in rows:
        if cell(row, *(names or ("ID",))):
            kept.append(row)
        else:
            log.warning("the server lists a %s without an ID: %s", what, cell(row, "label", "URI"))
    return kept


def list_projects(conn: Connection) -> list[Project]:
    """Return the projects that our user can read (A 3.2)."""
    rows = read_table(conn.request("GET", uris.PROJECTS, query={"format": "json"}))
    return [
        Project(
            id=row["ID"],
            name=cell(row, "name"),
            secondary_id=cell(row, "secondary_ID"),
            description=cell(row, "description"),
            uri=cell(row, "URI"),
        )
        for row in _with_id(rows, "project")
    ]


@contextmanager
def _project_named(conn: Connection, project: str | None) -> Iterator[None]:
    """Say of a missing project that it is that; the server's words speak of an experiment."""
    try:
        yield
    except XNATNotFoundError:
        if project is not None:
            get_project(conn, project)
        raise


def list_subjects(
    conn: Connection, project: str | None = None, *, filters: Filters | None = None
) -> list[Subject]:
    """Return the subjects of a project (own and shared), or all that our user can read.

    One request; `last_modified` is the stamp that moves with any change below the subject, the
    cheapest detector of changes in a whole project (A 3.7).

    Raises
    ------
    XNATNotFoundError
        There is no such project, or our user cannot see it.
    """
    with _project_named(conn, project):
        rows = select_rows(conn, uris.subjects(project), _SUBJECT_COLUMNS, filters)
    return [
        Subject(
            id=row["ID"],
            label=cell(row, "label"),
            project=cell(row, "project"),
            last_modified=cell(row, "last_modified"),
            insert_date=cell(row, "insert_date"),
            uri=cell(row, "URI"),
        )
        for row in _with_id(rows, "subject")
    ]


def list_experiments(
    conn: Connection,
    project: str | None = None,
    *,
    subject: str | None = None,
    xsi_type: str | None = None,
    columns: Iterable[str] = (),
    filters: Filters | None = None,
) -> list[Experiment]:
    """Return the experiments of a project (own and shared), without image assessors (A 3.2).

    Parameters
    ----------
    project : str, optional
        Its ID; None for all experiments our user can read.
    subject : str, optional
        ID or label of a subject in the project.
    xsi_type : str, optional
        Only this type and its subtypes. Needed for `columns` and `filters` that belong to a type.
    columns : iterable of str
        Further columns; what has no field of its own appears in `Experiment.more`. With several
        child rows use `select_rows` and `merge_rows`.
    filters : mapping, optional
        See `select_rows`.

    Raises
    ------
    XNATNotFoundError
        There is no such project (or subject), or our user cannot see it.
    """
    own: tuple[str, ...] = _EXPERIMENT_COLUMNS
    if project is None and xsi_type is None:
        own = tuple(name for name in own if not name.startswith("subject_"))  # these would narrow
    further = [name for name in columns if name not in own]
    path = uris.experiments(project, subject)
    with _project_named(conn, project):
        rows = select_rows(conn, path, [*own, *further], filters, xsi_type=xsi_type)
    return [make_experiment(row, further) for row in _with_id(rows, "experiment")]


def make_experiment(row: dict[str, str], further: Iterable[str] = ()) -> Experiment:
    """Make the record of a row of an experiment listing."""
    return Experiment(
        id=cell(row, "ID"),
        label=cell(row, "label"),
        xsi_type=cell(row, "xsiType"),
        project=cell(row, "project"),
        subject_id=cell(row, "subject_ID"),
        subject_label=cell(row, "subject_label"),
        date=cell(row, "date"),
        uid=cell(row, "UID"),
        insert_date=cell(row, "insert_date"),
        last_modified=cell(row, "last_modified"),
        uri=cell(row, "URI"),
        more={name: cell(row, name) for name in further},
    )


def list_sessions(
    conn: Connection,
    project: str,
    *,
    subject: str | None = None,
    xsi_type: str = IMAGE_SESSIONS,
    filters: Filters | None = None,
) -> list[Experiment]:
    """Return the image sessions of a project with their StudyInstanceUID (`uid`).

    `xsi_type` names the type, `xnat:imageSessionData` by default, so that no row vanishes because
    of the column `UID` (A 3.3).
    """
    return list_experiments(
        conn, project, subject=subject, xsi_type=xsi_type, columns=("UID",), filters=filters
    )


def list_session_stamps(conn: Connection, project: str, xsi_type: str) -> dict[str, str]:
    """Return, by experiment ID, the stamps that move with scans, resources and assessors.

    Only concrete types have such a stamp (A 3.7): `xnat:mrSessionData`, never
    `xnat:imageSessionData`, whose stamp misses new scans and files.

    Raises
    ------
    XNATValueError
        `xsi_type` is one of the abstract types.
    """
    if xsi_type in {IMAGE_SESSIONS, "xnat:experimentData", "xnat:subjectAssessorData"}:
        raise XNATValueError(f"{xsi_type} is abstract: its stamps miss changes of scans and files")
    column = f"{xsi_type}/meta/last_modified"
    path = uris.experiments(project)
    rows = select_rows(conn, path, ("ID", column), xsi_type=xsi_type)
    return {row["ID"]: row[column] for row in _with_id(rows, "experiment")}


def list_scans(conn: Connection, experiment_id: str) -> list[Scan]:
    """Return the scans of an experiment, given by its ID.

    Raises
    ------
    XNATNotFoundError
        There is no such experiment. The server answers 500 to that (A 3.5), so the experiment is
        asked for before the error is named.
    """
    try:
        rows = read_table(conn.request("GET", uris.scans(experiment_id), query={"format": "json"}))
    except XNATResponseError as error:
        if error.status == 500:
            conn.request("GET", uris.experiment(experiment_id), query={"format": "json"})
        raise
    return [
        Scan(
            id=row["ID"],
            xsi_type=cell(row, "xsiType"),
            type=cell(row, "type"),
            quality=cell(row, "quality"),
            series_description=cell(row, "series_description"),
            note=cell(row, "note"),
            experiment_id=experiment_id,
            uri=cell(row, "URI"),
        )
        for row in _with_id(rows, "scan")
    ]


def list_assessors(conn: Connection, experiment_id: str) -> list[Assessor]:
    """Return the assessors of an experiment, given by its ID (A 3.2)."""
    rows = read_table(conn.request("GET", uris.assessors(experiment_id), query={"format": "json"}))
    return [
        Assessor(
            id=row["ID"],
            label=cell(row, "label"),
            xsi_type=cell(row, "xsiType"),
            project=cell(row, "project"),
            session_id=cell(row, "session_ID") or experiment_id,
            session_label=cell(row, "session_label"),
            date=cell(row, "date"),
            insert_date=cell(row, "insert_date"),
            uri=cell(row, "URI"),
        )
        for row in _with_id(rows, "assessor")
    ]


def list_shares(conn: Connection, item: str) -> list[Share]:
    """Return the projects that an item (its address) belongs to or is shared into (A 3.2)."""
    rows = read_table(conn.request("GET", uris.shares(item), query={"format": "json"}))
    return [Share(row["ID"], cell(row, "label")) for row in _with_id(rows, "share")]


def list_scan_types(conn: Connection, project: str | None = None) -> list[str]:
    """Return the types of scans that a project, or the site, has (B 10)."""
    rows = read_table(conn.request("GET", uris.scan_types(project), query={"format": "json"}))
    return [value for row in rows if (value := cell(row, "type"))]


def list_scanners(conn: Connection, project: str | None = None) -> list[str]:
    """Return the scanners that the sessions of a project, or the site, name (B 10)."""
    rows = read_table(conn.request("GET", uris.scanners(project), query={"format": "json"}))
    return [value for row in rows if (value := cell(row, "scanner"))]


def list_users(conn: Connection) -> list[User]:
    """Return the enabled users (B 8).

    Raises
    ------
    XNATForbiddenError
        The site shows them to administrators only.
    """
    rows = read_table(conn.request("GET", uris.USERS, query={"format": "json"}))
    return [
        User(
            login=cell(row, "login"),
            id=cell(row, "xdat_user_id"),
            first_name=cell(row, "firstname"),
            last_name=cell(row, "lastname"),
            email=cell(row, "email"),
        )
        for row in rows
    ]
