"""Bytes onto the disk: every file this package leaves anywhere is written here.

A file is written under a name of its own beside its target, counted and hashed on the way, and
gets its final name only when it is proven (fault rows D1 to D3, L3). A name that exists is
therefore whole, whoever was killed and whoever else wrote the same file at the same time.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import itertools
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..exceptions import XNATIntegrityError, XNATIOError, XNATUnsafeNameError

__all__ = [
    "Part",
    "Saved",
    "Want",
    "make_folder",
    "move",
    "part_writer",
    "publish",
    "remove_empty",
    "remove_file",
    "save_bytes",
    "save_text",
    "sync_all",
    "take_over",
    "write_part",
]

PART_SUFFIX = ".part"
LONGEST_NAME = 255
MOST_PLAIN = 40
"""a name of so many characters fits with all that a part's name has, whatever they are"""
# From so many files on, one call for the whole file system is cheaper than one for each file.
SYNC_TOGETHER = 4
EARLY = 256 * 1024
"""bytes from which on the disk is told to begin with a file before it has to be done"""
_numbers = itertools.count(secrets.randbits(32))
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_PERMANENT = {
    errno.ENOSPC: "the disk is full: make room and run again",
    errno.EDQUOT: "the disk quota is used up: make room and run again",
    errno.EROFS: "the file system is read-only: remount it or choose another folder",
    errno.EFBIG: "the file is larger than this process or file system allows",
    errno.EACCES: "no permission: check who owns the folder",
    errno.EPERM: "not permitted: check who owns the folder",
    errno.ENAMETOOLONG: "the name is too long for this file system: choose another layout",
    errno.EMFILE: "too many open files: raise the limit or use fewer workers",
}


class Saved(NamedTuple):
    """A file under its final name, or a proven part of it: size in bytes, MD5 in hex."""

    path: Path
    size: int
    md5: str
    mtime_ns: int = 0
    inode: int = 0


class Want(NamedTuple):
    """Where bytes shall go and what they must be; None means not known."""

    path: Path
    size: int | None = None
    md5: str | None = None


@cache
def machine() -> str:
    """Eight hex digits that differ between machines, boots and process namespaces."""
    facts = [socket.gethostname()]
    for read in (_boot_id, _pid_namespace):
        with contextlib.suppress(OSError):
            facts.append(read())
    return hashlib.md5("|".join(facts).encode(), usedforsecurity=False).hexdigest()[:8]


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def part_path(target: Path) -> str:
    """A fresh name beside a target, `.NAME.PID-MACHINE-NUMBER.part`, no longer than allowed."""
    folder, slash, name = os.fspath(target).rpartition(os.sep)
    unique = f".{os.getpid():x}-{machine()}-{next(_numbers) & 0xFFFFFFFF:08x}{PART_SUFFIX}"
    if len(name) > MOST_PLAIN:
        name = os.fsencode(name)[: LONGEST_NAME - len(unique) - 1].decode("utf-8", "ignore")
    return f"{folder}{slash}.{name}{unique}"


def make_folder(folder: Path, root: Path | None = None) -> None:
    """Make a folder and those above it.

    With `root`, everything from there downwards must be a real folder: a symbolic link planted
    in its place (fault row D6) raises `XNATUnsafeNameError` before anything is written.
    """
    if root is not None:
        _refuse_links(folder, root)
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError as error:
        raise XNATIOError(
            f"{folder} cannot be made a folder, a file of that name lies there: "
            "move it away or choose another destination"
        ) from error
    except OSError as error:
        raise _explained("making the folder", folder, error) from error


def _refuse_links(folder: Path, root: Path) -> None:
    try:
        steps = folder.relative_to(root).parts
    except ValueError:
        raise XNATUnsafeNameError(f"{folder} does not lie below {root}: refused") from None
    here = str(root)
    for step in steps:
        here = os.path.join(here, step)
        if step == ".." or os.path.islink(here):
            raise XNATUnsafeNameError(
                f"{here} is a symbolic link or leads upwards: nothing is written through it; "
                "remove it and run again"
            )


