"""Making, changing, sharing and deleting items (wire contract A 4, 5)."""

from __future__ import annotations

import pytest

from xnat_luigi import uris
from xnat_luigi.config import Policy
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import (
    XNATConflictError,
    XNATForbiddenError,
    XNATNotFoundError,
    XNATResponseError,
    XNATUnclearError,
    XNATUnsafeNameError,
    XNATValueError,
)
from xnat_luigi.rest import absence, items, listings
from xnat_luigi.rest.records import Item
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault


@pytest.fixture
def session(conn: Connection, project: str) -> str:
    (found,) = listings.list_experiments(conn, "P1")
    return found.id


def test_A4_a_document_with_children(conn: Connection, session: str) -> None:
    item = items.get_item(conn, uris.experiment(session))
    assert item.xsi_type == "xnat:mrSessionData"
    assert (item.text("label"), item.text("UID"), item.text("date")) == (
        "S1_MR1",
        "1.2.3.4",
        "2024-02-01",
    )
    scans = item.listed("scans/scan")
    assert sorted(scan.text("ID") for scan in scans) == ["1", "2"]
    labels = {file.text("label") for scan in scans for file in scan.listed("file")}
    assert labels == {"DICOM", "NIFTI"}


def test_A5_1_everything_is_made_and_told_by_its_id(conn: Connection, standin: StandIn) -> None:
    assert items.create_project(conn, "NEW", fields={"name": "New one"}) == "NEW"
    subject = items.create_subject(conn, "NEW", "S9", fields={"xnat:subjectData/group": "A"})
    experiment = items.create_experiment(conn, "NEW", "S9", "S9_MR", "xnat:mrSessionData")
    items.create_scan(conn, experiment, "7", "xnat:mrScanData", fields={"type": "T1"})
    assessor = items.create_assessor(conn, experiment, "S9_QC", "xnat:qcManualAssessorData")
    assert items.get_item(conn, uris.subject(subject)).text("group") == "A"
    (scan,) = listings.list_scans(conn, experiment)
    assert (scan.id, scan.type) == ("7", "T1")
    (found,) = listings.list_assessors(conn, experiment)
    assert found.id == assessor
    assert items.create_subject(conn, "NEW", "S9") == subject  # by label: the same again


def test_A5_4_an_experiment_under_a_missing_subject_makes_none(
    conn: Connection, project: str
) -> None:
    with pytest.raises(XNATNotFoundError, match="create it first"):
        items.create_experiment(conn, "P1", "NOBODY", "X_MR", "xnat:mrSessionData")
    assert not absence.subject_exists(conn, "P1", "NOBODY")


def test_A5_4_an_experiment_is_never_moved_by_naming_another_subject(
    conn: Connection, session: str
) -> None:
    with pytest.raises(XNATConflictError, match="belongs to subject"):
        items.create_experiment(conn, "P1", "S2", "S1_MR1", "xnat:mrSessionData")
    with pytest.raises(XNATConflictError, match="not a xnat:ctSessionData"):
        items.create_experiment(conn, "P1", "S1", "S1_MR1", "xnat:ctSessionData")
    found = absence.find_experiment(conn, "P1", "S1_MR1")
    subject = absence.find_subject(conn, "P1", "S1")
    assert found is not None and subject is not None and found.subject_id == subject.id


def test_B11_4_an_assessor_label_of_another_session_is_a_conflict(
    conn: Connection, session: str, standin: StandIn
) -> None:
    standin.add_session("P1", "S1", "S1_MR2")
    standin.add_assessor("P1", "S1_MR2", "QC")
    with pytest.raises(XNATConflictError, match="taken"):
        items.create_assessor(conn, session, "QC", "xnat:qcAssessmentData")
    with pytest.raises(XNATConflictError, match="taken"):
        items.create_assessor(conn, session, "S1_MR2", "xnat:qcAssessmentData")


@pytest.mark.parametrize("label", ["a b", "a/b", "ä", "a.b", "", "x" * 256, "a%20b", "a#b"])
def test_T4_A5_3_labels_that_the_server_chokes_on_are_refused_here(
    conn: Connection, session: str, standin: StandIn, label: str
) -> None:
    before = len(standin.requests)
    with pytest.raises(XNATUnsafeNameError):
        items.create_subject(conn, "P1", label)
    with pytest.raises(XNATUnsafeNameError):
        items.create_experiment(conn, "P1", "S1", label, "xnat:mrSessionData")
    with pytest.raises(XNATUnsafeNameError):
        items.create_scan(conn, session, label, "xnat:mrScanData")
    with pytest.raises(XNATUnsafeNameError):
        items.rename(conn, uris.experiment(session), label)
    assert len(standin.requests) == before


def test_A5_2_fields_are_set_and_read_back(conn: Connection, session: str) -> None:
    path = uris.experiment(session)
    items.set_fields(
        conn,
        path,
        {
            "xnat:mrSessionData/note": 'a <b> & "c"',
            "xnat:mrSessionData/fields/field[name=cohort]/field": "A",
        },
    )
    item = items.get_item(conn, path)
    (variable,) = item.listed("fields/field")
    assert (variable.text("name"), variable.text("field")) == ("cohort", "A")
    items.set_fields(conn, path, {"xnat:mrSessionData/note": None})
    assert items.get_item(conn, path).text("note") == ""


