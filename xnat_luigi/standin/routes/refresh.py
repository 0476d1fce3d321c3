"""Catalog refresh: `/data/services/refresh/catalog`, its `/xapi` variants (wire contract B 5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from ..dicom_import import Unreadable
from ..services import Services
from ..state import Catalog, Item, Resource, State
from ..state.resources import md5_of
from ..wire import Answer, Refusal, Request
from . import Route

__all__ = ["ROUTES"]

OPTIONS = ("append", "checksum", "delete", "populateStats")


@dataclass(frozen=True)
class _Scope:
    """What one `resource` means: the securing item and the resources to refresh."""

    item: Item
    resources: tuple[Resource, ...]


def post_refresh(request: Request, state: State) -> Answer:
    """Refreshes in the order given; the first failure ends it, what was done stays done.

    Raises: `Refusal` 400 malformed or absent, 403 no edit right, 500 else.
    """
    parameters = request.parameters()
    chosen = {
        word for text in parameters.all("options") for word in text.split(",") if word in OPTIONS
    }
    chosen |= {name for name in OPTIONS if name in parameters and parameters.flag(name)}
    _refresh_all(request, state, parameters.all("resource"), chosen)
    return Answer()


def put_refresh(request: Request, state: State) -> Answer:
    """The `/xapi` form: a JSON array of paths in the body, operations in the path."""
    try:
        paths = json.loads(request.body.read())
    except ValueError:
        raise Refusal(400, "The body is no JSON array.") from None
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise Refusal(400, "The body is no JSON array of strings.")
    words = unquote(request.variables.get("OPERATIONS", "All")).split(",")
    names = {name.lower(): name for name in OPTIONS}
    unknown = [word for word in words if word.lower() not in {*names, "all"}]
    if unknown:
        raise Refusal(400, f"Unknown operation: {unknown[0]}")
    chosen = {names[word.lower()] for word in words if word.lower() in names}
    _refresh_all(request, state, paths, set(OPTIONS) if "all" in map(str.lower, words) else chosen)
    return Answer()


def _refresh_all(request: Request, state: State, paths: Iterable[str], chosen: set[str]) -> None:
    if not chosen:
        # Without an option this source runs everything; checksums only if the site wants them.
        chosen = {"append", "delete", "populateStats"}
        chosen |= {"checksum"} if state.preferences["checksums"] else set()
    for path in paths:
        scope = _resolve(state, path)
        if not state.rights.may_item(request.user, "edit", scope.item):
            raise Refusal(403)
        for resource in scope.resources:
            refresh(state, resource, chosen, request.user)
        session = state.items.session_of(scope.item) or scope.item
        state.workflows.open(
            session.id,
            session.xsi_type,
            "Catalog(s) Refreshed",
            project=session.project,
            user=request.user,
            status="Complete",
        )


def refresh(state: State, resource: Resource, chosen: set[str], user: str) -> None:
    """Brings one catalog up to date with its folder; two catalogs in it: skipped (B 5.1)."""
    folder = resource.folder
    catalogs = list(folder.glob("*_catalog.xml")) if folder.is_dir() else []
    if len(catalogs) > 1:
        return
    with state.resources.locked(resource):
        catalog = state.resources.catalog(resource).copy()
        before = len(catalog.entries)
        changed = False
        if "append" in chosen:
            changed = _append(state, resource, catalog, user) or not catalogs
        if "delete" in chosen:
            catalog.entries = [e for e in catalog.entries if (folder / e.path).is_file()]
            changed = changed or len(catalog.entries) != before
        if "checksum" in chosen:
            changed = _checksum(resource, catalog) or changed
        if changed:
            state.resources.write(resource, catalog)
            state.items.touch(resource.item)
        if "populateStats" in chosen:
            state.resources.update_stats(resource)


def _append(state: State, resource: Resource, catalog: Catalog, user: str) -> bool:
    known = {entry.path for entry in catalog.entries}
    added = False
    for path in sorted(resource.folder.rglob("*")) if resource.folder.is_dir() else []:
        name = path.relative_to(resource.folder).as_posix()
        hidden = path.name.startswith(".") or path.name.endswith("_catalog.xml")
        if not path.is_file() or hidden or name in known:
            continue
        entry = state.resources.add_entry(resource, catalog, name, user=user, checksum=False)
        added = True
        if catalog.dicom:
            try:
                header = state.part(Services).headers.read(path)
            except Unreadable:
                continue
            entry.uid, entry.instance = header["SOPInstanceUID"], header["InstanceNumber"]
            entry.format = "DICOM"
    return added


def _checksum(resource: Resource, catalog: Catalog) -> bool:
    changed = False
    for entry in catalog.entries:
        path = resource.folder / entry.path
        if not path.is_file():
            continue
        digest, size = md5_of(path), path.stat().st_size
        if (digest, size) != (entry.digest, entry.size):
            entry.digest, entry.size, changed = digest, size, True
    return changed


# --- what a path means ------------------------------------------------------------------------


def _resolve(state: State, text: str) -> _Scope:
    """The item and resources behind `/archive/...`.

    Raises: `Refusal` 400 in every case, never 404 (B 5.1).
    """
    bare = text.removeprefix("/data").removeprefix("/REST")
    parts = [unquote(part) for part in bare.strip("/").split("/")]
    pairs = [part for part in parts[1:] if part not in {"in", "out"}]
    if not bare.startswith("/archive/") or len(pairs) % 2:
        raise Refusal(400, f"Malformed URI: {text}")
    if "files" in parts:
        raise Refusal(400, f"Invalid URI: {text}")
    item, rest = _walk(state, parts[1:], text)
    if rest[:1] == ["resources"] and len(rest) == 2:
        directions = ("", "out", "in")
        found = [state.resources.find(item, rest[1], d) for d in directions]
        resources = tuple(resource for resource in found if resource is not None)[:1]
        if not resources:
            raise _unlocated(text)
        return _Scope(item, resources)
    if rest:
        raise Refusal(400, f"Invalid URI: {text}")
    return _Scope(item, tuple(_cascade(state, item)))


def _unlocated(text: str) -> Refusal:
    return Refusal(400, f"Cannot locate archivable item securing {text}")


def _walk(state: State, parts: list[str], text: str) -> tuple[Item, list[str]]:
    """Follows `kind/name` pairs from the project down; returns the item and what is left."""
    items = state.items
    item: Item | None = None
    project: str | None = None
    while len(parts) >= 2 and parts[0] != "resources":
        kind, name = parts[0], parts[1]
        parts = parts[2:]
        if kind == "projects":
            item = items.project(name)
            project = item.id if item else None
        elif kind == "subjects":
            item = items.subject(project, name)
        elif kind == "experiments":
            item = items.experiment(project, name)
        elif kind == "assessors":
            item = items.experiment(item.project if item else project, name)
        elif kind == "scans" and item is not None:
            item = items.scan(item, name)
        elif kind == "reconstructions" and item is not None:
            below = items.below(item, "reconstruction")
            item = next((one for one in below if one.id == name), None)
        else:
            raise Refusal(400, f"Invalid URI: {text}")
        if item is None:
            raise _unlocated(text)
        if parts[:1] in (["in"], ["out"]):
            parts = parts[1:]
    if item is None:
        raise _unlocated(text)
    return item, parts


def _cascade(state: State, item: Item) -> Iterator[Resource]:
    """An experiment's resources with those of everything below it; others only their own."""
    yield from state.resources.of(item, None)
    if item.kind in {"experiment", "assessor"}:
        for below in state.items.below(item, "scan", "reconstruction", "assessor"):
            yield from state.resources.of(below, None)


ROUTES = [
    Route("POST", "/data/services/refresh/catalog", post_refresh, archive=False),
    Route("GET", "/data/services/refresh/catalog", lambda request, state: Answer(), archive=False),
    Route("PUT", "/xapi/archive/catalogs/refresh", put_refresh),
    Route("PUT", "/xapi/archive/catalogs/refresh/{OPERATIONS}", put_refresh),
]
