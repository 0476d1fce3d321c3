"""Looking at what lies here never undoes what a sync has noted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from xnat_luigi.staging.lock import staged_lock
from xnat_luigi.staging.manifest import (
    Damage,
    Manifest,
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

    def look(manifest: Manifest, *words: Path, deep: bool) -> tuple[list[Damage], Manifest]:
        found = verify_and_refresh(manifest, *words, deep=deep)
        if manifest == before:
            write_manifest(path, newer)
        return found

    monkeypatch.setattr(verify, "verify_and_refresh", look)
    assert verify.verify_tree(root).exit_status == 0
    assert read_manifest(path) == newer
