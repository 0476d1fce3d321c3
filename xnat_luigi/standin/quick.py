"""Files that were asked for before, answered on the event loop without a handler.

What a handler found out about an address (which file, with which headers, for this login) stays
true until something is written to the store or the resource's catalog changes on disk. So the
second request for a file by the same user costs a look into a dictionary and two `stat` calls.
Requests with a Range or a condition, and those that a fault rule meets, always take the long way.
"""

from __future__ import annotations

import asyncio
import email.utils
import functools
import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from .access import Access, cookie_value
from .misbehaviour import NoResponse
from .sending import corked, push_file
from .state import State
from .wire import Answer, Request
from .writing import Writer

__all__ = ["QuickFiles"]

KEPT = 50_000
_SPECIAL = ("Range", "If-Modified-Since", "Authorization")
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Known:
    generation: int
    place: str
    catalogs: tuple[tuple[str, Stamp], ...]
    head: bytes


class KeptOpen(NoResponse):
    """An answer written by hand on a connection that stays."""

    @property
    def keep_alive(self) -> bool | None:
        """Always: HTTP/1.0 clients take the long way."""
        return True


def _stamp(path: str | Path) -> Stamp:
    facts = os.stat(path)
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


class QuickFiles:
    """A memory of answers whose body is a file. Everything here runs on the event loop."""

    def __init__(self, state: State, access: Access) -> None:
        self._state = state
        self._access = access
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

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
        known = _Known(generation, str(place), catalogs, text.encode("utf-8"))
        self._known[target, request.user] = known
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def find(self, raw: web.BaseRequest) -> tuple[str, _Known] | None:
        """(user, what is known) for a request that can be answered at once."""
        if raw.method != "GET" or raw.version < (1, 1) or raw.can_read_body:
            return None
        headers = raw.headers
        session = cookie_value(headers.get("Cookie", ""), "JSESSIONID")
        if not session or any(name in headers for name in _SPECIAL):
            return None
        user = self._state.users.use_session(session, wait=False)
        known = None if user is None else self._known.get((raw.raw_path, user))
        if user is None or known is None or known.generation != self._state.store.generation:
            return None
        try:
            if any(_stamp(path) != stamp for path, stamp in known.catalogs):
                return None
        except OSError:
            return None
        return user, known

    async def send(
        self, raw: web.BaseRequest, known: _Known
    ) -> tuple[web.StreamResponse, int] | None:
        """Writes the answer; None if the file is not there any more (nothing was written then)."""
        try:
            handle = open(known.place, "rb", buffering=0)  # noqa: SIM115 - outlives the statement
        except OSError:
            return None
        transport = raw.transport
        assert isinstance(transport, asyncio.Transport)
        with handle, corked(transport):
            facts = os.fstat(handle.fileno())
            transport.write(self._head(known, facts))
            await push_file(transport, handle, 0, facts.st_size)
        return KeptOpen(status=200), facts.st_size

    def _head(self, known: _Known, facts: os.stat_result) -> bytes:
        lines = (
            f"Date: {_http_date(int(time.time()))}\r\n"
            f"Last-Modified: {_http_date(int(facts.st_mtime))}\r\n"
            f"Content-Length: {facts.st_size}\r\n"
            f"Set-Cookie: {self._access.expiry_cookie()}\r\n\r\n"
        )
        return b"HTTP/1.1 200 OK\r\n" + known.head + lines.encode()


@functools.lru_cache(maxsize=512)
def _http_date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)
