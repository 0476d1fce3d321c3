"""Records and handwritten base classes put together: the classes behind `session.classes`.

`type()` makes them, from names that `schema.naming` made sure of and from functions written here.
No source text is made of what a server sends, and none of it is executed (S-264).

Classes are built when they are first asked for: connecting costs nothing for the hundreds that a
script never names. Each session has classes of its own, since a class knows its session (S-268).
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import core, mixin
from .exceptions import XNATNotConnectedError, XNATValueError
from .schema.datatypes import convert_from, convert_to
from .schema.records import (
    LISTING,
    NESTED,
    OBJECT,
    PART,
    SIMPLE,
    VALUE,
    ClassRecord,
    Model,
    Property,
)
from .search import Field, Query

__all__ = ["ClassModel", "SchemaProperty"]

FILE_TYPE = "xnat:fileData"
"""files are described by no schema, but have a class (section 1.5.1)"""

_ROOTS = ("XNATObjectMixin", "XNATNestedObjectMixin", "XNATSubObjectMixin")
_REST_FOLDERS: Mapping[tuple[str, str], str] = {
    ("xnat:projectData", "resources/resource"): "resources",
    ("xnat:subjectData", "resources/resource"): "resources",
    ("xnat:subjectData", "experiments/experiment"): "experiments",
    ("xnat:experimentData", "resources/resource"): "resources",
    ("xnat:imageSessionData", "scans/scan"): "scans",
    ("xnat:imageSessionData", "assessors/assessor"): "assessors",
    ("xnat:imageSessionData", "reconstructions/reconstructedImage"): "reconstructions",
    ("xnat:imageScanData", "file"): "resources",
    ("xnat:imageAssessorData", "in/file"): "in/resources",
    ("xnat:imageAssessorData", "out/file"): "out/resources",
    ("xnat:reconstructedImageData", "in/file"): "in/resources",
    ("xnat:reconstructedImageData", "out/file"): "out/resources",
}
"""listings the server has an address for (wire contract A 0.1); all others are read from the
document of their parent"""


class SchemaProperty(property):
    """A property made from a schema.

    On an object it reads and writes the field; on the class it is what a search compares
    (``MrSessionData.age > 40``), or the class of the objects in it.
    """

    record: Property
    classes: ClassModel

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None:
            return super().__get__(instance, owner)
        if owner is None:
            return self
        record = self.record
        if record.kind == SIMPLE or record.type[:3] in ("", "xs:"):
            return Field(owner, record.field, record.type or "xs:string")
        return self.classes.by_xsi_type(record.type)


class _SimpleProperty(SchemaProperty):
    """A field with a plain value. A model has hundreds, so none has functions of its own."""

    def __init__(self, record: Property) -> None:
        super().__init__(doc=record.doc)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return super().__get__(instance, owner)
        return instance.get(self.record.field, type_=self.record.type or None)

    def __set__(self, instance: Any, value: Any) -> None:
        _check(self.record, value)
        instance.set(self.record.field, value, type_=self.record.type or None)

    def __delete__(self, instance: Any) -> None:
        instance.del_(self.record.field)


class _SessionOfClass:
    """`xnat_session` of a generated class and of its objects; None on a class without a session."""

    __doc__ = "The session this class belongs to."

    def __init__(self, session: Callable[[], Any]) -> None:
        self.session = session

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self.session()
        return core.XNATBaseObject.xnat_session.__get__(instance, owner)


class ClassModel:
    """The classes of a session: ``session.classes.MrSessionData``.

    Parameters
    ----------
    model : Model
        The records.
    session : object
        The session; only a weak reference is kept.
    """

    def __init__(self, model: Model, session: Any = None) -> None:
        self._model = model
        find: Callable[[], Any] = (lambda: None) if session is None else weakref.ref(session)
        self._session = find
        # A plain function, as documented: the session these classes belong to (S-268).
        self.current_session: Callable[[], Any] = lambda: find()
        self._lock = threading.RLock()
        self._built: dict[str, type] = {}
        self._reserved: dict[str, frozenset[str]] = {}
        self._names = model.names()
        self._lookup = _Lookup(self)

    # What scripts use

    @property
    def XNAT_CLASS_LOOKUP(self) -> Mapping[str, type]:  # noqa: N802  (documented name)
        """All classes by xsi type."""
        return self._lookup

    def by_xsi_type(self, xsi_type: str) -> type:
        """The class of a type.

        Raises
        ------
        XNATValueError
            No schema describes it; the message names the type and, where known, the reason.
        """
        if xsi_type == FILE_TYPE:
            return self._file_class()
        return self._class(self._model.find(xsi_type))

    def concrete(self, xsi_type: str) -> str:
        """The type an object has that is not there yet, where the schema declares an abstract one.

        A subject without demographics gets `xnat:demographicData` in place of
        `xnat:abstractDemographicData`. Where several types derive from one, it stays.
        """
        record = self._model.classes.get(xsi_type)
        local = xsi_type.rpartition(":")[2]
        if record is None or not (record.abstract or local.startswith("abstract")):
            return xsi_type
        derived = [one.xsi_type for one in self._model if one.base == xsi_type]
        return derived[0] if len(derived) == 1 else xsi_type

    def build_all(self) -> list[type]:
        """Build every class now; all of them, bases first."""
        return [self._class(record) for record in self._model]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _ROOTS:
            return self._root(name)
        if name == "FileData":
            return self._file_class()
        xsi_type = self._names.get(name) or self._prefixed(name)
        if xsi_type is None:
            raise AttributeError(f"the server has no type for a class {name!r}{self._reason(name)}")
        return self._class(self._model.classes[xsi_type])

    def __dir__(self) -> list[str]:
        named = [name for name in dir(type(self)) if not name.startswith("_")]
        return sorted({*named, *_ROOTS, "FileData", *self._names})

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __repr__(self) -> str:
        return f"<ClassModel {len(self._names)} classes>"

    def _prefixed(self, name: str) -> str | None:
        """The type behind a name as newer releases of the official client write it.

        These put the prefix in front (``ProvProcess``), or ``Xnatpy`` before a part.
        """
        if name.startswith("Xnatpy"):
            return self._names.get(name.removeprefix("Xnatpy"))
        for record in self._model:
            prefix = record.xsi_type.partition(":")[0]
            if record.kind not in (PART, VALUE) and name == prefix.capitalize() + record.name:
                return record.xsi_type
        return None

    def _reason(self, name: str) -> str:
        for xsi_type, why in self._model.problems.items():
            local = xsi_type.rpartition(":")[2]
            if local[:1].upper() + local[1:] == name:
                return f": {xsi_type}: {why}"
        return ""

    # How classes are made

    def _class(self, record: ClassRecord) -> type:
        found = self._built.get(record.xsi_type)
        if found is None:
            with self._lock:  # threads of a script must get one and the same class
                found = self._built.get(record.xsi_type)
                if found is None:
                    bases = self._bases(record)
                    found = type(record.name, bases, self._body(record, bases))
                    self._built[record.xsi_type] = found
        return found

    def _root(self, name: str) -> type:
        """The three classes at the top of all generated ones."""
        with self._lock:
            found = self._built.get(name)
            if found is not None:
                return found
            base = getattr(core, name.removesuffix("Mixin"))
            body: dict[str, Any] = {
                "__module__": __name__,
                "__doc__": base.__doc__,
                "xnat_session": _SessionOfClass(self._session),
            }
            if name == "XNATObjectMixin":
                body["query"] = classmethod(_query)
            found = type(name, (base,), body)
            self._built[name] = found
            self._reserved[name] = frozenset(dir(found))
            return found

    def _file_class(self) -> type:
        with self._lock:
            found = self._built.get(FILE_TYPE)
            if found is not None:
                return found
            body = {"__module__": __name__, "_XSI_TYPE": FILE_TYPE, "_CONTAINED_IN": "files"}
            body["__doc__"] = mixin.FileData.__doc__ or ""
            found = type("FileData", (mixin.FileData, self._root("XNATObjectMixin")), body)
            self._built[FILE_TYPE] = found
            return found

    def _bases(self, record: ClassRecord) -> tuple[type, ...]:
        if record.base:
            base = self._class(self._model.classes[record.base])
            reserved = self._reserved[record.base]
        else:
            kind = {OBJECT: 0, PART: 2, VALUE: 2}.get(record.kind, 1)
            base = self._root(_ROOTS[kind])
            reserved = self._reserved[_ROOTS[kind]]
        # The methods of a mixin are meant for XNAT's own types, not for whatever has that name.
        written = getattr(mixin, record.name, None) if record.xsi_type[:5] == "xnat:" else None
        if not isinstance(written, type):
            self._reserved[record.xsi_type] = reserved
            return (base,)
        self._reserved[record.xsi_type] = reserved | frozenset(dir(written))
        return (written, base)

    def _body(self, record: ClassRecord, bases: tuple[type, ...]) -> dict[str, Any]:
        reserved = self._reserved[record.xsi_type]
        body: dict[str, Any] = {
            "__module__": __name__,
            "__doc__": record.doc or f"{record.xsi_type}.",
            "_XSI_TYPE": record.xsi_type,
        }
        if record.display:
            body["_DISPLAY_IDENTIFIER"] = record.display
        if record.container:
            body["_CONTAINED_IN"] = record.container
        if record.fields:
            body["_HAS_FIELDS"] = True
        if record.xsi_type in _NAMED_BY:
            body["__init__"] = _NAMED_BY[record.xsi_type]
        if record.kind == PART:
            body["_FIELD_NAME"] = record.field
            body["_PARENT_CLASS"] = _LaterClass(self, record.parent)
        for prop in record.properties:
            # What is written by hand knows more than the schema and is never replaced.
            if prop.name not in reserved:
                body[prop.name] = self._property(record, prop)
            elif prop.kind == SIMPLE:
                written = _written_property(bases, prop)
                if written is not None:
                    body[prop.name] = written
        return body

    def _property(self, record: ClassRecord, prop: Property) -> SchemaProperty:
        if prop.own:
            made = _own_property(prop)
        elif prop.kind == SIMPLE:
            made = _SimpleProperty(prop)
        elif prop.kind == NESTED:
            made = _nested_property(prop, self._text_type(prop))
        else:
            made = self._listing_property(record, prop)
        made.record = prop
        made.classes = self
        return made

    def _text_type(self, prop: Property) -> str:
        """The type of the text of a nested object that has one, else nothing."""
        if prop.value:
            for record in self._model.line(prop.type):
                for own in record.properties:
                    if own.own:
                        return own.type
        return ""

    def _listing_property(self, record: ClassRecord, prop: Property) -> SchemaProperty:
        lookup = prop.lookup or None
        if record.fields and prop.name == "fields":

            def read_variables(self: Any) -> Any:
                return core.CustomVariableMap(parent=self, field="fields")

            return SchemaProperty(_kept(read_variables, prop), doc=prop.doc)
        if prop.kind != LISTING:

            def read_texts(self: Any) -> Any:
                return core.XNATSimpleListing(
                    parent=self,
                    field_name=prop.field,
                    secondary_lookup_field=lookup,
                    value_field=prop.value,
                    value_type=prop.type if prop.type[:3] == "xs:" else "xs:string",
                )

            return SchemaProperty(_kept(read_texts, prop), doc=prop.doc)
        folder = self._folder(record, prop)

        def read_listing(self: Any) -> Any:
            if folder:
                return core.XNATListing(
                    uri=self._listing_uri(folder),
                    parent=self,
                    field_name=folder.rpartition("/")[2],
                    secondary_lookup_field=lookup,
                    xsi_type=prop.type,
                )
            return core.XNATSubListing(
                parent=self,
                field_name=prop.field,
                secondary_lookup_field=lookup,
                xsi_type=prop.type,
            )

        return SchemaProperty(_kept(read_listing, prop), doc=prop.doc)

    def _folder(self, record: ClassRecord, prop: Property) -> str:
        """The folder below the object's address that lists these, or nothing."""
        for one in self._model.line(record.xsi_type):
            folder = _REST_FOLDERS.get((one.xsi_type, prop.field))
            if folder:
                return folder
        return ""


