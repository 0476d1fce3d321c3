"""What a running task tells the scheduler's page: None-safe, and not too often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import luigi

__all__ = ["StatusLine"]

logger = logging.getLogger(__name__)


class StatusLine:
    """Sends a message and a percentage to the scheduler, at most once every `interval` seconds.

    Luigi sets a task's reporters only while it runs, and each message is a request to the
    scheduler: outside a run nothing is sent, and what comes too fast is dropped unless it is the
    last word (`final=True`). Every message also goes to the log, because a local scheduler with
    several workers shows none of them.

    Args:
        task: the task that speaks.
        interval: seconds between two messages.
        clock: monotonic seconds; injected by tests.
    """

    def __init__(
        self,
        task: luigi.Task,
        *,
        interval: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._task = task
        self._interval = interval
        self._clock = clock
        self._last: float | None = None

    def say(self, message: str, *, done: float | None = None, final: bool = False) -> bool:
        """Sends a message; `done` is a share between 0 and 1. Answers whether it was sent."""
        now = self._clock()
        if not final and self._last is not None and now - self._last < self._interval:
            return False
        self._last = now
        logger.info("%s: %s", self._task.task_id, message)
        set_message = self._task.set_status_message
        if callable(set_message):
            set_message(message)
        set_percentage = self._task.set_progress_percentage
        if done is not None and callable(set_percentage):
            set_percentage(round(100 * min(1.0, max(0.0, done)), 1))
        return True

    def point_to(self, address: str) -> None:
        """Gives the scheduler's page a link to what the task is about."""
        set_tracking_url = self._task.set_tracking_url
        if callable(set_tracking_url):
            set_tracking_url(address)
