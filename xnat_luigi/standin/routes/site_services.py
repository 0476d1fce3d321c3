"""Small services of the site, and those that exist on a real one but are not imitated (B 10)."""

from __future__ import annotations

from functools import partial

from ..state import State
from ..wire import Answer, Refusal, Request
from . import Route
from .finding import project_of

__all__ = ["NOT_IMITATED", "ROUTES"]

_LABELS = ["usable", "questionable", "unusable"]
NOT_IMITATED = {
    "/data/services/move-files": "the stand-in moves no files by service",
    "/data/services/features": "the stand-in has no features to switch",
    "/data/services/audit": "the stand-in keeps no audit tables",
    "/data/services/mail/send": "the stand-in sends no mail",
    "/data/services/ecatdump": "the stand-in reads no ECAT",
    "/xapi/access/projects": "the words for access levels are not determined",
}
"""Addresses that answer 501, and why."""


def get_quality_labels(request: Request, state: State) -> Answer:
    """What the scan quality may be called, for the site and, where set, for a project.

    Hints for people only: any text is stored.
    """
    labels = {"site": state.preferences.get("scanQualityLabels") or _LABELS}
    if "P" in request.variables:
        project = project_of(request, state)
        own = state.rights.code(project.id, "scan-quality-labels", "")
        if own:
            labels[project.id] = own.split(",")
    return Answer.json(labels)


def refuse(reason: str, request: Request, state: State) -> Answer:
    """501 with a sentence."""
    raise Refusal(501, f"{request.path} is not imitated: {reason}.")


_VERBS = ("GET", "POST", "PUT", "DELETE")
ROUTES = [
    Route("GET", "/data/services/scan-quality-labels", get_quality_labels, archive=False),
    Route("GET", "/data/services/scan-quality-labels/{P}", get_quality_labels, archive=False),
    *(
        Route(verb, address, partial(refuse, reason), archive=False)
        for address, reason in NOT_IMITATED.items()
        for verb in _VERBS
    ),
]
