"""What is packed, everybody else's unzip and untar read."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_unzip import stream_unzip

from xnat_luigi.exceptions import XNATIOError, XNATUnsafeNameError
from xnat_luigi.staging import pack
from xnat_luigi.staging.pack import pack_tar, pack_zip

part = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="/\\\0"),
    min_size=1,
    max_size=9,
).filter(lambda name: name not in {".", ".."})
path = st.lists(part, min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(files=st.dictionaries(path, st.binary(max_size=500), max_size=6))
def test_T4_any_names_and_bytes_come_out_again(files: dict[str, bytes]) -> None:
    packed = b"".join(pack_zip(files.items()))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files


@settings(max_examples=40, deadline=None)
@given(chunks=st.lists(st.binary(max_size=70_000), max_size=5), small=st.integers(0, 100_000))
def test_T4_stored_or_in_blocks_the_bytes_are_the_same(chunks: list[bytes], small: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "SMALL", small)
        packed = b"".join(pack_zip([("first", iter(chunks)), ("second", b"2")]))
    data = b"".join(chunks)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert archive.read("first") == data and archive.read("second") == b"2"
        info = archive.getinfo("first")
        # Java reads a member from its front: a stored one must tell its length there.
        behind = bool(info.flag_bits & 0x08)
        assert (info.compress_type == zipfile.ZIP_STORED) is (len(data) <= small) is (not behind)
        assert packed[14:26] == (b"\0" * 12 if behind else packed[14:18] + length_twice(data))


def length_twice(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") * 2


def test_what_a_reader_from_front_to_back_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "SMALL", 1000)
    files = {"stored": b"s" * 1000, "empty": b"", "blocks": b"PK\3\4" * 50_000, "last": b"l"}
    seen: dict[str, bytes] = {}
    for name, _, chunks in stream_unzip(pack_zip(files.items())):
        seen[name.decode()] = b"".join(chunks)
    assert seen == files


def test_the_same_files_give_the_same_zip(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 400_000)
    first = b"".join(pack_zip([("a/x", tmp_path / "x"), ("b", b"b")]))
    (tmp_path / "x").touch()
    second = b"".join(pack_zip([("a/x", tmp_path / "x"), ("b", iter([b"", b"b"]))]))
    assert first == second


def test_sources_are_read_one_after_the_other_in_pieces() -> None:
    live: list[str] = []

    def source(name: str) -> Iterator[bytes]:
        live.append(name)
        for _ in range(50):
            yield b"x" * 100_000

    largest = 0
    for piece in pack_zip((name, source(name)) for name in ("a", "b", "c")):
        largest = max(largest, len(piece))
    assert live == ["a", "b", "c"]
    assert largest < 300_000  # 15 MB went through


@pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/..", "./a", "a\\b", "a\0b", "a/"])
def test_Z1_names_that_no_zip_should_hold_are_refused(name: str) -> None:
    with pytest.raises(XNATUnsafeNameError):
        list(pack_zip([(name, b"")]))


def test_Z1_a_name_twice_is_refused() -> None:
    with pytest.raises(XNATUnsafeNameError, match="twice"):
        list(pack_zip([("a", b""), ("a", b"")]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(XNATIOError, match="none"):
        list(pack_zip([("a", tmp_path / "none")]))
    with pytest.raises(XNATIOError, match="none"):
        list(pack_tar([("a", tmp_path / "none")]))


def test_more_members_than_a_small_zip_can_count() -> None:
    packed = b"".join(pack_zip((f"{n}", b"") for n in range(65_537)))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert len(archive.namelist()) == 65_537


def test_large_members_get_64_bit_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_MOST_32", 1000)  # instead of writing 4 GiB in a test
    monkeypatch.setattr(pack, "SMALL", 100)
    packed = b"".join(pack_zip([("small", b"s"), ("large", b"l" * 5000), ("behind", b"b")]))
    entries = packed[packed.index(b"PK\1\2") :]
    assert entries.count(b"\1\0") >= 2  # the extra fields of «large» and of «behind»
    descriptor = packed.index(b"PK\7\x08", packed.index(b"l" * 1000))
    assert int.from_bytes(packed[descriptor + 16 : descriptor + 24], "little") == 5000


@pytest.mark.parametrize("gzip", [True, False])
def test_a_tar_holds_what_was_there_and_no_owner(tmp_path: Path, gzip: bool) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1000)
    packed = b"".join(pack_tar([("a/ä x", tmp_path / "x")], gzip=gzip))
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz" if gzip else "r:") as archive:
        (info,) = archive.getmembers()
        content = archive.extractfile(info)
        assert content is not None
        assert content.read() == b"abc" * 1000
    assert (info.name, info.mode, info.uid, info.mtime) == ("a/ä x", 0o644, 0, 0)
