"""Many files in one request: the server's zips, proven against its listings (wire contract A 6.7).

A zip says nothing about itself that could be trusted: files that miss on the server's disk are
left out without a word, a body that breaks off has status 200, and entry names are made by
replacing text. So each entry is matched with a row of a listing, compared with its size and
digest, and what the zip does not bring is fetched singly.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..exceptions import XNATConnectionError, XNATIntegrityError, XNATUnsafeNameError
from ..rest.files.download import open_zip
from ..rest.records import File
from ..staging.manifest import hash_file
from ..staging.save import Part, Saved, Want, part_writer, publish
from ..staging.unpack import Limits, Unpacked, unpack_zip
from .single import fetch_part, want_of

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "Key",
    "fetch_folder",
    "file_key",
    "holds",
    "key_finder",
    "member_key",
    "save_file",
    "save_zip",
]

log = logging.getLogger(__name__)

FEW = 2
"""so many files are cheaper as single requests"""
UNLISTED = 1 << 30
"""bytes a zip may hold that no listing names"""

_PLACES = ("scans", "assessors", "reconstructions")
_INSIDE = re.compile(r"^(?P<before>.*?)(?:^|/)resources/(?P<label>[^/]+)/files/(?P<path>.+)$")


class Key(NamedTuple):
    """Where a file belongs: `category` is `resources`, `scans`, `assessors` or `reconstructions`,
    `parent` the ID of the scan or assessor, `label` that of the resource."""

    category: str
    parent: str
    label: str
    path: str


def _place(before: str) -> tuple[str, str]:
    """Return category and parent of what stands in front of `/resources/`."""
    parts = [part for part in before.split("/") if part not in ("in", "out")]
    if len(parts) > 1 and parts[-2] in _PLACES:
        return parts[-2], parts[-1]
    return "resources", ""


def file_key(file: File) -> Key:
    """Return where a file of a listing belongs."""
    category, parent = _place(file.uri.partition("/resources/")[0])
    return Key(category, parent, file.resource_label or file.resource_id, file.path)


def member_key(name: str, scans: Collection[str] = ()) -> Key | None:
    """Return where an entry of a zip belongs, None when its name does not say.

    Parameters
    ----------
    name : str
        In the server's default layout, `SESSION/scans/ID-TYPE/resources/LABEL/files/PATH`.
    scans : collection of str
        The known scan IDs. They may hold `-`, so the longest that fits counts.
    """
    found = _INSIDE.match(name)
    if found is None:
        return None
    category, parent = _place(found["before"])
    if category == "scans":
        fitting = [one for one in scans if parent == one or parent.startswith(f"{one}-")]
        if not fitting:
            return None
        parent = max(fitting, key=len)
    return Key(category, parent, found["label"], found["path"])


def key_finder(scans: Collection[str] = ()) -> Callable[[str], Key | None]:
    """As `member_key`, for the many entries of one zip: neighbours share all but their path."""
    start, shared = "", Key("", "", "", "")

    def find(name: str) -> Key | None:
        nonlocal start, shared
        if start and name.startswith(start) and len(name) > len(start):
            return Key(shared[0], shared[1], shared[2], name[len(start) :])
        key = member_key(name, scans)
        if key is not None:
            start, shared = name[: len(name) - len(key.path)], key
        return key

    return find


def _once(files: Iterable[File]) -> dict[Key, File]:
    """Return the files whose place names them alone: two resources may have one label (A 6.1)."""
    found: dict[Key, File] = {}
    twice: set[Key] = set()
    for file in files:
        key = file_key(file)
        if key in found:
            twice.add(key)
        found[key] = file
    return {key: file for key, file in found.items() if key not in twice}


def fetch_folder(
    conn: Connection,
    files_path: str,
    wanted: Sequence[tuple[File, Path]],
    *,
    root: Path,
    query: Mapping[str, str] | None = None,
    displace: Callable[[Path], None] | None = None,
) -> list[Saved]:
    """Bring files of a listing to their places, all of them or none.

    Parameters
    ----------
    files_path : str
        The address whose zip holds them, made by `uris`.
    wanted : sequence of (File, Path)
        Rows of the listing, and where each goes.
    root : Path
        Folder below which no symbolic link is followed.
    query : mapping, optional
        What the address needs besides, `all` for example.
    displace : callable, optional
        Called, when all has come, with each place where something else lies; without it that is
        replaced.

    Raises
    ------
    XNATIntegrityError
        A file is not what the listing says, also when it was fetched anew.
    XNATNotFoundError
        A file is listed, but misses on the server's disk; the message names it.
    XNATUnsafeNameError
        Two files would lie at the same place. Nothing was written.
    """
    targets = [target for _, target in wanted]
    if len(set(targets)) < len(targets):
        twice = next(one for one in targets if targets.count(one) > 1)
        raise XNATUnsafeNameError(f"two files would lie at {twice}: nothing was downloaded")
    parts: list[Part] = []
    try:
        missing = list(wanted)
        if len(wanted) > FEW:
            brought = _from_zip(conn, files_path, wanted, root, query)
            parts += brought.values()
            missing = [pair for pair in wanted if pair[1] not in brought]
        for file, target in missing:
            parts.append(fetch_part(conn, file, target, root=root))
        if displace is not None:
            for target in _in_the_way(parts):
                displace(target)
        saved = publish(parts)
        _tell_unverified(files_path, [file for file, _ in wanted])
        return saved
    except BaseException:
        for part in parts:
            part.discard()
        raise


def _in_the_way(parts: Iterable[Part]) -> Iterator[Path]:
    """Places where something else lies than what is to come there."""
    for part in parts:
        target = part.want.path
        if os.path.lexists(target) and not (part.saved and holds(target, part.saved)):
            yield target


def holds(target: Path, saved: Saved) -> bool:
    """Say whether these bytes lie at a place already."""
    if target.is_symlink() or not target.is_file() or target.stat().st_size != saved.size:
        return False
    return hash_file(target) == saved.md5


def _tell_unverified(files_path: str, files: Sequence[File]) -> None:
    """Say how many files could be compared by size only, or not at all (N12)."""
    bare = [file for file in files if not file.md5]
    if bare:
        log.warning(
            "%s: %d of %d files are unverified, the server has no MD5 of them (%s); "
            "refresh the catalog with checksums",
            files_path,
            len(bare),
            len(files),
            bare[0].path,
        )


def _from_zip(
    conn: Connection,
    files_path: str,
    wanted: Sequence[tuple[File, Path]],
    root: Path,
    query: Mapping[str, str] | None,
) -> dict[Path, Part]:
    """Return the parts that a zip brought, by target; those it did not are left to the caller."""
    targets = {file.uri: target for file, target in wanted}
    single = _once(file for file, _ in wanted)
    find = key_finder({key.parent for key in single if key.category == "scans"})

    def place(name: str) -> Want | None:
        key = find(name)
        file = single.get(key) if key is not None else None
        if file is None:
            return None
        return want_of(file, targets[file.uri])

    try:
        with open_zip(conn, files_path, query=query) as stream:
            found = unpack_zip(stream.chunks(), place, root=root)
    except (XNATIntegrityError, XNATUnsafeNameError, XNATConnectionError) as error:
        log.warning("%s: %s; fetching the files one by one", files_path, error)
        return {}
    for one in found:
        if one.fault and one.fault != "unwanted":
            log.warning("%s: %s in the zip has %s; fetching it", files_path, one.name, one.fault)
    return {one.part.want.path: one.part for one in found if one.part is not None}


def save_file(conn: Connection, file: File, target: Path) -> Saved:
    """Save one file of a listing, compared with its size and digest; see `fetch_folder`."""
    return publish([fetch_part(conn, file, target)])[0]


def save_zip(
    conn: Connection,
    files_path: str,
    files: Sequence[File],
    target: Path,
    *,
    query: Mapping[str, str] | None = None,
) -> Saved:
    """Save a zip as it comes, compared entry by entry with a listing on the way.

    Raises
    ------
    XNATIntegrityError
        It is cut or damaged, or files of the listing miss in it or differ, also when asked again.
        Nothing lies under the target then.
    """
    for attempt in (1, 2):
        try:
            return _save_zip(conn, files_path, files, target, query)
        except (XNATIntegrityError, XNATUnsafeNameError, XNATConnectionError) as error:
            if attempt == 2:
                raise
            log.warning("%s; once more", error)
    raise AssertionError("unreachable")


def _save_zip(
    conn: Connection,
    files_path: str,
    files: Sequence[File],
    target: Path,
    query: Mapping[str, str] | None,
) -> Saved:
    with open_zip(conn, files_path, query=query) as stream, part_writer(Want(target)) as part:

        def passing() -> Iterator[bytes]:
            for chunk in stream.chunks():
                part.write(chunk)
                yield chunk

        members = unpack_zip(passing(), lambda name: None, limits=_limits(files))
        _tell_unverified(files_path, files)
        lost = _unproven(files, members)
        if lost:
            shown = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
            raise XNATIntegrityError(
                f"{files_path}: the zip lacks {len(lost)} of {len(files)} files, or holds them "
                f"otherwise than listed: {shown}"
            )
    return publish([part])[0]


def _limits(files: Sequence[File]) -> Limits:
    """Bounds of a zip that is stored as it comes; it may hold a little more than is listed."""
    if any(file.size is None for file in files):
        return Limits()
    return Limits(total_bytes=4 * sum(file.size or 0 for file in files) + UNLISTED)


def _unproven(files: Sequence[File], members: Sequence[Unpacked]) -> list[str]:
    """Return the paths of files that no entry of the zip proves."""
    find = key_finder({key.parent for key in map(file_key, files) if key.category == "scans"})
    by_key: dict[Key | None, list[Unpacked]] = {}
    for member in members:
        by_key.setdefault(find(member.name), []).append(member)
    left: list[File] = []
    for file in files:
        fitting = by_key.get(file_key(file), [])
        found = next((one for one in fitting if _is(one, file)), None)
        if found is None:
            left.append(file)
        else:
            fitting.remove(found)
    # Entry names come from replacing text and may be damaged (A 6.7): name, size and digest do too.
    spare = [member for some in by_key.values() for member in some]
    lost = []
    for file in left:
        name = file.path.rsplit("/", 1)[-1]
        found = next((m for m in spare if m.name.rsplit("/", 1)[-1] == name and _is(m, file)), None)
        if found is None:
            lost.append(file.path)
        else:
            spare.remove(found)
    return lost


def _is(member: Unpacked, file: File) -> bool:
    return file.size in (None, member.size) and file.md5 in ("", member.md5)
