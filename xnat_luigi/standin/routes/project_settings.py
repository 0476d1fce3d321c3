"""Settings of a project as plain text, and the words its scans use (wire contract B 2.8, B 10)."""

from __future__ import annotations

from functools import partial

from ..render.tables import table
from ..state import Item, State
from ..wire import Answer, Refusal, Request
from . import Route
from .finding import need, project_of, variable

__all__ = ["ROUTES"]

_DEFAULTS = {
    "accessibility": "private",
    "prearchive_code": "0",
    "quarantine_code": "0",
    "current_arc": "arc001",
    "scan_type_mapping": "true",
}
_ACCESS = ("public", "protected", "private")
_CODES = {"prearchive_code": ("0", "4", "5"), "quarantine_code": ("0", "1")}


def get_setting(name: str, request: Request, state: State) -> Answer:
    """A setting as text; `scan_type_mapping` can only be set (400)."""
    item = project_of(request, state)
    if name == "scan_type_mapping":
        raise Refusal(400)
    return Answer.text(state.rights.code(item.id, name, _DEFAULTS[name]))


def put_setting(name: str, request: Request, state: State) -> Answer:
    """Changes a setting.

    Raises: `Refusal` 400 not a value of it, 403 no right, or the site forbids to archive by itself.
    """
    item = project_of(request, state)
    need(request, state, "manage", item)
    value = _checked(name, variable(request, "VALUE"))
    allowed = state.preferences.get("project.allow-auto-archive", True)
    if name == "prearchive_code" and value != "0" and not allowed:
        raise Refusal(403, "This site does not allow sessions to be archived automatically.")
    state.rights.set_code(item.id, name, value)
    return Answer.text("")


def _checked(name: str, value: str) -> str:
    if name in _CODES:
        code = {"true": "1", "false": "0"}.get(value.lower(), value)
        # A `true` for the prearchive is 1, which no list of codes has: it acts like 0.
        if code not in _CODES[name] and code != "1":
            raise Refusal(400, f"Invalid {name}: {value}")
        return code
    if name == "accessibility" and value not in _ACCESS:
        raise Refusal(400, f"Invalid accessibility: {value}")
    if name == "scan_type_mapping" and value not in ("true", "false"):
        raise Refusal(400)
    if not value or value in (".", ".."):
        raise Refusal(400)
    return value


# Words in use -------------------------------------------------------------------------------------


def list_scan_types(request: Request, state: State) -> Answer:
    """The types of the scans that can be read, with their series descriptions.

    `table=xnat_mrScanData` asks for one kind of scan.
    """
    kind = (request.query.raw("table") or "").replace("_", ":", 1)
    found: dict[str, list[str]] = {}
    for scan in _items(request, state, "scan"):
        if kind and scan.xsi_type != kind:
            continue
        descriptions = found.setdefault(str(scan.fields.get("type") or ""), [])
        text = str(scan.fields.get("series_description") or "")
        if text and text not in descriptions:
            descriptions.append(text)
    rows = [
        {"series_descriptions": ",".join(sorted(found[word])), "type": word}
        for word in sorted(found)
        if word
    ]
    return table(request, ("series_descriptions", "type"), rows)


def list_scanners(request: Request, state: State) -> Answer:
    """The names of the scanners in use."""
    names = {
        str(item.fields["scanner"])
        for item in _items(request, state, "experiment", "scan")
        if item.fields.get("scanner")
    }
    return table(request, ("scanner",), [{"scanner": name} for name in sorted(names)])


def _items(request: Request, state: State, *kinds: str) -> list[Item]:
    if "P" in request.variables:
        project = project_of(request, state).id
        return [item for item in state.items.all(*kinds) if item.project == project]
    readable = state.rights.readable_projects(request.user)
    found = state.items.all(*kinds)
    return [item for item in found if readable is None or item.project in readable]


_P = "/data/projects/{P}"
ROUTES = [
    *(Route("GET", f"{_P}/{name}", partial(get_setting, name)) for name in _DEFAULTS),
    *(Route("PUT", f"{_P}/{name}/{{VALUE}}", partial(put_setting, name)) for name in _DEFAULTS),
    Route("GET", f"{_P}/scan_types", list_scan_types),
    Route("GET", f"{_P}/scanners", list_scanners),
    Route("GET", "/data/scan_types", list_scan_types),
    Route("GET", "/data/scanners", list_scanners),
]
