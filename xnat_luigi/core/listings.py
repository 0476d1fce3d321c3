"""Listings: mappings by ID, by label and by position, read with one request (S-096 to S-108).

The order is that of the server. What an object needs to be shown (type, label, project) is taken
from its row, so walking a listing asks for nothing more.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import logging
import re
from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, overload

from .. import uris
from ..exceptions import XNATValueError
from ..rest.answers import cell, read_table
from .cache import caching as _keep
from .cache import registry_of
from .making import make_object
from .session import session_of

__all__ = ["DataMaps", "XNATBaseListing", "XNATListing"]


Element = TypeVar("Element")


class DataMaps(NamedTuple):
    """The four views of one answer (S-103)."""

    data: dict[Any, Any]
    key_map: dict[Any, Any]
    non_unique_keys: set[Any]
    listing: list[Any]


class XNATBaseListing(Mapping[Any, Element], Sequence[Element]):
    """A mapping of objects by their primary key (the ID), their secondary key (a label, for
    example) and their position.

    Parameters
    ----------
    parent : object
        What the objects are in.
    field_name : str
        The field of the parent.
    secondary_lookup_field : str, optional
        The field that is the secondary key.
    xsi_type : str, optional
        The type of elements that do not say theirs.
    """

    def __init__(
        self,
        parent: Any,
        field_name: str,
        secondary_lookup_field: str | None = None,
        xsi_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        session = kwargs.pop("xnat_session", None)
        if session is None and parent is None:
            raise XNATValueError("a listing needs its parent or xnat_session")
        if kwargs:
            raise TypeError(f"unknown arguments of a listing: {', '.join(sorted(kwargs))}")
        self.parent = parent
        self.field_name = field_name
        self.secondary_lookup_field = secondary_lookup_field
        self._xsi_type = xsi_type
        self._session = session if session is not None else session_of(parent)
        self._cache: dict[str, Any] = {}
        self._caching: bool | None = None
        registry_of(self._session).add_listing(self)

    __hash__ = object.__hash__

    # The views ----------------------------------------------------------------------------------

    @property
    def data_maps(self) -> Any:
        """The four views, made together of one answer."""
        raise NotImplementedError

    @property
    def data(self) -> dict[Any, Element]:
        """The elements by primary key."""
        found: dict[Any, Element] = self.data_maps[0]
        return found

    @property
    def key_map(self) -> dict[Any, Any]:
        """The elements by secondary key, where it stands for one element only."""
        found: dict[Any, Any] = self.data_maps[1]
        return found

    @property
    def non_unique_keys(self) -> set[Any]:
        """The secondary keys that stand for more than one element."""
        found: set[Any] = self.data_maps[2]
        return found

    @property
    def listing(self) -> list[Element]:
        """The elements in the server's order."""
        found: list[Element] = self.data_maps[3]
        return found

    # Mapping and sequence -----------------------------------------------------------------------

    @overload
    def __getitem__(self, key: int) -> Element: ...

    @overload
    def __getitem__(self, key: slice) -> list[Element]: ...

    @overload
    def __getitem__(self, key: Any) -> Element: ...

    def __getitem__(self, key: Any) -> Element | list[Element]:
        if isinstance(key, (int, slice)) and not isinstance(key, bool):
            return self.listing[key]
        maps = self.data_maps
        found: Element
        if key in maps[0]:
            found = maps[0][key]
            return found
        if key in maps[2]:
            raise KeyError(
                f"{key!r} stands for more than one element of {self.field_name}; use the ID "
                f"or the position"
            )
        if key in maps[1]:
            found = maps[1][key]
            return found
        raise KeyError(f"{key!r} is neither ID nor {self.secondary_lookup_field or 'name'} here")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.listing)

    def __contains__(self, key: object) -> bool:
        try:
            return key in self.data or key in self.key_map
        except TypeError:  # cannot be hashed, so it is no key
            return False

    def _ipython_key_completions_(self) -> list[Any]:
        """What an interactive shell offers behind `listing["` (S-116)."""
        return list(dict.fromkeys([*self.data, *self.key_map]))

    def __reversed__(self) -> Iterator[Any]:
        return iter(list(self.data)[::-1])

    def __str__(self) -> str:
        parts = []
        names = {id(value): key for key, value in self.key_map.items()}
        for key, value in self.data.items():
            name = names.get(id(value), self._secondary_key(value))
            parts.append(f"({key}, {name}): {value}" if name is not None else f"{key}: {value}")
        return f"<{type(self).__name__} {', '.join(parts)}>"

    __repr__ = __str__

    def _secondary_key(self, element: Any) -> Any:
        field = self.secondary_lookup_field
        return getattr(element, field, None) if field else None

    def sanitize_name(self, name: str) -> str:
        """Return a name that can be the field of a named tuple."""
        clean = re.sub(r"\W", "_", str(name)).lower().strip("_") or "column"
        return f"c_{clean}" if clean[0].isdigit() else clean

    # Where it belongs ---------------------------------------------------------------------------

    @property
    def xnat_session(self) -> Any:
        """The session it belongs to."""
        return self._session

    @property
    def logger(self) -> logging.Logger:
        """The logger of the session."""
        logger: logging.Logger = self._session.logger
        return logger

    @property
    def uri(self) -> str:
        """Its address, a path on the server."""
        return str(self.parent.fulluri)

    @property
    def fulluri(self) -> str:
        """The same as `uri`."""
        return self.uri

    # The cache ----------------------------------------------------------------------------------

    @property
    def caching(self) -> bool:
        """Whether it keeps what it reads; the session decides until it is set here (S-128)."""
        return self._session.caching if self._caching is None else self._caching

    @caching.setter
    def caching(self, value: bool) -> None:
        self._caching = value

    @caching.deleter
    def caching(self) -> None:
        self._caching = None

    def clearcache(self) -> None:
        """Forget what was read, so that it is read anew (S-130)."""
        self._cache.clear()

    def delete_item_from_cache(self, obj: Any) -> None:
        """Forget what was read if an object is in it (S-154)."""
        maps = self._cache.get("data_maps")
        if maps is not None and any(element is obj for element in maps[3]):
            self.clearcache()

    @classmethod
    def delete_item_from_listings(cls, obj: Any) -> None:
        """Have all listings of the object's session forget it (S-154)."""
        registry_of(obj._session).remove(obj)


