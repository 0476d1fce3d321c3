"""Looking at what lies here never undoes what a sync has noted."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.staging import manifest
from xnat_luigi.staging.lock import staged_lock
from xnat_luigi.staging.manifest import (
    GROUP_BYTES,
    GROUP_FILES,
    Damage,
    Entry,
    Manifest,
    _in_groups,
    read_manifest,
    verify_and_refresh,
    write_manifest,
)
from xnat_luigi.standin import StandIn
from xnat_luigi.sync import verify
from xnat_luigi.sync.state import State

from .conftest import Sync, fill

FIRST = "P1/S0/E0/scans/1-T1/resources/DICOM/files/0.dcm"


def noted(root: Path, session: str) -> tuple[Path, Manifest]:
    """The manifest of the first file's resource, whose time was just changed."""
    os.utime(root / FIRST, ns=(1, 1))
    for path in State(root, "P1").folder(session).glob("*.json"):
        manifest = read_manifest(path)
        if manifest is not None and any(one.path == FIRST for one in manifest.entries):
            return path, manifest
    raise AssertionError("there is none")


def test_L1_verify_notes_nothing_while_a_sync_has_the_session(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    (session,) = fill(standin, 1)
    sync()
    path, before = noted(root, session)
    with staged_lock(State(root, "P1").lock(session)):
        assert verify.verify_tree(root).exit_status == 0
        assert read_manifest(path) == before
    assert verify.verify_tree(root).exit_status == 0
    after = read_manifest(path)
    assert after is not None and {one.mtime_ns for one in after.entries if one.path == FIRST} == {1}


def test_L1_verify_does_not_undo_a_sync_that_came_between(
    standin: StandIn, sync: Sync, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (session,) = fill(standin, 1)
    sync()
    path, before = noted(root, session)
    newer = replace(before, stamps={"subject": "newer"})

    def look(manifest: Manifest, *words: Path, **how: Any) -> tuple[list[Damage], Manifest]:
        found = verify_and_refresh(manifest, *words, **how)
        if manifest == before:
            write_manifest(path, newer)
        return found

    monkeypatch.setattr(verify, "verify_and_refresh", look)
    assert verify.verify_tree(root).exit_status == 0
    assert read_manifest(path) == newer


def test_the_files_of_one_resource_are_hashed_by_several_threads(
    standin: StandIn, sync: Sync, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(standin, 2, files=4)
    sync()
    victim = root / FIRST
    stamp = victim.stat()
    data = bytearray(victim.read_bytes())
    data[5] ^= 1
    victim.write_bytes(bytes(data))
    os.utime(victim, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    one = verify.verify_tree(root, deep=True, threads=1)
    threads: set[int] = set()
    hashed = manifest.hash_file
    together = threading.Barrier(2)

    def hash_file(path: Path) -> str:
        if path.parent == victim.parent:  # of one resource: two at least at the same time
            threads.add(threading.get_ident())
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(5)
        return hashed(path)

    monkeypatch.setattr(manifest, "GROUP_FILES", 1)
    monkeypatch.setattr(manifest, "hash_file", hash_file)
    many = verify.verify_tree(root, deep=True, threads=4)
    assert len(threads) >= 2 and not together.broken
    assert [(each.path, each.kind) for each in one.damages] == [(FIRST, "damaged")]
    assert replace(many, seconds=0.0) == replace(one, seconds=0.0)


@given(st.lists(st.integers(0, 6 << 20), max_size=300))
def test_files_are_read_in_groups_of_a_bounded_size(sizes: list[int]) -> None:
    pairs = [(number, Entry(str(number), size, "")) for number, size in enumerate(sizes)]
    groups = list(_in_groups(pairs))
    assert [pair for group in groups for pair in group] == pairs
    for group in groups:
        assert len(group) <= GROUP_FILES
        assert sum(entry.size for _, entry in group[:-1]) < GROUP_BYTES
