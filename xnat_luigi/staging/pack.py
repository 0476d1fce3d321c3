"""Archives as streams of bytes, made without a temporary file and read from disk piece by piece.

Nothing is compressed: images hardly are, and it would cost more than the network does. A small
zip member is read whole and *stored*, length and CRC before the data. A large one is written as
deflate of plain blocks, length and CRC behind the data: as a stored member it would be refused so
by Java's ZipInputStream, which the server uses.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from struct import Struct

from ..exceptions import XNATIOError, XNATUnsafeNameError

__all__ = ["Source", "pack_tar", "pack_zip"]

READ_SIZE = 512 * 1024
SMALL = 4 * 1024 * 1024
"""members up to so many bytes are held and stored"""
_LOCAL = Struct("<4sHHHHHIIIHH")
_CENTRAL = Struct("<4sHHHHHHIIIHHHHHII")
_DESCRIPTOR = Struct("<4sIII")
_DESCRIPTOR_LARGE = Struct("<4sIQQ")
_END = Struct("<4sHHHHIIH")
_END_LARGE = Struct("<4sQHHIIQQQQ")
_LOCATOR = Struct("<4sIQI")
_BLOCK = Struct("<BHH")
_LAST_BLOCK = b"\1\0\0\xff\xff"
_UTF_8 = 0x0800
_LENGTHS_BEHIND = 0x0008
_STORED = 0
_DEFLATED = 8
_MOST_32 = 0xFFFFFFFF
_MOST_16 = 0xFFFF
_1980 = 0x0021  # the earliest date a zip can name: an archive shall not depend on the clock

Source = Path | bytes | Iterable[bytes]


def read_chunks(path: Path, size: int = READ_SIZE) -> Iterator[bytes]:
    """The bytes of a file, piece by piece."""
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(size):
                yield chunk
    except OSError as error:
        raise XNATIOError(f"reading {path} failed: {error.strerror}; check the file") from error


def _chunks(source: Source) -> Iterable[bytes]:
    if isinstance(source, bytes):
        return (source,)
    return read_chunks(source) if isinstance(source, Path) else source


def _check_name(name: str, seen: set[str]) -> bytes:
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or any(p in {"", ".", ".."} for p in parts):
        raise XNATUnsafeNameError(f"{name!r} cannot be the name of a zip member")
    if name in seen:
        raise XNATUnsafeNameError(f"{name!r} is twice in the archive")
    seen.add(name)
    raw = name.encode("utf-8")
    if len(raw) > _MOST_16:
        raise XNATUnsafeNameError(f"{name[:80]!r}... is too long for a zip member")
    return raw


def pack_zip(
    entries: Iterable[tuple[str, Source]],
    *,
    told: Callable[[str, int, int], None] = lambda name, crc, size: None,
) -> Iterator[bytes]:
    """Yield a zip of `(name, source)` pairs; a source is a path, bytes or an iterable of bytes.

    Each source is read once, when its turn comes, in pieces, so memory stays bounded and a caller
    may count and hash what passes. Files beyond 4 GiB and more than 65535 of them become zip64.

    Parameters
    ----------
    told : callable, optional
        Called with name, CRC-32 and size (bytes) of each member that was packed.

    Raises
    ------
    XNATUnsafeNameError
        A name is empty, absolute, leads upwards, or comes twice.
    XNATIOError
        A path cannot be read.
    """
    return _joined(_zip_pieces(entries, told))


def _joined(pieces: Iterable[bytes], size: int = 64 * 1024) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each is a packet, and thousands of small files make many.

    Large ones pass as they are, since copying them costs as much as sending.
    """
    waiting: list[bytes] = []
    length = 0
    for piece in pieces:
        if len(piece) < size:
            waiting.append(piece)
            length += len(piece)
            if length < size:
                continue
        if waiting:
            yield b"".join(waiting)
            waiting, length = [], 0
        if len(piece) >= size:
            yield piece
    if waiting:
        yield b"".join(waiting)


def _zip_pieces(
    entries: Iterable[tuple[str, Source]], told: Callable[[str, int, int], None]
) -> Iterator[bytes]:
    central: list[bytes] = []
    seen: set[str] = set()
    offset = 0
    for name, source in entries:
        raw = _check_name(name, seen)
        member = _Member(raw, offset)
        for piece in member.pieces(_chunks(source)):
            offset += len(piece)
            yield piece
        central.append(member.central())
        told(name, member.crc, member.size)
    directory = b"".join(central)
    yield directory + _end(len(central), len(directory), offset)


