"""Listings of projects, subjects and experiments: root type, columns, filters, paging (A 3.2-3.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .columns import SHORTCUTS, Column, UnknownColumn, matches, read_column, rows_of
from .render.tables import cell, table
from .state import Item, State
from .types import is_a, known_types
from .wire import Answer, Refusal, Request

__all__ = ["Listing", "list_items", "list_shortcuts"]

RESERVED = {
    "columns", "format", "sortBy", "sortOrder", "limit", "offset", "xsiType", "fields", "XNAT_CSRF",
    "concealHiddenFields", "req_format", "method", "media", "language", "charset", "encoding",
    "timestamp", "requested_screen", "event_reason", "event_type", "event_action", "event_id",
}  # fmt: skip
SUBJECT_ASSESSOR = "xnat:subjectAssessorData"
IMAGE_SESSION = "xnat:imageSessionData"
IMAGE_ASSESSOR = "xnat:imageAssessorData"
_NARROWING = {
    **dict.fromkeys(("subject_ID", "subject_project"), SUBJECT_ASSESSOR),
    **dict.fromkeys(
        ("UID", "scanner", "operator", "modality", "session_type", "dcmAccessionNumber",
         "dcmPatientId", "dcmPatientName", "session_ID", "session_label", "session_project"),
        IMAGE_SESSION,
    ),
    **dict.fromkeys(("fieldStrength", "coil", "marker", "stabilization"), "xnat:mrSessionData"),
    **dict.fromkeys(("tracer_name",), "xnat:petSessionData"),
}  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """One kind of listing.

    `root` is its type unless `xsiType` or a column narrows it; `fixed` columns always come;
    `broken` is the status for an unknown path (200 stands for an empty body).
    """

    kind: str
    root: str
    default: tuple[str, ...]
    key: str
    title: str = ""
    broken: int = 500
    filtered: bool = True
    paged: bool = True
    project: str = ""
    """Labels are those of this project, where it has a share."""
    narrowed: bool = True


def list_shortcuts(request: Request, kind: str) -> Answer:
    """`fields=1`: the shortcut table."""
    rows = [{"key": key, "xpath": path} for key, path in SHORTCUTS[kind].items()]
    return table(request, ("key", "xpath"), rows)


def list_items(
    request: Request, state: State, items: Iterable[Item], listing: Listing, uri: str
) -> Answer:
    """The table of those `items` that meet type and filters; `uri` is the URI column's prefix."""
    if request.query.raw("fields") == "1":
        return list_shortcuts(request, listing.kind)
    try:
        names = _asked(request, listing)
        filters = _filters(request, listing)
        root = _root(request, listing, [*names, *filters])
        columns = _columns(listing, names, root)
        wanted = [(c, filters[c.key]) for c in _read(listing, filters) if c.key in filters]
        wanted += [
            (c, value)
            for name, value in filters.items()
            if name not in {c.key for c, _ in wanted} and (c := read_column(listing.kind, name))
        ]
    except UnknownColumn as error:
        if listing.broken == 200:
            return Answer(content_type="application/json")
        raise Refusal(listing.broken) from error
    lines = _lines(state, items, listing, root, columns, wanted, uri)
    keys = [column.key for column in columns] + ["URI"]
    paging, lines = _page(request, listing, lines)
    return table(request, keys, lines, title=listing.title, total=not paging)


def _asked(request: Request, listing: Listing) -> list[str]:
    text = request.query.raw("columns")
    if text is None or text in ("", "DEFAULT"):
        return list(listing.default)
    return [name for name in text.split(",") if name and name not in ("URI", "DEFAULT")]


def _filters(request: Request, listing: Listing) -> dict[str, str]:
    if not listing.filtered:
        return {}
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name in RESERVED or name not in SHORTCUTS[listing.kind] and "/" not in name:
            continue
        found[name if "/" not in name else name.lower()] = value
    return found


def _root(request: Request, listing: Listing, names: list[str]) -> str:
    given = request.query.raw("xsiType")
    if given:
        return given
    root = listing.root
    if not listing.narrowed:
        return root
    for name in names:
        wanted = _NARROWING.get(name, "")
        if "/" in name:
            lower = name.partition("/")[0].lower()
            wanted = next((one for one in known_types() if one.lower() == lower), "")
        if wanted and wanted.lower() != root.lower() and is_a(wanted, root):
            root = wanted
    return root


def _read(listing: Listing, names: Iterable[str]) -> list[Column]:
    return [column for name in names if (column := read_column(listing.kind, name)) is not None]


def _columns(listing: Listing, names: list[str], root: str) -> list[Column]:
    if names == list(listing.default) and root == listing.root:
        return _default(listing, names)
    columns = _read(listing, names) if names != list(listing.default) else _default(listing, names)
    always = ["ID"]
    if listing.kind == "experiment" and root.lower() in (
        "xnat:experimentdata",
        "xnat:subjectassessordata",
        "xnat:imagesessiondata",
    ):
        always += ["xsiType", "project"]
    if names == list(listing.default) and listing.root == "xnat:experimentData":
        if is_a(root, SUBJECT_ASSESSOR):
            always += ["subject_ID", "subject_label"]
        elif is_a(root, IMAGE_ASSESSOR):
            always += ["session_ID", "session_label"]
    known = {column.key for column in columns}
    return columns + [c for c in _read(listing, always) if c.key not in known]


def _default(listing: Listing, names: list[str]) -> list[Column]:
    columns = []
    for name in names:
        if name.endswith("/id"):  # xnat:subjectassessordata/id: the key under its path
            columns.append(Column(name, name.partition("/")[0], "id"))
        else:
            columns += _read(listing, [name])
    return columns


def _lines(
    state: State,
    items: Iterable[Item],
    listing: Listing,
    root: str,
    columns: list[Column],
    filters: list[tuple[Column, str]],
    uri: str,
) -> list[dict[str, Any]]:
    lines = []
    open_root = root.lower() in ("xnat:experimentdata", "xnat:subjectdata", "xnat:projectdata")
    asked = columns + [c for c, _ in filters if c not in columns]
    for item in items:
        if not open_root and not is_a(item.xsi_type, root):
            continue
        for row in rows_of(state, item, asked, listing.project, root):
            if all(matches(value, cell(row.get(column.key))) for column, value in filters):
                row["URI"] = uri + item.id
                lines.append(row)
    return lines


def _page(
    request: Request, listing: Listing, lines: list[dict[str, Any]]
) -> tuple[bool, list[dict[str, Any]]]:
    """Paging: `limit`, `offset`; an offset alone takes 100 rows (A 3.4)."""
    limit, offset = request.query.raw("limit"), request.query.raw("offset")
    if not listing.paged or (limit in (None, "*", "") and not offset):
        return False, lines
    try:
        start = int(offset or 0)
        size = 100 if limit in (None, "") else (len(lines) if limit == "*" else int(limit or 0))
    except ValueError as error:
        raise Refusal(400, "limit and offset are numbers.") from error
    return True, lines[start : start + size]
