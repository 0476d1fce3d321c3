"""Columns and filters of listings (A 3.3, 3.4): which value of an item a name means."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .state import Item, Resource, State
from .types import field_type, knows

_VALIDATION = {f"validation_{n}": f"validation/{n}" for n in ("method", "status", "date", "notes")}
__all__ = ["SHORTCUTS", "Column", "UnknownColumn", "matches", "read_column", "rows_of"]

_META = {
    "insert_date": "meta/insert_date",
    "insert_user": "meta/insert_user/login",
    "last_modified": "meta/last_modified",
}
_EXPERIMENT = (
    "ID label project visit_id visit protocol date time note scanner operator dcmAccessionNumber "
    "dcmPatientId dcmPatientName session_type modality UID coil fieldStrength marker stabilization "
    "subject_ID subject_label subject_project session_ID session_label session_project xsiType"
)
_SUBJECT = "ID label project group src"
_DEMOGRAPHICS = "dob yob age gender handedness ses education race ethnicity weight height"
_SCAN = (
    "ID type UID note quality condition series_description documentation scanner modality frames "
    "operator xsiType"
)
SHORTCUTS: dict[str, dict[str, str]] = {
    "project": {
        **{n: n for n in ["ID", "secondary_ID", "name", "description", "keywords"]},
        "pi_firstname": "PI/firstname",
        "pi_lastname": "PI/lastname",
        "alias": "aliases/alias/alias",
        **_META,
    },
    "subject": {
        **{n: n for n in _SUBJECT.split()},
        **{n: f"demographics/{n}" for n in _DEMOGRAPHICS.split()},
        "pi_firstname": "investigator/firstname",
        "pi_lastname": "investigator/lastname",
        **_META,
    },
    "experiment": {
        **{n: n for n in _EXPERIMENT.split()},
        "pi_firstname": "investigator/firstname",
        "pi_lastname": "investigator/lastname",
        **_VALIDATION,
        "tracer_name": "tracer/name",
        **_META,
    },
    "scan": {
        **{n: n for n in _SCAN.split()},
        "scanTime": "parameters/scanTime",
        **_VALIDATION,
        **_META,
    },
}
SHORTCUTS["assessor"] = SHORTCUTS["experiment"]
_SHORT = {
    (kind, path.lower()): name
    for kind in ("experiment", "assessor")
    for name, path in (
        ("subject_ID", "xnat:subjectAssessorData/subject_ID"),
        *((name, f"xnat:imageSessionData/{name}") for name in ("UID", "scanner", "modality")),
    )
}
"""Paths that have a shortcut: its name is the column's key (A 3.3). Not all are determined."""
SCAN_KEY = "xnat_imagescandata_id"
_ABSTRACT = {"xnat:experimentdata", "xnat:subjectassessordata", "xnat:imagesessiondata"}


class UnknownColumn(Exception):
    """A path that the type does not have."""


@dataclass(frozen=True)
class Column:
    """One column: its key in the answer, the type its path begins with, the path in lower case.

    `variable` is the name in `fields/field[name=...]/field`: that custom variable only.
    """

    key: str
    xsi_type: str
    path: str
    variable: str = ""


_VARIABLE = re.compile(r"fields/field\[name=['\"]?([^'\"\]]+)['\"]?\]/field\Z", re.IGNORECASE)


def read_column(kind: str, name: str) -> Column | None:
    """What a name asks for; None for an unknown shortcut, which the server ignores.

    Raises: `UnknownColumn` for a path that its type does not have.
    """
    if "/" in name:
        xsi_type, _, path = name.partition("/")
        typed = _spelled(xsi_type)
        plain = re.sub(r"\[[^\]]*\]", "", path)
        free = ("meta/", "xnat_", "fields/field/")  # the text of a custom variable: field/field
        known = plain.lower().startswith(free) or not knows(typed)
        if not known and field_type(typed, plain) is None:
            raise UnknownColumn(name)
        key = _SHORT.get((kind, name.lower()), name.lower())
        named = _VARIABLE.match(path)
        if named:
            return Column(key, xsi_type.lower(), "fields/field/field", named[1].lower())
        return Column(key, xsi_type.lower(), path.lower())
    path = name if name == SCAN_KEY else SHORTCUTS[kind].get(name, "")
    return Column(name, "", path.lower()) if path else None


