"""Several processes at the sessions of one plan.

Python runs one thread of a process at a time, and the many small files of a session are more work
for Python than for the disk: one process keeps hardly more than one processor busy, whatever the
number of its threads. So a sync from the command line forks a few children before it starts any
thread. Each of them takes sessions from one pipe, works on them in threads of its own, and tells
what came of them; all else (the plan, the report, the progress, the login) stays with the parent.

All of them live and die together. A parent that is stopped stops its children, which give back
what they hold as one process would on Ctrl-C; one that is killed takes them along (where the system
cannot do that they hear of it by the end of a pipe, and stop). A child that somebody kills costs
the sessions it was working on, and the others go on.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection as Channel
from multiprocessing.connection import wait
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Crew", "CrewError", "Hand", "count_processors", "may_fork"]

Result = TypeVar("Result")

_NUMBER = 8
_AHEAD = 2
"""so many sessions for each thread lie ready in the pipe"""
_PULSE = 0.2
"""seconds between two messages about bytes"""
_PR_SET_PDEATHSIG = 1
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class CrewError(Exception):
    """Something was raised in a child that `Hand.work` does not foresee."""


def count_processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def may_fork() -> bool:
    """Whether this process can fork safely: it has no other thread, whose locks a child would
    inherit locked."""
    return hasattr(os, "fork") and threading.active_count() == 1


@dataclass
class Hand(Generic[Result]):
    """What a child works with; all four are called there.

    Attributes
    ----------
    work : callable
        Does the session of a number in the plan, and returns what came of it. The second value
        says whether to wait for who works on that session already.
    begin : callable
        Called first, with what takes the numbers of bytes that arrive.
    stop : callable
        Called from another thread when the parent wants an end or has ended: `work` raises soon.
    end : callable
        Called last.
    """

    work: Callable[[int, bool], Result]
    begin: Callable[[Callable[[int], None]], None]
    stop: Callable[[], None]
    end: Callable[[], None]


@dataclass
class _Child:
    pid: int
    channel: Channel
    doing: set[int] = field(default_factory=set)


class Crew(Generic[Result]):
    """Children of this process, each with threads of its own; a context that ends them.

    Parameters
    ----------
    hand : Hand
        What each child does, called there.
    processes, threads : int
        How many children, and how many threads all of them have together.
    lost : callable
        Makes the result of a session whose child was ended by somebody else: number and reason.
    pulse : callable
        Called here with the numbers of bytes that the children tell of.
    """

    def __init__(
        self,
        hand: Hand[Result],
        *,
        processes: int,
        threads: int,
        lost: Callable[[int, str], Result],
        pulse: Callable[[int], None],
    ) -> None:
        self._lost = lost
        self._pulse = pulse
        self._ahead = _AHEAD * threads
        self._numbers, self._orders = os.pipe()
        hold, self._hold = os.pipe()
        self._children: list[_Child] = []
        gc.freeze()  # what is there by now stays shared with the children
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            for number in range(processes):
                share = threads // processes + (number < threads % processes)
                self._children.append(self._fork(hand, max(1, share), hold))
        except BaseException:
            self.stop()
            raise
        finally:
            gc.unfreeze()
            os.close(hold)

    def _fork(self, hand: Hand[Result], threads: int, hold: int) -> _Child:
        ours, theirs = Pipe(duplex=False)
        parent = os.getpid()
        pid = os.fork()
        if pid:
            theirs.close()
            return _Child(pid, ours)
        status = 1
        try:
            _die_with(parent)
            for name in _SIGNALS:  # of these the parent hears, and tells by the pipe
                signal.signal(getattr(signal, name), signal.SIG_IGN)
            os.close(self._orders)
            os.close(self._hold)
            ours.close()
            for other in self._children:
                other.channel.close()
            _be_a_child(hand, threads, self._numbers, hold, theirs)
            status = 0
        finally:
            os._exit(status)  # nothing of the parent's is flushed, closed or logged out here

    def __enter__(self) -> Crew[Result]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._close("_orders")  # all is done: they find no more numbers, and log out
            for child in self._children:
                _wait_for(child.pid)
            self._children = []
        self.stop()

    def stop(self) -> None:
        """End the children: those that still work stop as on Ctrl-C. Waits for them."""
        self._close("_orders", "_hold", "_numbers")
        children, self._children = self._children, []
        for child in children:
            child.channel.close()  # who still tells something finds nobody listening
        for child in children:
            _wait_for(child.pid)

    def _close(self, *names: str) -> None:
        for name in names:
            pipe = getattr(self, name)
            if pipe >= 0:
                os.close(pipe)
                setattr(self, name, -1)

    def do(self, numbers: Sequence[int], patient: bool) -> Iterator[tuple[int, Result]]:
        """Have the sessions of these numbers done; yields number and result, in this order.

        Raises
        ------
        CrewError
            The work itself raised something in a child.
        """
        waiting = list(reversed(numbers))
        left = set(numbers)
        under_way = 0
        found: dict[int, Result] = {}
        order = iter(numbers)
        following = next(order, None)
        while left:
            while waiting and under_way < self._ahead and self._children:
                code = waiting.pop() * 2 + patient
                os.write(self._orders, code.to_bytes(_NUMBER, "little"))
                under_way += 1
            for number, result in self._hear(left):
                left.discard(number)
                under_way -= 1
                found[number] = result
            while following is not None and following in found:
                yield following, found.pop(following)
                following = next(order, None)

    def _hear(self, left: set[int]) -> Iterator[tuple[int, Result]]:
        """What the children tell next."""
        if not self._children:
            for number in sorted(left):
                yield number, self._lost(number, "no process is left that could fetch it")
            return
        ready = wait([child.channel for child in self._children])
        for child in [one for one in self._children if one.channel in ready]:
            try:
                kind, number, result = child.channel.recv()
            except EOFError:
                yield from self._bury(child)
                continue
            if kind == "took":
                child.doing.add(number)
            elif kind == "did":
                child.doing.discard(number)
                yield number, result
            elif kind == "bytes":
                self._pulse(number)
            else:
                raise CrewError(result)

    def _bury(self, child: _Child) -> Iterator[tuple[int, Result]]:
        """A child has ended before its time."""
        self._children.remove(child)
        child.channel.close()
        status = _wait_for(child.pid)
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        for number in sorted(child.doing):
            yield number, self._lost(number, f"the process that fetched it {how}")


def _wait_for(pid: int) -> int:
    """Wait for a child's end; its status, negative for a signal."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # whoever started us has children buried unseen
        return 0


