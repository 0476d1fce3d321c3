"""Wire contract A 6.1, A 6.5 and A 6.6: resources, removal of files, catalogs."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from xnat_luigi.standin import StandIn

from .site import Site

CAT = "{http://nrg.wustl.edu/catalog}"
MR = "xnat:mrSessionData"


class Place:
    """A session with one scan, and the level at which a test works."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.project = site.project()
        self.session = site.put(
            f"/projects/{self.project}/subjects/S1/experiments/E1?xsiType={MR}"
        ).text
        self.base = f"/experiments/{self.session}"
        self.scan = f"{self.base}/scans/1"
        site.put(f"{self.scan}?xsiType=xnat:mrScanData&xnat:mrScanData/type=T1")

    def put(self, path: str, body: bytes = b"hello", query: str = "") -> None:
        answer = self.site.put(f"{path}?inbody=true{query}", body)
        assert (answer.status_code, answer.content) == (200, b""), answer.text

    def labels(self, path: str, **query: str) -> list[str]:
        return sorted(row["label"] for row in self.site.rows(f"{path}/resources", **query))

    def files(self, resource: str) -> list[str]:
        rows = self.site.rows(f"{resource}/files")
        return sorted(row["URI"].partition("/files/")[2] for row in rows)


@pytest.fixture
def place(site: Site) -> Place:
    return Place(site)


# 6.1 --------------------------------------------------------------------------------------------

LEVELS = [
    "/projects/{P}",
    "/projects/{P}/subjects/S1",
    "/projects/{P}/subjects/S1/experiments/E1",
    "/projects/{P}/experiments/E1",
    "/experiments/{E}",
    "/experiments/{E}/scans/1",
    "/projects/{P}/subjects/S1/experiments/E1/scans/1",
    "/experiments/{E}/assessors/Q",
    "/experiments/{E}/assessors/Q/out",
    "/experiments/{E}/assessors/Q/in",
    "/experiments/{E}/reconstructions/X",
    "/experiments/{E}/reconstructions/X/in",
]


@pytest.mark.parametrize("level", LEVELS)
def test_A6_1_every_level_has_resources(place: Place, level: str) -> None:
    site = place.site
    site.put(f"{place.base}/assessors/Q?xsiType=xnat:qcManualAssessorData")
    site.put(f"{place.base}/reconstructions/X?type=x")
    path = level.replace("{P}", place.project).replace("{E}", place.session)
    made = site.put(f"{path}/resources/R", params={"format": "TXT", "content": "NOTE",
                                                   "tags": "a,b", "description": "d"})  # fmt: skip
    assert (made.status_code, made.content) == (200, b"")
    assert site.put(f"{path}/resources/R").status_code == 409
    row = site.rows(f"{path}/resources")[0]
    assert (row["label"], row["format"], row["content"], row["tags"]) == ("R", "TXT", "NOTE", "a,b")
    place.put(f"{path}/resources/R/files/sub/a.txt")
    rows = site.rows(f"{path}/resources/R/files")
    assert site.get(rows[0]["URI"]).content == b"hello"
    assert rows[0]["URI"].endswith(f"/resources/{row['xnat_abstractresource_id']}/files/sub/a.txt")
    assert site.get(f"{path}/resources/R").headers["Content-Type"].startswith("text/xml")
    assert site.delete(f"{path}/resources/R/files/sub/a.txt").status_code == 200
    assert site.delete(f"{path}/resources/R").status_code == 200
    assert site.rows(f"{path}/resources") == []


def test_A6_1_directions_are_kept_apart(place: Place) -> None:
    place.site.put(f"{place.base}/assessors/Q?xsiType=xnat:qcManualAssessorData")
    base = f"{place.base}/assessors/Q"
    place.put(f"{base}/resources/DEFAULT/files/a")
    place.put(f"{base}/in/resources/IN/files/a")
    assert place.labels(base) == ["DEFAULT"]
    assert place.labels(f"{base}/out") == ["DEFAULT"]
    assert place.labels(f"{base}/in") == ["IN"]


def test_A6_1_only_its_own_unless_all(place: Place) -> None:
    place.put(f"{place.base}/resources/R/files/a")
    place.put(f"{place.scan}/resources/DICOM/files/a")
    assert place.labels(place.base) == ["R"]
    assert place.labels(place.base, all="true") == ["DICOM", "R"]


