"""Removing here what the server has no more: into the trash, and only what is ours.

Only files that a manifest of ours names and that nobody has edited since go; only after a complete
listing; only sessions that the server, asked for each by its ID, does not know; and never more than
was allowed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import XNATError, XNATLoginFailedError
from ..rest.absence import experiment_exists
from ..staging.lock import staged_lock
from ..staging.manifest import Entry, Manifest, verify
from ..staging.save import remove_empty, remove_file
from ..transfer.trash import put_aside
from .inventory import Inventory
from .state import State

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Limit", "Pruned", "TooManyError", "Victim", "find", "prune"]


class TooManyError(XNATError):
    """More would be removed than is allowed; nothing was."""


@dataclass(frozen=True)
class Limit:
    """The most that may be removed: so many files, and so many percent of all that are known."""

    count: int = 1000
    percent: float = 10.0


@dataclass(frozen=True)
class Victim:
    """A file to remove, whose session it is, and whether all of that session is gone."""

    experiment_id: str
    label: str
    entry: Entry
    session_gone: bool


@dataclass(frozen=True)
class Pruned:
    """What was done. `edited` were changed here and stay; `kept` sessions still exist.

    `dry` says that nothing was, and `refused` why nothing would be.
    """

    removed: tuple[str, ...]
    edited: tuple[str, ...]
    bytes: int
    kept: tuple[str, ...] = ()
    dry: bool = False
    refused: str = ""

    def to_text(self) -> str:
        """A line for every file, and a sum."""
        moved = "would move to the trash" if self.dry else "moved to the trash"
        lines = [f"{one}: {moved}" for one in self.removed]
        lines += [f"{one}: edited here, left as it is" for one in self.edited]
        lines += [f"{one}: still on the server though not listed, left alone" for one in self.kept]
        lines.append(f"{len(self.removed)} files, {self.bytes:,} bytes {moved}")
        lines += [f"but {self.refused}"] if self.refused else []
        return "\n".join(lines)


def find(inventory: Inventory, root: Path) -> list[Victim]:
    """Files of ours that the server's complete listing does not cover any more, in order."""
    state = State(root, inventory.project)
    found: dict[str, Victim] = {}
    for name in state.experiments():
        if name not in inventory.ids:
            known = state.read(name)
            for manifest in known.resources:
                for entry in manifest.entries:
                    found[entry.path] = Victim(name, known.label, entry, True)
    for name, entry in state.all_gone():
        found.setdefault(entry.path, Victim(name, "", entry, name not in inventory.ids))
    lying = state.lying(inventory.ids)
    return [found[path] for path in sorted(found) if path not in lying]


def prune(
    conn: Connection,
    inventory: Inventory,
    root: Path,
    *,
    limit: Limit | None = None,
    dry: bool = False,
    now: Callable[[], float] = time.time,
) -> Pruned:
    """Move what `find` finds to the trash.

    Raises
    ------
    TooManyError
        More than the limit; nothing was touched. A look at the list comes first, then a larger
        limit. With `dry` it is not raised, but told in `refused`.
    XNATConfigError
        The folder holds this project of another server.
    XNATLoginFailedError
        The login was lost, so the listing may have been a guest's.
    """
    if not conn.logged_in():
        raise XNATLoginFailedError(f"{conn.server}: the login was lost, nothing is pruned")
    State(root, inventory.project).check_server(inventory.server)
    victims = find(inventory, root)
    state = State(root, inventory.project)
    gone = {name for name in state.experiments() if name not in inventory.ids}
    gone |= {one.experiment_id for one in victims if one.session_gone}
    alive = {name for name in sorted(gone) if experiment_exists(conn, None, name)}
    gone -= alive
    victims = [one for one in victims if not (one.session_gone and one.experiment_id in alive)]
    refused = _too_many(victims, state, limit or Limit())
    if refused and not dry:
        raise TooManyError(f"{refused}; nothing was. Look at the list with --dry-run")
    removed: list[str] = []
    edited: list[str] = []
    size = 0
    for name in sorted(gone | {one.experiment_id for one in victims}):
        mine = [one for one in victims if one.experiment_id == name]
        with staged_lock(state.lock(name), owner=f"prune of {name}"):
            stay = _edited(mine, root)
            edited += sorted(stay)
            for one in mine:
                path = one.entry.path
                if path not in stay and (root / path).is_file():
                    removed.append(path)
                    size += one.entry.size
                    if not dry:
                        put_aside(root / path, root, now())
                        remove_empty((root / path).parent, root)
            if not dry:
                _forget(state, name, mine, name in gone)
    return Pruned(tuple(removed), tuple(edited), size, tuple(sorted(alive)), dry, refused)


def _too_many(victims: list[Victim], state: State, limit: Limit) -> str:
    every = sum(
        len(manifest.entries)
        for name in state.experiments()
        for manifest in state.read(name).resources
    )
    every += len(list(state.all_gone()))
    most = min(limit.count, int(every * limit.percent / 100))
    if len(victims) <= most:
        return ""
    return (
        f"{len(victims)} of {every} files in {state.root} would be removed and {most} are "
        f"allowed ({limit.count} files, {limit.percent:g} %): allow more with --max-delete"
    )


def _edited(victims: list[Victim], root: Path) -> set[str]:
    manifest = Manifest({}, tuple(one.entry for one in victims))
    return {one.path for one in verify(manifest, root) if one.kind != "missing"}


def _forget(state: State, name: str, victims: list[Victim], gone: bool) -> None:
    """Drop what was known of removed files; edited ones are nobody's but the user's from now on."""
    paths = {one.entry.path for one in victims}
    left = [entry for entry in state.read_gone(name) if entry.path not in paths]
    state.write_gone(name, victims[0].label if victims else "", left)
    if gone:
        state.end_partial(name)
        folder = state.folder(name)
        for path in sorted(folder.glob("*.json")):
            remove_file(path)
        remove_empty(folder, state.root)