class _Member:
    def __init__(self, name: bytes, offset: int) -> None:
        self.name = name
        self.offset = offset
        self.flags = _UTF_8
        self.method = _STORED
        self.crc = 0
        self.size = 0
        self.packed = 0

    def pieces(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Header, data, and what is behind them."""
        source = iter(chunks)
        held: list[bytes] = []
        for chunk in source:
            held.append(chunk)
            self._count(chunk)
            if self.size > SMALL:
                return self._large(held, source)
        return self._small(held)

    def _count(self, chunk: bytes) -> None:
        self.crc = zlib.crc32(chunk, self.crc)
        self.size += len(chunk)

    def _small(self, held: Iterable[bytes]) -> Iterator[bytes]:
        self.packed = self.size
        yield self._local(self.crc, self.size)
        yield from held

    def _large(self, held: Iterable[bytes], rest: Iterable[bytes]) -> Iterator[bytes]:
        self.flags |= _LENGTHS_BEHIND
        self.method = _DEFLATED
        yield self._local(0, 0)
        for chunk in held:
            yield self._blocks(chunk)
        for chunk in rest:
            self._count(chunk)
            yield self._blocks(chunk)
        self.packed += len(_LAST_BLOCK)
        large = max(self.size, self.packed) > _MOST_32
        yield _LAST_BLOCK + (_DESCRIPTOR_LARGE if large else _DESCRIPTOR).pack(
            b"PK\7\x08", self.crc, self.packed, self.size
        )

    def _blocks(self, chunk: bytes) -> bytes:
        """Plain blocks of deflate (RFC 1951, 3.2.4), a quarter of zlib's work at level 0."""
        view = memoryview(chunk)
        parts: list[bytes | memoryview] = []
        for at in range(0, len(view), _MOST_16):
            part = view[at : at + _MOST_16]
            parts += (_BLOCK.pack(0, len(part), len(part) ^ _MOST_16), part)
        blocks = b"".join(parts)
        self.packed += len(blocks)
        return blocks

    def _local(self, crc: int, size: int) -> bytes:
        fixed = _LOCAL.pack(
            b"PK\3\4",
            20,
            self.flags,
            self.method,
            0,
            _1980,
            crc,
            size,
            size,
            len(self.name),
            0,
        )
        return fixed + self.name

    def central(self) -> bytes:
        large = [n for n in (self.size, self.packed, self.offset) if n > _MOST_32]
        extra = b""
        if large:
            extra = Struct(f"<HH{len(large)}Q").pack(1, 8 * len(large), *large)
        fixed = _CENTRAL.pack(
            b"PK\1\2",
            (3 << 8) | 45,
            45 if large else 20,
            self.flags,
            self.method,
            0,
            _1980,
            self.crc,
            min(self.packed, _MOST_32),
            min(self.size, _MOST_32),
            len(self.name),
            len(extra),
            0,
            0,
            0,
            0o100644 << 16,
            min(self.offset, _MOST_32),
        )
        return fixed + self.name + extra


def _end(count: int, size: int, offset: int) -> bytes:
    last = _END.pack(
        b"PK\5\6",
        0,
        0,
        min(count, _MOST_16),
        min(count, _MOST_16),
        min(size, _MOST_32),
        min(offset, _MOST_32),
        0,
    )
    if count < _MOST_16 and size < _MOST_32 and offset < _MOST_32:
        return last
    large = _END_LARGE.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    return large + _LOCATOR.pack(b"PK\6\7", 0, offset + size, 1) + last


class _Sink:
    """What tarfile writes into: it collects, the generator empties."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def pack_tar(entries: Iterable[tuple[str, Path]], *, gzip: bool = True) -> Iterator[bytes]:
    """Yield a tar of `(name, path)` pairs, gzipped if asked; errors as for `pack_zip`.

    Owner, group and times are left out: the archive of equal files is equal.
    """
    sink = _Sink()
    seen: set[str] = set()
    with tarfile.open(
        fileobj=sink,  # type: ignore[call-overload]
        mode="w|gz" if gzip else "w|",
        bufsize=READ_SIZE,
        format=tarfile.PAX_FORMAT,
    ) as archive:
        for name, path in entries:
            _check_name(name, seen)
            info = tarfile.TarInfo(name)
            info.mode = 0o644
            try:
                info.size = path.stat().st_size
                with open(path, "rb") as file:
                    archive.addfile(info, file)
            except OSError as error:
                raise XNATIOError(f"reading {path} failed: {error}; check the file") from error
            if piece := sink.take():
                yield piece
    if piece := sink.take():
        yield piece
