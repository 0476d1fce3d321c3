"""Leftovers of killed runs go, everything else stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from xnat_luigi.staging.save import Part, Want, machine, save_text
from xnat_luigi.staging.sweep import DAY, sweep


def _dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_D2_parts_of_dead_processes_go_at_once(tmp_path: Path) -> None:
    leftover = tmp_path / "a" / f".x.dcm.{_dead_pid():x}-{machine()}-0123abcd.part"
    save_text(leftover, "half")
    assert sweep(tmp_path, dry=True) == [leftover]
    assert leftover.exists()
    assert sweep(tmp_path) == [leftover]
    assert os.listdir(tmp_path / "a") == []


def test_parts_being_written_stay(tmp_path: Path) -> None:
    part = Part(Want(tmp_path / "x"))
    assert sweep(tmp_path) == []
    assert part.path.exists()
    part.discard()


def test_parts_of_another_machine_go_when_they_are_old(tmp_path: Path) -> None:
    foreign = tmp_path / ".x.1f-ffffffff-0123abcd.part"
    save_text(foreign, "half")
    written = foreign.stat().st_mtime
    assert sweep(tmp_path, now=lambda: written + DAY - 1) == []
    assert sweep(tmp_path, now=lambda: written + DAY) == [foreign]


def test_other_files_are_never_touched(tmp_path: Path) -> None:
    names = ["x.part", ".x.part", ".x.1-2-3.part", "x.1f-ffffffff-0123abcd.part", ".hidden"]
    for name in names:
        save_text(tmp_path / name, "mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    save_text(outside / ".x.1f-ffffffff-0123abcd.part", "mine")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    assert sweep(inside, older_than=-1) == []
    assert sorted(p.name for p in sweep(tmp_path, older_than=-1, dry=True)) == [
        ".x.1f-ffffffff-0123abcd.part"
    ]
    for name in names:
        assert (tmp_path / name).exists()


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none") == []
