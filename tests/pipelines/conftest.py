"""A project of real DICOM on the stand-in, and `luigi` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.material import make_study, series_of
from xnat_luigi.connection.registry import close_all
from xnat_luigi.standin import StandIn
from xnat_luigi.targets import snapshot

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(standin: StandIn, netrc: Path) -> Iterator[StandIn]:
    """The stand-in, with a login; connections are closed at the end."""
    snapshot.forget()
    yield standin
    close_all()


@pytest.fixture
def add_sessions(server: StandIn, tmp_path: Path) -> Callable[..., list[str]]:
    """Adds sessions of one T1w series of real DICOM to project P1; answers their labels."""

    def add(count: int, *, slices: int = 3, project: str = "P1") -> list[str]:
        labels = []
        for number in range(1, count + 1):
            label = f"S{number:02d}_MR1"
            made = make_study(
                tmp_path / "made" / label,
                subject=label[:3],
                session=label,
                series=series_of(["T1w"], slices=slices),
                side=64,
            )
            files = {path.name: path.read_bytes() for path in made.files}
            scans: dict[str, Any] = {"1": {"type": "T1w", "resources": {"DICOM": files}}}
            server.add_session(project, label[:3], label, scans=scans)
            labels.append(label)
        return labels

    return add


@pytest.fixture
def luigi_command(server: StandIn, tmp_path: Path) -> Callable[..., Any]:
    """Runs `luigi --module ... --server URL --project P1 --local-scheduler`."""

    def call(*words: str, workers: int = 2) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        environ.pop("LUIGI_CONFIG_PATH", None)
        command = [sys.executable, "-m", "luigi", *words, "--server", server.url]
        command += ["--project", "P1", "--local-scheduler", "--workers", str(workers)]
        return subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=240
        )

    return call
