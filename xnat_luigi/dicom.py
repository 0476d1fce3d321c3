"""DICOM headers, read just far enough to know whose they are and whether the file is whole.

pydicom reads a file whose end is missing without a word. Here every declared length is compared
with what the file holds, up to and with the length of the pixel data, and not one byte of pixel
data is read. The walk itself is plain struct work (a folder of a scanner's night holds ten
thousands of files); names of fields, value representations and character sets come from pydicom's
dictionary.

Knows nothing of XNAT and nothing of Luigi; `intake` and `qc` stand on it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from struct import Struct
from struct import error as struct_error
from typing import Any, BinaryIO, NamedTuple, Protocol

WHOLE = "whole"
TRUNCATED = "truncated"
NOT_DICOM = "not DICOM"
UNREADABLE = "unreadable"

FIELDS: tuple[str, ...] = (
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "SeriesDate",
    "StudyTime",
    "AccessionNumber",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "StudyDescription",
    "SeriesDescription",
    "PatientName",
    "PatientID",
    "PatientComments",
    "BurnedInAnnotation",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyID",
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "SliceThickness",
)
"""What is always read: enough to group, to name and to look at a study."""


@lru_cache(maxsize=1)
def _tables() -> Any:
    """pydicom's tables, loaded when a file is read: a sync never needs them, and they take longer
    to load than all the rest."""
    from types import SimpleNamespace

    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
    from pydicom.uid import UID

    return SimpleNamespace(
        convert_encodings=convert_encodings,
        decode_bytes=decode_bytes,
        dictionary_VR=dictionary_VR,
        keyword_for_tag=keyword_for_tag,
        tag_for_keyword=tag_for_keyword,
        UID=UID,
    )


def load_tables() -> None:
    """Loads pydicom's tables now: a process that forks does it once for all its children."""
    _tables()


IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
_PIXELS_ELSEWHERE = frozenset({"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95"})
"""JPIP: the pixel data are fetched from an address in the header."""
UNCOMPRESSED = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG, ""})

ENHANCED = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.4.1",  # enhanced MR
        "1.2.840.10008.5.1.4.1.1.4.3",  # enhanced MR colour
        "1.2.840.10008.5.1.4.1.1.4.4",  # legacy converted enhanced MR
        "1.2.840.10008.5.1.4.1.1.2.1",  # enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # legacy converted enhanced CT
        "1.2.840.10008.5.1.4.1.1.130",  # enhanced PET
        "1.2.840.10008.5.1.4.1.1.128.1",  # legacy converted enhanced PET
        "1.2.840.10008.5.1.4.1.1.12.1.1",  # enhanced XA
        "1.2.840.10008.5.1.4.1.1.12.2.1",  # enhanced XRF
        "1.2.840.10008.5.1.4.1.1.6.2",  # enhanced ultrasound volume
    }
)
"""SOP classes that hold a whole series in one object (PS3.6, table A-1)."""

_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_LONG = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_WINDOW = 64 * 1024
_DEPTH = 64
_VALUE_LIMIT = 64 * 1024
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}


@dataclass(frozen=True, slots=True)
class Header:
    """One file as its header tells it; plain data, safe to send to another process.

    `state` is one of `WHOLE`, `TRUNCATED`, `NOT_DICOM`, `UNREADABLE` and `detail` says in a
    sentence what is wrong. `values` maps keywords to text as stored (several values separated by a
    backslash), absent fields are absent; `asked` are the
    keywords that were asked for beside `FIELDS`. `size` is in bytes. `modified` is the file's time
    of change in nanoseconds.
    """

    path: str
    size: int
    state: str = WHOLE
    detail: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    syntax: str = ""
    pixel_bytes: int | None = None
    modified: int = 0
    asked: tuple[str, ...] = ()

    def get(self, keyword: str) -> str:
        """The value of a field, "" when the file does not hold it."""
        return self.values.get(keyword, "")

    @property
    def whole(self) -> bool:
        return self.state == WHOLE

    @property
    def study_uid(self) -> str:
        return self.get("StudyInstanceUID")

    @property
    def series_uid(self) -> str:
        return self.get("SeriesInstanceUID")

    @property
    def sop_uid(self) -> str:
        return self.get("SOPInstanceUID")

    @property
    def compressed(self) -> bool:
        """Whether the pixel data need a decoder."""
        return self.syntax not in UNCOMPRESSED

    @property
    def enhanced(self) -> bool:
        """Whether this one object holds many frames of a series."""
        return self.get("SOPClassUID") in ENHANCED


