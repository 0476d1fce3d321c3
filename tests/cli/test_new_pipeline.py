"""A package made by `new-pipeline` passes its own tests at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xnat_luigi.cli import main


def test_its_tests_pass_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-pipeline", "slice_table", "--folder", str(tmp_path)]) == 0
    assert "python -m pytest" in capsys.readouterr().out
    root = tmp_path / "slice_table"
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=root,
        env={**environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_its_rules_and_code_are_in_order(tmp_path: Path) -> None:
    assert main(["new-pipeline", "mine", "--folder", str(tmp_path)]) == 0
    assert main(["qc", "explain", str(tmp_path / "mine" / "rules.toml")]) == 0
    for check in (
        ["check", "--select", "E,F,W,B,UP", "--line-length", "100"],
        ["format", "--check", "--line-length", "100"],
    ):
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ruff")), *check, "--isolated", "mine"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Slices", "2d", "class", "a-b", "../x", ""])
def test_a_name_that_is_no_package_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new-pipeline", name, "--folder", str(tmp_path / "in")]) == 2
    assert "cannot be the name of a package" in capsys.readouterr().err
    assert not (tmp_path / "in").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert main(["new-pipeline", "mine", "--folder", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
