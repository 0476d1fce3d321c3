"""Download of many sessions in two steps, `/xapi/archive/download...` (wire contract A 6.7 b)."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from ..state import Item, Resource, State
from ..wire import Answer, Refusal, Request
from ..zipping import zip_chunks
from . import Route

__all__ = ["ROUTES"]

_TYPE = re.compile(r"[\\/(), ]")
_LEVEL = 6


@dataclass(frozen=True)
class _File:
    """One file of a plan: its name in the zip, where it lies, its address."""

    name: str
    path: Path
    uri: str


@dataclass
class _Plan:
    """What one order names. `unknown` counts resources without statistics."""

    files: list[_File]
    size: int = 0
    unknown: int = 0


class _Plans:
    """Plans by user and id; in memory only, so a restart forgets them as the real server does."""

    def __init__(self, state: State) -> None:
        self._lock = threading.Lock()
        self._plans: dict[tuple[str, str], _Plan] = {}
        self._clock = state.clock

    def keep(self, login: str, plan: _Plan) -> str:
        with self._lock:
            stamp = self._clock.now().strftime("%Y%m%d_%H%M%S%f")[:18]
            name, number = f"{login}-{stamp}", 0
            while (login, name) in self._plans:
                number += 1
                name = f"{login}-{stamp}{number}"
            self._plans[login, name] = plan
            return name

    def get(self, login: str, name: str) -> _Plan | None:
        with self._lock:
            return self._plans.get((login, name))


@dataclass(frozen=True)
class _Asked:
    """The order's lists; an omitted one is a list of one empty string, which matches nothing."""

    document: dict[str, Any]

    def words(self, name: str) -> set[str | None]:
        found = self.document.get(name)
        return set(found) if isinstance(found, list) else {""}

    def option(self, name: str) -> bool:
        return name in self.words("options")


def post_order(request: Request, state: State) -> Answer:
    """`downloadwithsize` answers id and size, `download` the id alone.

    Raises: `Refusal` 204 no sessions or projects named, 403 one of them cannot be read.
    """
    asked = _Asked(_document(request))
    sessions = asked.document.get("sessions")
    projects = asked.document.get("projectIds") or asked.document.get("projectId")
    if not sessions or not projects:
        raise Refusal(204)
    plan = _Plan([])
    for words in sessions:
        _add_session(request, state, plan, str(words), asked)
    name = state.part(_Plans).keep(request.user, plan)
    if not request.path.endswith("withsize"):
        return Answer.text(name)
    sizes = {"size": str(plan.size), "resourcesOfUnknownSize": str(plan.unknown)}
    return Answer.json({"id": name, **sizes})


def _document(request: Request) -> dict[str, Any]:
    try:
        document = json.loads(request.body.read())
    except ValueError:
        raise Refusal(400, "The body is no JSON.") from None
    if not isinstance(document, dict):
        raise Refusal(400, "The body is no JSON object.")
    return document


def _add_session(request: Request, state: State, plan: _Plan, words: str, asked: _Asked) -> None:
    parts = words.split(":")
    if len(parts) != 4:
        raise Refusal(400, f"Not project:subject:session:ID: {words}")
    project, subject, label, identifier = parts
    session = state.items.by_id(identifier, "experiment")
    if session is None or not state.rights.may_item(request.user, "read", session):
        raise Refusal(403, f"You may not read the session {identifier}.")
    prefix = f"{project}/" if asked.option("projectIncludedInPath") else ""
    prefix += f"{subject}/" if asked.option("subjectIncludedInPath") else ""
    for resource, folder, flat in _resources(state, session, asked):
        plan.size += resource.file_size or 0
        plan.unknown += resource.file_size is None
        uri = f"/data/experiments/{session.id}/resources/{resource.pk}/files"
        for entry in state.resources.catalog(resource).entries:
            # The server cuts the path with a pattern that fails behind a type: the name is left.
            path = entry.path.rpartition("/")[2] if flat else entry.path
            plan.files.append(
                _File(
                    f"{prefix}{label}/{folder}/{path}",
                    resource.folder / entry.path,
                    f"{uri}/{entry.path}",
                )
            )


