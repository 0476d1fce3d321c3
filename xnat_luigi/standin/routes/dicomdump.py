"""`GET /data/services/dicomdump` (wire contract B 6)."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.tag import Tag

from ..render.tables import table
from ..services import Services
from ..state import Item, State
from ..wire import Answer, Refusal, Request
from . import Route
from .prearchive import may_edit_row

__all__ = ["ROUTES"]

COLUMNS = ("tag1", "tag2", "vr", "value", "desc")
_CUT = 255
_MOST = 10_000
"""Files that `summary=true` looks at."""
_LABELS = ("DICOM", "secondary")
_FILE = r"(?:/resources/DICOM/files/(?P<file>[^/]+))?"
_ARCHIVE = re.compile(
    r"/archive/projects/(?P<project>[^/]+)(?P<long>/subjects/[^/]+)?/experiments/(?P<session>[^/]+)"
    rf"(?:/(?:scans|assessors|recons)/(?P<scan>[^/]+){_FILE})?"
)
_PREARCHIVE = re.compile(
    r"/prearchive/projects/(?P<project>[^/]+)/(?P<stamp>[^/]+)/(?P<folder>[^/]+)"
    rf"(?:/scans/(?P<scan>[^/]+){_FILE})?"
)
# pydicom's checking of values is a setting of the whole process, and the real handler is no better.
_one_at_a_time = threading.Lock()


def get_dump(request: Request, state: State) -> Answer:
    """The header of one file, or the distinct values of many (`summary=true`).

    Raises: `Refusal` 400 no `src` or a bad field, 404 session not found.
    """
    src = request.query.raw("src")
    if not src:
        raise Refusal(400, "No src specified.")
    fields = [_field(name) for name in request.query.all("field")]
    files = _files(request, state, src)
    if request.query.raw("summary") == "true":
        rows = _summarise(files[:_MOST], fields)
    else:
        rows = _dump(files[0], fields) if files else []
    return table(request, COLUMNS, rows)


def _field(name: str) -> int:
    """The tag of a keyword or of 8 hex digits."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}:.+", name):
        raise Refusal(501, "The stand-in does not read Siemens shadow headers.")
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return int(name, 16)
    tag = tag_for_keyword(name)
    if tag is None:
        raise Refusal(400, f"Unknown DICOM field: {name}")
    return int(tag)


# --- finding the files ------------------------------------------------------------------------


def _files(request: Request, state: State, src: str) -> list[Path]:
    found = _PREARCHIVE.match(src)
    if found:
        return _prearchive_files(request, state, found)
    found = _ARCHIVE.match(src)
    return _archive_files(request, state, found) if found else []


def _prearchive_files(request: Request, state: State, found: re.Match[str]) -> list[Path]:
    project = found["project"]
    if not may_edit_row(request, state, project):
        raise Refusal(404)
    prearchive = state.part(Services).prearchive
    row = prearchive.get(project, found["stamp"], found["folder"])
    if row is None or not prearchive.is_built(row):
        raise Refusal(404, "Unable to locate prearc resource.")
    root = prearchive.place(row) / "SCANS"
    paths = [
        root / scan["id"] / resource["label"] / entry["path"]
        for scan in row.built["scans"]
        if found["scan"] in (None, scan["id"])
        for resource in scan["resources"]
        for entry in resource["files"]
    ]
    return _named(paths, found["file"])


def _archive_files(request: Request, state: State, found: re.Match[str]) -> list[Path]:
    session = state.items.experiment(found["project"], found["session"])
    if session is None or not state.rights.may_item(request.user, "read", session):
        raise Refusal(404, "Unable to find the specified experiment.")
    paths = [
        path
        for scan in state.items.below(session, "scan")
        if found["scan"] in (None, scan.id)
        for path in _scan_files(state, scan)
    ]
    # Only the form with the subject names a file; the other is a prefix match of the scan.
    return _named(paths, found["file"] if found["long"] else None)


def _scan_files(state: State, scan: Item) -> Iterator[Path]:
    for resource in state.resources.of(scan):
        if resource.label in _LABELS:
            for entry in state.resources.catalog(resource).entries:
                path = resource.folder / entry.path
                if path.is_file():
                    yield path


def _named(paths: list[Path], name: str | None) -> list[Path]:
    return paths if name is None else [path for path in paths if path.name == name]


# --- the dump ---------------------------------------------------------------------------------


def _dump(path: Path, fields: list[int]) -> list[dict[str, str]]:
    """All elements before the pixels; with fields, those only."""
    with _one_at_a_time, pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        return list(_rows(_elements(dataset), set(fields)))


def _elements(dataset: pydicom.Dataset) -> Iterator[Any]:
    yield from getattr(dataset, "file_meta", ())
    yield from dataset


def _rows(elements: Iterable[Any], fields: set[int]) -> Iterator[dict[str, str]]:
    for element in elements:
        if fields and int(element.tag) not in fields:
            continue
        tag = _tag(element.tag)
        if element.VR != "SQ":
            yield _row(tag, "", element)
            continue
        for item in element.value:
            yield {**_row(tag, tag, element), "value": ""}
            for child in item:
                yield _row(tag, _tag(child.tag), child)


def _tag(tag: Any) -> str:
    return f"({tag.group:04X},{tag.element:04X})"


def _row(tag1: str, tag2: str, element: Any) -> dict[str, str]:
    return {
        "tag1": tag1,
        "tag2": tag2,
        "vr": str(element.VR),
        "value": html.escape(_value(element, nested=bool(tag2))[:_CUT], quote=False),
        "desc": _description(element.tag),
    }


def _value(element: Any, *, nested: bool) -> str:
    value = element.value
    if value is None or element.VR == "SQ":
        return ""
    if isinstance(value, bytes):
        return "UnsupportedBinarySequence" if nested else value.decode("latin-1").strip("\0 ")
    if isinstance(value, pydicom.multival.MultiValue | list | tuple):
        return "\\".join(str(part) for part in value)
    return str(value)


def _description(tag: Any) -> str:
    try:
        return dictionary_description(Tag(tag))
    except KeyError:
        return "Private Tag" if tag.is_private else ""


def _summarise(paths: list[Path], fields: list[int]) -> list[dict[str, str]]:
    """One row a tag with the distinct values of all files; their separator is not determined."""
    merged: dict[tuple[str, str], dict[str, str]] = {}
    values: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        for row in _dump(path, fields):
            key = (row["tag1"], row["tag2"])
            merged.setdefault(key, row)
            seen = values.setdefault(key, [])
            if row["value"] not in seen:
                seen.append(row["value"])
    return [{**row, "value": ", ".join(values[key])[:_CUT]} for key, row in sorted(merged.items())]


ROUTES = [Route("GET", "/data/services/dicomdump", get_dump, archive=False)]
