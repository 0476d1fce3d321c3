"""The stand-in's clock: real time plus what a test has added to it."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

__all__ = ["Clock"]


class Clock:
    """Time as the server sees it; `advance()` makes it later without anybody sleeping.

    All times are UTC, which is also the server's local zone.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._frozen: float | None = None
        self._lock = threading.Lock()

    def time(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return (time.time() if self._frozen is None else self._frozen) + self._ahead

    def now(self) -> datetime:
        """The time as a naive UTC datetime, in milliseconds."""
        moment = datetime.fromtimestamp(self.time(), timezone.utc).replace(tzinfo=None)
        return moment - timedelta(microseconds=moment.microsecond % 1000)

    def stamp(self) -> str:
        """`yyyy-MM-dd HH:mm:ss.fff`, as listings write times."""
        return self.now().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

    def advance(self, seconds: float) -> None:
        """Moves the clock on by `seconds`."""
        with self._lock:
            self._ahead += seconds

    def freeze(self, moment: float | None = None) -> None:
        """Stops the clock at `moment` (seconds since the epoch; default: now)."""
        with self._lock:
            self._frozen = time.time() if moment is None else moment

    def thaw(self) -> None:
        """Lets the clock run again."""
        with self._lock:
            self._frozen = None
