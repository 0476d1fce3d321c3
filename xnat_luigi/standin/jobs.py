"""Work that goes on behind the requests: job threads, hold points, delays, the idle ticker.

The imitated server queues its jobs; here each job is a thread. A test can hold jobs at a named
point (`hold("_ARCHIVING")`), and every delay is measured on the stand-in's clock: `advance()`
ends it at once. A job blocked at a hold wakes when it is released or when the server closes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .clock import Clock

__all__ = ["Closed", "Job", "Jobs"]

_log = logging.getLogger("xnat_luigi.standin")
_POLL = 0.02
"""Seconds of real time between looks at the injected clock."""


class Closed(Exception):
    """The server is closing; the job stops where it stands, as a killed server's would."""


@dataclass
class Job:
    """A running or finished job. `result` and `error` are set when `done` is.

    `begun` is the stand-in's time at which it was started.
    """

    name: str
    begun: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    result: object = None
    error: Exception | None = None


class Jobs:
    """Threads of the server. All are daemons: a process that ends does not wait for them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._changed = threading.Condition()
        self._holds: set[str] = set()
        self._waiting: dict[str, int] = {}
        self._closed = False
        self._threads: set[threading.Thread] = set()
        self._ticker: threading.Thread | None = None

    # jobs ---------------------------------------------------------------------------------------

    def start(self, name: str, work: Callable[[], object]) -> Job:
        """Runs `work` in a thread of its own."""
        job = Job(name, self.clock.time())

        def run() -> None:
            try:
                job.result = work()
            except Closed as error:
                job.error = error
            except Exception as error:  # a job reports its failure, it never takes the server down
                job.error = error
                _log.debug("job %s failed", name, exc_info=True)
            finally:
                job.done.set()
                with self._changed:
                    self._threads.discard(threading.current_thread())
                    self._changed.notify_all()

        thread = threading.Thread(target=run, name=f"standin-{name}", daemon=True)
        with self._changed:
            if self._closed:
                raise Closed("the server is closing")
            self._threads.add(thread)
        thread.start()
        return job

    def wait(self, job: Job, timeout: float) -> bool:
        """Waits for a job until `timeout` seconds of the stand-in's clock after its start."""
        deadline = job.begun + timeout
        while not job.done.wait(_POLL):
            if self.clock.time() >= deadline or self._closed:
                return job.done.is_set()
        return True

    def settle(self, timeout: float = 10.0) -> bool:
        """Waits until no job runs (real seconds); False if some still do. For tests."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._threads:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    # holds and delays ---------------------------------------------------------------------------

    def hold(self, *points: str) -> None:
        """From now on jobs stop at these points: a status such as `_ARCHIVING`, or `SAVED`."""
        with self._changed:
            self._holds.update(points)

    def release(self, *points: str) -> None:
        """Lets jobs pass again; without arguments at every point."""
        with self._changed:
            self._holds.difference_update(points or tuple(self._holds))
            self._changed.notify_all()

    def holds(self) -> tuple[str, ...]:
        """The points where jobs stop at present."""
        with self._changed:
            return tuple(sorted(self._holds))

    def report(self) -> dict[str, object]:
        """Which points are held, where jobs stand at this moment, and how many jobs there are."""
        with self._changed:
            return {
                "holds": sorted(self._holds),
                "standing": sorted(p for p, n in self._waiting.items() if n and p in self._holds),
                "jobs": len(self._threads),
            }

    def pass_point(self, point: str) -> None:
        """Called by jobs: waits while `point` is held.

        :raises Closed: the server is closing.
        """
        with self._changed:
            self._waiting[point] = self._waiting.get(point, 0) + 1
            self._changed.notify_all()
            try:
                while point in self._holds and not self._closed:
                    self._changed.wait()
            finally:
                self._waiting[point] -= 1
            if self._closed:
                raise Closed("the server is closing")

    def reached(self, point: str, timeout: float = 10.0) -> bool:
        """Waits (real seconds) until a job stands at a held point. For tests."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (self._waiting.get(point) and point in self._holds):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def sleep(self, seconds: float) -> None:
        """A delay on the stand-in's clock.

        :raises Closed: the server is closing.
        """
        deadline = self.clock.time() + seconds
        with self._changed:
            while self.clock.time() < deadline and not self._closed:
                self._changed.wait(_POLL)
            if self._closed:
                raise Closed("the server is closing")

    # the ticker ---------------------------------------------------------------------------------

    def tick(self, work: Callable[[], None], every: float = 0.1) -> None:
        """Calls `work` again and again (real seconds between calls); only the first call counts."""

        def run() -> None:
            while True:
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, timeout=every):
                        return
                try:
                    work()
                except Exception:  # the ticker outlives a failed look
                    _log.debug("ticker failed", exc_info=True)

        with self._changed:
            if self._ticker is not None or self._closed:
                return
            self._ticker = threading.Thread(target=run, name="standin-ticker", daemon=True)
        self._ticker.start()

    def close(self, timeout: float = 5.0) -> None:
        """Wakes every job with `Closed` and waits for the threads (real seconds)."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = [*self._threads, *([self._ticker] if self._ticker else [])]
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
