"""Zips are read as they arrive, like everybody else reads them, and never believed."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_unzip import stream_unzip

from xnat_luigi.exceptions import XNATError, XNATIntegrityError, XNATUnsafeNameError
from xnat_luigi.staging.pack import pack_zip
from xnat_luigi.staging.save import Want, publish
from xnat_luigi.staging.unpack import check_member_name, unpack_zip


def repeated(length: int) -> bytes:
    return b"ab" * length


part = st.text("abcé .-_0", min_size=1, max_size=6).filter(lambda name: name not in {".", ".."})
names = st.lists(part, min_size=1, max_size=3).map("/".join)
contents = st.one_of(st.binary(max_size=300), st.integers(0, 300_000).map(repeated))
trees = st.dictionaries(names, contents, min_size=1, max_size=5)


def make_zip(files: dict[str, bytes], method: int, streamed: bool) -> bytes:
    raw = io.BytesIO()
    target = _NoSeek(raw) if streamed else raw
    with zipfile.ZipFile(target, "w", method) as archive:  # type: ignore[arg-type]
        for name, data in files.items():
            archive.writestr(name, data)
    return raw.getvalue()


class _NoSeek:
    """A pipe: zipfile then writes lengths behind the data, as servers do."""

    def __init__(self, raw: io.BytesIO) -> None:
        self.write, self.flush = raw.write, raw.flush


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def unpacked(data: bytes, folder: Path, size: int = 65536) -> dict[str, bytes]:
    found = unpack_zip(
        pieces(data, size), lambda name: folder / hashlib.md5(name.encode()).hexdigest()
    )
    publish([one.part for one in found if one.part], durable=False)
    return {one.name: one.part.want.path.read_bytes() for one in found if one.part}


def test_a_member_whose_last_piece_fills_the_buffer_is_read_to_its_end(tmp_path: Path) -> None:
    for length in (524_286, 524_287, 524_288, 524_289, 524_290, 1_048_577):
        data = {"x": b"ab" * length}
        for streamed in (False, True):
            packed = make_zip(data, zipfile.ZIP_DEFLATED, streamed)
            for size in (700, 65536):
                assert unpacked(packed, tmp_path / f"{length}{streamed}{size}", size) == data


@settings(max_examples=60, deadline=None)
@given(tree=trees, size=st.sampled_from([1, 7, 1000, 65536]))
def test_deflated_zips_come_out_as_they_went_in(
    tree: dict[str, bytes], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if sum(map(len, tree.values())) > 100_000:
        size = max(size, 1000)
    for streamed in (False, True):
        data = make_zip(tree, zipfile.ZIP_DEFLATED, streamed)
        assert unpacked(data, tmp_path_factory.mktemp("z"), size) == tree


@settings(max_examples=30, deadline=None)
@given(tree=trees)
def test_stored_and_own_zips_come_out_and_another_reader_agrees(
    tree: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for data in (make_zip(tree, zipfile.ZIP_STORED, False), b"".join(pack_zip(tree.items()))):
        mine = unpacked(data, tmp_path_factory.mktemp("z"))
        theirs = {
            name.decode(): b"".join(chunks) for name, _, chunks in stream_unzip(pieces(data, 999))
        }
        assert mine == theirs == tree


@settings(max_examples=150, deadline=None)
@given(tree=trees, data=st.data())
def test_Z3_no_damage_to_a_zip_goes_unseen(
    tree: dict[str, bytes], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cut anywhere or one byte changed: an error and no file, or the very bytes that were meant."""
    whole = make_zip(tree, data.draw(st.sampled_from([0, 8])), data.draw(st.booleans()))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:at]
    else:
        broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    folder = tmp_path_factory.mktemp("z")
    try:
        found = unpacked(broken, folder)
    except XNATError:
        assert list(folder.iterdir()) == []
    else:
        assert sorted(found.values()) == sorted(tree.values())


def test_wanted_sizes_and_digests_are_proven_member_by_member(tmp_path: Path) -> None:
    tree = {"good": b"good", "short": b"short", "flipped": b"flipped", "other": b"other"}
    wants = {
        "good": Want(tmp_path / "good", 4, hashlib.md5(b"good").hexdigest().upper()),
        "short": Want(tmp_path / "short", 6),
        "flipped": Want(tmp_path / "flipped", 7, "0" * 32),
    }
    found = {one.name: one for one in unpack_zip([make_zip(tree, 8, True)], wants.get)}
    assert found["good"].part is not None
    assert found["short"].fault == "5 bytes instead of 6"
    assert "MD5" in found["flipped"].fault
    assert found["other"].fault == "unwanted"
    assert len(list(tmp_path.iterdir())) == 1