def unique(keys: Iterable[Any], taken: Mapping[Any, Any]) -> Any:
    """Return the first key that is not taken; the last one in any case."""
    key = None
    for key in keys:
        if key not in (None, "") and key not in taken:
            return key
    return key


_DEFAULTS: dict[str, tuple[str, ...]] = {
    "subjects": ("ID", "project", "label", "insert_date"),
    "experiments": ("ID", "project", "date", "xsiType", "label", "insert_date"),
    "scans": ("ID", "type", "quality", "xsiType", "note", "series_description"),
    "assessors": ("ID", "project", "label", "date", "xsiType", "insert_date"),
    "projects": ("ID", "secondary_ID", "name", "description"),
}
"""columns that listings have by themselves (A 3.2); asked for when others are wanted as well"""
_KNOWN: dict[str, tuple[str, ...]] = {
    "projects": ("name", "description"),
    "subjects": ("label",),
    "experiments": ("label", "date"),
    "assessors": ("label", "date"),
    "scans": ("type", "quality", "note", "series_description"),
    "resources": ("label", "format", "content"),
}
"""columns that are fields of the objects, which need no request of their own then (S-108)"""
_FILTERED = frozenset({"subjects", "experiments"})
"""listings on which the server honours filters (A 3.4)"""
_RANGE = re.compile(r"[\d.]+-[\d.]+|\d\d/\d\d/\d{4}(-\d\d/\d\d/\d{4})?")


