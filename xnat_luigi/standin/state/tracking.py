"""Event tracking: what became of a call with a listener (wire contract B 4.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..clock import Clock
from .store import Store, dumps

__all__ = ["Progress", "Tracking"]

MONTH = 30 * 24 * 3600
TABLES = """
CREATE TABLE IF NOT EXISTS tracking(
  login TEXT NOT NULL, key TEXT NOT NULL, session TEXT NOT NULL DEFAULT '',
  entries TEXT NOT NULL DEFAULT '[]', succeeded INTEGER, final TEXT, created REAL NOT NULL,
  PRIMARY KEY(login, key));
"""


@dataclass(frozen=True)
class Progress:
    """One tracked call. `succeeded` is None while it runs."""

    key: str
    entries: tuple[dict[str, Any], ...]
    succeeded: bool | None
    final_message: str | None
    session: str

    @property
    def payload(self) -> str | None:
        """The entries as the JSON *string* the wire has; None before the first event."""
        return dumps({"entryList": list(self.entries)}) if self.entries else None


class Tracking:
    """Keys belong to the user who chose them; others do not see them. Purged after a month."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        store.declare(TABLES)

    def open(self, login: str, key: str, *, session: str = "", restart: bool = False) -> None:
        """Begins a key, or goes on with a used one.

        :param session: the HTTP session that may also ask the legacy `/data/status/KEY`.
        :param restart: forget the former outcome (archive does, import does not).
        """
        now = self.clock.time()
        with self.store.writing():
            self.store.change("DELETE FROM tracking WHERE created < ?", now - MONTH)
            self.store.insert(
                "INSERT INTO tracking(login, key, session, created) VALUES(?,?,?,?)"
                " ON CONFLICT(login, key) DO UPDATE SET"
                " session = CASE WHEN excluded.session = '' THEN session ELSE excluded.session END",
                login,
                key,
                session,
                now,
            )
            if restart:
                self.store.change(
                    "UPDATE tracking SET succeeded=NULL, final=NULL WHERE login = ? AND key = ?",
                    login,
                    key,
                )

    def note(self, login: str, key: str, message: str, *, status: str = "InProgress") -> None:
        """Adds an event that is not the last; without an opened key nothing is kept."""
        with self.store.writing():
            row = self.store.row(
                "SELECT entries FROM tracking WHERE login = ? AND key = ?", login, key
            )
            if row is None:
                return
            entries = json.loads(row["entries"])
            moment = int(self.clock.time() * 1000)
            entries.append({"status": status, "eventTime": moment, "message": message})
            self.store.change(
                "UPDATE tracking SET entries = ? WHERE login = ? AND key = ?",
                dumps(entries),
                login,
                key,
            )

    def finish(self, login: str, key: str, succeeded: bool, message: str) -> None:
        """The last event; it shows in `succeeded` and `finalMessage` only."""
        self.store.change(
            "UPDATE tracking SET succeeded = ?, final = ? WHERE login = ? AND key = ?",
            int(succeeded),
            message,
            login,
            key,
        )

    def get(self, login: str, key: str) -> Progress | None:
        """The state of a user's own key."""
        row = self.store.row("SELECT * FROM tracking WHERE login = ? AND key = ?", login, key)
        if row is None or row["created"] < self.clock.time() - MONTH:
            return None
        outcome = row["succeeded"]
        return Progress(
            key=key,
            entries=tuple(json.loads(row["entries"])),
            succeeded=None if outcome is None else bool(outcome),
            final_message=row["final"],
            session=row["session"],
        )
