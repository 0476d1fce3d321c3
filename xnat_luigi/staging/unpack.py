"""Zip streams, checked and written as they arrive; the zip never lies on disk or in memory.

The stream is believed in nothing: names are checked, lengths bounded, each member's lengths and
its CRC (where no digest proves more) compared with what came, and at the end the directory of the
zip with the members seen (fault rows Z1 to Z3). No file has a final name before all of that has
held, or its own digest has. Why this is our own reader and not a library: docs/decisions/0003.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import NoReturn

from ..exceptions import XNATIntegrityError, XNATUnsafeNameError
from .save import Part, Want

__all__ = ["Limits", "Unpacked", "check_member_name", "unpack_zip"]

_LOCAL = Struct("<HHHHHIIIHH")
_CENTRAL = Struct("<HHHHHHIIIHHHHHII")
_END = Struct("<HHHHIIH")
_MOST_32 = 0xFFFFFFFF
_PIECE = 1024 * 1024
_ENCRYPTED = 0x2041  # encrypted, strongly encrypted, masked directory
_DESCRIPTOR = 0x0008
_UTF8 = 0x0800
_SYMLINK = 0o120000
_MOST_NAME = 4096
_MOST_END = 65536
_NO_STEPS = frozenset({"", ".", ".."})
_BAD_NAME = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class Limits:
    """Bounds of a zip: members, bytes of one member, bytes of all members.

    Of the stream no more is read than these allow with the headers that belong to them.
    """

    members: int = 2_000_000
    member_bytes: int = 1 << 40
    total_bytes: int = 1 << 42

    @property
    def stream_bytes(self) -> int:
        """The most bytes of the zip itself; packing may make what is random a little larger."""
        return self.total_bytes + self.total_bytes // 16 + (self.members + 512) * 2048


@dataclass(frozen=True)
class Unpacked:
    """One member: its name, and its proven part, or why there is none.

    `fault` is "" for a good part, "unwanted" if nobody wanted it, else how its size or digest
    differ from what was wanted (the zip itself is sound then: fetch that file singly). `size` and
    `md5` are those of a member that nobody wanted, so that a zip can be checked without writing it.
    """

    name: str
    part: Part | None
    fault: str = ""
    size: int = 0
    md5: str = ""


@dataclass
class _Member:
    name: str
    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    large: bool = False


class _Cut(Exception):
    """The stream ended too early."""


class _Stream:
    """A stream of chunks that can be asked for exact numbers of bytes and take some back."""

    def __init__(self, chunks: Iterable[bytes], most: int) -> None:
        self._chunks = iter(chunks)
        self._left = most
        self._buffer = memoryview(b"")
        self._behind: list[memoryview] = []

    def some(self, most: int) -> memoryview:
        """Between 1 and `most` bytes; raises at the end of the stream."""
        while not self._buffer:
            if self._behind:
                self._buffer = self._behind.pop()
                continue
            chunk = next(self._chunks, None)
            if chunk is None:
                raise _Cut
            self._left -= len(chunk)
            if self._left < 0:
                _refuse("is longer than its members may be")
            self._buffer = memoryview(chunk)
        taken, self._buffer = self._buffer[:most], self._buffer[most:]
        return taken

    def exactly(self, count: int) -> bytes:
        if count <= len(self._buffer):
            taken, self._buffer = self._buffer[:count], self._buffer[count:]
            return bytes(taken)
        first = self.some(count)
        if len(first) == count:
            return bytes(first)
        pieces = [first]
        left = count - len(first)
        while left:
            piece = self.some(left)
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def give_back(self, data: bytes | memoryview) -> None:
        """Put bytes back in front, without copying what is behind them."""
        if self._buffer:
            self._behind.append(self._buffer)
        self._buffer = memoryview(data)

    def rest(self) -> int:
        """Number of bytes that are left; reads to the end, so the transfer is complete.

        Who sends on and on is not listened to for longer than a zip's end may be.
        """
        count = len(self._buffer) + sum(map(len, self._behind))
        self._buffer = memoryview(b"")
        self._behind = []
        for chunk in self._chunks:
            count += len(chunk)
            if count > _MOST_END:
                break
        return count


def check_member_name(name: str) -> None:
    """Refuse names that lead out of a folder or mean different things to different systems.

    Raises
    ------
    XNATUnsafeNameError
        Absolute, `..`, `.`, empty steps, backslash, drive letter, control character (Z1).
    """
    steps = name.split("/")
    bad = (
        not _NO_STEPS.isdisjoint(steps)
        or _BAD_NAME.search(name) is not None
        or (len(steps[0]) == 2 and steps[0][1] == ":")
    )
    if bad:
        raise XNATUnsafeNameError(f"the name {name!r} is not safe: nothing of it was written")


def unpack_zip(
    chunks: Iterable[bytes],
    place: Callable[[str], Want | Path | None],
    *,
    limits: Limits = Limits(),
    root: Path | None = None,
    proven: Callable[[Unpacked], bool] | None = None,
) -> list[Unpacked]:
    """Unpack a stream into parts that await `save.publish`.

    Parameters
    ----------
    chunks : iterable of bytes
        The zip, as it comes from the wire.
    place : callable
        Where a member goes: a `Want` (or just its path), or None to skip its bytes.
    limits : Limits
        Bounds that end a bomb (Z2).
    root : Path or None
        Folder below which no symbolic link is followed.
    proven : callable, optional
        Called with each member whose MD5 was wanted and fits: such bytes are right whatever the
        rest of the zip is like. If it returns True the part is the caller's from then on.

    Raises
    ------
    XNATIntegrityError
        Cut, junk, CRC, lying lengths, a bound, a directory that does not fit the members (Z2, Z3).
    XNATUnsafeNameError
        A name leads outside, comes twice, is a symbolic link, or is encrypted (Z1).

    Whatever is raised, all parts of this call that nobody took are removed before.
    """
    done: list[Unpacked] = []
    taken: set[str] = set()
    try:
        _Unpacking(
            _Stream(chunks, limits.stream_bytes), place, limits, root, done, taken, proven
        ).run()
    except BaseException as error:
        for unpacked in done:
            if unpacked.part is not None and unpacked.name not in taken:
                unpacked.part.discard()
        if isinstance(error, _Cut):
            raise XNATIntegrityError(
                f"the zip was cut after {len(done)} members: nothing of it is kept"
            ) from None
        raise
    return done


class _Unpacking:
    def __init__(
        self,
        stream: _Stream,
        place: Callable[[str], Want | Path | None],
        limits: Limits,
        root: Path | None,
        done: list[Unpacked],
        taken: set[str],
        proven: Callable[[Unpacked], bool] | None,
    ) -> None:
        self.stream = stream
        self.place = place
        self.limits = limits
        self.root = root
        self.done = done
        self.taken = taken
        self.proven = proven
        self.members: dict[bytes, _Member] = {}
        self.targets: set[str] = set()
        self.total = 0
        self.folders: set[str] = set()

    def run(self) -> None:
        while (mark := self.stream.exactly(4)) == b"PK\3\4":
            self._member()
        if mark not in {b"PK\1\2", b"PK\5\6"}:
            _refuse(f"is not a zip at the mark {mark!r} after {len(self.members)} members")
        self._directory(mark)

    def _member(self) -> None:
        member = self._header()
        if member.name.endswith("/"):
            for _ in self._content(member):
                _refuse(f"has a folder with content: {member.name!r}")
            return
        wanted = self.place(member.name)
        want = Want(wanted) if isinstance(wanted, Path) else wanted
        if want is None:
            digest = hashlib.md5(usedforsecurity=False)
            size = 0
            for piece in self._content(member):
                size += len(piece)
                digest.update(piece)
            self.done.append(Unpacked(member.name, None, "unwanted", size, digest.hexdigest()))
            return
        target = str(want.path)
        if target in self.targets:
            raise XNATUnsafeNameError(f"two members go to {target}: nothing of it was written")
        self.targets.add(target)
        self._write(member, want)

    def _write(self, member: _Member, want: Want) -> None:
        part = Part(Want(want.path), root=self.root, folders=self.folders)
        self.done.append(Unpacked(member.name, part))
        size = 0
        for piece in self._content(member, proven=bool(want.md5)):
            size += len(piece)
            if want.size is None or size <= want.size:
                part.write(piece)  # what is longer than due is read to its end but not kept
        fault = ""
        if want.size is not None and size != want.size:
            fault = f"{size} bytes instead of {want.size}"
        else:
            saved = part.finish()
            if want.md5 and saved.md5 != want.md5.lower():
                fault = f"MD5 {saved.md5} instead of {want.md5}"
        if fault:
            part.discard()
            self.done[-1] = Unpacked(member.name, None, fault)
        elif want.md5 and self.proven is not None and self.proven(self.done[-1]):
            self.taken.add(member.name)

    def _header(self) -> _Member:
        fields = _LOCAL.unpack(self.stream.exactly(_LOCAL.size))
        _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
        if name_length > _MOST_NAME:
            _refuse(f"has a name of {name_length} bytes")
        raw = self.stream.exactly(name_length)
        extra = self.stream.exactly(extra_length)
        name = _decode(raw, flags)
        check_member_name(name[:-1] if name.endswith("/") else name)
        if raw in self.members:
            raise XNATUnsafeNameError(f"{name!r} is twice in the zip: nothing of it was written")
        if flags & _ENCRYPTED:
            raise XNATUnsafeNameError(f"{name!r} is encrypted: nothing of the zip was written")
        if method not in {0, 8}:
            _refuse(f"packs {name!r} with method {method}, known are 0 and 8")
        if len(self.members) >= self.limits.members:
            _refuse(f"has more than {self.limits.members} members")
        member = _Member(name, raw, flags, method, crc, packed, size)
        if _MOST_32 in {packed, size}:
            _enlarge(member, extra)
        if method == 0 and flags & _DESCRIPTOR and not member.packed and not member.crc:
            member.packed = member.size = self._only_empty(name)
        self.members[raw] = member
        return member

    def _only_empty(self, name: str) -> int:
        """A stored member that does not say its length can be read only if it is empty."""
        ahead = self.stream.exactly(8)
        self.stream.give_back(ahead)
        if ahead != b"PK\7\x08\0\0\0\0":
            _refuse(f"does not say how long {name!r} is: it cannot be read as a stream")
        return 0

    def _content(self, member: _Member, *, proven: bool = False) -> Iterator[bytes | memoryview]:
        """The bytes of a member; `proven` if a digest proves more than the zip's CRC could."""
        crc = size = 0
        pieces = self._stored(member) if member.method == 0 else self._inflated(member)
        described = bool(member.flags & _DESCRIPTOR) and member.method == 8
        needs_crc = bool(member.flags & _DESCRIPTOR) or not proven
        most = self.limits.member_bytes
        if not described:
            most = min(most, member.size)
        for piece in pieces:
            size += len(piece)
            self.total += len(piece)
            if size > most or self.total > self.limits.total_bytes:
                _refuse(f"holds more than it may in {member.name!r}: {size} bytes and more")
            if needs_crc:
                crc = zlib.crc32(piece, crc)
            yield piece
        if member.flags & _DESCRIPTOR:
            self._descriptor(member, crc, size)
        if size != member.size or (needs_crc and crc != member.crc):
            _refuse(f"is damaged in {member.name!r}: CRC or length do not fit")

    def _stored(self, member: _Member) -> Iterator[memoryview]:
        if member.packed != member.size:
            _refuse(f"lies about the length of {member.name!r}")
        left = member.packed
        while left:
            piece = self.stream.some(min(left, _PIECE))
            left -= len(piece)
            yield piece

    def _inflated(self, member: _Member) -> Iterator[bytes]:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        taken = 0
        known = not member.flags & _DESCRIPTOR
        full = False  # then more may be on its way out though nothing is left to be read
        try:
            while not inflate.eof:
                data: bytes | memoryview = inflate.unconsumed_tail
                if not data and not full:
                    most = min(_PIECE, member.packed - taken) if known else _PIECE
                    if most <= 0:
                        _refuse(f"lies about the length of {member.name!r}")
                    data = self.stream.some(most)
                    taken += len(data)
                piece = inflate.decompress(data, _PIECE)
                full = len(piece) == _PIECE
                if piece:
                    yield piece
        except zlib.error as error:
            _refuse(f"is damaged in {member.name!r}: {error}")
        taken -= len(inflate.unused_data)
        if inflate.unused_data:
            self.stream.give_back(inflate.unused_data)
        if known and taken != member.packed:
            _refuse(f"lies about the length of {member.name!r}")
        member.packed = taken

    def _descriptor(self, member: _Member, crc: int, size: int) -> None:
        """Lengths and CRC behind the data; four shapes are in use, the one that fits is taken."""
        ahead = self.stream.exactly(16)
        for shape in ("<4sIII", "<III", "<4sIQQ", "<IQQ"):
            form = Struct(shape)
            if form.size > len(ahead):
                ahead += self.stream.exactly(form.size - len(ahead))
            values = form.unpack(ahead[: form.size])
            if shape[1] == "4" and values[0] != b"PK\7\x08":
                continue
            if values[-3:] == (crc, member.packed, size):
                member.crc, member.size = crc, size
                self.stream.give_back(ahead[form.size :])
                return
        _refuse(f"is damaged in {member.name!r}: CRC or length do not fit")

    def _directory(self, mark: bytes) -> None:
        listed: set[bytes] = set()
        while mark == b"PK\1\2":
            fields = _CENTRAL.unpack(self.stream.exactly(_CENTRAL.size))
            raw = self.stream.exactly(fields[9])
            extra = self.stream.exactly(fields[10])
            self.stream.exactly(fields[11])
            self._compare(fields, raw, extra)
            if raw in listed:
                raise XNATUnsafeNameError(f"{raw!r} is twice in the directory of the zip")
            listed.add(raw)
            mark = self.stream.exactly(4)
        if len(listed) != len(self.members):
            _refuse(f"lists {len(listed)} members and holds {len(self.members)}")
        self._end(mark, len(listed))

    def _compare(self, fields: tuple[int, ...], raw: bytes, extra: bytes) -> None:
        member = self.members.get(raw)
        if member is None:
            _refuse(f"lists {raw!r}, which it does not hold")
        if fields[0] >> 8 == 3 and (fields[14] >> 16) & 0o170000 == _SYMLINK:
            raise XNATUnsafeNameError(
                f"{member.name!r} is a symbolic link: nothing of the zip was written"
            )
        listed = _Member(member.name, raw, 0, 0, fields[6], fields[7], fields[8])
        if _MOST_32 in {listed.packed, listed.size}:
            _enlarge(listed, extra)
        if (listed.crc, listed.packed, listed.size) != (member.crc, member.packed, member.size):
            _refuse(f"has a directory that does not fit {member.name!r}")

    def _end(self, mark: bytes, count: int) -> None:
        if mark == b"PK\6\6":
            length = int.from_bytes(self.stream.exactly(8), "little")
            if length > _MOST_END:
                _refuse(f"says that its end is {length} bytes long")
            self.stream.exactly(length)
            if self.stream.exactly(4) != b"PK\6\7":
                _refuse("has no sound end")
            self.stream.exactly(16)
            mark = self.stream.exactly(4)
        if mark != b"PK\5\6":
            _refuse("has no sound end")
        fields = _END.unpack(self.stream.exactly(_END.size))
        if fields[3] != min(count, 0xFFFF) and fields[3] != count & 0xFFFF:
            _refuse(f"says it has {fields[3]} members and lists {count}")
        self.stream.exactly(fields[6])
        if left := self.stream.rest():
            _refuse(f"is followed by {left} bytes of something else")


def _enlarge(member: _Member, extra: bytes) -> None:
    """Take the 64-bit lengths from the extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = Struct("<HH").unpack_from(extra, at)
        at += 4
        if kind == 1:
            wide = [
                int.from_bytes(extra[i : i + 8], "little")
                for i in range(at, min(at + length, len(extra)) - 7, 8)
            ]
            if member.size == _MOST_32 and wide:
                member.size = wide.pop(0)
            if member.packed == _MOST_32 and wide:
                member.packed = wide.pop(0)
            member.large = True
            return
        at += length


def _decode(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _UTF8:
            raise XNATUnsafeNameError(f"{raw!r} is not a UTF-8 name") from None
        return raw.decode("cp437")


def _refuse(why: str) -> NoReturn:
    raise XNATIntegrityError(f"the zip {why}; nothing of it is kept")
