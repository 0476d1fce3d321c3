"""The imitated addresses: one module per section of the wire contract.

A module offers `ROUTES`, a list of `Route(method, template, handler)`. Templates below `/data/`
are mounted at `/data` and `/REST` and, unless `archive=False`, a second time with `/archive`
behind the mount (wire contract A 0.1). `{NAME}` stands for one path segment; `{NAME*}` as the last
segment for one or more. Templates below `/data` match by the longest prefix and leave the rest in
`request.remainder`; all others must match whole. `open=True` answers without a login.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from ..state import State
from ..wire import Answer, Request

__all__ = ["MODULES", "Handler", "Route", "all_routes"]

Handler = Callable[[Request, State], Answer]


@dataclass(frozen=True)
class Route:
    """One verb of one address."""

    method: str
    template: str
    handler: Handler
    archive: bool = True
    open: bool = False


MODULES: tuple[str, ...] = (
    "login",
    "site",
    "projects",
    "project_settings",
    "subjects",
    "experiments",
    "scans",
    "resources",
    "files",
    "uploads",
    "disk",
    "accounts",
    "imports",
    "prearchive",
    "prearchive_content",
    "archiving",
    "refresh",
    "dicomdump",
    "tracking",
    "workflows",
    "batch_download",
    "site_services",
    "usercache",
    "search",
    "undetermined",
    "control",
)
"""Modules of this package with a `ROUTES` list; add yours here."""


def all_routes() -> list[Route]:
    """The routes of all modules, in order."""
    routes: list[Route] = []
    for name in MODULES:
        routes += importlib.import_module(f"{__name__}.{name}").ROUTES
    return routes


def set_up(state: State) -> None:
    """Calls `set_up(state)` of the modules that have one: token checks, worker threads."""
    for name in MODULES:
        prepare = getattr(importlib.import_module(f"{__name__}.{name}"), "set_up", None)
        if prepare is not None:
            prepare(state)
