"""Files: stored, read, deleted, and what the server says about them (wire contract A 6)."""

from __future__ import annotations

import hashlib

import pytest

from xnat_luigi import uris
from xnat_luigi.connection.login import Connection
from xnat_luigi.exceptions import (
    XNATConflictError,
    XNATError,
    XNATForbiddenError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATPageError,
    XNATUnsafeNameError,
    XNATUploadError,
)
from xnat_luigi.rest import contents, listings
from xnat_luigi.rest.files import catalogs, download, removal, upload
from xnat_luigi.staging.pack import pack_tar, pack_zip
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.uris import Address


@pytest.fixture
def session(conn: Connection, project: str) -> str:
    (found,) = listings.list_experiments(conn, "P1")
    return found.id


@pytest.fixture
def scan(session: str) -> Address:
    return Address(experiment=session, scan="1")


def test_A6_2_a_listing_has_path_size_and_digest(conn: Connection, scan: Address) -> None:
    found = {one.path: one for one in contents.list_files(conn, scan)}
    assert set(found) == {"1.dcm", "2.dcm", "a/b.nii"}
    assert found["2.dcm"].size == 7
    assert found["2.dcm"].digest == hashlib.md5(b"two two").hexdigest()
    assert found["a/b.nii"].resource_label == "NIFTI"
    assert {one.path for one in contents.list_files(conn, scan, "NIFTI")} == {"a/b.nii"}


def test_A6_1_an_unknown_resource_is_no_empty_one(conn: Connection, scan: Address) -> None:
    with pytest.raises(XNATNotFoundError, match="no resource 'NONE'"):
        contents.list_files(conn, scan, "NONE")
    upload.create_resource(conn, scan, "EMPTY")
    assert contents.list_files(conn, scan, "EMPTY") == []


def test_A3_6_all_files_of_a_session(conn: Connection, session: str, standin: StandIn) -> None:
    standin.add_assessor("P1", "S1_MR1", "QC1", resources={"REPORT": {"r.txt": b"fine"}})
    found = contents.list_session_files(conn, session)
    assert sorted(one.path for one in found) == [
        "1.dcm",
        "1.dcm",
        "2.dcm",
        "a/b.nii",
        "log.txt",
        "r.txt",
        "sub/log.txt",
    ]
    every = contents.list_resources(conn, Address(experiment=session), everything=True)
    assert {(one.category, one.cat_id, one.label) for one in every} >= {
        ("scans", "1", "DICOM"),
        ("scans", "2", "DICOM"),
        ("resources", "", "LOGS"),
    }
    assert {one.resource_id for one in found} == {one.id for one in every}


def test_A6_1_resources_are_made_once(conn: Connection, scan: Address) -> None:
    assert upload.create_resource(conn, scan, "NEW", format="TEXT", content="NOTES")
    assert not upload.create_resource(conn, scan, "NEW", format="OTHER")
    (found,) = (one for one in contents.list_resources(conn, scan) if one.label == "NEW")
    assert (found.format, found.content) == ("TEXT", "NOTES")


def test_A6_4_a_file_is_stored_and_read(conn: Connection, scan: Address) -> None:
    upload.put_file(conn, scan, "NEW", "x/y.txt", b"words")
    (found,) = contents.list_files(conn, scan, "NEW")
    assert (found.path, found.size) == ("x/y.txt", 5)
    assert download.read_file(conn, found.uri, limit=100) == b"words"
    with pytest.raises(XNATIntegrityError, match="more than 3 bytes"):
        download.read_file(conn, found.uri, limit=3)


def test_A6_4_a_duplicate_is_an_error_though_the_server_says_200(
    conn: Connection, scan: Address
) -> None:
    upload.put_file(conn, scan, "NEW", "x.txt", b"first")
    with pytest.raises(XNATUploadError, match=r"has x\.txt already"):
        upload.put_file(conn, scan, "NEW", "x.txt", b"second")
    (found,) = contents.list_files(conn, scan, "NEW")
    assert download.read_file(conn, found.uri, limit=100) == b"first"
    upload.put_file(conn, scan, "NEW", "x.txt", b"third", overwrite=True)
    assert download.read_file(conn, found.uri, limit=100) == b"third"


@pytest.mark.parametrize(
    "name", ["a b.txt", "a+b c.txt", "plus+.txt", "sub dir/ä ö.txt", "a b#%.txt"]
)
def test_T4_A6_4_odd_names_round_trip(conn: Connection, scan: Address, name: str) -> None:
    upload.put_file(conn, scan, "NEW", name, b"words")
    (found,) = contents.list_files(conn, scan, "NEW")
    assert found.path == name
    assert download.read_file(conn, found.uri, limit=100) == b"words"


@pytest.mark.parametrize(
    "name", ["a#b.txt", "50%.txt", "ü.txt", "a?.txt", "../x", "/x", "x//y", ""]
)
def test_T4_A6_4_names_that_would_be_stored_otherwise_are_refused(
    conn: Connection, scan: Address, standin: StandIn, name: str
) -> None:
    before = len(standin.requests)
    with pytest.raises(XNATUnsafeNameError):
        upload.put_file(conn, scan, "NEW", name, b"words")
    assert len(standin.requests) == before


