"""Reading ahead: files are read and hashed while earlier pieces are on the wire."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator

DEPTH = 4


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
