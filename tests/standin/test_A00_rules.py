"""Wire contract A 0: mounts, negotiation, headers, error bodies."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from .site import Site


@pytest.mark.parametrize("mount", ["/data", "/REST", "/data/archive", "/REST/archive"])
def test_A0_1_every_mount_is_the_same(site: Site, mount: str) -> None:
    project = site.project()
    rows = site.rows(f"{mount}/projects/{project}/subjects")
    assert rows == []
    assert site.get(f"{mount}/projects/{project}", params={"format": "json"}).status_code == 200


@pytest.mark.parametrize("path", ["/data/archive/JSESSION", "/data/archive/auth"])
def test_A0_1_no_archive_twin(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


def test_A0_1_context_goes_before_paths_not_into_listings(own_site: Site) -> None:
    from xnat_luigi.standin import StandIn

    with StandIn(context="/xnat") as server:
        session = server.add_session(
            "P1", "S1", "E1", scans={"1": {"type": "T1", "resources": {"DICOM": {"a.dcm": b"a"}}}}
        )
        there = Site(server)
        answer = there.http.get(f"{server.url}/data/experiments/{session}/files?all=true")
        listing = answer.json()["ResultSet"]
        assert listing["Columns"] == [{"key": "URI", "serverRoot": "/xnat"}]
        assert listing["Result"][0]["URI"].startswith("/data/experiments/")
        assert "Path=/xnat" in answer.headers["Set-Cookie"]
        assert (
            there.http.get(f"http://{server.host}:{server.port}/data/projects").status_code == 404
        )


@pytest.mark.parametrize("path", ["/data/version", "/data/nowhere", "/data/Projects"])
def test_A0_1_unrouted_is_404(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


@pytest.mark.parametrize("tail", ["scans", "assessors", "reconstructions", "files"])
def test_A0_1_router_takes_the_best_prefix(site: Site, tail: str) -> None:
    project = site.project()
    experiment = site.put(
        f"/projects/{project}/subjects/S1/experiments/E1?xsiType=xnat:mrSessionData"
    ).text
    answer = site.get(f"/projects/{project}/experiments/E1/{tail}?format=json")
    # There is no such route: the experiment's document comes instead.
    assert answer.json()["items"][0]["data_fields"]["ID"] == experiment


def test_A0_2_items_are_pages_unless_asked(site: Site) -> None:
    project = site.project()
    assert site.get(f"/projects/{project}").headers["Content-Type"].startswith("text/html")
    refused = site.get(f"/projects/{project}", headers={"Accept": "application/json"})
    assert refused.status_code == 406
    xml = site.get(f"/projects/{project}", headers={"Accept": "text/xml"})
    assert xml.headers["Content-Type"].startswith("text/xml")
    assert site.get(f"/projects/{project}?format=json").json()["items"]


def test_A0_2_listings_are_json_unless_asked(site: Site) -> None:
    path = f"/projects/{site.project()}/subjects"
    assert site.get(path).json()["ResultSet"]["totalRecords"] == "0"
    page = site.get(path, headers={"Accept": "text/html"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert site.get(path, headers={"Accept": "image/png"}).status_code == 406
    # `format` beats Accept.
    assert site.get(f"{path}?format=csv", headers={"Accept": "text/html"}).text.startswith("ID,")


def test_A0_2_method_tunnel(site: Site) -> None:
    project = site.project()
    site.put(f"/projects/{project}/subjects/S1")
    assert site.post(f"/projects/{project}/subjects/S1?method=DELETE").status_code == 200
    assert site.rows(f"/projects/{project}/subjects") == []


def test_A0_2_media_key_is_an_accept_header(site: Site) -> None:
    answer = site.get(f"/projects/{site.project()}?media=text/xml")
    assert answer.headers["Content-Type"].startswith("text/xml")


def test_A0_2_packed_request_bodies_are_unpacked(site: Site) -> None:
    project = site.project()
    answer = site.put(
        f"/projects/{project}/resources/R/files/a.txt?inbody=true",
        gzip.compress(b"hello"),
        headers={"Content-Encoding": "gzip"},
    )
    # The length after unpacking is unknown, which the raw form does not take (A 6.4).
    assert answer.status_code == 500


def test_A0_2_tables_and_items_have_no_length(site: Site) -> None:
    project = site.project()
    for path in (f"/projects/{project}/subjects", f"/projects/{project}?format=json"):
        answer = site.get(path)
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in answer.headers
    assert site.put(f"/projects/{project}/subjects/S1").headers["Content-Length"]


def test_A0_2_no_etag_anywhere(site: Site) -> None:
    project = site.project()
    site.put(f"/projects/{project}/resources/R/files/a.txt?inbody=true", b"hello")
    for path in ("", "/subjects", "/resources/R/files/a.txt"):
        assert "ETag" not in site.get(f"/projects/{project}{path}").headers


RANGES = [
    ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
    ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=0-1,4-5", 501, None, None),
]


@pytest.mark.parametrize(("asked", "status", "body", "content_range"), RANGES)
def test_A0_2_range(
    own_site: Site, asked: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    project = own_site.project()
    path = f"/projects/{project}/resources/R/files/a.txt"
    own_site.put(f"{path}?inbody=true", b"0123456789")
    answer = own_site.get(path, headers={"Range": asked})
    assert answer.status_code == status
    assert answer.headers.get("Content-Range") == content_range
    if body is not None:
        assert answer.content == body


def test_A0_2_range_of_a_body_without_length(own_site: Site) -> None:
    project = own_site.project()
    path = f"/projects/{project}/subjects"
    whole = own_site.get(path, headers={"Range": "bytes=0-3"})
    assert (whole.status_code, whole.json()["ResultSet"]["Result"]) == (200, [])
    assert own_site.get(path, headers={"Range": "bytes=3-"}).status_code == 500
    assert whole.headers["Accept-Ranges"] == "bytes"


def test_A0_2_range_off_as_behind_a_proxy(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["allowRange"] = False
    path = f"/projects/{own_site.project()}/resources/R/files/a.txt"
    own_site.put(f"{path}?inbody=true", b"0123456789")
    answer = own_site.get(path, headers={"Range": "bytes=4-"})
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert "Accept-Ranges" not in answer.headers


def test_A0_2_head(site: Site) -> None:
    path = f"/projects/{site.project()}/resources/R/files/a.txt"
    site.put(f"{path}?inbody=true", b"0123456789")
    answer = site.call("HEAD", path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == "10"
    assert answer.headers["Last-Modified"]


def test_A0_2_head_knows_no_lists(site: Site) -> None:
    project = site.project()
    site.put(f"/projects/{project}/subjects/S1/experiments/E1?xsiType=xnat:mrSessionData")
    base = f"/projects/{project}/subjects/S1/experiments/E1"
    assert site.get(f"{base}/scans/ALL/files").status_code == 200
    assert site.call("HEAD", f"{base}/scans/ALL/files").status_code == 404


@pytest.mark.parametrize(("value", "recorded"), [("true", True), ("1", True), ("", True),
                                                  ("false", False), ("0", False)])  # fmt: skip
def test_A0_2_booleans(site: Site, value: str, recorded: bool) -> None:
    path = f"/projects/{site.project()}/resources/R/files/a.txt"
    answer = site.put(f"{path}?inbody={value}", b"hello")
    assert (answer.status_code == 200) is recorded


def test_A0_2_query_values_are_stored_escaped(site: Site) -> None:
    project = site.project()
    site.put(f"/projects/{project}/subjects/S1", params={"group": 'a<b & "c"'})
    rows = site.rows(f"/projects/{project}/subjects", columns="label,group")
    assert rows[0]["group"] == "a&lt;b &amp; &quot;c&quot;"


def test_A0_3_status_page(site: Site) -> None:
    answer = site.get("/experiments/NOPE?format=json")
    assert answer.status_code == 404
    assert "<title>Status page</title>" in answer.text
    found = re.findall("<h3>(.*)</h3>", answer.text)
    assert found == ["Unable to find the specified experiment."]


def test_A0_3_xapi_errors_are_no_pages(site: Site) -> None:
    answer = site.get("/xapi/schemas/nowhere/nothing")
    assert answer.status_code == 404
    assert "<html" not in answer.text


def test_A0_3_wrong_verb_is_405(site: Site) -> None:
    assert site.delete("/projects").status_code == 405


def test_A0_3_an_uninitialised_site_says_so(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["initialized"] = False
    answer = own_site.get("/projects")
    assert answer.status_code == 403
    assert "Site has not yet been configured." in answer.text


def test_A0_2_json_is_readable_whatever_the_letters(site: Site) -> None:
    project = site.project()
    site.put(f"/projects/{project}/subjects/S1", params={"group": "Größe"})
    text = site.get(f"/projects/{project}/subjects?columns=group").content.decode("utf-8")
    assert json.loads(text)["ResultSet"]["Result"][0]["group"] == "Größe"
