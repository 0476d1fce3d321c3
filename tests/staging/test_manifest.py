"""What was proven stays known, and what happened to it since is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.staging import manifest as manifests
from xnat_luigi.staging.manifest import (
    Entry,
    Manifest,
    find_manifests,
    read_manifest,
    verify,
    verify_and_refresh,
    write_manifest,
)
from xnat_luigi.staging.save import save_bytes


def stage(root: Path, *names: str) -> Manifest:
    entries = []
    for name in names:
        saved = save_bytes(root / name, [name.encode() * 10], sync=False)
        entries.append(Entry(name, saved.size, saved.md5, saved.mtime_ns, saved.inode, name))
    return Manifest({"project": "P1"}, tuple(entries), {"subject": "2024"})


words = st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=4)
entries = st.builds(
    Entry,
    path=st.text(min_size=1).filter(lambda p: not p.startswith("/") and ".." not in p.split("/")),
    size=st.integers(0, 1 << 60),
    md5=st.text("0123456789abcdef", min_size=32, max_size=32),
    mtime_ns=st.integers(0, 1 << 62),
    inode=st.integers(0, 1 << 62),
    remote=st.text(max_size=20),
    proof=st.sampled_from(["md5", "size", "none"]),
)


@given(origin=words, stamps=words, rows=st.lists(entries, max_size=5))
def test_a_manifest_reads_back_as_it_was(
    origin: dict[str, str],
    stamps: dict[str, str],
    rows: list[Entry],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "one.json"
    written = Manifest(origin, tuple(rows), stamps)
    try:
        write_manifest(path, written, sync=False)
    except UnicodeEncodeError:  # a lone surrogate is no text that a server could send
        return
    assert read_manifest(path) == written


def test_D4_missing_edited_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    manifest = stage(tmp_path, "same", "gone", "longer", "edited", "rotten", "folder")
    assert verify(manifest, tmp_path) == []
    (tmp_path / "gone").unlink()
    (tmp_path / "longer").write_text("much longer than it was before, by some bytes at least.....")
    (tmp_path / "edited").write_bytes(b"E" * 60)
    os.utime(tmp_path / "edited", ns=(1, 1))
    rotten = tmp_path / "rotten"
    times = rotten.stat().st_mtime_ns
    rotten.write_bytes(b"R" * 60)
    os.utime(rotten, ns=(times, times))
    (tmp_path / "folder").unlink()
    (tmp_path / "folder").mkdir()
    shallow = {damage.path: damage.kind for damage in verify(manifest, tmp_path)}
    deep = {damage.path: damage.kind for damage in verify(manifest, tmp_path, deep=True)}
    assert shallow == {
        "gone": "missing",
        "longer": "drifted",
        "edited": "drifted",
        "folder": "drifted",
    }
    assert deep == {**shallow, "rotten": "damaged"}  # same size, time, inode: only hashing shows it


def test_an_unchanged_tree_costs_stats_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = stage(tmp_path, *(f"{n}" for n in range(50)))
    read: list[Path] = []
    hash_file = manifests.hash_file
    monkeypatch.setattr(manifests, "hash_file", lambda path: read.append(path) or hash_file(path))
    assert verify(manifest, tmp_path) == []
    assert read == []
    assert verify(manifest, tmp_path, deep=True) == []
    assert len(read) == 50


def test_a_touched_file_is_hashed_once_and_remembered(tmp_path: Path) -> None:
    manifest = stage(tmp_path, "a", "b")
    os.utime(tmp_path / "a", ns=(5, 5))
    damages, fresh = verify_and_refresh(manifest, tmp_path)
    assert damages == []
    assert fresh.entries[0].mtime_ns == 5
    assert fresh.entries[1] == manifest.entries[1]


def test_D6_a_link_planted_over_a_file_is_drift_even_if_it_holds_the_same(tmp_path: Path) -> None:
    manifest = stage(tmp_path, "a")
    os.rename(tmp_path / "a", tmp_path / "elsewhere")
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    assert [damage.kind for damage in verify(manifest, tmp_path)] == ["drifted"]


def test_an_unreadable_file_is_named_and_ends_nothing(tmp_path: Path) -> None:
    manifest = stage(tmp_path, "a", "b")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    broken = Manifest({}, (Entry("loop/x", 1, "0" * 32), *manifest.entries))
    (damage,) = verify(broken, tmp_path)
    assert (damage.path, damage.kind) == ("loop/x", "unreadable")


def test_equal_content_has_an_equal_fingerprint(tmp_path: Path) -> None:
    first = stage(tmp_path / "1", "a", "b")
    second = stage(tmp_path / "2", "b", "a")
    other = stage(tmp_path / "3", "a")
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert first.size == 20


def test_all_manifests_below_a_folder_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b/2.json", "a/1.json", "b/1.json"):
        write_manifest(tmp_path / name, Manifest({}, ()))
    found = [path.relative_to(tmp_path).as_posix() for path in find_manifests(tmp_path)]
    assert found == ["a/1.json", "b/1.json", "b/2.json"]
