"""The base classes of all objects (wire contract A 4, 5).

An object is an address and what was read from it. Reading takes the current entry of the item's
document, never one of its history; writing is read back, because the server says yes to fields
that it does not know.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import uris
from ..exceptions import (
    XNATNotFoundError,
    XNATObjectDestroyedError,
    XNATResponseError,
    XNATValueError,
)
from ..rest import items
from ..rest.answers import child_items, read_json
from ..schema.datatypes import convert_from, convert_to
from .cache import caching as _keep
from .cache import object_key, registry_of
from .session import external_url, session_of

__all__ = ["XNATBaseObject", "XNATObject", "current", "current_child"]

_PARENTS = {
    "subjects": ("projects", "a project"),
    "experiments": ("subjects", "a subject"),
    "scans": ("experiments", "an image session"),
    "assessors": ("experiments", "an image session"),
    "reconstructions": ("experiments", "an image session"),
}
"""what the parent of a new object is contained in, and its name for people (S-157)"""


class XNATBaseObject:
    """An object of the server.

    With `uri` and `xnat_session` it stands for what is there. With `parent` and without `uri` it
    is made on the server: the name goes into `label` (a project's into `id_` or `name`, a scan's
    into `id_`), further keywords are fields (S-156).

    Parameters
    ----------
    uri : str, optional
        Its address, a path on the server.
    xnat_session : session, optional
        Taken from the parent when missing.
    id_ : str, optional
        Its ID, so that it need not be looked up.
    datafields : dict, optional
        Its data, so that they need not be read.
    parent : object, optional
        What contains it; for a project the session.
    fieldname : str or int, optional
        The field of the parent by which it was reached.
    overwrites : dict, optional
        Fields that are shown in place of what the document says (labels of shared items).

    Raises
    ------
    XNATValueError
        Neither address nor parent, the wrong kind of parent, no name for a new object, or a
        keyword that is no field.
    """

    SECONDARY_LOOKUP_FIELD: str | None = None
    _XSI_TYPE: str = "xnat:baseObject"
    _DISPLAY_IDENTIFIER: str | None = None
    _CONTAINED_IN: str | None = None
    _HAS_FIELDS: bool = False
    _PARENT_CLASS: Any = None
    _FIELD_NAME: str | None = None
    _NAMED_BY: tuple[str, ...] = ("label",)
    _WITHIN = False
    """whether it is a part of another object's document, with no address of its own"""

    def __init__(
        self,
        uri: str | None = None,
        xnat_session: Any = None,
        id_: str | None = None,
        datafields: dict[str, Any] | None = None,
        parent: Any = None,
        fieldname: str | int | None = None,
        overwrites: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if parent is None and (uri is None or xnat_session is None):
            raise XNATValueError(
                f"{type(self).__name__} needs its uri and xnat_session, or a parent to be made in"
            )
        self._session = xnat_session if xnat_session is not None else session_of(parent)
        self._cache: dict[str, Any] = {}
        self._caching: bool | None = None
        self._parent = parent
        self._fieldname = fieldname
        self._overwrites: dict[str, Any] = dict(overwrites or {})
        self._uri = uri
        self._alive = True
        if uri is None and not self._WITHIN:
            self._make(id_, kwargs)
        else:
            self._overwrites.update(kwargs)
            if id_ is not None:
                self._cache["id"] = id_
            if datafields:
                self._cache["data"] = dict(datafields)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what is no field: set silently here, it would never reach the server.

        Raises
        ------
        AttributeError
            There is no such field.
        """
        if name[:1] != "_" and not any(name in vars(cls) for cls in type(self).__mro__):
            raise AttributeError(f"a {type(self).__name__} has no field {name!r}: nothing was set")
        super().__setattr__(name, value)

    # Making a new one ---------------------------------------------------------------------------

    def _make(self, id_: str | None, fields: dict[str, Any]) -> None:
        from .listings import XNATBaseListing

        parent = self._parent
        if isinstance(parent, XNATBaseListing):
            parent = self._parent = parent.parent
        self._check_parent(parent)
        given = {**fields}
        name = id_ if id_ is not None and "id" in self._NAMED_BY else None
        for key in self._NAMED_BY:
            value = given.pop(key, None)
            name = name if name is not None else value
        if not name:
            raise XNATValueError(
                f"a new {type(self).__name__} needs its {' or '.join(self._NAMED_BY)}"
            )
        self._refuse_unknown(given)
        wire = {f"{self._XSI_TYPE}/{self._wire_name(k)}": v for k, v in given.items()}
        made = self._put_new(parent, str(name), wire)
        self._uri = self._new_uri(parent, made or str(name))
        if made:
            self._cache["id"] = made
        for key in self._NAMED_BY:
            if key == "label":
                self._overwrites["label"] = str(name)
        self._forget_container(parent)
        shared = self._CONTAINED_IN in ("subjects", "experiments")
        through = parent.project_id if shared else None
        registry_of(self._session).add(object_key(type(self), self._uri, through), self)

    def _check_parent(self, parent: Any) -> None:
        contained = self._CONTAINED_IN
        if contained is None:
            raise XNATValueError(f"a {type(self).__name__} cannot be made by itself")
        if contained == "projects":
            if isinstance(parent, XNATBaseObject):
                raise XNATValueError("the parent of a new project is the session")
            return
        if not isinstance(parent, XNATBaseObject):
            raise XNATValueError(f"the parent of a new {type(self).__name__} must be an object")
        needed = _PARENTS.get(contained)
        if needed is not None and needed[0] != parent._CONTAINED_IN:
            raise XNATValueError(
                f"the parent of a new {type(self).__name__} must be {needed[1]}, "
                f"not a {type(parent).__name__}"
            )

    def _refuse_unknown(self, given: Iterable[str]) -> None:
        """Raise XNATValueError for what is no field: the server would drop it without a word."""
        known: set[str] = set()
        for cls in type(self).__mro__:
            for name, found in vars(cls).items():
                if isinstance(found, property) or hasattr(found, "record"):
                    known |= {name, str(getattr(getattr(found, "record", None), "field", name))}
        for name in given:
            if name not in known and "/" not in name:  # a path into the schema is the caller's
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise XNATValueError(
                    f"a {type(self).__name__} has no field {name!r}: nothing was made{hint}"
                )

    def _wire_name(self, name: str) -> str:
        """Return the schema's name of a field given by the name of its property."""
        found = inspect.getattr_static(type(self), name, None)
        record = getattr(found, "record", None)
        return str(getattr(record, "field", name))

    def _put_new(self, parent: Any, name: str, fields: dict[str, Any]) -> str:
        """Make it on the server, return the ID the server answers (`""` when it names none)."""
        conn = self._session.connection
        kind = self._CONTAINED_IN
        if kind == "projects":
            return items.create_project(conn, name, fields=fields)
        if kind == "subjects":
            return items.create_subject(conn, parent.id, name, fields=fields)
        if kind == "experiments":
            project = parent.project_id
            return items.create_experiment(
                conn, project, parent.id, name, self._XSI_TYPE, fields=fields
            )
        if kind == "scans":
            items.create_scan(conn, parent.id, name, self._XSI_TYPE, fields=fields)
            return name
        if kind == "assessors":
            return items.create_assessor(conn, parent.id, name, self._XSI_TYPE, fields=fields)
        uris.check_label(name)
        query = {"xsiType": self._XSI_TYPE, "req_format": "qs", **items.field_query(fields)}
        answer = self._session.put(uris.join(parent.fulluri, str(kind), name), query=query)
        return str(answer.text.strip())

    def _new_uri(self, parent: Any, name: str) -> str:
        kind = str(self._CONTAINED_IN)
        if kind in ("projects", "subjects", "experiments"):
            makers: dict[str, Callable[[str], str]] = {
                "projects": uris.project,
                "subjects": uris.subject,
                "experiments": uris.experiment,
            }
            return makers[kind](name)
        return uris.join(parent._listing_uri(kind), name)

    def _forget_container(self, parent: Any) -> None:
        """Have the listings that should show the new object read anew."""
        registry_of(self._session).clear_listings()
        if isinstance(parent, XNATBaseObject):
            parent.clearcache()

    # What it is ---------------------------------------------------------------------------------

    def _shown_name(self) -> Any:
        field = self.SECONDARY_LOOKUP_FIELD or self._DISPLAY_IDENTIFIER
        return getattr(self, field, None) if field else None

    def __str__(self) -> str:
        if not self._alive:
            return f"<{type(self).__name__} (deleted)>"
        name = self._shown_name()
        if name is None:
            return f"<{type(self).__name__} {self.id}>"
        return f"<{type(self).__name__} {name} ({self.id})>"

    __repr__ = __str__

    @property
    def xnat_session(self) -> Any:
        """The session it belongs to.

        Raises
        ------
        XNATObjectDestroyedError
            It was deleted.
        """
        self._need_alive()
        return self._session

    def _need_alive(self) -> None:
        if not self._alive:
            raise XNATObjectDestroyedError(f"this {type(self).__name__} was deleted on the server")

    @property
    def logger(self) -> logging.Logger:
        """The logger of the session."""
        logger: logging.Logger = self._session.logger
        return logger

    @property
    def parent(self) -> Any:
        """What contains it, as far as it was reached through that."""
        return self._parent

    @property
    def fieldname(self) -> str | int | None:
        """The field of the parent by which it was reached."""
        return self._fieldname

    @property
    def uri(self) -> str:
        """Its address, a path on the server."""
        self._need_alive()
        return str(self._uri)

    @property
    def fulluri(self) -> str:
        """Its address through everything that contains it, where such is known."""
        return self.uri

    def _listing_uri(self, name: str) -> str:
        """Return the address of a listing below it."""
        return f"{self.fulluri}/{name}"

    @property
    def __xsi_type__(self) -> str:
        return self._XSI_TYPE

    @property
    def xpath(self) -> str:
        """Its path from the root of the data, used to set its fields."""
        return self._XSI_TYPE

    @property
    @_keep
    def id(self) -> str:
        """Its ID."""
        value = self.data.get("ID")
        if value is not None:
            return str(value)
        if self._WITHIN and isinstance(self._parent, XNATBaseObject):
            return f"{self._parent.id}/{self._fieldname}"
        return self.uri.rstrip("/").rsplit("/", 1)[-1]

    @property
    def fulldata(self) -> Any:
        """Its full data: fields, children and meta data."""
        return self._read_document()

    @property
    def data(self) -> dict[str, Any]:
        """Its own data fields."""
        found: dict[str, Any] = self.fulldata.get("data_fields", {})
        return found

    @_keep
    def _read_document(self) -> dict[str, Any]:
        """Return the current entry of its document, never one of its history (S-112)."""
        conn = self.xnat_session.connection
        path = uris.quote_listed(self.uri)
        document = read_json(conn.request("GET", path, query={"format": "json"}))
        entries = document.get("items", []) if isinstance(document, dict) else []
        for entry in entries:
            if isinstance(entry, dict) and current(entry):
                return entry
        raise XNATNotFoundError(
            f"{path}: the document holds no current item", status=200, method="GET", path=path
        )

    # Fields -------------------------------------------------------------------------------------

    def get(self, name: str, type_: Any = None) -> Any:
        """Return one field, None when it has none of that name (S-136).

        Parameters
        ----------
        name : str
            The name in the data, as in the schema.
        type_ : str or callable, optional
            A type of XML Schema (`xs:date`), or what turns the value into what is wanted.
        """
        if name in self._overwrites:
            value = self._overwrites[name]
        elif name in self._cache.get("known", ()) and "_read_document" not in self._cache:
            value = self._cache["known"][name] or None
        else:
            value = self.data.get(name)
        if type_ is None or value is None or value == "":
            return None if value == "" and type_ not in (None, "xs:string") else value
        return convert_to(value, type_) if isinstance(type_, str) else type_(value)

    def get_object(self, fieldname: str, type_: str | None = None) -> Any:
        """Return an object inside this one (S-136).

        Parameters
        ----------
        fieldname : str
            The field, as in the schema.
        type_ : str, optional
            The type it has when the document does not say.

        Raises
        ------
        XNATValueError
            Neither the document nor `type_` says what it is.
        """
        kind = type_
        children = self.fulldata.get("children", []) if isinstance(self.fulldata, dict) else []
        entry = current_child(children, fieldname)
        named = (entry or {}).get("meta", {}).get("xsi:type")
        lookup = self.xnat_session.classes
        cls = _class_of(lookup, named) or _class_of(lookup, kind and lookup.concrete(kind))
        if cls is None:
            raise XNATValueError(f"{self.uri}: the type of {fieldname!r} is not known")
        return cls(parent=self, fieldname=fieldname, xnat_session=self._session)

    def set(
        self,
        name: str,
        value: Any,
        type_: Any = None,
        timeout: Any = None,
    ) -> None:
        """Set one field on the server and read it back (S-134).

        Parameters
        ----------
        name : str
            The name in the data, as in the schema.
        value : object
            What to set; None clears the field.
        type_ : str or callable, optional
            A type of XML Schema, or what makes a text of the value.
        timeout : float or tuple, optional
            Seconds for the request.

        Raises
        ------
        XNATValueError
            The value is not of the type; nothing was sent.
        XNATResponseError
            The server said yes and kept something else.
        """
        if type_ is not None and value is not None:
            value = convert_from(value, type_) if isinstance(type_, str) else type_(value)
        self.mset({name: value}, timeout=timeout)

    def mset(
        self, values: dict[str, Any] | None = None, timeout: Any = None, **kwargs: Any
    ) -> None:
        """Set several fields at once, given as a dict or as keywords (S-135)."""
        wanted = dict(values) if isinstance(values, dict) else {}
        wanted.update(kwargs)
        if wanted:
            self._write({f"{self.xpath}/{name}": value for name, value in wanted.items()}, timeout)

    def del_(self, name: str) -> None:
        """Clear a field on the server (S-139); the server may refuse it for some."""
        self.mset({name: "NULL"})

    def _root(self) -> XNATBaseObject:
        """Return the object with an address of its own that this is in."""
        found: Any = self
        while getattr(found, "_WITHIN", True) and getattr(found, "parent", None) is not None:
            found = found.parent
        root: XNATBaseObject = found
        return root

    def _write_uri(self) -> str:
        """Return the address to which its fields are written."""
        return uris.quote_listed(self._root().uri)

    def _write(self, fields: Mapping[str, Any], timeout: Any = None) -> None:
        """PUT fields given by their whole paths, and make sure that the server kept them."""
        root = self._root()
        query = items.field_query(fields)
        sent = {"xsiType": root._XSI_TYPE, "req_format": "qs", **query}
        path = root._write_uri()
        self.xnat_session.put(path, query=sent, timeout=timeout)
        self.clearcache()
        root.clearcache()
        now = next(child_items([root._read_document()]))
        lost = [key for key, value in query.items() if not items.shows(now, key, value)]
        if lost:
            raise XNATResponseError(
                f"PUT {path}: the server said yes, but does not show {', '.join(lost)} as set; "
                f"it is no field of {root._XSI_TYPE}, or our user may not edit",
                status=200,
                method="PUT",
                path=path,
            )

    # The rest -----------------------------------------------------------------------------------

    def external_uri(
        self, query: Mapping[str, str] | None = None, scheme: str | None = None
    ) -> str:
        """Return its address for a browser or another program, not just a path (S-149).

        Parameters
        ----------
        query : mapping, optional
            What goes behind a `?`.
        scheme : str, optional
            In place of the server's own.
        """
        return external_url(self.xnat_session, self, query, scheme)

    def delete(self, remove_files: bool = True) -> None:
        """Remove it from the server, with its files unless told otherwise, and from all caches.

        Raises
        ------
        XNATForbiddenError
            Our user may not delete it.
        XNATResponseError
            The server said yes and still shows it.
        """
        path = uris.quote_listed(self.fulluri)
        items.delete_item(self.xnat_session.connection, path, remove_files=remove_files)
        self._bury()
        if isinstance(self._parent, XNATBaseObject):
            self._parent.clearcache()

    def _bury(self) -> None:
        """Mark it as deleted and take it out of all caches (S-154)."""
        registry_of(self._session).remove(self)
        self._alive = False
        self._cache.clear()
        self._overwrites.clear()

    def clearcache(self) -> None:
        """Forget what was read, so that it is read anew (S-130)."""
        kept = self._cache.get("id")
        self._cache.clear()
        if kept is not None:
            self._cache["id"] = kept

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


def current(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry of a document is the current one and none of its history."""
    return (entry.get("meta") or {}).get("isHistory") not in (True, "true")


def current_child(children: Any, fieldname: str | int | None) -> dict[str, Any] | None:
    """Return the current entry of a field among an item's children."""
    for child in children or ():
        if child.get("field") == fieldname:
            for entry in child.get("items") or ():
                if current(entry):
                    found: dict[str, Any] = entry
                    return found
    return None


def _class_of(classes: Any, xsi_type: str | None) -> Any:
    if not xsi_type:
        return None
    try:
        return classes.XNAT_CLASS_LOOKUP[xsi_type]
    except (KeyError, XNATValueError):
        return None


class XNATObject(XNATBaseObject):
    """An object with an address of its own."""

    @property
    def fulldata(self) -> Any:
        """Its full data: fields, children and meta data."""
        return self._read_document()

    @property
    @_keep
    def data(self) -> dict[str, Any]:
        """Its own data fields."""
        found: dict[str, Any] = self.fulldata.get("data_fields", {})
        return found

    @property
    def xpath(self) -> str:
        """Its path from the root of the data, used to set its fields."""
        return self._XSI_TYPE

    @property
    def parent(self) -> Any:
        """What contains it; the object one level up its address when it was not reached so."""
        if self._parent is None and self.uri.count("/") > 3:
            from .making import create_object

            upper = self.fulluri.rsplit("/", 2)[0]
            if upper.count("/") >= 3:
                self._parent = create_object(self._session, upper)
        return self._parent
