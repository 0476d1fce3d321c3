"""Objects inside the document of another one: nested ones with a type of their own, and parts."""

from __future__ import annotations

from typing import Any

from ..exceptions import XNATValueError
from .objects import XNATBaseObject, current_child

__all__ = ["XNATNestedObject", "XNATSubObject"]


class _Within(XNATBaseObject):
    """An object inside the document of another one."""

    _WITHIN = True

    @property
    def uri(self) -> str:
        """The address of the object it is in."""
        self._need_alive()
        parent = self._parent
        if parent is None:
            return str(self._uri)
        return str(getattr(parent, "uri", self._uri))

    @property
    def fulldata(self) -> Any:
        """Its part of the document it is in."""
        return self._own_entry() or {"data_fields": {}, "children": []}

    @property
    def data(self) -> dict[str, Any]:
        """Its own data fields."""
        found: dict[str, Any] = self.fulldata.get("data_fields", {})
        return found

    def _own_entry(self) -> dict[str, Any] | None:
        parent = self._parent
        if parent is None:
            return None
        whole = parent.fulldata
        if isinstance(whole, dict):
            return self._in_document(whole)
        return self._in_list(whole)

    def _in_document(self, whole: dict[str, Any]) -> dict[str, Any] | None:
        return current_child(whole.get("children"), self._fieldname)

    def _in_list(self, entries: list[dict[str, Any]]) -> dict[str, Any] | None:
        lookup = getattr(self._parent, "secondary_lookup_field", None)
        if isinstance(self._fieldname, int):
            return entries[self._fieldname] if self._fieldname < len(entries) else None
        for entry in entries:
            if lookup and entry.get("data_fields", {}).get(lookup) == self._fieldname:
                return entry
        return None

    def _element_path(self) -> str:
        """Return its path as an element of a listing, by position or by its name."""
        parent = self._parent
        if isinstance(self._fieldname, int):
            return f"{parent.xpath}[{self._fieldname + 1}]"
        return f"{parent.xpath}[{parent.secondary_lookup_field}={self._fieldname}]"

    def clearcache(self) -> None:
        """Forget what was read, the object it is in included."""
        super().clearcache()
        if self._parent is not None:
            self._parent.clearcache()

    def delete(self, remove_files: bool = True) -> None:
        """Parts are cleared through the object they are in: `del` the property or the element."""
        raise XNATValueError(
            f"a {type(self).__name__} is part of {self.uri}: delete it from its listing"
        )


class XNATNestedObject(_Within):
    """An object inside another one that has a type of its own (a subject's demographics)."""

    @property
    def uri(self) -> str:
        """The address of the object it is in."""
        return super().uri

    @property
    def fulldata(self) -> Any:
        """Its part of the document it is in."""
        return super().fulldata

    @property
    def data(self) -> dict[str, Any]:
        """Its own data fields."""
        return super().data

    @property
    def xpath(self) -> str:
        """Its path from the root of the data, used to set its fields."""
        if isinstance(self._parent, XNATBaseObject):
            return f"{self._parent.xpath}/{self._fieldname}[@xsi:type={self._XSI_TYPE}]"
        return self._element_path()

    def clearcache(self) -> None:
        """Forget what was read, the object it is in included."""
        super().clearcache()


class XNATSubObject(_Within):
    """A part of an object that exists only there (the scanner of a session)."""

    def _in_document(self, whole: dict[str, Any]) -> dict[str, Any] | None:
        prefix = f"{self._fieldname}/"
        fields = {
            key[len(prefix) :]: value
            for key, value in whole.get("data_fields", {}).items()
            if key.startswith(prefix)
        }
        children = [
            {**child, "field": child["field"][len(prefix) :]}
            for child in whole.get("children") or ()
            if str(child.get("field", "")).startswith(prefix)
        ]
        own = current_child(whole.get("children"), self._fieldname) or {}
        return {
            "data_fields": {**own.get("data_fields", {}), **fields},
            "children": [*own.get("children", []), *children],
        }

    @property
    def uri(self) -> str:
        """The address of the object it is in."""
        return super().uri

    @property
    def fulldata(self) -> Any:
        """Its part of the document it is in."""
        return super().fulldata

    @property
    def data(self) -> dict[str, Any]:
        """Its own data fields."""
        return super().data

    @property
    def __xsi_type__(self) -> str:
        return str(self._root()._XSI_TYPE)

    @property
    def xpath(self) -> str:
        """Its path from the root of the data, used to set its fields."""
        if isinstance(self._parent, XNATBaseObject):
            return f"{self._parent.xpath}/{self._fieldname}"
        return self._element_path()

    def clearcache(self) -> None:
        """Forget what was read, the object it is in included."""
        super().clearcache()
