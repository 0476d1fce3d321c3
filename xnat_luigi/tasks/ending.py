"""SIGTERM in a running task: give back part files, locks and the login, then end."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ParamSpec, TypeVar

from ..connection.registry import close_all

__all__ = ["cleanly", "ending_cleanly"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _Terminated(BaseException):
    """SIGTERM arrived; no `except Exception` on the way takes it for a failure."""


def _raise(signum: int, frame: FrameType | None) -> None:
    raise _Terminated


@contextlib.contextmanager
def ending_cleanly() -> Iterator[None]:
    """Unwinds the block when SIGTERM arrives, ends the login, then lets SIGTERM do its work.

    By default Python dies on the spot, and part files and the server's session stay behind.
    Only in a main thread whose SIGTERM nobody else handles: a child that Luigi forks, a single
    worker, but not a program that has its own handler.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    except _Terminated:
        close_all()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def cleanly(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Runs a task's `run()` under `ending_cleanly`."""

    @functools.wraps(function)
    def wrapped(*words: Parameters.args, **named: Parameters.kwargs) -> Result:
        with ending_cleanly():
            return function(*words, **named)

    return wrapped
