"""What may be called «not there» (the table of absence)."""

from __future__ import annotations

import pytest

from xnat_luigi import uris
from xnat_luigi.connection.login import Connection
from xnat_luigi.exceptions import (
    XNATError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATResponseError,
)
from xnat_luigi.rest import absence, items, listings
from xnat_luigi.rest.records import Experiment, PrearchiveRow
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

LOGIN_PAGE = "<!DOCTYPE html><html><!-- BEGIN xnat-templates/screens/Login.vm --></html>"


@pytest.fixture
def session(conn: Connection, project: str) -> str:
    (found,) = listings.list_experiments(conn, "P1")
    return found.id


def test_A4_there_and_not_there(conn: Connection, session: str) -> None:
    assert absence.project_exists(conn, "P1") and not absence.project_exists(conn, "P9")
    assert absence.subject_exists(conn, "P1", "S1")
    assert not absence.subject_exists(conn, "P1", "S9")
    assert absence.experiment_exists(conn, "P1", "S1_MR1")
    assert absence.experiment_exists(conn, None, session)
    assert not absence.experiment_exists(conn, "P1", "NOPE")
    assert absence.scan_exists(conn, session, "1")
    assert not absence.scan_exists(conn, session, "T1")  # a type is no ID
    assert not absence.scan_exists(conn, session, "99")
    assert not absence.assessor_exists(conn, session, "QC")


def test_A4_nothing_is_absent_in_a_project_that_is_not_there(conn: Connection) -> None:
    with pytest.raises(XNATNotFoundError):
        absence.subject_exists(conn, "P9", "S1")
    with pytest.raises(XNATNotFoundError):
        absence.experiment_exists(conn, "P9", "E")
    with pytest.raises(XNATNotFoundError):
        absence.find_rows(conn, "P9")
    with pytest.raises(XNATNotFoundError):
        absence.scan_exists(conn, "XNAT_E99999", "1")


def test_A7_an_id_of_another_project_is_absent_in_this_one(
    conn: Connection, session: str, standin: StandIn
) -> None:
    standin.add_project("P2")
    assert not absence.experiment_exists(conn, "P2", session)
    subject = listings.list_subjects(conn, "P1")[0].id
    assert not absence.subject_exists(conn, "P2", subject)
    assert absence.subject_exists(conn, "P1", subject)


def test_A7_a_shared_item_is_there_under_its_label(
    conn: Connection, session: str, standin: StandIn
) -> None:
    standin.add_project("P2")
    items.share(conn, uris.experiment(session), "P2", label="OTHER")
    found = absence.find_experiment(conn, "P2", "OTHER")
    assert found is not None and (found.id, found.label) == (session, "OTHER")
    again = absence.find_experiment(conn, "P2", session)
    assert again is not None and again.label == "OTHER"


def test_A7_an_assessor_of_another_session_is_absent(
    conn: Connection, session: str, standin: StandIn
) -> None:
    standin.add_session("P1", "S1", "S1_MR2")
    other = standin.add_assessor("P1", "S1_MR2", "QC2")
    standin.add_assessor("P1", "S1_MR1", "QC1")
    assert absence.assessor_exists(conn, session, "QC1")
    assert not absence.assessor_exists(conn, session, other)


def test_A6_1_resources(conn: Connection, session: str) -> None:
    place = uris.Address(experiment=session, scan="1")
    found = absence.find_resource(conn, place, "DICOM")
    assert found is not None and (found.file_count, found.file_size) == (2, 10)
    assert absence.find_resource(conn, place, found.id) == found
    assert absence.find_resource(conn, place, "dicom") is None
    assert absence.find_resource(conn, uris.Address(experiment=session), "DICOM") is None


def test_A6_1_the_parents_rows_are_never_taken_for_the_childs(
    conn: Connection, session: str, standin: StandIn
) -> None:
    standin.add_project("P1", resources={"DICOM": {"p.txt": b"p"}})
    wrong = uris.Address(project="P1", experiment="NOPE")
    with pytest.raises(XNATNotFoundError):
        absence.find_resource(conn, wrong, "DICOM")
    with pytest.raises(XNATNotFoundError):
        absence.find_resource(conn, uris.Address(experiment=session, scan="99"), "DICOM")


def test_A6_1_a_scan_type_is_no_scan(conn: Connection, session: str) -> None:
    with pytest.raises(XNATNotFoundError):
        absence.find_resource(conn, uris.Address(experiment=session, scan="T1"), "DICOM")


def test_A6_1_files(conn: Connection, session: str) -> None:
    place = uris.Address(experiment=session, scan="1")
    found = absence.find_file(conn, place, "NIFTI", "a/b.nii")
    assert found is not None and found.size == 5 and len(found.digest) == 32
    assert absence.find_file(conn, place, "NIFTI", "b.nii") is None
    assert absence.find_file(conn, place, "NONE", "b.nii") is None
    with pytest.raises(XNATNotFoundError):
        absence.find_file(conn, uris.Address(experiment="XNAT_E9999"), "NIFTI", "b.nii")


def test_A6_1_two_resources_of_one_label_are_named(
    conn: Connection, session: str, standin: StandIn
) -> None:
    above = standin.state.items.by_id(session, "experiment")
    assert above is not None
    scan = standin.state.items.scan(above, "1")
    assert scan is not None
    standin.state.resources.create(scan, "DICOM")  # as two racing creators leave it
    place = uris.Address(experiment=session, scan="1")
    with pytest.raises(XNATIntegrityError, match="name one by its ID"):
        absence.find_resource(conn, place, "DICOM")


def test_A1_3_an_ended_login_is_not_absence(
    conn: Connection, session: str, standin: StandIn
) -> None:
    assert absence.experiment_exists(conn, "P1", "S1_MR1")
    standin.clock.advance(3600)  # the login ends after 15 minutes without a request
    assert absence.experiment_exists(conn, "P1", "S1_MR1")
    standin.clock.advance(3600)
    assert not absence.experiment_exists(conn, "P1", "NOPE")


def test_T1_an_outage_is_not_absence(conn: Connection, session: str, standin: StandIn) -> None:
    standin.faults.add(Fault(method="GET", path="/experiments/NOPE", status=500))
    with pytest.raises(XNATResponseError):
        absence.experiment_exists(conn, "P1", "NOPE")
    standin.faults.clear()


def test_B2_1_no_rows_in_a_project_that_can_be_read(conn: Connection, project: str) -> None:
    assert absence.find_rows(conn, "P1") == []
    assert absence.find_row(conn, "P1", "1.2.3") is None
    assert absence.find_row_at(conn, "P1", "20240101_101010101", "X") is None


def test_B13_1_a_study_is_a_row_or_an_experiment(conn: Connection, session: str) -> None:
    found = absence.find_study(conn, "P1", "1.2.3.4")
    assert isinstance(found, Experiment) and not isinstance(found, PrearchiveRow)
    assert found.id == session
    assert absence.find_study(conn, "P1", "9.9") is None
    assert absence.find_study(conn, "P1", "1.2.3.4", name="OTHER") is None


def test_N9_a_login_page_is_not_absence(conn: Connection, session: str, standin: StandIn) -> None:
    standin.faults.add(Fault(method="GET", path="/experiments", replace=LOGIN_PAGE))
    with pytest.raises(XNATError):
        listings.list_experiments(conn, "P1")
    standin.faults.clear()
