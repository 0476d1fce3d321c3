"""Services: import, archive, validation, refresh, dumps, tokens, tracking (wire contract B)."""

from __future__ import annotations

import pytest

from xnat_luigi import uris
from xnat_luigi.connection.login import Connection
from xnat_luigi.exceptions import (
    XNATForbiddenError,
    XNATNotFoundError,
    XNATResponseError,
    XNATUnclearError,
    XNATValueError,
)
from xnat_luigi.rest import absence, contents, listings, prearchive, services
from xnat_luigi.rest.records import Experiment, PrearchiveRow
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from .material import UID, study_zip


@pytest.fixture
def row(conn: Connection, standin: StandIn) -> PrearchiveRow:
    """A built study."""
    standin.add_project("P1")
    services.import_archive(conn, study_zip(), project="P1", subject="S1", session="S1_MR1")
    found = absence.find_row(conn, "P1", UID)
    assert found is not None
    return prearchive.build(conn, found)


@pytest.mark.parametrize(
    ("uri", "place", "names"),
    [
        ("/data/prearchive/projects/P/2024/F\r\n", "prearchive", ("P", "2024", "F", "", "")),
        (
            "/data/archive/projects/P/subjects/S/experiments/L",
            "archive",
            ("P", "", "", "S", "L"),
        ),
        ("/xapi/direct-archive/P/1.2/L", "direct-archive", ("P", "1.2", "", "", "L")),
        ("/xapi/dicom/42", "inbox", ("", "42", "", "", "")),
        (
            "https://h/data/prearchive/projects/P/2024/F%20G",
            "prearchive",
            ("P", "2024", "F G", "", ""),
        ),
    ],
)
def test_B1_4_addresses_of_imports(uri: str, place: str, names: tuple[str, ...]) -> None:
    found = services.read_import_address(uri)
    assert found.place == place
    assert (found.project, found.timestamp, found.folder, found.subject, found.session) == names


def test_B1_4_an_address_of_something_else_is_an_error() -> None:
    with pytest.raises(XNATResponseError, match="no address of an import"):
        services.read_import_address("/data/projects/P")


def test_B1_3_an_unknown_project_is_told_though_the_server_says_yes(
    conn: Connection, standin: StandIn
) -> None:
    with pytest.raises(XNATResponseError, match="stored it elsewhere"):
        services.import_archive(conn, study_zip(), project="NOWHERE")


def test_B1_3_what_must_not_be_sent_is_not_sent(conn: Connection, standin: StandIn) -> None:
    before = len(standin.requests)
    with pytest.raises(XNATValueError, match="even on failure"):
        services.import_archive(conn, b"x", project="P1", parameters={"format": "html"})
    with pytest.raises(XNATValueError, match="means append"):
        services.import_archive(conn, b"x", project="P1", parameters={"overwrite": "none"})
    assert len(standin.requests) == before


def test_B1_6_the_same_study_again_is_the_same_row(conn: Connection, row: PrearchiveRow) -> None:
    services.import_archive(conn, study_zip(), project="P1", subject="S1", session="S1_MR1")
    (found,) = prearchive.list_rows(conn, "P1")
    assert (found.url, found.status) == (row.url, "RECEIVING")


def test_B3_3_archive(conn: Connection, row: PrearchiveRow) -> None:
    address = services.archive(conn, row)
    assert services.read_import_address(address).session == "S1_MR1"
    found = absence.find_study(conn, "P1", UID)
    assert isinstance(found, Experiment) and found.label == "S1_MR1"
    assert absence.find_rows(conn, "P1") == []


def test_B3_3_labels_can_be_given(conn: Connection, row: PrearchiveRow) -> None:
    services.archive(conn, row, subject="OTHER", session="OTHER_MR", fields={"note": "by hand"})
    found = absence.find_experiment(conn, "P1", "OTHER_MR")
    subject = absence.find_subject(conn, "P1", "OTHER")
    assert found is not None and subject is not None and found.subject_id == subject.id


def test_B3_3_only_known_words_of_overwriting(conn: Connection, row: PrearchiveRow) -> None:
    with pytest.raises(XNATValueError, match="neither"):
        services.archive(conn, row, overwrite="none")


def test_B3_5_validation(conn: Connection, row: PrearchiveRow, standin: StandIn) -> None:
    assert services.validate_archive(conn, row) == []
    standin.add_session("P1", "S1", "S1_MR1", scans={"9": "T1"}, UID="9.9")
    found = services.validate_archive(conn, row)
    assert {one.code for one in found} & {1, 5, 19}
    assert all(one.type in ("WARN", "FAIL", "CONFLICT") and one.message for one in found)


