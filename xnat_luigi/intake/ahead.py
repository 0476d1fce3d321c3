"""Work beside the wire: reading ahead of what is being sent, and hashing while the server works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

DEPTH = 4

Result = TypeVar("Result")


class Background(Generic[Result]):
    """A thread that works on one thing, at once.

    Parameters
    ----------
    work : callable
        Called there with a function that says whether nobody waits for it any more.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], Result]) -> None:
        self._over = threading.Event()
        self._future: Future[Result] = Future()

        def run() -> None:
            try:
                self._future.set_result(work(self._over.is_set))
            except BaseException as error:  # handed over to whom the result is for
                self._future.set_exception(error)

        self._thread = threading.Thread(target=run, name="background", daemon=True)
        self._thread.start()

    def result(self) -> Result:
        """Wait for what it makes, or raise what it raised."""
        return self._future.result()

    def stop(self) -> None:
        """End it, and wait for its end."""
        self._over.set()
        self._thread.join()


def read_ahead(pieces: Iterable[bytes], *, depth: int = DEPTH) -> Iterator[bytes]:
    """The same pieces, made in a thread that is at most `depth` of them ahead.

    An error of the source is raised where its piece was due. When the reader stops early the
    thread is ended and joined before this generator is closed, and so is the source.
    """
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def fill() -> None:
        source = iter(pieces)
        try:
            for piece in source:
                if not put(piece):
                    break
            else:
                put(None)
        except BaseException as error:  # handed over to whom the pieces are for
            put(error)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
