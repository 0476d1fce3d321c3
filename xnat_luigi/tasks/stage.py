"""Inputs of processing steps on this machine: fetched once, proven, read-only, shared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import XNATUnsafeNameError
from ..rest.records import File
from ..staging.lock import staged_lock
from ..staging.manifest import Entry, Manifest, read_manifest, verify, write_manifest
from ..staging.save import Part, publish
from ..targets.resource import fingerprint
from ..transfer.single import fetch_part
from .record import OWN_NAMES

if TYPE_CHECKING:
    from ..connection.login import Connection
    from ..uris import Address

__all__ = ["stage_resource"]


def stage_resource(
    connection: Connection, place: Address, label: str, listed: Iterable[File], root: Path
) -> Path:
    """Brings a resource onto this machine and returns the folder with its files.

    The folder's name is made of the resource's content: the same content is fetched once, another
    content gets another folder, and a folder that is there is proven by its manifest before it is
    used. Two processes that want it at once wait for one another.

    Args:
        place: the item that has the resource.
        listed: the resource's files as the server lists them.
        root: folder shared by all steps of this machine.

    Raises:
        XNATIntegrityError: what came is not what the listing says, twice.
        XNATUnsafeNameError: a name would lead outside.
    """
    files = tuple(file for file in listed if file.path not in OWN_NAMES)
    word = fingerprint(files)
    server = re.sub(r"[^A-Za-z0-9.-]+", "_", connection.server.split("://")[-1])
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", place.resource(label).strip("/"))
    base = root / server / name[-120:] / word.replace(":", "-")
    folder, manifest = base / "files", base / "manifest.json"
    with staged_lock(base / "lock", owner=f"staging {label}"):
        known = read_manifest(manifest)
        if known is not None and not verify(known, folder):
            return folder
        entries = tuple(_fetch_all(connection, files, folder))
        write_manifest(manifest, Manifest({"server": connection.server, "uri": name}, entries))
    return folder


def _fetch_all(connection: Connection, files: tuple[File, ...], folder: Path) -> Iterator[Entry]:
    parts: list[Part] = []
    try:
        for file in files:
            parts.append(fetch_part(connection, file, _inside(folder, file.path)))
        done = publish(parts)
    except BaseException:
        for part in parts:
            part.discard()
        raise
    for file, saved in zip(files, done, strict=True):
        saved.path.chmod(0o444)
        status = saved.path.stat()
        yield Entry(file.path, saved.size, saved.md5, status.st_mtime_ns, status.st_ino, file.path)


def _inside(folder: Path, path: str) -> Path:
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise XNATUnsafeNameError(f"the server lists {path[:120]!r}, which leads outside: refused")
    return folder.joinpath(*parts)
