"""The README's pipeline is run as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.material import make_study, series_of
from xnat_luigi.standin import StandIn

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.M | re.S)


def pipeline() -> tuple[str, list[str]]:
    """The code of the pipeline and the words of the command that runs it."""
    code = next(block for block in blocks("python") if "CountSlices" in block)
    text = next(block for block in blocks("sh") if "CountSlices" in block)
    return code, shlex.split(text.replace("\\\n", " "), comments=True)


def test_the_pipeline_is_short() -> None:
    code, _ = pipeline()
    body = code[code.index("class ") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 10


@pytest.fixture
def project(standin: StandIn, tmp_path: Path) -> int:
    """Project P1 with one session of real DICOM; the number of its images."""
    made = make_study(
        tmp_path / "made", subject="S1", session="S1_MR1", series=series_of(["T1w", "T2w"]), side=64
    )
    scans: dict[str, dict[str, bytes]] = {}
    for path in made.files:
        scans.setdefault(path.parent.name[1:2], {})[path.name] = path.read_bytes()
    standin.add_session(
        "P1",
        "S1",
        "S1_MR1",
        scans={one: {"resources": {"DICOM": files}} for one, files in scans.items()},
    )
    return len(made.files)


def test_the_pipeline_runs(standin: StandIn, netrc: Path, project: int, tmp_path: Path) -> None:
    code, words = pipeline()
    (tmp_path / "mine.py").write_text(code)
    places = {"--server": standin.url, "--dest": str(tmp_path / "data")}
    for option, value in places.items():
        words[words.index(option) + 1] = value
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "slices.txt").read_text() == f"{project}\n"
