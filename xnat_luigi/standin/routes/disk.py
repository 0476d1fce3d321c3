"""What lies in a session's folder, whatever the catalogs say (wire contract A 3.6, `DIR`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from ..render.tables import table
from ..state import State
from ..wire import Answer, Refusal, Request
from . import Route
from .places import PARTIAL, experiment_of

__all__ = ["ROUTES"]


def get_directory(request: Request, state: State) -> Answer:
    """A folder's listing, or the bytes of one file; not for guests.

    Raises: `Refusal` 401 for guests, 404 for what is not there or outside the folder.
    """
    if request.user == "guest":
        raise Refusal(401)
    session = experiment_of(request, state)
    top = state.resources.item_folder(session)
    words = [unquote(word) for word in request.remainder.split("/") if word]
    if ".." in words or "\0" in request.remainder:
        raise Refusal(404)
    place = top.joinpath(*words)
    if place.is_file():
        return Answer(body=place, content_type="application/octet-stream")
    if not place.is_dir():
        raise Refusal(404)
    rows = [
        {
            "Name": path.name,
            "DIR": path.parent.relative_to(top).as_posix(),
            "Size": "" if path.is_dir() else path.stat().st_size,
            "URI": f"/data/experiments/{session.id}/DIR/{path.relative_to(top).as_posix()}",
        }
        for path in _within(place, request.query.flag("recursive"))
    ]
    return table(request, ("Name", "DIR", "Size", "URI"), rows)


def _within(folder: Path, recursive: bool) -> Iterator[Path]:
    if not recursive:
        yield from sorted(folder.iterdir())
        return
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def get_xar(request: Request, state: State) -> Answer:
    """XNAT's own archive format, which nobody asks for."""
    experiment_of(request, state)
    raise Refusal(501, "XAR archives are not imitated: ask for format=zip.")


ROUTES = [
    Route("GET", f"{base}/{name}", handler)
    for base in ("/data/experiments/{E}", *PARTIAL)
    for name, handler in (("DIR", get_directory), ("XAR", get_xar))
]