def test_folders_are_passed_over(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.mkdir("a") if hasattr(archive, "mkdir") else archive.writestr("a/", b"")
        archive.writestr("a/x", b"x")
    assert list(unpacked(raw.getvalue(), tmp_path)) == ["a/x"]


def test_an_empty_zip_has_no_members(tmp_path: Path) -> None:
    assert unpack_zip([make_zip({}, 8, False)], lambda name: tmp_path / name) == []


def test_names_of_old_zips_are_read_as_they_were_meant(tmp_path: Path) -> None:
    data = make_zip({"caf_": b"x"}, 0, False).replace(b"caf_", b"caf\x82")  # code page 437
    assert list(unpacked(data, tmp_path)) == ["café"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../x",
        "a/./x",
        "a//x",
        "a\\x",
        "C:/x",
        "a\x00b",
        "a\nb",
        "\x7f",
    ],
)
def test_Z1_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(XNATUnsafeNameError):
        check_member_name(name)


@given(st.text(max_size=20))
def test_Z1_a_name_that_passes_stays_below_its_folder(name: str) -> None:
    try:
        check_member_name(name)
    except XNATUnsafeNameError:
        return
    assert Path("/root", name).resolve().is_relative_to("/root")
    assert Path("/root", name).parts[2:] == tuple(name.split("/"))


def test_memory_stays_bounded_however_large_a_member_is(tmp_path: Path) -> None:
    import tracemalloc

    def source() -> Iterator[bytes]:
        yield from (bytes(500_000) for _ in range(100))

    tracemalloc.start()
    (one,) = unpack_zip(pack_zip([("x", source())]), lambda name: tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert one.part is not None
    assert one.part.size == 50_000_000
    assert peak < 8_000_000


def test_an_error_of_the_source_passes_and_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield make_zip({"a": b"a" * 1000, "b": b"b" * 1000}, 0, False)[:1500]
        raise XNATIntegrityError("the line is dead")

    with pytest.raises(XNATIntegrityError, match="the line is dead"):
        unpack_zip(broken(), lambda name: tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "streamed"),
    [(zipfile.ZIP_STORED, False), (zipfile.ZIP_DEFLATED, False), (zipfile.ZIP_DEFLATED, True)],
)
def test_64_bit_lengths_are_read(tmp_path: Path, streamed: bool, method: int) -> None:
    raw = io.BytesIO()
    target = _NoSeek(raw) if streamed else raw
    with (
        zipfile.ZipFile(target, "w", method) as archive,  # type: ignore[arg-type]
        archive.open("big", "w", force_zip64=True) as member,
    ):
        member.write(b"large" * 1000)
    assert unpacked(raw.getvalue(), tmp_path) == {"big": b"large" * 1000}


def test_many_members_have_a_64_bit_end() -> None:
    packed = b"".join(pack_zip((f"{n}", b"") for n in range(65_600)))
    assert len(unpack_zip(pieces(packed, 1 << 20), lambda name: None)) == 65_600


def make_described(data: bytes, size: int) -> bytes:
    """A stored member with its length in front and a descriptor behind all the same."""
    crc = zlib.crc32(data)
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 8, 0, 0, 33, 0, size, size, 1, 0) + b"x"
    behind = struct.pack("<4sIII", b"PK\7\x08", crc, size, size)
    central = struct.pack(
        *("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 8, 0, 0, 33, crc, size, size, 1),
        *(0, 0, 0, 0, 0, 0),
    )
    central += b"x"
    start = len(local) + len(data) + len(behind)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), start, 0)
    return local + data + behind + central + end


@pytest.mark.parametrize("known", [False, True], ids=["no digest", "digest known"])
def test_a_stored_member_may_have_a_descriptor_behind_it(tmp_path: Path, known: bool) -> None:
    data = repeated(5000)
    md5 = hashlib.md5(data).hexdigest() if known else None
    want = Want(tmp_path / "x", len(data), md5)
    (found,) = unpack_zip(pieces(make_described(data, len(data)), 700), lambda name: want)
    assert found.part is not None and found.part.saved is not None
    assert found.part.saved.md5 == hashlib.md5(data).hexdigest()


def test_N11_a_digest_proves_a_member_whatever_its_crc_says(tmp_path: Path) -> None:
    """The server's own CRC may be wrong; what it says of the file's MD5 is what counts."""
    data = repeated(3000)
    raw = bytearray(make_zip({"x": data}, zipfile.ZIP_STORED, False))
    for at in (raw.index(b"PK\3\4") + 14, raw.index(b"PK\1\2") + 16):
        raw[at] ^= 1
    digest = hashlib.md5(data).hexdigest()
    good = Want(tmp_path / "x", len(data), digest)
    (found,) = unpack_zip(pieces(bytes(raw), 700), lambda name: good)
    assert found.part is not None
    found.part.discard()
    with pytest.raises(XNATIntegrityError, match="damaged"):
        unpack_zip(pieces(bytes(raw), 700), lambda name: Want(tmp_path / "x", len(data)))
