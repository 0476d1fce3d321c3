"""Zip and tar bodies written while they are sent (wire contract A 6.7).

A stored zip entry needs its CRC before its bytes, so the server reads each file twice; so do we,
but a small file stays in memory between the two. Archive modes are the server's odd octal 060.
"""

from __future__ import annotations

import os
import struct
import tarfile
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Clash", "tar_chunks", "zip_chunks"]

PIECE = 1 << 20
_LARGE = 0xFFFFFFFF
"""From here on a number does not fit into its four bytes."""
_ELSEWHERE = 0xFFFFFFFF
"""What stands in its place then: the number itself is in the entry's extra field."""
_UTF8 = 0x800
_DESCRIPTOR = 0x08
Files = Iterable[tuple[str, Path]]


class Clash(Exception):
    """Two entries of the same name: the server breaks off in the middle."""


@dataclass
class _Entry:
    name: bytes
    offset: int
    size: int
    packed: int
    crc: int
    when: int
    method: int
    flags: int


def zip_chunks(files: Files, level: int = 0) -> Iterator[bytes]:
    """The bytes of a zip; `level` 0 stores, everything else deflates.

    Raises: `Clash` in the middle, when a name comes twice.
    """
    return _gather(_zip(files, level))


def _gather(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces joined: every piece costs a trip between threads."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _zip(files: Files, level: int) -> Iterator[bytes]:
    seen: set[bytes] = set()
    entries: list[_Entry] = []
    offset = 0
    for name, path in files:
        raw = name.encode()
        if raw in seen:
            raise Clash(name)
        seen.add(raw)
        facts = path.stat()
        entry = _Entry(
            raw, offset, facts.st_size, facts.st_size, 0, _dos_time(facts.st_mtime), 0, _UTF8
        )
        entries.append(entry)
        pieces = _stored(entry, path) if level == 0 else _deflated(entry, path, level)
        for piece in pieces:
            offset += len(piece)
            yield piece
    yield from _directory(entries, offset)


def _stored(entry: _Entry, path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if entry.size <= PIECE:
            data = file.read()
            entry.size = entry.packed = len(data)
            entry.crc = zlib.crc32(data)
            yield _local(entry)
            yield data
            return
        while chunk := file.read(PIECE):
            entry.crc = zlib.crc32(chunk, entry.crc)
        yield _local(entry)
        file.seek(0)
        while chunk := file.read(PIECE):
            yield chunk


def _deflated(entry: _Entry, path: Path, level: int) -> Iterator[bytes]:
    entry.method, entry.flags = 8, _UTF8 | _DESCRIPTOR
    packer = zlib.compressobj(6 if level == 8 else level, zlib.DEFLATED, -15)
    large = entry.size >= _LARGE
    yield _local(entry, blank=True)
    entry.size = entry.packed = 0
    with path.open("rb") as file:
        while chunk := file.read(PIECE):
            entry.size += len(chunk)
            entry.crc = zlib.crc32(chunk, entry.crc)
            packed = packer.compress(chunk)
            entry.packed += len(packed)
            yield packed
    packed = packer.flush()
    entry.packed += len(packed)
    yield packed
    sizes = struct.pack("<QQ" if large else "<LL", entry.packed, entry.size)
    yield struct.pack("<4sL", b"PK\x07\x08", entry.crc) + sizes


def _dos_time(moment: float) -> int:
    when = time.gmtime(moment)
    if when.tm_year < 1980:
        return 1 << 21 | 1 << 16
    date = (when.tm_year - 1980) << 9 | when.tm_mon << 5 | when.tm_mday
    return date << 16 | when.tm_hour << 11 | when.tm_min << 5 | when.tm_sec // 2


def _local(entry: _Entry, *, blank: bool = False) -> bytes:
    large = entry.size >= _LARGE
    extra = b""
    size, packed, crc = entry.size, entry.packed, entry.crc
    if blank:
        size = packed = crc = 0
    if large:
        extra = struct.pack("<HHQQ", 1, 16, size, packed)
        size = packed = _ELSEWHERE
    head = struct.pack(
        "<4sHHHLLLLHH",
        b"PK\x03\x04",
        45 if large else 20,
        entry.flags,
        entry.method,
        entry.when,
        crc,
        packed,
        size,
        len(entry.name),
        len(extra),
    )
    return head + entry.name + extra


def _directory(entries: list[_Entry], start: int) -> Iterator[bytes]:
    length = 0
    for entry in entries:
        record = _central(entry)
        length += len(record)
        yield record
    count = len(entries)
    if start >= _LARGE or length >= _LARGE or count >= 0xFFFF:
        yield struct.pack(
            "<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start
        )
        yield struct.pack("<4sLQL", b"PK\x06\x07", 0, start + length, 1)
    yield struct.pack(
        "<4sHHHHLLH",
        b"PK\x05\x06",
        0,
        0,
        min(count, 0xFFFF),
        min(count, 0xFFFF),
        _capped(length),
        _capped(start),
        0,
    )


def _capped(value: int) -> int:
    return _ELSEWHERE if value >= _LARGE else value


def _central(entry: _Entry) -> bytes:
    extra = b""
    for value in (entry.size, entry.packed, entry.offset):
        if value >= _LARGE:
            extra += struct.pack("<Q", value)
    if extra:
        extra = struct.pack("<HH", 1, len(extra)) + extra
    head = struct.pack(
        "<4sHHHHLLLLHHHHHLL",
        b"PK\x01\x02",
        45,
        45 if extra else 20,
        entry.flags,
        entry.method,
        entry.when,
        entry.crc,
        _capped(entry.packed),
        _capped(entry.size),
        len(entry.name),
        len(extra),
        0,
        0,
        0,
        0,
        _capped(entry.offset),
    )
    return head + entry.name + extra


def tar_chunks(files: Files, *, gzip: bool = False) -> Iterator[bytes]:
    """The bytes of a tar or tar.gz."""
    plain = _gather(_tar(files))
    if not gzip:
        yield from plain
        return
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for chunk in plain:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def _tar(files: Files) -> Iterator[bytes]:
    for name, path in files:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = facts.st_size, int(facts.st_mtime), 0o060
            yield info.tobuf(tarfile.PAX_FORMAT)
            left = info.size
            while left > 0 and (chunk := file.read(min(PIECE, left))):
                left -= len(chunk)
                yield chunk
            yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)
