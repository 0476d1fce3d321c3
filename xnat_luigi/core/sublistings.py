"""Lists inside an object's document: of plain values and of parts (S-148)."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, MutableSequence
from typing import Any

from ..exceptions import XNATValueError
from ..schema.datatypes import convert_from, convert_to
from .cache import caching as _keep
from .listings import DataMaps, XNATBaseListing
from .objects import XNATBaseObject, current

__all__ = ["XNATSimpleListing", "XNATSubListing"]


def _entries(parent: Any, field: str) -> list[dict[str, Any]]:
    """Return the current entries of a field among an object's children."""
    whole = parent.fulldata
    found: list[dict[str, Any]] = []
    for child in whole.get("children") or () if isinstance(whole, dict) else ():
        if child.get("field") == field:
            found += [entry for entry in child.get("items") or () if current(entry)]
    return found


class _Inner(  # type: ignore[misc]
    XNATBaseListing[Any], MutableMapping[Any, Any], MutableSequence[Any]
):
    """What both kinds have in common."""

    __hash__ = object.__hash__

    @property
    def fulldata(self) -> list[dict[str, Any]]:
        """The entries as they are in the object's document."""
        return _entries(self.parent, self.field_name)

    @property
    def xnat_session(self) -> Any:
        """The session it belongs to."""
        return self._session

    @property
    def xpath(self) -> str:
        """Its path from the root of the data, used to set its elements."""
        return f"{self.parent.xpath}/{self.field_name}"

    def clearcache(self) -> None:
        """Forget what was read, the object it is in included."""
        super().clearcache()
        if isinstance(self.parent, XNATBaseObject):
            self.parent.clearcache()

    def _place(self, key: Any) -> str:
        """Return an element's path, by position or by the field that names it."""
        if isinstance(key, int):
            position = key + len(self) if key < 0 else key
            return f"{self.xpath}[{position + 1}]"
        if self.secondary_lookup_field is None:
            raise XNATValueError(f"{self.field_name}: elements are reached by their position")
        return f"{self.xpath}[{self.secondary_lookup_field}={key}]"

    def _write(self, fields: dict[str, Any]) -> None:
        self.parent._write(fields)
        super().clearcache()


