"""Processing steps: made once, made again when something they depend on is another."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import luigi
import pytest

from xnat_luigi.exceptions import XNATNotFoundError
from xnat_luigi.rest import absence
from xnat_luigi.rest.files.removal import delete_resource
from xnat_luigi.standin import Fault, StandIn
from xnat_luigi.targets.resource import FileTarget, ResourceTarget
from xnat_luigi.tasks import DerivedTask, EveryScan
from xnat_luigi.tasks.condition import Condition, StaleResultError, StepFailedError
from xnat_luigi.tasks.record import RECORD_NAME, SEAL_NAME, Record
from xnat_luigi.uris import Address

CALLS: list[str] = []


class Sizes(DerivedTask):
    """Name and size of every file."""

    inputs = {"dicom": "DICOM"}
    result = "SIZES"

    unit: int = luigi.IntParameter(default=1)

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        CALLS.append("sizes")
        for path in sorted(inputs["dicom"].rglob("*.dcm")):
            size = path.stat().st_size // self.unit
            (workdir / f"{path.stem}.txt").write_text(f"{size}\n")


class Sum(DerivedTask):
    """The sum of all sizes."""

    inputs = {"sizes": "SIZES"}
    result = "SUM"

    def requires(self) -> Sizes:
        return self.derive(Sizes)

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        CALLS.append("sum")
        total = sum(int(path.read_text()) for path in inputs["sizes"].iterdir())
        (workdir / "sum.txt").write_text(f"{total}\n")


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@pytest.fixture
def step(server: StandIn, add_session: Callable[..., str], tmp_path: Path) -> Callable[..., Any]:
    add_session()

    def make(kind: type[DerivedTask] = Sizes, **more: Any) -> Any:
        luigi.Task.clear_instance_cache()
        return kind(
            server=server.url,
            project="P1",
            experiment="S1_MR1",
            scan="1",
            stage=str(tmp_path / "stage"),
            **more,
        )

    return make


def replace_input(server: StandIn, data: bytes = b"other bytes") -> str:
    """Replaces the first DICOM file of the scan by something of another size."""
    place = {"experiment": "S1_MR1", "scan": "1"}
    name = ResourceTarget(server.url, "P1", "DICOM", **place).files()[0].path
    with FileTarget(server.url, "P1", "DICOM", path=name, **place).open("wb") as file:
        file.write(data)
    return name


def put(server: StandIn, path: str, data: bytes, label: str = "SIZES") -> None:
    target = FileTarget(server.url, "P1", label, experiment="S1_MR1", scan="1", path=path)
    with target.open("wb") as file:
        file.write(data)


def test_a_result_is_made_once_and_says_where_it_came_from(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    assert run(step()).scheduling_succeeded
    assert CALLS == ["sizes"]
    found = step().look()
    assert found.condition is Condition.CURRENT
    record = found.record
    assert record is not None
    assert [one.name for one in record.inputs] == ["dicom"]
    assert len(record.inputs[0].files) == 2
    assert record.inputs[0].labels == {}, "labels only when asked for"
    assert {path for path, _, _ in record.outputs.files} == {
        "S1_MR1-01-0001.txt",
        "S1_MR1-01-0002.txt",
    }
    run(step())
    assert CALLS == ["sizes"]


def test_a_parameter_makes_that_step_and_what_follows_stale(
    step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step(Sum))
    assert CALLS == ["sizes", "sum"]
    run(step(Sum))
    assert CALLS == ["sizes", "sum"]

    found = step(Sizes, unit=1000).look()
    assert found.condition is Condition.STALE
    assert found.reasons == ("parameter unit was '1' and is '1000'",)
    run(step(Sizes, unit=1000))
    assert CALLS == ["sizes", "sum", "sizes"]
    changed = step(Sum).look()
    assert changed.condition is Condition.STALE
    assert "input sizes has changed" in changed.reasons[0]


def test_a_changed_input_makes_its_descendants_again(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step(Sum))
    name = replace_input(server)
    assert step(Sum).look().condition is Condition.CURRENT, "its own input is not changed yet"
    assert not step(Sum).complete(), "but the step before is stale"
    assert f"{name} differs" in str(step(Sizes).look())
    run(step(Sum))
    assert CALLS == ["sizes", "sum"] * 2
    assert step(Sum).complete()


def test_the_same_result_again_ends_the_chain(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step(Sum, stale="rerun"))
    put(server, "S1_MR1-01-0001.txt", b"damaged")
    assert step(Sizes).look().condition is Condition.DAMAGED
    run(step(Sum))
    assert CALLS == ["sizes", "sum", "sizes"], "SUM's input is the same as before"
    assert step(Sum).complete()


def test_stale_can_be_kept_or_refused(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step())
    replace_input(server)
    assert step(stale="keep").complete() is True
    with pytest.raises(StaleResultError, match="--stale rerun"):
        step(stale="fail").complete()
    assert not run(step(stale="fail")).scheduling_succeeded
    assert CALLS == ["sizes"]
    run(step(stale="rerun"))
    assert CALLS == ["sizes"] * 2


def test_nothing_of_other_peoples_is_overwritten(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    put(server, "thesis.txt", b"years of work")
    assert step().look().condition is Condition.FOREIGN
    run(step())
    assert CALLS == []
    with FileTarget(
        server.url, "P1", "SIZES", experiment="S1_MR1", scan="1", path="thesis.txt"
    ).open() as file:
        assert file.read() == "years of work"


def test_the_result_of_another_step_is_not_ours(
    step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step())

    class Other(Sizes):
        pass

    found = step(Other).look()
    assert found.condition is Condition.FOREIGN
    assert "a result of xnat.Sizes" in str(found)


def test_a_half_upload_is_seen_and_completed(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    server.faults.add(Fault(method="PUT", path=".*/SIZES/files/upload.zip", status=500, times=99))
    run(step())
    server.faults.clear()
    assert step().look().condition is Condition.HALF
    assert not step().complete()
    run(step())
    assert step().look().condition is Condition.CURRENT


def test_a_500_after_storing_is_no_failure(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    server.faults.add(
        Fault(method="PUT", path=".*/SIZES/files/upload.zip", rewrite_status=500, times=1)
    )
    run(step())
    assert step().look().condition is Condition.CURRENT
    assert CALLS == ["sizes"]


def test_a_lost_seal_is_made_again_without_the_work(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step())
    put(server, SEAL_NAME, b"something else")
    assert step().look().condition is Condition.UNSEALED
    run(step())
    assert step().look().condition is Condition.CURRENT
    assert CALLS == ["sizes"]


def test_files_not_made_any_more_are_removed(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step())
    put(server, "S1_MR1-01-0003.txt", b"3")
    assert "is not of this step" in str(step().look())
    run(step())
    assert {file.path for file in step().output().files()} == {
        "S1_MR1-01-0001.txt",
        "S1_MR1-01-0002.txt",
        RECORD_NAME,
        SEAL_NAME,
    }


class Fails(Sizes):
    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        (workdir / "half.txt").write_text("half")
        self.call(sys.executable, "-c", "print('the scanner was asleep'); raise SystemExit(3)")


def test_a_failing_program_says_where_why_and_how_to_run_it_alone(
    server: StandIn, step: Callable[..., Any]
) -> None:
    with pytest.raises(Exception, match="the scanner was asleep") as caught:
        step(Fails, failures="LOGS").run()
    said = str(caught.value)
    assert "scan 1 of S1_MR1 (P1)" in said
    assert "--experiment S1_MR1 --scan 1" in said
    assert "Fails" in said
    files = ResourceTarget(server.url, "P1", "LOGS", experiment="S1_MR1", scan="1").files()
    assert len(files) == 1
    assert not step(Fails).look().record


def test_the_working_folder_is_kept_only_when_asked(
    step: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with pytest.raises(StepFailedError):
        step(Fails).run()
    assert not list(scratch.rglob("half.txt"))
    with pytest.raises(StepFailedError, match="working folder is kept") as caught:
        step(Fails, keep=True).run()
    kept = next(scratch.rglob("half.txt"))
    assert str(kept.parent) in str(caught.value)


class Nothing(Sizes):
    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        (workdir / "folder").mkdir()


class TooMuch(Sizes):
    limit = 10

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        (workdir / "big.bin").write_bytes(bytes(11))


class Changing(Sizes):
    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        super().process(inputs, workdir)
        place = {"experiment": "S1_MR1", "scan": "1"}
        target = FileTarget(self.server, "P1", "DICOM", path="S1_MR1-01-0001.dcm", **place)
        with target.open("wb") as file:
            file.write(b"changed meanwhile")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Nothing, "left no file"),
        (TooMuch, "left 11 bytes, 10 are allowed"),
        (Changing, "dicom changed on the server while it was processed"),
    ],
)
def test_bad_work_is_not_uploaded(
    step: Callable[..., Any], kind: type[DerivedTask], reason: str
) -> None:
    with pytest.raises(Exception, match=reason):
        step(kind).run()
    assert step(kind).look().condition is Condition.ABSENT
    assert not step(kind).complete()


def test_a_missing_edit_right_is_found_before_the_work(
    server: StandIn,
    step: Callable[..., Any],
    netrc: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.state.users.set_role("P1", "reader", "collaborator")
    netrc.write_text(netrc.read_text().replace("admin", "reader"))
    with pytest.raises(Exception, match="403"):
        step().run()
    assert CALLS == []


def test_a_record_is_read_back_as_written(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(step(names=True))
    target = FileTarget(server.url, "P1", "SIZES", experiment="S1_MR1", scan="1", path=RECORD_NAME)
    with target.open() as file:
        record = Record.from_json(file.read())
    assert record.inputs[0].labels == {"subject": "S1", "session": "S1_MR1"}
    assert record.state == "complete"
    assert "admin" not in record.to_json()


class Vanishing(Sizes):
    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        super().process(inputs, workdir)
        session = absence.find_experiment(self.connect(), "P1", self.experiment)
        assert session is not None
        delete_resource(self.connect(), Address(experiment=session.id, scan="1"), "DICOM")


def test_an_input_that_vanishes_is_an_error(step: Callable[..., Any]) -> None:
    with pytest.raises(XNATNotFoundError, match="input dicom is not there"):
        step(Vanishing).run()
    assert not step(Vanishing).complete()
    assert step(Vanishing).look().condition is Condition.ABSENT


def test_D1_a_full_disk_is_one_error_and_a_rerun_completes(
    server: StandIn, step: Callable[..., Any], tmp_path: Path
) -> None:
    """No file may grow beyond 4 KiB: neither the staged input nor the result gets its name."""
    (tmp_path / "sizes.py").write_text(SIZES)
    words = ["--module", "sizes", "Sizes", "--server", server.url, "--project", "P1"]
    words += ["--experiment", "S1_MR1", "--scan", "1", "--stage", str(tmp_path / "full")]
    command = shlex.join([sys.executable, "-m", "luigi", *words, "--local-scheduler"])
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(limit: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"{limit} exec {command}"],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    done = run("ulimit -f 4;")
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert not list((tmp_path / "full").rglob("*.dcm"))
    assert step().look().condition is Condition.ABSENT
    done = run("")
    assert done.returncode == 0, done.stderr[-3000:]


SIZES = """
from xnat_luigi.tasks import DerivedTask, EveryScan