def test_A6_1_delete(place: Place) -> None:
    for label in ("A", "B", "C"):
        place.put(f"{place.base}/resources/{label}/files/a")
    assert place.site.delete(f"{place.base}/resources/A,B").status_code == 200
    assert place.labels(place.base) == ["C"]
    # Unknown ones are gone already: no word about it.
    assert place.site.delete(f"{place.base}/resources/NOPE").status_code == 200


def test_A6_1_delete_needs_the_right(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a"}})
    standin.add_user("member", "member", P1="member")
    path = f"/experiments/{session}/resources/R"
    member = own_site.as_user("member")
    assert member.delete(path).status_code == 403
    assert member.delete(f"{path}/files/a").status_code == 403
    assert len(own_site.rows(f"{path}/files")) == 1


def test_A6_1_unknown_resource(place: Place) -> None:
    base = f"{place.base}/resources/NOPE"
    assert place.site.rows(f"{base}/files") == []
    missing = place.site.get(base)
    assert missing.status_code == 404
    assert "Unable to find the specified catalog." in missing.text
    assert place.site.get(f"{base}/files?format=zip").status_code == 404
    assert place.site.get(f"{base}/files/a").status_code == 404
    assert place.site.delete(f"{base}/files/a").status_code == 400


def test_A6_1_numeric_id_at_any_position(place: Place) -> None:
    place.put(f"{place.scan}/resources/DICOM/files/a.dcm")
    number = place.site.rows(f"{place.scan}/resources")[0]["xnat_abstractresource_id"]
    assert place.files(f"{place.base}/resources/{number}") == ["a.dcm"]
    got = place.site.get(f"/projects/{place.project}/resources/{number}/files/a.dcm")
    assert got.content == b"hello"
    # An upload does not find it there and makes a resource of that name.
    place.put(f"{place.base}/resources/{number}/files/b.dcm")
    assert place.labels(place.base) == [number]
    assert place.files(f"{place.scan}/resources/DICOM") == ["a.dcm"]
    assert place.site.delete(f"{place.base}/resources/{number}/files/a.dcm").status_code == 200
    assert place.files(f"{place.scan}/resources/DICOM") == []


def test_A6_1_numeric_id_of_something_hidden(own_site: Site, standin: StandIn) -> None:
    standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a"}})
    standin.add_project("P2")
    standin.state.users.set_role("P2", "reader", "owner")
    number = own_site.rows("/projects/P1/experiments/E1/resources")[0]["xnat_abstractresource_id"]
    reader = own_site.as_user("reader")
    assert reader.get(f"/projects/P2/resources/{number}/files").status_code == 404


def test_A6_1_labels_are_case_sensitive(place: Place) -> None:
    place.put(f"{place.base}/resources/R/files/a")
    assert place.files(f"{place.base}/resources/r") == []


def test_A6_1_wrong_child_falls_back_to_its_parent(place: Place) -> None:
    site, top = place.site, f"/projects/{place.project}"
    place.put(f"{top}/resources/PROJECT/files/a")
    place.put(f"{top}/subjects/S1/resources/SUBJECT/files/a")
    assert place.labels(f"{top}/subjects/S1/experiments/NOPE") == ["SUBJECT"]
    assert place.labels(f"{top}/experiments/NOPE") == ["PROJECT"]
    assert site.get("/experiments/NOPE/resources").status_code == 404
    assert site.get("/experiments/NOPE/files").status_code == 500
    assert site.get(f"{place.base}/scans/9/resources").status_code == 404
    assert site.get(f"{place.base}/scans/9/files").status_code == 500
    for path, what in (
        (f"{top}/experiments/NOPE", "experiment"),
        (f"{place.base}/scans/9", "scan"),
    ):
        answer = site.put(f"{path}/resources/R")
        assert answer.status_code == 404
        assert f"Unable to identify {what}" in answer.text


def test_A6_1_racing_creators(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    found: list[int] = []

    def make() -> None:
        user = own_site.as_user("admin")
        found.append(user.put(f"/experiments/{session}/resources/R").status_code)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200, *[409] * 5]
    assert len(own_site.rows(f"/experiments/{session}/resources")) == 1


# 6.5 --------------------------------------------------------------------------------------------


@pytest.fixture
def filled(place: Place) -> str:
    resource = f"{place.base}/resources/R"
    for name in ("a.nii", "a.nii.gz", "sub/x", "sub2/y", "z"):
        place.put(f"{resource}/files/{name}")
    return resource


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/z", ["a.nii", "a.nii.gz", "sub/x", "sub2/y"]),
        ("/a.nii", ["sub/x", "sub2/y", "z"]),
        ("/sub", ["a.nii", "a.nii.gz", "z"]),
        ("/sub/", ["a.nii", "a.nii.gz", "sub2/y", "z"]),
        ("/a.*", ["sub/x", "sub2/y", "z"]),
        ("", []),
    ],
)
def test_A6_5_prefix(place: Place, filled: str, path: str, left: list[str]) -> None:
    answer = place.site.delete(f"{filled}/files{path}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert place.files(filled) == left
    assert place.site.rows(f"{place.base}/resources")[0]["file_count"] == str(len(left))


def test_A6_5_nothing_matches(place: Place, filled: str) -> None:
    answer = place.site.delete(f"{filled}/files/nope")
    assert answer.status_code == 404
    assert "No matched files" in answer.text


def on_disk(server: StandIn) -> set[str]:
    folder = server.root / "archive" / "P1" / "arc001" / "E1" / "RESOURCES" / "R"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not name.endswith("_catalog.xml")}


