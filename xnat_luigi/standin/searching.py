"""XML searches over items: the document, its conditions, the fields of a type (wire contract B 9).

Which display fields a type has is set up per site and stated by no document; those here are the
ones that clients ask for by name. Every path of a type's schema can be asked for as well.
"""

from __future__ import annotations

import fnmatch
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .columns import Column, UnknownColumn, read_column, rows_of
from .render.tables import cell
from .state import Item, State
from .types import is_a, known_types
from .wire import Refusal

__all__ = ["Field", "Search", "describe_search", "display_fields", "kind_of", "read_search", "run"]

XDAT = "{http://nrg.wustl.edu/security}"
_PROJECT = {
    "ID": "ID",
    "NAME": "name",
    "SECONDARY_ID": "secondary_ID",
    "DESCRIPTION": "description",
    "KEYWORDS": "keywords",
    "INSERT_DATE": "insert_date",
    "INSERT_USER": "insert_user",
}
_SUBJECT = {
    "SUBJECT_ID": "ID",
    "SUBJECT_LABEL": "label",
    "PROJECT": "project",
    "GENDER": "gender",
    "HANDEDNESS": "handedness",
    "YOB": "yob",
    "GROUP": "group",
    "INSERT_DATE": "insert_date",
    "INSERT_USER": "insert_user",
}
_EXPERIMENT = {
    "ID": "ID",
    "EXPT_ID": "ID",
    "LABEL": "label",
    "PROJECT": "project",
    "DATE": "date",
    "SUBJECT_ID": "subject_ID",
    "SUBJECT_LABEL": "subject_label",
    "INSERT_DATE": "insert_date",
    "INSERT_USER": "insert_user",
    "LAST_MODIFIED": "last_modified",
}
_SESSION = {"SESSION_ID": "ID", **_EXPERIMENT, "SCANNER": "scanner", "UID": "UID"}
_SCAN = {"ID": "ID", "TYPE": "type", "QUALITY": "quality"}


@dataclass(frozen=True)
class Field:
    """A field of a type: `key` is its name in an answer, `column` its value."""

    xsi_type: str
    field_id: str
    key: str
    header: str
    column: Column


Test = Callable[[State, Item], bool]


@dataclass(frozen=True)
class Search:
    """A search that was read: type, fields, and what must hold."""

    root: str
    fields: tuple[Field, ...]
    test: Test


def _spelled(xsi_type: str) -> str:
    lower = xsi_type.strip().lower()
    return next((one for one in known_types() if one.lower() == lower), "")


def kind_of(xsi_type: str) -> str:
    """project, subject, experiment, assessor or scan; "" for what is no item."""
    for base, kind in (
        ("xnat:projectData", "project"),
        ("xnat:subjectData", "subject"),
        ("xnat:imageAssessorData", "assessor"),
        ("xnat:experimentData", "experiment"),
        ("xnat:imageScanData", "scan"),
    ):
        if is_a(xsi_type, base):
            return kind
    return ""


def display_fields(xsi_type: str) -> Mapping[str, str]:
    """Display fields of a type, by their names; the values are shortcuts of listings."""
    kind = kind_of(xsi_type)
    if kind == "experiment" and is_a(xsi_type, "xnat:imageSessionData"):
        return _SESSION
    tables = {"project": _PROJECT, "subject": _SUBJECT, "scan": _SCAN}
    return tables.get(kind, _EXPERIMENT if kind else {})


def key_field(xsi_type: str) -> str:
    """The display field that names an item; it always comes along."""
    kind = kind_of(xsi_type)
    if kind == "experiment" and is_a(xsi_type, "xnat:imageSessionData"):
        return "SESSION_ID"
    return {"project": "ID", "subject": "SUBJECT_ID", "scan": "ID"}.get(kind, "EXPT_ID")


# Reading the document -----------------------------------------------------------------------------


def read_search(content: bytes) -> Search:
    """A search document.

    Raises: `Refusal` 422 malformed or of another type, 400 an unknown type or field.
    """
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise Refusal(422, f"The search document cannot be parsed: {error}") from None
    if root.tag not in (XDAT + "bundle", XDAT + "search", XDAT + "stored_search"):
        raise Refusal(422, "The document is no search.")
    named = root.findtext(XDAT + "root_element_name") or ""
    xsi_type = _spelled(named)
    if not kind_of(xsi_type):
        raise Refusal(400, f"Unknown element {named.strip()!r}.")
    # What was asked for by name stands in place of what comes along anyway.
    fields = tuple({one.key: one for one in _fields(root, xsi_type)}.values())
    sets = [_condition_set(one) for one in root.findall(XDAT + "search_where")]
    return Search(xsi_type, fields, lambda state, item: all(one(state, item) for one in sets))


