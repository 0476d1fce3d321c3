"""Wire contract A 6.4: uploads."""

from __future__ import annotations

import gzip
import hashlib
import threading
from pathlib import Path

import pytest

from xnat_luigi.standin import Fault, StandIn

from .objects import tarred, zipped
from .site import Site
from .test_A06_resources import Place

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def place(site: Site) -> Place:
    return Place(site)


@pytest.fixture
def files(place: Place) -> str:
    """The address of the files of a resource that does not exist yet."""
    return f"{place.base}/resources/R/files"


def stored(place: Place) -> dict[str, bytes]:
    """Path and content of everything in the resource."""
    rows = place.site.rows(f"{place.base}/resources/R/files")
    found = {}
    for row in rows:
        path = row["URI"].partition("/files/")[2]
        found[path] = place.site.get(f"{place.base}/resources/R/files/{path}").content
    return found


# Bodies -----------------------------------------------------------------------------------------


def test_A6_4_raw_with_inbody(place: Place, files: str) -> None:
    answer = place.site.put(f"{files}/a.txt?inbody=true", b"hello")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert stored(place) == {"a.txt": b"hello"}


@pytest.mark.parametrize(
    "kind",
    ["application/octet-stream", "text/csv", "application/zip", "application/gzip",
     "application/x-tar", "application/dicom", "application/pdf", "image/png", "video/mp4"],
)  # fmt: skip
def test_A6_4_raw_with_a_known_type(place: Place, files: str, kind: str) -> None:
    answer = place.site.put(f"{files}/a", b"hello", headers={"Content-Type": kind})
    assert answer.status_code == 200
    assert stored(place) == {"a": b"hello"}


@pytest.mark.parametrize("kind", ["", "application/x-unheard-of", "application/json"])
def test_A6_4_unknown_type_is_400(place: Place, files: str, kind: str) -> None:
    answer = place.site.put(f"{files}/a", b"hello world!", headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert "You tried to PUT a payload of 12 B to this service" in answer.text


@pytest.mark.parametrize("verb", ["PUT", "POST"])
def test_A6_4_multipart(place: Place, files: str, verb: str) -> None:
    parts = [("x", ("a.txt", b"one")), ("y", ("b.txt", b"two"))]
    assert place.site.call(verb, files, files=parts).status_code == 200
    assert stored(place) == {"a.txt": b"one", "b.txt": b"two"}


def test_A6_4_several_parts_go_to_the_same_path(place: Place, files: str) -> None:
    parts = [("x", ("a.txt", b"one")), ("y", ("b.txt", b"two"))]
    place.site.put(f"{files}/c.txt?overwrite=true", files=parts)
    assert stored(place) == {"c.txt": b"two"}


def test_A6_4_reference_is_refused(place: Place, files: str) -> None:
    parts = {"reference": (None, "/etc/passwd"), "x": ("a.txt", b"one")}
    assert place.site.put(files, files=parts).status_code == 400


def test_A6_4_multipart_and_inbody_is_400(place: Place, files: str) -> None:
    answer = place.site.put(f"{files}/a?inbody=true", files={"x": ("a.txt", b"one")})
    assert answer.status_code == 400


def test_A6_4_chunked_is_500(place: Place, files: str) -> None:
    chunks = iter([b"hello"])
    answer = place.site.put(f"{files}/a.txt?inbody=true", chunks, headers=RAW)
    assert answer.status_code == 500
    zip_type = {"Content-Type": "application/zip"}
    assert place.site.put(f"{files}/a.zip", iter([b"hello"]), headers=zip_type).status_code == 200


def test_A6_4_empty_is_500(place: Place, files: str) -> None:
    assert place.site.put(f"{files}/a.txt?inbody=true", b"").status_code == 500
    assert stored(place) == {}


# Paths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("sub/dir/a.nii", "sub/dir/a.nii"),
        ("my%20file", "my file"),
        ("a%2Bb", "a+b"),
        ("a%20b+c", "a b c"),
        ("a%20b%23c", "a b#c"),
        ("a%23b", "a%23b"),
        ("%C3%A9", "%C3%A9"),
    ],
)
def test_A6_4_paths(place: Place, files: str, sent: str, kept: str) -> None:
    assert place.site.put(f"{files}/{sent}?inbody=true", b"hello").status_code == 200
    rows = place.site.rows(files)
    assert [row["URI"].partition("/files/")[2] for row in rows] == [kept]
    assert place.site.get(f"{files}/{sent}").content == b"hello"


