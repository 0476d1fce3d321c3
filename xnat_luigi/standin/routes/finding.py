"""Listings of items: columns, root type, filters, paging (wire contract A 3.2 to A 3.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..columns import Column, UnknownColumn, matches, read_column, rows_of
from ..render.tables import table
from ..state import Item, State
from ..types import is_a
from ..wire import Answer, Refusal, Request
from .places import project_of

__all__ = ["item_rows", "listing", "may_read", "need", "project_of", "variable"]

PAGED = ("limit", "offset")
_NOT_FILTERS = {
    "format",
    "columns",
    "xsiType",
    "sortBy",
    "sortOrder",
    "limit",
    "offset",
    "fields",
    "media",
    "language",
    "charset",
    "encoding",
    "method",
    "XNAT_CSRF",
    "concealHiddenFields",
    "restrict",
    "accessible",
    "owner",
}
# Columns that narrow a listing to the types that have them (A 3.3, "Trap").
_NARROW = {
    **dict.fromkeys(("subject_ID",), "xnat:subjectAssessorData"),
    **dict.fromkeys(
        [
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
        ],
        "xnat:imageSessionData",
    ),
    **dict.fromkeys(("coil", "fieldStrength", "marker", "stabilization"), "xnat:mrSessionData"),
    "tracer_name": "xnat:petSessionData",
}


def variable(request: Request, name: str) -> str:
    """A variable of the address as it was sent (A 7: not decoded), "" where there is none."""
    return request.variables.get(name, "")


def may_read(request: Request, state: State, item: Item) -> bool:
    """Whether the caller sees an item."""
    return state.rights.may_item(request.user, "read", item)


def need(request: Request, state: State, action: str, item: Item, message: str = "") -> None:
    """Refuse with 403 where the caller lacks a right."""
    if not state.rights.may_item(request.user, action, item):
        raise Refusal(403, message or None)


# Listings ----------------------------------------------------------------------------------------


def _asked_columns(
    request: Request, kind: str, default: list[str], extra: list[str]
) -> list[Column]:
    text = request.query.raw("columns") or ""
    names = [name for name in text.split(",") if name and name != "URI"]
    if not names or names == ["DEFAULT"]:
        names = default
    found: dict[str, Column] = {}
    for name in [*names, *extra]:
        column = read_column(kind, name)
        if column is not None:
            found.setdefault(column.key, column)
    return list(found.values())


def _filters(request: Request, kind: str) -> list[tuple[Column, str]]:
    found = []
    for key, value in request.query.items():
        if key in _NOT_FILTERS:
            continue
        column = read_column(kind, key)
        if column is not None and value:
            found.append((column, value))
    return found


def _root(request: Request, kind: str) -> str:
    """The type a listing is about: asked for, or inferred from columns and filters (A 3.3)."""
    asked = request.query.raw("xsiType") or ""
    if asked or kind != "experiment":
        return asked
    names = [*(request.query.raw("columns") or "").split(","), *(k for k, _ in request.query.pairs)]
    narrow = [_NARROW[name] for name in names if name in _NARROW]
    for name in names:
        if ":" in name.partition("/")[0] and "/" in name:
            xsi_type = name.partition("/")[0]
            if is_a(xsi_type, "xnat:experimentData"):
                narrow.append(xsi_type)
    return next((one for one in reversed(narrow)), "")


def item_rows(
    request: Request,
    state: State,
    kind: str,
    items: Iterable[Item],
    default: list[str],
    extra: list[str],
    *,
    project: str = "",
    filtered: bool = True,
) -> tuple[list[str], list[dict[str, Any]]]:
    """Column keys and rows of a listing, filters applied where the listing honours them.

    Raises: `UnknownColumn`.
    """
    columns = _asked_columns(request, kind, default, extra)
    filters = _filters(request, kind) if filtered else []
    root = _root(request, kind)
    rows: list[dict[str, Any]] = []
    for item in items:
        if root and not is_a(item.xsi_type, root):
            continue
        if not all(_meets(state, item, column, value, project) for column, value in filters):
            continue
        for row in rows_of(state, item, columns, project):
            row["URI"] = uri_of(state, item)
            rows.append(row)
    return [column.key for column in columns] + ["URI"], rows


def _meets(state: State, item: Item, column: Column, value: str, project: str) -> bool:
    from ..render.tables import cell

    found = rows_of(state, item, [column], project)
    return any(matches(column, value, cell(row.get(column.key))) for row in found)


def uri_of(state: State, item: Item) -> str:
    """The address that listings show for an item (A 3.2)."""
    if item.kind in ("scan", "reconstruction"):
        session = state.items.by_pk(item.parent)
        name = "scans" if item.kind == "scan" else "reconstructions"
        return f"/data/experiments/{session.id if session else ''}/{name}/{item.id}"
    name = {"project": "projects", "subject": "subjects"}.get(item.kind, "experiments")
    return f"/data/{name}/{item.id}"


def listing(
    request: Request,
    state: State,
    kind: str,
    items: Iterable[Item],
    default: str,
    extra: str = "ID",
    *,
    project: str = "",
    title: str = "",
    filtered: bool = True,
    paged: bool = True,
    unknown: int = 500,
) -> Answer:
    """A listing; `unknown` is what a path that no type has gives: 500, or 200 with no body."""
    if request.query.flag("fields"):
        from ..columns import SHORTCUTS

        lines = [{"key": k, "xpath": v} for k, v in SHORTCUTS[kind].items()]
        return table(request, ("key", "xpath"), lines)
    try:
        keys, rows = item_rows(
            request,
            state,
            kind,
            _visible(request, state, items),
            default.split(),
            extra.split(),
            project=project,
            filtered=filtered,
        )
    except UnknownColumn:
        if unknown == 200:
            return Answer.text("")
        raise Refusal(unknown) from None
    total = True
    if paged and any(name in request.query for name in PAGED):
        limit = request.query.raw("limit") or ("100" if "offset" in request.query else "*")
        offset = int(request.query.raw("offset") or 0)
        if limit != "*":
            rows = rows[offset : offset + int(limit)]
            total = False
        elif offset:
            rows = rows[offset:]
            total = False
    return table(request, keys, rows, title=title, total=total)


def _visible(request: Request, state: State, items: Iterable[Item]) -> Iterator[Item]:
    projects = state.rights.readable_projects(request.user)
    for item in items:
        if (
            projects is None
            or (item.id if item.kind == "project" else item.project) in projects
            or may_read(request, state, item)
        ):
            yield item
