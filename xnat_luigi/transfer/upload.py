"""Files from disk into one resource, proven by a listing afterwards (wire contract A 6.4).

The server says 200 to an upload that stored nothing, so only the listing counts: every file must
be there with its size and, where the server has one, its digest. What is there already and equal
is not sent again, so a broken upload is resumed by calling again.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..exceptions import (
    XNATConnectionError,
    XNATNotFoundError,
    XNATResponseError,
    XNATUnclearError,
    XNATUploadError,
    XNATValueError,
)
from ..rest.absence import find_resource
from ..rest.contents import list_files
from ..rest.documents import get_item
from ..rest.files.download import open_file
from ..rest.files.upload import check_file_path, put_archive, put_file
from ..rest.records import File
from ..staging.pack import pack_tar, pack_zip
from ..uris import survives_upload

if TYPE_CHECKING:
    from ..connection.login import Connection
    from ..uris import Address

__all__ = [
    "Sending",
    "Uploaded",
    "make_sending",
    "missing_after",
    "read_sendings",
    "send_text",
    "upload_files",
]

ARCHIVE_LIMIT = 2 << 30
"""bytes of files in one request; more is sent as several archives, one after the other"""

LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""seconds between the looks for an upload whose answer was lost, 30 in all"""

MODES = ("auto", "files", "archive", "tar", "tgz")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sending:
    """A file to send: its path in the resource, where it lies, and what it holds."""

    path: str
    source: Path
    size: int
    md5: str


@dataclass(frozen=True)
class Uploaded:
    """What an upload did; all paths are within the resource.

    `kept` was there and equal already, `by_size` could be compared by size only because the server
    has no digest (with `read_back=True` there is no such), `stale` has a digest on the server that
    is not that of its bytes, which were read back and are right.
    """

    sent: tuple[str, ...]
    kept: tuple[str, ...] = ()
    by_size: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()


def read_sendings(root: Path, paths: Iterable[str] | None = None) -> list[Sending]:
    """Read and hash the regular files below a folder, symbolic links and all else refused.

    Parameters
    ----------
    root : Path
        A folder; paths in the resource are those below it.
    paths : iterable of str, optional
        Only these, with `/` between the parts.

    Raises
    ------
    XNATValueError
        A path is a link or no regular file, or there is none at all.
    """
    if paths is None:
        found = sorted(p for p in root.rglob("*") if not p.is_dir() or p.is_symlink())
        wanted = [p.relative_to(root).as_posix() for p in found]
    else:
        wanted = list(paths)
    if not wanted:
        raise XNATValueError(f"{root}: no file to upload")
    return [make_sending(path, root / path) for path in wanted]


def make_sending(path: str, source: Path) -> Sending:
    """Hash one file; `path` is its name in the resource."""
    if source.is_symlink() or not source.is_file():
        raise XNATValueError(f"{source} is no regular file and is not uploaded")
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with source.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return Sending(path, source, size, digest.hexdigest())


