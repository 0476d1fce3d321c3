"""What the stand-in remembers: a store, an archive folder, and nothing of HTTP.

`State` bundles the parts: `items`, `resources`, `users`, `rights`, `workflows`, `preferences`,
`clock`. Further parts (prearchive, tracking ...) are classes that take the state as their only
argument; `state.part(Prearchive)` makes each once.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from ..clock import Clock
from ..preferences import Preferences
from .catalog import Catalog, Entry
from .items import Item, Items
from .resources import Resource, Resources
from .rights import Rights
from .store import Store
from .users import User, Users
from .workflows import Workflows

__all__ = ["Catalog", "Entry", "Item", "Resource", "State", "Store", "User"]

Part = TypeVar("Part")


class State:
    """Everything under one root folder: `standin.sqlite`, `archive/`, `prearchive/`, `cache/`."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self.root = root
        self.clock = clock or Clock()
        self.started = self.clock.time()
        for name in ("archive", "prearchive", "cache", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.archive = root / "archive"
        self.prearchive = root / "prearchive"
        self.cache = root / "cache"
        self.tmp = root / "tmp"
        self.store = Store(root / "standin.sqlite")
        self.store.declare(
            "CREATE TABLE IF NOT EXISTS preference(name TEXT PRIMARY KEY, value TEXT NOT NULL);"
        )
        kept = self.store.rows("SELECT name, value FROM preference")
        self.preferences = Preferences({row["name"]: json.loads(row["value"]) for row in kept})
        self.preferences.on_change.append(self._keep_preferences)
        self.items = Items(self.store, self.clock)
        self.users = Users(self.store, self.clock, self.preferences)
        self.rights = Rights(self.store, self.users, self.items)
        self.resources = Resources(
            self.store, self.items, self.archive, self.clock, self.preferences
        )
        self.resources.finish_moves()
        for left in self.tmp.iterdir():  # of a killed server
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
        self.workflows = Workflows(self.store, self.clock)
        self._parts: dict[Callable[[State], Any], Any] = {}
        self._parts_lock = threading.RLock()
        self.authenticators: list[Callable[[str, str], str | None]] = []
        """Asked with (alias, secret) for the login that an alias token stands for."""
        self.closing: list[Callable[[], None]] = []
        """Called when the server stops, before the store is closed (worker threads end here)."""

    def part(self, kind: Callable[[State], Part]) -> Part:
        """The one instance of a further part of the state, made at its first use."""
        with self._parts_lock:
            if kind not in self._parts:
                self._parts[kind] = kind(self)
            return cast(Part, self._parts[kind])

    def site_prefix(self) -> str:
        """The prefix of accession IDs: the site id."""
        return str(self.preferences["siteId"])

    def _keep_preferences(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            self.store.insert(
                "INSERT OR REPLACE INTO preference(name, value) VALUES(?,?)",
                name,
                json.dumps(value),
            )

    def close(self) -> None:
        """Ends worker threads and closes the store."""
        self.end_work()
        self.store.close()

    def end_work(self) -> None:
        """Ends worker threads; requests that wait for one of them are answered."""
        while self.closing:
            self.closing.pop()()
