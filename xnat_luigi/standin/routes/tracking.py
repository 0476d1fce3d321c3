"""Event tracking, direct archive and inbox requests (wire contract B 4, 7)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from ..services import Services
from ..state import State
from ..state.tracking import Progress
from ..wire import Answer, Refusal, Request
from . import Route

__all__ = ["ROUTES"]


def _progress(request: Request, state: State) -> Progress:
    """The caller's own key.

    Raises: `Refusal` 404 unknown, or somebody else's.
    """
    key = unquote(request.variables["KEY"])
    found = state.part(Services).tracking.get(request.user, key)
    if found is None:
        raise Refusal(404, f"No event tracking data for {key}")
    return found


def get_tracking(request: Request, state: State) -> Answer:
    """`key`, `payload` (a JSON string), `succeeded`, `finalMessage`."""
    found = _progress(request, state)
    return Answer.json(
        {
            "key": found.key,
            "payload": found.payload,
            "succeeded": found.succeeded,
            "finalMessage": found.final_message,
        }
    )


def get_payload(request: Request, state: State) -> Answer:
    """Only the payload; empty before the first event."""
    payload = _progress(request, state).payload
    return Answer.text(payload or "", content_type="application/json;charset=UTF-8")


def get_status(request: Request, state: State) -> Answer:
    """The old status list of a listener, within the same HTTP session only."""
    found = _progress(request, state)
    if not found.session or found.session != request.session:
        raise Refusal(404)
    messages: list[dict[str, Any]] = [
        {"status": "PROCESSING", "msg": entry["message"], "terminal": False}
        for entry in found.entries
    ]
    if found.succeeded is not None:
        status = "COMPLETED" if found.succeeded else "FAILED"
        messages.append({"status": status, "msg": found.final_message, "terminal": True})
    body = json.dumps({"msgs": [messages]})
    return Answer.text(body, content_type="application/json")


# --- direct archive ---------------------------------------------------------------------------


def get_direct(request: Request, state: State) -> Answer:
    """The row of a study that is arriving; 404 when it is finished or unknown."""
    direct = state.part(Services).direct
    project, tag, name = _direct_key(request)
    if not state.rights.may(request.user, "read", project):
        raise Refusal(404)
    row = direct.get(project, tag, name)
    if row is None:
        raise Refusal(404)
    return Answer.json(row.document(direct.place(row)))


def _direct_key(request: Request) -> tuple[str, str, str]:
    project, tag, name = (unquote(request.variables[n]) for n in ("PROJECT", "TAG", "NAME"))
    return project, tag, name


def post_direct(request: Request, state: State) -> Answer:
    """Queues a study now instead of after the idle minutes."""
    services = state.part(Services)
    project, tag, name = _direct_key(request)
    if not state.rights.may(request.user, "edit", project):
        raise Refusal(403)
    row = services.direct.get(project, tag, name)
    if row is None:
        raise Refusal(404)
    if row.status != "RECEIVING":
        raise Refusal(409, "The session is not receiving.")  # the code is not determined
    services.direct.queue(row)
    return Answer()


def list_direct(request: Request, state: State) -> Answer:
    """Rows by pages: `page` (from 1), `size`; filters on the row's own keys."""
    direct = state.part(Services).direct
    try:
        asked = json.loads(request.body.read() or b"{}")
    except ValueError:
        raise Refusal(400) from None
    if not isinstance(asked, dict):
        raise Refusal(400)
    rows = [
        row.document(direct.place(row))
        for row in direct.all()
        if state.rights.may(request.user, "read", row.project)
    ]
    for key, value in (asked.get("filters") or {}).items():
        rows = [row for row in rows if str(row.get(key)) == str(value)]
    size = int(asked.get("size") or 50)
    start = (int(asked.get("page") or 1) - 1) * size
    return Answer.json(rows[start : start + size])


def delete_direct(request: Request, state: State) -> Answer:
    """Removes a row in any state."""
    direct = state.part(Services).direct
    name = request.variables["ID"]
    row = direct.by_pk(int(name)) if name.isdigit() else None
    if row is None:
        raise Refusal(404)
    if not state.rights.may(request.user, "delete", row.project):
        raise Refusal(403)
    direct.remove(row)
    return Answer()


# --- the inbox --------------------------------------------------------------------------------


def list_inbox(request: Request, state: State) -> Answer:
    """The caller's inbox requests, all or those still under way."""
    inbox = state.part(Services).inbox
    active = request.path.endswith("/active")
    found = [one for one in inbox.all() if one.user == request.user]
    return Answer.json([one.document() for one in found if not (active and one.finished)])


def get_inbox(request: Request, state: State) -> Answer:
    """One inbox request; 404 for those of others."""
    name = request.variables["ID"]
    found = state.part(Services).inbox.get(int(name)) if name.isdigit() else None
    if found is None or found.user != request.user:
        raise Refusal(404)
    return Answer.json(found.document())


_DIRECT = "/xapi/direct-archive/{PROJECT}/{TAG}/{NAME}"
ROUTES = [
    Route("GET", "/xapi/event_tracking/{KEY}", get_tracking),
    Route("GET", "/xapi/event_tracking/{KEY}/payload", get_payload),
    Route("GET", "/data/status/{KEY}", get_status, archive=False),
    Route("GET", _DIRECT, get_direct),
    Route("POST", _DIRECT, post_direct),
    Route("POST", "/xapi/direct-archive", list_direct),
    Route("DELETE", "/xapi/direct-archive/{ID}", delete_direct),
    Route("GET", "/xapi/dicom/list/active", list_inbox),
    Route("GET", "/xapi/dicom/list/all", list_inbox),
    Route("GET", "/xapi/dicom/{ID}", get_inbox),
]
