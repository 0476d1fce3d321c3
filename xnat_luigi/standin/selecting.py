"""Which resources and files an address means (wire contract A 6.1, A 6.2)."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote_plus

from .routes.places import Owner, Scope, is_list, scope_of
from .state import Entry, Item, Resource, State
from .wire import Refusal, Request

__all__ = ["Chosen", "Found", "Selection", "chosen_of", "entries_of", "select", "uri_base"]


@dataclass(frozen=True)
class Chosen:
    """A resource together with the item whose it is."""

    owner: Owner
    resource: Resource


@dataclass(frozen=True)
class Found:
    """A catalogued file."""

    chosen: Chosen
    entry: Entry

    @property
    def place(self) -> Path:
        """Where its bytes lie, or should."""
        return self.chosen.resource.folder / self.entry.path


@dataclass
class Selection:
    """The resources of an address; `one`: a single one was named, so URIs mirror the request."""

    scope: Scope
    chosen: list[Chosen]
    one: bool


def select(request: Request, state: State, *, files: bool = True) -> Selection:
    """Resolves an address.

    Raises: `Refusal` as `scope_of` does; 404 for a numeric id that the caller may not read.
    """
    scope = scope_of(request, state, files=files)
    name = request.variables.get("R")
    if name is None:
        return Selection(scope, list(_all_of(state, scope.owners)), False)
    chosen: list[Chosen] = []
    for word in name.split(","):
        chosen += _named(request, state, scope, word)
    return Selection(scope, chosen, not (scope.several or is_list(name)))


def _all_of(state: State, owners: Iterable[Owner]) -> Iterator[Chosen]:
    for owner in owners:
        for resource in state.resources.of(owner.item, owner.direction):
            yield Chosen(owner, resource)


def _named(request: Request, state: State, scope: Scope, name: str) -> list[Chosen]:
    if name.isdigit():
        # A number is an id wherever it stands, so labels of digits cannot be reached (A 6.1).
        resource = state.resources.get(int(name))
        item = None if resource is None else state.items.by_pk(resource.item)
        if resource is None or item is None:
            return []
        if not state.rights.may_item(request.user, "read", item):
            raise Refusal(404)
        return [Chosen(_owner(item, resource, scope), resource)]
    return [c for c in _all_of(state, scope.owners) if c.resource.label == name]


def _owner(item: Item, resource: Resource, scope: Scope) -> Owner:
    for owner in scope.owners:
        if owner.item.pk == item.pk:
            return replace(owner, direction=resource.direction)
    category = {"scan": "scans", "assessor": "assessors", "reconstruction": "reconstructions"}
    return Owner(item, resource.direction, category.get(item.kind, "resources"))


def chosen_of(request: Request, state: State) -> Chosen | None:
    """The resource that a changing request names, or None where there is no such one."""
    selection = select(request, state)
    return selection.chosen[0] if selection.chosen else None


# Files -------------------------------------------------------------------------------------------


def entries_of(state: State, chosen: Iterable[Chosen]) -> Iterator[Found]:
    """Every catalogued file of the resources, on disk or not."""
    for one in chosen:
        for entry in state.resources.catalog(one.resource).entries:
            yield Found(one, entry)


def find_one(state: State, chosen: Iterable[Chosen], path: str) -> Found | None:
    """The file of this path: raw first, then decoded; in the first resource that has it."""
    for wanted in dict.fromkeys((path, unquote_plus(path))):
        for one in chosen:
            entry = state.resources.catalog(one.resource).find(wanted)
            if entry is not None:
                return Found(one, entry)
    return None


def below(found: Iterable[Found], folder: str, *, deeper: bool) -> list[Found]:
    """Files below a folder; `deeper` keeps only those of its subfolders (the inverted flag)."""
    inside = [f for f in found if f.entry.path.startswith(folder)]
    return [f for f in inside if not deeper or "/" in f.entry.path[len(folder) :]]


def like(found: Iterable[Found], pattern: str) -> list[Found]:
    """Files whose path meets a wildcard."""
    return [f for f in found if fnmatch.fnmatchcase(f.entry.path, pattern)]


def wanted(request: Request, found: Iterable[Found]) -> list[Found]:
    """`file_content=` and `file_format=`; `NULL` works for the first one only (A 6.2)."""
    contents, formats = request.query.all("file_content"), request.query.all("file_format")
    return [
        f
        for f in found
        if (not contents or (f.entry.content or "NULL") in contents)
        and (not formats or (f.entry.format and f.entry.format in formats))
    ]


# URIs --------------------------------------------------------------------------------------------


def uri_base(request: Request, state: State, selection: Selection, chosen: Chosen) -> str:
    """What a file's URI begins with, up to and including `files/` (A 6.2)."""
    tail = f"/resources/{chosen.resource.pk}/files/"
    if selection.one:
        return _mirrored(request, state, selection, chosen) + tail
    return _plain(state, chosen.owner) + tail


def _plain(state: State, owner: Owner) -> str:
    item = owner.item
    if item.kind == "project":
        return f"/data/projects/{item.id}"
    if item.kind == "subject":
        return f"/data/projects/{item.project}/subjects/{item.id}"
    if item.kind == "experiment" or item.parent is None:
        return f"/data/experiments/{item.id}"
    above = state.items.by_pk(item.parent)
    return f"/data/experiments/{above.id if above else ''}{_child(owner)}"


def _child(owner: Owner) -> str:
    item = owner.item
    direction = f"/{owner.direction}" if owner.direction else ""
    name = {"scan": "scans", "assessor": "assessors", "reconstruction": "reconstructions"}
    return f"/{name[item.kind]}/{item.id}{direction}"


def _mirrored(request: Request, state: State, selection: Selection, chosen: Chosen) -> str:
    names = request.variables
    project = state.items.project(names["P"]) if "P" in names else None
    base = f"/data/projects/{project.id}" if project is not None else "/data"
    if not selection.scope.sessions:
        item = selection.scope.owners[0].item
        return base if item.kind == "project" else f"{base}/subjects/{item.id}"
    session = selection.scope.sessions[0]
    if "S" in names:
        subject = state.items.subject_of(session)
        base += f"/subjects/{subject.id if subject else names['S']}"
    base += f"/experiments/{session.id}"
    below_it = {"N", "A", "X"} & set(names)
    owner = selection.scope.owners[0] if selection.scope.owners else chosen.owner
    return base + _child(owner) if below_it else base
