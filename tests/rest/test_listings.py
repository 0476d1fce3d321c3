"""Listings: complete, or an error (wire contract A 3)."""

from __future__ import annotations

import pytest

from xnat_luigi import uris
from xnat_luigi.connection.login import Connection
from xnat_luigi.exceptions import XNATNotFoundError, XNATValueError
from xnat_luigi.rest import listings
from xnat_luigi.standin import StandIn


def test_A3_2_projects(conn: Connection, project: str) -> None:
    (found,) = listings.list_projects(conn)
    assert (found.id, found.name, found.description) == ("P1", "The first", "A test")
    assert found.uri == "/data/projects/P1"


def test_A3_7_subjects_have_the_stamp_that_moves(
    conn: Connection, project: str, standin: StandIn
) -> None:
    before = {one.label: one for one in listings.list_subjects(conn, "P1")}
    assert set(before) == {"S1", "S2"} and all(one.last_modified for one in before.values())
    standin.clock.advance(60)
    standin.add_session("P1", "S1", "S1_MR2", scans={"1": "T1"})
    after = {one.label: one for one in listings.list_subjects(conn, "P1")}
    assert after["S1"].last_modified > before["S1"].last_modified
    assert after["S2"].last_modified == before["S2"].last_modified


def test_A3_2_experiments_with_their_subject(conn: Connection, project: str) -> None:
    (found,) = listings.list_experiments(conn, "P1")
    assert (found.label, found.xsi_type, found.project) == ("S1_MR1", "xnat:mrSessionData", "P1")
    assert (found.subject_label, found.date) == ("S1", "2024-02-01")
    (subject,) = (one for one in listings.list_subjects(conn, "P1") if one.label == "S1")
    assert found.subject_id == subject.id


def test_A3_2_image_assessors_are_no_experiments_of_a_project(
    conn: Connection, project: str, standin: StandIn
) -> None:
    standin.add_assessor("P1", "S1_MR1", "QC1")
    assert [one.label for one in listings.list_experiments(conn, "P1")] == ["S1_MR1"]
    (session,) = listings.list_experiments(conn, "P1")
    (assessor,) = listings.list_assessors(conn, session.id)
    assert (assessor.label, assessor.session_id) == ("QC1", session.id)
    assert assessor.xsi_type == "xnat:qcAssessmentData"


def test_A3_3_a_column_that_would_narrow_is_refused(conn: Connection, project: str) -> None:
    with pytest.raises(XNATValueError, match="leave out all others"):
        listings.list_experiments(conn, "P1", columns=("UID",))
    with pytest.raises(XNATValueError, match="scanner"):
        listings.list_experiments(conn, "P1", filters={"scanner": "X"})


def test_A3_3_sessions_with_uid_name_their_type(
    conn: Connection, project: str, standin: StandIn
) -> None:
    standin.add_session("P1", "S1", "S1_CT1", xsi_type="xnat:ctSessionData", UID="5.6")
    found = {one.label: one.uid for one in listings.list_sessions(conn, "P1")}
    assert found == {"S1_MR1": "1.2.3.4", "S1_CT1": "5.6"}
    only = listings.list_sessions(conn, "P1", filters={"UID": "5.6"})
    assert [one.label for one in only] == ["S1_CT1"]


def test_A3_3_an_unknown_column_is_an_error(conn: Connection, project: str) -> None:
    with pytest.raises(XNATValueError, match="nonsense"):
        listings.list_experiments(conn, "P1", columns=("nonsense",))


def test_A3_4_filters_that_the_server_ignores_are_refused(conn: Connection, project: str) -> None:
    (session,) = listings.list_experiments(conn, "P1")
    with pytest.raises(XNATValueError, match="ignores filters"):
        listings.select_rows(conn, uris.scans(session.id), filters={"type": "T1"})


def test_A3_6_sessions_scans_and_resources_in_one_request(
    conn: Connection, project: str, standin: StandIn
) -> None:
    listings.list_projects(conn)
    before = len(standin.requests)
    columns = [
        "ID",
        "label",
        "xnat:imageScanData/ID",
        "xnat:imageScanData/type",
        "xnat:imageScanData/file/label",
    ]
    rows = listings.select_rows(
        conn,
        uris.experiments(),
        columns,
        {"project": "P1"},
        xsi_type=listings.IMAGE_SESSIONS,
    )
    assert len(standin.requests) == before + 1
    (merged,) = listings.merge_rows(rows, ["ID"], {"scans": columns[2:4], "resources": columns[4:]})
    assert merged["label"] == "S1_MR1"
    assert merged["scans"] == [
        {"xnat:imageScanData/ID": "1", "xnat:imageScanData/type": "T1"},
        {"xnat:imageScanData/ID": "2", "xnat:imageScanData/type": "T2"},
    ]


def test_A3_7_stamps_of_concrete_types_only(
    conn: Connection, project: str, standin: StandIn
) -> None:
    (session,) = listings.list_experiments(conn, "P1")
    before = listings.list_session_stamps(conn, "P1", "xnat:mrSessionData")
    standin.clock.advance(60)
    standin.add_session("P1", "S1", "S1_MR1", scans={"3": "FLAIR"})
    after = listings.list_session_stamps(conn, "P1", "xnat:mrSessionData")
    assert after[session.id] > before[session.id]
    with pytest.raises(XNATValueError, match="abstract"):
        listings.list_session_stamps(conn, "P1", "xnat:imageSessionData")


def test_A3_2_scans(conn: Connection, project: str) -> None:
    (session,) = listings.list_experiments(conn, "P1")
    first, second = listings.list_scans(conn, session.id)
    assert (first.id, first.type, first.quality) == ("1", "T1", "usable")
    assert first.series_description == "T1 MPRAGE" and first.xsi_type == "xnat:mrScanData"
    assert (second.id, second.quality) == ("2", "questionable")


def test_A3_5_scans_of_nothing_are_not_found(conn: Connection, project: str) -> None:
    with pytest.raises(XNATNotFoundError):
        listings.list_scans(conn, "XNAT_E99999")


def test_A3_5_an_unknown_project_is_not_found(conn: Connection, project: str) -> None:
    with pytest.raises(XNATNotFoundError):
        listings.list_subjects(conn, "NOPE")
    with pytest.raises(XNATNotFoundError):
        listings.list_experiments(conn, "NOPE")


def test_A3_5_shared_items_show_the_labels_of_the_project(
    conn: Connection, project: str, standin: StandIn
) -> None:
    from xnat_luigi.rest import items

    standin.add_project("P2")
    (session,) = listings.list_experiments(conn, "P1")
    items.share(conn, uris.subject(session.subject_id), "P2", label="X1")
    items.share(conn, uris.experiment(session.id), "P2", label="X1_MR")
    (found,) = listings.list_experiments(conn, "P2")
    assert (found.id, found.label, found.project) == (session.id, "X1_MR", "P2")
    (subject,) = listings.list_subjects(conn, "P2")
    assert (subject.label, subject.project) == ("X1", "P1")  # only the label is replaced there
    shares = listings.list_shares(conn, uris.experiment(session.id))
    assert {one.project: one.label for one in shares} == {"P1": "S1_MR1", "P2": "X1_MR"}


def test_A8_26_users_and_scan_types(conn: Connection, project: str) -> None:
    assert {"admin", "reader"} <= {one.login for one in listings.list_users(conn)}
    assert set(listings.list_scan_types(conn, "P1")) == {"T1", "T2"}