@pytest.mark.parametrize(("query", "kept"), [("", False), ("?removeFiles=false", True)])
def test_A6_5_bytes(own_site: Site, standin: StandIn, query: str, kept: bool) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a"}})
    own_site.delete(f"/experiments/{session}/resources/R/files/a{query}")
    assert on_disk(standin) == ({"a"} if kept else set())


# 6.6 --------------------------------------------------------------------------------------------


def test_A6_6_catalog(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    resource = f"/experiments/{session}/resources/R"
    file = f"{resource}/files/sub/a.dcm?inbody=true"
    own_site.put(f"{file}&format=TXT&content=NOTE&tags=x", b"hello")
    answer = own_site.get(resource)
    root = ElementTree.fromstring(answer.content)
    assert root.tag == f"{CAT}Catalog"
    entry = root.find(f"{CAT}entries/{CAT}entry")
    assert entry is not None
    known = {"URI": "sub/a.dcm", "ID": "sub/a.dcm", "name": "a.dcm", "cachePath": "sub/a.dcm",
             "digest": "5d41402abc4b2a76b9719d911017c592", "format": "TXT", "content": "NOTE",
             "createdBy": "admin"}  # fmt: skip
    assert {name: entry.get(name) for name in known} == known
    assert (entry.get("createdTime") or "")[10] == "T"
    assert entry.get("createdEventId")
    assert entry.get("modifiedTime") is None
    assert entry.findtext(f"{CAT}tags/{CAT}tag") == "x"
    assert entry.findtext(f"{CAT}metaFields/{CAT}metaField[@name='SIZE']") == "5"
    own_site.put(f"{file}&overwrite=true", b"longer")
    entry = ElementTree.fromstring(own_site.get(resource).content).find(f".//{CAT}entry")
    assert entry is not None
    assert (entry.get("modifiedTime") or "")[10] == "T"
    assert entry.get("modifiedBy") == "admin"


def test_A6_6_dicom_catalog_and_root_path(place: Place) -> None:
    place.put(f"{place.scan}/resources/DICOM/files/a.dcm", query="&format=DICOM")
    answer = place.site.get(f"{place.scan}/resources/DICOM?includeRootPath=true")
    root = ElementTree.fromstring(answer.content)
    assert root.tag == f"{CAT}DCMCatalog"
    names = {f.get("name") for f in root.findall(f"{CAT}metaFields/{CAT}metaField")}
    assert "CATALOG_LOCATION" in names


def test_A6_6_extra_path_is_400(place: Place) -> None:
    place.put(f"{place.base}/resources/R/files/a")
    assert place.site.get(f"{place.base}/resources/R/more").status_code == 400


def test_A6_6_catalog_on_disk_is_the_one_that_is_served(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session(
        "P1", "S1", "E1", scans={"1": {"resources": {"DICOM": {"a": b"a"}}}}
    )
    path: Path = standin.root / "archive/P1/arc001/E1/SCANS/1/DICOM/scan_1_catalog.xml"
    served = own_site.get(f"/experiments/{session}/scans/1/resources/DICOM").content
    assert path.read_bytes() == served