def upload_files(
    conn: Connection,
    address: Address,
    label: str,
    entries: Sequence[Sending],
    *,
    overwrite: bool = False,
    resume: bool = True,
    mode: str = "auto",
    in_memory: bool = False,
    attributes: Mapping[str, str] | None = None,
    read_back: bool = False,
    progress: Progress | None = None,
) -> Uploaded:
    """Store files in a resource, one request after the other, and prove that they are there.

    Parameters
    ----------
    address : Address
        The item that owns the resource.
    label : str
        The resource; made when it is not there.
    overwrite : bool
        Replace files of these paths that hold something else. Otherwise such a file is an error
        before anything is sent.
    resume : bool
        Leave out files that are there and equal. False sends all (with `overwrite`).
    mode : {"auto", "files", "archive", "tar", "tgz"}
        One request per file, or archives that the server unpacks: zips that are made while they
        are sent, or tars (XNAT 1.8 or newer), which need their length beforehand. `auto` takes a
        single request only for one file that can travel so. With `files` empty files go together
        in a zip, as the server refuses them otherwise (A 6.4).
    in_memory : bool
        Make a tar in memory and not in a temporary file.
    attributes : mapping, optional
        `format`, `content`, `tags`; the server also sets them on the resource.
    read_back : bool
        Download and hash what the server has no digest of.
    progress : callable, optional
        Called with bytes proven and bytes in all.

    Raises
    ------
    XNATUploadError
        A file is there already and differs, or the server does not show what was sent; a missing
        edit right looks like that (A 6.4).
    XNATUnsafeNameError
        A path would not be stored as it is; nothing was sent.
    """
    if mode not in MODES:
        raise XNATValueError(f"mode {mode!r} is none of {', '.join(MODES)}")
    by_path = {entry.path: entry for entry in entries}
    if len(by_path) < len(entries):
        raise XNATValueError("upload: the same path is named twice")
    order = _Order(conn, address, label, mode, in_memory, dict(attributes or {}))
    for entry in entries:
        check_file_path(entry.path, archived=not order.goes_singly(entry, len(entries)))
    before = _listed(conn, address, label)
    kept, blocked = _compare_before(conn, entries, before) if before else ([], [])
    if blocked and not overwrite:
        raise XNATUploadError(
            f"{address.path()}: resource {label!r} has other content at "
            f"{_some(blocked)}; overwrite replaces it"
        )
    if not resume:
        if kept and not overwrite:
            raise XNATUploadError(f"{address.path()}: resource {label!r} has {_some(kept)} already")
        kept = []
    there = set(kept)
    wanted = [entry for entry in entries if entry.path not in there]
    order.send(wanted, before)
    by_size, stale = _prove(conn, address, label, entries, read_back)
    if progress is not None:
        total = sum(entry.size for entry in entries)
        progress(total, total)
    sent = tuple(entry.path for entry in wanted)
    return Uploaded(sent, tuple(kept), tuple(by_size), tuple(stale))


def send_text(conn: Connection, address: Address, label: str, path: str, text: str) -> Uploaded:
    """Store one text as a file of a resource, replacing what is there, and prove it (UTF-8)."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        sending = make_sending(path, Path(file.name))
        return upload_files(conn, address, label, [sending], overwrite=True)


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(repr(path) for path in paths[:5]) + more


def _listed(conn: Connection, address: Address, label: str) -> dict[str, File]:
    """Return what the resource holds, nothing when it is confirmed absent."""
    try:
        return {file.path: file for file in list_files(conn, address, label)}
    except XNATNotFoundError:
        if find_resource(conn, address, label) is None:
            return {}
        raise


def _compare_before(
    conn: Connection, entries: Sequence[Sending], before: dict[str, File]
) -> tuple[list[str], list[str]]:
    """Return the paths that are there and equal, and those that are there and differ."""
    kept, blocked = [], []
    for entry in entries:
        file = before.get(entry.path)
        if file is None:
            continue
        if file.size is not None and file.size != entry.size:
            blocked.append(entry.path)
        elif file.digest == entry.md5 or _reads_equal(conn, file, entry):
            kept.append(entry.path)
        else:
            blocked.append(entry.path)
    return kept, blocked


def _reads_equal(conn: Connection, file: File, entry: Sending) -> bool:
    """Download a file and compare it; digests on the server can be missing or old (A 6.2)."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    try:
        with open_file(conn, file.uri) as stream:
            for chunk in stream.chunks():
                size += len(chunk)
                if size > entry.size:
                    return False
                digest.update(chunk)
    except XNATResponseError as error:
        if error.status == 404:
            return False  # in the catalog, not on the server's disk
        raise
    return size == entry.size and digest.hexdigest() == entry.md5


def _batches(entries: Sequence[Sending]) -> Iterator[list[Sending]]:
    batch: list[Sending] = []
    size = 0
    for entry in entries:
        if batch and size + entry.size > ARCHIVE_LIMIT:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


def missing_after(
    conn: Connection,
    address: Address,
    label: str,
    wanted: Mapping[str, tuple[int, str]],
    *,
    patient: bool = True,
) -> set[str]:
    """Look whether an upload whose answer was lost has arrived; return what is not listed.

    Parameters
    ----------
    wanted : mapping
        Size and MD5 by path in the resource.
    patient : bool
        Look again for a while when something is missing: behind a proxy that gave up the server
        may still be at it, and uploads into one resource side by side lose entries (A 6.4).
    """
    waits = iter(LOOKS if patient else ())
    while True:
        there = _listed(conn, address, label)
        left = {
            path
            for path, (size, md5) in wanted.items()
            if path not in there or (there[path].size, there[path].digest) != (size, md5)
        }
        pause = next(waits, None) if left else None
        if pause is None:
            return left
        conn.pause(pause)


