"""Catalog XML on disk: which files a resource has, with their digests and times (A 6.6)."""

from __future__ import annotations

import os
import threading
import xml.etree.ElementTree as ElementTree
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

__all__ = ["Catalog", "Entry", "read_catalog", "write_catalog"]

CAT = "{http://nrg.wustl.edu/catalog}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_KEPT = 60_000
"""Entries kept in memory, of whatever catalogs; one takes about half a kilobyte."""
_ATTRIBUTES = {
    "uri": "URI",
    "id": "ID",
    "name": "name",
    "cache_path": "cachePath",
    "digest": "digest",
    "format": "format",
    "content": "content",
    "created_by": "createdBy",
    "created_time": "createdTime",
    "created_event": "createdEventId",
    "modified_by": "modifiedBy",
    "modified_time": "modifiedTime",
    "modified_event": "modifiedEventId",
    "uid": "UID",
    "instance": "instanceNumber",
}


@dataclass(slots=True)
class Entry:
    """One file of a catalog. `uri` is its path relative to the resource's folder."""

    uri: str
    id: str = ""
    name: str = ""
    cache_path: str = ""
    digest: str = ""
    format: str = ""
    content: str = ""
    created_by: str = ""
    created_time: str = ""
    created_event: str = ""
    modified_by: str = ""
    modified_time: str = ""
    modified_event: str = ""
    uid: str = ""
    instance: str = ""
    size: int | None = None
    tags: list[str] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The relative path; for remote or absolute URIs it is `cachePath` or `ID`."""
        if "://" in self.uri or self.uri.startswith("/"):
            return self.cache_path or self.id
        return self.uri


class _Index:
    """Entries by path and by ID; follows a list that grows, and starts anew when it shrinks."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self._start()

    def _start(self) -> None:
        self._count = 0
        self._paths: dict[str, Entry] = {}
        self._ids: dict[str, Entry] = {}

    def find(self, path: str) -> Entry | None:
        if len(self.entries) < self._count:
            self._start()
        for entry in self.entries[self._count :]:
            self._paths.setdefault(entry.path, entry)
            self._ids.setdefault(entry.id, entry)
        self._count = len(self.entries)
        return self._paths.get(path) or self._ids.get(path)


@dataclass
class Catalog:
    """A catalog; `dicom` makes it a `cat:DCMCatalog`."""

    entries: list[Entry] = field(default_factory=list)
    dicom: bool = False
    uid: str = ""
    meta: dict[str, str] = field(default_factory=dict)
    _index: _Index | None = field(default=None, repr=False, compare=False)

    def find(self, path: str) -> Entry | None:
        """The entry of this path: by URI first, then by ID."""
        index = self._index
        if index is None or index.entries is not self.entries:
            index = self._index = _Index(self.entries)
        return index.find(path)

    def copy(self) -> Catalog:
        """A copy that may be changed; the one that `read_catalog` gave is shared."""
        entries = [replace(e, tags=list(e.tags), meta=dict(e.meta)) for e in self.entries]
        return Catalog(entries, self.dicom, self.uid, dict(self.meta))