def describe_search(content: bytes) -> dict[str, str]:
    """What a listing of saved searches says about one."""
    root = ElementTree.fromstring(content)
    return {
        "brief_description": root.get("brief-description", ""),
        "description": root.get("description", ""),
        "root_element_name": (root.findtext(XDAT + "root_element_name") or "").strip(),
    }


def _fields(root: ElementTree.Element, xsi_type: str) -> Iterator[Field]:
    key = key_field(xsi_type)
    yield _field(xsi_type, key, xsi_type, "")
    if kind_of(xsi_type) == "subject":
        yield _field(xsi_type, key, xsi_type, "", key="subjectid")
    asked = root.findall(XDAT + "search_field")
    if not asked:
        for name in display_fields(xsi_type):
            yield _field(xsi_type, name, xsi_type, "")
    places = [(one.findtext(XDAT + "sequence") or "0").strip() for one in asked]
    order = sorted(range(len(asked)), key=lambda n: int(places[n]) if places[n].isdigit() else n)
    for number in order:
        one = asked[number]
        element = _spelled(one.findtext(XDAT + "element_name") or "") or xsi_type
        field_id = (one.findtext(XDAT + "field_ID") or "").strip()
        yield _field(element, field_id, xsi_type, (one.findtext(XDAT + "header") or "").strip())


def _field(element: str, field_id: str, root: str, header: str, key: str = "") -> Field:
    name = _displayed(element, field_id) or re.sub(r"[^a-z0-9_]", "_", field_id.lower())
    joined = "" if is_a(root, element) or "/" in field_id else _prefix(element)
    return Field(
        element, field_id, key or joined + name, header or field_id, _column(element, field_id)
    )


def _displayed(element: str, field_id: str) -> str:
    """The key of the display field that a path is the same as, or nothing."""
    named, _, path = field_id.partition("/")
    if not path or _spelled(named) != element:
        return ""
    for name, shortcut in display_fields(element).items():
        if path.lower() == shortcut.lower():
            return name.lower()
    return ""


