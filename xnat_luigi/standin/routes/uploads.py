"""Uploads: `PUT` or `POST …/resources/R/files/F` (wire contract A 6.4)."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..documents import justify
from ..selecting import select
from ..state import Item, Resource, State
from ..uploading import Arrived, arrivals
from ..wire import Answer, Refusal, Request
from . import Route
from .places import Owner
from .resources import PLACES, WITHOUT_FILES, make_resource, placed, usable_label

__all__ = ["ROUTES", "Uploads"]


class Uploads:
    """Which resources are being written to: for the race of the real server."""

    def __init__(self, state: State) -> None:
        self._busy: dict[int, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def writing(self, resource: Resource) -> Iterator[bool]:
        """A write; yields whether another one was going on."""
        with self._lock:
            others = self._busy.get(resource.pk, 0)
            self._busy[resource.pk] = others + 1
        try:
            yield others > 0
        finally:
            with self._lock:
                self._busy[resource.pk] -= 1


def put_files(request: Request, state: State) -> Answer:
    """Stores files: 200 in every case that is no error, also for duplicates and without rights."""
    if "R" not in request.variables:
        raise Refusal(501, "Uploads without a resource in the address are not imitated.")
    owner = _owner(request, state)
    if not state.rights.may_item(request.user, "edit", owner.item):
        return Answer.text("")  # nothing is stored, nothing is said
    justify(request, state, 500)
    arrived = arrivals(request, state)
    try:
        if not arrived:
            raise Refusal(400, "The request holds no file.")
        resource = _resource(request, state, owner)
        duplicates = _store_all(request, state, owner.item, resource, arrived)
    finally:
        for one in arrived:
            with suppress(OSError):
                one.waiting.unlink()
    if duplicates:
        text = json.dumps({"duplicates": duplicates}, separators=(",", ":"))
        return Answer.text(text, content_type="text/html")
    return Answer.text("")


def _owner(request: Request, state: State) -> Owner:
    label = request.variables.pop("R")
    owners = select(request, state).scope.owners
    request.variables["R"] = label
    return owners[0]


def _resource(request: Request, state: State, owner: Owner) -> Resource:
    """The resource, made if it is not there; a numeric id counts only at its owner's own level."""
    label = request.variables["R"]
    with state.store.writing():  # one of several parallel uploads makes it, the others find it
        found = state.resources.find(owner.item, label, owner.direction)
        if found is None:
            usable_label(label)
            found = make_resource(request, state, owner.item, label, owner.direction)
            if not request.query.flag("update-stats", True):
                # Never counted: the listing shows empty cells until a refresh.
                found.file_count = found.file_size = None
                state.resources.save(found)
        return found


def _store_all(
    request: Request, state: State, item: Item, resource: Resource, arrived: list[Arrived]
) -> list[str]:
    """Stores what is new (or everything, with `overwrite`) and returns the duplicates' paths."""
    overwrite = request.query.flag("overwrite")
    counting = request.query.flag("update-stats", True)
    session = state.items.session_of(item) or item
    event = 0
    if counting:
        reason = request.query.get("event_reason")
        event = state.workflows.open(
            session.id, session.xsi_type, "Uploaded File", project=item.project,
            user=request.user, reason=reason,
        )  # fmt: skip
    duplicates, stored = [], []
    with state.part(Uploads).writing(resource) as racing:
        for one in arrived:
            target = resource.folder / one.path
            if target.name.endswith("_catalog.xml") and target == resource.catalog_path:
                raise Refusal(500)
            # The disk is asked, not the catalog: what a race left behind counts (A 6.4).
            if target.exists() and not overwrite:
                duplicates.append(one.path)
                continue
            _place(state, resource, one)
            stored.append(one)
        if racing and state.preferences["catalogRace"]:
            raise Refusal(500)  # bytes on disk, nothing in the catalog
        _enter(request, state, resource, stored, str(event or ""))
    if counting:
        state.resources.update_stats(resource)
        if not duplicates:
            state.workflows.finish(event)
    return duplicates


def _place(state: State, resource: Resource, one: Arrived) -> None:
    target = resource.folder / one.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and state.preferences["fileHistory"]:
        name = f"{state.clock.now():%Y%m%d_%H%M%S%f}"
        kept = state.resources.archive.parent / "cache" / "history" / name / one.path
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(target, kept)
    one.waiting.chmod(0o644)
    os.utime(one.waiting)  # the time of storing, not of arriving
    os.replace(one.waiting, target)


def _enter(
    request: Request, state: State, resource: Resource, stored: list[Arrived], event: str
) -> None:
    """Catalogues stored files and carries the request's attributes over to the resource."""
    format, content = request.query.get("format"), request.query.get("content")
    tags = [tag for text in request.query.all("tags") for tag in text.split(",") if tag]
    with state.resources.locked(resource):
        fresh = state.resources.get(resource.pk)
        if fresh is None:
            raise Refusal(500)  # somebody removed it meanwhile
        catalog = state.resources.catalog(fresh).copy()
        for one in stored:
            if one.extracted and one.path.endswith("_catalog.xml"):
                continue
            state.resources.add_entry(
                fresh, catalog, one.path, user=request.user, format=format, content=content,
                tags=tags, event=event,
            )  # fmt: skip
        state.resources.write(fresh, catalog)
        fresh.format = format or fresh.format
        fresh.content = content or fresh.content
        fresh.description = request.query.get("description") or fresh.description
        fresh.tags += [tag for tag in tags if tag not in fresh.tags]
        state.resources.save(fresh)
    resource.__dict__.update(vars(fresh))


def _routes() -> Iterator[Route]:
    for base, direction in PLACES:
        templates = [f"{base}/resources/{{R}}/files"]
        if base not in WITHOUT_FILES:
            templates.append(f"{base}/files")
        for template in templates:
            yield Route("PUT", template, placed(put_files, direction))
            yield Route("POST", template, placed(put_files, direction))


ROUTES = list(_routes())
