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
from xnat_luigi.connection.registry import close_all
from xnat_luigi.standin import StandIn
from xnat_luigi.targets.resource import FileTarget

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.M | re.S)


def example(name: str) -> tuple[str, list[str]]:
    """The code that defines a class, and the words of the command that runs it."""
    code = next(block for block in blocks("python") if f"class {name}(" in block)
    text = next(block for block in blocks("sh") if name in block)
    return code, shlex.split(text.replace("\\\n", " "), comments=True)


@pytest.mark.parametrize("name", ["CountSlices", "CountAll"])
def test_the_examples_are_short(name: str) -> None:
    code, _ = example(name)
    body = code[code.index("class ") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 10


def run_example(name: str, folder: Path, places: dict[str, str]) -> None:
    """Runs an example with the stand-in for its server."""
    code, words = example(name)
    assert words[0] == "python"
    (folder / f"{words[words.index('--module') + 1]}.py").write_text(code)
    for option, value in places.items():
        words[words.index(option) + 1] = value
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


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
    places = {"--server": standin.url, "--dest": str(tmp_path / "data")}
    run_example("CountSlices", tmp_path, places)
    assert (tmp_path / "data" / "slices.txt").read_text() == f"{project}\n"


def test_the_step_runs_for_every_scan(
    standin: StandIn, netrc: Path, project: int, tmp_path: Path
) -> None:
    run_example("CountAll", tmp_path, {"--server": standin.url})
    counts = {}
    for scan in ("1", "2"):
        place = {"experiment": "S1_MR1", "scan": scan, "path": "count.txt"}
        with FileTarget(standin.url, "P1", "COUNT", **place).open() as file:
            counts[scan] = int(file.read())
    close_all()
    assert sum(counts.values()) == project
