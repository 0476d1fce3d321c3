"""Making, changing and deleting items (wire contract A 5).

Orders that would do something else than they say are refused before they are sent: creating under
a subject that is not there (the server makes it), naming an experiment of another subject (the
server moves it), an assessor's label of another session (the server re-links it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import TYPE_CHECKING, Any

from .. import uris
from ..connection.login import Wait
from ..exceptions import XNATConflictError, XNATNotFoundError, XNATResponseError, XNATValueError
from .absence import find_experiment, find_subject
from .answers import read_text
from .documents import get_item, label_in, seek_item
from .listings import list_shares
from .records import Item

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "create_assessor",
    "create_experiment",
    "create_project",
    "create_scan",
    "create_subject",
    "delete_item",
    "field_query",
    "find_experiment",
    "find_subject",
    "get_item",
    "get_status",
    "rename",
    "run_action",
    "set_fields",
    "share",
    "shows",
    "unshare",
]

Fields = Mapping[str, Any]

_EATEN = frozenset({"method", "media", "language", "charset", "encoding"})
"""query keys that the server takes for itself (A 0.2)"""
_TYPE_OF_PART = re.compile(r"\[@xsi:type=[^\]]*\]")
_ELEMENT = re.compile(
    r"(?P<list>[^\[\]]+)\[(?:(?P<by>\w+)=(?P<name>[^\]]+)|(?P<number>\d+))\]/(?P<rest>[^\[\]]+)"
)


def field_query(fields: Fields | None) -> dict[str, str]:
    """Turn field values into what the query carries: true and false in small letters, None as
    `NULL`, which clears a field (A 5.2).

    Raises
    ------
    XNATValueError
        A key is one of those the server takes for itself, `method` for example (A 0.2).
    """
    query = {}
    for key, value in (fields or {}).items():
        if key in _EATEN:
            raise XNATValueError(f"field {key!r} cannot be set: the server takes it for itself")
        if value is None:
            text = "NULL"
        elif isinstance(value, bool):
            text = "true" if value else "false"
        else:
            text = str(value)
        query[key] = text
    return query


def _put(conn: Connection, path: str, query: Mapping[str, str]) -> tuple[int, str]:
    """PUT an item by its label, which may be repeated (A 8), and return status and body."""
    answer = conn.request(
        "PUT", path, query={**query, "req_format": "qs"}, accepted=(200, 201), repeatable=True
    )
    if answer.text.strip():
        return answer.status, read_text(answer)
    return answer.status, ""


def _put_for_id(conn: Connection, path: str, query: Mapping[str, str]) -> str:
    status, body = _put(conn, path, query)
    if not body or not re.fullmatch(r"\S+", body):
        raise XNATResponseError(
            f"PUT {path}: status {status}, but the answer {body[:80]!r} is no ID",
            status=status,
            method="PUT",
            path=path,
        )
    return body.rsplit("/", 1)[-1]


def create_project(conn: Connection, project: str, *, fields: Fields | None = None) -> str:
    """Create a project, or set fields of an existing one; return its ID (A 5.1).

    Raises
    ------
    XNATUnsafeNameError
        The ID has characters the server refuses.
    XNATConflictError
        The ID, name or secondary ID is taken by another project.
    XNATForbiddenError
        Our user may not create projects, or the ID belonged to a deleted one (A 5.5).
    """
    uris.check_label(project, "project ID")
    query = {"xsiType": "xnat:projectData", **field_query(fields)}
    _put(conn, uris.project(project), query)
    return project


def create_subject(
    conn: Connection, project: str, label: str, *, fields: Fields | None = None
) -> str:
    """Create a subject, or set fields of the one of this label; return its ID (A 5.1)."""
    uris.check_label(label, "subject label")
    query = {"xsiType": "xnat:subjectData", **field_query(fields)}
    return _put_for_id(conn, uris.subject(label, project), query)


def create_experiment(
    conn: Connection,
    project: str,
    subject: str,
    label: str,
    xsi_type: str,
    *,
    fields: Fields | None = None,
) -> str:
    """Create an experiment, or set fields of the one of this label; return its ID (A 5.1).

    Never create the experiment of a session that will come by import: archiving would conflict.

    Raises
    ------
    XNATNotFoundError
        The subject is not in the project (the server would silently create it, A 5.4).
    XNATConflictError
        The label belongs to an experiment of another subject (the server would move it, A 5.4) or
        of another type.
    """
    uris.check_label(label, "experiment label")
    owner = find_subject(conn, project, subject)
    if owner is None:
        raise XNATNotFoundError(
            f"project {project} has no subject {subject!r}: create it first",
            path=uris.subject(subject, project),
        )
    there = find_experiment(conn, project, label)
    if there is not None and there.subject_id not in ("", owner.id):
        raise XNATConflictError(
            f"experiment label {label!r} is taken in {project}: {there.id} belongs to subject "
            f"{there.subject_id}, not to {owner.id}",
            path=uris.experiment(label, project),
        )
    if there is not None and there.xsi_type != xsi_type:
        raise XNATConflictError(
            f"experiment {label!r} in {project} is a {there.xsi_type}, not a {xsi_type}",
            path=uris.experiment(label, project),
        )
    path = uris.experiment(label, project, owner.id)
    return _put_for_id(conn, path, {"xsiType": xsi_type, **field_query(fields)})


def create_scan(
    conn: Connection,
    experiment_id: str,
    scan: str,
    xsi_type: str,
    *,
    fields: Fields | None = None,
) -> None:
    """Create a scan, or set fields of the one of this ID (A 5.1).

    Raises
    ------
    XNATConflictError
        The scan there is of another type.
    """
    uris.check_label(scan, "scan ID")
    _put(conn, uris.scan(experiment_id, scan), {"xsiType": xsi_type, **field_query(fields)})


def create_assessor(
    conn: Connection,
    experiment_id: str,
    label: str,
    xsi_type: str,
    *,
    fields: Fields | None = None,
) -> str:
    """Create an assessor of an experiment given by its ID, or set fields; return its ID (B 11).

    Raises
    ------
    XNATConflictError
        The label belongs to another item of the project, which the server would take and re-link.
    """
    uris.check_label(label, "assessor label")
    session = get_item(conn, uris.experiment(experiment_id))
    project = session.text("project")
    there = seek_item(conn, uris.experiment(label, project))
    if there is not None:
        linked = there.text("imageSession_ID")
        if linked != session.text("ID"):
            raise XNATConflictError(
                f"label {label!r} is taken in {project} by {there.xsi_type} {there.text('ID')}"
                + (f" of session {linked}" if linked else ""),
                path=uris.experiment(label, project),
            )
    path = uris.assessor(experiment_id, label)
    return _put_for_id(conn, path, {"xsiType": xsi_type, **field_query(fields)})


def set_fields(
    conn: Connection,
    path: str,
    fields: Fields,
    *,
    xsi_type: str | None = None,
    reason: str | None = None,
) -> None:
    """Set fields of an existing item and read them back (A 5.2).

    Parameters
    ----------
    path : str
        The item's own address: of an experiment by its ID, never below another subject, which
        would move it (A 5.4).
    fields : mapping
        Full paths (`xnat:mrSessionData/note`), custom variables
        (`xnat:mrSessionData/fields/field[name=cohort]/field`) or shortcuts (`quality`).
        None clears.
    reason : str, optional
        Sites can demand one (`event_reason`).

    Raises
    ------
    XNATNotFoundError
        The item is not there (PUT would create it).
    XNATResponseError
        The server said yes and kept something else: it ignores unknown paths and paths of other
        types without a word.
    """
    if not fields:
        return
    if any(key == "label" or key.endswith("Data/label") for key in fields):
        raise XNATValueError("a label is changed by rename(), other fields would be lost with it")
    item = get_item(conn, path)
    query = field_query(fields)
    if xsi_type:
        query["xsiType"] = xsi_type
    elif not any(":" in key and "/" in key for key in fields):
        query["xsiType"] = item.xsi_type
    query["event_reason"] = reason or "changed by xnat-luigi"
    _put(conn, path, query)
    kept = get_item(conn, path)
    lost = [key for key, value in field_query(fields).items() if not shows(kept, key, value)]
    if lost:
        raise XNATResponseError(
            f"PUT {path}: the server said yes, but does not show {', '.join(lost)} as set; "
            f"it is no field of {kept.xsi_type}, or our user may not edit",
            status=200,
            method="PUT",
            path=path,
        )


def shows(item: Item, key: str, value: str) -> bool:
    """Say whether the item shows the value; keys whose place is unclear count as shown."""
    name = key.split("/", 1)[1] if ":" in key.split("/", 1)[0] and "/" in key else key
    name = _TYPE_OF_PART.sub("", name)
    element = _ELEMENT.fullmatch(name)
    if element is not None:
        return _element_shows(item, element, value)
    if "[" in name:
        return True
    if name in item.fields:
        return _same(item.fields[name], value)
    head, _, rest = name.partition("/")
    for child in item.listed(head):
        if rest in child.fields:
            return _same(child.fields[rest], value)
    if "/" not in key:
        return True  # a shortcut whose place in the document the contract does not name
    return value in ("", "NULL")


def _element_shows(item: Item, element: re.Match[str], value: str) -> bool:
    """Say whether an element of a list shows the value: `fields/field[name=cohort]/field`."""
    entries = item.listed(element["list"])
    if element["name"] is not None:
        name = element["name"].strip("'\"").lower()  # names of custom variables are lowered (A 5.2)
        entries = tuple(e for e in entries if unescape(e.text(element["by"])).lower() == name)
    if not entries:
        return value in ("", "NULL")
    # The order of a list is the database's (A 4): a number may mean another element afterwards.
    return any(_same(entry.fields.get(element["rest"]), value) for entry in entries)


def _same(stored: Any, value: str) -> bool:
    if stored is None:
        return value in ("", "NULL")
    text = unescape(str(stored))  # values of a query are stored escaped (A 0.2)
    if text == value or text.lower() == value.lower() == "true":
        return True
    try:
        return float(text) == float(value)
    except ValueError:
        return {text, value} <= {"true", "1"} or {text, value} <= {"false", "0"}


ACTIONS = {"activate": "active", "quarantine": "quarantine"}
"""what can be done to an item by a flag, and the status it has then"""


def get_status(conn: Connection, path: str) -> str:
    """Return an item's status as text: `active` or `quarantine` (A 4)."""
    return read_text(conn.request("GET", uris.status(path)))