def _resources(state: State, session: Item, asked: _Asked) -> Iterator[tuple[Resource, str, bool]]:
    """(resource, folder in the zip below the session, whether its folders are flattened)."""
    simple = asked.option("simplified")
    for scan in state.items.below(session, "scan"):
        kind = str(scan.fields.get("type") or "")
        if (kind or None) not in asked.words("scan_types"):
            continue
        suffix = f"-{_TYPE.sub('_', kind)}" if kind else ""
        for resource in _labelled(state, scan, asked.words("scan_formats")):
            where = f"scans/{scan.id}{suffix}/resources"
            folder = scan.id if simple else where
            yield resource, f"{folder}/{resource.label}", bool(suffix) and not simple
    for resource in _labelled(state, session, asked.words("resources")):
        yield resource, f"{'' if simple else 'resources/'}{resource.label}", False
    for kind, field in (("assessor", "assessors"), ("reconstruction", "reconstructions")):
        for item in state.items.below(session, kind):
            if not asked.words(field) & _names(item):
                continue
            name = item.label or item.id
            for resource in state.resources.of(item, None):
                where = f"{field}/{name}/resources"
                yield resource, f"{name if simple else where}/{resource.label}", False


def _labelled(state: State, item: Item, labels: set[str | None]) -> Iterable[Resource]:
    return [one for one in state.resources.of(item) if one.label in labels]


def _names(item: Item) -> set[str | None]:
    """By what an order may name it; that the real server takes all of these is not determined."""
    names = (item.id, item.label, item.xsi_type, str(item.fields.get("type") or ""))
    return {name for name in names if name}


# The second step ----------------------------------------------------------------------------------


def _plan(request: Request, state: State) -> _Plan:
    """The caller's own plan.

    Raises: `Refusal` 403 unknown, lost in a restart, or somebody else's.
    """
    plan = state.part(_Plans).get(request.user, request.variables["ID"])
    if plan is None:
        raise Refusal(403)
    return plan


def get_zip(request: Request, state: State) -> Answer:
    """The zip, deflated and without a length; files that are not on disk are left out."""
    plan = _plan(request, state)
    files = [(file.name, file.path) for file in plan.files if file.path.is_file()]
    name = request.variables["ID"]
    return Answer(
        body=zip_chunks(files, _LEVEL),
        content_type="application/zip",
        headers=[("Content-Disposition", f'attachment; filename="{name}.zip"')],
        chunked=True,
    )


def get_xml(request: Request, state: State) -> Answer:
    """The plan as a catalog, with its length."""
    plan = _plan(request, state)
    entries = "".join(
        f"<cat:entry name={quoteattr(file.name)} URI={quoteattr(file.uri)}/>" for file in plan.files
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<cat:Catalog ID={quoteattr(request.variables['ID'])}"
        ' xmlns:cat="http://nrg.wustl.edu/catalog">'
        f"<cat:entries>{entries}</cat:entries></cat:Catalog>\n"
    )
    return Answer(body=body.encode(), content_type="application/xml")


def get_test(request: Request, state: State) -> Answer:
    """A zip of the same names whose files say only what they stand for (form not determined)."""
    import io
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _plan(request, state).files:
            archive.writestr(file.name, f"{file.uri}\n")
    return Answer(body=stream.getvalue(), content_type="application/zip", chunked=True)


_ID = "/xapi/archive/download/{ID}"
ROUTES = [
    Route("POST", "/xapi/archive/downloadwithsize", post_order),
    Route("POST", "/xapi/archive/download", post_order),
    Route("GET", f"{_ID}/zip", get_zip),
    Route("GET", f"{_ID}/xml", get_xml),
    Route("GET", f"{_ID}/test", get_test),
]
