"""Files: listing, download, zips, removal (wire contract A 6.2, A 6.3, A 6.5, A 6.7)."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_plus

from ..render.tables import table
from ..selecting import (
    Found,
    Selection,
    below,
    chosen_of,
    entries_of,
    find_one,
    like,
    select,
    uri_base,
    wanted,
)
from ..state import State
from ..state.catalog import Catalog, format_catalog
from ..wire import Answer, Refusal, Request
from ..zip_names import archive_name, entry_names
from ..zipping import tar_chunks, zip_chunks
from . import Route
from .resources import PLACES, WITHOUT_FILES, placed

__all__ = ["ROUTES"]

COLUMNS = (
    "Name", "Size", "URI", "collection", "file_tags", "file_format", "file_content", "cat_ID",
    "digest",
)  # fmt: skip
ARCHIVES = {
    "zip": ("application/zip", ".zip"),
    "application/zip": ("application/zip", ".zip"),
    "tar": ("application/x-tar", ".tar"),
    "application/x-tar": ("application/x-tar", ".tar"),
    "tar.gz": ("application/x-gtar", ".tar.gz"),
    "application/x-gtar": ("application/x-gtar", ".tar.gz"),
}
TYPES = {
    ".bmp": "image/bmp", ".gif": "image/gif", ".html": "text/html", ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg", ".pdf": "application/pdf", ".png": "image/png",
    ".svg": "image/svg+xml", ".tiff": "image/tiff", ".txt": "text/plain", ".xml": "text/xml",
}  # fmt: skip
ZIPPED = (".zip", ".jar", ".rar", ".ear", ".gar", ".mrb")
NO_ENTRY = "Unable to find catalog entry for given uri."
NO_FILE = "Unable to find file."


def get_files(request: Request, state: State) -> Answer:
    """A listing, a zip or one file, by what follows `files`."""
    try:
        return _get_files(request, state)
    except Refusal as refusal:
        if refusal.status == 404 and request.query.flag("accept-not-found"):
            raise Refusal(204) from None
        raise


def _get_files(request: Request, state: State) -> Answer:
    selection = select(request, state)
    path = request.remainder.lstrip("/")
    if path and not path.endswith("/") and not ("*" in path and not selection.one):
        return _one_file(request, state, selection, path)
    if not selection.chosen and "R" in request.variables and request.format in ARCHIVES:
        raise Refusal(404)
    found = wanted(request, entries_of(state, selection.chosen))
    if path.endswith("/") or "recursive" in request.query:
        deeper = not request.query.flag("recursive", True)
        found = below(found, unquote_plus(path) if selection.one else "", deeper=deeper)
    elif path:
        found = like(found, unquote_plus(path))
    if "index" in request.query:
        return _by_index(request, selection, found)
    if request.format in ARCHIVES:
        rooted = bool(path) and selection.one
        return _archive(request, state, selection, found, rooted=rooted)
    if request.format == "xcat":
        return _all_in_one_catalog(request, state, selection, found)
    return _listing(request, state, selection, found)


# Listings ----------------------------------------------------------------------------------------


def _listing(request: Request, state: State, selection: Selection, found: list[Found]) -> Answer:
    locator = request.query.raw("locator") or ""
    place = locator if locator in ("absolutePath", "projectPath") else "URI"
    bases: dict[int, str] = {}
    rows = []
    for one in found:
        pk = one.chosen.resource.pk
        if pk not in bases:
            bases[pk] = uri_base(request, state, selection, one.chosen)
        row = _row(state, one)
        row[place] = _located(state, one, bases[pk], place)
        rows.append(row)
    names = [place if name == "URI" else name for name in COLUMNS]
    about = [{"key": "URI", "serverRoot": request.context}]
    return table(request, names, rows, title="Files", total=False, about=about)


def _row(state: State, one: Found) -> dict[str, Any]:
    entry, resource = one.entry, one.chosen.resource
    size: int | str | None = entry.size
    if size is None:
        try:
            size = one.place.stat().st_size
        except OSError:
            size = ""
    tags = [*entry.tags, *(f"{k}={v}" for k, v in entry.meta.items() if k != "ORIG_URI")]
    return {
        "Name": PurePosixPath(entry.path).name,
        "Size": size if state.preferences["listSizes"] else "",
        "collection": resource.label,
        "file_tags": ",".join(tags),
        "file_format": entry.format,
        "file_content": entry.content,
        "cat_ID": resource.pk,
        "digest": entry.digest if state.preferences["listDigests"] else "",
    }


def _located(state: State, one: Found, base: str, place: str) -> str:
    if place == "URI":
        return base + one.entry.path
    if place == "absolutePath":
        return str(one.place)
    project = state.resources.project_folder(one.chosen.owner.item.project)
    return one.place.relative_to(project).as_posix()


def _all_in_one_catalog(
    request: Request, state: State, selection: Selection, found: list[Found]
) -> Answer:
    """`format=xcat`: the selection as a catalog with full addresses."""
    entries = []
    for one in found:
        base = uri_base(request, state, selection, one.chosen)
        entries.append(replace(one.entry, uri=request.base + base + one.entry.path))
    content = format_catalog(Catalog(entries))
    return Answer(body=content, content_type="application/xcat", chunked=True)


# One file ----------------------------------------------------------------------------------------


def _one_file(request: Request, state: State, selection: Selection, path: str) -> Answer:
    found = find_one(state, selection.chosen, path)
    if found is None:
        return _inside(request, state, selection, path)
    if not found.place.is_file():
        raise Refusal(404, NO_FILE)
    zipped = path.lower().endswith(ZIPPED)
    if zipped and request.query.flag("listContents"):
        return _contents(request, found)
    if request.format in ARCHIVES and not path.lower().endswith(ARCHIVES[request.format][1]):
        pair = [(PurePosixPath(found.entry.path).name, found.place)]
        name = PurePosixPath(found.entry.path).name
        return _archive_answer(request, state, iter(pair), name)
    if request.format == "image/jpeg":
        raise Refusal(501, "This server does not convert DICOM to JPEG.")
    answer = _file(found.place, PurePosixPath(found.entry.path).name)
    # With several resources another one may come to hold the path first: not to be kept.
    if selection.one:
        answer.catalogs.append(found.chosen.resource.catalog_path)
    return answer


def _file(place: Path, name: str) -> Answer:
    kind = TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
    return Answer(
        body=place,
        content_type=kind,
        headers=[
            ("Content-Disposition", f'attachment; filename="{_shown(name)}";'),
            ("Cache-Control", "must-revalidate"),
        ],
    )


def _shown(name: str) -> str:
    """A name as a header can carry it: no control characters, no quote."""
    return "".join(c if c.isprintable() and c != '"' else " " for c in name)


def _by_index(request: Request, selection: Selection, found: list[Found]) -> Answer:
    """`index=N`; with a single resource only together with another filter (A 6.2)."""
    filtered = {"file_content", "file_format"} & {key for key, _ in request.query.pairs}
    number = request.query.get("index")
    if (selection.one and not filtered) or not number.isdigit() or int(number) >= len(found):
        raise Refusal(404, NO_ENTRY)
    one = found[int(number)]
    if not one.place.is_file():
        raise Refusal(404, NO_FILE)
    return _file(one.place, PurePosixPath(one.entry.path).name)


def _contents(request: Request, found: Found) -> Answer:
    try:
        with zipfile.ZipFile(found.place) as opened:
            rows = [
                {"File Name": info.filename, "Size": info.file_size} for info in opened.infolist()
            ]
    except zipfile.BadZipFile:
        raise Refusal(500) from None
    return table(request, ("File Name", "Size"), rows)


def _inside(request: Request, state: State, selection: Selection, path: str) -> Answer:
    """`x.zip!/inner` or `x.zip/inner`: an entry of a catalogued zip."""
    for mark in ("!/", "/"):
        head, found_mark, inner = path.partition(mark)
        while found_mark:
            if head.lower().endswith(ZIPPED):
                found = find_one(state, selection.chosen, head)
                if found is not None and found.place.is_file():
                    return _zip_member(state, found, unquote(inner))
            more, found_mark, inner = inner.partition(mark)
            head += mark + more
    raise Refusal(404, NO_ENTRY)


def _zip_member(state: State, found: Found, inner: str) -> Answer:
    handle, name = tempfile.mkstemp(dir=state.tmp, prefix="member-")
    target = Path(name)
    try:
        with (
            open(handle, "wb") as file,
            zipfile.ZipFile(found.place) as opened,
            opened.open(inner) as source,
        ):
            shutil.copyfileobj(source, file, 1 << 20)
    except (KeyError, zipfile.BadZipFile):
        target.unlink()
        raise Refusal(404, NO_FILE) from None
    answer = _file(target, PurePosixPath(inner).name)
    answer.after.append(target)
    return answer


# Archives ----------------------------------------------------------------------------------------


def _archive(
    request: Request, state: State, selection: Selection, found: list[Found], *, rooted: bool
) -> Answer:
    if not any(one.place.is_file() for one in found):
        raise Refusal(404)
    if rooted:  # a folder of one resource: names relative to the resource's root
        named: Iterator[tuple[str, Found]] = ((one.entry.path, one) for one in found)
    else:
        named = entry_names(request, state, selection, found)
    # What is catalogued but not on disk is left out without a word.
    there = ((name, one.place) for name, one in named if one.place.is_file())
    return _archive_answer(request, state, there, archive_name(state, selection))


def _archive_answer(
    request: Request, state: State, files: Iterator[tuple[str, Path]], name: str
) -> Answer:
    kind, extension = ARCHIVES[request.format]
    if extension == ".zip":
        asked = request.query.raw("compression") or ""
        level = int(asked) if asked.isdigit() else int(state.preferences["zipCompressionMethod"])
        chunks = zip_chunks(files, level)
    else:
        chunks = tar_chunks(files, gzip=extension == ".tar.gz")
    return Answer(
        body=chunks,
        content_type=kind,
        headers=[("Content-Disposition", f'attachment; filename="{_shown(name)}{extension}";')],
    )


# Removal -----------------------------------------------------------------------------------------


def delete_files(request: Request, state: State) -> Answer:
    """Removes every file whose path begins with the one given: a prefix match (A 6.5)."""
    chosen = chosen_of(request, state)
    if chosen is None:
        raise Refusal(400)
    if not state.rights.may_item(request.user, "delete", chosen.owner.item):
        raise Refusal(403, "User account doesn't have permission to modify this session.")
    path = request.remainder.lstrip("/").removesuffix("*")
    resource = chosen.resource
    with state.resources.locked(resource):
        catalog = state.resources.catalog(resource).copy()
        gone = [e for e in catalog.entries if e.path.startswith((path, unquote_plus(path)))]
        if not gone:
            raise Refusal(404, "No matched files")
        dropped = {id(entry) for entry in gone}
        catalog.entries = [e for e in catalog.entries if id(e) not in dropped]
        # The catalog first: killed here, files stay that are not listed, never the reverse.
        state.resources.write(resource, catalog)
        if request.query.flag("removeFiles", True) or request.query.raw("removeFiles") == "":
            for entry in gone:
                state.resources.discard(resource.folder / entry.path)
        state.resources.update_stats(resource)
    return Answer.text("")


def _routes() -> Iterator[Route]:
    for base, direction in PLACES:
        templates = [f"{base}/resources/{{R}}/files"]
        if base not in WITHOUT_FILES:
            templates.append(f"{base}/files")
        for template in templates:
            yield Route("GET", template, placed(get_files, direction))
            yield Route("DELETE", template, placed(delete_files, direction))


ROUTES = list(_routes())
