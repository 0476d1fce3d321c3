"""Addresses of part A whose answers are not determined: 501 with a sentence (docs/standin.md).

Without a route of their own the best prefix would answer for them, with the wrong document.
"""

from __future__ import annotations

from functools import partial

from ..state import State
from ..wire import Answer, Refusal, Request
from . import Route

__all__ = ["ROUTES", "UNDETERMINED"]

UNDETERMINED: dict[str, tuple[str, str]] = {
    "/data/projects/{P}/groups": ("GET", "the groups of a project are not described"),
    "/data/projects/{P}/searches/{ID}": ("GET", "searches of a project are not described"),
    "/data/projects/{P}/archive_spec": ("GET", "the archive specification is not described"),
    "/data/projects/{P}/config": ("GET PUT", "the configuration service is not described"),
    "/data/projects/{P}/pars": ("GET POST PUT", "project access requests are not described"),
    "/data/pars": ("GET POST PUT", "project access requests are not described"),
    "/data/status": ("GET", "only the status of one key is described"),
    "/data/config": ("GET PUT", "the configuration service is not described"),
    "/data/automation": ("GET PUT POST DELETE", "automation scripts are not described"),
    "/data/investigators": ("GET", "the columns of this listing are not described"),
    "/xapi/users/authProviders": ("GET", "the form of this list is not described"),
    "/xapi/schemas/datatypes/names": ("GET", "the form of this document is not described"),
    "/xapi/schemas/datatypes/names/{TYPE}": ("GET", "the form of this document is not described"),
    "/xapi/schemas/datatypes/elements": ("GET", "the form of this document is not described"),
    "/xapi/schemas/datatypes/elements/{TYPE}": (
        "GET",
        "the form of this document is not described",
    ),
}
"""Address to (verbs, reason)."""


def refuse(reason: str, request: Request, state: State) -> Answer:
    """501, and why."""
    raise Refusal(501, f"{request.path} is not imitated: {reason}.")


ROUTES = [
    Route(verb, address, partial(refuse, reason), archive=address.startswith("/data/projects"))
    for address, (verbs, reason) in UNDETERMINED.items()
    for verb in verbs.split()
]