def _spelled(xsi_type: str) -> str:
    from .types import known_types

    lower = xsi_type.lower()
    return next((one for one in known_types() if one.lower() == lower), xsi_type)


# Values ------------------------------------------------------------------------------------------


def _lowered(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in fields.items()}


def label_in(state: State, item: Item, project: str) -> str:
    """The label an item has in a project it belongs to or is shared into."""
    if project and project != item.project:
        for shared, label in state.items.shares(item):
            if shared == project and label:
                return label
    return item.label


def _simple(state: State, item: Item, column: Column, project: str) -> Any:
    path = column.path
    if path.startswith("meta/"):
        return _meta(item, column)
    if path in ("subject_id", "subject_label", "subject_project"):
        subject = _subject(state, item)
        if subject is None:
            return ""
        if path == "subject_label":
            return label_in(state, subject, project)
        return subject.id if path == "subject_id" else subject.project
    if path in ("session_id", "session_label", "imagesession_id", "image_session_id"):
        session = state.items.peek(item.parent) if item.kind != "experiment" else None
        if session is None:
            return ""
        return label_in(state, session, project) if path == "session_label" else session.id
    direct = {
        SCAN_KEY: item.pk,
        "id": item.id,
        "label": label_in(state, item, project),
        "project": (project or item.project) if item.kind != "subject" else item.project,
        "xsitype": item.xsi_type,
    }
    if path in direct and not (path == "project" and item.kind == "scan"):
        return direct[path]
    found = _lowered(item.fields).get(path)
    if found is None and path.startswith(("demographics/", "investigator/", "pi/")):
        head, _, rest = path.partition("/")
        for member in _lowered(item.children).get(head, ()):
            return _lowered(member).get(rest)
    return found


def _subject(state: State, item: Item) -> Item | None:
    found: Item | None = item
    while found is not None and found.kind != "subject":
        found = state.items.peek(found.parent)
    return found


def _meta(item: Item, column: Column) -> str:
    if column.path == "meta/insert_date":
        return item.inserted
    if column.path.startswith("meta/insert_user"):
        return item.inserter
    concrete = item.kind == "subject" or (column.xsi_type and column.xsi_type not in _ABSTRACT)
    return item.deep_modified if concrete else item.modified


@functools.lru_cache(maxsize=4096)
def _collection(column: Column) -> str:
    """The repeated thing a column reaches into, or nothing (A 3.3: one row per combination)."""
    path = column.path
    if column.xsi_type.endswith("scandata"):
        return "scan/file" if path.startswith("file/") else "scan"
    for mark, name in (
        ("out/file/", "out"),
        ("in/file/", "in"),
        ("resources/resource/", "resource"),
        ("fields/field/", "fields"),
        ("sharing/share/", "share"),
        ("file/", "file"),
    ):
        if path.startswith(mark) or f"/{mark}" in f"/{path}":
            return name
    return ""


def rows_of(
    state: State, item: Item, columns: Iterable[Column], project: str = "", root: str = ""
) -> list[dict[str, Any]]:
    """The rows of one item: more than one where a column reaches into a collection."""
    asked = list(columns)
    single: dict[str, Any] = {}
    groups: dict[str, list[Column]] = {}
    named = [column for column in asked if column.variable]
    asked = [column for column in asked if not column.variable]
    for column in asked:
        name = (
            ""
            if item.kind == "scan"
            and column.xsi_type.endswith("scandata")
            and (not column.path.startswith("file/"))
            else _collection(column)
        )
        if name:
            groups.setdefault(name, []).append(column)
        else:
            single[column.key] = _simple(state, item, column, project)
    if "scan/file" in groups:
        groups["scan/file"] += groups.pop("scan", [])
    single.update({column.key: _variable(item, column.variable) for column in named})
    if not groups:
        return [single]
    members = [_members(state, item, name, wanted) for name, wanted in groups.items()]
    return [
        {**single, **{k: v for part in parts for k, v in part.items()}}
        for parts in itertools.product(*members)
    ]


