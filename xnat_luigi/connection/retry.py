"""Whether and when to try again: numbers in, waits out. Nobody sleeps here."""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from dataclasses import dataclass, field
from random import random

from ..config import Policy

__all__ = ["RETRIED", "RetryPolicy", "read_retry_after"]

RETRIED = frozenset({408, 425, 429, 502, 503, 504})
"""statuses that say «later»; 500 is tried once more and for GET only"""


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait, from a `Retry-After` in seconds or as a date; None for none or nonsense.

    `now` is the time of day in seconds since the epoch.
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


@dataclass
class RetryPolicy:
    """The waits of one request.

    `next_wait` answers how long to wait before the next try, None when there shall be none.
    """

    policy: Policy
    chance: Callable[[], float] = random
    tries: int = field(default=0, init=False)
    doubted: int = field(default=0, init=False)
    waited: float = field(default=0.0, init=False)

    def next_wait(self, retry_after: float | None = None, *, once: bool = False) -> float | None:
        """Count a failed try.

        Parameters
        ----------
        retry_after : float, optional
            What the server asked for; obeyed as a whole or not at all.
        once : bool
            A failure after which a single further try is worth it, whatever came before (500).
        """
        self.tries += 1
        self.doubted += once
        if self.tries >= self.policy.attempts or (once and self.doubted > 1):
            return None
        wait: float = self.policy.first_wait * 2.0 ** (self.tries - 1)
        wait = min(self.policy.longest_wait, wait * (0.75 + 0.5 * self.chance()))
        if retry_after is not None:
            wait = max(retry_after, 0.0)
        if self.waited + wait > self.policy.total_wait:
            return None
        self.waited += wait
        return wait