class Damage(Exception):
    """Internal: the bytes do not say what they should; the sentence becomes a `Header.detail`."""


class NeedMore(Exception):
    """Bytes beyond the part that was handed in are needed; `upto` is how many from the start."""

    def __init__(self, upto: int) -> None:
        super().__init__(f"the first {upto} bytes are needed")
        self.upto = upto


class _Source(Protocol):
    size: int

    def read(self, offset: int, count: int) -> bytes: ...


class _FileSource:
    def __init__(self, handle: BinaryIO, size: int) -> None:
        self.size = size
        self._handle = handle

    def read(self, offset: int, count: int) -> bytes:
        self._handle.seek(offset)
        return self._handle.read(count)


class _HeadSource:
    """The beginning of a file whose full size is known."""

    def __init__(self, head: bytes, size: int) -> None:
        self.size = size
        self._head = head

    def read(self, offset: int, count: int) -> bytes:
        end = min(offset + count, self.size)
        if offset < len(self._head) and (end <= len(self._head) or count >= _WINDOW):
            return self._head[offset : offset + count]
        raise NeedMore(end)


class _Coding(NamedTuple):
    """How elements are written: everything that depends on the transfer syntax."""

    implicit: bool
    order: str
    element: Struct
    long: Struct
    tag: Struct


@lru_cache(maxsize=8)
def _coding(implicit: bool, order: str) -> _Coding:
    pattern = "HHL" if implicit else "HH2sH"
    return _Coding(
        implicit, order, Struct(order + pattern), Struct(order + "L"), Struct(order + "HHL")
    )


@lru_cache(maxsize=64)
def wanted_tags(fields: tuple[str, ...]) -> Mapping[int, tuple[str, str]]:
    """Tag -> (keyword, value representation) of fields given as keywords or as eight hex digits.

    Raises ValueError for a word that names no field.
    """
    found = {}
    for name in fields:
        tag = _tables().tag_for_keyword(name)
        if tag is None:
            digits = name.strip("()").replace(",", "")
            try:
                tag = int(digits, 16) if len(digits) == 8 else None
            except ValueError:
                tag = None
        if tag is None:
            raise ValueError(f"{name!r} names no DICOM field: give a keyword or eight hex digits")
        try:
            vr = _tables().dictionary_VR(tag)
        except KeyError:
            vr = "UN"
        found[tag] = (name, vr.split(" or ")[0])
    return found


def read_header(path: str | os.PathLike[str], *, fields: Iterable[str] = ()) -> Header:
    """Read one file's header.

    path: the file. fields: keywords read beside `FIELDS`.
    Never raises for what the file holds or for a file that cannot be read: that is in `state`.
    Raises ValueError for a field nobody knows.
    """
    asked = tuple(fields)
    wanted_tags(FIELDS + asked)
    name = os.fspath(path)
    try:
        with open(name, "rb", buffering=0) as handle:
            facts = os.fstat(handle.fileno())
            return _read(_FileSource(handle, facts.st_size), name, facts.st_mtime_ns, asked)
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
        return Header(name, 0, UNREADABLE, why, asked=asked)


def read_head(head: bytes, size: int, *, path: str = "", fields: Iterable[str] = ()) -> Header:
    """The header of a file of `size` bytes of which `head` is the beginning.

    For files that lie on a server. Raises NeedMore when the header is longer than `head`.
    """
    return _read(_HeadSource(head, size), path, 0, tuple(fields))


def _read(source: _Source, path: str, modified: int, asked: tuple[str, ...]) -> Header:
    head = source.read(0, _WINDOW)
    if len(head) < 132 or head[128:132] != b"DICM":
        why = _why_not(head)
        return Header(path, source.size, NOT_DICOM, why, modified=modified, asked=asked)
    walk = _Walk(source, head, wanted_tags(FIELDS + asked))
    state, detail = WHOLE, ""
    try:
        walk.run()
    except (Damage, struct_error) as damage:
        state, detail = TRUNCATED, str(damage)
    return Header(
        path,
        source.size,
        state,
        detail,
        walk.values,
        walk.syntax,
        walk.pixel_bytes,
        modified,
        asked,
    )


