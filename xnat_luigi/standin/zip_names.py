"""What files are called inside a zip or tar: the layouts of `structure=` (wire contract A 6.7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from .routes.places import Owner
from .selecting import Found, Selection
from .state import Item, State
from .wire import Request

__all__ = ["archive_name", "entry_names"]

_RESERVED = re.compile(r'[/\\:*?"<>|]')


def archive_name(state: State, selection: Selection) -> str:
    """The name in Content-Disposition, without extension: that of the first session."""
    if selection.scope.sessions:
        return _root(state, selection.scope.sessions[0]).label
    item = selection.scope.owners[0].item
    return item.label or item.id


def _root(state: State, item: Item) -> Item:
    return state.items.session_of(item) or item


def entry_names(
    request: Request, state: State, selection: Selection, found: Iterable[Found]
) -> Iterator[tuple[str, Found]]:
    """(name inside the archive, file) in the layout asked for."""
    structure = (request.query.raw("structure") or "").lower()
    tar = "tar" in request.format
    prefix = _Prefix(request, state)
    session_of = _sessions(state)
    for one in found:
        owner, label, path = one.chosen.owner, one.chosen.resource.label, one.entry.path
        if structure == "legacy":
            name = _legacy(state, one)
        elif structure == "improved":
            name = _improved(request, owner, label, path, tar=tar)
        else:
            simplified = structure == "simplified"
            session = session_of(owner.item)
            name = _default(state, selection, session, owner, label, path, suffix=not simplified)
            if simplified:
                # Every such substring goes, also in the names of files: the server's own damage.
                name = name.replace("/resources", "").replace("/files", "")
        yield prefix.of(owner) + name, one


class _Prefix:
    """`projectIncludedInPath` and `subjectIncludedInPath`."""

    def __init__(self, request: Request, state: State) -> None:
        below = {"N", "A"} & set(request.variables)
        self._project = bool(below) and request.query.flag("projectIncludedInPath")
        self._subject = bool(below) and request.query.flag("subjectIncludedInPath")
        self._state = state

    def of(self, owner: Owner) -> str:
        name = f"{owner.item.project}/" if self._project else ""
        if self._subject:
            subject = self._state.items.subject_of(owner.item)
            name += f"{subject.label}/" if subject is not None else ""
        return name


def _sessions(state: State) -> Callable[[Item], Item]:
    """As `_root`, each item looked up once: a session has many files."""
    known: dict[int, Item] = {}

    def find(item: Item) -> Item:
        if item.pk not in known:
            known[item.pk] = _root(state, item)
        return known[item.pk]

    return find


def _default(
    state: State,
    selection: Selection,
    session: Item,
    owner: Owner,
    label: str,
    path: str,
    *,
    suffix: bool,
) -> str:
    item = owner.item
    tail = f"/resources/{label}/files/{path}"
    if item.kind in ("project", "subject", "experiment"):
        return (item.label or item.id) + tail
    if item.kind == "assessor":
        return _assessor(state, selection, session, owner, tail)
    if item.kind == "reconstruction":
        direction = f"/{owner.direction}" if owner.direction else ""
        return f"{session.label}/reconstructions/{item.id}{direction}{tail}"
    name = f"{session.id}/scans/{item.id}{tail}"
    kind = str(item.fields.get("type") or "")
    if suffix and selection.scope.by_scan and kind:
        # By substring, as the server does: a folder called like the scan is renamed with it.
        name = name.replace(f"/{item.id}/", f"/{item.id}-{re.sub(r'[^A-Za-z0-9_]', '_', kind)}/")
    return name.replace(session.id, session.label)


def _assessor(state: State, selection: Selection, session: Item, owner: Owner, tail: str) -> str:
    direction = f"/{owner.direction}" if owner.direction else ""
    asked = selection.scope.by_assessor or any(
        one.kind == "assessor" for one in selection.scope.sessions
    )
    if asked and (state.resources.item_folder(session) / "ASSESSORS").is_dir():
        return f"{owner.item.label}{direction}{tail}"
    return f"{session.label}/assessors/{owner.item.id}{direction}{tail}"


def _improved(request: Request, owner: Owner, label: str, path: str, *, tar: bool) -> str:
    item = owner.item
    if item.kind == "scan":
        kind = _RESERVED.sub("_", str(item.fields.get("type") or ""))
        suffix = f"_{kind}" if kind and not tar else ""
        return f"scans/{item.id}{suffix}/{label}/{path}"
    if item.kind in ("assessor", "reconstruction"):
        return f"{item.kind}s/{item.id}/{label}/{path}"
    if item.kind == "experiment" and not request.query.flag("all"):
        return f"resources/{item.id}_ /{label}/{path}"
    return f"resources/{label}/{path}"


def _legacy(state: State, one: Found) -> str:
    item = one.chosen.owner.item
    top = state.resources.item_folder(_root(state, item)).parent
    return one.place.relative_to(top).as_posix()