class _LaterClass:
    """A class attribute that is a class, built when it is read."""

    def __init__(self, classes: ClassModel, xsi_type: str) -> None:
        self.classes = classes
        self.xsi_type = xsi_type

    def __get__(self, instance: Any, owner: type | None = None) -> type:
        return self.classes.by_xsi_type(self.xsi_type)


class _Lookup(Mapping[str, type]):
    """All classes by xsi type, built when they are looked up."""

    def __init__(self, classes: ClassModel) -> None:
        self._classes = classes

    def __getitem__(self, xsi_type: str) -> type:
        try:
            return self._classes.by_xsi_type(xsi_type)
        except XNATValueError as error:
            raise KeyError(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        yield from self._classes._model.classes
        yield from self._classes._model.aliases
        yield FILE_TYPE

    def __len__(self) -> int:
        return len(self._classes._model.classes) + len(self._classes._model.aliases) + 1


def _query(cls: Any, *constraints: Any) -> Query:
    """Start a search for objects of this class (S-267).

    Parameters
    ----------
    constraints
        What must hold for them, e.g. ``SubjectData.label == "S1"``; all of them together.

    Raises
    ------
    XNATNotConnectedError
        The class belongs to no session.
    """
    if cls.xnat_session is None:
        raise XNATNotConnectedError(
            f"{cls.__name__} belongs to no session: nothing can be searched"
        )
    query = Query(cls, cls.xnat_session)
    return query.filter(*constraints) if constraints else query


_query.__name__ = "query"


def _make_scan(
    self: Any,
    uri: str | None = None,
    xnat_session: Any = None,
    id_: str | None = None,
    datafields: dict[str, Any] | None = None,
    parent: Any = None,
    type: str | None = None,
    **kwargs: Any,
) -> None:
    """Stand for a scan, or make one in the session that is its parent (S-159)."""
    if type is not None:
        kwargs["type"] = type
    mixin.ImageScanData.__init__(self, uri, xnat_session, id_, datafields, parent, **kwargs)


def _make_project(
    self: Any,
    uri: str | None = None,
    xnat_session: Any = None,
    id_: str | None = None,
    datafields: dict[str, Any] | None = None,
    parent: Any = None,
    name: str | None = None,
    **kwargs: Any,
) -> None:
    """Stand for a project, or make one; the session is its parent (S-157)."""
    if name is not None:
        kwargs["name"] = name
    mixin.ProjectData.__init__(self, uri, xnat_session, id_, datafields, parent, **kwargs)


_NAMED_BY: Mapping[str, Callable[..., None]] = {
    "xnat:imageScanData": _make_scan,
    "xnat:projectData": _make_project,
}
"""constructors that the document gives parameters of their own (section 1.5.1)"""


def _kept(read: Callable[[Any], Any], prop: Property) -> Callable[[Any], Any]:
    """The same function, its result kept in the object's cache under the name of the property."""
    read.__name__ = prop.name
    kept: Callable[[Any], Any] = core.caching(read)
    return kept


def _written_property(bases: tuple[type, ...], prop: Property) -> SchemaProperty | None:
    """The same as a property written by hand, but one that searches can compare too."""
    for base in bases:
        found = inspect.getattr_static(base, prop.name, None)
        if isinstance(found, SchemaProperty) or not isinstance(found, property):
            continue
        if prop.name != "id" and getattr(core.XNATObject, prop.name, None) is not None:
            return None  # what every object has (uri, data...) is no field of any schema
        made = SchemaProperty(found.fget, found.fset, found.fdel, found.__doc__ or prop.doc)
        made.record = prop
        return made
    return None


def _own_property(prop: Property) -> SchemaProperty:
    """The text of an element that has attributes as well: it lies under the element's own name."""

    def key(self: Any) -> str:
        return str(self._FIELD_NAME or self._XSI_TYPE.partition(":")[2]).rpartition("/")[2]

    def read(self: Any) -> Any:
        value = self.get(key(self))
        if value is None and self.parent is not None and isinstance(self.fieldname, str):
            value = self.parent.get(self.fieldname)
        return None if value is None else convert_to(value, prop.type)

    def write(self: Any, value: Any) -> None:
        _check(prop, value)
        self.parent.set(self.fieldname, convert_from(value, prop.type))

    return SchemaProperty(read, write, doc=prop.doc)


def _nested_property(prop: Property, text_type: str) -> SchemaProperty:
    def read(self: Any) -> Any:
        return self.get_object(prop.field, prop.type)

    def write(self: Any, value: Any) -> None:
        self.set(prop.field, value, type_=text_type)

    return SchemaProperty(_kept(read, prop), write if text_type else None, doc=prop.doc)


def _check(prop: Property, value: Any) -> None:
    """Refuse what the schema forbids before it is sent.

    Raises
    ------
    XNATValueError
        The value is outside the limits; the message names field, value and limits.
    """
    limits = prop.limits
    if not limits or value is None:
        return
    allowed = limits.get("enum")
    if allowed and str(value) not in allowed:
        raise XNATValueError(f"{prop.name} cannot be {value!r}: it has to be one of {allowed}")
    for name, word, ordered in (("min", "at least", 1), ("max", "at most", -1)):
        limit = limits.get(name)
        if limit is not None:
            bound = convert_to(limit, prop.type)
            given = convert_to(convert_from(value, prop.type), prop.type)
            if (given < bound) if ordered == 1 else (given > bound):
                raise XNATValueError(
                    f"{prop.name} cannot be {value!r}: it has to be {word} {limit}"
                )
    size = len(str(value))
    if size < int(str(limits.get("shortest", 0))):
        raise XNATValueError(f"{prop.name} is too short: at least {limits['shortest']} characters")
    if "longest" in limits and size > int(str(limits["longest"])):
        raise XNATValueError(
            f"{prop.name} is too long: {size} characters, at most {limits['longest']} are possible"
        )
