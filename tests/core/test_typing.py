"""What an editor and a type checker know of the objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import datetime

import xnat_luigi as xnat

session = xnat.connect("https://xnat.example.org")
project = session.projects["P1"]
reveal_type(project)
reveal_type(project.subjects[0])
experiment = project.experiments["E1"]
reveal_type(experiment.date)
reveal_type(experiment.scans)
for scan in experiment.scans.values():
    reveal_type(scan)
    reveal_type(scan.resources["DICOM"].files[0:2])
experiment.date = datetime.date(2024, 2, 1)
experiment.field_of_a_plugin.depth = 3
"""
KNOWN = [
    "ProjectData",
    "SubjectData",
    "date | None",
    "XNATListing[xnat_luigi.mixin.scans.ImageScanData]",
    "ImageScanData",
    "list[xnat_luigi.mixin.resources.FileData]",
]


def test_S116_a_type_checker_knows_the_core_classes(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert request.config.cache is not None
    kept = request.config.cache.mkdir("mypy")  # the second run takes a second
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(kept), str(script)]
    done = subprocess.run(
        [*command, "--follow-imports=silent", "--config-file="],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert len(shown) == len(KNOWN)
    for line, known in zip(shown, KNOWN, strict=True):
        assert known in line