def test_A6_4_paths_stay_below_the_resource(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    files = f"/experiments/{session}/resources/R/files"
    bad = zipped({"../../evil": b"x", "good": b"x"})
    for path, body, query in (("%20..%2F..%2Fevil", b"x", "inbody=true"),
                              ("up.zip", bad, "extract=true&inbody=true")):  # fmt: skip
        own_site.put(f"{files}/{path}?{query}", body)
    assert not list(standin.root.rglob("evil"))
    assert not list(standin.root.parent.glob("evil"))


# What is there already --------------------------------------------------------------------------


def test_A6_4_duplicates_are_200(place: Place, files: str) -> None:
    place.put(f"{files}/sub/a.nii", b"old")
    answer = place.site.put(f"{files}/sub/a.nii?inbody=true", b"new")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.json() == {"duplicates": ["sub/a.nii"]}
    assert stored(place) == {"sub/a.nii": b"old"}


def test_A6_4_others_are_stored_beside_duplicates(place: Place, files: str) -> None:
    place.put(f"{files}/a.txt", b"old")
    parts = [("x", ("a.txt", b"new")), ("y", ("b.txt", b"new"))]
    assert place.site.post(files, files=parts).json() == {"duplicates": ["a.txt"]}
    assert stored(place) == {"a.txt": b"old", "b.txt": b"new"}


def test_A6_4_overwrite(place: Place, files: str) -> None:
    place.put(f"{files}/a.txt", b"old")
    answer = place.site.put(f"{files}/a.txt?inbody=true&overwrite=true", b"newer")
    assert (answer.status_code, answer.content) == (200, b"")
    row = place.site.rows(files)[0]
    assert row["Size"] == "5"
    assert row["digest"] in ("", hashlib.md5(b"newer").hexdigest())
    assert place.site.rows(f"{place.base}/resources")[0]["file_size"] == "5"


def test_A6_4_an_unfinished_upload_blocks_a_rename(place: Place, files: str) -> None:
    place.put(f"{files}/a.txt", b"old")
    place.site.put(f"{files}/a.txt?inbody=true", b"new")
    path = f"/projects/{place.project}/subjects/S1/experiments/{place.session}?label=E9"
    assert place.site.put(path).status_code in (200, 409)  # "may block", not seen on a wire


def test_A6_4_old_bytes_go_to_the_history(own_site: Site, standin: StandIn) -> None:
    standin.preferences["fileHistory"] = True
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"old"}})
    own_site.put(f"/experiments/{session}/resources/R/files/a?inbody=true&overwrite=true", b"new")
    kept = [p for p in (standin.root / "cache" / "history").rglob("a") if p.is_file()]
    assert [path.read_bytes() for path in kept] == [b"old"]


# Archives ---------------------------------------------------------------------------------------

MEMBERS = {"mr_1/1.dcm": b"one", "2.dcm": b"two", "empty": b""}


@pytest.mark.parametrize("name", ["x.zip", "x.zar", "x.tar", "x.xar", "x.tgz", "x.tar.gz"])
@pytest.mark.parametrize("multipart", [True, False])
def test_A6_4_extract(place: Place, files: str, name: str, multipart: bool) -> None:
    if name.endswith((".zip", ".zar")):
        body = zipped(MEMBERS)
    else:
        body = tarred(MEMBERS, "w:gz" if name.endswith("gz") else "w")
    if multipart:
        answer = place.site.post(f"{files}?extract=true", files={"x": (name, body)})
    else:
        answer = place.site.put(f"{files}/ignored/{name}?extract=true", body, headers=RAW)
    assert (answer.status_code, answer.content) == (200, b"")
    assert stored(place) == MEMBERS


def test_A6_4_extract_gunzips_too(place: Place, files: str) -> None:
    body = gzip.compress(b"volume")
    place.site.put(f"{files}/x.nii.gz?extract=true", body, headers=RAW)
    assert stored(place) == {"x.nii": b"volume"}


