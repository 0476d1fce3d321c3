"""Files that were asked for before: what a handler found out about them, for as long as it is true.

Which file an address means, with which headers, for this login: that stays true until something is
written to the store or the resource's catalog changes on disk. So the second request for a file by
the same user costs a look into a dictionary and two `stat` calls (`shortcut.py`).
"""

from __future__ import annotations

import email.utils
import functools
import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .access import Access, cookie_value
from .state import State
from .wire import Answer, Request
from .writing import Writer

__all__ = ["Known", "QuickFiles", "open_known"]

KEPT = 50_000
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Known:
    """A file, the headers of its answer, and what both depend on."""

    generation: int
    place: str
    catalogs: tuple[tuple[str, Stamp], ...]
    head: bytes


def _stamp(path: str | Path) -> Stamp:
    facts = os.stat(path)
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


class QuickFiles:
    """A memory of answers whose body is a file. Everything here runs on the event loop."""

    def __init__(self, state: State, access: Access) -> None:
        self._state = state
        self._access = access
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()

    def remember(self, target: str, request: Request, answer: Answer, generation: int) -> None:
        """Keeps what a handler answered, if it was a plain file of a resource."""
        place = answer.body
        if not isinstance(place, Path) or not answer.catalogs or answer.status != 200:
            return
        if answer.after or not request.session or request.user == "guest":
            return
        headers = Writer.head(Answer(content_type=answer.content_type, headers=answer.headers))
        text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        try:
            catalogs = tuple((str(path), _stamp(path)) for path in answer.catalogs)
        except OSError:
            return
        known = Known(generation, str(place), catalogs, text.encode("utf-8"))
        self._known[target, request.user] = known
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def look_up(self, target: str, cookies: str) -> tuple[str, Known] | None:
        """(user, what is known) of an address for whoever has these cookies."""
        session = cookie_value(cookies, "JSESSIONID")
        user = self._state.users.use_session(session, wait=False) if session else None
        if user is None:
            return None
        known = self._known.get((target, user))
        if known is None or known.generation != self._state.store.generation:
            return None
        try:
            same = all(_stamp(path) == stamp for path, stamp in known.catalogs)
        except OSError:
            return None
        return (user, known) if same else None

    def head(self, known: Known, handle: BinaryIO) -> bytes:
        """Status line and headers, up to the empty line."""
        facts = os.fstat(handle.fileno())
        lines = (
            f"Date: {_http_date(int(time.time()))}\r\n"
            f"Last-Modified: {_http_date(int(facts.st_mtime))}\r\n"
            f"Content-Length: {facts.st_size}\r\n"
            f"Set-Cookie: {self._access.expiry_cookie()}\r\n\r\n"
        )
        return b"HTTP/1.1 200 OK\r\n" + known.head + lines.encode()


def open_known(known: Known) -> tuple[BinaryIO, int] | None:
    """The file, open, and its size; None if it is not there any more."""
    try:
        handle = open(known.place, "rb", buffering=0)  # noqa: SIM115 - outlives the statement
    except OSError:
        return None
    return handle, os.fstat(handle.fileno()).st_size


@functools.lru_cache(maxsize=512)
def _http_date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)
