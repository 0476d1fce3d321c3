"""A shorter way into the server for files asked for again: before aiohttp reads the request.

aiohttp makes a parsed message, a request object and a task of every request, which for a file that
`QuickFiles` knows costs more than everything else. So a plain GET that arrives whole on an idle
connection is looked at first: request line, cookie, and that nothing special is asked. Whatever is
not known, or not plain, goes the usual way, untouched.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .quick import open_known
from .sending import corked, push_file, push_now

if TYPE_CHECKING:
    from .app import App

__all__ = ["ShortcutServer"]

_DAY = 86_400.0
_END = b"\r\n\r\n"
# With one of these the request is not plain.
_SPECIAL = frozenset(
    (b"range", b"if-modified-since", b"authorization", b"content-length", b"transfer-encoding",
     b"expect", b"upgrade", b"connection", b"content-encoding")
)  # fmt: skip


def plain_get(data: bytes) -> tuple[str, str] | None:
    """(address, cookies) of a whole and plain GET of HTTP/1.1, else None."""
    if not data.startswith(b"GET ") or not data.endswith(_END) or data.count(_END) != 1:
        return None
    line, *fields = data[:-4].split(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or words[2] != b"HTTP/1.1":
        return None
    cookies = b""
    for field in fields:
        name, colon, value = field.partition(b":")
        name = name.lower()
        if name in _SPECIAL and not (name == b"connection" and _stays(value)):
            return None
        if not colon or field[:1] in b" \t":
            return None
        if name == b"cookie":
            cookies = cookies + b";" + value if cookies else value
    return words[1].decode("latin-1"), cookies.decode("latin-1")


def _stays(value: bytes) -> bool:
    return value.strip().lower() == b"keep-alive"


class _Handler(web.RequestHandler):
    """One connection."""

    app: App
    _held: bytes | None = None
    """What arrived while a file is on its way; None when none is."""
    _started = False
    """Whether the last bytes left aiohttp in the middle of something."""

    def data_received(self, data: bytes) -> None:
        """Answers at once, or leaves it to aiohttp."""
        if self._held is not None:
            self._held += data
        elif not self._idle() or not self._answer(data):
            super().data_received(data)
            self._started = not data.endswith(_END)

    def _idle(self) -> bool:
        """Whether aiohttp waits for the next request and has nothing half read."""
        waiter = getattr(self, "_waiter", None)
        return waiter is not None and not waiter.done() and not self._started

    def _answer(self, data: bytes) -> bool:
        if self.app.faults.any():
            return False
        asked = plain_get(data)
        if asked is None:
            return False
        began = time.monotonic()
        found = self.app.quick.look_up(*asked)
        transport = self.transport
        if found is None or not isinstance(transport, asyncio.Transport):
            return False
        user, known = found
        opened = open_known(known)
        if opened is None:
            return False
        handle, size = opened
        self._next_keepalive_close_time = asyncio.get_running_loop().time() + _DAY
        left = 0
        try:
            with corked(transport):
                transport.write(self.app.quick.head(known, handle))
                left = push_now(transport, handle, 0, size)
        except ConnectionError:
            self.force_close()
            left = size
        if left < size:
            self._held = b""
            rest = self._finish(transport, handle, left, size)
            self._task = asyncio.get_running_loop().create_task(rest)
        else:
            handle.close()
        self.app.note_quick(asked[0], user, size, began)
        return True

    async def _finish(
        self, transport: asyncio.Transport, handle: Any, start: int, end: int
    ) -> None:
        """Sends what the socket did not take, then goes on with what came meanwhile."""
        try:
            with handle:
                await push_file(transport, handle, start, end - start)
        except (ConnectionError, RuntimeError):
            self.force_close()  # the client went away
        held, self._held = self._held, None
        if held and not transport.is_closing():
            self.data_received(held)


class ShortcutServer(web.Server):
    """aiohttp's server with the shorter way."""

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(app.handle, **options)
        self._app = app
        self._options = options

    def __call__(self) -> web.RequestHandler:
        """A handler for a new connection."""
        handler = _Handler(self, loop=asyncio.get_running_loop(), **self._options)
        handler.app = self._app
        return handler
