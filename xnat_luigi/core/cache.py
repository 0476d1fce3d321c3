"""Keeping what was read: the `caching` decorator, and one registry of objects per session."""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Registry", "caching", "object_key", "registry_of"]

Value = TypeVar("Value")


def caching(func: Callable[[Any], Value]) -> Callable[[Any], Value]:
    """Keep the value of a property, or of a function without arguments, in `self._cache` (S-129).

    Nothing is kept while `self.caching` is false.
    """
    name = func.__name__

    @functools.wraps(func)
    def wrapper(self: Any) -> Value:
        if not self.caching:
            return func(self)
        cache: dict[str, Any] = self._cache
        if name not in cache:
            cache[name] = func(self)
        found: Value = cache[name]
        return found

    return wrapper


def object_key(cls: Any, uri: str, through: str | None) -> tuple[Any, ...]:
    """Return under what an object is known: its class, its address, and the project through which
    it was reached, since a shared item looks different in each."""
    return (cls.__name__, re.sub(r"^/(data|REST)(/archive)?/", "/data/", uri), through or None)


class Registry:
    """What a session knows of its living objects and listings. It keeps none of them alive."""

    def __init__(self) -> None:
        self._objects: weakref.WeakValueDictionary[tuple[Any, ...], Any] = (
            weakref.WeakValueDictionary()
        )
        self._listings: weakref.WeakSet[Any] = weakref.WeakSet()

    def find(self, key: tuple[Any, ...]) -> Any:
        """Return the living object of a key, else None."""
        return self._objects.get(key)

    def add(self, key: tuple[Any, ...], obj: Any) -> None:
        """Remember an object under its key."""
        self._objects[key] = obj

    def add_listing(self, listing: Any) -> None:
        """Remember a listing."""
        self._listings.add(listing)

    def clear_listings(self) -> None:
        """Empty the caches of all listings (S-127)."""
        for listing in list(self._listings):
            listing.clearcache()

    def remove(self, obj: Any) -> None:
        """Take a deleted object out of every cache (S-154)."""
        for key in [key for key, value in self._objects.items() if value is obj]:
            del self._objects[key]
        for listing in list(self._listings):
            listing.delete_item_from_cache(obj)


_REGISTRIES: weakref.WeakKeyDictionary[Any, Registry] = weakref.WeakKeyDictionary()


def registry_of(session: Any) -> Registry:
    """Return the registry of a session, a new one at first."""
    found = _REGISTRIES.get(session)
    if found is None:
        found = _REGISTRIES[session] = Registry()
    return found