def _variable(item: Item, name: str) -> Any:
    for member in _lowered(item.children).get("fields/field", ()):
        if str(_lowered(member).get("name", "")).lower() == name:
            return _lowered(member).get("field", "")
    return ""


def _members(state: State, item: Item, name: str, columns: list[Column]) -> list[dict[str, Any]]:
    """What a LEFT JOIN with a collection gives: at least one row, empty where there is nothing."""
    found: list[dict[str, Any]] = []
    for values in _entries(state, item, name):
        found.append({column.key: values(column) for column in columns})
    return found or [{column.key: "" for column in columns}]


Value = Callable[[Column], Any]


def _entries(state: State, item: Item, name: str) -> Iterable[Value]:
    if name == "scan":
        for scan in state.items.below(item, "scan"):
            yield functools.partial(_of_scan, state, scan, None)
    elif name == "scan/file":
        scans = [item] if item.kind == "scan" else state.items.below(item, "scan")
        for scan in scans:
            found: list[Resource | None] = [*state.resources.of(scan)]
            for resource in found or [None]:
                yield functools.partial(_of_scan, state, scan, resource)
    elif name in ("out", "in", "resource", "file"):
        direction = name if name in ("out", "in") else ""
        for one in state.resources.of(item, direction):
            yield functools.partial(_of_resource, one)
    elif name == "share":
        for project, label in state.items.shares(item):
            yield functools.partial(_of_member, {"project": project, "label": label})
    else:
        for member in _lowered(item.children).get("fields/field", ()):
            yield functools.partial(_of_member, member)


def _of_scan(state: State, scan: Item, resource: Resource | None, column: Column) -> Any:
    if column.path.startswith("file/"):
        return _of_resource(resource, column)
    return _simple(state, scan, column, "")


def _of_member(member: Mapping[str, Any], column: Column) -> Any:
    name = column.path.rpartition("/")[2]
    return _lowered(member).get("project" if name == "share" else name, "")


def _of_resource(resource: Resource | None, column: Column) -> Any:
    if resource is None:
        return ""
    name = column.path.rpartition("/")[2]
    if name == "xnat_abstractresource_id":
        return resource.pk
    return getattr(resource, name, "")


# Filters -----------------------------------------------------------------------------------------


_DATE = re.compile(r"(\d\d)/(\d\d)/(\d{4})")
_DATES = ("date", "dob", "insert_date", "last_modified")


def matches(column: Column, wanted: str, value: str) -> bool:
    """Whether a value meets a filter: a list, a wildcard, a range or equality (A 3.4)."""
    dated = column.path.rpartition("/")[2] in _DATES
    return any(_matches_one(one.strip(), value, dated) for one in wanted.split(","))


def _matches_one(wanted: str, value: str, dated: bool) -> bool:
    dates = _DATE.findall(wanted)
    if dated and not dates:
        return False  # an ISO date falls apart at its first hyphen
    if dates:
        first = "{2}-{0}-{1}".format(*dates[0])
        last = "{2}-{0}-{1}".format(*dates[-1])
        return first <= value[:10] <= last
    numbers = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", wanted)
    if numbers and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(numbers[1]) <= float(value) <= float(numbers[2])
    if "*" in wanted or "%" in wanted:
        pattern = wanted.replace("%", "*").lower()
        return fnmatch.fnmatchcase(value.lower(), f"*{pattern}*")
    return wanted == value
