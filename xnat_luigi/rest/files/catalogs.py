"""Catalog documents (wire contract A 6.6): names, sizes, digests and times of a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import uris
from ...exceptions import XNATIntegrityError, XNATPageError
from ...safexml import parse
from ..answers import number
from ..documents import resolve
from ..records import Catalog, CatalogEntry

if TYPE_CHECKING:
    from ...connection.login import Connection
    from ...safexml import Element

__all__ = ["parse_catalog", "read_catalog"]

_CAT = "{http://nrg.wustl.edu/catalog}"


def read_catalog(conn: Connection, address: uris.Address, label: str) -> Catalog:
    """Return the catalog of a resource; the server sends XML whatever is asked for (A 4).

    Raises
    ------
    XNATNotFoundError
        There is no such resource.
    XNATIntegrityError
        The document is damaged, or no catalog.
    """
    place = resolve(conn, address)
    answer = conn.request("GET", place.resource(label))
    if answer.text[:100].lstrip().lower().startswith(("<!doctype html", "<html")):
        raise XNATPageError(
            f"GET {place.resource(label)}: a web page where a catalog was due",
            status=answer.status,
            method="GET",
            path=place.resource(label),
        )
    return parse_catalog(answer.content)


def parse_catalog(content: bytes) -> Catalog:
    """Read a catalog document.

    Raises
    ------
    XNATIntegrityError
        It is not well-formed, no catalog, or holds an entry without any path (N12).
    """
    root = parse(content)
    kind = str(root.tag).rsplit("}", 1)[-1]
    if not kind.endswith("Catalog"):
        raise XNATIntegrityError(f"catalog expected, but the document is a {kind[:80]!r}")
    entries = tuple(_entry(element) for element in root.iter(f"{_CAT}entry"))
    return Catalog(kind=kind, uid=root.get("UID") or "", entries=entries)


def _entry(element: Element) -> CatalogEntry:
    uri = element.get("URI") or ""
    path = uri
    if not path or path.startswith("/") or "://" in path:
        path = element.get("cachePath") or element.get("ID") or ""
    if not path:
        raise XNATIntegrityError(f"a catalog entry has no path within its resource ({uri[:120]!r})")
    size = None
    for field in element.iter(f"{_CAT}metaField"):
        if field.get("name") == "SIZE":
            size = number(field.text or "")
    return CatalogEntry(
        path=path,
        id=element.get("ID") or "",
        size=size,
        digest=(element.get("digest") or "").strip().lower(),
        uid=element.get("UID") or "",
        format=element.get("format") or "",
        content=element.get("content") or "",
        created=element.get("createdTime") or "",
        modified=element.get("modifiedTime") or "",
        tags=tuple(tag.text or "" for tag in element.iter(f"{_CAT}tag")),
    )
