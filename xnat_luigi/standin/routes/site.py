"""The site: build information, open configuration, user name and profile, schemas (A 1.2, 1.3, 2)."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from ..state import State
from ..wire import Answer, Refusal, Request
from . import Route

__all__ = ["ROUTES", "schema_files"]

FOLDER = Path(__file__).parent.parent / "schemas"
OPEN = ("siteId", "siteUrl", "siteHome", "siteLogoPath")


def build_info(state: State) -> dict[str, str]:
    """What the site says about its build; all strings."""
    return {
        "version": str(state.preferences["version"]),
        "buildNumber": "123",
        "buildDate": "Tue Jun 11 10:00:00 UTC 2024",
        "sha": "0123abc",
        "isDirty": "false",
        "branch": "master",
        "commit": "v1-0123abc",
    }


def get_build_info(request: Request, state: State) -> Answer:
    """The whole object."""
    return Answer.json(build_info(state))


def get_build_property(request: Request, state: State) -> Answer:
    """One of its values."""
    value = build_info(state).get(request.variables["NAME"])
    if value is None:
        raise Refusal(404, "")
    return Answer.text(value, content_type="text/plain;charset=UTF-8")


def get_open_value(request: Request, state: State) -> Answer:
    """siteId, siteUrl, siteHome, siteLogoPath: readable without login."""
    name = request.path.rpartition("/")[2]
    return Answer.text(str(state.preferences.get(name, "")), content_type="application/json")


def get_uptime(request: Request, state: State) -> Answer:
    """How long the site has been up."""
    return Answer.json({"days": "0", "hours": "0", "minutes": "1", "seconds": "0"})


def get_user_name(request: Request, state: State) -> Answer:
    """The login name."""
    if request.user == "guest":
        raise Refusal(401, "")
    return Answer.text(request.user, content_type="text/plain;charset=UTF-8")


@lru_cache(maxsize=1)
def schema_files() -> dict[str, Path]:
    """Schema names as `/xapi/schemas` lists them: file `a.b.xsd` is `a/b`, `a.xsd` is `a`."""
    return {p.name[: -len(".xsd")].replace(".", "/"): p for p in sorted(FOLDER.glob("*.xsd"))}


def list_schemas(request: Request, state: State) -> Answer:
    """All names."""
    return Answer.json(list(schema_files()))


def get_schema(request: Request, state: State) -> Answer:
    """One XSD, by its listed name or `dir/name` (`xnat` and `xnat/xnat` are the same)."""
    name = re.sub(r"\.xsd$", "", request.variables["NAME"])
    folder, _, last = name.rpartition("/")
    path = schema_files().get(name) or (schema_files().get(last) if folder == last else None)
    if path is None:
        raise Refusal(404, "")
    return Answer(body=path, content_type="application/xml")


ROUTES = [
    Route("GET", "/xapi/siteConfig/buildInfo", get_build_info, open=True),
    Route("GET", "/xapi/siteConfig/buildInfo/{NAME}", get_build_property, open=True),
    Route("GET", "/xapi/siteConfig/uptime", get_uptime),
    *(Route("GET", f"/xapi/siteConfig/{name}", get_open_value, open=True) for name in OPEN),
    Route("GET", "/xapi/users/username", get_user_name),
    Route("GET", "/xapi/schemas", list_schemas),
    Route("GET", "/xapi/schemas/{NAME*}", get_schema),
    Route("GET", "/schemas/{NAME*}", get_schema),
]
