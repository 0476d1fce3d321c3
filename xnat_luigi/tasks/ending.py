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


class _Ending:
    """Turns the first signal into an exception and only remembers those that follow.

    Luigi sends SIGTERM to tasks that Ctrl-C has reached already: raised in the middle of the
    cleaning up, it would leave behind what the first signal had begun to put away.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.seen.append(signum)
        if len(self.seen) == 1:
            raise KeyboardInterrupt if signum == signal.SIGINT else _Terminated


@contextlib.contextmanager
def ending_cleanly() -> Iterator[None]:
    """Unwinds the block when SIGTERM or Ctrl-C arrives, ends the login, then lets it do its work.

    By default Python dies on the spot at SIGTERM, and part files and the server's session stay
    behind. Only in a main thread whose SIGTERM nobody else handles: a child that Luigi forks, a
    single worker, but not a program that has its own handler.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    ending = _Ending()
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGTERM, ending)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, ending)
    try:
        yield
    except (_Terminated, KeyboardInterrupt):
        close_all()
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, before)
        if signal.SIGTERM in ending.seen:
            os.kill(os.getpid(), signal.SIGTERM)


def cleanly(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Runs a task's `run()` under `ending_cleanly`."""

    @functools.wraps(function)
    def wrapped(*words: Parameters.args, **named: Parameters.kwargs) -> Result:
        with ending_cleanly():
            return function(*words, **named)

    return wrapped