class _Order:
    """How files of one call are sent, and to where."""

    def __init__(
        self,
        conn: Connection,
        address: Address,
        label: str,
        mode: str,
        in_memory: bool,
        attributes: dict[str, str],
    ) -> None:
        self.conn = conn
        self.address = address
        self.label = label
        self.mode = mode
        self.in_memory = in_memory
        self.attributes = attributes

    def goes_singly(self, entry: Sending, count: int) -> bool:
        """Say whether a file travels in a request of its own."""
        if self.mode == "files":
            return entry.size > 0
        return self.mode == "auto" and count == 1 and entry.size > 0 and survives_upload(entry.path)

    def send(self, wanted: Sequence[Sending], before: Mapping[str, File]) -> None:
        """Send files, one request after the other: parallel ones lose entries (A 6.4)."""
        single = [entry for entry in wanted if self.goes_singly(entry, len(wanted))]
        packed = [entry for entry in wanted if not self.goes_singly(entry, len(wanted))]
        batches = [[entry] for entry in single]
        many = list(_batches(packed))
        for number, batch in enumerate([*batches, *many]):
            overwrite = any(entry.path in before for entry in batch)
            last = number == len(batches) + len(many) - 1
            alone = number < len(batches)
            try:
                self._send(batch, overwrite, alone, last)
            except (XNATUnclearError, XNATConnectionError, XNATResponseError) as error:
                if isinstance(error, XNATResponseError) and (error.status or 0) < 500:
                    raise
                # It may have worked, or the bytes lie on the disk and not in the catalog, where a
                # plain retry answers «duplicates» (A 6.4): look, then send what is not listed.
                sums = {entry.path: (entry.size, entry.md5) for entry in batch}
                patient = isinstance(error, XNATUnclearError)
                left = missing_after(self.conn, self.address, self.label, sums, patient=patient)
                missing = [entry for entry in batch if entry.path in left]
                if missing:
                    self._send(missing, True, alone, last)

    def _send(self, batch: Sequence[Sending], overwrite: bool, alone: bool, last: bool) -> None:
        if alone:
            entry = batch[0]
            with entry.source.open("rb") as body:
                put_file(
                    self.conn,
                    self.address,
                    self.label,
                    entry.path,
                    body,
                    overwrite=overwrite,
                    update_stats=last,
                    attributes=self.attributes,
                )
            return
        pairs = ((entry.path, entry.source) for entry in batch)
        if self.mode not in ("tar", "tgz"):
            self._put("upload.zip", pack_zip(pairs), overwrite)
            return
        gzip = self.mode == "tgz"
        with tempfile.SpooledTemporaryFile(max_size=0 if self.in_memory else 1 << 20) as spool:
            for piece in pack_tar(pairs, gzip=gzip):
                spool.write(piece)
            spool.seek(0)
            self._put("upload.tar.gz" if gzip else "upload.tar", spool, overwrite)

    def _put(self, name: str, body: IO[bytes] | Iterator[bytes], overwrite: bool) -> None:
        put_archive(
            self.conn,
            self.address,
            self.label,
            body,
            overwrite=overwrite,
            name=name,
            attributes=self.attributes,
        )


def _prove(
    conn: Connection,
    address: Address,
    label: str,
    entries: Sequence[Sending],
    read_back: bool,
) -> tuple[list[str], list[str]]:
    """Compare the listing with what was sent; return those proven by size only, and stale ones."""
    there = _listed(conn, address, label)
    missing = [entry.path for entry in entries if entry.path not in there]
    if missing:
        get_item(conn, address.item())
        raise XNATUploadError(
            f"{address.path()}: the server said yes, but resource {label!r} does not show "
            f"{_some(missing)}; a user without the right to edit gets just that answer"
        )
    wrong: list[str] = []
    by_size: list[str] = []
    stale: list[str] = []
    for entry in entries:
        file = there[entry.path]
        if file.size is not None and file.size != entry.size:
            wrong.append(f"{entry.path} ({file.size} bytes instead of {entry.size})")
        elif file.digest == entry.md5:
            continue
        elif file.md5 or read_back or file.size is None:
            if not _reads_equal(conn, file, entry):
                wrong.append(f"{entry.path} (other content)")
            elif file.md5:
                stale.append(entry.path)
        else:
            by_size.append(entry.path)
    if wrong:
        raise XNATUploadError(
            f"{address.path()}: resource {label!r} does not hold what was sent: {_some(wrong)}"
        )
    return by_size, stale