class XNATListing(XNATBaseListing[Element]):
    """A listing that the server has an address for.

    Parameters
    ----------
    uri : str
        The address, a path on the server.
    filter : mapping, optional
        Columns and what they must be; `*` and `?` stand for anything (S-104).
    """

    def __init__(self, uri: str, filter: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("parent", None)
        super().__init__(**kwargs)
        self._uri = uri
        self._used_filters = dict(filter or {})

    @property
    def uri(self) -> str:
        """Its address, a path on the server."""
        return self._uri

    @property
    def used_filters(self) -> dict[str, str]:
        """The filters in use."""
        return dict(self._used_filters)

    @property
    def _kind(self) -> str:
        return self._uri.rstrip("/").rsplit("/", 1)[-1]

    @property
    @_keep
    def data_maps(self) -> Any:
        """The four views, made together of one answer."""
        maps = DataMaps({}, {}, set(), [])
        for row in self._rows(self._used_filters):
            element = self._element(row)
            if element is None:
                continue
            names = [element._cache["id"], *self._further_names(row)]
            maps.data[unique(names, maps.data)] = element
            maps.listing.append(element)
            name = self._row_name(row)
            if not name:
                continue
            if name in maps.key_map or name in maps.non_unique_keys:
                maps.non_unique_keys.add(name)
                maps.key_map.pop(name, None)
            else:
                maps.key_map[name] = element
        return maps

    def _row_name(self, row: dict[str, str]) -> str:
        field = self.secondary_lookup_field
        if not field:
            return ""
        if field == "path":
            return _file_path(row)
        return cell(row, field)

    def _further_names(self, row: dict[str, str]) -> list[str]:
        """Return what else can be the primary key when the first choice is taken."""
        if self._kind != "files":
            return [cell(row, "URI")]
        path = _file_path(row)
        return [path, f"{cell(row, 'collection')}/{path}", cell(row, "URI")]

    def _element(self, row: dict[str, str]) -> Any:
        """Make the object of a row, None where the server gives no ID (A 8, row 7)."""
        kind = self._kind
        session = self._session
        if kind == "files":
            return make_object(
                session,
                cell(row, "URI"),
                "xnat:fileData",
                id_=cell(row, "Name") or _file_path(row),
                datafields=dict(row),
                parent=self.parent,
                overwrites={"path": _file_path(row)},
            )
        id_ = cell(row, "ID", "xnat_abstractresource_id")
        if not id_:
            self.logger.warning("%s lists an element without an ID: %s", self._uri, row)
            return None
        known = {key: row[key] for key in _KNOWN.get(kind, ()) if key in row}
        overwrites: dict[str, str] = {}
        uri = cell(row, "URI")
        fieldname = self.field_name
        if kind == "resources" or not uri:
            uri = f"{self._uri}/{id_}"
        project = self._project_asked_through()
        if project and kind in ("subjects", "experiments"):
            # A shared one is shown as the project has it (S-113), whatever its document says.
            overwrites.update(project=project, label=known.pop("label", ""))
        if kind in ("experiments", "subjects") and row.get("subject_ID"):
            overwrites["subject_ID"] = row["subject_ID"]
        return make_object(
            session,
            uri,
            cell(row, "xsiType", "element_name") or self._xsi_type,
            id_=id_,
            parent=self.parent,
            fieldname=fieldname,
            overwrites=overwrites,
            through=project or (row.get("project", "") if kind in _FILTERED else ""),
            fallback=self._xsi_type,
            row=dict(row) if kind == "resources" else None,
            known=known,
        )

    def _project_asked_through(self) -> str:
        parts = self._uri.split("/")
        return parts[parts.index("projects") + 1] if "projects" in parts[:-1] else ""

    # Rows ---------------------------------------------------------------------------------------

    def _read(self, query: list[tuple[str, str]]) -> list[dict[str, str]]:
        """Ask the server; listings that get their rows otherwise override this."""
        conn = self._session.connection
        path = uris.quote_listed(self._uri)
        return read_table(conn.request("GET", path, query=[("format", "json"), *query]))

    def _rows(
        self, filters: Mapping[str, str], columns: Sequence[str] = ()
    ) -> list[dict[str, str]]:
        """Return the rows that pass the filters, with further columns.

        Filters go to the server where it honours them, and are checked here as well: it ignores
        them on scans, assessors, resources and files (A 3.4) and takes `A*` as «contains A».
        """
        kind = self._kind
        defaults = _DEFAULTS.get(kind, ())
        further = [
            c for c in (*columns, *filters) if c not in defaults and c not in ("URI", "path")
        ]
        query: list[tuple[str, str]] = []
        if further and defaults:
            query.append(("columns", ",".join(dict.fromkeys((*defaults, *further)))))
        if kind in _FILTERED:
            query += [(k, v) for k, v in filters.items() if not set("?[") & set(v)]
        rows = self._read(query)
        return [row for row in rows if self._passes(row, filters)]

    def _passes(self, row: dict[str, str], filters: Mapping[str, str]) -> bool:
        for name, wanted in filters.items():
            if name == "path":
                value = _file_path(row)
            elif name in row or name.lower() in row:
                value = cell(row, name, name.lower())
            else:
                raise XNATValueError(f"{self._uri}: the server has no column {name!r} to filter by")
            if self._kind in _FILTERED and _RANGE.fullmatch(wanted):
                continue  # a range of numbers or dates, which the server compares (A 3.4)
            if not any(fnmatch.fnmatchcase(value, one) for one in wanted.split(",")):
                return False
        return True

    # What scripts use ---------------------------------------------------------------------------

    @staticmethod
    def merge_filters(
        old_filters: Mapping[str, str], extra_filters: Mapping[str, str]
    ) -> dict[str, str]:
        """Return both filters together.

        Raises
        ------
        XNATValueError
            One column is to be two different things; it is a `ValueError`.
        """
        merged = dict(old_filters)
        for key, value in extra_filters.items():
            if key in merged and merged[key] != value:
                raise XNATValueError(
                    f"filter {key}={value!r} contradicts {key}={merged[key]!r}, which is in use"
                )
            merged[key] = str(value)
        return merged

    def filter(
        self, filters: Mapping[str, str] | None = None, **kwargs: str
    ) -> XNATListing[Element]:
        """Return a new listing with filters added, given as a dict or as keywords (S-104).

        ``listing.filter({'ID': 'A*'})`` and ``listing.filter(ID='A*')`` are the same. Upper and
        lower case differ; `a,b` means one of them.
        """
        merged = self.merge_filters(self._used_filters, {**(filters or {}), **kwargs})
        return self._again(merged)

    def _again(self, filters: Mapping[str, str]) -> XNATListing[Element]:
        return type(self)(
            uri=self._uri,
            filter=filters,
            parent=self.parent,
            field_name=self.field_name,
            secondary_lookup_field=self.secondary_lookup_field,
            xsi_type=self._xsi_type,
            xnat_session=self._session,
        )

    def tabulate(
        self,
        columns: Sequence[str] | None = None,
        filter: Mapping[str, str] | None = None,
    ) -> tuple[Any, ...]:
        """Return a table of the listing: a tuple of named tuples (S-106).

        Parameters
        ----------
        columns : sequence of str, optional
            Names or full paths; the listing's own when missing. The fields of the tuples are these
            in small letters, with `_` for what no name can hold.
        filter : mapping, optional
            Further filters.

        Raises
        ------
        XNATValueError
            A filter contradicts one in use, or the server has no such column.
        """
        filters = self.merge_filters(self._used_filters, filter or {})
        wanted = list(columns or ())
        rows = self._rows(filters, wanted)
        if not wanted:
            wanted = list(_DEFAULTS.get(self._kind, ())) or list(rows[0] if rows else ())
            if rows and "URI" in rows[0]:
                wanted = [*(c for c in wanted if c in rows[0] and c != "URI"), "URI"]
        for name in wanted:
            if rows and name not in rows[0] and name.lower() not in rows[0]:
                raise XNATValueError(f"{self._uri}: the server has no column {name!r}")
        names: list[str] = []
        for name in wanted:
            clean = self.sanitize_name(name)
            names.append(clean if clean not in names else f"{clean}_{len(names)}")
        row_type = namedtuple("TableRow", names, rename=True)  # type: ignore[misc]
        return tuple(row_type(*(cell(row, n, n.lower()) for n in wanted)) for row in rows)

    def tabulate_csv(
        self,
        columns: Sequence[str] | None = None,
        filter: Mapping[str, str] | None = None,
        header: bool = True,
    ) -> str:
        """Return the table as CSV, see `tabulate`; `header` puts the names of columns in front."""
        rows = self.tabulate(columns, filter)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if header and rows:
            writer.writerow(rows[0]._fields)
        writer.writerows(rows)
        return text.getvalue()


def _file_path(row: Mapping[str, str]) -> str:
    """Return a file's path in its resource, without a leading slash (S-192)."""
    _, found, path = row.get("URI", "").partition("/files/")
    return path.lstrip("/") if found else row.get("Name", "")
