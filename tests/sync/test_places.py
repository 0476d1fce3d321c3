"""Files find their places when labels change on the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnat_luigi.connection.login import Connection
from xnat_luigi.rest.items import rename
from xnat_luigi.standin import StandIn
from xnat_luigi.sync import inventory, plan
from xnat_luigi.sync.prune import find
from xnat_luigi.uris import experiment

from .conftest import Sync, content, fill, tree


def _swap(conn: Connection, one: str, other: str) -> None:
    """Two sessions take each other's label."""
    rename(conn, experiment(one), "TMP")
    rename(conn, experiment(other), "E0")
    rename(conn, experiment(one), "E2")


@pytest.mark.parametrize("workers", [1, 2])
def test_sessions_that_swap_labels_swap_places(
    standin: StandIn, conn: Connection, sync: Sync, root: Path, workers: int
) -> None:
    first, _, other = fill(standin, 3)
    sync()
    _swap(conn, first, other)
    report = sync(workers=workers)
    assert report.exit_status == 0
    found = tree(root)
    assert len(found) == 30
    for name, data in found.items():
        place, at = name.split("/")[2], name.split("/")
        if "DICOM" in at:
            was = {"E0": "E2", "E2": "E0"}.get(place, place)
            assert data == content(was, at[4][0], at[-1][0]), name
    assert all(not one.drifted and not one.removed for one in report.sessions)
    found_again = inventory.take(conn, "P1")
    again = plan.make(found_again, root)
    assert (len(again.steps), again.drifted, again.gone) == (0, (), ())
    assert find(found_again, root) == []


def test_a_file_edited_before_its_session_was_renamed_stays_and_is_named(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    (session,) = fill(standin, 1)
    sync()
    edited = "P1/S0/E0/scans/1-T1/resources/DICOM/files/0.dcm"
    (root / edited).write_bytes(b"mine")
    rename(conn, experiment(session), "NEW")
    (one,) = sync().sessions
    assert (one.files, one.moved) == (1, 9)
    assert tree(root)[edited] == b"mine"
    assert tree(root)[edited.replace("E0", "NEW")] == content("E0", 1, 0)
    again = plan.make(inventory.take(conn, "P1"), root)
    assert (len(again.steps), again.gone) == (0, (edited,))
