"""Control addresses beside the imitated ones: knobs for tests in any language.

    GET    /standin/                     version, counts, clock
    GET    /standin/requests[?last=N]    the request log; DELETE forgets it
    GET    /standin/faults               rules with their counts; POST adds one (JSON), DELETE all
    DELETE /standin/faults/ID            takes one out
    GET    /standin/preferences          the site's preferences; POST changes some (JSON)
    POST   /standin/clock                {"advance": seconds} | {"freeze": true} | {"thaw": true}
    POST   /standin/jobs                 {"hold": ["_ARCHIVING"], "release": [], "archive_delay": 5,
                                          "linger", "visibility_delay", "failure", "rebuild"}
    POST   /standin/sessions/expire      ends every login
    POST   /standin/users                {"login", "password", "admin", "roles": {"P1": "member"}}
    POST   /standin/fill                 {"project", "subject", "label", "scans": {...}}
    POST   /standin/rows                 {"project", "subject", "session", "status", "log", "scans"}
    GET    /standin/errors               unexpected exceptions of the stand-in itself

They ask for no login, are not in the request log and no fault rule meets them. A server that
listens on more than loopback has them only when told to (`control=True`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .. import filling, filling_rows
from ..archiver import Failure
from ..dicom_import import Unreadable
from ..faults import Fault
from ..services import Services
from ..state import State
from ..wire import Answer, Refusal, Request
from . import Route

if TYPE_CHECKING:
    from ..app import App

__all__ = ["ROUTES", "Control"]


class Control:
    """The way from the state to the running server; `app` is set by it."""

    def __init__(self, state: State) -> None:
        self.app: App | None = None
        self.enabled = True


Handler = Callable[[Request, State], Answer]


def _app(state: State) -> App:
    control = state.part(Control)
    if control.app is None or not control.enabled:
        raise Refusal(404)
    return control.app


def _given(request: Request) -> dict[str, Any]:
    try:
        values = json.loads(request.body.read() or b"{}")
    except ValueError as error:
        raise Refusal(400, f"The body is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise Refusal(400, "The body is no JSON object.")
    return values


def get_summary(request: Request, state: State) -> Answer:
    """What the server is and has done."""
    log = _app(state).log
    return Answer.json(
        {
            "server": "xnat-luigi stand-in",
            "version": state.preferences["version"],
            "root": str(state.root),
            "time": state.clock.stamp(),
            "requests": dict(log.counts),
            "bytes_in": log.bytes_in,
            "bytes_out": log.bytes_out,
            "errors": len(_app(state).errors),
        }
    )


def get_requests(request: Request, state: State) -> Answer:
    """The kept records, oldest first."""
    records = _app(state).log.snapshot()
    last = request.query.raw("last") or ""
    if last.isdigit():
        records = records[-int(last) :] if int(last) else []
    return Answer.json([asdict(record) for record in records])


def delete_requests(request: Request, state: State) -> Answer:
    """Forgets the log."""
    _app(state).log.clear()
    return Answer.text("")


def get_faults(request: Request, state: State) -> Answer:
    """The rules in force."""
    return Answer.json([rule.as_dict() for rule in _app(state).faults])


def post_fault(request: Request, state: State) -> Answer:
    """Adds a rule; the answer is the rule with its id."""
    try:
        rule = Fault.from_dict(_given(request))
    except (ValueError, TypeError, re.error) as error:
        raise Refusal(400, str(error)) from None
    return Answer.json(_app(state).faults.add(rule).as_dict())


def delete_faults(request: Request, state: State) -> Answer:
    """Takes out one rule, or all."""
    faults = _app(state).faults
    number = request.variables.get("ID")
    if number is None:
        faults.clear()
    elif not number.isdigit() or not faults.remove(int(number)):
        raise Refusal(404)
    return Answer.text("")


def get_preferences(request: Request, state: State) -> Answer:
    """All preferences."""
    _app(state)
    return Answer.json(state.preferences.as_dict())


def post_preferences(request: Request, state: State) -> Answer:
    """Changes preferences."""
    _app(state)
    state.preferences.update(_given(request))
    return get_preferences(request, state)


def post_clock(request: Request, state: State) -> Answer:
    """Moves, stops or releases the clock; the answer is its time."""
    _app(state)
    given = _given(request)
    if "advance" in given:
        try:
            state.clock.advance(float(given["advance"]))
        except (TypeError, ValueError):
            raise Refusal(400, "advance wants seconds.") from None
    if given.get("freeze"):
        state.clock.freeze()
    if given.get("thaw"):
        state.clock.thaw()
    return Answer.json({"time": state.clock.stamp()})


def post_jobs(request: Request, state: State) -> Answer:
    """Holds jobs at a point, lets them go, slows or fails archiving; the answer says what runs.

    `rebuild` runs the idle rebuilder now, `failure` (`row_status`, `message`, `times`) fails the
    archive jobs to come.
    """
    _app(state)
    services, given = state.part(Services), _given(request)
    services.jobs.hold(*given.pop("hold", []))
    if "release" in given:
        services.jobs.release(*given.pop("release"))
    if given.pop("rebuild", False):
        services.rebuilder.run()
    knobs = services.archiver.knobs
    failure = given.pop("failure", None)
    if failure is not None:
        try:
            knobs.failure = Failure(**failure)
        except TypeError as error:
            raise Refusal(400, str(error)) from None
    for name, value in given.items():
        if name not in ("archive_delay", "linger", "visibility_delay"):
            raise Refusal(400, f"There is no knob {name}.")
        setattr(knobs, name, float(value))
    return Answer.json(services.jobs.report())


def expire_sessions(request: Request, state: State) -> Answer:
    """Ends every login, as a restart of the real server does."""
    _app(state)
    return Answer.json({"ended": state.users.close_sessions()})


def post_user(request: Request, state: State) -> Answer:
    """Adds an account, with roles in projects."""
    _app(state)
    given = _given(request)
    try:
        state.users.add(given["login"], given["password"], admin=bool(given.get("admin")))
        for project, role in given.get("roles", {}).items():
            state.users.set_role(project, given["login"], role)
    except (KeyError, ValueError) as error:
        raise Refusal(400, str(error)) from None
    return Answer.text("")


def post_fill(request: Request, state: State) -> Answer:
    """A session with scans, subject and project included; file contents are base64."""
    _app(state)
    given = _given(request)
    try:
        names = [str(given.pop(name)) for name in ("project", "subject", "label")]
    except KeyError as error:
        raise Refusal(400, f"{error} is missing.") from None
    for scan in given.get("scans", {}).values():
        if isinstance(scan, dict) and "resources" in scan:
            scan["resources"] = _decoded(scan["resources"])
    if "resources" in given:
        given["resources"] = _decoded(given["resources"])
    return Answer.json({"ID": filling.add_session(state, *names, **given)})


def post_row(request: Request, state: State) -> Answer:
    """A study in the prearchive, in any state; `files` are base64 by name."""
    _app(state)
    given = _given(request)
    try:
        names = [str(given.pop(name)) for name in ("project", "subject", "session")]
    except KeyError as error:
        raise Refusal(400, f"{error} is missing.") from None
    if "files" in given:
        given["files"] = _decoded({"": given["files"]})[""]
    try:
        return Answer.json({"url": filling_rows.add_row(state, *names, **given)})
    except (TypeError, ValueError, Unreadable) as error:
        raise Refusal(400, str(error)) from None


def _decoded(resources: dict[str, dict[str, str]]) -> dict[str, dict[str, bytes]]:
    try:
        return {
            label: {path: base64.b64decode(text, validate=True) for path, text in files.items()}
            for label, files in resources.items()
        }
    except ValueError as error:
        raise Refusal(400, f"File contents are base64: {error}") from None


def get_errors(request: Request, state: State) -> Answer:
    """Exceptions that handlers did not expect."""
    return Answer.json([f"{type(one).__name__}: {one}" for one in _app(state).errors])


ROUTES = [
    Route(method, f"/standin{path}", handler, open=True)
    for method, path, handler in (
        ("GET", "/", get_summary),
        ("GET", "/requests", get_requests),
        ("DELETE", "/requests", delete_requests),
        ("GET", "/faults", get_faults),
        ("POST", "/faults", post_fault),
        ("DELETE", "/faults", delete_faults),
        ("DELETE", "/faults/{ID}", delete_faults),
        ("GET", "/preferences", get_preferences),
        ("POST", "/preferences", post_preferences),
        ("POST", "/clock", post_clock),
        ("POST", "/jobs", post_jobs),
        ("POST", "/sessions/expire", expire_sessions),
        ("POST", "/users", post_user),
        ("POST", "/fill", post_fill),
        ("POST", "/rows", post_row),
        ("GET", "/errors", get_errors),
    )
]
