"""A stand-in with one project, as targets need it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_luigi.connection.registry import close_all
from xnat_luigi.standin import StandIn


@pytest.fixture
def login() -> tuple[str, str]:
    """User and password of the stand-in's administrator."""
    return "admin", "a-secret-word"


@pytest.fixture
def archive(
    tmp_path: Path, login: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[StandIn]:
    """A server with project P1: subject S1, session S1_MR1 with scan 1 and an assessor S1_QC."""
    path = tmp_path / "netrc"
    path.touch(mode=0o600)
    path.write_text(f"machine 127.0.0.1 login {login[0]} password {login[1]}\n")
    monkeypatch.setenv("NETRC", str(path))
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "1")
    with StandIn(users={login[0]: login[1]}) as server:
        files = {"1.dcm": b"one", "sub/2.dcm": b"two"}
        server.add_session(
            "P1",
            "S1",
            "S1_MR1",
            scans={"1": {"type": "T1", "resources": {"DICOM": files}}},
            resources={"NOTES": {"notes.txt": b"hello"}},
        )
        server.add_assessor("P1", "S1_MR1", "S1_QC", resources={"REPORT": {"r.txt": b"good"}})
        yield server
        close_all()
