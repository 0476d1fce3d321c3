"""A result is complete only by a proof: without digests, with old ones, with two of one label."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import luigi
import pytest

from xnat_luigi.exceptions import XNATIntegrityError
from xnat_luigi.standin import StandIn
from xnat_luigi.targets import snapshot
from xnat_luigi.targets.resource import FileTarget
from xnat_luigi.tasks import DerivedTask, EveryScan, EverySession
from xnat_luigi.tasks.condition import Condition
from xnat_luigi.tasks.record import RECORD_NAME, SEAL_NAME


class Scaled(DerivedTask):
    """A number, made of the input's and a factor."""

    inputs = {"raw": "RAW"}
    result = "SCALED"

    factor: int = luigi.IntParameter(default=1)

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        number = int((inputs["raw"] / "number.txt").read_text())
        (workdir / "scaled.txt").write_text(f"{number * self.factor:08d}\n")


class EveryScaled(EveryScan):
    """The same for every scan."""

    step = Scaled
    having = "RAW"

    factor: int = luigi.IntParameter(default=1)


class OfSessions(EverySession):
    """The same for every session."""

    step = Scaled
    having = "RAW"


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    snapshot.forget()
    yield
    snapshot.forget()


@pytest.fixture
def digests() -> bool:
    """Whether the site has digests of files in the beginning."""
    return True


@pytest.fixture
def every(server: StandIn, tmp_path: Path, digests: bool) -> Callable[..., Any]:
    """A scan with a number; makes the task for every scan, as a new process would."""
    server.preferences["checksums"] = digests
    raw = {"resources": {"RAW": {"number.txt": b"111"}}}
    server.add_session("P1", "S1", "S1_MR1", scans={"1": raw}, **raw)

    def make(kind: type[luigi.Task] = EveryScaled, **more: Any) -> Any:
        luigi.Task.clear_instance_cache()
        return kind(server=server.url, project="P1", stage=str(tmp_path / "stage"), **more)

    return make


def file_of(server: StandIn, label: str, path: str) -> FileTarget:
    return FileTarget(server.url, "P1", label, experiment="S1_MR1", scan="1", path=path)


def replace_input(server: StandIn, data: bytes) -> None:
    with file_of(server, "RAW", "number.txt").open("wb") as file:
        file.write(data)


@pytest.mark.parametrize("change", ["parameter", "input"])
@pytest.mark.parametrize("digests", [False])
def test_A6_2_without_digests_a_snapshot_proves_nothing(
    server: StandIn, every: Callable[..., Any], run: Callable[..., Any], change: str
) -> None:
    """Seals of different results have one size, so without a digest they say nothing."""
    raw = file_of(server, "RAW", "number.txt").find()
    assert raw is not None and not raw.digest
    assert run(every(factor=2)).scheduling_succeeded
    now = {"factor": 3} if change == "parameter" else {"factor": 2}
    if change == "input":
        replace_input(server, b"222222")
    (step,) = every(**now).requires()
    assert snapshot.current(server.url, "P1") is not None, "the wrapper has taken one"
    assert step.look().condition is Condition.STALE
    assert not step.complete()
    assert run(every(**now)).scheduling_succeeded
    assert every(**now).requires()[0].complete()


def test_A6_2_digests_that_are_no_md5_prove_as_little_as_none(
    server: StandIn,
    every: Callable[..., Any],
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("archive_files", "state.resources"):
        monkeypatch.setattr(
            f"xnat_luigi.standin.{module}.md5_of",
            lambda path: hashlib.sha256(path.read_bytes()).hexdigest(),
        )
    server.add_session("P1", "S1", "S1_MR1", scans={"1": {"resources": {"RAW": {"n": b"1"}}}})
    other = file_of(server, "RAW", "n").find()
    assert other is not None and len(other.digest) == 64
    assert run(every(factor=2)).scheduling_succeeded
    (step,) = every(factor=2).requires()
    assert step.look().condition is Condition.CURRENT
    assert step.complete()
    (step,) = every(factor=3).requires()
    assert not step.complete()


def test_A6_2_a_result_made_again_where_digests_were_switched_off_is_complete(
    server: StandIn, every: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """An overwritten file keeps its old digest there: the new result must not look damaged."""
    assert run(every()).scheduling_succeeded
    (step,) = every().requires()
    with_digest = {file.path for file in step.output().files() if file.digest}
    assert {"scaled.txt", RECORD_NAME, SEAL_NAME} <= with_digest
    server.preferences["checksums"] = False
    assert run(every(factor=4)).scheduling_succeeded
    (step,) = every(factor=4).requires()
    assert step.look().condition is Condition.CURRENT
    assert step.complete()
    with file_of(server, "SCALED", "scaled.txt").open() as file:
        assert file.read() == "00000444\n"
    assert not [file.path for file in step.output().files() if file.digest]


def test_A6_2_a_seal_lost_where_digests_were_switched_off_is_made_again(
    server: StandIn, every: Callable[..., Any], run: Callable[..., Any]
) -> None:
    run(every())
    with file_of(server, "SCALED", SEAL_NAME).open("wb") as file:
        file.write(b"something else")
    server.preferences["checksums"] = False
    (step,) = every().requires()
    step.run()
    assert step.look().condition is Condition.CURRENT


@pytest.mark.parametrize(("kind", "scan"), [(EveryScaled, "1"), (OfSessions, "")])
def test_A6_1_an_item_with_two_resources_of_one_label_is_not_passed_over(
    server: StandIn,
    every: Callable[..., Any],
    run: Callable[..., Any],
    kind: type[luigi.Task],
    scan: str,
) -> None:
    """Racing creators leave them so; what is meant cannot be told, and that is said."""
    session = next(iter(server.state.items.all("experiment")))
    item = server.state.items.scan(session, scan) if scan else session
    assert item is not None
    server.state.resources.create(item, "RAW")
    (step,) = every(kind).requires()
    assert step.scan == scan
    with pytest.raises(XNATIntegrityError, match="RAW"):
        step.run()
    assert not run(every(kind)).scheduling_succeeded