class XNATSimpleListing(_Inner):
    """Plain values in an object's document, by name or by position.

    Parameters
    ----------
    value_field : str, optional
        The key of the value in the data of each entry.
    value_type : str
        The type of the values.
    """

    def __init__(
        self,
        parent: Any,
        field_name: str,
        secondary_lookup_field: str | None = None,
        xsi_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._value_field = kwargs.pop("value_field", None) or field_name.rpartition("/")[2]
        self._value_type: str = kwargs.pop("value_type", None) or "xs:string"
        super().__init__(parent, field_name, secondary_lookup_field, xsi_type, **kwargs)

    @property
    def xnat_session(self) -> Any:
        """The session it belongs to."""
        return self._session

    @property
    def fulldata(self) -> list[dict[str, Any]]:
        """The entries as they are in the object's document."""
        return super().fulldata

    @property
    @_keep
    def data_maps(self) -> Any:
        """The four views, made together."""
        maps = DataMaps({}, {}, set(), [])
        for entry in self.fulldata:
            fields = entry.get("data_fields", {})
            value = fields.get(self._value_field)
            if value is None:
                continue
            value = convert_to(value, self._value_type)
            lookup = self.secondary_lookup_field
            key = fields.get(lookup) if lookup else len(maps.listing)
            if key is None:
                continue
            if key in maps.key_map or key in maps.non_unique_keys:
                maps.non_unique_keys.add(key)
                maps.key_map.pop(key, None)
                maps.data.pop(key, None)
            else:
                maps.key_map[key] = value
                maps.data[key] = value
            maps.listing.append(value)
        return maps

    def __str__(self) -> str:
        if self.secondary_lookup_field is not None:
            inner = ", ".join(f"{k!r}: {v!r}" for k, v in self.data.items())
            return f"<{type(self).__name__} {{{inner}}}>"
        return f"<{type(self).__name__} {self.listing!r}>"

    __repr__ = __str__

    def __setitem__(self, key: Any, value: Any) -> None:
        text = None if value is None else convert_from(value, self._value_type)
        self._write({f"{self._place(key)}/{self._value_field}": text})

    def __delitem__(self, key: Any) -> None:
        if key not in self.data and not isinstance(key, int):
            raise KeyError(key)
        self._write({f"{self._place(key)}/{self._value_field}": "NULL"})

    def insert(self, index: int, value: Any) -> None:
        """Append a value; the server keeps no other order."""
        if self.secondary_lookup_field is not None:
            raise XNATValueError(f"{self.field_name}: values have names here, set them by name")
        if index != len(self):
            raise XNATValueError("the server can only append values to a list")
        self[index] = value


class XNATSubListing(_Inner):
    """Parts of an object that lie in its document, by name or by position."""

    @property
    def xnat_session(self) -> Any:
        """The session it belongs to."""
        return self._session

    @property
    def uri(self) -> str:
        """The address of the object it is in."""
        return str(self.parent.uri)

    @property
    def fulluri(self) -> str:
        """The whole address of the object it is in."""
        return str(self.parent.fulluri)

    @property
    def fulldata(self) -> list[dict[str, Any]]:
        """The entries as they are in the object's document."""
        return super().fulldata

    @property
    def xpath(self) -> str:
        """Its path from the root of the data, used to set its elements."""
        return f"{self.parent.xpath}/{self.field_name}"

    def _class(self, xsi_type: str | None) -> Any:
        lookup = self._session.classes.XNAT_CLASS_LOOKUP
        for name in (xsi_type, self._xsi_type):
            if name and name in lookup:
                return lookup[name]
        raise XNATValueError(f"{self.uri}: no schema describes the elements of {self.field_name}")

    def _make(self, key: Any, xsi_type: str | None, fields: dict[str, Any]) -> Any:
        return self._class(xsi_type)(
            uri=self.parent.uri,
            xnat_session=self._session,
            id_=str(fields.get("ID") or key),
            datafields=fields,
            parent=self,
            fieldname=key,
        )

    @property
    @_keep
    def data_maps(self) -> Any:
        """The four views, made together."""
        maps = DataMaps({}, {}, set(), [])
        for position, entry in enumerate(self.fulldata):
            fields = entry.get("data_fields", {})
            lookup = self.secondary_lookup_field
            key = fields.get(lookup) if lookup else None
            element = self._make(
                position if key is None else key, entry.get("meta", {}).get("xsi:type"), fields
            )
            maps.listing.append(element)
            if key is None:
                maps.data[position] = element
            elif key in maps.data or key in maps.non_unique_keys:
                maps.non_unique_keys.add(key)
                maps.data.pop(key, None)
                maps.key_map.pop(key, None)
            else:
                maps.data[key] = maps.key_map[key] = element
        return maps

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            if self.secondary_lookup_field is None or key in self.non_unique_keys:
                raise
            # A part that is not there yet: setting a field of it makes it on the server.
            return self._make(key, None, {self.secondary_lookup_field: key})

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set fields of one part, given as a dict."""
        if not isinstance(value, dict):
            raise XNATValueError(f"{self.field_name}: give the fields of the part as a dict")
        place = self._place(key)
        self._write({f"{place}/{name}": part for name, part in value.items()})

    def __delitem__(self, key: Any) -> None:
        if not isinstance(key, int) and key not in self.data:
            raise KeyError(key)
        self._write({self._place(key): "NULL"})

    def insert(self, index: int, value: Any) -> None:
        """Append a part, given by its fields as a dict; the server keeps no other order."""
        if index != len(self):
            raise XNATValueError("the server can only append parts to a list")
        lookup = self.secondary_lookup_field
        if lookup is not None and isinstance(value, dict) and value.get(lookup):
            self[value[lookup]] = value
        else:
            self[index] = value
