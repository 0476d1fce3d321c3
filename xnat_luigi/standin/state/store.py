"""The stand-in's memory: one SQLite file in WAL mode, shared by all threads."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Store", "dumps", "loads"]


def dumps(value: Any) -> str:
    """JSON for a column."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def loads(text: str | None) -> Any:
    """JSON from a column."""
    return json.loads(text) if text and text != "{}" else {}


class Store:
    """Rows in, rows out. Writes of one `writing()` block happen together or not at all.

    `synchronous=OFF` is enough here: what a killed process has written stays in the kernel, so
    SIGKILL loses nothing that was committed; only a power cut could.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self.generation = 0
        """Counts changes; what was read under the same number is still true."""
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("PRAGMA cache_size=-16000")

    def declare(self, script: str) -> None:
        """Creates tables (`CREATE TABLE IF NOT EXISTS`); each part of the state has its own."""
        with self._lock:
            self._connection.executescript(script)

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        with self._lock:
            found: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
            return found

    def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.row(sql, *values)
        return None if row is None else row[0]

    def insert(self, sql: str, *values: Any) -> int:
        """Runs an INSERT and returns the new row's id."""
        with self.writing():
            return self._connection.execute(sql, values).lastrowid or 0

    def change(self, sql: str, *values: Any) -> int:
        """Runs an UPDATE or DELETE and returns how many rows it touched."""
        with self.writing():
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def writing(self, *, counts: bool = True) -> Iterator[None]:
        """A transaction; blocks may be nested, the outermost commits.

        `counts=False` is for changes that no answer about data depends on (logins).
        """
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")
                self.generation += counts

    def note(self, sql: str, *values: Any, wait: bool = True) -> bool:
        """A change that no answer depends on, such as when a login was last used.

        Returns: False when `wait` is false and somebody else is writing; nothing was done then.
        """
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            self._connection.execute(sql, values)
        finally:
            self._lock.release()
        return True

    def next_number(self, counter: str) -> int:
        """Counts up the named counter; never gives a number twice, also after a restart."""
        with self.writing():
            self._connection.execute(
                "INSERT INTO counter(name, value) VALUES(?, 1)"
                " ON CONFLICT(name) DO UPDATE SET value = value + 1",
                (counter,),
            )
            value: int = self.value("SELECT value FROM counter WHERE name = ?", counter)
            return value

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()
