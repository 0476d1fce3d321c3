"""Plain lists of objects that can also be had by their ID."""

from __future__ import annotations

from typing import Any, TypeVar

from .objects import XNATBaseObject

__all__ = ["Named"]

Thing = TypeVar("Thing", bound=XNATBaseObject)


class Named(list[Thing]):
    """A list, as documented, whose elements can also be had by their ID, as from a listing."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            for one in self:
                if one.id == key:
                    return one
            raise KeyError(key)
        return super().__getitem__(key)

    def keys(self) -> list[str]:
        """The IDs."""
        return [one.id for one in self]

    def values(self) -> list[Thing]:
        """The elements."""
        return list(self)

    def items(self) -> list[tuple[str, Thing]]:
        """IDs and elements."""
        return [(one.id, one) for one in self]