class Part:
    """A file being written under a name of its own beside its target.

    Parameters
    ----------
    want : Want
        Target, and size (bytes) and MD5 (hex) if they are known.
    limit : int or None
        Most bytes that are accepted; a known size is always the limit.
    root : Path or None
        Folder below which no symbolic link is followed.
    folders : set of str or None
        Folders made and checked a moment ago by the same caller; grows.

    Raises
    ------
    XNATIOError
        The disk is full, read-only and so on (fault row D1). Permanent; the part is removed.
    XNATIntegrityError
        Size, digest or bound are violated (N4, N11). The part is removed.
    """

    def __init__(
        self,
        want: Want,
        *,
        limit: int | None = None,
        root: Path | None = None,
        folders: set[str] | None = None,
    ) -> None:
        self.want = want
        self.size = 0
        self.saved: Saved | None = None
        self._hash = hashlib.md5(usedforsecurity=False)
        self._limit = want.size if want.size is not None else limit
        self.place = part_path(want.path)
        folder = os.path.dirname(self.place)
        if folders is None or folder not in folders:
            make_folder(want.path.parent, root)
            if folders is not None:
                folders.add(folder)
        try:
            self._file: int | None = os.open(self.place, _FLAGS, 0o666)
        except OSError as error:
            raise _explained("writing", want.path, error) from error

    @property
    def path(self) -> Path:
        """Its own name."""
        return Path(self.place)

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes; all of them or an error."""
        self.size += len(chunk)
        if self._limit is not None and self.size > self._limit:
            self.discard()
            raise XNATIntegrityError(
                f"{self.want.path}: more than the {self._limit} bytes that were due; not kept"
            )
        if self._file is None:
            raise XNATIOError(f"{self.want.path}: this part was closed already")
        self._hash.update(chunk)
        try:
            count = os.write(self._file, chunk)
            while count < len(chunk):
                count += os.write(self._file, memoryview(chunk)[count:])
        except OSError as error:
            self.discard()
            raise _explained("writing", self.want.path, error) from error

    def finish(self) -> Saved:
        """Close the part and prove it; it still lies under its own name."""
        if self._file is None:
            raise XNATIOError(f"{self.want.path}: this part was closed already")
        md5 = self._hash.hexdigest()
        fault = _fault(self.want, self.size, md5)
        if fault:
            self.discard()
            raise XNATIntegrityError(f"{self.want.path}: {fault}; not kept")
        try:
            status = os.fstat(self._file)
            if self.size >= EARLY:
                _begin_writing(self._file)
            file, self._file = self._file, None
            os.close(file)  # some file systems tell only here that the disk is full
        except OSError as error:
            self.discard()
            raise _explained("writing", self.want.path, error) from error
        self.saved = Saved(self.want.path, self.size, md5, status.st_mtime_ns, status.st_ino)
        return self.saved

    def discard(self) -> None:
        """Remove the part; never raises, may be called again."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                os.close(file)
        with contextlib.suppress(OSError):
            os.unlink(self.place)

    def rename(self) -> Saved:
        """Give the proven part its final name, of which the disk is not told yet."""
        if self.saved is None:
            raise XNATIOError(f"{self.want.path}: the part was never finished")
        os.replace(self.place, str(self.want.path))
        return self.saved


def _fault(want: Want, size: int, md5: str) -> str:
    if want.size is not None and size != want.size:
        return f"{size} bytes instead of {want.size}"
    if want.md5 and md5 != want.md5.lower():
        return f"MD5 {md5} instead of {want.md5}"
    return ""


@contextlib.contextmanager
def part_writer(
    want: Want, *, limit: int | None = None, root: Path | None = None
) -> Iterator[Part]:
    """A `Part` that is finished at the end of the block and removed if the block raises."""
    part = Part(want, limit=limit, root=root)
    try:
        yield part
        part.finish()
    except BaseException:  # Ctrl-C and SIGTERM leave no part behind either (D3)
        part.discard()
        raise


def write_part(
    want: Want,
    chunks: Iterable[bytes],
    *,
    limit: int | None = None,
    root: Path | None = None,
) -> Part:
    """Write chunks into a proven part that awaits `publish`; errors as for `Part`."""
    with part_writer(want, limit=limit, root=root) as part:
        for chunk in chunks:
            part.write(chunk)
    return part