def run_action(conn: Connection, path: str, action: str) -> None:
    """Activate an item or put it into quarantine, and look whether it is (A 5.2).

    Raises
    ------
    XNATNotFoundError
        The item is not there (PUT would create it).
    XNATResponseError
        The server said yes, but its status is another one.
    """
    if action not in ACTIONS:
        raise XNATValueError(f"action {action!r} is none of {', '.join(ACTIONS)}")
    get_item(conn, path)
    _put(conn, path, {action: "true", "event_reason": f"{action} by xnat-luigi"})
    status = get_status(conn, path)
    if not status.startswith(ACTIONS[action]):
        raise XNATResponseError(
            f"PUT {path}: the server said yes to {action}, but the status is {status!r}",
            status=200,
            method="PUT",
            path=path,
        )


def rename(conn: Connection, path: str, label: str) -> None:
    """Give an item a new label (A 5.4); the server copies its folder, which may take minutes.

    Raises
    ------
    XNATNotFoundError
        The item is not there (PUT would create it).
    XNATConflictError
        The label is taken, or a workflow on the item is open.
    XNATUnclearError
        The answer was lost: read the label before trying again.
    """
    uris.check_label(label)
    item = get_item(conn, path)
    if item.text("label") == label:
        return
    conn.request("PUT", path, query={"label": label}, wait=Wait.TRANSFER, repeatable=False)


