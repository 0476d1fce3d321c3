"""The heartbeat that keeps a session alive on the server while a script thinks (S-040, S-041)."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["DEFAULT_INTERVAL", "Heartbeat", "interval_for"]

DEFAULT_INTERVAL = 14 * 60.0
"""seconds, where the server does not say how long a session lasts (D-11)"""
SHORTEST = 10.0
"""seconds; no server is asked more often (F-03)"""


def interval_for(expiration: tuple[float, float] | None) -> float:
    """Seconds between two beats: half of what the server waits, less 20 (wire contract A 1.2)."""
    if expiration is None:
        return DEFAULT_INTERVAL
    return max(SHORTEST, expiration[1] / 2 - 20.0)


class Heartbeat:
    """A thread that says now and then that we are still here.

    It holds the connection weakly, so that a session that is dropped without `disconnect` can be
    collected; it never keeps the process from ending; a beat that fails is logged, and the next
    one comes all the same (fault row A5).

    Parameters
    ----------
    connection : Connection
        What is kept alive.
    interval : float, optional
        Seconds; otherwise what the server's cookie asks for.
    wait : callable, optional
        Waits for that many seconds and says whether to stop; injected by tests.
    """

    def __init__(
        self,
        connection: Connection,
        logger: logging.Logger | logging.LoggerAdapter[logging.Logger],
        *,
        interval: float | None = None,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.interval = interval
        self._connection = weakref.ref(connection)
        self._logger = logger
        self._stop = threading.Event()
        self._pid = os.getpid()
        self._wait = wait or self._stop.wait
        self._thread = threading.Thread(target=self._run, name="xnat-luigi heartbeat", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> Heartbeat:
        """Start beating; the first beat comes after one interval."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End it. A beat that hangs is left behind: it ends with the process at the latest."""
        if self._pid != os.getpid():
            return  # we are a fork of its process: no thread is here, and its lock may be held
        self._stop.set()
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(timeout=0.2)

    def _run(self) -> None:
        while True:
            connection = self._connection()
            if connection is None:
                return
            pause = self.interval or interval_for(connection.expiration)
            del connection
            if self._wait(pause) or self._stop.is_set():
                return
            connection = self._connection()
            if connection is None:
                return
            self._beat(connection)
            del connection

    def _beat(self, connection: Connection) -> None:
        try:
            if not connection.keep_alive():
                self._logger.warning(
                    "%s does not know our session any more; the next request logs in anew",
                    connection.server,
                )
        except Exception as error:  # whatever it was, the next beat may do better
            if not self._stop.is_set():
                self._logger.warning("heartbeat: %s", error)
