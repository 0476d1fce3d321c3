"""Bytes reach their final name whole, proven, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnat_luigi.exceptions import XNATIntegrityError, XNATIOError, XNATUnsafeNameError
from xnat_luigi.staging import save
from xnat_luigi.staging.save import Part, Want, publish, save_bytes, save_text, write_part


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def test_bytes_get_their_name_and_are_counted_and_hashed(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.dcm"
    saved = save_bytes(target, [b"ab", b"", b"c"], size=3, md5=md5(b"abc"))
    assert target.read_bytes() == b"abc"
    status = target.stat()
    assert (saved.path, saved.size, saved.md5) == (target, 3, md5(b"abc"))
    assert (saved.mtime_ns, saved.inode) == (status.st_mtime_ns, status.st_ino)
    assert names(target.parent) == ["b.dcm"]


@pytest.mark.parametrize("count", [1, save.SYNC_TOGETHER])
def test_D1_a_disk_that_is_full_only_when_it_syncs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Some file systems keep bytes back and tell at the very end that there is no room."""

    def fail(number: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(save.os, "fsync", fail)
    monkeypatch.setattr(save, "_syncfs", lambda: fail)
    parts = [write_part(Want(tmp_path / f"{n}.dcm"), [b"x"]) for n in range(count)]
    with pytest.raises(XNATIOError, match=r"0\.dcm failed.*the disk is full") as caught:
        publish(parts)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


@settings(max_examples=40, deadline=None)
@given(chunks=st.lists(st.binary(max_size=200), max_size=8))
def test_any_cutting_into_chunks_gives_the_same_file(
    chunks: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("chunks")
    whole = b"".join(chunks)
    saved = save_bytes(folder / "x", chunks, size=len(whole), md5=md5(whole), sync=False)
    assert (folder / "x").read_bytes() == whole
    assert saved.size == len(whole)


@pytest.mark.parametrize(
    ("data", "size", "digest", "said"),
    [
        (b"abc", 4, None, "3 bytes instead of 4"),
        (b"abcd", 3, None, "more than the 3 bytes"),
        (b"abc", 3, "0" * 32, "MD5"),
        (b"abc", None, "0" * 32, "MD5"),
    ],
)
def test_N4_N11_what_is_not_as_promised_gets_no_name(
    tmp_path: Path, data: bytes, size: int | None, digest: str | None, said: str
) -> None:
    with pytest.raises(XNATIntegrityError, match=said):
        save_bytes(tmp_path / "x", [data], size=size, md5=digest)
    assert names(tmp_path) == []


def test_N4_a_bound_ends_an_endless_body(tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 1000

    with pytest.raises(XNATIntegrityError, match="more than the 5000 bytes"):
        save_bytes(tmp_path / "x", endless(), limit=5000)
    assert names(tmp_path) == []


def test_an_old_file_stays_when_the_new_one_is_wrong(tmp_path: Path) -> None:
    target = tmp_path / "x"
    save_text(target, "old")
    with pytest.raises(XNATIntegrityError):
        save_bytes(target, [b"new!"], md5="0" * 32)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_D3_an_interruption_leaves_no_part(tmp_path: Path, kind: type[BaseException]) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        assert any(name.endswith(".part") for name in names(tmp_path))
        raise kind()

    with pytest.raises(kind):
        save_bytes(tmp_path / "x", broken())
    assert names(tmp_path) == []


def test_parts_are_published_together_and_only_then(tmp_path: Path) -> None:
    parts = [write_part(Want(tmp_path / f"{n}"), [bytes([n])]) for n in range(20)]
    assert all(name.startswith(".") for name in names(tmp_path))
    saved = publish(parts)
    assert names(tmp_path) == sorted(str(n) for n in range(20))
    assert [one.path.name for one in saved] == [str(n) for n in range(20)]


def test_a_failed_publication_leaves_whole_files_and_no_parts(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "full").touch()
    parts = [write_part(Want(tmp_path / f"{n}"), [b"x"]) for n in range(3)]
    with pytest.raises(XNATIOError, match="renaming"):
        publish(parts)
    assert names(tmp_path) == ["0", "1"]


def test_an_unfinished_part_is_never_published(tmp_path: Path) -> None:
    part = Part(Want(tmp_path / "x"))
    part.write(b"half")
    with pytest.raises(XNATIOError, match="never finished"):
        publish([part])
    part.discard()
    assert names(tmp_path) == []


def test_part_names_of_long_names_are_allowed_and_unique(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 126 + "x.d")  # 255 bytes
    first, second = Part(Want(target)), Part(Want(target))
    assert first.path != second.path
    for part in (first, second):
        part.write(b"same")
        part.finish()
    publish([first])
    publish([second])
    assert names(tmp_path) == [target.name]


def test_files_can_be_read_by_others_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_text(tmp_path / "x", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_D6_nothing_is_written_through_a_planted_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "P1").symlink_to(outside)
    with pytest.raises(XNATUnsafeNameError, match="symbolic link"):
        save_bytes(root / "P1" / "S" / "x", [b"x"], root=root)
    with pytest.raises(XNATUnsafeNameError, match="not lie below"):
        save_bytes(outside / "x", [b"x"], root=root)
    with pytest.raises(XNATUnsafeNameError):
        save_bytes(root / "a" / ".." / ".." / "x", [b"x"], root=root)
    assert names(outside) == []


def test_D6_a_link_in_the_place_of_the_file_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    root = tmp_path / "root"
    root.mkdir()
    (root / "x").symlink_to(victim)
    save_bytes(root / "x", [b"theirs"], root=root)
    assert victim.read_text() == "mine"
    assert not (root / "x").is_symlink()


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(XNATIOError, match="a"):
        save_text(tmp_path / "a" / "b", "x")


def test_lines_are_appended_to_a_journal(tmp_path: Path) -> None:
    for number in range(3):
        save.append_line(tmp_path / "j" / "log", f"line {number}\n")
    assert (tmp_path / "j" / "log").read_text() == "line 0\nline 1\nline 2\n"


def test_empty_folders_go_up_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "kept").touch()
    save.remove_empty(tmp_path / "a" / "b" / "c", tmp_path)
    assert names(tmp_path / "a") == ["kept"]
    save.remove_empty(tmp_path.parent, tmp_path)  # above the root: nothing happens
    assert tmp_path.is_dir()


def test_moving_replaces_and_errors_name_both_and_the_remedy(tmp_path: Path) -> None:
    save_text(tmp_path / "a", "new")
    save_text(tmp_path / "b" / "c", "old")
    save.move(tmp_path / "a", tmp_path / "b" / "c")
    assert (tmp_path / "b" / "c").read_text() == "new"
    with pytest.raises(XNATIOError) as caught:
        save.move(tmp_path / "gone", tmp_path / "x")
    assert caught.value.errno == errno.ENOENT