class Sizes(DerivedTask):
    task_namespace = ""
    inputs = {"dicom": "DICOM"}
    result = "SIZES"

    def process(self, inputs, workdir):
        for path in inputs["dicom"].iterdir():
            (workdir / (path.name + ".txt")).write_text(str(path.stat().st_size))
"""


class Names(DerivedTask):
    """Another step with the same input."""

    inputs = {"dicom": "DICOM"}
    result = "NAMES"

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        with pytest.raises(PermissionError):
            check_writable(next(inputs["dicom"].iterdir()))
        names = sorted(path.name for path in inputs["dicom"].iterdir())
        (workdir / "names.txt").write_text("\n".join(names))


def check_writable(path: Path) -> None:
    if not path.stat().st_mode & 0o222:
        raise PermissionError(path)


def test_inputs_are_fetched_once_for_all_steps_and_read_only(
    server: StandIn, step: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    run(step(), step(Names))
    fetched = [r.path for r in server.requests if r.path.endswith(".dcm") and r.method == "GET"]
    assert len(fetched) == len(set(fetched)) == 2
    assert step(Names).complete()
    staged = next((tmp_path / "stage").rglob("*0001.dcm"))
    staged.chmod(0o644)
    staged.write_bytes(b"damaged by somebody")
    run(step(unit=7))
    fetched = [r.path for r in server.requests if r.path.endswith(".dcm") and r.method == "GET"]
    assert len(fetched) == 4, "a staged input is proven before it is used"
    record = step(unit=7).look().record
    assert record is not None
    assert record.parameters == {"unit": "7"}


class AllNames(EveryScan):
    step = Names


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ({}, {"S1_MR1 1", "S1_MR1 2", "S2_MR1 1", "S2_MR1 2"}),
        ({"sessions": "S2_*"}, {"S2_MR1 1", "S2_MR1 2"}),
        ({"scans": "T1*"}, {"S1_MR1 1", "S2_MR1 1"}),
        ({"scans": "2"}, {"S1_MR1 2", "S2_MR1 2"}),
        ({"qualities": "usable", "sessions": "S1_MR1"}, {"S1_MR1 1"}),
        ({"qualities": "perfect"}, set()),
    ],
)
def test_every_scan_can_be_some(server: StandIn, words: dict[str, str], places: set[str]) -> None:
    files = {"resources": {"DICOM": {"1.dcm": b"x"}}}
    labels = {}
    for label in ("S1_MR1", "S2_MR1"):
        scans = {
            "1": {"type": "T1w", "quality": "usable", **files},
            "2": {"type": "FLAIR", "quality": "unusable", **files},
            "3": {"type": "T1w", "quality": "usable"},
        }
        labels[server.add_session("P1", label[:2], label, scans=scans)] = label
    luigi.Task.clear_instance_cache()
    before = len(server.requests)
    steps = AllNames(server=server.url, project="P1", **words).requires()
    assert {f"{labels[one.experiment]} {one.scan}" for one in steps} == places
    asked = [r.path for r in server.requests[before:] if "/auth" not in r.path]
    assert len(asked) == 2 + bool({"scans", "qualities"} & words.keys())


def test_the_command_of_a_failure_runs_that_one_task(
    step: Callable[..., Any], tmp_path: Path
) -> None:
    words = shlex.split(step(unit=3).command())
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:], "--stage", str(tmp_path / "stage")],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert step(unit=3).look().condition is Condition.CURRENT