def share(
    conn: Connection,
    path: str,
    project: str,
    *,
    label: str | None = None,
    primary: bool = False,
) -> None:
    """Share an item (its address) into a project (A 5.4); `primary` hands it over, files and all.

    Shared already under that label is no error.

    Raises
    ------
    XNATConflictError
        The label is taken there, or the item is shared under another one.
    XNATUnclearError
        The answer to a handing over was lost: read who owns the item before trying again.
    """
    query: dict[str, str] = {}
    if label is not None:
        query["label"] = uris.check_label(label)
    if primary:
        query["primary"] = "true"
    try:
        conn.request(
            "PUT",
            uris.share(path, project),
            query=query,
            wait=Wait.TRANSFER,
            repeatable=not primary,  # it moves files, and may be at it behind a lost answer
        )
    except XNATConflictError:
        if primary or not any(
            found.project == project and label in (None, found.label)
            for found in list_shares(conn, path)
        ):
            raise


def unshare(conn: Connection, path: str, project: str) -> None:
    """Take an item out of a project it is shared into (A 5.4).

    Raises
    ------
    XNATConflictError
        The project owns the item: this would delete it.
    """
    item = get_item(conn, path)
    if item.text("project") == project:
        raise XNATConflictError(f"{path} is owned by {project}: unsharing would delete it")
    if not any(found.project == project for found in list_shares(conn, path)):
        return
    conn.request(
        "DELETE",
        uris.share(path, project),
        accepted=(200, 404),
        wait=Wait.TRANSFER,
        repeatable=True,
    )


def _only_unshared(path: str, before: Item, after: Item) -> bool:
    """Say whether a deletion through a project that shares an item took it out of that project.

    Subjects and experiments are found by their ID below any project, shared there or not (A 7).
    """
    parts = path.split("/")
    if "projects" not in parts[:-2]:
        return False
    project = parts[parts.index("projects") + 1]
    return (
        before.text("project") != project
        and label_in(before, project) is not None
        and label_in(after, project) is None
    )


def delete_item(conn: Connection, path: str, *, remove_files: bool = True) -> None:
    """Delete an item and make sure that it is gone (A 5.6).

    Below a project that only shares the item this unshares it, and data stay. Use the address
    below its own project: IDs alone work from 1.8.5 on.

    Parameters
    ----------
    remove_files : bool
        False leaves files on the server's disk, where they collide with later ones.

    Raises
    ------
    XNATNotFoundError
        The item is not there.
    XNATForbiddenError
        Our user may not delete it.
    XNATResponseError
        The server said yes and still shows it.
    """
    item = get_item(conn, path)
    conn.request(
        "DELETE",
        path,
        query={"removeFiles": "true"} if remove_files else {},
        accepted=(200, 404),
        wait=Wait.TRANSFER,
        repeatable=True,
    )
    left = seek_item(conn, path)
    if left is not None and not _only_unshared(path, item, left):
        raise XNATResponseError(
            f"DELETE {path}: the server said yes, but still shows the item",
            status=200,
            method="DELETE",
            path=path,
        )
