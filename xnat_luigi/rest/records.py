"""Frozen records: what the server says, in plain data. No record knows a connection.

Texts are as the server sends them; an absent cell is `""`. Numbers that the server may leave out
are `int | None`. Timestamps stay text: they are server-local, without an offset, with a fraction
of varying length (wire contract A 3.1), and are compared as the server's words only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

_MD5 = re.compile(r"[0-9a-f]{32}")

__all__ = [
    "Assessor",
    "Catalog",
    "CatalogEntry",
    "Experiment",
    "File",
    "Finding",
    "Imported",
    "Item",
    "LogEntry",
    "PrearchiveFile",
    "PrearchiveResource",
    "PrearchiveRow",
    "PrearchiveScan",
    "Project",
    "Resource",
    "Scan",
    "Share",
    "Subject",
    "Tag",
    "Token",
    "Tracking",
    "User",
    "md5_of",
]


@dataclass(frozen=True)
class Project:
    """A row of `/data/projects` (A 3.2)."""

    id: str
    name: str = ""
    secondary_id: str = ""
    description: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Subject:
    """A row of a subject listing. `project` is the owner, `label` the one in the project asked for.

    `last_modified` changes with anything in the subject, its experiments, their scans and
    resources (A 3.7); `""` when it was not asked for.
    """

    id: str
    label: str = ""
    project: str = ""
    last_modified: str = ""
    insert_date: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Experiment:
    """A row of an experiment listing (A 3.2), or the top of an experiment's document (A 4).

    `last_modified` is the stamp that also moves with scans and resources only where the listing
    was made by `list_session_stamps` (A 3.7).
    """

    id: str
    label: str = ""
    xsi_type: str = ""
    project: str = ""
    subject_id: str = ""
    subject_label: str = ""
    date: str = ""
    uid: str = ""
    insert_date: str = ""
    last_modified: str = ""
    uri: str = ""
    more: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Scan:
    """A row of `.../scans`. `id` is text and may hold `-`; it is unique in its experiment."""

    id: str
    xsi_type: str = ""
    type: str = ""
    quality: str = ""
    series_description: str = ""
    note: str = ""
    experiment_id: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Assessor:
    """A row of `.../assessors`."""

    id: str
    label: str = ""
    xsi_type: str = ""
    project: str = ""
    session_id: str = ""
    session_label: str = ""
    date: str = ""
    insert_date: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Resource:
    """A row of `.../resources`.

    `category` is `project`, `subjects`, `resources`, `scans`, `assessors` or `reconstructions`,
    `cat_id` the ID of the item within the listing's scope (`""`, or the experiment ID, for the
    session's own resources), `cat_desc` a scan's type. `file_count` and `file_size` (bytes) are
    None when the server has no number (A 8, row 16).
    """

    id: str
    label: str = ""
    category: str = ""
    cat_id: str = ""
    cat_desc: str = ""
    file_count: int | None = None
    file_size: int | None = None
    format: str = ""
    content: str = ""
    tags: str = ""


def md5_of(digest: str) -> str:
    """A digest in lower case if it is an MD5, else ""."""
    plain = digest.strip().lower()
    return plain if _MD5.fullmatch(plain) else ""


@dataclass(frozen=True)
class File:
    """A row of `.../files`. `path` is the whole path within the resource, `uri` unquoted."""

    path: str
    size: int | None = None
    digest: str = ""
    uri: str = ""
    resource_label: str = ""
    resource_id: str = ""
    format: str = ""
    content: str = ""
    tags: str = ""

    @cached_property
    def md5(self) -> str:
        """The digest if it is an MD5, "" if there is none or the site takes another (A 6.2)."""
        return md5_of(self.digest)


@dataclass(frozen=True)
class PrearchiveRow:
    """A row of the prearchive (B 2.1). Its key on the wire is (project, timestamp, folder).

    `tag` is the StudyInstanceUID, `name` the session label, `status` one of `states.STATUSES`.
    """

    project: str
    timestamp: str
    folder: str
    subject: str = ""
    name: str = ""
    tag: str = ""
    status: str = ""
    url: str = ""
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


@dataclass(frozen=True)
class PrearchiveScan:
    """A scan of a built prearchive session (B 2.3)."""

    id: str
    xsi_type: str = ""
    series_description: str = ""


@dataclass(frozen=True)
class PrearchiveResource:
    """A resource of a prearchive scan or session; `scan` is `""` for the session's own."""

    label: str
    scan: str = ""
    category: str = ""
    file_count: int | None = None
    file_size: int | None = None


@dataclass(frozen=True)
class PrearchiveFile:
    """A file of a prearchive resource. `path` is the catalog entry's path within it."""

    path: str
    size: int | None = None
    uri: str = ""


@dataclass(frozen=True)
class LogEntry:
    """A line of a prearchive session's log; reasons of conflicts and errors live here."""

    id: str
    date: str = ""
    entry: str = ""


@dataclass(frozen=True)
class Item:
    """An item's document (A 4). `fields` hold native numbers; `children` lists by field name."""

    xsi_type: str
    fields: dict[str, Any] = field(default_factory=dict)
    children: dict[str, tuple[Item, ...]] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a field as text, `""` when the item has none of that name."""
        value = self.fields.get(name)
        return "" if value is None else str(value)

    def listed(self, name: str) -> tuple[Item, ...]:
        """Return the children of one field, for example `scans/scan`."""
        return self.children.get(name, ())


@dataclass(frozen=True)
class Share:
    """A project that an item is shared into, and its label there."""

    project: str
    label: str = ""


@dataclass(frozen=True)
class CatalogEntry:
    """An entry of a catalog document (A 6.6). Times as the server writes them."""

    path: str
    id: str = ""
    size: int | None = None
    digest: str = ""
    uid: str = ""
    format: str = ""
    content: str = ""
    created: str = ""
    modified: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """A catalog document: its kind (`DCMCatalog` or `Catalog`), its UID and its entries."""

    kind: str
    uid: str = ""
    entries: tuple[CatalogEntry, ...] = ()


@dataclass(frozen=True)
class Imported:
    """An address answered by the import service (B 1.4).

    `place` is `prearchive`, `archive`, `direct-archive` or `inbox`. For the prearchive
    `timestamp` and `folder` name the row; for the archive `subject` and `session` are labels; for
    a direct archive `timestamp` holds the StudyInstanceUID and `session` the label.
    """

    uri: str
    place: str
    project: str = ""
    timestamp: str = ""
    folder: str = ""
    subject: str = ""
    session: str = ""


@dataclass(frozen=True)
class Finding:
    """A line of the dry run before archiving (B 3.5): `type` is WARN, FAIL or CONFLICT."""

    code: int
    type: str
    message: str


@dataclass(frozen=True)
class Tag:
    """A row of a DICOM header dump (B 6). `value` is cut to 255 characters by the server."""

    tag1: str
    tag2: str = ""
    vr: str = ""
    value: str = ""
    desc: str = ""


@dataclass(frozen=True)
class Token:
    """An alias token (B 8). `secret` is a password and is kept out of the record's repr."""

    alias: str
    secret: str = field(repr=False)
    user_id: str = ""
    single_use: bool = False
    expires: int | None = None


@dataclass(frozen=True)
class Tracking:
    """The state of a job (B 4.1). `succeeded` is None while it runs."""

    key: str
    succeeded: bool | None
    final_message: str = ""
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """A user as the server lists it (B 8)."""

    login: str
    id: str = ""
    first_name: str = ""
    last_name: str = ""
    email: str = ""