def publish(parts: Sequence[Part], *, durable: bool = True, folders: bool = True) -> list[Saved]:
    """Give proven parts their final names, together.

    First the bytes of all parts reach the disk, then all names change, then the folders reach
    the disk: after a loss of power a final name is whole or absent. On an error the parts not
    yet renamed are removed; a rerun finds the others whole.

    Parameters
    ----------
    durable : bool
        False leaves syncing to the operating system (for files that can be made again).
    folders : bool
        False leaves the names to the operating system, the bytes are durable all the same; the
        caller ends with `sync_all`.
    """
    done: list[Saved] = []
    try:
        if durable:
            _sync_files([part.place for part in parts])
        for part in parts:
            done.append(part.rename())
        if durable and folders:
            for folder in sorted({part.want.path.parent for part in parts}):
                _sync(folder)
    except OSError as error:
        left = parts[len(done) :] or parts
        raise _explained("renaming", left[0].want.path if left else "nothing", error) from error
    finally:
        for part in parts[len(done) :]:
            part.discard()
    return done


def take_over(leftover: Path, target: Path, *, root: Path | None = None) -> None:
    """Give a whole part that a killed run left behind its final name, durably.

    The caller has proven its bytes. Errors as for `publish`.
    """
    make_folder(target.parent, root)
    try:
        _sync(leftover)
        os.replace(leftover, target)
        _sync(target.parent)
    except OSError as error:
        raise _explained("renaming", leftover, error) from error


@cache
def _syncfs() -> Callable[[int], int] | None:
    """The C library's `syncfs`, where there is one (Linux)."""
    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes = [ctypes.c_int]
    function.restype = ctypes.c_int
    return function


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """The C library's `sync_file_range`, where there is one (Linux)."""
    try:
        function = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    function.restype = ctypes.c_int
    return function


def _begin_writing(file: int) -> None:
    """Let the disk begin with a file that will be synced soon; waits for nothing."""
    begin = _sync_file_range()
    if begin is not None:
        begin(file, 0, 0, 2)  # SYNC_FILE_RANGE_WRITE; that it cannot is no error


def sync_all(folder: Path) -> None:
    """Wait until the file system of a folder has everything on disk, names included."""
    together = _syncfs()
    if together is None:
        os.sync()
        return
    try:
        file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if together(file) != 0:
            number = ctypes.get_errno()
            raise _explained("syncing", folder, OSError(number, os.strerror(number)))
    finally:
        os.close(file)


def _sync_files(paths: Sequence[str]) -> None:
    together = _syncfs() if len(paths) >= SYNC_TOGETHER else None
    if together is None:
        for path in paths:
            _sync(path)
        return
    # One call does for a whole file system; parts of one publication may lie on several.
    folders = {os.path.dirname(path): path for path in paths}
    for device, path in {os.stat(at or ".").st_dev: path for at, path in folders.items()}.items():
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if together(file) != 0:
                raise OSError(ctypes.get_errno(), f"syncfs of device {device} failed")
        finally:
            os.close(file)


def _sync(path: Path | str) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # folders on some network disks
            raise
    finally:
        os.close(file)


def save_bytes(
    target: Path,
    chunks: Iterable[bytes],
    *,
    size: int | None = None,
    md5: str | None = None,
    limit: int | None = None,
    sync: bool = True,
    root: Path | None = None,
) -> Saved:
    """Write one file and give it its final name; errors as for `Part`."""
    part = write_part(Want(target, size, md5), chunks, limit=limit, root=root)
    return publish([part], durable=sync)[0]


def save_text(target: Path, text: str, *, sync: bool = True, root: Path | None = None) -> Saved:
    """Write one UTF-8 text file atomically."""
    return save_bytes(target, [text.encode("utf-8")], sync=sync, root=root)


def move(source: Path, target: Path, *, root: Path | None = None) -> None:
    """Move a file within one file system; an existing target is replaced atomically."""
    make_folder(target.parent, root)
    try:
        os.replace(source, target)
    except OSError as error:
        raise _explained("moving", source, error) from error


def remove_file(path: Path) -> None:
    """Remove a file; that it is not there is no error."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _explained("removing", path, error) from error


def append_line(target: Path, line: str) -> None:
    """Append one line to a journal; short lines of several processes do not mix (O_APPEND)."""
    make_folder(target.parent)
    try:
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            os.write(file, line.rstrip("\n").encode("utf-8") + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        raise _explained("writing", target, error) from error


def remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it, up to but not including `root`, while they are empty."""
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _explained(what: str, path: Path | str, error: OSError) -> XNATIOError:
    advice = _PERMANENT.get(error.errno or 0, "")
    text = f"{what} {path} failed: {error.strerror or error}"
    explained = XNATIOError(f"{text}; {advice}" if advice else text)
    explained.errno = error.errno
    return explained