class _Memory:
    """Catalogs read before, the last used ones, as long as their files are the same."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, tuple[tuple[int, int, int], Catalog]] = OrderedDict()
        self._entries = 0
        self._lock = threading.Lock()

    def get(self, path: str, stamp: tuple[int, int, int]) -> Catalog | None:
        with self._lock:
            found = self._known.get(path)
            if found is None or found[0] != stamp:
                return None
            self._known.move_to_end(path)
            return found[1]

    def put(self, path: str, stamp: tuple[int, int, int], catalog: Catalog) -> None:
        with self._lock:
            before = self._known.pop(path, None)
            if before is not None:
                self._entries -= len(before[1].entries) + 1
            self._known[path] = (stamp, catalog)
            self._entries += len(catalog.entries) + 1
            while self._entries > self._most and len(self._known) > 1:
                _, (_, gone) = self._known.popitem(last=False)
                self._entries -= len(gone.entries) + 1


_memory = _Memory(_KEPT)


def read_catalog(path: Path) -> Catalog:
    """The catalog at `path`, from memory when the file has not changed; do not change the result.

    Raises: `OSError`; `xml.etree.ElementTree.ParseError` when it is damaged.
    """
    facts = path.stat()
    stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    found = _memory.get(str(path), stamp)
    if found is None:
        found = _parse(ElementTree.parse(path).getroot())
        _memory.put(str(path), stamp, found)
    return found


def _parse(root: ElementTree.Element) -> Catalog:
    catalog = Catalog(dicom=root.tag == f"{CAT}DCMCatalog", uid=root.get("UID", ""))
    catalog.meta = _read_meta(root)
    entries = root.find(f"{CAT}entries")
    share: dict[str, str] = {}  # the same few words over and over, and the path four times
    for element in entries if entries is not None else ():
        values = {
            name: share.setdefault(value, value)
            for name, there in _ATTRIBUTES.items()
            if (value := element.get(there)) is not None
        }
        values.setdefault("uri", "")
        entry = Entry(**values)  # type: ignore[arg-type]
        entry.meta = _read_meta(element)
        size = entry.meta.pop("SIZE", "")
        entry.size = int(size) if size.isdigit() else None
        tags = element.find(f"{CAT}tags")
        entry.tags = [tag.text or "" for tag in tags] if tags is not None else []
        catalog.entries.append(entry)
    return catalog


def _read_meta(element: ElementTree.Element) -> dict[str, str]:
    fields = element.find(f"{CAT}metaFields")
    if fields is None:
        return {}
    return {f.get("name", ""): f.text or "" for f in fields}


def _text(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _meta_lines(meta: dict[str, str]) -> str:
    return "".join(
        f"<cat:metaField name={quoteattr(name)}>{_text(value)}</cat:metaField>"
        for name, value in meta.items()
    )


def _entry_line(entry: Entry, dicom: bool) -> str:
    attributes = "".join(
        f" {there}={quoteattr(value)}"
        for name, there in _ATTRIBUTES.items()
        if (value := getattr(entry, name))
    )
    kind = ' xsi:type="cat:dcmEntry"' if dicom and entry.uid else ""
    tags = "".join(f"<cat:tag>{_text(tag)}</cat:tag>" for tag in entry.tags)
    tags = f"<cat:tags>{tags}</cat:tags>" if tags else ""
    meta = dict(entry.meta)
    if entry.size is not None:
        meta["SIZE"] = str(entry.size)
    fields = f"<cat:metaFields>{_meta_lines(meta)}</cat:metaFields>" if meta else ""
    return f"  <cat:entry{attributes}{kind}>{tags}{fields}</cat:entry>\n"


def format_catalog(catalog: Catalog, extra: dict[str, str] | None = None) -> bytes:
    """The XML of a catalog; `extra` meta fields are added to those it has."""
    kind = "cat:DCMCatalog" if catalog.dicom else "cat:Catalog"
    uid = f" UID={quoteattr(catalog.uid)}" if catalog.uid else ""
    meta = {**catalog.meta, **(extra or {})}
    fields = f" <cat:metaFields>{_meta_lines(meta)}</cat:metaFields>\n" if meta else ""
    entries = "".join(_entry_line(entry, catalog.dicom) for entry in catalog.entries)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{kind}{uid}'
        ' xmlns:cat="http://nrg.wustl.edu/catalog"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
        f"{fields} <cat:entries>\n{entries} </cat:entries>\n</{kind}>\n"
    ).encode()


def write_catalog(path: Path, catalog: Catalog) -> None:
    """Replaces the catalog in one step: a killed server leaves the old one or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    part.write_bytes(format_catalog(catalog))
    os.replace(part, path)
