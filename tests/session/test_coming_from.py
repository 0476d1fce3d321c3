"""The table of docs/coming-from.md: all its columns run, line by line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from xnat_luigi.standin import StandIn

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
PEER = ROOT / ".venv-peers" / "bin" / "python"


def column(number: int) -> list[str]:
    """The code of a column of the first table, without its head."""
    table = PAGE.partition("| the end")[0].partition("|---|---|---|---|\n")[2]
    end = re.search(r"^\| the end .*$", PAGE, re.M)
    assert end is not None
    rows = [*table.splitlines(), end[0]]
    cells = [re.split(r" \| ", row.strip("| "))[number] for row in rows if row.strip()]
    return [cell.strip("`") for cell in cells]


@pytest.fixture
def place(standin: StandIn, netrc: Path, tmp_path: Path) -> Path:
    scans = {
        "1": {"type": "T1w", "resources": {"DICOM": {"1.dcm": b"one", "2.dcm": b"two"}}},
        "2": {"type": "FLAIR", "resources": {"DICOM": {"1.dcm": b"three"}}},
    }
    standin.add_session("P1", "S1", "S1_MR1", scans=scans)
    (tmp_path / "note.txt").write_text("a note\n")
    return tmp_path


def run(python: Path, package: str, lines: list[str], standin: StandIn, place: Path) -> str:
    script = place / "script.py"
    made = "import os; [os.makedirs(f'out/{x}') for x in ('scan', 'session')]\n"
    name = "" if package == "pyxnat" else " as xnat"
    head = f"import {package}{name}\nSERVER = {standin.url!r}\n{made}"
    script.write_text(head + "\n".join(lines) + "\n")
    environment = {**os.environ, "XNAT_LUIGI_CACHE": "off"}
    done = subprocess.run(
        [str(python), str(script)],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_column_runs_and_does_what_it_says(standin: StandIn, place: Path) -> None:
    shown = run(Path(sys.executable), "xnat_luigi", column(3), standin, place)
    words = shown.splitlines()
    assert words[:3] == ["['P1']", "['S1_MR1']", "False"]
    assert words[-1] == "xnat:projectData"
    assert sorted(path.name for path in (place / "out").rglob("*.dcm")) == [
        *["1.dcm"] * 3,
        *["2.dcm"] * 2,
    ]
    assert standin.state.users.count_sessions("admin") == 0


def test_their_column_runs_and_shows_the_same(standin: StandIn, place: Path) -> None:
    if not PEER.exists():
        pytest.skip("the official client is not installed (make peers)")
    with open(place / "home" / ".netrc", "a") as file:  # theirs knows servers by host and port
        file.write(f"machine {urlsplit(standin.url).netloc} login admin password admin\n")
    theirs = run(PEER, "xnat", column(1), standin, place)
    assert theirs.splitlines()[-1] == "xnat:projectData"
    assert sorted(path.name for path in (place / "out").rglob("*.dcm")) == [
        *["1.dcm"] * 3,
        *["2.dcm"] * 2,
    ]


def test_the_column_of_pyxnat_runs_too(standin: StandIn, place: Path) -> None:
    if not PEER.exists():
        pytest.skip("the official clients are not installed (make peers)")
    shown = run(PEER, "pyxnat", column(2), standin, place)
    assert shown.splitlines()[0] == "['P1']"
    assert shown.splitlines()[-1] == "xnat:projectData"


def test_a_script_of_old_changes_its_import_only() -> None:
    assert column(1) == column(3)
