"""What lies on disk and was proven: one manifest per resource, written after its files.

A manifest is also the hash cache: a file whose size, time of change and inode are those of the
entry has the entry's MD5, so verifying an unchanged tree costs one `stat` a file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from .._version import __version__
from ..exceptions import XNATIntegrityError
from .save import save_text

__all__ = [
    "Damage",
    "Entry",
    "Manifest",
    "Spread",
    "hash_file",
    "read_manifest",
    "verify",
    "verify_and_refresh",
    "write_manifest",
]

log = logging.getLogger(__name__)
FORMAT = 1
READ_SIZE = 256 * 1024
GROUP_BYTES = 4 << 20
GROUP_FILES = 50


class Entry(NamedTuple):
    """One file: path relative to the root, size (bytes), MD5 of what was written, and its cache.

    `proof` says how far the server vouched for it: "md5", "size" or "none". `remote` is the
    path inside the resource on the server.
    """

    path: str
    size: int
    md5: str
    mtime_ns: int = 0
    inode: int = 0
    remote: str = ""
    proof: str = "md5"


@dataclass(frozen=True)
class Manifest:
    """The files of one resource, where they came from, and the server's stamps at that time.

    `origin` and `stamps` are opaque here: plain strings by name.
    """

    origin: Mapping[str, str]
    entries: tuple[Entry, ...]
    stamps: Mapping[str, str] = field(default_factory=dict)
    tool: str = f"xnat_luigi {__version__}"

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    @property
    def fingerprint(self) -> str:
        """MD5 over the sorted remote paths, sizes and digests: equal content, equal fingerprint."""
        lines = sorted(f"{e.remote or e.path}\t{e.size}\t{e.md5}" for e in self.entries)
        return hashlib.md5("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Damage:
    """One file that is not what its manifest says.

    `kind` is "missing", "drifted" (changed after we wrote it: somebody edited it), "damaged"
    (other bytes though nobody touched it) or "unreadable".
    """

    path: str
    kind: str
    detail: str


def write_manifest(
    path: Path, manifest: Manifest, *, sync: bool = True, root: Path | None = None
) -> None:
    """Write a manifest atomically; call it after the files have their final names."""
    document = {
        "format": FORMAT,
        "tool": manifest.tool,
        "origin": dict(manifest.origin),
        "stamps": dict(manifest.stamps),
        "files": [
            [e.path, e.size, e.md5, e.mtime_ns, e.inode, e.remote, e.proof]
            for e in manifest.entries
        ],
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    save_text(path, text + "\n", sync=sync, root=root)


def read_manifest(path: Path | str) -> Manifest | None:
    """Read a manifest; None when there is none or it is damaged (fault row D5).

    Raises
    ------
    XNATIntegrityError
        It was written by a newer version whose meaning this one cannot know.
    """
    try:
        text = _read_all(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        document = json.loads(text)
        version = document["format"]
        if not isinstance(version, int) or version < 1:
            raise ValueError(f"format {version!r}")
        if version > FORMAT:
            raise XNATIntegrityError(
                f"{path} was written by a newer version (format {version}, known is {FORMAT}): "
                "update xnat_luigi, or remove the file to have its resource verified anew"
            )
        return _understood(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is damaged (%s) and counts as absent", path, error)
        return None


def _read_all(path: Path | str) -> bytes:
    """A small file; a thousand sessions have thousands of them, which Python's files make dear."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(file).st_size + 1
        text = piece = os.read(file, size)
        while piece:
            piece = os.read(file, size)
            text += piece
        return text
    finally:
        os.close(file)


def _understood(document: Mapping[str, object]) -> Manifest:
    files, origin, stamps = document["files"], document["origin"], document["stamps"]
    if not isinstance(files, list) or not isinstance(origin, dict) or not isinstance(stamps, dict):
        raise ValueError("wrong types")
    entries = tuple([Entry(*row) for row in files])
    for entry in entries:
        path = entry[0]
        if type(path) is not str or type(entry[1]) is not int or type(entry[2]) is not str:
            raise ValueError("wrong types in a row")
        if path[:1] == "/" or (".." in path and ".." in path.split("/")):
            raise ValueError(f"a path leads outside: {path!r}")
    words = {str(key): str(value) for key, value in origin.items()}
    return Manifest(
        words,
        entries,
        {str(key): str(value) for key, value in stamps.items()},
        str(document.get("tool", "")),
    )