def _prefix(element: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", element.lower()) + "_"


def _column(element: str, field_id: str) -> Column:
    """What a display field or a path stands for."""
    if "/" in field_id:
        element = _spelled(field_id.partition("/")[0]) or element
        field_id = field_id.partition("/")[2]
    kind = kind_of(element)
    shortcut = display_fields(element).get(field_id.upper())
    mapped = re.fullmatch(r"[A-Z0-9_]+_FIELD_MAP=(.+)", field_id)
    try:
        if mapped and kind:
            return Column(field_id.lower(), element.lower(), f"fields/field/{mapped[1].lower()}")
        column = read_column(kind, shortcut) if kind and shortcut else None
        found = column or read_column(kind, f"{element}/{field_id}")
    except (UnknownColumn, KeyError):
        found = None
    if found is None:
        raise Refusal(400, f"Unknown field {element}/{field_id}.")
    return Column(found.key, element.lower(), found.path)


# Conditions ---------------------------------------------------------------------------------------


def _condition_set(element: ElementTree.Element) -> Test:
    parts: list[Test] = []
    for child in element:
        if child.tag == XDAT + "child_set":
            parts.append(_condition_set(child))
        elif child.tag == XDAT + "criteria":
            parts.append(_criteria(child))
    if not parts:
        return lambda state, item: True
    together = any if (element.get("method") or "AND").upper() == "OR" else all
    return lambda state, item: together(part(state, item) for part in parts)


def _criteria(element: ElementTree.Element) -> Test:
    schema_field = (element.findtext(XDAT + "schema_field") or "").strip()
    comparison = " ".join((element.findtext(XDAT + "comparison_type") or "=").upper().split())
    wanted = element.findtext(XDAT + "value") or ""
    named, _, path = schema_field.partition("/")
    xsi_type = _spelled(named)
    if not kind_of(xsi_type) or not path:
        raise Refusal(400, f"Unknown field {schema_field}.")
    column = _column(xsi_type, path)
    compare = _comparison(comparison, wanted)

    def test(state: State, item: Item) -> bool:
        return any(compare(value) for value in _values(state, item, xsi_type, column))

    return test


def _related(state: State, item: Item, xsi_type: str) -> Iterator[Item]:
    """The items of a type that a row is joined with: itself, what is above, what is below."""
    if is_a(item.xsi_type, xsi_type):
        yield item
        return
    kind = kind_of(xsi_type)
    if kind == "project":
        project = state.items.project(item.project)
        if project is not None:
            yield project
    elif kind == "subject" and item.kind != "project":
        subject = state.items.subject_of(item)
        if subject is not None:
            yield subject
    else:
        for below in _below(state, item, kind):
            if is_a(below.xsi_type, xsi_type):
                yield below


def _below(state: State, item: Item, kind: str) -> Iterator[Item]:
    steps = {"project": "subject", "subject": "experiment"}
    step = steps.get(item.kind, kind)
    for child in state.items.below(item, step):
        if child.kind == kind:
            yield child
        elif child.kind in steps or child.kind == "experiment":
            yield from _below(state, child, kind)


def _values(state: State, item: Item, xsi_type: str, column: Column) -> Iterator[str]:
    for one in _related(state, item, xsi_type):
        if column.path.startswith("fields/field/") and column.key.partition("=")[1]:
            name = column.path.rpartition("/")[2]
            entries = one.children.get("fields/field", [])
            named = [e for e in entries if str(e.get("name", "")).lower() == name]
            yield cell(named[0].get("field")) if named else ""
            continue
        for row in rows_of(state, one, [column]):
            yield cell(row.get(column.key))


def _comparison(kind: str, wanted: str) -> Callable[[str], bool]:
    if kind == "=" and wanted == "":
        return lambda value: value == ""
    if wanted == "*" and kind in ("=", "LIKE"):
        return lambda value: value != ""
    if kind == "=":
        return lambda value: value != "" and _key(value, wanted) == _key(wanted, value)
    if kind == "!=":
        return lambda value: value == "" or _key(value, wanted) != _key(wanted, value)
    if kind == "LIKE":
        pattern = _glob(wanted.lower())
        return lambda value: value != "" and fnmatch.fnmatchcase(value.lower(), pattern)
    if kind == "IN":
        listed = [one.strip() for one in wanted.split(",")]
        return lambda value: any(_key(value, one) == _key(one, value) for one in listed)
    if kind == "BETWEEN":
        ends = re.split(r"\s+AND\s+", wanted.strip(), flags=re.IGNORECASE)
        if len(ends) != 2:
            raise Refusal(400, "BETWEEN takes 'a AND b'.")
        low, high = ends
        return lambda value: (
            value != ""
            and _key(low, value) <= _key(value, low)
            and _key(value, high) <= _key(high, value)
        )
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }
    if kind not in tests:
        raise Refusal(400, f"Unknown comparison {kind!r}.")
    return lambda value: value != "" and tests[kind](_key(value, wanted), _key(wanted, value))


def _glob(text: str) -> str:
    """A pattern of LIKE for fnmatch: % any characters, _ one; others stand for themselves."""
    marks = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(marks.get(character, character) for character in text)


def _key(value: str, other: str) -> Any:
    """What is compared: numbers where both are, dates in one form, else the text."""
    number = r"\s*-?\d+(\.\d+)?([eE]-?\d+)?\s*"
    if re.fullmatch(number, value) and re.fullmatch(number, other):
        return float(value)
    date = re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", value.strip())
    if date:
        return f"{date[3]}-{date[1]}-{date[2]}"
    american = re.fullmatch(r"\d\d/\d\d/\d{4}", other.strip())
    return value[:10] if american else value


# Running ------------------------------------------------------------------------------------------


def run(
    state: State, search: Search, visible: Callable[[Iterable[Item]], Iterable[Item]]
) -> list[dict[str, str]]:
    """The rows found, keys as in an answer."""
    kind = kind_of(search.root)
    kinds = ("experiment", "assessor") if kind == "experiment" else (kind,)
    rows = []
    for item in visible(state.items.all(*kinds)):
        if is_a(item.xsi_type, search.root) and search.test(state, item):
            rows.append({one.key: _shown(state, item, one) for one in search.fields})
    return rows


def _shown(state: State, item: Item, field: Field) -> str:
    found = list(_values(state, item, _spelled(field.column.xsi_type), field.column))
    return found[0] if found else ""
