"""What the site says about itself: build, preferences, schemas (wire contract A 1.3, A 2)."""

from __future__ import annotations

import json
from typing import Any

from ..schemas import schema_bytes, schema_file, schema_names
from ..state import State
from ..types import element_of, known_types
from ..wire import Answer, Refusal, Request
from . import Route

__all__ = ["ROUTES"]

_OPEN = ("siteId", "siteUrl", "siteHome", "siteLogoPath")


def _build(state: State) -> dict[str, str]:
    return {
        "version": str(state.preferences["version"]),
        "buildNumber": "1",
        "buildDate": "2024-06-01 00:00:00",
        "sha": "stand-in",
        "isDirty": "false",
        "branch": "stand-in",
        "commit": "stand-in",
    }


def get_build(request: Request, state: State) -> Answer:
    """`buildInfo`, or one of its values."""
    name = request.variables.get("NAME")
    build = _build(state)
    if name is None:
        return Answer.json(build)
    if name not in build:
        raise Refusal(404)
    return Answer.text(build[name])


def get_preference(request: Request, state: State) -> Answer:
    """One preference; most need a login."""
    name = request.variables["NAME"]
    value = state.preferences.get(name)
    if request.user == "guest" and name not in _OPEN:
        raise Refusal(401)
    if value is None:
        raise Refusal(404)
    return Answer.text(value if isinstance(value, str) else json.dumps(value))


def get_uptime(request: Request, state: State) -> Answer:
    """How long the server has been running."""
    minutes, seconds = divmod(int(state.clock.time() - state.started), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
    return Answer.json({name: str(value) for name, value in parts.items()})


def get_preferences(request: Request, state: State) -> Answer:
    """All preferences."""
    return Answer.json({name: state.preferences[name] for name in state.preferences})


def set_preferences(request: Request, state: State) -> Answer:
    """Administrators change preferences with a JSON object."""
    if not state.rights.is_admin(request.user):
        raise Refusal(403)
    values: Any = json.loads(request.body.read() or b"{}")
    name = request.variables.get("NAME")
    state.preferences.update({name: values} if name else values)
    return Answer.text("")


def list_schemas(request: Request, state: State) -> Answer:
    """The names of all schemas."""
    return Answer.json(schema_names())


def get_schema(request: Request, state: State) -> Answer:
    """One schema."""
    names = [request.variables[one] for one in ("DIR", "NAME") if one in request.variables]
    return _schema(schema_bytes("/".join(names)))


def list_types(request: Request, state: State) -> Answer:
    """The names of all types; `searchable` those that have a root element."""
    searchable = request.path.endswith("/searchable")
    found = [name for name in known_types() if not searchable or element_of(name) != name]
    return Answer.json(sorted(found))


def get_old_schema(request: Request, state: State) -> Answer:
    """The same in the style of XNAT 1.6."""
    return _schema(schema_file(f"{request.variables['DIR']}/{request.variables['NAME']}"))


def _schema(content: bytes | None) -> Answer:
    if content is None:
        raise Refusal(404)
    return Answer(body=content, content_type="application/xml")


def get_username(request: Request, state: State) -> Answer:
    """The login name of the caller."""
    if request.user == "guest":
        raise Refusal(401)
    return Answer.text(request.user)


ROUTES = [
    Route("GET", "/xapi/siteConfig", get_preferences),
    Route("POST", "/xapi/siteConfig", set_preferences),
    Route("GET", "/xapi/siteConfig/buildInfo", get_build, open=True),
    Route("GET", "/xapi/siteConfig/buildInfo/{NAME}", get_build, open=True),
    Route("GET", "/xapi/siteConfig/uptime", get_uptime),
    Route("GET", "/xapi/siteConfig/{NAME}", get_preference, open=True),
    Route("POST", "/xapi/siteConfig/{NAME}", set_preferences),
    Route("GET", "/xapi/schemas", list_schemas),
    Route("GET", "/xapi/schemas/datatypes", list_types),
    Route("GET", "/xapi/schemas/datatypes/searchable", list_types),
    Route("GET", "/xapi/schemas/{NAME}", get_schema),
    Route("GET", "/xapi/schemas/{DIR}/{NAME}", get_schema),
    Route("GET", "/schemas/{DIR}/{NAME}", get_old_schema),
    Route("GET", "/xapi/users/username", get_username),
]
