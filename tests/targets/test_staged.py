"""Staged files are a target that looks at the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.exceptions import XNATIntegrityError
from xnat_luigi.staging.manifest import Entry, Manifest, write_manifest
from xnat_luigi.targets.staged import StagedTarget

from .contract import TargetContract


def put(root: Path, name: str, data: bytes, experiment: str = "E1") -> Path:
    target = root / "P1" / experiment / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    status = target.stat()
    entry = Entry(
        target.relative_to(root).as_posix(),
        len(data),
        hashlib.md5(data, usedforsecurity=False).hexdigest(),
        status.st_mtime_ns,
        status.st_ino,
        name,
    )
    path = root / ".xnat-luigi" / "manifests" / "P1" / experiment / f"{name}.json"
    write_manifest(path, Manifest({"resource": name}, (entry,)))
    return target


class TestContract(TargetContract):
    @pytest.fixture
    def present(self, tmp_path: Path) -> Any:
        put(tmp_path, "a.dcm", b"bytes")
        return StagedTarget(str(tmp_path), "P1", "E1")

    @pytest.fixture
    def absent(self, tmp_path: Path) -> Any:
        return StagedTarget(str(tmp_path), "P1", "E2")


def test_a_project_is_all_its_experiments(tmp_path: Path) -> None:
    put(tmp_path, "a.dcm", b"one", "E1")
    second = put(tmp_path, "b.dcm", b"two", "E2")
    assert StagedTarget(str(tmp_path), "P1").exists()
    second.unlink()
    assert not StagedTarget(str(tmp_path), "P1").exists()
    assert StagedTarget(str(tmp_path), "P1", "E1").exists()


def test_D4_a_damaged_file_is_seen(tmp_path: Path) -> None:
    path = put(tmp_path, "a.dcm", b"bytes")
    path.write_bytes(b"bytEs")
    assert not StagedTarget(str(tmp_path), "P1", "E1").exists()


def test_D5_a_newer_manifest_is_no_absence(tmp_path: Path) -> None:
    put(tmp_path, "a.dcm", b"bytes")
    path = next((tmp_path / ".xnat-luigi").rglob("*.json"))
    path.write_text(path.read_text().replace('"format":1', '"format":99'))
    with pytest.raises(XNATIntegrityError):
        StagedTarget(str(tmp_path), "P1", "E1").exists()
