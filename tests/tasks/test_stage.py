"""One file at a time, proven, whatever digests the site takes and though a try breaks off."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.connection.registry import connection_for
from xnat_luigi.exceptions import XNATIntegrityError
from xnat_luigi.rest.contents import list_files
from xnat_luigi.standin import Fault, StandIn
from xnat_luigi.targets.resource import FileTarget
from xnat_luigi.tasks import DownloadResource
from xnat_luigi.tasks.stage import stage_resource
from xnat_luigi.uris import Address

DATA = {"a.txt": b"first", "sub/b.txt": b"second"}


def take_other_digests(server: StandIn) -> None:
    """As if the site computed SHA-256."""

    def other(found: re.Match[str]) -> str:
        return f' digest="{hashlib.sha256(found[1].encode()).hexdigest()}"'

    for catalog in server.root.rglob("*_catalog.xml"):
        catalog.write_text(re.sub(r' digest="([0-9a-f]*)"', other, catalog.read_text()))


@pytest.fixture
def stage(server: StandIn, tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Stages resource OUT of a session and says what lies in its folder."""
    session = server.add_session("P1", "S1", "S1_MR1", resources={"OUT": DATA})
    place = Address(experiment=session)

    def bring() -> dict[str, bytes]:
        conn = connection_for(server.url)
        folder = stage_resource(conn, place, "OUT", list_files(conn, place, "OUT"), tmp_path / "in")
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    return bring


def read(server: StandIn) -> str:
    target = FileTarget(server.url, "P1", "OUT", experiment="S1_MR1", path="a.txt")
    with target.open() as file:
        return str(file.read())


def test_N3_an_input_that_breaks_off_is_asked_for_again(
    server: StandIn, stage: Callable[[], dict[str, bytes]]
) -> None:
    server.faults.add(Fault(method="GET", path=r"/files/a\.txt", cut=2, times=1))
    assert stage() == DATA
    server.faults.add(Fault(method="GET", path=r"/files/a\.txt", cut=2, times=1))
    assert read(server) == "first"


def test_N11_an_input_that_is_wrong_once_is_asked_for_again_and_twice_is_an_error(
    server: StandIn, stage: Callable[[], dict[str, bytes]]
) -> None:
    server.faults.add(Fault(method="GET", path=r"/files/a\.txt", flip=0, times=1))
    assert read(server) == "first"
    server.faults.add(Fault(method="GET", path=r"/files/a\.txt", flip=0, times=1))
    assert stage() == DATA
    server.add_session("P1", "S1", "S1_MR1", resources={"OUT": {"c.txt": b"third"}})
    wrong = server.faults.add(Fault(method="GET", path=r"/files/c\.txt", flip=0))
    with pytest.raises(XNATIntegrityError, match="MD5"):
        stage()
    assert wrong.fired == 2


def test_A6_2_a_digest_that_is_no_md5_is_not_compared(
    server: StandIn, stage: Callable[[], dict[str, bytes]], run: Callable[..., Any], tmp_path: Path
) -> None:
    take_other_digests(server)
    (first, _) = list_files(
        connection_for(server.url), Address(project="P1", experiment="S1_MR1"), "OUT"
    )
    assert (len(first.digest), first.md5) == (64, "")
    assert stage() == DATA
    assert read(server) == "first"
    task = DownloadResource(
        server=server.url,
        project="P1",
        experiment="S1_MR1",
        resource="OUT",
        dest=str(tmp_path / "dest"),
    )
    assert run(task).scheduling_succeeded
    assert task.complete()
