"""External programs: their status, words, version and time limit."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from xnat_luigi.tasks.programs import ProgramError, find_version, run_program


def test_what_a_program_says_is_kept(tmp_path: Path) -> None:
    code = "import os, sys; print('out', os.getcwd()); print('err', file=sys.stderr)"
    run = run_program([sys.executable, "-c", code], cwd=tmp_path)
    assert run.status == 0
    assert {"out", "err"} <= set(run.output.split())
    assert str(tmp_path) in run.output
    assert run.version.startswith("Python 3.")
    assert "output" not in run.to_dict()


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1])"
    run = run_program([sys.executable, "-c", code, "$(id); rm *"], cwd=tmp_path)
    assert run.output == "$(id); rm *\n"


def test_a_failing_program_tells_its_last_lines(tmp_path: Path) -> None:
    code = "import sys; [print('line', n) for n in range(100)]; sys.exit(3)"
    with pytest.raises(ProgramError, match=r"status 3[\s\S]*line 99") as caught:
        run_program([sys.executable, "-c", code], cwd=tmp_path)
    assert "line 10\n" not in str(caught.value)
    assert caught.value.run is not None
    assert caught.value.run.status == 3


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="is it installed"):
        run_program(["no-such-program-anywhere"], cwd=tmp_path)


def test_a_late_program_and_its_children_are_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time;"
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(c.pid, flush=True); time.sleep(60)"
    )
    with pytest.raises(ProgramError, match="stopped after") as caught:
        run_program([sys.executable, "-c", code], cwd=tmp_path, timeout=3.0, version=())
    assert caught.value.run is not None
    child = int(caught.value.run.output.split()[0])
    for _ in range(100):
        if not lives(child):
            return
        time.sleep(0.05)
    pytest.fail("the child of a killed program lives on")


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_version_of_a_program_that_tells_none() -> None:
    assert find_version(["no-such-program-anywhere", "--version"]) == ""
