"""Locks between processes; they save work, the truth does not rest on them (fault row L3).

On some network file systems every caller gets the lock. Then two processes fetch the same file
twice, each under a part name of its own, and the last rename wins with the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from ..exceptions import XNATLockError
from .save import make_folder, save_text

__all__ = ["read_owner", "slot", "staged_lock"]

log = logging.getLogger(__name__)
SAY_EVERY = 10.0
POLL = 0.05


@contextlib.contextmanager
def staged_lock(
    path: Path,
    *,
    timeout: float = 600.0,
    owner: str = "",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold a lock for the length of a block.

    Parameters
    ----------
    path : Path
        The lock file; it stays there, a lock file must never be removed while somebody may wait.
    timeout : float
        Seconds to wait; 0 means try once. The operating system frees the lock of a killed
        process at once (L2).
    owner : str
        What the holder is doing, for the message to those who wait.

    Raises
    ------
    XNATLockError
        The time is over; the message names the owner: host, process id, since when, doing what.
    """
    make_folder(path.parent)
    lock = FileLock(str(path), timeout=0, thread_local=False)
    _acquire(lock, path, timeout, clock, sleep)
    record = path.with_name(path.name + ".owner")
    try:
        save_text(record, json.dumps(_me(owner)), sync=False)
        yield
    finally:
        with contextlib.suppress(OSError):
            record.unlink()
        lock.release()


@contextlib.contextmanager
def slot(
    name: str,
    count: int,
    *,
    folder: Path | None = None,
    owner: str = "",
    timeout: float = 6 * 3600.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold one of a number of places, counted over all processes of this user on this machine.

    Parameters
    ----------
    name : str
        What is counted, a server's address for example.
    count : int
        How many may hold a place at a time; 0 is no bound.
    folder : Path, optional
        Where the locks lie; by default a folder of this user for temporary files.
    timeout : float
        Seconds to wait for a place.

    Raises
    ------
    XNATLockError
        The time is over.
    """
    if count <= 0:
        yield
        return
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    base = (folder or _temporary()) / digest
    make_folder(base)
    begin = clock()
    while True:
        for number in range(count):
            lock = FileLock(str(base / f"{number}.lock"), thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            except OSError as error:
                raise XNATLockError(f"{base} cannot hold locks: {error}") from error
            try:
                yield
            finally:
                lock.release()
            return
        if clock() - begin >= timeout:
            raise XNATLockError(
                f"all {count} places for {name} are taken, waited {timeout:g} s ({owner}): "
                "wait for other runs to end, or allow more"
            )
        sleep(POLL)


def _temporary() -> Path:
    """A folder that is ours: in a folder for all, another user may have put something there."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"xnat-luigi-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise XNATLockError(
            f"{folder} is not a folder of ours: remove it, set XDG_RUNTIME_DIR, or set the cap to 0"
        )
    return folder / "slots"


def _acquire(
    lock: FileLock,
    path: Path,
    timeout: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    begin = said = clock()
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            now = clock()
            if now - begin >= timeout:
                raise XNATLockError(
                    f"{path} is locked by {read_owner(path)}, waited {timeout:g} s: "
                    "wait for that run to end, or end it, and run again"
                ) from None
            if now - said >= SAY_EVERY:
                said = now
                log.info("waiting for %s, locked by %s", path, read_owner(path))
        except OSError as error:
            raise XNATLockError(f"{path} cannot be locked here: {error}") from error
        sleep(POLL)


def _me(owner: str) -> dict[str, object]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "doing": owner,
    }


def read_owner(path: Path) -> str:
    """The owner of a lock in words; «an unknown process» when there is no readable record."""
    try:
        record = json.loads(path.with_name(path.name + ".owner").read_text(encoding="utf-8"))
        words = f"process {record['pid']} on {record['host']} since {record['since']}"
        return words + (f" ({record['doing']})" if record.get("doing") else "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "an unknown process"
