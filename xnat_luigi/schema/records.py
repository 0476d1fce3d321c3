"""The data model of a server as plain records: what `reader` writes and `classes` reads.

Named tuples of strings, so that a model of a thousand fields is made, written and read in
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..exceptions import XNATValueError

__all__ = [
    "LISTING",
    "NESTED",
    "OBJECT",
    "PART",
    "SIMPLE",
    "TEXTS",
    "VALUE",
    "ClassRecord",
    "Model",
    "Property",
]

SIMPLE = "simple"
"""a property with one value"""
NESTED = "nested"
"""a property with one object inside this one"""
LISTING = "listing"
"""a property with several objects"""
TEXTS = "texts"
"""a property with several plain values, as a rule under names (custom variables)"""

OBJECT = "object"
"""a class whose objects have a REST path of their own"""
PART = "part"
"""a class that exists only inside another one, without a name in the schema"""
VALUE = "value"
"""a class for the plain value inside a part that has attributes as well"""


class Property(NamedTuple):
    """One property of a class.

    Attributes
    ----------
    name : str
        What Python calls it, a valid identifier: ``voxel_res``.
    field : str
        What the schema calls it, the path in the item's data: ``voxelRes``, ``sharing/share``.
    kind : str
        `SIMPLE`, `NESTED`, `LISTING` or `TEXTS`.
    type : str
        ``xs:float`` and the like for plain values, else the xsi type of the objects; empty where
        the schema states none.
    doc : str
        The schema's own words.
    lookup : str
        Listings: the field that names an element besides its position; empty where none does.
    value : str
        `TEXTS`, and nested objects with a text of their own: the key of that text in the data.
    limits : dict
        What a value must be: ``enum`` (list), ``min``, ``max``, ``shortest``, ``longest``.
    own : bool
        The property is the text of the element itself, not a field below it.
    """

    name: str
    field: str
    kind: str
    type: str
    doc: str = ""
    lookup: str = ""
    value: str = ""
    limits: Mapping[str, str | list[str]] = {}
    own: bool = False


class ClassRecord(NamedTuple):
    """One class to be.

    Attributes
    ----------
    name : str
        The name of the class in Python, unique in its model: ``MrSessionData``.
    xsi_type : str
        ``xnat:mrSessionData``; parts have the type and path they are found at:
        ``xnat:mrScanData/parameters/voxelRes``.
    base : str
        The xsi type it derives from, or empty.
    kind : str
        `OBJECT`, `NESTED`, `PART` or `VALUE`.
    parent, field : str
        Parts: the xsi type they are part of, and the path there.
    display : str
        The field that names an object for people, or empty.
    container : str
        Objects: the listing of the parent they are created in (``"scans"``), or empty.
    abstract : bool
        Whether the schema declares that there are no objects of this very type.
    fields : bool
        Whether objects have custom variables of their own.
    doc, schema : str
        The schema's own words, and the name of the schema.
    """

    name: str
    xsi_type: str
    base: str
    kind: str
    parent: str
    field: str
    display: str
    container: str
    abstract: bool
    fields: bool
    doc: str
    schema: str
    properties: tuple[Property, ...]


@dataclass(frozen=True)
class Model:
    """All classes of a server.

    Attributes
    ----------
    classes : dict
        Records by xsi type; a base stands before what derives from it.
    elements : dict
        The xsi types by the names of their root elements (``xnat:MRSession``).
    aliases : dict
        Further xsi types that mean the same class: those a server writes for parts
        (``xnat:experimentData_field``).
    problems : dict
        Why a type or a schema is left out, by its name. A server's broken extension must not
        keep people from the rest; who asks for the type gets this as an error.
    """

    classes: Mapping[str, ClassRecord]
    elements: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] | None = field(default=None, compare=False)

    def names(self) -> Mapping[str, str]:
        """The xsi types by the names of their classes; `known`, where that is at hand."""
        if self.known is not None:
            return self.known
        return {record.name: record.xsi_type for record in self}

    def __iter__(self) -> Iterator[ClassRecord]:
        return iter(self.classes.values())

    def find(self, xsi_type: str) -> ClassRecord:
        """The record of a type.

        Raises
        ------
        XNATValueError
            There is none; the message names the type and, where it is known, says why.
        """
        record = self.classes.get(xsi_type) or self.classes.get(self.aliases.get(xsi_type, ""))
        if record is None:
            why = self.problems.get(xsi_type, "no schema of the server describes it")
            raise XNATValueError(f"there is no class for the type {xsi_type!r}: {why}")
        return record

    def line(self, xsi_type: str) -> list[ClassRecord]:
        """A type and everything it derives from, itself first."""
        found = [self.find(xsi_type)]
        while found[-1].base:
            found.append(self.classes[found[-1].base])
        return found
