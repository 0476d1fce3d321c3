"""Searches with conditions: ``session.classes.MrSessionData.query(...)`` (S-267).

::

    cls = session.classes.MrSessionData
    young = (cls.age < 30) & (cls.date >= datetime.date(2024, 1, 1)) | cls.label.like("pilot%")
    for scan_session in cls.query(young).all():
        ...
    rows = cls.query(young).view(cls.label, cls.age).tabulate_dict()

The server does the searching (wire contract B 9). Conditions are combined with ``&``, ``|``, `and_`
and `or_`; comparing gives a condition, which has no truth value: ``and``, ``or`` and ``in`` are
refused.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import uris
from .exceptions import XNATResponseError, XNATValueError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["Comparison", "Condition", "Field", "Group", "Query", "and_", "or_"]

_NAMESPACE = "http://nrg.wustl.edu/security"
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=", "LIKE", "IN", "BETWEEN")
# What each kind of object is found by: the column names servers use for its ID, and its address.
_ROOTS: Mapping[str, tuple[tuple[str, ...], Any]] = {
    "xnat:projectData": (("id",), uris.project),
    "xnat:subjectData": (("id", "subject_id", "subjectid"), uris.subject),
    "xnat:experimentData": (("id", "session_id", "expt_id", "experiment_id"), uris.experiment),
}


class Condition:
    """What must hold for an object to be found; the base of `Comparison` and `Group`."""

    def __and__(self, other: Condition) -> Group:
        return and_(self, other)

    def __or__(self, other: Condition) -> Group:
        return or_(self, other)

    def __bool__(self) -> bool:
        raise XNATValueError(
            "a search condition has no truth value: combine conditions with & and |, in brackets"
        )

    def write(self, parent: Element) -> None:
        """Append this condition to the document of the search."""
        raise NotImplementedError


class Comparison(Condition):
    """A field compared with a value."""

    def __init__(self, field: Field, comparison: str, value: object) -> None:
        if comparison not in _COMPARISONS:
            raise XNATValueError(f"{comparison!r} is none of {', '.join(_COMPARISONS)}")
        self.field = field
        self.comparison = comparison
        self.value = _text(value)

    def __repr__(self) -> str:
        return f"<{self.field.identifier} {self.comparison} {self.value!r}>"

    def write(self, parent: Element) -> None:
        """Append this condition to the document of the search."""
        criteria = _add(parent, "criteria")
        criteria.set("override_value_formatting", "0")
        _add(criteria, "schema_field", self.field.identifier)
        _add(criteria, "comparison_type", self.comparison)
        _add(criteria, "value", self.value)


class Group(Condition):
    """Conditions of which all (``AND``) or one (``OR``) must hold."""

    def __init__(self, method: str, conditions: Iterable[Condition]) -> None:
        self.method = method
        self.conditions = tuple(conditions)
        for one in self.conditions:
            if not isinstance(one, Condition):
                raise XNATValueError(f"{one!r} is no search condition; compare a field of a class")

    def __repr__(self) -> str:
        return "(" + f" {self.method} ".join(repr(one) for one in self.conditions) + ")"

    def write(self, parent: Element) -> None:
        """Append this condition to the document of the search."""
        child = _add(parent, "child_set")
        child.set("method", self.method)
        for one in self.conditions:
            one.write(child)


def and_(*conditions: Condition) -> Group:
    """All of these must hold."""
    return Group("AND", conditions)


def or_(*conditions: Condition) -> Group:
    """One of these must hold."""
    return Group("OR", conditions)


class Field:
    """A field of a class, as searches see it: ``session.classes.SubjectData.yob``.

    Parameters
    ----------
    search_class : type
        The generated class.
    field_name : str
        The path of the field in the schema.
    type_ : str
        The type of the field in the schema, ``xs:date`` and the like.
    """

    def __init__(self, search_class: Any, field_name: str, type_: str = "xs:string") -> None:
        self.search_class = search_class
        self.field_name = field_name
        self.type = type_

    @property
    def xsi_type(self) -> str:
        """The type of objects the field belongs to; for parts that of what they are part of."""
        return self._place()[0]

    @property
    def identifier(self) -> str:
        """Type and path: ``xnat:mrScanData/parameters/tr``."""
        return "/".join(self._place())

    def _place(self) -> tuple[str, str]:
        owner, path = self.search_class, self.field_name
        while getattr(owner, "_FIELD_NAME", None):
            path = f"{owner._FIELD_NAME}/{path}"
            owner = owner._PARENT_CLASS
        return str(owner._XSI_TYPE), path

    def __repr__(self) -> str:
        return f"<Field {self.identifier} ({self.type})>"

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Comparison:  # type: ignore[override]
        return Comparison(self, "=", other)

    def __ne__(self, other: object) -> Comparison:  # type: ignore[override]
        return Comparison(self, "!=", other)

    def __lt__(self, other: object) -> Comparison:
        return Comparison(self, "<", other)

    def __le__(self, other: object) -> Comparison:
        return Comparison(self, "<=", other)

    def __gt__(self, other: object) -> Comparison:
        return Comparison(self, ">", other)

    def __ge__(self, other: object) -> Comparison:
        return Comparison(self, ">=", other)

    def like(self, pattern: str) -> Comparison:
        """Compare without case; ``%`` stands for any characters."""
        return Comparison(self, "LIKE", pattern)

    def one_of(self, *values: object) -> Condition:
        """The field has one of these values."""
        if not values:
            raise XNATValueError(f"{self.identifier}: none of no values can be found")
        return or_(*(Comparison(self, "=", value) for value in values))

    def between(self, first: object, last: object) -> Comparison:
        """The field is not below the first and not above the last value."""
        return Comparison(self, "BETWEEN", f"{_text(first)} AND {_text(last)}")


class Query:
    """A search, nothing asked yet; every method that adds to it gives a new one."""

    def __init__(
        self,
        queried_class: Any,
        xnat_session: Any,
        fields: Iterable[Field] = (),
        constraints: Condition | None = None,
    ) -> None:
        self.queried_class = queried_class
        self.xnat_session = xnat_session
        self.fields = tuple(fields)
        self.constraints = constraints

    @property
    def xsi_type(self) -> str:
        """The type of objects searched for."""
        return str(self.queried_class._XSI_TYPE)

    def __repr__(self) -> str:
        return f"<Query {self.xsi_type} where {self.constraints}>"

    def filter(self, *constraints: Condition) -> Query:
        """Add conditions; all must hold.

        Raises
        ------
        XNATValueError
            One of them is no condition.
        """
        if not constraints:
            return self
        group: Condition = and_(*constraints)
        if len(constraints) == 1:
            group = constraints[0]
        if self.constraints is not None:
            group = and_(self.constraints, group)
        return Query(self.queried_class, self.xnat_session, self.fields, group)

    def view(self, *fields: Field) -> Query:
        """Choose the columns of `tabulate_dict`; the ID comes first in any case."""
        for one in fields:
            if not isinstance(one, Field):
                raise XNATValueError(f"{one!r} is no field of a class")
        return Query(
            self.queried_class, self.xnat_session, (*self.fields, *fields), self.constraints
        )

    def to_string(self) -> bytes:
        """The document that is sent."""
        from . import safexml  # lxml is not needed to connect

        bundle = safexml.make(f"{{{_NAMESPACE}}}bundle", {"xdat": _NAMESPACE}, ID="@xnat_luigi")
        bundle.set("brief-description", "")
        bundle.set("allow-diff-columns", "0")
        bundle.set("secure", "false")
        _add(bundle, "root_element_name", self.xsi_type)
        for position, field in enumerate(self._columns()):
            column = _add(bundle, "search_field")
            _add(column, "element_name", field.xsi_type)
            _add(column, "field_ID", field.identifier)
            _add(column, "sequence", str(position))
            _add(column, "type", field.type.removeprefix("xs:"))
            _add(column, "header", field.field_name)
        where = _add(bundle, "search_where")
        where.set("method", "AND")
        if self.constraints is not None:
            self.constraints.write(where)
        return safexml.serialize(bundle)

    def tabulate_dict(self) -> list[dict[str, str]]:
        """The rows found, as the server names and writes them.

        Raises
        ------
        XNATResponseError
            The server refuses the search (an unknown field), or answers no table.
        """
        return self._run()[1]

    def all(self) -> list[Any]:
        """All objects found, each once."""
        columns, rows = self._run()
        key = self._id_column(columns, rows)
        root = self._root()
        address = _ROOTS[root][1]
        ids = dict.fromkeys(row[key] for row in rows if row.get(key))
        return [
            self.xnat_session.create_object(address(one), type_=self._type_for(one)) for one in ids
        ]

    def first(self) -> Any:
        """The first object found, or None."""
        found = self.all()
        return found[0] if found else None

    def last(self) -> Any:
        """The last object found, or None."""
        found = self.all()
        return found[-1] if found else None

    def one(self) -> Any:
        """The only object found.

        Raises
        ------
        XNATValueError
            None or several were found.
        """
        found = self.all()
        if len(found) != 1:
            raise XNATValueError(f"{self!r}: one object was due, {len(found)} were found")
        return found[0]

    def one_or_none(self) -> Any:
        """The only object found, or None where there is none.

        Raises
        ------
        XNATValueError
            Several were found.
        """
        found = self.all()
        if len(found) > 1:
            raise XNATValueError(f"{self!r}: one object at most was due, {len(found)} were found")
        return found[0] if found else None

    # How it is asked and read

    def _columns(self) -> tuple[Field, ...]:
        return (Field(self.queried_class, "ID"), *self.fields)

    def _root(self) -> str:
        for cls in self.queried_class.__mro__:
            xsi_type = vars(cls).get("_XSI_TYPE", "")
            if xsi_type in _ROOTS:
                return str(xsi_type)
        raise XNATValueError(
            f"{self.xsi_type} cannot be searched for: only projects, subjects and experiments "
            "have an address of their own"
        )

    def _type_for(self, _: str) -> str | None:
        """The type of what was found: known unless it may be one that derives from this one."""
        return self.xsi_type if self._root() != "xnat:experimentData" else None

    def _run(self) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        self._root()
        answer = self.xnat_session.post(
            uris.SEARCH,
            data=self.to_string(),
            format="json",
            headers={"Content-Type": "text/xml"},
            accepted_status=[200],
        )
        try:
            table = answer.json()["ResultSet"]
            columns = list(table.get("Columns", []))
            rows = [{str(k): _cell(v) for k, v in row.items()} for row in table["Result"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise XNATResponseError(
                f"POST {uris.SEARCH}: a table was due: {answer.text[:200]!r}", path=uris.SEARCH
            ) from None
        return columns, rows

    def _id_column(self, columns: list[dict[str, Any]], rows: list[dict[str, str]]) -> str:
        """Which column holds the ID: what the server says of its columns, else the usual names."""
        wanted = f"{self.xsi_type}/ID".lower()
        for column in columns:
            for about in ("id", "xPATH", "key"):
                if str(column.get(about, "")).lower() == wanted and "key" in column:
                    return str(column["key"])
        present = {str(column.get("key", "")) for column in columns} | set(rows[0] if rows else ())
        for name in _ROOTS[self._root()][0]:
            if name in present:
                return name
        if not rows:
            return "id"
        raise XNATResponseError(
            f"POST {uris.SEARCH}: no column with an ID among {sorted(present)}", path=uris.SEARCH
        )


def _add(parent: Element, name: str, text: str | None = None) -> Element:
    from . import safexml

    child = safexml.make(f"{{{_NAMESPACE}}}{name}")
    child.text = text
    parent.append(child)
    return child


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _text(value: object) -> str:
    """A value as searches write it; dates as ``MM/DD/YYYY``, the only form that filters take."""
    if isinstance(value, datetime.date):
        return value.strftime("%m/%d/%Y")
    if isinstance(value, bool):
        return "1" if value else "0"
    text = str(value)
    if any(ord(character) < 32 for character in text):
        raise XNATValueError(f"{text!r} cannot be searched for: it has control characters")
    return text
