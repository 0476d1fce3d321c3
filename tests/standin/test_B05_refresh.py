"""Catalog refresh (wire contract B 5)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import requests

from .objects import dicom, new_uid
from .site import Site


@pytest.fixture
def address(own_site: Site) -> str:
    """An archived session with one scan of two files, below `/data`."""
    return own_site.archived(own_site.project(), scans={1: 2})


def identifier(site: Site, address: str) -> str:
    item = site.get(address, params={"format": "json"}).json()["items"][0]
    return str(item["data_fields"]["ID"])


def folder(site: Site, address: str) -> Path:
    assert site.standin is not None
    _, _, project, _, _, _, label = address.split("/")
    return site.standin.root / "archive" / project / "arc001" / label / "SCANS" / "1" / "DICOM"


def refresh(site: Site, resource: str, *options: str) -> requests.Response:
    form = (
        {"resource": resource, "options": ",".join(options)} if options else {"resource": resource}
    )
    return site.post("/services/refresh/catalog", form)


def files(site: Site, address: str) -> dict[str, dict[str, str]]:
    return {f["Name"]: f for f in site.rows(f"{address}/scans/1/resources/DICOM/files")}


def stats(site: Site, address: str) -> tuple[str, str]:
    row = site.rows(f"{address}/scans/1/resources")[0]
    return row["file_count"], row["file_size"]


def test_B5_1_append_and_nothing_before(own_site: Site, address: str) -> None:
    extra = dicom(new_uid())
    (folder(own_site, address) / "by-hand.dcm").write_bytes(extra)
    assert sorted(files(own_site, address)) == ["1-1.dcm", "1-2.dcm"]
    answer = refresh(own_site, f"/archive{address}", "append")
    assert (answer.status_code, answer.content) == (200, b"")
    found = files(own_site, address)
    assert sorted(found) == ["1-1.dcm", "1-2.dcm", "by-hand.dcm"]
    assert found["by-hand.dcm"]["digest"] == ""
    assert own_site.get(found["by-hand.dcm"]["URI"]).content == extra


def test_B5_1_stats_are_stale_until_populated(own_site: Site, address: str) -> None:
    before = stats(own_site, address)
    (folder(own_site, address) / "by-hand.dcm").write_bytes(b"x" * 100)
    refresh(own_site, f"/archive{address}", "append")
    assert stats(own_site, address) == before
    refresh(own_site, f"/archive{address}", "populateStats")
    assert stats(own_site, address) == ("3", str(int(before[1]) + 100))


def test_B5_1_delete(own_site: Site, address: str) -> None:
    (folder(own_site, address) / "1-2.dcm").unlink()
    assert "1-2.dcm" in files(own_site, address)
    refresh(own_site, f"/archive{address}", "delete")
    assert sorted(files(own_site, address)) == ["1-1.dcm"]


def test_B5_1_checksum(own_site: Site, address: str) -> None:
    path = folder(own_site, address) / "1-1.dcm"
    data = path.read_bytes()[:-1] + b"\xff"
    path.unlink()
    path.write_bytes(data)
    stale = files(own_site, address)["1-1.dcm"]["digest"]
    assert stale != hashlib.md5(data).hexdigest()
    refresh(own_site, f"/archive{address}", "append", "delete", "populateStats")
    assert files(own_site, address)["1-1.dcm"]["digest"] == stale
    refresh(own_site, f"/archive{address}", "checksum")
    assert files(own_site, address)["1-1.dcm"]["digest"] == hashlib.md5(data).hexdigest()


def test_B5_1_options_in_every_spelling(own_site: Site, address: str) -> None:
    where = folder(own_site, address)
    for number, query in enumerate(
        [
            {"options": "append,checksum"},
            {"options": ["append", "checksum"]},
            {"append": "true", "checksum": "true"},
            {},  # no option: everything
            {"options": "ALL"},  # not an option, so everything
        ]
    ):
        (where / f"new{number}.dcm").write_bytes(b"%d" % number)
        params = {"resource": f"/data/archive{address}", **query}
        assert own_site.post("/services/refresh/catalog", params=params).status_code == 200
        assert files(own_site, address)[f"new{number}.dcm"]["digest"]


def test_B5_1_scopes(own_site: Site, address: str) -> None:
    own_site.put(f"{address}/resources/LOGS/files/a.txt", b"1", params={"inbody": "true"})
    session = folder(own_site, address).parents[2]
    new = {"log": session / "RESOURCES" / "LOGS" / "b.txt", "scan": session / "SCANS/1/DICOM/z.dcm"}
    for path in new.values():
        path.write_bytes(b"by hand")

    def seen() -> set[str]:
        logs = {f["Name"] for f in own_site.rows(f"{address}/resources/LOGS/files")}
        return {"log"} & ({"log"} if "b.txt" in logs else set()) | (
            {"scan"} if "z.dcm" in files(own_site, address) else set()
        )

    project = "/".join(address.split("/")[:3])
    subject = "/".join(address.split("/")[:5])
    for above in (project, subject):  # no cascade from there
        assert refresh(own_site, f"/archive{above}", "append").status_code == 200
        assert seen() == set()
    assert refresh(own_site, f"/archive{address}/resources/LOGS", "append").status_code == 200
    assert seen() == {"log"}
    name = identifier(own_site, address)
    assert refresh(own_site, f"/archive/experiments/{name}/scans/1", "append").status_code == 200
    assert seen() == {"log", "scan"}


def test_B5_1_bad_resources(own_site: Site, address: str) -> None:
    name = identifier(own_site, address)
    for resource, words in (
        (f"/experiments/{name}", "Malformed URI"),
        ("/archive/experiments/XNAT_E99999", "Cannot locate archivable item"),
        (f"/archive{address}/resources/NONE", "Cannot locate archivable item"),
        (f"/archive{address}/scans/1/resources/DICOM/files/1-1.dcm", "URI"),
        (f"/archive{address}/scans/99", "Cannot locate archivable item"),
    ):
        answer = refresh(own_site, resource, "append")
        assert answer.status_code == 400, resource
        assert words in answer.text, resource


def test_B5_1_no_resource_is_nothing_done(own_site: Site) -> None:
    answer = own_site.post("/services/refresh/catalog", {"options": "append"})
    assert answer.status_code == 200


def test_B5_1_first_failure_ends_it_and_keeps_what_was_done(own_site: Site, address: str) -> None:
    (folder(own_site, address) / "new.dcm").write_bytes(b"new")
    resources = [f"/archive{address}", "/archive/experiments/NONE"]
    form = {"resource": resources, "options": "append"}
    assert own_site.post("/services/refresh/catalog", form).status_code == 400
    assert "new.dcm" in files(own_site, address)


def test_B5_1_rights(own_site: Site, address: str) -> None:
    assert own_site.standin is not None
    own_site.standin.add_user("rita", "rita", **{address.split("/")[2]: "collaborator"})
    assert refresh(own_site.as_user("rita"), f"/archive{address}", "append").status_code == 403


def test_B5_1_two_catalogs_are_skipped(own_site: Site, address: str) -> None:
    where = folder(own_site, address)
    (where / "other_catalog.xml").write_bytes(next(where.glob("*_catalog.xml")).read_bytes())
    (where / "new.dcm").write_bytes(b"new")
    assert refresh(own_site, f"/archive{address}", "append").status_code == 200
    assert "new.dcm" not in files(own_site, address)


def test_B5_1_missing_catalog_is_made_again(own_site: Site, address: str) -> None:
    where = folder(own_site, address)
    next(where.glob("*_catalog.xml")).unlink()
    assert refresh(own_site, f"/archive{address}", "append", "checksum").status_code == 200
    assert sorted(files(own_site, address)) == ["1-1.dcm", "1-2.dcm"]


def test_B5_1_leaves_a_workflow(own_site: Site, address: str) -> None:
    refresh(own_site, f"/archive{address}", "append")
    path = f"/services/workflows/Catalog(s) Refreshed?experiment={identifier(own_site, address)}"
    rows = own_site.get(path + "&format=json").json()["ResultSet"]["Result"]
    assert [row["status"] for row in rows] == ["Complete"]


def test_B5_2_xapi(own_site: Site, address: str) -> None:
    path = "/xapi/archive/catalogs/refresh"
    headers = {"Content-Type": "application/json"}
    for name, url in (("a", f"{path}/Append,Checksum"), ("b", path), ("c", f"{path}/All")):
        (folder(own_site, address) / f"{name}.dcm").write_bytes(name.encode())
        body = json.dumps([f"/archive{address}"])
        answer = own_site.put(url, body, headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert files(own_site, address)[f"{name}.dcm"]["digest"]
    assert own_site.put(path, "nonsense", headers=headers).status_code == 400
    body = json.dumps(["/archive/experiments/NONE"])
    assert own_site.put(path, body, headers=headers).status_code == 400


def test_B5_3_uploads_get_digests_by_preference(own_site: Site, address: str) -> None:
    assert own_site.standin is not None
    path = f"{address}/resources/R/files"
    own_site.put(f"{path}/on.txt", b"on", params={"inbody": "true"})
    own_site.standin.preferences["checksums"] = False
    own_site.put(f"{path}/off.txt", b"off", params={"inbody": "true"})
    found = {f["Name"]: f["digest"] for f in own_site.rows(path)}
    assert found == {"on.txt": hashlib.md5(b"on").hexdigest(), "off.txt": ""}
    refresh(own_site, f"/archive{address}/resources/R", "checksum")
    found = {f["Name"]: f["digest"] for f in own_site.rows(path)}
    assert found["off.txt"] == hashlib.md5(b"off").hexdigest()
