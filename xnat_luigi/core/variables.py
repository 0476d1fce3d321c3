"""Custom variables of an object, a dict of texts (S-143 to S-147)."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from ..rest import items
from ..schema.datatypes import as_meant
from .objects import current

__all__ = ["CustomVariableMap", "VariableMap"]


class VariableMap(MutableMapping[str, str]):
    """Named values of an object. Values are texts, whatever type is assigned.

    Parameters
    ----------
    parent : object
        The object they belong to.
    field : str
        The field of the object, `fields`.
    """

    def __init__(self, parent: Any, field: str) -> None:
        self._parent = parent
        self._field = field

    @property
    def field(self) -> str:
        """The field of the object."""
        return self._field

    @property
    def xnat(self) -> Any:
        """The session."""
        return self._parent.xnat_session

    @property
    def data(self) -> dict[str, str]:
        """The values by name, as the object's document has them."""
        found: dict[str, str] = {}
        for child in self._parent.fulldata.get("children") or ():
            if child.get("field") not in (self._field, f"{self._field}/field"):
                continue
            for entry in child.get("items") or ():
                fields = entry.get("data_fields", {})
                if current(entry) and fields.get("name") and fields.get("field") is not None:
                    found[str(fields["name"])] = as_meant(fields["field"])
        return found

    def __getitem__(self, key: str) -> str:
        return self.data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        text = items.field_query({key: value})[key]
        self._parent._write({f"{self._parent.xpath}/{self._field}/field[name={key}]/field": text})

    def __delitem__(self, key: str) -> None:
        if key not in self.data:
            raise KeyError(key)
        self._parent._write({f"{self._parent.xpath}/{self._field}/field[name={key}]/field": "NULL"})

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __str__(self) -> str:
        return f"<VariableMap {self.data!r}>"

    __repr__ = __str__

    def clearcache(self) -> None:
        """Read the values anew (S-147)."""
        self._parent.clearcache()


class CustomVariableMap(VariableMap):
    """The custom variables of a project, subject or experiment."""
