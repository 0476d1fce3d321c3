"""Wire contract A 6.2 and A 6.3: listing files, downloading one."""

from __future__ import annotations

import email.utils
import hashlib
from typing import Any
from urllib.parse import quote

import pytest
import requests

from xnat_luigi.standin import StandIn

from .objects import zipped
from .site import Site
from .test_A06_resources import Place

HELLO = hashlib.md5(b"hello").hexdigest()


@pytest.fixture
def place(site: Site) -> Place:
    return Place(site)


@pytest.fixture
def filled(place: Place) -> str:
    """A scan's resource with files in three folders."""
    resource = f"{place.scan}/resources/DICOM"
    for path in ("a.dcm", "sub/b.dcm", "sub/deep/c.dcm"):
        place.put(f"{resource}/files/{path}")
    return resource


def paths(rows: list[dict[str, str]]) -> list[str]:
    return sorted(row["URI"].partition("/files/")[2] for row in rows)


# 6.2 --------------------------------------------------------------------------------------------


def test_A6_2_envelope(place: Place, filled: str) -> None:
    answer = place.site.get(f"{filled}/files").json()["ResultSet"]
    assert answer["title"] == "Files"
    assert "totalRecords" not in answer
    assert [set(column) for column in answer["Columns"]] == [{"key", "serverRoot"}]


def test_A6_2_row(place: Place, filled: str) -> None:
    number = place.site.rows(f"{place.scan}/resources")[0]["xnat_abstractresource_id"]
    row = next(r for r in place.site.rows(f"{filled}/files") if r["Name"] == "b.dcm")
    assert row["digest"] in (HELLO, "")
    row["digest"] = HELLO
    assert row == {
        "Name": "b.dcm",
        "Size": "5",
        "URI": f"/data{place.scan}/resources/{number}/files/sub/b.dcm",
        "collection": "DICOM",
        "file_tags": "",
        "file_format": "",
        "file_content": "",
        "cat_ID": number,
        "digest": HELLO,
    }


def test_A6_2_uri_mirrors_a_request_for_one_resource(place: Place, filled: str) -> None:
    number = place.site.rows(f"{place.scan}/resources")[0]["xnat_abstractresource_id"]
    long = f"/projects/{place.project}/subjects/S1/experiments/E1/scans/1/resources/DICOM/files"
    subject = place.site.rows(f"/projects/{place.project}/subjects")[0]["ID"]
    expected = (
        f"/data/projects/{place.project}/subjects/{subject}/experiments/{place.session}"
        f"/scans/1/resources/{number}/files/a.dcm"
    )
    assert expected in {row["URI"] for row in place.site.rows(long)}
    # By type: the address has the ID all the same.
    by_type = place.site.rows(f"{place.base}/scans/T1/resources/DICOM/files")
    assert f"/data{place.scan}/resources/{number}/files/a.dcm" in {r["URI"] for r in by_type}


@pytest.mark.parametrize("child", ["assessors/Q?xsiType=xnat:qcManualAssessorData",
                                   "reconstructions/Q?type=x"])  # fmt: skip
def test_A6_2_uri_always_carries_the_direction(place: Place, child: str) -> None:
    place.site.put(f"{place.base}/{child}")
    base = f"{place.base}/{child.partition('?')[0]}"
    place.put(f"{base}/resources/R/files/a")
    uri = place.site.rows(f"{base}/resources/R/files")[0]["URI"]
    assert "/out/resources/" in uri
    assert place.site.get(uri).content == b"hello"


def test_A6_2_uris_of_several_resources(place: Place, filled: str) -> None:
    top = f"/projects/{place.project}"
    place.put(f"{top}/resources/P/files/a")
    place.put(f"{top}/subjects/S1/resources/S/files/a")
    subject = place.site.rows(f"{top}/subjects")[0]["ID"]
    for path, start in (
        (f"{place.base}/scans/ALL/files", f"/data{place.scan}/resources/"),
        (f"{top}/subjects/S1/experiments/E1/scans/ALL/files", f"/data{place.scan}/resources/"),
        (f"{top}/subjects/S1/files", f"/data{top}/subjects/{subject}/resources/"),
        (f"{top}/files", f"/data{top}/resources/"),
    ):
        rows = place.site.rows(path)
        assert rows, path
        assert all(row["URI"].startswith(start) for row in rows), (path, rows[0]["URI"])


def test_A6_2_paths_are_not_encoded(place: Place) -> None:
    files = f"{place.base}/resources/R/files"
    place.put(f"{files}/a%20b/c%20d.txt")
    row = place.site.rows(files)[0]
    assert row["URI"].endswith("/files/a b/c d.txt")
    assert row["Name"] == "c d.txt"


