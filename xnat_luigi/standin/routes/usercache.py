"""The user's cache: scratch files for imports, with the snapshot's bugs (wire contract B 8)."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from ..dicom_import import archive_format
from ..receiving import write_file
from ..render.tables import table
from ..services import Services
from ..state import State
from ..wire import Answer, Part, Refusal, Request
from . import Route

__all__ = ["ROUTES"]


def _root(request: Request, state: State) -> Path:
    if request.user == "guest":
        raise Refusal(401)
    return state.part(Services).user_cache / request.user


def _parts(request: Request) -> tuple[str, str]:
    """(X, file path); the file is "" for the other forms.

    Raises: `Refusal` 400 for a path that leaves the cache.
    """
    words = [word for word in unquote(request.remainder).strip("/").split("/") if word]
    if any(word in {".", ".."} or "\0" in word for word in words):
        raise Refusal(400)
    name = words[0] if words else ""
    return name, "/".join(words[2:]) if words[1:2] == ["files"] else ""


def get_cache(request: Request, state: State) -> Answer:
    """The names, or the files of one. With a file name the listing comes too: the test whether
    there is one is inverted in this snapshot (unverified live)."""
    root = _root(request, state)
    name, _ = _parts(request)
    if not name:
        names = sorted(p.name for p in root.iterdir()) if root.is_dir() else []
        return table(request, ("Name", "URI"), [{"Name": n, "URI": _uri(n)} for n in names])
    folder = root / name
    if not folder.is_dir():
        raise Refusal(404)
    lines = [
        {
            "Name": path.relative_to(folder).as_posix(),
            "Size": str(path.stat().st_size),
            "URI": f"{_uri(name)}/files/{path.relative_to(folder).as_posix()}",
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return table(request, ("Name", "Size", "URI"), lines)


def _uri(name: str) -> str:
    return f"/data/user/cache/resources/{name}"


def put_cache(request: Request, state: State) -> Answer:
    """X alone: made, or 412 when it is there. A file: stored, and unpacked with `extract=true`."""
    name, file = _parts(request)
    if not name:
        raise Refusal(400)
    folder = _root(request, state) / name
    if "/files" not in request.remainder:
        if folder.exists():
            raise Refusal(412)
        folder.mkdir(parents=True)
        return Answer()
    for target, part in _uploads(request, file):
        _store(folder, target, part, extract=request.query.flag("extract"))
    return Answer()


def _uploads(request: Request, file: str) -> list[tuple[str, Part]]:
    if request.is_multipart:
        parts = [part for part in request.parts() if part.filename]
        return [(file or str(part.filename), part) for part in parts]
    if not file or request.body.path is None:
        raise Refusal(400)
    return [(file, Part(request.body.path, 0, request.body.size))]


def _store(folder: Path, name: str, part: Part, *, extract: bool) -> None:
    target = folder / name
    write_file(target, part.chunks())
    kind = archive_format(name) if extract else ""
    if not kind:
        return
    try:
        for path, data in _unpack(target, kind):
            write_file(folder / path, data)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError):
        raise Refusal(422, f"Unable to extract {name}.") from None
    finally:
        target.unlink(missing_ok=True)


def _unpack(archive: Path, kind: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(name, chunks) of every file; names that leave the place are passed over."""
    if kind == "zip":
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir() and _inside(info.filename):
                    with opened.open(info) as reader:
                        yield info.filename.lstrip("/"), _pieces(reader)
    else:
        with tarfile.open(archive, "r:gz" if kind == "tgz" else "r:") as tar:
            for member in tar:
                found = tar.extractfile(member) if member.isfile() else None
                if found is not None and _inside(member.name):
                    yield member.name.lstrip("/"), _pieces(found)


def _inside(name: str) -> bool:
    return ".." not in Path(name).parts


def _pieces(reader: IO[bytes]) -> Iterator[bytes]:
    while piece := reader.read(1 << 20):
        yield piece


def post_cache(request: Request, state: State) -> Answer:
    """To `/files` 400 (the inverted test); with a name behind it, multipart files are stored."""
    name, file = _parts(request)
    if not name or not file or not request.is_multipart:
        raise Refusal(400)
    for target, part in _uploads(request, ""):
        _store(_root(request, state) / name, target, part, extract=request.query.flag("extract"))
    return Answer(201)


def delete_cache(request: Request, state: State) -> Answer:
    """Removes X, whole, even when one of its files is named."""
    name, _ = _parts(request)
    folder = _root(request, state) / name
    if not name or not folder.is_dir():
        raise Refusal(404)
    shutil.rmtree(folder)
    return Answer()


_CACHE = "/data/user/cache/resources"
ROUTES = [
    Route("GET", _CACHE, get_cache, archive=False),
    Route("PUT", _CACHE, put_cache, archive=False),
    Route("POST", _CACHE, post_cache, archive=False),
    Route("DELETE", _CACHE, delete_cache, archive=False),
]
