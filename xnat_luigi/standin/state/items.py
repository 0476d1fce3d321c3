"""Projects, subjects, experiments, assessors, scans and reconstructions as rows of one table."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..clock import Clock
from .store import Store, dumps, loads

__all__ = ["Item", "Items"]

TABLES = """
CREATE TABLE IF NOT EXISTS counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS item(
  pk INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL,
  label TEXT NOT NULL DEFAULT '', xsi_type TEXT NOT NULL, project TEXT NOT NULL DEFAULT '',
  parent INTEGER, fields TEXT NOT NULL DEFAULT '{}', children TEXT NOT NULL DEFAULT '{}',
  inserted TEXT NOT NULL, inserter TEXT NOT NULL DEFAULT '', modified TEXT NOT NULL,
  deep_modified TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'active', event INTEGER,
  arc TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS item_parent ON item(parent, kind);
CREATE INDEX IF NOT EXISTS item_id ON item(kind, id);
CREATE INDEX IF NOT EXISTS item_label ON item(project, kind, label);
CREATE TABLE IF NOT EXISTS share(
  item INTEGER NOT NULL, project TEXT NOT NULL, label TEXT NOT NULL DEFAULT '',
  PRIMARY KEY(item, project));
CREATE INDEX IF NOT EXISTS share_project ON share(project);
CREATE TABLE IF NOT EXISTS history(
  item INTEGER NOT NULL, document TEXT NOT NULL, ended TEXT NOT NULL, changed_by TEXT NOT NULL,
  event INTEGER);
CREATE TABLE IF NOT EXISTS project_code(
  project TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(project, name));
CREATE TABLE IF NOT EXISTS used_project(id TEXT PRIMARY KEY);
"""


@dataclass
class Item:
    """One item. `kind` is project, subject, experiment, assessor, scan or reconstruction.

    `fields` are the scalar fields, keyed by xpath relative to the item as in the schema
    (`scanner/manufacturer`); ids, labels and project are not among them. `children` are collections
    that are no items themselves: `{"fields/field": [{"name": "cohort", "field": "A"}]}`; a
    member's own type stands under `xsi:type`.
    """

    kind: str
    id: str
    xsi_type: str
    label: str = ""
    project: str = ""
    parent: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    children: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    inserted: str = ""
    inserter: str = ""
    modified: str = ""
    """Changes with the item's own fields only: what the abstract type's meta row says."""
    deep_modified: str = ""
    """Changes with anything below it as well: the concrete type's (wire contract A 3.7)."""
    status: str = "active"
    event: int | None = None
    arc: str = ""
    """The archive folder of a session: the project's current one when the session was made."""
    pk: int = 0


def _read(row: sqlite3.Row) -> Item:
    values = dict(row)
    values["fields"] = loads(values["fields"])
    values["children"] = loads(values["children"])
    return Item(**values)


class Items:
    """Finding and keeping items. Rights are not asked here."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._peeked: dict[int, Item | None] = {}
        self._peeked_at = -1
        self._peeked_lock = threading.Lock()
        store.declare(TABLES)

    # finding ------------------------------------------------------------------------------------

    def by_pk(self, pk: int | None) -> Item | None:
        """The item with this primary key."""
        row = self.store.row("SELECT * FROM item WHERE pk = ?", pk)
        return None if row is None else _read(row)

    def peek(self, pk: int | None) -> Item | None:
        """The item with this primary key, remembered while nothing changes: look, do not touch."""
        if pk is None:
            return None
        now = self.store.generation
        if self._peeked_at == now and pk in self._peeked:
            return self._peeked[pk]
        found = self.by_pk(pk)
        with self._peeked_lock:
            if self._peeked_at != now:
                if self.store.generation != now:
                    return found
                self._peeked, self._peeked_at = {}, now
            self._peeked[pk] = found
        return found

    def by_id(self, item_id: str, *kinds: str) -> Item | None:
        """The item with this global ID among `kinds`."""
        marks = ",".join("?" * len(kinds))
        row = self.store.row(
            f"SELECT * FROM item WHERE id = ? AND kind IN ({marks})", item_id, *kinds
        )
        return None if row is None else _read(row)

    def project(self, project: str) -> Item | None:
        """A project by ID or alias."""
        found = self.by_id(project, "project")
        if found is not None:
            return found
        row = self.store.row(
            "SELECT item.* FROM item, json_each(item.children, '$.aliases/alias') AS alias"
            " WHERE kind = 'project' AND json_extract(alias.value, '$.alias') = ?",
            project,
        )
        return None if row is None else _read(row)

    def by_label(self, project: str, label: str, *kinds: str) -> Item | None:
        """The item that carries `label` in `project`, as its own or through a share."""
        marks = ",".join("?" * len(kinds))
        row = self.store.row(
            f"SELECT * FROM item WHERE project = ? AND label = ? AND kind IN ({marks})",
            project,
            label,
            *kinds,
        ) or self.store.row(
            "SELECT item.* FROM share JOIN item ON item.pk = share.item"
            " WHERE share.project = ?"
            " AND (share.label = ? OR (share.label = '' AND item.label = ?))"
            f" AND kind IN ({marks})",
            project,
            label,
            label,
            *kinds,
        )
        return None if row is None else _read(row)

    def subject(self, project: str | None, name: str) -> Item | None:
        """A subject: by label in `project` or by ID; without a project by ID only."""
        found = self.by_id(name, "subject")
        if found is None and project is not None:
            found = self.by_label(project, name, "subject")
        return found

    def experiment(self, project: str | None, name: str) -> Item | None:
        """An experiment or assessor: by ID first, then by label in `project` (A 7)."""
        found = self.by_id(name, "experiment", "assessor")
        if found is None and project is not None:
            found = self.by_label(project, name, "experiment") or self.by_label(
                project, name, "assessor"
            )
        return found

    def scan(self, session: Item, scan_id: str) -> Item | None:
        """A scan of a session by ID."""
        row = self.store.row(
            "SELECT * FROM item WHERE parent = ? AND kind = 'scan' AND id = ?", session.pk, scan_id
        )
        return None if row is None else _read(row)

    def below(self, parent: Item | int | None, *kinds: str) -> list[Item]:
        """Direct children of the given kinds in order of creation."""
        pk = parent.pk if isinstance(parent, Item) else parent
        marks = ",".join("?" * len(kinds))
        rows = self.store.rows(
            f"SELECT * FROM item WHERE parent = ? AND kind IN ({marks}) ORDER BY pk", pk, *kinds
        )
        return [_read(row) for row in rows]

    def all(self, *kinds: str, where: str = "1", values: Iterable[Any] = ()) -> Iterator[Item]:
        """All items of the given kinds that meet an SQL condition."""
        marks = ",".join("?" * len(kinds))
        rows = self.store.rows(
            f"SELECT * FROM item WHERE kind IN ({marks}) AND ({where}) ORDER BY pk", *kinds, *values
        )
        return map(_read, rows)

    def in_project(self, project: str, *kinds: str) -> Iterator[Item]:
        """Own and shared items of a project."""
        return self.all(
            *kinds,
            where="project = ? OR pk IN (SELECT item FROM share WHERE project = ?)",
            values=(project, project),
        )

    # keeping ------------------------------------------------------------------------------------

    def new_id(self, kind: str, site: str = "XNAT") -> str:
        """A fresh accession ID such as `XNAT_E00001`."""
        letter = "S" if kind == "subject" else "E"
        while True:
            number = self.store.next_number(f"id-{letter}")
            candidate = f"{site}_{letter}{number:05d}"
            if self.by_id(candidate, "subject", "experiment", "assessor") is None:
                return candidate

    def add(self, item: Item, user: str = "admin") -> Item:
        """Stores a new item and touches those above it; returns it with its key and times."""
        now = self.clock.stamp()
        item.inserted = item.inserted or now
        item.inserter = item.inserter or user
        item.modified = item.deep_modified = now
        if item.kind == "experiment":
            item.arc = item.arc or self.current_arc(item.project)
        with self.store.writing():
            item.pk = self.store.insert(
                "INSERT INTO item(kind, id, label, xsi_type, project, parent, fields, children,"
                " inserted, inserter, modified, deep_modified, status, event, arc)"
                " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                item.kind,
                item.id,
                item.label,
                item.xsi_type,
                item.project,
                item.parent,
                dumps(item.fields),
                dumps(item.children),
                item.inserted,
                item.inserter,
                now,
                now,
                item.status,
                item.event,
                item.arc,
            )
            self.touch(item.parent, now)
        return item

    def current_arc(self, project: str) -> str:
        """Where new sessions of a project go, `arc001` unless changed."""
        arc = self.store.value(
            "SELECT value FROM project_code WHERE project = ? AND name = 'current_arc'", project
        )
        return arc or "arc001"

    def save(self, item: Item, user: str = "admin") -> None:
        """Stores changed fields; the former state goes to the history, times move on."""
        with self.store.writing():
            before = self.by_pk(item.pk)
            if before is None:
                return
            now = self.clock.stamp()
            self.store.insert(
                "INSERT INTO history(item, document, ended, changed_by, event) VALUES(?,?,?,?,?)",
                item.pk,
                dumps(vars(before)),
                now,
                user,
                before.event,
            )
            self.store.change(
                "UPDATE item SET id=?, label=?, xsi_type=?, project=?, parent=?, fields=?,"
                " children=?, modified=?, deep_modified=?, status=?, event=?, arc=? WHERE pk=?",
                item.id,
                item.label,
                item.xsi_type,
                item.project,
                item.parent,
                dumps(item.fields),
                dumps(item.children),
                now,
                now,
                item.status,
                item.event,
                item.arc,
                item.pk,
            )
            item.modified = item.deep_modified = now
            if before.parent != item.parent:
                self.touch(before.parent, now)
            self.touch(item.parent, now)

    def touch(self, pk: int | None, stamp: str | None = None) -> None:
        """Something below (and including) `pk` changed: moves `deep_modified` up to the subject.

        A project's row does not move (wire contract A 3.7, marked unverified there). A subject has
        one time only, so for it both columns are the same.
        """
        now = stamp or self.clock.stamp()
        while pk is not None:
            row = self.store.row("SELECT kind, parent FROM item WHERE pk = ?", pk)
            if row is None or row["kind"] == "project":
                return
            self.store.change("UPDATE item SET deep_modified = ? WHERE pk = ?", now, pk)
            pk = row["parent"]

    def remove(self, item: Item) -> None:
        """Deletes an item's row with everything below it; files are not touched here."""
        with self.store.writing():
            self.touch(item.parent)
            for pk in self._tree(item.pk):
                self.store.change("DELETE FROM share WHERE item = ?", pk)
                self.store.change("DELETE FROM history WHERE item = ?", pk)
                self.store.change("DELETE FROM resource WHERE item = ?", pk)
                self.store.change("DELETE FROM item WHERE pk = ?", pk)
            if item.kind == "project":
                self.store.insert("INSERT OR IGNORE INTO used_project(id) VALUES(?)", item.id)

    def _tree(self, pk: int) -> list[int]:
        rows = self.store.rows(
            "WITH RECURSIVE tree(pk) AS (SELECT ? UNION ALL SELECT item.pk FROM item"
            " JOIN tree ON item.parent = tree.pk) SELECT pk FROM tree",
            pk,
        )
        return [row["pk"] for row in reversed(rows)]

    def history(self, item: Item) -> list[dict[str, Any]]:
        """Former states, oldest first: `{"document", "ended", "changed_by", "event"}`."""
        rows = self.store.rows("SELECT * FROM history WHERE item = ? ORDER BY rowid", item.pk)
        return [{**dict(row), "document": loads(row["document"])} for row in rows]

    # sharing ------------------------------------------------------------------------------------

    def shares(self, item: Item) -> list[tuple[str, str]]:
        """(project, label) of every share."""
        rows = self.store.rows(
            "SELECT project, label FROM share WHERE item = ? ORDER BY rowid", item.pk
        )
        return [(row["project"], row["label"]) for row in rows]

    def share(self, item: Item, project: str, label: str) -> None:
        """Shares `item` into `project` under `label` ("" keeps its own)."""
        with self.store.writing():
            self.store.insert(
                "INSERT OR REPLACE INTO share(item, project, label) VALUES(?,?,?)",
                item.pk,
                project,
                label,
            )
            now = self.clock.stamp()
            self.store.change("UPDATE item SET modified = ? WHERE pk = ?", now, item.pk)
            self.touch(item.pk, now)

    def unshare(self, item: Item, project: str) -> bool:
        """Takes a share back; False if there was none."""
        with self.store.writing():
            gone = self.store.change(
                "DELETE FROM share WHERE item = ? AND project = ?", item.pk, project
            )
            self.touch(item.pk)
        return gone > 0

    def session_of(self, item: Item | None) -> Item | None:
        """The experiment an item hangs below (itself, if it is one)."""
        while item is not None and item.kind != "experiment":
            item = self.by_pk(item.parent)
        return item

    def subject_of(self, item: Item | None) -> Item | None:
        """The subject an item hangs below (itself, if it is one)."""
        while item is not None and item.kind != "subject":
            item = self.by_pk(item.parent)
        return item