def test_P5_B5_1_a_refresh_is_seen_in_the_listing(conn: Connection, standin: StandIn) -> None:
    standin.preferences["checksums"] = False
    standin.add_session(
        "P1", "S1", "S1_MR1", scans={"1": {"type": "T1", "resources": {"DICOM": {"1": b"one"}}}}
    )
    (session,) = listings.list_experiments(conn, "P1")
    place = uris.Address(experiment=session.id, scan="1")
    assert [one.digest for one in contents.list_files(conn, place)] == [""]
    services.refresh_catalog(
        conn, uris.Address(experiment=session.id).archive_uri(), ["checksum", "populateStats"]
    )
    assert [len(one.digest) for one in contents.list_files(conn, place)] == [32]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_N8_B13_2_a_refresh_whose_answer_is_lost_is_ordered_once(
    conn: Connection, standin: StandIn, status: int
) -> None:
    id_ = standin.add_session("P1", "S1", "S1_MR1")
    standin.faults.add(Fault(path="/refresh/catalog", rewrite_status=status))
    with pytest.raises(XNATUnclearError):
        services.refresh_catalog(conn, uris.Address(experiment=id_).archive_uri(), ["append"])
    assert sum(one.path == uris.REFRESH_CATALOG for one in standin.requests) == 1


def test_B5_1_a_refresh_says_what_to_do(conn: Connection, standin: StandIn) -> None:
    with pytest.raises(XNATValueError, match="does everything"):
        services.refresh_catalog(conn, "/archive/experiments/E", [])
    with pytest.raises(XNATValueError, match="not of"):
        services.refresh_catalog(conn, "/archive/experiments/E", ["ALL"])
    with pytest.raises(XNATValueError, match="must begin"):
        services.refresh_catalog(conn, "/experiments/E", ["append"])
    with pytest.raises(XNATResponseError):
        services.refresh_catalog(conn, "/archive/experiments/XNAT_E9999", ["append"])


def test_B6_headers(conn: Connection, row: PrearchiveRow) -> None:
    source = prearchive.source_of(row)
    found = {tag.desc: tag.value for tag in services.dicom_dump(conn, source)}
    assert found["Patient ID"] == "S1_MR1" and found["Series Description"] == "T1 MPRAGE"
    (only,) = services.dicom_dump(conn, f"/data{source}/scans/1", ["PatientName"])
    assert (only.tag1, only.value) == ("(0010,0010)", "S1")
    (same,) = services.dicom_dump(conn, f"{source}/scans/1", ["00100010"])
    assert same == only
    assert services.dicom_dump(conn, f"{source}/scans/99") == []
    with pytest.raises(XNATValueError, match="must begin"):
        services.dicom_dump(conn, "/archive/experiments/E")


def test_B8_tokens(conn: Connection, standin: StandIn, reader: Connection) -> None:
    token = services.issue_token(conn)
    assert token.alias and token.secret and token.secret not in repr(token)
    assert services.issue_token(conn, "reader").alias
    with pytest.raises(XNATForbiddenError):
        services.issue_token(reader, "admin")


def test_B4_1_tracking(conn: Connection, row: PrearchiveRow) -> None:
    key = "archive-1"
    conn.request(
        "POST",
        uris.ARCHIVE,
        query={
            "src": prearchive.source_of(row),
            "auto-archive": "false",
            "http-session-listener": key,
        },
        accepted=(200, 303),
    )
    for _ in range(200):
        found = services.track(conn, key)
        if found.succeeded is not None:
            break
    assert found.succeeded is True and "/archive/projects/P1" in found.final_message
    with pytest.raises(XNATNotFoundError):
        services.track(conn, "unknown")


def test_B7_the_inbox(conn: Connection, standin: StandIn) -> None:
    from tests.standin.objects import study_files

    standin.add_project("P1")
    root = standin.root / "inbox"
    standin.preferences["inboxPath"] = str(root)
    folder = root / "P1" / "one"
    folder.mkdir(parents=True)
    for name, data in study_files(UID, {1: 1}).items():
        (folder / name).write_bytes(data)
    address = services.import_inbox(
        conn, str(folder), project="P1", subject="S1", session="IN_1", cleanup=False
    )
    assert services.read_import_address(address[address.index("/xapi/") :]).place == "inbox"
    assert sorted(one.name for one in folder.iterdir()) == ["1-1.dcm"]
