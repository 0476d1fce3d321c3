"""The demonstration keeps its promises, and says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import demo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def shown(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo") / "output"
    environ = {name: value for name, value in os.environ.items() if name != "LUIGI_CONFIG_PATH"}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.demo", str(folder)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return folder, done


def rows(text: str) -> dict[str, list[str]]:
    found = {}
    for line in text.splitlines():
        match = re.match(r"(take in|sync|again|changed): ", line)
        if match:
            found[match[1]] = re.split(r"\s{2,}", line.strip())[1:]
    return found


def test_it_ends_well_within_a_minute(
    shown: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = shown
    assert done.returncode == 0, done.stdout + done.stderr
    seconds = re.search(r"Everything is in (\S+); done in (\d+) s", done.stdout)
    assert seconds is not None
    assert Path(seconds[1]) == folder
    assert int(seconds[2]) < 60


def test_the_table_says_what_was_fetched(
    shown: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    table = rows(shown[1].stdout)
    assert table["sync"][:2] == ["3", "28"]
    assert table["again"][:3] == ["0", "0", "0"]
    assert table["changed"][:2] == ["1", "1"]
    assert {line[4] for name, line in table.items() if name != "take in"} == {"28 of 28"}
    assert int(table["again"][3]) <= 6, "nothing to do takes few requests"


def test_the_broken_study_is_held_with_the_reason(
    shown: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = shown
    assert re.search(r"S03_MR1 is held: .*1 of 4 files are not whole", done.stdout)
    assert not list((folder / "server").rglob("arc001/S03_MR1"))
    assert list((folder / "server").rglob("arc001/S01_MR1"))


def test_no_log_holds_the_password(
    shown: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = shown
    logs = sorted((folder / "logs").glob("*.log"))
    assert len(logs) == 5
    for text in [done.stdout, done.stderr, *(log.read_text() for log in logs)]:
        assert demo.PASSWORD not in text


def test_a_folder_of_somebody_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert demo.main([str(tmp_path)]) == 1
    assert "not ours" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