@pytest.mark.parametrize("label", ["123", "a b", "a/b", "..", "ä", "a'b", ""])
def test_T4_A6_1_resource_labels_that_go_wrong_are_refused(
    conn: Connection, scan: Address, standin: StandIn, label: str
) -> None:
    before = len(standin.requests)
    with pytest.raises(XNATUnsafeNameError):
        upload.create_resource(conn, scan, label)
    with pytest.raises(XNATUnsafeNameError):
        upload.put_file(conn, scan, label, "x.txt", b"words")
    assert len(standin.requests) == before


def test_A6_4_catalogs_are_never_uploaded(conn: Connection, scan: Address) -> None:
    with pytest.raises(XNATUnsafeNameError, match="catalogs"):
        upload.put_file(conn, scan, "NEW", "x_catalog.xml", b"<x/>")


def test_A6_4_an_archive_brings_many_files_and_empty_ones(
    conn: Connection, scan: Address, tmp_path: object
) -> None:
    body = b"".join(pack_zip([("a/1.txt", b"one"), ("empty.txt", b""), ("ü #%.txt", b"odd")]))
    upload.put_archive(conn, scan, "NEW", body)
    found = {one.path: one.size for one in contents.list_files(conn, scan, "NEW")}
    assert found == {"a/1.txt": 3, "empty.txt": 0, "ü #%.txt": 3}
    with pytest.raises(XNATUploadError, match="already"):
        upload.put_archive(conn, scan, "NEW", b"".join(pack_zip([("a/1.txt", b"x"), ("n", b"n")])))
    assert len(contents.list_files(conn, scan, "NEW")) == 4  # the others were stored all the same


def test_A6_4_a_zip_is_streamed_without_a_known_length(conn: Connection, scan: Address) -> None:
    upload.put_archive(conn, scan, "NEW", pack_zip([("a.txt", b"one"), ("b.txt", b"two")]))
    assert {one.path for one in contents.list_files(conn, scan, "NEW")} == {"a.txt", "b.txt"}


def test_A8_12_a_tgz_is_sent_as_what_it_is(
    conn: Connection, scan: Address, tmp_path: object
) -> None:
    from pathlib import Path

    source = Path(str(tmp_path)) / "a.txt"
    source.write_bytes(b"words")
    body = b"".join(pack_tar([("in/a.txt", source)]))
    upload.put_archive(conn, scan, "NEW", body, name="upload.tar.gz")
    assert {one.path for one in contents.list_files(conn, scan, "NEW")} == {"in/a.txt"}
    with pytest.raises(XNATUnsafeNameError, match="none of"):
        upload.put_archive(conn, scan, "NEW", body, name="x.nii.gz")


def test_A6_5_deleting_one_file_never_takes_others_along(conn: Connection, scan: Address) -> None:
    for name in ("a.nii", "a.nii.gz", "b.txt"):
        upload.put_file(conn, scan, "NEW", name, b"words")
    with pytest.raises(XNATConflictError, match=r"would also delete a\.nii\.gz"):
        removal.delete_file(conn, scan, "NEW", "a.nii")
    removal.delete_file(conn, scan, "NEW", "a.nii.gz")
    removal.delete_file(conn, scan, "NEW", "a.nii")
    assert [one.path for one in contents.list_files(conn, scan, "NEW")] == ["b.txt"]
    with pytest.raises(XNATNotFoundError):
        removal.delete_file(conn, scan, "NEW", "a.nii")


def test_A6_1_deleting_a_resource(conn: Connection, scan: Address) -> None:
    removal.delete_resource(conn, scan, "NIFTI")
    assert {one.label for one in contents.list_resources(conn, scan)} == {"DICOM"}
    with pytest.raises(XNATNotFoundError):  # the server itself would say 200
        removal.delete_resource(conn, scan, "NIFTI")


def test_A6_5_edit_is_not_enough_to_delete(
    conn: Connection, scan: Address, standin: StandIn, reader: Connection
) -> None:
    with pytest.raises(XNATForbiddenError):
        removal.delete_file(reader, scan, "NIFTI", "a/b.nii")


def test_A6_6_a_catalog(conn: Connection, scan: Address) -> None:
    found = catalogs.read_catalog(conn, scan, "DICOM")
    assert found.kind == "DCMCatalog"
    assert {one.path: one.size for one in found.entries} == {"1.dcm": 3, "2.dcm": 7}
    assert all(one.digest and one.created for one in found.entries)


def test_A6_7_a_zip_and_what_is_none(conn: Connection, session: str) -> None:
    with download.open_zip(conn, uris.scan_files(session)) as stream:
        body = b"".join(stream.chunks())
    assert body[:4] == b"PK\3\4"
    with pytest.raises(XNATPageError), download.open_zip(conn, uris.experiment(session)):
        pass


def test_N9_a_login_page_is_no_file(conn: Connection, scan: Address, standin: StandIn) -> None:
    (found,) = contents.list_files(conn, scan, "NIFTI")
    page = "<!DOCTYPE html><html><!-- BEGIN xnat-templates/screens/Login.vm --></html>"
    standin.faults.add(Fault(method="GET", path=r"b\.nii", replace=page))
    body = b""
    try:
        body = download.read_file(conn, found.uri, limit=1000)
    except XNATError:
        pass
    finally:
        standin.faults.clear()
    # What looks like a page can be a file: only size and digest of the listing tell (A 6.3).
    assert body != b"nifti"
    assert hashlib.md5(body).hexdigest() != found.digest
