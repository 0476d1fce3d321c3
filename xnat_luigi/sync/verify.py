"""Whether what lies on disk is what was fetched; asks no server.

A file whose size, time and inode are those of its manifest costs one `stat`. Files that were
touched or copied are hashed once; when they are right the manifest learns their new time and inode.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from ..exceptions import XNATLockError, XNATValueError
from ..staging.lock import staged_lock
from ..staging.manifest import (
    Damage,
    Manifest,
    Spread,
    read_manifest,
    verify_and_refresh,
    write_manifest,
)
from .state import SEEN, STATE, State

__all__ = ["Verdict", "find_projects", "verify_tree"]

DRIFT, INTEGRITY = 10, 7


@dataclass(frozen=True)
class Verdict:
    """What was looked at and what is wrong; paths are relative to the root.

    `unreadable` are manifests that are damaged: what they vouched for is not known any more and
    will be looked at again by the next sync. `unfinished` are sessions that no sync has ended.
    Of `every` resource so many `resources` were looked at.
    """

    files: int
    bytes: int
    damages: tuple[Damage, ...]
    unreadable: tuple[str, ...] = ()
    seconds: float = 0.0
    unfinished: tuple[str, ...] = ()
    resources: int = 0
    every: int = 0

    @property
    def exit_status(self) -> int:
        """0; 10 if files were only edited; 7 if some are missing or damaged, or never came."""
        if self.unreadable or self.unfinished or any(one.kind != "drifted" for one in self.damages):
            return INTEGRITY
        return DRIFT if self.damages else 0

    def to_dict(self) -> dict[str, object]:
        """For machines."""
        return {**asdict(self), "exit_status": self.exit_status}

    def to_text(self) -> str:
        """A line for every file that is not right, and a sum."""
        lines = [f"{one.path}: {one.kind}, {one.detail}" for one in self.damages]
        lines += [f"{one}: a damaged manifest" for one in self.unreadable]
        lines += [f"{one}, sync it again" for one in self.unfinished]
        share = f" (a sample: {self.resources} of {self.every} resources)"
        part = share if self.resources < self.every else ""
        lines.append(
            f"{self.files} files{part}, {self.bytes:,} bytes in {self.seconds:.1f} s: "
            + (f"{len(lines)} not right" if lines else "all right")
        )
        return "\n".join(lines)


def find_projects(root: Path) -> list[str]:
    """Projects that were synced into a folder."""
    bases = [root / STATE / name for name in ("manifests", "partial")]
    return sorted({name for base in bases if base.is_dir() for name in os.listdir(base)})


def verify_tree(
    root: Path,
    *,
    projects: list[str] | None = None,
    deep: bool = False,
    sample: float = 1.0,
    seed: int | None = None,
    threads: int = 2,
    watch: Callable[[Manifest], None] | None = None,
) -> Verdict:
    """Compare a destination with its manifests.

    Parameters
    ----------
    projects : list of str, optional
        Only these; all by default.
    deep : bool
        Hash every file.
    sample : float
        The share of resources that is looked at, above 0 and up to 1; which ones is drawn.
    seed : int, optional
        Of the draw.
    threads : int
        Files at a time with `deep` (hashing runs outside Python's lock).
    watch : callable, optional
        Called with every manifest that was looked at.

    Raises
    ------
    XNATValueError
        Nothing was ever synced here, or no such project.
    """
    if not 0 < sample <= 1:
        raise XNATValueError(f"sample: a share above 0 and up to 1 is due, not {sample:g}")
    known = find_projects(root)
    wanted = projects or known
    absent = [one for one in wanted if one not in known]
    if absent or not wanted:
        raise XNATValueError(
            f"{root}: nothing was ever synced here" + (f" of {absent[0]}" if absent else "")
        )
    begin = time.monotonic()
    dice = random.Random(seed)
    paths = [path for one in wanted for path in _manifests(root / STATE / "manifests" / one)]
    every = len(paths)
    if sample < 1:
        paths = [path for path in paths if dice.random() < sample]

    def look(path: Path, spread: Spread = map) -> tuple[Path, Manifest | None, list[Damage]]:
        manifest = read_manifest(path)
        if manifest is None:
            return path, None, []
        damages, fresh = verify_and_refresh(manifest, root, deep=deep, spread=spread)
        if fresh != manifest:
            _learn(path, manifest, fresh, root)
        return path, manifest, damages

    files = size = 0
    damages: list[Damage] = []
    unreadable: list[str] = []
    for path, manifest, found in _each(look, paths, threads if deep else 1):
        if manifest is None:
            unreadable.append(path.relative_to(root).as_posix())
            continue
        files, size = files + len(manifest.entries), size + manifest.size
        damages += found
        if watch is not None:
            watch(manifest)
    seconds = round(time.monotonic() - begin, 3)
    unfinished = tuple(
        f"{name} of {one} is not complete: {count} files of an unfinished sync lie here"
        for one in wanted
        for name, count in State(root, one).unfinished()
    )
    return Verdict(
        files, size, tuple(damages), tuple(unreadable), seconds, unfinished, len(paths), every
    )


def _learn(path: Path, read: Manifest, fresh: Manifest, root: Path) -> None:
    """Note new times and inodes, unless a sync has the session, or has had it meanwhile."""
    session = path.parent
    lock = State(root, session.parent.name).lock(session.name)
    with contextlib.suppress(XNATLockError), staged_lock(lock, timeout=0, owner="verify"):
        if read_manifest(path) == read:
            write_manifest(path, fresh, sync=False, root=root)


Looked = tuple[Path, "Manifest | None", list[Damage]]


def _each(look: Callable[..., Looked], paths: list[Path], threads: int) -> Iterator[Looked]:
    """Look at all resources; with several threads the files of some of them are hashed at once."""
    if threads <= 1:
        yield from map(look, paths)
        return
    with ThreadPoolExecutor(threads) as hashing, ThreadPoolExecutor(threads) as looking:
        yield from looking.map(lambda path: look(path, hashing.map), paths)


def _manifests(folder: Path) -> Iterator[Path]:
    for session in sorted(os.listdir(folder)) if folder.is_dir() else ():
        inside = folder / session
        try:
            names = sorted(os.listdir(inside))
        except NotADirectoryError:
            continue
        for name in names:
            if name.endswith(".json") and name != SEEN and not name.startswith("."):
                yield inside / name
