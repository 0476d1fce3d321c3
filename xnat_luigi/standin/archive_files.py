"""Files of a prearchive row linked into the archive and entered into catalogs, or taken back."""

from __future__ import annotations

import filecmp
import os
import shutil
import uuid
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .state.resources import Resource, md5_of

if TYPE_CHECKING:
    from .state import State

__all__ = ["Undo", "checksum_catalogs", "enter_files", "link_files"]


class Undo:
    """Takes back what was done to the file system unless `keep()` is called (B 3.4, roll-back)."""

    def __init__(self) -> None:
        self._made: list[Path] = []
        self._aside: list[tuple[Path, Path]] = []
        self._kept = False

    def made(self, path: Path) -> None:
        self._made.append(path)

    def save(self, path: Path) -> None:
        """Puts a file or catalog aside that will be replaced; a missing one counts as made."""
        if not path.exists():
            self.made(path)
            return
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.before")
        os.link(path, aside)
        self._aside.append((path, aside))

    def keep(self) -> None:
        self._kept = True

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for path, aside in self._aside:
            if self._kept:
                aside.unlink(missing_ok=True)
            else:
                os.replace(aside, path)
        if not self._kept:
            for path in self._made:
                path.unlink(missing_ok=True)


def link_files(
    source: Path,
    target: Path,
    paths: Iterable[str],
    undo: Undo,
    *,
    replace: bool,
    catalogued: Container[str] = (),
) -> list[str]:
    """Links files into a resource's folder; catalogued ones that were there stay unless `replace`.

    Files that lie there without being catalogued were left by a killed server or by a deletion
    that kept them: the same bytes are taken as they are.

    Raises: `FileExistsError` when they are other bytes.
    """
    linked = []
    for path in paths:
        here, there = source / path, target / path
        if there.exists() and not replace:
            if path not in catalogued:
                if not filecmp.cmp(here, there, shallow=False):
                    raise FileExistsError(path)
                linked.append(path)
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        undo.save(there)
        part = there.with_name(f".{there.name}.{uuid.uuid4().hex}.part")
        try:
            os.link(here, part)
        except OSError:  # another file system
            shutil.copy2(here, part)
        os.replace(part, there)
        part.unlink(missing_ok=True)  # replacing a link by its own inode leaves the part
        linked.append(path)
    return linked


def enter_files(
    state: State,
    resource: Resource,
    paths: Sequence[str],
    facts: Mapping[str, Mapping[str, Any]],
    *,
    user: str,
    uid: str = "",
) -> None:
    """Enters files into the resource's catalog, without digests, and counts them."""
    with state.resources.locked(resource):
        catalog = state.resources.catalog(resource).copy()
        known = {entry.path for entry in catalog.entries}
        for path in paths:
            entry = state.resources.add_entry(resource, catalog, path, user=user, checksum=False)
            fact = facts.get(path)
            if fact is not None:
                entry.uid, entry.instance = str(fact["uid"]), str(fact["number"])
                entry.format = entry.format or "DICOM"
            if path in known:
                entry.digest = ""
        if uid and resource.label in {"DICOM", "secondary"}:
            catalog.dicom, catalog.uid = True, catalog.uid or uid
        state.resources.write(resource, catalog)
        state.resources.update_stats(resource)


def checksum_catalogs(state: State, resources: Iterable[Resource], *, again: bool = False) -> None:
    """Computes digests that are missing (or all), where the site preference says so."""
    if not state.preferences["checksums"] and not again:
        return
    for resource in resources:
        with state.resources.locked(resource):
            catalog = state.resources.catalog(resource).copy()
            changed = False
            for entry in catalog.entries:
                path = resource.folder / entry.path
                if (again or not entry.digest) and path.is_file():
                    digest = md5_of(path)
                    changed = changed or digest != entry.digest
                    entry.digest = digest
            if changed:
                state.resources.write(resource, catalog)
