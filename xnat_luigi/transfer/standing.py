"""What of a resource lies on disk already, and what has to be brought.

A file that is right is never fetched: not when a manifest vouches for it, not when another tool
put it there, not when a run was killed between the last byte and the name, not when only its place
has changed. And what somebody else wrote is never lost: it moves to the trash before its name is
taken.
"""

from __future__ import annotations

import itertools
import logging
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..exceptions import XNATUnsafeNameError
from ..rest.records import File
from ..staging.manifest import Entry, Manifest, hash_file, verify_and_refresh
from ..staging.save import Saved, Want, move, take_over
from ..staging.sweep import Inside, look_inside
from .layout import Origin, placer
from .single import want_of

__all__ = ["Job", "Standing", "Wanted", "make_entry", "sort_out"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A resource to bring: its whole listing, and the manifest of an earlier run if there is one.

    `restore` fetches files again that somebody edited here; otherwise these stay as they are
    while the server's file is the same. `deep` hashes every file that the manifest knows.
    """

    origin: Origin
    files: tuple[File, ...]
    old: Manifest | None = None
    stamps: Mapping[str, str] = field(default_factory=dict)
    restore: bool = False
    deep: bool = False


class Wanted(NamedTuple):
    """A file to bring, where to, and whether something of somebody else's lies there.

    `inside` is the target's path below the root.
    """

    file: File
    target: Path
    inside: str
    displace: bool = False

    @property
    def want(self) -> Want:
        """What its bytes must be."""
        return want_of(self.file, self.target)


@dataclass
class Standing:
    """The state of a job: entries that hold by path in the resource, and what is wanted."""

    kept: dict[str, Entry] = field(default_factory=dict)
    wanted: list[Wanted] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    adopted: int = 0
    moved: int = 0


def make_entry(file: File, saved: Saved, inside: str) -> Entry:
    """The entry of a file just brought or adopted, with its path below the root."""
    proof = "md5" if file.md5 else ("size" if file.size is not None else "none")
    return Entry(inside, saved.size, saved.md5, saved.mtime_ns, saved.inode, file.path, proof)


def sort_out(job: Job, root: Path, places: Mapping[str, str]) -> Standing:
    """Compare a listing with manifest and disk. Files whose place has changed are moved.

    Parameters
    ----------
    places : mapping
        As `place_all` gives them.
    """
    known, faults = _known(job, root)
    found = Standing()
    lying = _Folders()
    for file in job.files:
        inside = places[file.path]
        target = root / inside
        entry = known.get(file.path)
        kind = faults.get(entry.path) if entry is not None else None
        if entry is not None and _same(entry, file):
            # At another place than its own it may be another session's file: labels were swapped.
            if kind == "drifted" and not job.restore and entry.path == inside:
                found.drifted.append(entry.path)
                found.kept[file.path] = entry
                continue
            if kind is None and _brought_home(entry, inside, root, found):
                same = entry.path == inside
                found.kept[file.path] = entry if same else entry._replace(path=inside)
                continue
        there = lying.has(target)
        saved = _adopt(file, target, root, lying) if there or lying.of(target) else None
        if saved is not None:
            found.kept[file.path] = make_entry(file, saved, inside)
            found.adopted += 1
            continue
        ours = entry is not None and entry.path == inside and kind != "drifted"
        found.wanted.append(Wanted(file, target, inside, displace=there and not ours))
    return found


def place_all(job: Job, layout: str) -> dict[str, str]:
    """The place of every file of a job, below the root.

    Raises
    ------
    XNATUnsafeNameError
        Two files, or a file and a folder, would lie at one place (fault row D6).
    """
    find = placer(job.origin, layout)
    places = {file.path: find(file.path) for file in job.files}
    where = f"{job.origin.experiment_label} {job.origin.resource_label}"
    refuse_clashes(places.values(), where)
    if len(places) < len(job.files):
        raise XNATUnsafeNameError(
            f"{where}: the server lists a file twice; refresh its catalog there"
        )
    return places


def refuse_clashes(places: Iterable[str], where: str) -> None:
    """Refuse places of which two are equal, or one is a folder of another."""
    places = list(places)
    files = set(places)
    above = _folders_above(files)
    if len(files) == len(places) and files.isdisjoint(above):
        return
    names = sorted(one.split("/") for one in places)
    for before, after in itertools.pairwise(names):
        if after[: len(before)] == before:
            raise XNATUnsafeNameError(
                f"{where}: {'/'.join(before)!r} and {'/'.join(after)!r} would lie at one place; "
                "nothing was written, choose another layout"
            )


def _folders_above(files: Iterable[str]) -> set[str]:
    """All folders that these paths lie in, at every depth."""
    found: set[str] = set()
    for folder in {path.rpartition("/")[0] for path in files}:
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _known(job: Job, root: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    if job.old is None:
        return {}, {}
    damages, fresh = verify_and_refresh(job.old, root, deep=job.deep)
    known = {entry.remote: entry for entry in fresh.entries}
    return known, {damage.path: damage.kind for damage in damages}


def _same(entry: Entry, file: File) -> bool:
    """Whether the server's file is the one the entry was made of."""
    if file.size is not None and file.size != entry.size:
        return False
    digest = file.md5
    return not digest or digest == entry.md5


def _brought_home(entry: Entry, inside: str, root: Path, found: Standing) -> bool:
    """Whether a proven file lies at its place; one whose place has changed is moved there."""
    if entry.path == inside:
        return True
    target = root / inside
    if os.path.lexists(target):
        return False
    move(root / entry.path, target, root=root)
    status = target.lstat()
    if (status.st_size, status.st_mtime_ns, status.st_ino) != entry[1:2] + entry[3:5]:
        return False  # another session has taken the old place meanwhile: that was its file
    found.moved += 1
    log.info("%s moved to %s", entry.path, inside)
    return True


def _adopt(file: File, target: Path, root: Path, lying: _Folders) -> Saved | None:
    """A file that is right but that no manifest knows: under its name, or as a killed run's part.

    Only with a digest: equal sizes prove nothing.
    """
    digest = file.md5
    if not digest:
        return None
    try:
        status = target.lstat()
    except OSError:
        status = None
    if status is not None:
        if _fits(target, status, file.size) and hash_file(target) == digest:
            return Saved(target, status.st_size, digest, status.st_mtime_ns, status.st_ino)
        return None
    for leftover in lying.of(target):
        status = leftover.lstat()
        if _fits(leftover, status, file.size) and hash_file(leftover) == digest:
            take_over(leftover, target, root=root)
            return Saved(target, status.st_size, digest, status.st_mtime_ns, status.st_ino)
    return None


class _Folders:
    """What lies in the folders of a resource, each looked into once."""

    def __init__(self) -> None:
        self.folders: dict[str, Inside] = {}

    def has(self, target: Path) -> bool:
        """Whether something may lie at this place.

        Some disks take names in any case; some list others than they were given.
        """
        folder, name = self._look(target)
        if name.casefold() in folder.names:
            return True
        return (not name.isascii() or name[-1] in ". ") and os.path.lexists(target)

    def of(self, target: Path) -> list[Path]:
        """Leftovers that were to become this file."""
        folder, name = self._look(target)
        return folder.leftovers.get(name, [])

    def _look(self, target: Path) -> tuple[Inside, str]:
        path, _, name = str(target).rpartition(os.sep)
        found = self.folders.get(path)
        if found is None:
            found = self.folders[path] = look_inside(target.parent)
        return found, name


def _fits(path: Path, status: os.stat_result, size: int | None) -> bool:
    return stat.S_ISREG(status.st_mode) and size in (None, status.st_size)
