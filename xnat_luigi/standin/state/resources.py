"""Resources: rows in the store, files and a catalog in XNAT's archive layout on disk."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..clock import Clock
from ..preferences import Preferences
from .catalog import Catalog, Entry, read_catalog, write_catalog
from .items import Item, Items
from .store import Store, dumps, loads

__all__ = ["Resource", "Resources", "md5_of"]

TABLES = """
CREATE TABLE IF NOT EXISTS resource(
  pk INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL, direction TEXT NOT NULL DEFAULT '',
  label TEXT NOT NULL, xsi_type TEXT NOT NULL DEFAULT 'xnat:resourceCatalog',
  format TEXT NOT NULL DEFAULT '', content TEXT NOT NULL DEFAULT '',
  description TEXT NOT NULL DEFAULT '', tags TEXT NOT NULL DEFAULT '[]', file_count INTEGER,
  file_size INTEGER, folder TEXT NOT NULL, catalog TEXT NOT NULL, inserted TEXT NOT NULL,
  event INTEGER);
CREATE TABLE IF NOT EXISTS pending_move(
  pk INTEGER PRIMARY KEY, source TEXT NOT NULL, target TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS resource_item ON resource(item, direction, label);
"""
_BAD = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass
class Resource:
    """One resource. `direction` is "", "in" or "out"; `folder` is absolute."""

    pk: int
    item: int
    direction: str
    label: str
    xsi_type: str
    format: str
    content: str
    description: str
    tags: list[str]
    file_count: int | None
    file_size: int | None
    folder: Path
    catalog: str
    inserted: str
    event: int | None = None

    @property
    def catalog_path(self) -> Path:
        """Where its catalog XML lies."""
        return self.folder / self.catalog


def md5_of(path: Path) -> str:
    """The MD5 of a file, 32 hex digits."""
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, "md5").hexdigest()
            if hasattr(hashlib, "file_digest")
            else _md5_in_pieces(iter(lambda: file.read(1 << 20), b""))
        )


def _md5_in_pieces(chunks: Iterable[bytes]) -> str:
    digest = hashlib.md5()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


class Resources:
    """Finding, making and filling resources; knows the archive's layout on disk."""

    def __init__(
        self, store: Store, items: Items, archive: Path, clock: Clock, preferences: Preferences
    ) -> None:
        self.store = store
        self.items = items
        self.archive = archive
        self.clock = clock
        self.preferences = preferences
        self._locks: dict[int, threading.RLock] = {}
        self._locks_lock = threading.Lock()
        store.declare(TABLES)

    # places on disk -----------------------------------------------------------------------------

    def project_folder(self, project: str) -> Path:
        """`archive/P`."""
        return self.archive / project

    def item_folder(self, item: Item) -> Path:
        """The folder of an item: `P/arc001/LABEL` for a session, `.../SCANS/ID` for a scan."""
        if item.kind == "project":
            return self.archive / item.id
        if item.kind == "subject":
            return self.archive / item.project / "subjects" / item.label
        parent = self.items.by_pk(item.parent)
        if item.kind == "experiment":
            return self.archive / item.project / (item.arc or "arc001") / item.label
        assert parent is not None, f"{item.kind} {item.id} hangs below nothing"
        below = self.item_folder(parent)
        if item.kind == "scan":
            return below / "SCANS" / _BAD.sub("_", item.id)
        if item.kind == "assessor":
            return below / "ASSESSORS" / item.label
        return below / "PROCESSED" / _BAD.sub("_", item.id)

    def _resource_folder(self, item: Item, label: str, direction: str) -> Path:
        base = self.item_folder(item)
        if item.kind == "project":
            return base / "resources" / label
        if item.kind == "experiment":
            return base / "RESOURCES" / label
        if direction:
            return base / direction.upper() / label
        return base / label

    # finding ------------------------------------------------------------------------------------

    def _read(self, row: sqlite3.Row) -> Resource:
        values = dict(row)
        values["tags"] = loads(values["tags"])
        values["folder"] = self.archive / values["folder"]
        return Resource(**values)

    def of(self, item: Item | int, direction: str | None = "") -> list[Resource]:
        """The resources of an item in order of creation; `direction=None` gives all of them."""
        pk = item.pk if isinstance(item, Item) else item
        rows = self.store.rows("SELECT * FROM resource WHERE item = ? ORDER BY pk", pk)
        found = [self._read(row) for row in rows]
        return [r for r in found if direction is None or r.direction == direction]

    def get(self, pk: int) -> Resource | None:
        """The resource with this numeric id."""
        row = self.store.row("SELECT * FROM resource WHERE pk = ?", pk)
        return None if row is None else self._read(row)

    def find(self, item: Item, name: str, direction: str = "") -> Resource | None:
        """A resource of `item` by label (case-sensitive) or by its numeric id."""
        for resource in self.of(item, direction):
            if resource.label == name or str(resource.pk) == name:
                return resource
        return None

    # making -------------------------------------------------------------------------------------

    def create(
        self,
        item: Item,
        label: str,
        *,
        direction: str = "",
        format: str = "",
        content: str = "",
        description: str = "",
        tags: Iterable[str] = (),
        xsi_type: str = "xnat:resourceCatalog",
    ) -> Resource:
        """Makes an empty resource with an empty catalog on disk."""
        folder = self._resource_folder(item, label, direction)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"scan_{item.id}_catalog.xml" if item.kind == "scan" else f"{label}_catalog.xml"
        name = _BAD.sub("_", name)
        if not (folder / name).exists():
            write_catalog(folder / name, Catalog(dicom=label == "DICOM" or format == "DICOM"))
        with self.store.writing():
            pk = self.store.insert(
                "INSERT INTO resource(item, direction, label, xsi_type, format, content,"
                " description, tags, file_count, file_size, folder, catalog, inserted)"
                " VALUES(?,?,?,?,?,?,?,?,0,0,?,?,?)",
                item.pk,
                direction,
                label,
                xsi_type,
                format,
                content,
                description,
                dumps(list(tags)),
                str(folder.relative_to(self.archive)),
                name,
                self.clock.stamp(),
            )
            self.items.touch(item.pk)
        made = self.get(pk)
        assert made is not None
        return made

    def save(self, resource: Resource) -> None:
        """Stores changed attributes; touches the item above when something changed."""
        before = self.get(resource.pk)
        if before == resource or before is None:
            return
        with self.store.writing():
            self.store.change(
                "UPDATE resource SET label=?, format=?, content=?, description=?, tags=?,"
                " file_count=?, file_size=?, folder=?, catalog=?, item=? WHERE pk=?",
                resource.label,
                resource.format,
                resource.content,
                resource.description,
                dumps(resource.tags),
                resource.file_count,
                resource.file_size,
                str(resource.folder.relative_to(self.archive)),
                resource.catalog,
                resource.item,
                resource.pk,
            )
            self.items.touch(resource.item)

    def remove(self, resource: Resource) -> None:
        """Deletes a resource; its files go to the trash."""
        with self.store.writing():
            self.items.touch(resource.item)
            self.store.change("DELETE FROM resource WHERE pk = ?", resource.pk)
        self.discard(resource.folder)

    def discard(self, path: Path) -> None:
        """Moves a file or folder to the server's trash folder (`cache/trash`)."""
        if not path.exists():
            return
        trash = self.archive.parent / "cache" / "trash"
        trash.mkdir(parents=True, exist_ok=True)
        shutil.move(str(path), str(trash / f"{os.urandom(6).hex()}-{path.name}"))

    def plan_move(self, before: Path, after: Path) -> None:
        """Notes, in the transaction that changes the rows, that a folder is to be moved."""
        self.store.insert(
            "INSERT INTO pending_move(source, target) VALUES(?,?)",
            str(before.relative_to(self.archive)),
            str(after.relative_to(self.archive)),
        )

    def finish_moves(self) -> None:
        """Moves folders whose move was noted; at the start, those of a killed server."""
        for row in self.store.rows("SELECT * FROM pending_move ORDER BY pk"):
            source, target = self.archive / row["source"], self.archive / row["target"]
            if source.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(source, target)
            self.store.change("DELETE FROM pending_move WHERE pk = ?", row["pk"])

    # files --------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, resource: Resource) -> Iterator[None]:
        """Catalog changes of one resource, one after another."""
        with self._locks_lock:
            lock = self._locks.setdefault(resource.pk, threading.RLock())
        with lock:
            yield

    def catalog(self, resource: Resource) -> Catalog:
        """The catalog as it stands on disk; empty when its file is gone."""
        try:
            return read_catalog(resource.catalog_path)
        except FileNotFoundError:
            return Catalog(dicom=resource.format == "DICOM")

    def write(self, resource: Resource, catalog: Catalog) -> None:
        """Replaces the catalog on disk."""
        resource.folder.mkdir(parents=True, exist_ok=True)
        write_catalog(resource.catalog_path, catalog)

    def add_entry(
        self,
        resource: Resource,
        catalog: Catalog,
        path: str,
        *,
        user: str,
        format: str = "",
        content: str = "",
        tags: Iterable[str] = (),
        event: str = "",
        checksum: bool | None = None,
    ) -> Entry:
        """Enters a file that lies in the resource's folder into `catalog` (not yet written).

        The digest follows the site preference `checksums`; when it is off, an overwritten file
        keeps the old, now wrong digest (wire contract A 6.2).
        """
        place = resource.folder / path
        size = place.stat().st_size
        wanted = self.preferences["checksums"] if checksum is None else checksum
        digest = md5_of(place) if wanted else ""
        now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        entry = catalog.find(path)
        if entry is None:
            entry = Entry(uri=path, id=path, name=path.rpartition("/")[2], cache_path=path)
            entry.created_by, entry.created_time, entry.created_event = user, now, event
            catalog.entries.append(entry)
            entry.size, entry.digest = size, digest
            entry.format, entry.content, entry.tags = format, content, list(tags)
            return entry
        changes = {"size": size, "format": format, "content": content, "digest": digest}
        changed = False
        for name, value in changes.items():
            if (value or name == "size") and getattr(entry, name) != value:
                setattr(entry, name, value)
                changed = True
        if tags and entry.tags != list(tags):
            entry.tags, changed = list(tags), True
        if changed:
            entry.modified_by, entry.modified_time, entry.modified_event = user, now, event
        return entry

    def update_stats(self, resource: Resource) -> None:
        """Counts files and bytes of the catalogued files on disk into the resource's row."""
        count = size = 0
        for entry in self.catalog(resource).entries:
            try:
                size += (resource.folder / entry.path).stat().st_size
            except OSError:
                continue
            count += 1
        resource.file_count, resource.file_size = count, size
        self.save(resource)

    def store_files(
        self,
        item: Item,
        label: str,
        files: dict[str, bytes | Path],
        *,
        direction: str = "",
        user: str = "admin",
        format: str = "",
        content: str = "",
        describe: Callable[[Entry, Path], None] | None = None,
    ) -> Resource:
        """Puts files into a resource (made if need be), catalogued and counted.

        `files` maps relative paths to bytes or to files to move in; `describe(entry, path)` may
        add to each entry (DICOM UIDs).
        """
        resource = self.find(item, label, direction) or self.create(
            item, label, direction=direction, format=format, content=content
        )
        with self.locked(resource):
            catalog = self.catalog(resource).copy()
            for path, data in files.items():
                target = resource.folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(data, bytes):
                    target.write_bytes(data)
                else:
                    shutil.move(str(data), str(target))
                entry = self.add_entry(resource, catalog, path, user=user)
                if describe is not None:
                    describe(entry, target)
            self.write(resource, catalog)
            self.update_stats(resource)
        return resource