def _be_a_child(
    hand: Hand[Result], threads: int, numbers: int, hold: int, channel: Channel
) -> None:
    guard = threading.Lock()
    pulse = _Pulse()

    def tell(kind: str, number: int, result: object = None) -> None:
        with guard:
            channel.send((kind, number, result))

    def beat(count: int) -> None:
        if amount := pulse.add(count):
            tell("bytes", amount)

    def labour() -> None:
        while code := os.read(numbers, _NUMBER):
            number, patient = divmod(int.from_bytes(code, "little"), 2)
            try:
                tell("took", number)
                result = hand.work(number, bool(patient))
                if amount := pulse.rest():
                    tell("bytes", amount)
                tell("did", number, result)
            except BrokenPipeError:  # the parent stopped listening: it is over
                return
            except Exception as error:  # a fault of the program: it ends the run
                tell("raised", number, _in_words(error))
                return

    def listen() -> None:
        os.read(hold, 1)  # ends when the parent does, or wants us to
        hand.stop()

    hand.begin(beat)
    threading.Thread(target=listen, daemon=True).start()
    workers = [threading.Thread(target=labour) for _ in range(threads)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    hand.end()


class _Pulse:
    """Gathers numbers of bytes to one now and then."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._count = 0
        self._told = time.monotonic()

    def add(self, count: int) -> int:
        """The bytes to tell of now, 0 if it is too early."""
        with self._guard:
            self._count += count
            now = time.monotonic()
            if now - self._told < _PULSE:
                return 0
            self._told = now
            amount, self._count = self._count, 0
            return amount

    def rest(self) -> int:
        """All bytes that were not told of yet."""
        with self._guard:
            amount, self._count = self._count, 0
            return amount


def _die_with(parent: int) -> None:
    """Have the system kill this process when its parent ends, where it can (Linux)."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def _in_words(error: Exception) -> str:
    """What was raised, and where: an error of any type would not survive the way to the parent."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}, line {last.lineno}"
    return f"{type(error).__name__}: {error} ({place})"
