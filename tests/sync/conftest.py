"""A project on a stand-in, a connection to it, and one line for a whole sync."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.standin import StandIn
from xnat_luigi.sync import inventory, plan
from xnat_luigi.sync.apply import apply
from xnat_luigi.sync.report import Report
from xnat_luigi.transfer.select import Selection

Sync = Callable[..., Report]


def content(*words: object, size: int = 2000) -> bytes:
    """Bytes that differ for every file and are the same in every run."""
    seed = hashlib.md5("/".join(map(str, words)).encode()).digest()
    return (seed * (size // 16 + 1))[:size]


def fill(server: StandIn, sessions: int = 3, project: str = "P1", files: int = 4) -> list[str]:
    """Sessions E0, E1, ... of two subjects, with two scans and a resource of their own."""
    ids = []
    for number in range(sessions):
        label = f"E{number}"
        dicom = {f"{n}.dcm": content(label, 1, n) for n in range(files)}
        nested = {f"a/{n}.dcm": content(label, 2, n) for n in range(files)}
        scans: dict[str, Any] = {
            "1": {"type": "T1", "resources": {"DICOM": dicom}},
            "2": {"type": "T2 flair", "resources": {"DICOM": nested, "NIFTI": {"x.nii": b"nii"}}},
        }
        ids.append(
            server.add_session(
                project,
                f"S{number % 2}",
                label,
                scans=scans,
                resources={"LOGS": {"a b.txt": b"hello"}},
            )
        )
    return ids


def replace_file(
    server: StandIn, session: str, name: str, data: bytes, project: str = "P1", scan: str = "1"
) -> None:
    """Another file in the place of one on the server."""
    facts = {scan: {"resources": {"DICOM": {name: data}}}}
    subject = f"S{int(session[1:]) % 2}"
    server.add_session(project, subject, session, scans=facts)


def fetched(server: StandIn) -> list[str]:
    """What was fetched since the log was cleared: addresses of single files and zips."""
    return [
        one.path
        for one in server.requests
        if one.path.count("/files/") or "format=zip" in str(one.query)
    ]


def tree(root: Path) -> dict[str, bytes]:
    """All data below a root, by path; nothing of the state beside it."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".xnat-luigi" not in path.parts
    }


@pytest.fixture
def conn(standin: StandIn, netrc: Path) -> Iterator[Connection]:
    yield connection_for(standin.url)
    close_all()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def sync(conn: Connection, root: Path) -> Sync:
    """Inventory, plan and apply in one call."""

    def run(
        project: str = "P1",
        *,
        selection: Selection | None = None,
        layout: str = "documented",
        deep: bool = False,
        to: Path | None = None,
        **more: Any,
    ) -> Report:
        found = inventory.take(conn, project, selection)
        todo = plan.make(found, to or root, layout=layout, deep=deep)
        return apply(conn, todo, **more)

    return run