def test_A6_2_sizes_from_catalog_then_disk(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"hello"}})
    files = f"/experiments/{session}/resources/R/files"
    folder = standin.root / "archive/P1/arc001/E1/RESOURCES/R"
    (folder / "a").write_bytes(b"edited on disk")
    assert own_site.rows(files)[0]["Size"] == "5"  # the catalog's, by now wrong
    catalog = folder / "R_catalog.xml"
    text = catalog.read_text()
    start = text.index("<cat:metaFields>", text.index("<cat:entry "))
    end = text.index("</cat:metaFields>", start) + len("</cat:metaFields>")
    catalog.write_text(text[:start] + text[end:])
    assert own_site.rows(files)[0]["Size"] == "14"
    (folder / "a").unlink()
    assert own_site.rows(files)[0]["Size"] == ""


@pytest.mark.parametrize(("name", "column"), [("listSizes", "Size"), ("listDigests", "digest")])
def test_A6_2_columns_switched_off(
    own_site: Site, standin: StandIn, name: str, column: str
) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"hello"}})
    files = f"/experiments/{session}/resources/R/files"
    assert own_site.rows(files)[0][column]
    standin.preferences[name] = False
    assert own_site.rows(files)[0][column] == ""


def test_A6_2_digests_without_checksums(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    files = f"/experiments/{session}/resources/R/files"
    own_site.put(f"{files}/with?inbody=true", b"hello")
    standin.preferences["checksums"] = False
    own_site.put(f"{files}/without?inbody=true", b"hello")
    own_site.put(f"{files}/with?inbody=true&overwrite=true", b"other")
    rows = {row["Name"]: row["digest"] for row in own_site.rows(files)}
    # The digest of the overwritten file stays, and is wrong.
    assert rows == {"with": HELLO, "without": ""}


def test_A6_2_rows_come_from_the_catalog(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a", "b": b"b"}})
    files = f"/experiments/{session}/resources/R/files"
    folder = standin.root / "archive/P1/arc001/E1/RESOURCES/R"
    (folder / "a").unlink()
    (folder / "c").write_bytes(b"c")
    assert paths(own_site.rows(files)) == ["a", "b"]
    missing = own_site.get(f"{files}/a")
    assert missing.status_code == 404
    assert "Unable to find file." in missing.text
    unknown = own_site.get(f"{files}/c")
    assert unknown.status_code == 404
    assert "Unable to find catalog entry for given uri." in unknown.text


@pytest.mark.parametrize("locator", ["absolutePath", "projectPath"])
def test_A6_2_locators(place: Place, filled: str, locator: str) -> None:
    row = place.site.rows(f"{filled}/files", locator=locator)[0]
    assert "URI" not in row
    assert row[locator].endswith("/SCANS/1/DICOM/a.dcm")
    assert row[locator].startswith("/") is (locator == "absolutePath")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"file_content": "RAW"}, ["raw"]),
        ({"file_content": ["RAW", "NULL"]}, ["plain", "raw"]),
        ({"file_format": "NIFTI"}, ["nifti"]),
        ({"file_format": "NULL"}, []),
        ({"file_format": "nifti"}, []),
    ],
)
def test_A6_2_filters(place: Place, query: dict[str, Any], names: list[str]) -> None:
    files = f"{place.base}/resources/R/files"
    place.put(f"{files}/raw", query="&content=RAW")
    place.put(f"{files}/nifti", query="&format=NIFTI&content=OTHER")
    place.put(f"{files}/plain")
    rows = place.site.get(files, params=query).json()["ResultSet"]["Result"]
    assert sorted(row["Name"] for row in rows) == names


def test_A6_2_folders(place: Place, filled: str) -> None:
    assert paths(place.site.rows(f"{filled}/files/sub/")) == ["sub/b.dcm", "sub/deep/c.dcm"]
    assert place.site.rows(f"{filled}/files/nope/") == []


def test_A6_2_recursive_is_inverted(place: Place, filled: str) -> None:
    assert paths(place.site.rows(f"{filled}/files/sub/", recursive="false")) == ["sub/deep/c.dcm"]
    assert len(place.site.rows(f"{filled}/files/sub/", recursive="true")) == 2


def test_A6_2_wildcards_with_several_resources_only(place: Place, filled: str) -> None:
    rows = place.site.rows(f"{place.base}/scans/ALL/files/sub*")
    assert paths(rows) == ["sub/b.dcm", "sub/deep/c.dcm"]
    assert place.site.get(f"{filled}/files/sub*").status_code == 404


def test_A6_2_index(place: Place, filled: str) -> None:
    several = f"{place.base}/scans/ALL/files"
    assert place.site.get(f"{several}?index=0").content == b"hello"
    assert place.site.get(f"{several}?index=9").status_code == 404
    assert place.site.get(f"{filled}/files?index=0").status_code == 404
    assert place.site.get(f"{filled}/files?index=0&file_content=NULL").content == b"hello"


