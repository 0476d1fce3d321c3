"""Waiting for the server: numbers in, waits out; clock and sleep are injected."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .keys import StudyKey, StudyTimeoutError


@dataclass(frozen=True)
class Pace:
    """How long to wait, in seconds.

    deadline: for a server that works on a study (archiving takes minutes, a queue hours).
    grace: for an experiment to become visible after its row is gone, and for a row to appear after
    an upload whose answer was lost (wire contract B 13.1: at least 10 s, several looks).
    first, longest: the waits between two looks grow from the one to the other.
    """

    deadline: float = 3600.0
    grace: float = 30.0
    first: float = 0.5
    longest: float = 15.0
    now: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def watch(self, key: StudyKey) -> Watch:
        """Start waiting for one study."""
        return Watch(self, key)


class Watch:
    """One wait: grows its pauses and ends at the deadline, naming what was last seen (fault row
    P2).
    """

    def __init__(self, pace: Pace, key: StudyKey) -> None:
        self._pace = pace
        self._key = key
        self._begin = pace.now()
        self._pause = pace.first
        self._missing_since: float | None = None

    def wait(self, seen: str) -> None:
        """Sleep until the next look. Raises StudyTimeoutError when the deadline has passed."""
        if self._pace.now() - self._begin >= self._pace.deadline:
            raise StudyTimeoutError(
                f"{self._key}: the server did not finish within {self._pace.deadline:g} s, "
                f"last seen {seen}. It may still be working: look again later, or ask its "
                "administrator to reset the row if the server was restarted"
            )
        self._missing_since = None
        self._rest()

    def expect(self) -> None:
        """Something was done that should appear: grace and deadline begin anew."""
        self._missing_since = None
        self._begin = self._pace.now()

    def missing(self, grace: float | None = None) -> bool:
        """Sleep until the next look for something that should appear.

        Returns False, without sleeping, when it has been missing for the whole grace period.
        """
        now = self._pace.now()
        if self._missing_since is None:
            self._missing_since, self._pause = now, self._pace.first
        elif now - self._missing_since >= (self._pace.grace if grace is None else grace):
            return False
        self._rest()
        return True

    def _rest(self) -> None:
        self._pace.sleep(self._pause)
        self._pause = min(self._pause * 1.6, self._pace.longest)
