"""From the variables of an address to items, with rights: hidden is not there (A 4, 6.1, 7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from ..state import Item, State
from ..types import is_a
from ..wire import Refusal, Request

__all__ = [
    "PARTIAL",
    "SESSIONS",
    "WHOLE",
    "Owner",
    "Scope",
    "assessor_of",
    "check",
    "experiment_of",
    "project_of",
    "reconstruction_of",
    "scan_of",
    "scope_of",
    "subject_of",
]

WHOLE = ("/data/projects/{P}/subjects/{S}/experiments/{E}", "/data/experiments/{E}")
PARTIAL = ("/data/projects/{P}/experiments/{E}",)
SESSIONS = WHOLE + PARTIAL
NO_EXPERIMENT = "Unable to find the specified experiment."
NO_SUBJECT = (
    "Unable to find the specified subject. A label can only be used when the project is part of "
    "the URL."
)


def _visible(state: State, user: str, item: Item | None) -> Item | None:
    return item if item is not None and state.rights.may_item(user, "read", item) else None


def check(request: Request, state: State, item: Item, action: str, message: str = "") -> None:
    """Raises: `Refusal` 403 when the user may not do this with the item."""
    if not state.rights.may_item(request.user, action, item):
        raise Refusal(403, message or "User account doesn't have permission for this item.")


def project_of(request: Request, state: State) -> Item:
    """The project of the address.

    Raises: `Refusal` 404 when it does not exist or is hidden.
    """
    item = _visible(state, request.user, state.items.project(request.variables["P"]))
    if item is None:
        raise Refusal(404, NO_EXPERIMENT)
    return item


def _project_name(request: Request, state: State) -> str | None:
    name = request.variables.get("P")
    if name is None:
        return None
    project = state.items.project(name)
    return name if project is None else project.id


def maybe_subject(request: Request, state: State) -> Item | None:
    """The subject of the address: ID first, label where a project is named."""
    found = state.items.subject(_project_name(request, state), request.variables["S"])
    return _visible(state, request.user, found)


def subject_of(request: Request, state: State) -> Item:
    """Raises: `Refusal` 404."""
    item = maybe_subject(request, state)
    if item is None:
        raise Refusal(404, NO_SUBJECT)
    return item


def maybe_experiment(request: Request, state: State) -> Item | None:
    """The experiment of the address; whether it belongs to P or S is not looked at (A 7)."""
    found = state.items.experiment(_project_name(request, state), request.variables["E"])
    return _visible(state, request.user, found)


def experiment_of(request: Request, state: State, missing: int = 404) -> Item:
    """Raises: `Refusal` with the status `missing`."""
    item = maybe_experiment(request, state)
    if item is None:
        raise Refusal(missing, NO_EXPERIMENT if missing == 404 else None)
    return item


def scan_of(request: Request, state: State) -> Item:
    """The scan of the address, by ID only."""
    session = experiment_of(request, state)
    scan = state.items.scan(session, request.variables["N"])
    if scan is None:
        raise Refusal(404, "Unable to find the specified scan.")
    return scan


def maybe_assessor(state: State, session: Item, name: str) -> Item | None:
    """An assessor of a session by ID or label."""
    for item in state.items.below(session, "assessor"):
        if name in (item.id, item.label):
            return item
    return None


def assessor_of(request: Request, state: State) -> Item:
    """The assessor of the address."""
    session = experiment_of(request, state)
    name = request.variables["A"]
    item = maybe_assessor(state, session, name) or state.items.by_id(name, "assessor")
    item = _visible(state, request.user, item)
    if item is None:
        raise Refusal(404, NO_EXPERIMENT)
    return item


def reconstruction_of(request: Request, state: State) -> Item:
    """The reconstruction of the address, looked up globally (A 7)."""
    experiment_of(request, state)
    item = _visible(
        state, request.user, state.items.by_id(request.variables["X"], "reconstruction")
    )
    if item is None:
        raise Refusal(404, "Unable to find the specified reconstruction.")
    return item


# Whose resources ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Owner:
    """An item whose resources are meant, and which of them: "", "in", "out"."""

    item: Item
    direction: str = ""
    category: str = "resources"


@dataclass
class Scope:
    """What a `resources` or `files` address is about."""

    owners: list[Owner] = field(default_factory=list)
    sessions: list[Item] = field(default_factory=list)
    by_scan: bool = False
    by_assessor: bool = False
    several: bool = False
    """A list or `ALL` was used, so URIs do not mirror the request."""


def _words(text: str) -> list[str]:
    words = [unquote(word) for word in text.split(",")]
    return [word.replace("[SLASH]", "/").replace("[COMMA]", ",") for word in words if word]


def is_list(name: str) -> bool:
    """Whether a path value is a selector that names several things."""
    return name in ("ALL", "*") or "," in name


def select_scans(state: State, session: Item, selector: str) -> list[Item]:
    """Scans by ID or type, `ALL`, `*`, `NULL` and comma lists (A 6.7)."""
    scans = state.items.below(session, "scan")
    words = _words(selector)
    if "ALL" in words or "*" in words:
        return scans
    return [
        scan
        for scan in scans
        if scan.id in words
        or str(scan.fields.get("type") or "") in words
        or ("NULL" in words and not scan.fields.get("type"))
    ]


def select_assessors(state: State, session: Item, selector: str) -> list[Item]:
    """Assessors by ID, label, xsiType, `ALL`, `*` and comma lists."""
    items = state.items.below(session, "assessor")
    words = _words(selector)
    if "ALL" in words or "*" in words:
        return items
    return [a for a in items if a.id in words or a.label in words or a.xsi_type in words]


def everything(state: State, session: Item) -> list[Owner]:
    """All owners of resources in a session (`all=true`, A 3.6)."""
    owners = [Owner(session)]
    owners += [Owner(scan, "", "scans") for scan in state.items.below(session, "scan")]
    for item in state.items.below(session, "reconstruction"):
        owners.append(Owner(item, "out", "reconstructions"))
    for item in state.items.below(session, "assessor"):
        owners.append(Owner(item, "out", "assessors"))
        owners.append(Owner(item, "", "assessors"))
    return owners


def scope_of(request: Request, state: State, *, files: bool) -> Scope:
    """Whose resources an address means; on GET a wrong child gives its parent's (A 6.1).

    Raises: `Refusal` 404, and 500 where the real server runs into a null pointer.
    """
    names = request.variables
    reading = request.method == "GET"
    if "E" in names:
        sessions = _sessions(request, state, names["E"], reading)
        if sessions:
            return _below_sessions(request, state, sessions, files, reading)
        if not reading:
            raise Refusal(404, "Unable to identify experiment")
        if "P" not in names:
            raise Refusal(500 if files else 404, None if files else NO_EXPERIMENT)
        if "N" in names or "A" in names or "X" in names:
            raise Refusal(500 if files else 404, None if files else NO_EXPERIMENT)
    if "S" in names:
        subject = maybe_subject(request, state)
        if subject is not None:
            return Scope([Owner(subject, "", "subjects")])
        if not reading or "P" not in names:
            raise Refusal(404, NO_SUBJECT)
    return Scope([Owner(project_of(request, state), "", "projects")])


def _sessions(request: Request, state: State, names: str, reading: bool) -> list[Item]:
    project = _project_name(request, state)
    words = _words(names) if "," in names else [names]
    if len(words) > 1 and not reading:
        raise Refusal(404, "Unable to identify experiment")
    found = [_visible(state, request.user, state.items.experiment(project, word)) for word in words]
    return [item for item in found if item is not None]


def _below_sessions(
    request: Request, state: State, sessions: list[Item], files: bool, reading: bool
) -> Scope:
    names = request.variables
    scope = Scope(sessions=sessions, several=len(sessions) > 1)
    direction = names.get("D", "out")
    if "N" in names:
        scope.by_scan = True
        scope.several |= is_list(names["N"])
        found = [s for one in sessions for s in select_scans(state, one, names["N"])]
        scope.owners = [Owner(scan, "", "scans") for scan in found]
        _need_one(found, names["N"], "scan", files, reading)
    elif "A" in names:
        scope.by_assessor = True
        scope.several |= is_list(names["A"])
        found = [a for one in sessions for a in select_assessors(state, one, names["A"])]
        scope.owners = [Owner(item, direction, "assessors") for item in found]
        _need_one(found, names["A"], "assessor", files, reading)
    elif "X" in names:
        words = _words(names["X"])
        items = [r for one in sessions for r in state.items.below(one, "reconstruction")]
        found = [r for r in items if r.id in words or "ALL" in words or "*" in words]
        scope.owners = [Owner(item, direction, "reconstructions") for item in found]
        scope.several |= is_list(names["X"])
        _need_one(found, names["X"], "reconstruction", files, reading)
    else:
        scope.owners = _of_sessions(request, state, sessions)
    return scope


def _need_one(found: list[Item], name: str, what: str, files: bool, reading: bool) -> None:
    if not reading and (len(found) != 1 or is_list(name)):
        raise Refusal(404, f"Unable to identify {what}")
    if not found and not is_list(name):
        raise Refusal(500 if files else 404, None if files else f"Unable to find the {what}.")


def _of_sessions(request: Request, state: State, sessions: Iterable[Item]) -> list[Owner]:
    owners = []
    for item in sessions:
        if item.kind == "assessor":
            owners.append(Owner(item, "out", "assessors"))
        elif request.query.flag("all") and is_a(item.xsi_type, "xnat:imageSessionData"):
            owners += everything(state, item)
        else:
            owners.append(Owner(item))
    return owners