def hash_file(path: Path) -> str:
    """MD5 (hex) of a file."""
    digest = hashlib.md5(usedforsecurity=False)
    buffer = bytearray(READ_SIZE)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()


def verify(manifest: Manifest, root: Path, *, deep: bool = False) -> list[Damage]:
    """Compare files with their manifest; see `verify_and_refresh`."""
    return verify_and_refresh(manifest, root, deep=deep)[0]


Group = list[tuple[int, Entry]]
Found = list[tuple[Damage | None, Entry]]
Spread = Callable[[Callable[[Group], Found], list[Group]], Iterable[Found]]


def verify_and_refresh(
    manifest: Manifest, root: Path, *, deep: bool = False, spread: Spread = map
) -> tuple[list[Damage], Manifest]:
    """Compare files with their manifest.

    An entry whose size, time and inode still fit costs one `stat`; all others are read, as are
    all files with `deep`. The second value is the manifest with times and inodes of files that
    were merely touched or copied brought up to date.

    Parameters
    ----------
    spread : callable
        Like `map`, for the files that are read, some at a time: that of a pool of threads.
    """
    close: Group = []
    base = f"{root}/"
    lstat = os.lstat
    for number, entry in enumerate(manifest.entries):
        if not deep:  # the usual case, a hundred thousand times: one call and one comparison
            try:
                found = lstat(base + entry[0])
            except OSError:
                found = None  # _compare tells what it is
            if (
                found is not None
                and found.st_mtime_ns == entry[3]
                and found.st_ino == entry[4]
                and found.st_size == entry[1]
            ):
                continue
        close.append((number, entry))
    if not close:
        return [], manifest

    def look(group: Group) -> Found:
        return [_compare(entry, Path(base + entry.path)) for _, entry in group]

    damages: list[Damage] = []
    fresh: dict[int, Entry] = {}
    groups = list(_in_groups(close))
    for group, results in zip(groups, spread(look, groups), strict=True):
        for (number, entry), (damage, seen) in zip(group, results, strict=True):
            if damage is not None:
                damages.append(damage)
            elif seen != entry:
                fresh[number] = seen
    if not fresh:
        return damages, manifest
    entries = tuple(fresh.get(number, entry) for number, entry in enumerate(manifest.entries))
    return damages, replace(manifest, entries=entries)


def _in_groups(pairs: Group) -> Iterator[Group]:
    """Files that are read together: one that is large, or several that are small."""
    group: Group = []
    size = 0
    for number, entry in pairs:
        group.append((number, entry))
        size += entry.size
        if size >= GROUP_BYTES or len(group) >= GROUP_FILES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _compare(entry: Entry, path: Path) -> tuple[Damage | None, Entry]:
    """Look closely at a file: its kind, its size, its bytes."""
    try:
        status = os.lstat(path)
        if not _is_regular(status.st_mode):
            return Damage(entry.path, "drifted", "is not a regular file any more"), entry
        if status.st_size != entry.size:
            detail = f"{status.st_size} bytes instead of {entry.size}"
            return Damage(entry.path, "drifted", detail), entry
        md5 = hash_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return Damage(entry.path, "missing", "is not there"), entry
    except OSError as error:
        return Damage(entry.path, "unreadable", str(error)), entry
    if md5 != entry.md5:
        kind = "damaged" if status.st_mtime_ns == entry.mtime_ns else "drifted"
        return Damage(entry.path, kind, f"MD5 {md5} instead of {entry.md5}"), entry
    return None, entry._replace(mtime_ns=status.st_mtime_ns, inode=status.st_ino)


def _is_regular(mode: int) -> bool:
    return (mode & 0o170000) == 0o100000


def find_manifests(folder: Path) -> Iterable[Path]:
    """All manifest files below a folder, in order."""
    return sorted(folder.rglob("*.json"))
