"""Files onto a socket: sendfile straight away, the event loop only where the socket is full.

On a local connection the socket takes a whole slice at once. Asking the event loop to do it (which
stops reading, waits for an empty buffer, and starts reading again) costs more than the sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["corked", "push_file", "push_now"]

AT_ONCE = 4 << 20
"""Bytes that one answer may send before others have their turn."""
_DIRECT = sys.platform == "linux"


@contextlib.contextmanager
def corked(transport: asyncio.Transport) -> Iterator[None]:
    """Head and body leave in full packets, not the head in one of its own."""
    sock = transport.get_extra_info("socket")
    if not _DIRECT or sock is None:
        yield
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is closed meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


async def push_file(transport: asyncio.Transport, handle: BinaryIO, start: int, count: int) -> None:
    """Sends `count` bytes of a file from `start`; a file that is shorter ends the connection.

    Raises: `ConnectionError` when the client went away.
    """
    end = start + count
    start = push_now(transport, handle, start, end)
    if start < end:
        loop = asyncio.get_running_loop()
        start += await loop.sendfile(transport, handle, start, end - start)
    if start < end:
        transport.close()


def push_now(transport: asyncio.Transport, handle: BinaryIO, start: int, end: int) -> int:
    """Sends what the socket takes at once, at most `AT_ONCE`; returns where it stopped.

    Raises: `ConnectionError` when the client went away.
    """
    if not _DIRECT or transport.get_write_buffer_size() or transport.is_closing():
        return start
    target = transport.get_extra_info("socket").fileno()
    stop = min(end, start + AT_ONCE)
    with contextlib.suppress(BlockingIOError):
        while start < stop:
            sent = os.sendfile(target, handle.fileno(), start, stop - start)
            if not sent:
                break
            start += sent
    return start
