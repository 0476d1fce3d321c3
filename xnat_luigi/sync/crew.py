"""Several processes at the sessions of one plan.

Python runs one thread of a process at a time, and the many small files of a session are more work
for Python than for the disk: one process keeps hardly more than one processor busy, whatever the
number of its threads. So a sync from the command line forks a few children before it starts any
thread. Each of them is given sessions by a pipe, works on them in threads of its own, and tells
what came of them by another; all else (plan, report, progress, login) stays with the parent.

All of them live and die together. A parent that is stopped stops its children, which give back
what they hold as one process would on Ctrl-C; one that is killed takes them along (where the system
cannot do that they hear of it by the end of a pipe, and stop). A child that somebody kills costs
the sessions it was working on; the others go on with the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection as Channel
from multiprocessing.connection import wait
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Crew", "CrewError", "Hand", "count_processors", "may_fork"]

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_NUMBER = 8
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
    """A child as the parent knows it: of the sessions it was given it is doing some."""

    pid: int
    channel: Channel
    orders: int
    room: int
    given: set[int] = field(default_factory=set)
    doing: set[int] = field(default_factory=set)

    def close(self) -> None:
        """Give it no more sessions."""
        if self.orders >= 0:
            os.close(self.orders)
        self.orders, self.room = -1, 0


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
    refuse : callable, optional
        Called with a number before it is given to a child; what it returns, if anything, is the
        result, and nobody does that session.
    heard : callable, optional
        Called here with each result as it comes.
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
        refuse: Callable[[int], Result | None] = lambda number: None,
        heard: Callable[[Result], None] = lambda result: None,
    ) -> None:
        self._lost = lost
        self._pulse = pulse
        self._refuse = refuse
        self._heard = heard
        self._waiting: deque[int] = deque()
        self._children: list[_Child] = []
        hold, self._hold = os.pipe()
        processes = min(processes, threads)
        try:
            gc.freeze()  # what is there by now stays shared with the children
            for number in range(processes):
                share = threads // processes + (number < threads % processes)
                try:
                    self._fork(hand, share, hold)
                except OSError as error:
                    if not self._children:
                        raise
                    log.warning("%s: %d processes are enough", error, len(self._children))
                    break
        except BaseException:
            self.stop()
            raise
        finally:
            gc.unfreeze()
            os.close(hold)

    def _fork(self, hand: Hand[Result], threads: int, hold: int) -> None:
        ours, theirs = Pipe(duplex=False)
        numbers, orders = os.pipe()
        parent = os.getpid()
        signals = {getattr(signal, name) for name in _SIGNALS}
        _flush()  # what is not written yet would be there twice
        # A signal waits until the child is known here, and until it ignores it there.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        pid = -1
        try:
            pid = os.fork()
            if pid > 0:
                self._children.append(_Child(pid, ours, orders, threads))
        finally:
            if pid != 0:
                theirs.close()
                os.close(numbers)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if pid > 0:
            return
        status = 1
        try:
            _die_with(parent)
            for one in signals:  # of these the parent hears, and tells by the pipe
                signal.signal(one, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            # A pipe ends for its reader when nobody holds its other end any more.
            os.close(self._hold)
            os.close(orders)
            ours.close()
            for other in self._children:
                other.close()
                other.channel.close()
            _be_a_child(hand, threads, numbers, hold, theirs)
            status = 0
        except BaseException:
            traceback.print_exc()
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
        if error is None:  # all is done: they find no more numbers, and log out
            for child in self._children:
                child.close()
            while self._children:
                _wait_for(self._children[-1].pid)
                self._children.pop().channel.close()
        self.stop()

    def stop(self) -> None:
        """End the children: those that still work stop as on Ctrl-C. Waits for them."""
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1
        for child in self._children:
            child.close()
            child.channel.close()  # who still tells something finds nobody listening
        while self._children:
            _wait_for(self._children[-1].pid)
            self._children.pop()

    def do(self, numbers: Sequence[int], patient: bool) -> Iterator[tuple[int, Result]]:
        """Have the sessions of these numbers done; yields number and result, in this order.

        Raises
        ------
        CrewError
            The work itself raised something in a child.
        """
        self._waiting = deque(numbers)
        left = set(numbers)
        found: dict[int, Result] = {}
        order = iter(numbers)
        following = next(order, None)
        while left:
            for number, result in (*self._hand_out(patient), *self._hear(left)):
                left.discard(number)
                found[number] = result
                self._heard(result)
            while following is not None and following in found:
                yield following, found.pop(following)
                following = next(order, None)

    def _hand_out(self, patient: bool) -> list[tuple[int, Result]]:
        """Give sessions to the children that have the fewest; those refused have a result."""
        refused = []
        while self._waiting and self._children:
            number = self._waiting[0]
            result = self._refuse(number)
            if result is not None:
                refused.append((self._waiting.popleft(), result))
                continue
            child = min(self._children, key=lambda one: len(one.given) - one.room)
            if len(child.given) >= child.room:
                break
            try:
                code = (number * 2 + patient).to_bytes(_NUMBER, "little")
                os.write(child.orders, code)
            except BrokenPipeError:  # it has ended, of which we hear soon
                child.close()
                continue
            child.given.add(self._waiting.popleft())
        return refused

    def _hear(self, left: set[int]) -> Iterator[tuple[int, Result]]:
        """What the children tell next."""
        if not self._children:
            for number in sorted(left):
                yield number, self._lost(number, "no process is left that could fetch it")
            return
        if not self._waiting and not any(child.given for child in self._children):
            return  # all that was left was refused
        ready = wait([child.channel for child in self._children])
        for child in [one for one in self._children if one.channel in ready]:
            try:
                kind, number, result = child.channel.recv()
            except (EOFError, OSError):  # the latter in the middle of a message
                yield from self._bury(child)
                continue
            if kind == "took":
                child.doing.add(number)
            elif kind == "did":
                child.doing.discard(number)
                child.given.discard(number)
                yield number, result
            elif kind == "bytes":
                self._pulse(number)
            else:
                raise CrewError(result)

    def _bury(self, child: _Child) -> Iterator[tuple[int, Result]]:
        """A child has ended before its time; what it had not begun is for the others."""
        self._children.remove(child)
        child.close()
        child.channel.close()
        status = _wait_for(child.pid)
        self._waiting.extendleft(sorted(child.given - child.doing, reverse=True))
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        for number in sorted(child.doing):
            yield number, self._lost(number, f"the process that fetched it {how}")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # whoever writes next hears of it
                stream.flush()


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

    def one_session(number: int, patient: bool) -> bool:
        tell("took", number)
        try:
            result = hand.work(number, patient)
        except BaseException as error:  # a fault of the program, or the end: it ends the run
            tell("raised", number, _in_words(error))
            return False
        if amount := pulse.rest():
            tell("bytes", amount)
        tell("did", number, result)
        return True

    def labour() -> None:
        try:
            while code := os.read(numbers, _NUMBER):
                number, patient = divmod(int.from_bytes(code, "little"), 2)
                if not one_session(number, bool(patient)):
                    return
        except BrokenPipeError:  # the parent stopped listening: it is over
            return
        except BaseException:  # the parent must not wait for what a lost thread had
            traceback.print_exc()
            os._exit(1)

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


def _in_words(error: BaseException) -> str:
    """What was raised, and where: an error of any type would not survive the way to the parent."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}, line {last.lineno}"
    return f"{type(error).__name__}: {error} ({place})"
