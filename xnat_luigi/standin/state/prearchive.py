"""Rows of the prearchive and their folders (wire contract B 2).

A row's files lie in `prearchive/PROJECT/TIMESTAMP/FOLDER/` and its session document beside them in
`FOLDER.xml`: no document, not built. Statuses that begin with `_` are locks.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from ..clock import Clock
from .store import Store, dumps

__all__ = ["COLUMNS", "STATUSES", "UNASSIGNED", "Prearchive", "Row", "StatusRefused"]

UNASSIGNED = "Unassigned"
STATUSES = frozenset(
    (
        *("RECEIVING", "RECEIVING_INTERRUPT", "BUILDING", "READY", "CONFLICT", "ERROR"),
        *("ARCHIVING", "MOVING", "DELETING", "SEPARATING"),
        *("QUEUED_BUILDING", "QUEUED_ARCHIVING", "QUEUED_MOVING", "QUEUED_DELETING"),
        *("QUEUED_SEPARATING", "_RECEIVING", "_RECEIVING_INTERRUPT", "_BUILDING", "_CONFLICT"),
        *("_ARCHIVING", "_MOVING", "_DELETING", "_SEPARATING"),
    )
)
COLUMNS = (
    *("project", "timestamp", "lastmod", "uploaded", "scan_date", "scan_time", "subject"),
    *("folderName", "name", "tag", "status", "url", "autoarchive", "prevent_anon"),
    *("prevent_auto_commit", "SOURCE", "VISIT", "PROTOCOL", "TIMEZONE"),
)
TABLES = """
CREATE TABLE IF NOT EXISTS prearchive(
  pk INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, timestamp TEXT NOT NULL,
  folder TEXT NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL DEFAULT '',
  tag TEXT NOT NULL DEFAULT '', status TEXT NOT NULL, lastmod TEXT NOT NULL,
  uploaded TEXT NOT NULL, scan_date TEXT NOT NULL DEFAULT '', scan_time TEXT NOT NULL DEFAULT '',
  autoarchive TEXT NOT NULL DEFAULT '', prevent_anon INTEGER NOT NULL DEFAULT 0,
  prevent_auto_commit INTEGER NOT NULL DEFAULT 0, source TEXT NOT NULL DEFAULT '',
  visit TEXT NOT NULL DEFAULT '', protocol TEXT NOT NULL DEFAULT '',
  timezone TEXT NOT NULL DEFAULT '', extra TEXT NOT NULL DEFAULT '{}',
  built TEXT NOT NULL DEFAULT '', uploader TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX IF NOT EXISTS prearchive_place ON prearchive(project, timestamp, folder);
CREATE INDEX IF NOT EXISTS prearchive_tag ON prearchive(project, tag, name);
CREATE TABLE IF NOT EXISTS prearchive_log(
  pk INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL, date TEXT NOT NULL,
  entry TEXT NOT NULL);
"""


class StatusRefused(Exception):
    """The row is locked (its status begins with `_`)."""


@dataclass
class Row:
    """One session in the prearchive. `extra` holds what no listing shows:

    `series` {SeriesInstanceUID: scan folder}.
    """

    project: str
    timestamp: str
    folder: str
    name: str
    subject: str = ""
    tag: str = ""
    status: str = "RECEIVING"
    lastmod: str = ""
    uploaded: str = ""
    scan_date: str = ""
    scan_time: str = ""
    autoarchive: str = ""
    prevent_anon: bool = False
    prevent_auto_commit: bool = False
    source: str = ""
    visit: str = ""
    protocol: str = ""
    timezone: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    built: dict[str, Any] = field(default_factory=dict)
    uploader: str = ""
    pk: int = 0

    @property
    def url(self) -> str:
        """As listings write it: without `/data`."""
        return f"/prearchive/projects/{self.project}/{self.timestamp}/{self.folder}"

    @property
    def locked(self) -> bool:
        return self.status.startswith("_")

    @property
    def key(self) -> str:
        """The default key of event tracking: not fetchable, it has slashes (B 4.1)."""
        return f"{self.project}/{self.timestamp}/{self.name}"

    def cells(self) -> dict[str, str]:
        """The row as a listing shows it."""
        values = {
            "project": self.project,
            "timestamp": self.timestamp,
            "lastmod": self.lastmod,
            "uploaded": self.uploaded,
            "scan_date": self.scan_date,
            "scan_time": self.scan_time,
            "subject": self.subject,
            "folderName": self.folder,
            "name": self.name,
            "tag": self.tag,
            "status": self.status,
            "url": self.url,
            "autoarchive": self.autoarchive,
            "prevent_anon": str(self.prevent_anon).lower(),
            "prevent_auto_commit": str(self.prevent_auto_commit).lower(),
            "SOURCE": self.source,
            "VISIT": self.visit,
            "PROTOCOL": self.protocol,
            "TIMEZONE": self.timezone,
        }
        return {column: values[column] for column in COLUMNS}


class Prearchive:
    """Finding, keeping and locking rows. Rights are not asked here.

    Status changes are refused on locked rows, unless the lock's owner passes `own=True`.
    """

    def __init__(self, root: Path, store: Store, clock: Clock) -> None:
        self.root = root / "prearchive"
        self.store = store
        self.clock = clock
        store.declare(TABLES)

    # finding ------------------------------------------------------------------------------------

    def get(self, project: str, timestamp: str, folder: str) -> Row | None:
        """The row at an address."""
        return self._one("project = ? AND timestamp = ? AND folder = ?", project, timestamp, folder)

    def by_pk(self, pk: int) -> Row | None:
        """The row with this key."""
        return self._one("pk = ?", pk)

    def find(self, project: str, tag: str, name: str) -> Row | None:
        """The row that further files of a study belong to: the timestamp does not matter."""
        return self._one("project = ? AND tag = ? AND name = ?", project, tag, name)

    def all(self, where: str = "1", *values: Any) -> list[Row]:
        """Rows that meet an SQL condition, oldest first, as listings need them.

        What was built is left out: with many files it takes longer to read than all the rest.
        """
        names = ", ".join(f.name for f in fields(Row) if f.name not in _JSON)
        sql = f"SELECT {names} FROM prearchive WHERE {where} ORDER BY pk"
        found = self.store.rows(sql, *values)
        return [_read({**dict(row), "extra": "", "built": ""}) for row in found]

    def _one(self, where: str, *values: Any) -> Row | None:
        found = self.store.row(f"SELECT * FROM prearchive WHERE {where}", *values)
        return None if found is None else _read(dict(found))

    # places -------------------------------------------------------------------------------------

    def place(self, row: Row) -> Path:
        """The row's folder."""
        return self.root / row.project / row.timestamp / row.folder

    def document(self, row: Row) -> Path:
        """The row's session document; it exists when the row is built."""
        return self.root / row.project / row.timestamp / f"{row.folder}.xml"

    def is_built(self, row: Row) -> bool:
        return bool(row.built) and self.document(row).is_file()

    # keeping ------------------------------------------------------------------------------------

    def new_timestamp(self) -> str:
        """`yyyyMMdd_HHmmssSSS` in the server's local time."""
        return self.clock.now().strftime("%Y%m%d_%H%M%S%f")[:18]

    def add(self, row: Row) -> Row:
        """Makes a row and its folder; a taken place gets `_1`, then `_1_2` ... (B 1.6)."""
        now = self.clock.stamp()
        with self.store.writing():
            row.timestamp = row.timestamp or self.new_timestamp()
            number = 0
            while self.get(row.project, row.timestamp, row.folder) is not None:
                number += 1
                row.folder, row.name = f"{row.folder}_{number}", f"{row.name}_{number}"
            row.uploaded = row.uploaded or now
            row.lastmod = now
            columns = _columns(row)
            marks = ",".join("?" * len(columns))
            row.pk = self.store.insert(
                f"INSERT INTO prearchive({','.join(columns)}) VALUES({marks})", *columns.values()
            )
        self.place(row).mkdir(parents=True, exist_ok=True)
        return row

    def update(self, row: Row, **values: Any) -> None:
        """Changes columns of a row, in the store and in `row`."""
        for name, value in values.items():
            setattr(row, name, value)
        columns = _columns(row)
        changed = {name: columns[name] for name in values}
        assignments = ", ".join(f"{name} = ?" for name in changed)
        self.store.change(
            f"UPDATE prearchive SET {assignments} WHERE pk = ?", *changed.values(), row.pk
        )

    def set_status(self, row: Row, status: str, *, own: bool = False) -> None:
        """Changes the status; `lastmod` becomes now (B 2.1).

        :raises StatusRefused: the row is locked and `own` is not given, or it is gone.
        """
        if status not in STATUSES:
            raise ValueError(f"{status!r} is no status of the prearchive")
        now = self.clock.stamp()
        guard = "" if own else " AND substr(status, 1, 1) <> '_'"
        touched = self.store.change(
            f"UPDATE prearchive SET status = ?, lastmod = ? WHERE pk = ?{guard}",
            status,
            now,
            row.pk,
        )
        if not touched:
            raise StatusRefused(f"session document locked: {row.url}")
        row.status, row.lastmod = status, now

    def delete(self, row: Row) -> None:
        """The row, its folder, document and log are gone afterwards."""
        self.remove_files(row)
        with self.store.writing():
            self.store.change("DELETE FROM prearchive_log WHERE row = ?", row.pk)
            self.store.change("DELETE FROM prearchive WHERE pk = ?", row.pk)

    def remove_files(self, row: Row) -> None:
        """Removes folder and document; the timestamp's folder too when it is empty."""
        shutil.rmtree(self.place(row), ignore_errors=True)
        self.document(row).unlink(missing_ok=True)
        parent = self.place(row).parent
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()

    # the log ------------------------------------------------------------------------------------

    def log(self, row: Row, entry: str) -> None:
        """Adds an entry to the row's log: where the reason of a conflict or error is read."""
        self.store.insert(
            "INSERT INTO prearchive_log(row, date, entry) VALUES(?,?,?)",
            row.pk,
            self.clock.stamp(),
            entry,
        )

    def logs(self, row: Row) -> list[tuple[str, str]]:
        """(date, entry) of a row, oldest first."""
        found = self.store.rows(
            "SELECT date, entry FROM prearchive_log WHERE row = ? ORDER BY pk", row.pk
        )
        return [(line["date"], line["entry"]) for line in found]

    # the file system as the truth ----------------------------------------------------------------

    def rescan(self, projects: Iterable[str]) -> tuple[list[Row], int]:
        """Makes rows for folders without one and drops rows without a folder (B 2.1, `PUT`).

        Returns the new rows, RECEIVING and not built, and how many were dropped.
        """
        made: list[Row] = []
        for project in projects:
            for folder in sorted((self.root / project).glob("*/*")):
                stamp = folder.parent.name
                if folder.is_dir() and self.get(project, stamp, folder.name) is None:
                    made.append(self.add(Row(project, stamp, folder.name, folder.name)))
        lost = [row for row in self.all() if not self.place(row).is_dir()]
        for row in lost:
            self.delete(row)
        return made, len(lost)


_JSON = ("extra", "built")
_FLAGS = ("prevent_anon", "prevent_auto_commit")


def _columns(row: Row) -> dict[str, Any]:
    values = {name: value for name, value in vars(row).items() if name != "pk"}
    for name in _JSON:
        values[name] = dumps(values[name]) if values[name] else ""
    for name in _FLAGS:
        values[name] = int(values[name])
    return values


def _read(values: dict[str, Any]) -> Row:
    for name in _JSON:
        values[name] = json.loads(values[name]) if values[name] else {}
    for name in _FLAGS:
        values[name] = bool(values[name])
    return Row(**values)


def parse_stamp(text: str) -> datetime:
    """The time of a `lastmod` or `uploaded` cell (UTC, naive)."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f")
