"""The only maker of local paths: where a file of the server lies on disk."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from ..exceptions import XNATUnsafeNameError, XNATValueError

__all__ = ["LAYOUTS", "Origin", "check_layout", "place", "placer", "prove_apart"]


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

_SESSION_WORDS = frozenset({"project", "subject", "session"})
_FIELD = re.compile(r"\{([a-z_]+)\}")
_STEPS = frozenset({"", ".", "..", ".xnat-luigi"})
_BAD = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]")
"""separators, control characters, and halves of characters, which no file system takes"""


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
    return PurePosixPath(placer(origin, layout)(path))


def placer(origin: Origin, layout: str) -> Callable[[str], str]:
    """As `place`, for the many files of one resource: what is the same for all is done once."""
    template = check_layout(layout)
    words = _words(origin, "")
    for name in set(_FIELD.findall(template)) - {"path", "place"}:
        _check(words[name], "")
    filled = _fill(template.removesuffix("{path}"), words)
    before, _, begin = filled.rpartition("/")
    folders = [part for part in before.split("/") if part]
    for part in folders:
        _check(part, "")
    folder = "".join(part + "/" for part in folders)

    def find(path: str) -> str:
        inside = begin + path
        for part in inside.split("/") if "/" in inside else (inside,):
            _check(part, path)
        return folder + inside

    return find


@lru_cache(maxsize=64)
def check_layout(layout: str) -> str:
    """The template of a layout.

    Raises
    ------
    XNATValueError
        An unknown field, or no `{path}`, or a `{path}` that is not the last part.
    """
    template = LAYOUTS.get(layout, layout)
    known = _words(Origin("", ""), "")
    names = _FIELD.findall(template)
    unknown = sorted(set(names) - known.keys())
    fault = ""
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        fault = f"unknown field {{{unknown[0]}}}" + (
            f", did you mean {{{close[0]}}}?" if close else ""
        )
    elif not names and (near := difflib.get_close_matches(layout, LAYOUTS, n=1)):
        fault = f"did you mean {near[0]}?"
    elif not template.endswith("{path}") or names.count("path") != 1:
        fault = "it must end with {path}"
    elif re.search(r"[{}]", _FIELD.sub("", template)) or template.startswith("/"):
        fault = "it is not a relative path of {fields}"
    if fault:
        raise XNATValueError(
            f"layout {layout!r}: {fault}; fields are {', '.join(sorted(known))}, "
            f"and the layouts by name {', '.join(LAYOUTS)}"
        )
    return template


def prove_apart(origins: Iterable[Origin], layout: str) -> None:
    """Prove that no two sessions can have a file at one place, before any is listed.

    They cannot if some part of the template depends on the session alone and differs: paths that
    differ in one part are neither equal nor inside each other. Within a session the places of all
    files are compared before its first byte.

    Raises
    ------
    XNATUnsafeNameError
        Two sessions might meet; both are named.
    """
    parts = check_layout(layout).split("/")
    fixed = []
    for part in parts:
        names = set(_FIELD.findall(part))
        if names & {"place", "path"}:  # of any depth: what follows has no fixed position
            break
        if names and names <= _SESSION_WORDS:
            fixed.append(part)
    seen: dict[tuple[str, ...], Origin] = {}
    for origin in origins:
        words = _words(origin, "")
        key = tuple(_fill(part, words) for part in fixed)
        other = seen.setdefault(key, origin)
        if other is not origin:
            raise XNATUnsafeNameError(
                f"layout {layout!r} could put files of {other.experiment_label} "
                f"({other.experiment_id}) and {origin.experiment_label} ({origin.experiment_id}) "
                "at one place: give {session} a folder of its own"
            )


def _fill(template: str, words: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda match: words[match[1]], template)


def _check(part: str, path: str) -> None:
    bad = part in _STEPS or _BAD.search(part) is not None
    if bad or (len(part) > 60 and _is_long(part)):
        raise XNATUnsafeNameError(
            f"{path[:120]!r}: the part {part[:80]!r} is refused, it would leave its folder or is "
            "no name for a file"
        )


def _is_long(part: str) -> bool:
    return len(part.encode(errors="surrogatepass")) > 255


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
