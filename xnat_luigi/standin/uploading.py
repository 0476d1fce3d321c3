"""What an upload brings: parts of a body, or the members of an archive (wire contract A 6.4)."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote_plus

from .state import State
from .wire import Refusal, Request

__all__ = ["Arrived", "arrivals", "stored_path"]

_KNOWN = (
    "application/octet-stream",
    "application/zip",
    "application/x-zip",
    "application/gzip",
    "application/x-gzip",
    "application/x-tar",
    "application/x-gtar",
    "application/x-compressed",
    "application/dicom",
    "application/pdf",
)
_FAMILIES = ("text/", "image/", "video/", "audio/")
NOTHING = (
    "You tried to {method} a payload of {size} B to this service, but didn't provide any data. "
    "Please send a multipart form, a known content type, or add inbody=true."
)


@dataclass(frozen=True)
class Arrived:
    """One file to store: its path below the resource, and where its bytes wait (to be moved)."""

    path: str
    waiting: Path
    extracted: bool = False


def stored_path(remainder: str) -> str:
    """The path as the server stores it: decoded only if it holds `%20` or `%2B` (A 6.4)."""
    path = remainder.strip("/")
    if "%20" in path or "%2B" in path:
        path = unquote_plus(path)
    return path


def arrivals(request: Request, state: State) -> list[Arrived]:
    """Everything that the request wants stored.

    Raises: `Refusal` 400 for a body the server does not take, 500 for one it stumbles over.
    """
    if request.query.raw("reference") is not None:
        raise Refusal(501, "This server does not take files from its own disk (reference=).")
    path = stored_path(request.remainder)
    extract = request.query.flag("extract")
    found: list[Arrived] = []
    for name, waiting in _bodies(request, state, path):
        if extract and _archive_kind(name):
            found += _unpacked(state, name, waiting)
        else:
            found.append(Arrived(_checked(path or name), waiting))
    return found


def _bodies(request: Request, state: State, path: str) -> Iterator[tuple[str, Path]]:
    if request.is_multipart:
        if request.query.flag("inbody"):
            raise Refusal(400, "The request holds a multipart form and asks for inbody=true.")
        parts = request.parts()
        if any(part.filename is None and part.name == "reference" for part in parts):
            raise Refusal(400, "A form field called reference is not allowed.")
        for part in parts:
            if part.filename is None:
                continue
            if part.size == 0:
                raise Refusal(500)
            # A client's own folders do not count: Java's upload takes the name as it stands.
            name = path.rpartition("/")[2] or part.filename.replace("\\", "/")
            yield name, part.copy_to(_waiting(state))
        return
    yield path.rpartition("/")[2], _raw(request, path)


def _raw(request: Request, path: str) -> Path:
    kind, body = request.body.media_type, request.body
    known = kind in _KNOWN or kind.startswith(_FAMILIES)
    if not request.query.flag("inbody") and (not known or body.declared == 0):
        raise Refusal(400, NOTHING.format(method=request.method, size=body.size))
    if body.path is None or body.size == 0:
        raise Refusal(500)
    if body.declared is None and kind != "application/zip":
        raise Refusal(500)  # a chunked body has no length
    if not path:
        raise Refusal(400)
    return body.path


def _waiting(state: State) -> Path:
    handle, name = tempfile.mkstemp(dir=state.tmp, prefix="part-")
    os.close(handle)
    return Path(name)


def _checked(path: str) -> str:
    """A path that stays below its resource.

    Raises: `Refusal` 400.
    """
    words = path.split("/")
    if not path or path.startswith("/") or ".." in words or "\0" in path:
        raise Refusal(400, f"Not a path below the resource: {path}")
    return "/".join(word for word in words if word not in ("", "."))


# Archives ----------------------------------------------------------------------------------------


def _archive_kind(name: str) -> str:
    """The kind by the file's name, case-sensitive; `.gz` alone is gunzipped (A 6.4)."""
    if name.endswith((".tgz", ".tar.gz")):
        return "tgz"
    if name.endswith((".tar", ".xar")):
        return "tar"
    if name.endswith((".zip", ".zar")):
        return "zip"
    return "gz" if name.endswith(".gz") else ""


def _unpacked(state: State, name: str, archive: Path) -> list[Arrived]:
    kind = _archive_kind(name)
    try:
        if kind == "gz":
            with gzip.open(archive, "rb") as source:
                return [Arrived(_checked(name[:-3]), _spool(state, source), True)]
        if kind == "zip":
            return _from_zip(state, archive)
        return _from_tar(state, archive, "r:gz" if kind == "tgz" else "r:")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise Refusal(500, f"Unable to extract {name}: {error}") from None
    finally:
        archive.unlink(missing_ok=True)


def _from_zip(state: State, archive: Path) -> list[Arrived]:
    with zipfile.ZipFile(archive) as opened:
        infos = [info for info in opened.infolist() if not info.is_dir()]
        paths = [_checked(info.filename) for info in infos]
        found = []
        for info, path in zip(infos, paths, strict=True):
            with opened.open(info) as source:
                found.append(Arrived(path, _spool(state, source), True))
        return found


def _from_tar(state: State, archive: Path, mode: str) -> list[Arrived]:
    found = []
    with tarfile.open(archive, mode) as opened:  # type: ignore[call-overload]
        for member in opened:
            source = opened.extractfile(member) if member.isfile() else None
            if source is not None:
                found.append(Arrived(_checked(member.name), _spool(state, source), True))
    return found


def _spool(state: State, source: IO[bytes] | gzip.GzipFile) -> Path:
    waiting = _waiting(state)
    with waiting.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return waiting