def test_A5_2_an_unknown_field_is_an_error_though_the_server_says_yes(
    conn: Connection, session: str
) -> None:
    with pytest.raises(XNATResponseError, match="does not show"):
        items.set_fields(conn, uris.experiment(session), {"xnat:mrSessionData/nonsense/x": "1"})


def test_A5_2_a_field_of_another_type_is_an_error(conn: Connection, session: str) -> None:
    scan = uris.scan(session, "1")
    with pytest.raises(XNATResponseError):
        items.set_fields(conn, scan, {"xnat:ctScanData/note": "x"}, xsi_type="xnat:mrScanData")


def test_B11_1_the_quality_of_a_scan(conn: Connection, session: str) -> None:
    items.set_fields(conn, uris.scan(session, "1"), {"quality": "unusable"})
    assert listings.list_scans(conn, session)[0].quality == "unusable"


def test_A0_2_keys_that_the_server_eats_are_refused(conn: Connection, session: str) -> None:
    with pytest.raises(XNATValueError, match="takes it for itself"):
        items.set_fields(conn, uris.experiment(session), {"method": "DELETE"})
    assert absence.experiment_exists(conn, "P1", "S1_MR1")


def test_A5_4_renaming(conn: Connection, session: str, standin: StandIn) -> None:
    items.rename(conn, uris.experiment(session), "S1_NEW")
    assert absence.experiment_exists(conn, "P1", "S1_NEW")
    assert not absence.experiment_exists(conn, "P1", "S1_MR1")
    standin.add_session("P1", "S1", "TAKEN")
    with pytest.raises(XNATConflictError):
        items.rename(conn, uris.experiment(session), "TAKEN")


def test_A5_4_sharing_twice_is_no_error_another_label_is(
    conn: Connection, session: str, standin: StandIn
) -> None:
    standin.add_project("P2")
    path = uris.experiment(session)
    items.share(conn, path, "P2", label="L")
    items.share(conn, path, "P2", label="L")
    with pytest.raises(XNATConflictError):
        items.share(conn, path, "P2", label="OTHER")
    items.unshare(conn, path, "P2")
    assert not absence.experiment_exists(conn, "P2", "L")
    with pytest.raises(XNATConflictError, match="would delete it"):
        items.unshare(conn, path, "P1")
    assert absence.experiment_exists(conn, "P1", "S1_MR1")


def test_A5_4_handing_over_is_ordered_once_though_its_answer_is_lost(
    conn: Connection, session: str, standin: StandIn
) -> None:
    standin.add_project("P2")
    path = uris.experiment(session)
    rule = standin.faults.add(Fault(method="PUT", path="/projects/P2", rewrite_status=504))
    with pytest.raises(XNATUnclearError):
        items.share(conn, path, "P2", primary=True)
    assert rule.fired == 1
    standin.faults.clear()
    assert items.get_item(conn, path).text("project") == "P2"


def test_A5_4_an_unsharing_may_take_as_long_as_a_deletion(
    conn: Connection, standin: StandIn, session: str
) -> None:
    policy = Policy(listing=0.5, transfer=5.0, attempts=1)
    standin.add_project("P2")
    path = uris.experiment(session)
    items.share(conn, path, "P2", label="L")
    own = Connection(Transport(standin.url, policy=policy), Credentials("admin", "admin"))
    own.logged_in()
    standin.faults.add(Fault(method="DELETE", path="/projects/P2", answer_delay=0.8))
    items.unshare(own, path, "P2")
    own.close()
    assert not absence.experiment_exists(conn, "P2", "L")


def test_A5_6_deleting(conn: Connection, session: str, reader: Connection) -> None:
    with pytest.raises(XNATForbiddenError):
        items.delete_item(reader, uris.experiment(session, "P1"))
    items.delete_item(conn, uris.experiment(session, "P1"))
    assert not absence.experiment_exists(conn, None, session)
    with pytest.raises(XNATNotFoundError):
        items.delete_item(conn, uris.experiment(session, "P1"))


def test_A5_5_who_may_not_edit_gets_an_error(
    conn: Connection, session: str, reader: Connection
) -> None:
    with pytest.raises(XNATForbiddenError):
        items.set_fields(reader, uris.experiment(session), {"xnat:mrSessionData/note": "x"})


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("xnat:subjectData/fields/field[name=Cohort]/field", "A", True),
        ("xnat:subjectData/fields/field[name='cohort']/field", "A", True),
        ("xnat:subjectData/fields/field[name=cohort]/field", "B", False),
        ("xnat:subjectData/fields/field[name=other]/field", "NULL", True),
        ("xnat:subjectData/fields/field[2]/field", "A", True),
        ("xnat:subjectData/demographics[@xsi:type=xnat:demographicData]/age", "30", True),
        ("xnat:subjectData/demographics[@xsi:type=xnat:demographicData]/age", "31", False),
        ("group", "G & H", True),
        ("group", "G", False),
        ("xnat:subjectData/nonsense/list[name=x]/y", "1", False),
        ("xnat:subjectData/nonsense/list[2]/y", "1", False),
        ("xnat:subjectData/nonsense/list[2]/y", "NULL", True),
    ],
)
def test_A5_2_what_counts_as_kept(key: str, value: str, kept: bool) -> None:
    item = Item(
        "xnat:subjectData",
        {"group": "G &amp; H"},
        {
            "fields/field": (Item("x", {"name": "cohort", "field": "A"}),),
            "demographics": (Item("xnat:demographicData", {"age": 30}),),
        },
    )
    assert items.shows(item, key, value) is kept