@pytest.mark.parametrize("name", ["x.ZIP", "x.bin"])
def test_A6_4_other_names_are_stored_as_they_are(place: Place, files: str, name: str) -> None:
    body = zipped(MEMBERS)
    place.site.put(f"{files}/{name}?extract=true", body, headers=RAW)
    assert stored(place) == {name: body}


def test_A6_4_extract_duplicates(place: Place, files: str) -> None:
    place.put(f"{files}/2.dcm", b"old")
    answer = place.site.post(f"{files}?extract=true", files={"x": ("x.zip", zipped(MEMBERS))})
    assert answer.json() == {"duplicates": ["2.dcm"]}
    assert stored(place) == {**MEMBERS, "2.dcm": b"old"}


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz"])
def test_A6_4_broken_archive_leaves_nothing(place: Place, files: str, name: str) -> None:
    body = tarred(MEMBERS)[:300] if name == "x.tar" else b"no archive at all"
    answer = place.site.put(f"{files}/{name}?extract=true", body, headers=RAW)
    assert answer.status_code >= 400
    assert stored(place) == {}


# Attributes and counts --------------------------------------------------------------------------


def test_A6_4_attributes_of_entries_and_resource(place: Place, files: str) -> None:
    place.put(f"{files}/a", query="&format=TXT&content=NOTE&tags=x&tags=y&description=d")
    row = place.site.rows(files)[0]
    known = {"file_format": "TXT", "file_content": "NOTE", "file_tags": "x,y", "collection": "R"}
    assert {name: row[name] for name in known} == known
    resource = place.site.rows(f"{place.base}/resources")[0]
    assert (resource["format"], resource["content"], resource["tags"]) == ("TXT", "NOTE", "x,y")
    # An upload overwrites the resource's, and adds tags.
    place.put(f"{files}/b", query="&format=CSV&tags=z")
    resource = place.site.rows(f"{place.base}/resources")[0]
    assert (resource["format"], resource["content"], resource["tags"]) == ("CSV", "NOTE", "x,y,z")


@pytest.mark.parametrize(("query", "content"), [("", "RAW"), ("&content=OTHER", "OTHER")])
def test_A6_4_a_scans_first_resource_is_raw(place: Place, query: str, content: str) -> None:
    place.put(f"{place.scan}/resources/DICOM/files/a", query=query)
    place.put(f"{place.scan}/resources/SECOND/files/a")
    rows = {r["label"]: r["content"] for r in place.site.rows(f"{place.scan}/resources")}
    assert rows == {"DICOM": content, "SECOND": ""}


def test_A6_4_counts(place: Place, files: str) -> None:
    place.put(f"{files}/a", b"12345")
    place.put(f"{files}/b", b"123", query="&update-stats=false")
    row = place.site.rows(f"{place.base}/resources")[0]
    assert (row["file_count"], row["file_size"]) == ("1", "5")
    place.site.post(
        "/services/refresh/catalog",
        params={"resource": f"/archive{place.base}/resources/R", "options": "populateStats"},
    )
    row = place.site.rows(f"{place.base}/resources")[0]
    assert (row["file_count"], row["file_size"]) == ("2", "8")


