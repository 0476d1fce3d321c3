"""The sockets of one server: how long a body may stand still, and how all of them end at once."""

from __future__ import annotations

import socket
import threading
import weakref
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ..exceptions import XNATIOError

__all__ = ["Sockets"]


class Sockets:
    """What the connections of one server share.

    Parameters
    ----------
    gap : float
        Seconds that the other side may leave what we send unread. Without it the HTTP library
        takes the seconds to connect, or on a socket used before those of its last answer.
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._here = threading.local()
        self._live: weakref.WeakSet[Any] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self.pools = _pools(self)
        """classes of connection pools by scheme, as the HTTP library's managers take them"""

    @property
    def stopped(self) -> bool:
        """Whether an interrupt is in force."""
        return self._stopped.is_set()

    def allow(self, gap: float | None) -> None:
        """Give another gap to what this thread sends, None for the usual one."""
        self._here.gap = gap

    def interrupt(self) -> None:
        """End what all threads wait for here, and refuse all that follows."""
        self._stopped.set()
        with self._guard:
            live = list(self._live)
        for one in live:
            _shut(one)

    def resume(self) -> None:
        """Let requests through again."""
        self._stopped.clear()

    def check(self) -> None:
        """XNATIOError when an interrupt is in force."""
        if self.stopped:
            raise XNATIOError("stopped: this connection was interrupted")

    def wait(self, seconds: float) -> None:
        """Sleep; an interrupt ends it."""
        self._stopped.wait(seconds)

    def begin(self, sock: Any) -> float:
        """Keep a socket in mind, new or used before, and set its gap, which is returned."""
        gap: float = getattr(self._here, "gap", None) or self._gap
        sock.settimeout(gap)
        with self._guard:
            self._live.add(sock)
        if self.stopped:  # it came while the others were being shut
            _shut(sock)
        return gap


def _shut(sock: Any) -> None:
    """Wake whoever reads or writes; closing would leave a blocked reader asleep."""
    inner = getattr(sock, "socket", sock)  # TLS inside the TLS of a proxy is wrapped
    try:
        # Not the method of TLS sockets: it takes away what the reading thread works with.
        socket.socket.shutdown(inner, socket.SHUT_RDWR)
    except (OSError, TypeError):
        return  # it has ended by itself


class _Kept:
    """What a connection does in addition to that of the HTTP library."""

    sockets: Sockets
    sock: Any
    timeout: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sockets.begin(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            # The library sets a socket that stands to this; the wait for the answer comes later.
            self.timeout = self.sockets.begin(self.sock)
        super().request(*args, **kwargs)  # type: ignore[misc]


def _pools(sockets: Sockets) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(_Kept, HTTPConnection):
        pass

    class Secure(_Kept, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    Plain.sockets = Secure.sockets = sockets
    return {"http": PlainPool, "https": SecurePool}
