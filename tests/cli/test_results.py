"""`xnat-luigi results`: what is current, what is not and why, and nothing is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xnat_luigi.cli import main
from xnat_luigi.connection.registry import close_all
from xnat_luigi.standin import StandIn
from xnat_luigi.targets import snapshot
from xnat_luigi.targets.resource import FileTarget
from xnat_luigi.testing import run_task

STEPS = """
import luigi
from xnat_luigi.tasks import DerivedTask, EveryScan


class Sizes(DerivedTask):
    task_namespace = "shown"
    inputs = {"dicom": "DICOM"}
    result = "SIZES"

    def process(self, inputs, workdir):
        for path in inputs["dicom"].iterdir():
            (workdir / f"{path.name}.txt").write_text(str(path.stat().st_size))


class Sums(DerivedTask):
    task_namespace = "shown"
    inputs = {"sizes": "SIZES"}
    result = "SUM"
    factor = luigi.IntParameter(default=1)

    def requires(self):
        return self.derive(Sizes)

    def process(self, inputs, workdir):
        total = sum(int(path.read_text()) for path in inputs["sizes"].iterdir())
        (workdir / "sum.txt").write_text(str(total * self.factor))


class AllSums(EveryScan):
    task_namespace = "shown"
    step = Sums
    factor = luigi.IntParameter(default=1)
"""

Ask = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def ask(
    standin: StandIn,
    netrc: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Ask]:
    """Two sessions, and `xnat-luigi results` for all steps about them."""
    (tmp_path / "shown_steps.py").write_text(STEPS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for label in ("S1_MR1", "S2_MR1"):
        scans = {"1": {"type": "T1w", "resources": {"DICOM": {"1.dcm": label.encode()}}}}
        standin.add_session("P1", label[:2], label, scans=scans)

    def call(*words: str, after: tuple[str, ...] = ()) -> tuple[int, list[str]]:
        snapshot.forget()
        capsys.readouterr()
        command = ["results", "--module", "shown_steps", *words, "shown.AllSums"]
        status = main([*command, "--server", standin.url, "--project", "P1", *after])
        return status, capsys.readouterr().out.splitlines()

    yield call
    close_all()


def make(server: StandIn, tmp_path: Path) -> None:
    import shown_steps  # type: ignore[import-not-found]

    stage = str(tmp_path / "stage")
    run_task(shown_steps.AllSums(server=server.url, project="P1", stage=stage)).check()


def test_what_is_absent_is_told_and_not_made(standin: StandIn, ask: Ask) -> None:
    status, lines = ask()
    assert status == 10
    assert lines[-1] == "4 results: 4 absent"
    assert not [r for r in standin.requests if r.method == "PUT" and "/resources/" in r.path]


def test_everything_current_is_status_0(standin: StandIn, ask: Ask, tmp_path: Path) -> None:
    ask()
    make(standin, tmp_path)
    assert ask() == (0, ["4 results: 4 current"])
    status, lines = ask("--all")
    assert status == 0
    assert len(lines) == 5
    assert ask(after=("--all",)) == (status, lines)


def test_what_is_stale_says_why(standin: StandIn, ask: Ask, tmp_path: Path) -> None:
    ask()
    make(standin, tmp_path)
    place = {"experiment": "S2_MR1", "scan": "1"}
    with FileTarget(standin.url, "P1", "DICOM", path="1.dcm", **place).open("w") as file:
        file.write("another content")
    status, lines = ask()
    assert status == 10
    assert lines[-1] == "4 results: 3 current, 1 stale"
    assert "input dicom has changed: 1.dcm differs" in lines[0]
    assert lines[0].startswith("shown.Sizes of scan 1 of XNAT_E")


def test_a_project_that_is_not_there_is_no_pipeline_without_results(
    ask: Ask, standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    ask()
    words = ["results", "--module", "shown_steps", "shown.AllSums", "--server", standin.url]
    assert main([*words, "--project", "NOPE"]) == 3
    assert "there is no project 'NOPE' that admin can see" in capsys.readouterr().err
