"""The only maker of local paths: where a file of the server lies on disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from ..exceptions import XNATUnsafeNameError, XNATValueError

__all__ = ["LAYOUTS", "Origin", "place"]


@dataclass(frozen=True)
class Origin:
    """Where a resource comes from; plain strings, `""` where there is none.

    `category` is `resources` (the session's own), `scans`, `assessors` or `reconstructions`;
    `parent_id` the scan's or assessor's ID, `parent_desc` a scan's type.
    """

    server: str
    project: str
    subject_id: str = ""
    subject_label: str = ""
    experiment_id: str = ""
    experiment_label: str = ""
    category: str = "resources"
    parent_id: str = ""
    parent_desc: str = ""
    resource_id: str = ""
    resource_label: str = ""

    def words(self) -> dict[str, str]:
        """The fields by name, as a manifest keeps them."""
        return dict(asdict(self))


LAYOUTS: Mapping[str, str] = {
    "documented": "{project}/{subject}/{session}/{place}/resources/{resource}/files/{path}",
    "flat": "{session}/{place}/{resource}/{path}",
}
"""Layouts by name. `{place}` is `scans/ID-TYPE`, `assessors/ID`, or nothing for the session's own
resources."""

_FIELD = re.compile(r"\{([a-z_]+)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def place(origin: Origin, path: str, layout: str = "documented") -> PurePosixPath:
    """The path below the root for a file of a resource.

    Parameters
    ----------
    layout : str
        A name of `LAYOUTS`, or a template with `{project}`, `{subject}`, `{session}`, `{place}`,
        `{scan_id}`, `{scan_type}`, `{resource}`, `{resource_id}`, `{path}`.

    Raises
    ------
    XNATUnsafeNameError
        A name would lead outside, is too long, or holds control characters (fault row D6).
    XNATValueError
        The template has an unknown field, or no `{path}`.
    """
    template = LAYOUTS.get(layout, layout)
    words = _words(origin, path)
    names = set(_FIELD.findall(template))
    unknown = sorted(names - words.keys())
    if unknown or "path" not in names:
        raise XNATValueError(
            f"layout {layout!r}: "
            + (f"unknown field {unknown[0]!r}" if unknown else "{path} is missing")
            + f"; known are {', '.join(sorted(words))}, and the layouts {', '.join(LAYOUTS)}"
        )
    for name in names - {"path", "place"}:
        _check(words[name], path)
    filled = _FIELD.sub(lambda match: words[match[1]], template)
    parts = [part for part in filled.split("/") if part]
    if path.startswith("/") or "" in path.split("/"):
        raise XNATUnsafeNameError(f"{path[:120]!r} is refused: it is absolute or has an empty part")
    for part in parts:
        _check(part, path)
    return PurePosixPath(*parts)


def _check(part: str, path: str) -> None:
    bad = part in (".", "..", ".xnat-luigi") or "/" in part or "\\" in part
    if bad or _CONTROL.search(part) or len(part.encode()) > 255:
        raise XNATUnsafeNameError(
            f"{path[:120]!r}: the part {part[:80]!r} is refused, it would leave its folder or is "
            "no name for a file"
        )


def _words(origin: Origin, path: str) -> dict[str, str]:
    kind = re.sub(r"[^A-Za-z0-9_.-]", "_", origin.parent_desc)
    scan = f"{origin.parent_id}-{kind}" if kind else origin.parent_id
    at = {
        "scans": f"scans/{_plain(scan)}",
        "assessors": f"assessors/{_plain(origin.parent_id)}",
        "reconstructions": f"reconstructions/{_plain(origin.parent_id)}",
    }
    return {
        "project": origin.project,
        "subject": origin.subject_label or origin.subject_id,
        "session": origin.experiment_label or origin.experiment_id,
        "place": at.get(origin.category, ""),
        "scan_id": origin.parent_id or "session",
        "scan_type": kind or "none",
        "resource": origin.resource_label or origin.resource_id,
        "resource_id": origin.resource_id,
        "path": path,
    }


def _plain(text: str) -> str:
    """A name of one part: what cannot be one is refused by `_check` later."""
    return text.replace("/", "\\")
