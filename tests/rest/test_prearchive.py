"""The prearchive: rows, their content, orders about them (wire contract B 2)."""

from __future__ import annotations

import pytest

from xnat_luigi.connection.login import Connection
from xnat_luigi.exceptions import (
    XNATConflictError,
    XNATForbiddenError,
    XNATNotFoundError,
    XNATUnsafeNameError,
)
from xnat_luigi.rest import absence, prearchive, services, states
from xnat_luigi.rest.records import PrearchiveRow
from xnat_luigi.standin import StandIn

from .material import UID, put_status, study_zip


@pytest.fixture
def row(conn: Connection, standin: StandIn) -> PrearchiveRow:
    """An uploaded study that nobody has built yet."""
    standin.add_project("P1")
    (address,) = services.import_archive(
        conn, study_zip(), project="P1", subject="S1", session="S1_MR1"
    )
    found = services.read_import_address(address)
    assert (found.place, found.project, found.folder) == ("prearchive", "P1", "S1_MR1")
    made = prearchive.get_row(conn, found.project, found.timestamp, found.folder)
    assert made is not None
    return made


def test_B2_1_a_row(conn: Connection, row: PrearchiveRow) -> None:
    assert (row.subject, row.name, row.tag) == ("S1", "S1_MR1", UID)
    assert states.in_flight(row.status) and row.status == "RECEIVING"
    assert row.url == f"/prearchive/projects/P1/{row.timestamp}/S1_MR1"
    assert row.lastmod and row.uploaded
    assert prearchive.list_rows(conn, "P1") == [row]
    assert prearchive.list_rows(conn) == [row]
    assert absence.find_row(conn, "P1", UID) == row
    assert absence.find_study(conn, "P1", UID) == row


def test_B2_1_rows_of_others_are_left_out(conn: Connection, standin: StandIn) -> None:
    standin.add_project("P1")
    services.import_archive(conn, study_zip(), project=None)  # no such project: Unassigned
    assert [one.project for one in prearchive.list_rows(conn)] == ["Unassigned"]
    assert prearchive.list_rows(conn, "P1") == []


def test_B2_2_an_absent_row_is_an_empty_table(conn: Connection, row: PrearchiveRow) -> None:
    assert prearchive.get_row(conn, "P1", row.timestamp, "OTHER") is None


def test_B2_3_nothing_is_seen_before_it_is_built(conn: Connection, row: PrearchiveRow) -> None:
    with pytest.raises(XNATNotFoundError):
        prearchive.list_scans(conn, row)


def test_B2_5_build_and_look(conn: Connection, row: PrearchiveRow) -> None:
    built = prearchive.build(conn, row)
    assert built.status == "READY" and states.terminal(built.status)
    (scan,) = prearchive.list_scans(conn, built)
    assert (scan.xsi_type, scan.series_description) == ("xnat:mrScanData", "T1 MPRAGE")
    (resource,) = prearchive.list_resources(conn, built, scan.id)
    assert (resource.label, resource.file_count) == ("DICOM", 2)
    files = prearchive.list_scan_files(conn, built, scan.id)
    assert sorted(one.path for one in files) == ["1-1.dcm", "1-2.dcm"]
    assert all(one.size and one.size > 100 for one in files)


def test_B2_3_a_report_beside_the_data(conn: Connection, row: PrearchiveRow) -> None:
    built = prearchive.build(conn, row)
    prearchive.put_file(conn, built, "QC", "report.txt", b"fine")
    prearchive.put_file(conn, built, "QC", "report.txt", b"fine again")
    (found,) = prearchive.list_resource_files(conn, built, "QC")
    assert (found.path, found.size) == ("report.txt", 10)
    with pytest.raises(XNATUnsafeNameError):
        prearchive.put_file(conn, built, "QC", "x_catalog.xml", b"no")


def test_B2_5_move(conn: Connection, row: PrearchiveRow, standin: StandIn) -> None:
    standin.add_project("P2")
    moved = prearchive.move(conn, prearchive.build(conn, row), "P2")
    assert (moved.project, moved.name, moved.tag) == ("P2", "S1_MR1", UID)
    assert prearchive.list_rows(conn, "P1") == []
    with pytest.raises(XNATNotFoundError):
        prearchive.move(conn, row, "P2")


def test_B2_5_a_locked_row_is_neither_moved_nor_deleted(
    conn: Connection, row: PrearchiveRow, standin: StandIn
) -> None:
    standin.add_project("P2")
    put_status(standin, row, "_ARCHIVING")
    for order in (
        lambda: prearchive.move(conn, row, "P2"),
        lambda: prearchive.delete_row(conn, row),
        lambda: prearchive.rebuild(conn, row),
        lambda: prearchive.build(conn, row),
    ):
        with pytest.raises(XNATConflictError):
            order()
    assert len(prearchive.list_rows(conn, "P1")) == 1


def test_B2_5_delete_twice(conn: Connection, row: PrearchiveRow) -> None:
    prearchive.delete_row(conn, row)
    assert prearchive.list_rows(conn, "P1") == []
    prearchive.delete_row(conn, row)


def test_B2_5_reset(conn: Connection, row: PrearchiveRow, standin: StandIn) -> None:
    built = prearchive.build(conn, row)
    put_status(standin, built, "_ARCHIVING")
    assert prearchive.reset_status(conn, built).status == "READY"


def test_B2_2_a_reader_may_list_and_not_look(
    conn: Connection, row: PrearchiveRow, reader: Connection
) -> None:
    with pytest.raises(XNATForbiddenError):
        prearchive.get_row(reader, "P1", row.timestamp, row.folder)


def test_B2_3_logs(conn: Connection, row: PrearchiveRow) -> None:
    assert isinstance(prearchive.read_last_log(conn, row), str)
    assert isinstance(prearchive.read_logs(conn, row), list)


def test_B2_4_every_status_of_the_contract() -> None:
    assert len(states.STATUSES) == 23
    for status in states.STATUSES:
        assert states.terminal(status) == (status in ("READY", "CONFLICT", "ERROR"))
        assert states.locked(status) == status.startswith("_")
    assert states.in_flight("SOMETHING_NEW")
    assert states.failed("CONFLICT") and states.failed("ERROR") and not states.failed("READY")