def test_A6_4_each_counted_upload_is_a_workflow(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    files = f"/experiments/{session}/resources/R/files"
    own_site.put(f"{files}/a?inbody=true", b"x")
    own_site.put(f"{files}/b?inbody=true&update-stats=false", b"x")
    rows = standin.state.workflows.of(session)
    assert [(row["pipeline"], row["status"]) for row in rows] == [("Uploaded File", "Complete")]


# Rights, names, races ---------------------------------------------------------------------------


def test_A6_4_without_right_200_and_nothing_stored(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    standin.state.users.set_role("P1", "reader", "collaborator")
    reader = own_site.as_user("reader")
    path = f"/experiments/{session}/resources/R"
    answer = reader.put(f"{path}/files/a?inbody=true", b"hello")
    assert (answer.status_code, answer.content) == (200, b"")
    assert own_site.rows(f"/experiments/{session}/resources") == []


def test_A6_4_catalog_names(place: Place, files: str) -> None:
    place.put(f"{files}/a")
    replaced = place.site.put(f"{files}/R_catalog.xml?inbody=true&overwrite=true", b"x")
    assert replaced.status_code == 500
    assert place.files(f"{place.base}/resources/R") == ["a"]
    place.site.post(
        f"{files}?extract=true",
        files={"x": ("x.zip", zipped({"in_catalog.xml": b"x", "b": b"b"}))},
    )
    assert place.files(f"{place.base}/resources/R") == ["a", "b"]


def test_A6_4_unknown_parents(place: Place) -> None:
    for path in ("/experiments/NOPE", f"{place.base}/scans/9"):
        answer = place.site.put(f"{path}/resources/R/files/a?inbody=true", b"x")
        assert answer.status_code == 404


def test_A6_4_scan_that_matches_twice(place: Place) -> None:
    site = place.site
    site.put(f"{place.base}/scans/T1?xsiType=xnat:mrScanData&xnat:mrScanData/type=T2")
    # `T1` is one scan's type and the other's ID.
    answer = site.put(f"{place.base}/scans/T1/resources/R/files/a?inbody=true", b"x")
    assert answer.status_code == 404


def test_A6_4_different_resources_in_parallel(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    in_parallel(own_site, [f"/experiments/{session}/resources/R{n}/files/a" for n in range(8)])
    rows = own_site.rows(f"/experiments/{session}/resources")
    assert [row["file_count"] for row in rows] == ["1"] * 8


def test_A6_4_the_same_resource_in_parallel_when_the_server_is_kind(
    own_site: Site, standin: StandIn
) -> None:
    session = standin.add_session("P1", "S1", "E1")
    paths = [f"/experiments/{session}/resources/R/files/{n}" for n in range(8)]
    assert in_parallel(own_site, paths) == [200] * 8
    assert len(own_site.rows(f"/experiments/{session}/resources/R/files")) == 8


def test_A6_4_the_same_resource_in_parallel_races(own_site: Site, standin: StandIn) -> None:
    """As on the real server: some answers are 500, the bytes there, nothing in the catalog."""
    standin.preferences["catalogRace"] = True
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"first": b"x"}})
    files = f"/experiments/{session}/resources/R/files"
    statuses: list[int] = []
    for _ in range(20):
        statuses = in_parallel(own_site, [f"{files}/{n}?overwrite=true" for n in range(8)])
        if 500 in statuses:
            break
    assert 500 in statuses
    lost = statuses.index(500)
    standin.preferences["catalogRace"] = False
    assert own_site.put(f"{files}/{lost}?inbody=true&overwrite=true", b"x").status_code == 200
    names = {row["Name"] for row in own_site.rows(files)}
    assert str(lost) in names


def in_parallel(site: Site, paths: list[str]) -> list[int]:
    statuses = [0] * len(paths)
    barrier = threading.Barrier(len(paths))

    def send(number: int) -> None:
        user = site.as_user("admin")
        user.get("/auth")
        barrier.wait()
        mark = "&" if "?" in paths[number] else "?"
        path = f"{paths[number]}{mark}inbody=true"
        statuses[number] = user.put(path, b"hello" * 2000).status_code

    threads = [threading.Thread(target=send, args=(n,)) for n in range(len(paths))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def test_A6_4_what_a_race_left_is_a_duplicate_that_nobody_lists(
    own_site: Site, standin: StandIn
) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"first": b"x"}})
    folder: Path = standin.root / "archive/P1/arc001/E1/RESOURCES/R"
    (folder / "lost").write_bytes(b"there")
    files = f"/experiments/{session}/resources/R/files"
    assert own_site.put(f"{files}/lost?inbody=true", b"x").json() == {"duplicates": ["lost"]}
    assert [row["Name"] for row in own_site.rows(files)] == ["first"]
    own_site.post(
        "/services/refresh/catalog",
        params={"resource": f"/archive/experiments/{session}/resources/R",
                "options": "append,checksum,populateStats"},
    )  # fmt: skip
    assert {row["Name"] for row in own_site.rows(files)} == {"first", "lost"}


def test_A6_4_work_done_then_connection_dropped(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1")
    files = f"/experiments/{session}/resources/R/files"
    standin.faults.add(Fault(method="PUT", path="/files/a", drop=True, times=1))
    with pytest.raises(OSError):
        own_site.put(f"{files}/a?inbody=true", b"hello")
    assert [row["Name"] for row in own_site.rows(files)] == ["a"]
