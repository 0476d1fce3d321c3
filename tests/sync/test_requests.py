"""How many requests a sync needs; counted by the server."""

from __future__ import annotations

from pathlib import Path

from xnat_luigi.connection.login import Connection
from xnat_luigi.standin import StandIn
from xnat_luigi.sync import inventory, plan
from xnat_luigi.transfer.select import Selection

from .conftest import Sync, content, fetched, fill, replace_file, tree


def test_A3_7_nothing_changed_costs_two_requests(standin: StandIn, sync: Sync) -> None:
    fill(standin, 12)
    first = sync()
    assert (first.files, first.exit_status, len(first.sessions)) == (120, 0, 12)
    standin.log.clear()
    again = sync()
    assert (again.files, again.same, again.sessions) == (0, 12, ())
    assert [one.path for one in standin.requests] == [
        "/data/projects/P1/subjects",
        "/data/projects/P1/experiments",
    ]


def test_a_first_sync_costs_three_requests_a_session(standin: StandIn, sync: Sync) -> None:
    fill(standin, 10)
    report = sync()
    paths = [one.path for one in standin.requests]
    # login, who am I; subjects, sessions, one type; and then resources, files and a zip for each
    assert len(paths) == 2 + 3 + 3 * 10
    assert sum(one.requests for one in report.sessions) == 30


def test_A3_7_one_replaced_file_costs_that_file_and_its_sessions_listings(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 8)
    sync()
    before = tree(root)
    new = content("new", size=3000)
    replace_file(standin, "E4", "2.dcm", new)
    standin.log.clear()
    report = sync()
    (one,) = report.sessions
    assert (one.session, one.reason, one.files, one.bytes) == ("E4", "changed", 1, 3000)
    (file,) = fetched(standin)
    assert file.endswith("/files/2.dcm")
    assert len(standin.requests) == 6
    path = "P1/S0/E4/scans/1-T1/resources/DICOM/files/2.dcm"
    assert tree(root) == before | {path: new}
    standin.log.clear()
    assert sync().same == 8  # siblings of the same subject are settled too
    assert len(standin.requests) == 2


def test_few_files_of_a_large_resource_come_singly_many_in_a_zip(
    standin: StandIn, sync: Sync
) -> None:
    big = {f"{n}.dcm": content("big", n, size=400_000) for n in range(12)}
    standin.add_session("P1", "S0", "E0", scans={"1": {"resources": {"DICOM": big}}})
    sync()
    for count, zips in ((1, 0), (2, 0), (11, 1)):
        new = {f"{n}.dcm": content("new", count, n, size=400_001) for n in range(count)}
        standin.add_session("P1", "S0", "E0", scans={"1": {"resources": {"DICOM": new}}})
        standin.log.clear()
        assert sync().files == count
        assert len(fetched(standin)) == (1 if zips else count)
        assert ("format=zip" in str([one.query for one in standin.requests])) == bool(zips)


def test_a_thousand_sessions_unchanged_cost_no_more_requests(
    standin: StandIn, conn: Connection, root: Path
) -> None:
    for number in range(300):
        standin.add_session("P1", f"S{number}", f"E{number}")
    conn.logged_in()
    standin.log.clear()
    todo = plan.make(inventory.take(conn, "P1"), root)
    assert len(todo.steps) == 300
    # subjects, sessions, and the stamps of one type without naming 300 subjects in an address
    assert len(standin.requests) == 3


def test_other_types_cost_one_request_each(standin: StandIn, sync: Sync) -> None:
    for number, kind in enumerate(("mr", "ct", "pet", "mr")):
        standin.add_session("P1", "S0", f"E{number}", xsi_type=f"xnat:{kind}SessionData")
    sync()
    standin.log.clear()
    standin.add_session("P1", "S0", "E9", xsi_type="xnat:ctSessionData")
    report = sync()
    assert [one.session for one in report.sessions] == ["E9"]
    stamps = [one for one in standin.requests if "last_modified" in str(one.query)]
    assert len(stamps) == 1 + 3  # the subjects, and one for each type in the subject that changed


def test_selecting_by_quality_costs_one_request_more(standin: StandIn, sync: Sync) -> None:
    fill(standin, 1)
    standin.add_session("P1", "S0", "E0", scans={"3": {"quality": "unusable", "resources": {}}})
    sync(selection=Selection(qualities=("usable",)))
    assert [one.path for one in standin.requests].count("/data/experiments/XNAT_E00001/scans") == 1
