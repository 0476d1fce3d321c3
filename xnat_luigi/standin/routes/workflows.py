"""Workflow rows over REST, `wrk:workflowData` (wire contract B 10)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import quoteattr

from ..render.tables import table
from ..state import State
from ..wire import Answer, Refusal, Request
from . import Route

__all__ = ["ROUTES"]

_NAMES = {
    "id": "item_id",
    "data_type": "xsi_type",
    "externalid": "project",
    "pipeline_name": "pipeline",
    "status": "status",
    "launch_time": "launched",
    "type": "type",
    "category": "category",
    "justification": "reason",
    "comments": "comments",
    "step_description": "step",
    "percentagecomplete": "percent",
    "scan_id": "scan_id",
}
"""The field on the wire (in lower case) and our column."""
_SPELLING = {
    "id": "ID",
    "externalid": "ExternalID",
    "percentagecomplete": "percentageComplete",
}
_KINDS = ("project", "subject", "experiment", "assessor")
_CHILDREN = ("comments", "justification")
_NEEDED = ("id", "launch_time", "pipeline_name", "data_type")
_PATH = re.compile(r"wrk:workflowdata/", re.IGNORECASE)


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the wire shows of a row; empty values are left out."""
    shown = {name: row[column] for name, column in _NAMES.items() if row[column]}
    return {"wrk_workflowData_id": row["pk"], **shown}


def get_workflow(request: Request, state: State) -> Answer:
    """One row, XML unless JSON is asked for.

    Raises: `Refusal` 404 unknown, or of an item that the caller may not see.
    """
    row = _known(request, state)
    if not _may(request, state, "read", row):
        raise Refusal(404)
    if request.format == "json":
        meta = {"xsi:type": "wrk:workflowData", "isHistory": False}
        return Answer.json({"items": [{"children": [], "data_fields": _fields(row), "meta": meta}]})
    return Answer(body=_document(row).encode(), content_type="text/xml")


def _known(request: Request, state: State) -> dict[str, Any]:
    name = unquote(request.variables["WORKFLOW"])
    row = state.workflows.get(int(name)) if name.isdigit() else None
    if row is None:
        raise Refusal(404, "Unable to find the specified workflow.")
    return row


def _may(request: Request, state: State, action: str, row: Mapping[str, Any]) -> bool:
    """The item's readers read; its creator and site administrators change."""
    if state.rights.is_admin(request.user) or row["user"] == request.user:
        return True
    if action != "read":
        return False
    item = state.items.by_id(row["item_id"], *_KINDS)
    return item is not None and state.rights.may_item(request.user, "read", item)


def _document(row: Mapping[str, Any]) -> str:
    fields = {key: value for key, value in _fields(row).items() if key != "wrk_workflowData_id"}
    children = "".join(
        f"<wrk:{name}>{_escape(str(fields.pop(name)))}</wrk:{name}>"
        for name in _CHILDREN
        if name in fields
    )
    attributes = "".join(
        f" {_SPELLING.get(name, name)}={quoteattr(str(value))}" for name, value in fields.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<wrk:Workflow xmlns:wrk="http://nrg.wustl.edu/workflow"'
        f"{attributes}>{children}</wrk:Workflow>\n"
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def put_workflow(request: Request, state: State) -> Answer:
    """Creates a row, or changes the one with its id or natural key; 200 and empty.

    Raises: `Refusal` 400 a new row lacks a part of its key, 403 somebody else's, 404 unknown id.
    """
    given = {
        _PATH.sub("", key).lower(): value
        for key, value in request.parameters().items()
        if _PATH.match(key)
    }
    values = {column: given[name] for name, column in _NAMES.items() if name in given}
    if "WORKFLOW" in request.variables:
        row = _known(request, state)
    else:
        missing = [name for name in _NEEDED if not given.get(name)]
        if missing:
            raise Refusal(400, f"Missing field: {missing[0]}")
        found = state.workflows.find(
            given["id"], given["pipeline_name"], given["launch_time"], given.get("scan_id", "")
        )
        row = found or _new(request, state, values)
    if not _may(request, state, "change", row):
        raise Refusal(403, "Only its creator may change a workflow.")
    if values:
        state.workflows.change(row["pk"], **values)
    return Answer()


def _new(request: Request, state: State, values: Mapping[str, str]) -> dict[str, Any]:
    item = state.items.by_id(values["item_id"], *_KINDS)
    pk = state.workflows.open(
        values["item_id"],
        values["xsi_type"],
        values["pipeline"],
        project=values.get("project") or (item.project if item else ""),
        user=request.user,
        status=values.get("status", "Queued"),
    )
    row = state.workflows.get(pk)
    assert row is not None
    return row


def list_pipeline(request: Request, state: State) -> Answer:
    """The rows of one pipeline: `experiment`, `project` and `status` narrow, `display=LATEST`."""
    rows = state.workflows.of_pipeline(unquote(request.variables["PIPELINE"]))
    for name, column in (("experiment", "item_id"), ("project", "project"), ("status", "status")):
        wanted = request.query.raw(name)
        if wanted:
            rows = [row for row in rows if row[column] == wanted]
    rows = [row for row in rows if _may(request, state, "read", row)]
    if (request.query.raw("display") or "").upper() == "LATEST":
        rows = list({row["item_id"]: row for row in rows}.values())
    columns = ("wrk_workflowData_id", *_NAMES)
    return table(request, columns, [_cells(row) for row in rows])


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    shown = _fields(row)
    return {name: str(shown.get(name, "")) for name in ("wrk_workflowData_id", *_NAMES)}


def no_xapi(request: Request, state: State) -> Answer:
    """Not in the release that this server imitates."""
    raise Refusal(501, "The stand-in has no /xapi/workflows; use /data/workflows.")


ROUTES = [
    Route("PUT", "/data/workflows", put_workflow, archive=False),
    Route("GET", "/data/workflows/{WORKFLOW}", get_workflow, archive=False),
    Route("PUT", "/data/workflows/{WORKFLOW}", put_workflow, archive=False),
    Route("GET", "/data/services/workflows/{PIPELINE}", list_pipeline, archive=False),
    *(Route(verb, "/xapi/workflows", no_xapi) for verb in ("GET", "POST")),
]
