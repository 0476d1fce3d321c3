"""A server with sessions of real DICOM, and tasks that run in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import luigi
import pytest

from pipelines.material import make_study, series_of
from xnat_luigi.connection.registry import close_all
from xnat_luigi.standin import StandIn
from xnat_luigi.targets import snapshot


@pytest.fixture
def server(standin: StandIn, netrc: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in, with a login; connections are closed at the end."""
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "2")
    snapshot.forget()
    yield standin
    close_all()


@pytest.fixture
def add_session(server: StandIn, tmp_path: Path) -> Callable[..., str]:
    """Makes a session with scans of real DICOM in project P1 and returns its ID."""

    def add(label: str = "S1_MR1", series: int = 1, slices: int = 2, project: str = "P1") -> str:
        made = make_study(
            tmp_path / "made" / project / label,
            subject=label.split("_")[0],
            session=label,
            series=series_of([f"T{number}w" for number in range(1, series + 1)], slices=slices),
            side=64,
        )
        scans: dict[str, Any] = {}
        for path in made.files:
            number = str(int(path.parent.name.split("-")[0]))
            scan = scans.setdefault(number, {"type": "T1w", "resources": {"DICOM": {}}})
            scan["resources"]["DICOM"][path.name] = path.read_bytes()
        return server.add_session(project, label.split("_")[0], label, scans=scans)

    return add


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Runs tasks with Luigi's local scheduler in this process; the answer is Luigi's summary."""

    def build(*tasks: luigi.Task, workers: int = 1) -> Any:
        luigi.Task.clear_instance_cache()
        return luigi.build(
            list(tasks),
            local_scheduler=True,
            workers=workers,
            detailed_summary=True,
            log_level="WARNING",
        )

    return build