def _why_not(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if len(head) > 8 and head[:2] == b"\x08\x00" and head[3:4] == b"\x00":
        return "looks like DICOM without preamble and file meta information"
    return "no DICM marker at byte 128"


class _Walk:
    """One pass over the elements of one file, from the file meta information to the pixel data."""

    def __init__(self, source: _Source, head: bytes, wanted: Mapping[int, tuple[str, str]]) -> None:
        self.values: dict[str, str] = {}
        self.syntax = ""
        self.pixel_bytes: int | None = None
        self._source = source
        self._window = head
        self._base = 0
        self._wanted = wanted
        self._encodings: list[str] = []
        self._kind = ""

    def run(self) -> None:
        offset = self._meta(132)
        if self.syntax == DEFLATED:
            offset = self._inflate(offset)
        implicit = self.syntax == IMPLICIT_LITTLE
        coding = _coding(implicit, ">" if self.syntax == EXPLICIT_BIG else "<")
        if not implicit and not self.syntax:
            coding = _coding(not self._looks_explicit(offset), "<")
        self._elements(offset, coding)

    def _look(self, offset: int, count: int) -> int:
        """Make `count` bytes at `offset` visible in the window; return where they start in it."""
        at = offset - self._base
        if at >= 0 and at + count <= len(self._window):
            return at
        if offset + count > self._source.size:
            raise Damage(f"ends at byte {self._source.size} inside an element's header")
        self._window = self._source.read(offset, max(count, _WINDOW))
        self._base = offset
        if len(self._window) < count:
            raise Damage(f"the file became shorter while it was read, at byte {offset}")
        return 0

    def _meta(self, offset: int) -> int:
        """Group 2, always explicit and little endian; returns where the data set begins."""
        coding = _coding(False, "<")
        while offset < self._source.size:
            tag, length, start = self._element(offset, coding)
            if tag >> 16 != 2:
                break
            if length == _UNDEFINED or start + length > self._source.size:
                raise Damage("ends inside the file meta information")
            if tag in (0x00020002, 0x00020010):
                text = self._raw(start, length).rstrip(b"\0 ").decode("ascii", "replace")
                if tag == 0x00020010:
                    self.syntax = text
                else:
                    self._kind = text
            offset = start + length
        else:
            raise Damage("holds file meta information and nothing else")
        return offset

    def _element(self, offset: int, coding: _Coding) -> tuple[int, int, int]:
        """Tag, declared length and start of the value of the element at `offset`."""
        at = self._look(offset, 8)
        if coding.implicit:
            group, element, length = coding.element.unpack_from(self._window, at)
            return group << 16 | element, length, offset + 8
        group, element, vr, length = coding.element.unpack_from(self._window, at)
        if vr in _LONG and group != 0xFFFE:
            at = self._look(offset, 12)
            (length,) = coding.long.unpack_from(self._window, at + 8)
            return group << 16 | element, length, offset + 12
        if group == 0xFFFE or not (b"AA" <= vr <= b"ZZ"):
            group, element, length = coding.tag.unpack_from(self._window, at)
        return group << 16 | element, length, offset + 8

    def _elements(self, offset: int, coding: _Coding) -> None:
        """The data set at top level: keeps wanted values, stops at the pixel data."""
        size, wanted = self._source.size, self._wanted
        while offset < size:
            tag, length, start = self._element(offset, coding)
            if tag in _PIXELS:
                self._pixels(start, length, coding)
                return
            if length == _UNDEFINED:
                offset = self._sequence(start, coding, 0)
                continue
            end = start + length
            if end > size:
                raise Damage(f"{_name(tag)} declares {length} bytes, {size - start} are there")
            if tag in wanted:
                self._keep(tag, self._raw(start, min(length, _VALUE_LIMIT)), coding, offset)
            offset = end
        if _is_image(self._kind) and self.syntax not in _PIXELS_ELSEWHERE:
            # A cut between two elements leaves a sound data set; only the pixel data are missing.
            raise Damage(f"ends at byte {size} before its pixel data")

    def _pixels(self, start: int, length: int, coding: _Coding) -> None:
        size = self._source.size
        if length == _UNDEFINED:
            end = self._fragments(start, coding)
            self.pixel_bytes = end - start
            return
        self.pixel_bytes = length
        if start + length > size:
            raise Damage(f"pixel data declare {length} bytes, {size - start} are there")

    def _fragments(self, offset: int, coding: _Coding) -> int:
        """Encapsulated pixel data: every fragment's length, up to the delimiter."""
        size = self._source.size
        while True:
            if offset + 8 > size:
                raise Damage("compressed pixel data end without their delimiter")
            at = offset - self._base
            if at < 0 or at + 8 > len(self._window):
                self._window, self._base, at = self._source.read(offset, 512), offset, 0
            group, element, length = coding.tag.unpack_from(self._window, at)
            tag = group << 16 | element
            if tag == _SEQUENCE_END:
                return offset + 8
            if tag != _ITEM or length == _UNDEFINED:
                raise Damage(f"compressed pixel data hold {_name(tag)} where a fragment is due")
            offset += 8 + length
            if offset > size:
                raise Damage("compressed pixel data end inside a fragment")

    def _sequence(self, offset: int, coding: _Coding, depth: int) -> int:
        """Skip a value of undefined length; returns where it ends."""
        if depth > _DEPTH:
            raise Damage(f"sequences are nested deeper than {_DEPTH}")
        size = self._source.size
        while True:
            at = self._look(offset, 8)
            group, element, length = coding.tag.unpack_from(self._window, at)
            tag, offset = group << 16 | element, offset + 8
            if tag == _SEQUENCE_END:
                return offset
            if tag != _ITEM:
                raise Damage(f"a sequence holds {_name(tag)} where an item is due")
            if length == _UNDEFINED:
                offset = self._item(offset, coding, depth)
            else:
                offset += length
            if offset > size:
                raise Damage("ends inside a sequence")

    def _item(self, offset: int, coding: _Coding, depth: int) -> int:
        if not coding.implicit and not self._looks_explicit(offset):
            coding = _coding(True, coding.order)  # a UN sequence is written implicit, PS3.5 6.2.2
        while True:
            tag, length, start = self._element(offset, coding)
            if tag == _ITEM_END:
                return start
            if length == _UNDEFINED:
                offset = self._sequence(start, coding, depth + 1)
            else:
                offset = start + length
            if offset > self._source.size:
                raise Damage(f"{_name(tag)} inside a sequence reaches beyond the end")

    def _looks_explicit(self, offset: int) -> bool:
        at = self._look(offset, 8)
        return self._window[at + 4 : at + 6].isalpha() or self._window[at + 1 : at + 2] == b"\xff"

    def _raw(self, start: int, length: int) -> bytes:
        at = start - self._base
        if at >= 0 and at + length <= len(self._window):
            return self._window[at : at + length]
        return self._source.read(start, length)

    def _keep(self, tag: int, raw: bytes, coding: _Coding, offset: int) -> None:
        keyword, vr = self._wanted[tag]
        if not coding.implicit:
            at = offset - self._base
            written = self._window[at + 4 : at + 6] if at >= 0 else b""
            if b"AA" <= written <= b"ZZ":  # else this element was written implicit all the same
                vr = written.decode("ascii", "replace")
        if tag == 0x00080005:
            names = [part.strip() for part in raw.decode("ascii", "replace").split("\\")]
            self._encodings = _tables().convert_encodings([name.rstrip("\0") for name in names])
        self.values[keyword] = _text(raw, vr, coding.order, self._encodings)

    def _inflate(self, offset: int) -> int:
        """Replace the source by the inflated data set (PS3.5 A.5); bounded like the window."""
        packed = self._source.read(offset, self._source.size - offset)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            plain = inflater.decompress(packed, 1 << 30)
        except zlib.error as error:
            raise Damage(f"the deflated data set is damaged: {error}") from None
        if not inflater.eof:
            raise Damage("the deflated data set ends early or inflates beyond 1 GiB")
        self._source = _HeadSource(plain, len(plain))
        self._window, self._base = plain, 0
        return 0


def _text(raw: bytes, vr: str, order: str, encodings: list[str]) -> str:
    code = _NUMBERS.get(vr)
    if code:
        item = Struct(order + code)
        count = len(raw) // item.size
        numbers = Struct(f"{order}{count}{code}").unpack(raw[: count * item.size])
        return "\\".join(f"{number:g}" if code in "fd" else str(number) for number in numbers)
    if raw.isascii():
        return raw.decode("ascii").strip("\0 ")
    if encodings:
        return str(_tables().decode_bytes(raw, encodings, {0x5C, 0x5E, 0x3D})).strip("\0 ")
    return raw.decode("latin-1").strip("\0 ")


@lru_cache(maxsize=256)
def _is_image(sop_class: str) -> bool:
    """Whether objects of a class hold pixel data; classes pydicom does not know count as others."""
    return "Image Storage" in _tables().UID(sop_class).name


def _name(tag: int) -> str:
    keyword = _tables().keyword_for_tag(tag)
    number = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return f"{keyword} {number}" if keyword else number


def open_dataset(path: str | Path, *, pixels: bool = False) -> object:
    """The pydicom data set of a file, with or without its pixel data, for what needs more than
    text.
    """
    from pydicom import dcmread

    return dcmread(path, stop_before_pixels=not pixels)
