"""Fault rows Z1 to Z3: zips that are hostile, or not what they should be."""

from __future__ import annotations

import io
import itertools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xnat_luigi.exceptions import XNATIntegrityError, XNATUnsafeNameError
from xnat_luigi.staging.save import Want
from xnat_luigi.staging.unpack import Limits, unpack_zip

WIDE = Limits()


def build(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = 0) -> bytes:
    raw = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same name twice
        with zipfile.ZipFile(raw, "w", method) as archive:
            for name, data in members:
                archive.writestr(name, data)
    return raw.getvalue()


def symlink() -> bytes:
    info = zipfile.ZipInfo("b/link")
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    return build(("a", b"a"), (info, b"/etc/passwd"))


def encrypted() -> bytes:
    data = bytearray(build(("a", b"a"), ("b", b"b" * 20)))
    at = data.index(b"PK\3\4", 4)
    data[at + 6] |= 1
    return bytes(data)


def strange_method() -> bytes:
    return build(("a", b"a" * 50), method=zipfile.ZIP_BZIP2)


def refused(data: bytes, folder: Path, kind: type[Exception], limits: Limits = WIDE) -> str:
    with pytest.raises(kind) as caught:
        unpack_zip([data], lambda name: folder / "out" / name, limits=limits)
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert left == []
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (build(("a", b"a"), ("../b", b"b")), "'../b' is not safe"),
        (build(("a", b"a"), ("/b", b"b")), "'/b' is not safe"),
        (build(("a", b"a"), ("c/../../b", b"b")), "not safe"),
        (build(("a", b"a"), ("c\\b", b"b")), "not safe"),
        (build(("a", b"1"), ("a", b"2")), "twice"),
        (symlink(), "symbolic link"),
        (encrypted(), "encrypted"),
    ],
    ids=["up", "absolute", "inside-up", "backslash", "twice", "symlink", "encrypted"],
)
def test_Z1_nothing_of_an_unsafe_zip_is_written(data: bytes, said: str, tmp_path: Path) -> None:
    assert said in refused(data, tmp_path, XNATUnsafeNameError)


def test_Z1_two_members_for_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(XNATUnsafeNameError, match="two members go to"):
        unpack_zip([build(("a", b"1"), ("b", b"2"))], lambda name: tmp_path / "same")
    assert list(tmp_path.iterdir()) == []


def test_Z2_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    bomb = build(("zeros", bytes(50_000_000)), method=8)
    assert len(bomb) < 60_000
    said = refused(bomb, tmp_path, XNATIntegrityError, Limits(member_bytes=1_000_000))
    assert "holds more" in said
    refused(bomb, tmp_path, XNATIntegrityError, Limits(total_bytes=1_000_000))


def test_Z2_a_member_that_grows_beyond_its_own_word_stops(tmp_path: Path) -> None:
    bomb = bytearray(build(("zeros", bytes(5_000_000)), method=8))
    bomb[22:26] = struct.pack("<I", 1000)  # the length its header admits
    refused(bytes(bomb), tmp_path, XNATIntegrityError)


def test_Z2_no_more_of_a_member_is_kept_than_its_listing_says(tmp_path: Path) -> None:
    data = build(("long", bytes(3_000_000)), ("good", b"good"), method=8)
    long, good = unpack_zip([data], lambda name: Want(tmp_path / name, 4))
    assert (long.part, long.fault) == (None, "3000000 bytes instead of 4")
    assert good.part is not None
    assert len(list(tmp_path.iterdir())) == 1


def test_Z2_too_many_members(tmp_path: Path) -> None:
    data = build(*((f"{n}", b"") for n in range(11)))
    assert "more than 10" in refused(data, tmp_path, XNATIntegrityError, Limits(members=10))


def large_end(length: int) -> bytes:
    """A zip whose 64-bit end says how long it is."""
    data = build(("a", b"a"))
    at = data.index(b"PK\5\6")
    return data[:at] + b"PK\6\6" + struct.pack("<Q", length)


def test_Z2_an_end_that_never_ends_is_not_collected(tmp_path: Path) -> None:
    asked = 0

    def endless() -> Iterator[bytes]:
        nonlocal asked
        yield large_end(1 << 40)
        while True:
            asked += 1
            yield bytes(65536)

    with pytest.raises(XNATIntegrityError, match="its end is 1099511627776 bytes"):
        unpack_zip(endless(), lambda name: tmp_path / name)
    assert asked <= 1


def test_Z2_what_follows_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    chunks = itertools.chain([build(("a", b"a"))], itertools.repeat(bytes(65536)))
    with pytest.raises(XNATIntegrityError, match="followed by"):
        unpack_zip(chunks, lambda name: tmp_path / name)


def test_Z2_a_stream_that_unpacks_to_nothing_stops_at_its_bound(tmp_path: Path) -> None:
    empty_blocks = b"\0\0\0\xff\xff" * 10_000  # deflate: stored, not the last, no bytes
    data = bytearray(build(("a", bytes(5000)), method=8))
    struct.pack_into("<H", data, 6, 8)  # its length comes behind it
    struct.pack_into("<III", data, 14, 0, 0, 0)
    chunks = itertools.chain([bytes(data[:31])], itertools.repeat(empty_blocks))
    with pytest.raises(XNATIntegrityError, match="longer than its members"):
        unpack_zip(chunks, lambda name: None, limits=Limits(members=10, total_bytes=1000))


def test_Z2_a_name_without_measure_is_refused(tmp_path: Path) -> None:
    refused(build(("a" * 5000, b"a")), tmp_path, XNATIntegrityError)


def lying(change: Callable[[bytearray], None]) -> bytes:
    data = bytearray(build(("a", b"a" * 100), ("b", b"b" * 100)))
    change(data)
    return bytes(data)


def _crc(data: bytearray) -> None:
    data[14:18] = struct.pack("<I", zlib.crc32(b"x"))


def _directory_size(data: bytearray) -> None:
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 99)


def _directory_name(data: bytearray) -> None:
    at = data.index(b"PK\1\2")
    data[at + 46 : at + 47] = b"c"


def _count(data: bytearray) -> None:
    at = data.index(b"PK\5\6")
    data[at + 8 : at + 12] = struct.pack("<HH", 3, 3)


def _one_entry_less(data: bytearray) -> None:
    first = data.index(b"PK\1\2")
    del data[first : data.index(b"PK\1\2", first + 4)]


def _junk_behind(data: bytearray) -> None:
    data += b"<html>error</html>"


def _junk_between(data: bytearray) -> None:
    data[data.index(b"PK\1\2") : data.index(b"PK\1\2")] = b"junk"


@pytest.mark.parametrize(
    "change",
    [
        _crc,
        _directory_size,
        _directory_name,
        _count,
        _one_entry_less,
        _junk_behind,
        _junk_between,
    ],
)
def test_Z3_a_zip_that_contradicts_itself_is_refused(
    change: Callable[[bytearray], None], tmp_path: Path
) -> None:
    refused(lying(change), tmp_path, XNATIntegrityError)


def test_Z3_a_zip_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = build(("a", b"a" * 30), ("b", b"b" * 30))
    for length in range(len(data)):
        assert "cut" in refused(data[:length], tmp_path, XNATIntegrityError), length


def test_Z3_junk_pages_and_unknown_methods_are_no_zip(tmp_path: Path) -> None:
    assert "not a zip" in refused(b"<html>login</html>", tmp_path, XNATIntegrityError)
    assert "method 12" in refused(strange_method(), tmp_path, XNATIntegrityError)
