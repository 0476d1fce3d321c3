"""What this process asked a moment ago, for questions that come a thousand times in a row."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["AGE", "Recent"]

AGE = 60.0
"""Seconds for which an answer is taken for the present."""

Answer = TypeVar("Answer")


class Recent(Generic[Answer]):
    """Answers by their question, forgotten after `AGE` seconds and in a forked child.

    Only for answers that are believed when they say «there, and right» and asked anew when not.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[Hashable, tuple[float, Answer]] = {}
        _every.add(self)

    def get(self, key: Hashable) -> Answer | None:
        """The answer, None when there is none or none young enough."""
        with self._lock:
            known = self._known.get(key)
        return known[1] if known is not None and self._clock() - known[0] <= AGE else None

    def now(self) -> float:
        """The moment at which a question is begun, for `put`."""
        return self._clock()

    def put(self, key: Hashable, begun: float, answer: Answer) -> None:
        """Keeps an answer to a question that was begun then."""
        with self._lock:
            self._known[key] = (begun, answer)

    def forget(self, wanted: Callable[[Hashable], bool] | None = None) -> None:
        """Forgets the answers to some questions, or all."""
        with self._lock:
            gone = [key for key in self._known if wanted is None or wanted(key)]
            for key in gone:
                del self._known[key]

    def after_fork(self) -> None:
        """Begins anew: another thread may have held the lock when the process was copied."""
        self._lock = threading.Lock()
        self._known = {}


_every: weakref.WeakSet[Recent[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for one in list(_every):
        one.after_fork()


os.register_at_fork(after_in_child=_after_fork)