def test_A6_2_inside_a_zip(place: Place) -> None:
    files = f"{place.base}/resources/R/files"
    place.put(f"{files}/x.zip", zipped({"in/one.txt": b"one", "two.txt": b"second"}))
    rows = place.site.rows(f"{files}/x.zip", listContents="true")
    assert {(row["File Name"], row["Size"]) for row in rows} == {
        ("in/one.txt", "3"),
        ("two.txt", "6"),
    }
    for mark in ("!/", "/"):
        answer = place.site.get(f"{files}/x.zip{mark}in/one.txt")
        assert (answer.status_code, answer.content) == (200, b"one")
    assert place.site.get(f"{files}/x.zip!/nope").status_code == 404


def test_A6_2_accept_not_found(place: Place, filled: str) -> None:
    answer = place.site.get(f"{filled}/files/nope?accept-not-found=true")
    assert (answer.status_code, answer.content) == (204, b"")


def test_A6_2_file_without_a_resource(place: Place, filled: str) -> None:
    assert place.site.get(f"{place.scan}/files/a.dcm").content == b"hello"


def test_A6_2_jpeg_is_not_imitated(place: Place, filled: str) -> None:
    answer = place.site.get(f"{filled}/files/a.dcm?format=image/jpeg")
    assert answer.status_code in (200, 501)


# 6.3 --------------------------------------------------------------------------------------------


def test_A6_3_headers(place: Place, filled: str) -> None:
    answer = place.site.get(f"{filled}/files/sub/b.dcm")
    assert answer.content == b"hello"
    assert answer.headers["Content-Length"] == "5"
    assert answer.headers["Cache-Control"] == "must-revalidate"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="b.dcm";'
    assert answer.headers["Content-Type"].startswith("application/octet-stream")
    assert email.utils.parsedate_to_datetime(answer.headers["Last-Modified"])


@pytest.mark.parametrize("name", ["Ā.txt", "a\nb", 'a"b', "日本.dcm", "a\u2028b"])
def test_A6_3_odd_names(place: Place, name: str) -> None:
    """Read twice: what the server remembers of a file must carry any name as well."""
    files = f"{place.base}/resources/R/files"
    path = f"{files}/{quote(name)}%20"
    assert place.site.put(f"{path}?inbody=true", b"hello").status_code == 200
    client = requests.Session()
    client.cookies.set("JSESSIONID", place.site.get("/JSESSION").text)
    for _ in range(3):
        answer = client.get(f"{place.site.url}/data{path}", timeout=10)
        assert (answer.status_code, answer.content) == (200, b"hello")
    answer = place.site.get(f"{files}?format=zip")
    assert answer.content[:2] == b"PK"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "image/png"), ("a.xml", "text/xml"), ("a.txt", "text/plain"),
     ("a.pdf", "application/pdf"), ("a.nii.gz", "application/octet-stream"),
     ("a", "application/octet-stream")],
)  # fmt: skip
def test_A6_3_type_by_extension(place: Place, name: str, kind: str) -> None:
    files = f"{place.base}/resources/R/files"
    place.put(f"{files}/{name}")
    assert place.site.get(f"{files}/{name}").headers["Content-Type"].startswith(kind)


def test_A6_3_not_modified_since(place: Place, filled: str) -> None:
    path = f"{filled}/files/a.dcm"
    stamp = place.site.get(path).headers["Last-Modified"]
    answer = place.site.get(path, headers={"If-Modified-Since": stamp})
    assert (answer.status_code, answer.content) == (304, b"")
    past = email.utils.formatdate(0, usegmt=True)
    assert place.site.get(path, headers={"If-Modified-Since": past}).status_code == 200


def test_A6_3_format_zip_wraps_a_file(place: Place, filled: str) -> None:
    answer = place.site.get(f"{filled}/files/a.dcm?format=zip")
    assert answer.headers["Content-Type"].startswith("application/zip")
    assert answer.content[:4] == b"PK\x03\x04"
    files = f"{place.base}/resources/R/files"
    place.put(f"{files}/x.zip", zipped({"a": b"a"}))
    assert place.site.get(f"{files}/x.zip?format=zip").content == zipped({"a": b"a"})


def test_A6_3_large_files_by_sendfile(place: Place) -> None:
    body = bytes(range(256)) * 8192
    files = f"{place.base}/resources/R/files"
    place.put(f"{files}/big", body)
    answer = place.site.get(f"{files}/big")
    assert answer.content == body
    part = place.site.get(f"{files}/big", headers={"Range": "bytes=1000000-1999999"})
    if part.status_code == 206:
        assert part.content == body[1_000_000:2_000_000]


def test_A6_3_range_beyond_the_end_promises_too_much(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"0123456789"}})
    with pytest.raises(OSError, match=r"IncompleteRead|Connection"):
        own_site.get(f"/experiments/{session}/resources/R/files/a", headers={"Range": "bytes=5-99"})
