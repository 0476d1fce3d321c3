"""Wire contract A 6.7 (a): zips and tars of any selection."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
import requests

from xnat_luigi.standin import Fault, StandIn

from .site import Site
from .test_A06_resources import Place


@pytest.fixture
def place(site: Site) -> Place:
    return Place(site)


def opened(answer: requests.Response) -> dict[str, bytes]:
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def filled(place: Place) -> Place:
    """Files at every level, and a scan whose type has odd letters."""
    site = place.site
    scan = "xnat:mrScanData"
    site.put(f"{place.base}/scans/2?xsiType={scan}", params={f"{scan}/type": "T2 (fast)"})
    site.put(f"{place.base}/scans/3?xsiType={scan}")
    for number in ("1", "2", "3"):
        place.put(f"{place.base}/scans/{number}/resources/DICOM/files/sub/a.dcm", number.encode())
    place.put(f"{place.base}/resources/LOGS/files/l.txt", b"log")
    site.put(f"{place.base}/assessors/Q?xsiType=xnat:qcManualAssessorData")
    place.put(f"{place.base}/assessors/Q/out/resources/OUT/files/o.txt", b"out")
    place.put(f"/projects/{place.project}/subjects/S1/resources/S/files/s.txt", b"subject")
    place.put(f"/projects/{place.project}/resources/P/files/p.txt", b"project")
    return place


def test_A6_7_headers(filled: Place) -> None:
    answer = filled.site.get(f"{filled.base}/scans/ALL/files?format=zip")
    assert answer.headers["Content-Type"].startswith("application/zip")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="E1.zip";'
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers


def test_A6_7_default_names_of_a_scans_address(filled: Place) -> None:
    found = opened(filled.site.get(f"{filled.base}/scans/ALL/files?format=zip"))
    assert found == {
        "E1/scans/1-T1/resources/DICOM/files/sub/a.dcm": b"1",
        "E1/scans/2-T2__fast_/resources/DICOM/files/sub/a.dcm": b"2",
        "E1/scans/3/resources/DICOM/files/sub/a.dcm": b"3",
    }


def test_A6_7_default_names_of_a_session(filled: Place) -> None:
    assessor = filled.site.rows(f"{filled.base}/assessors")[0]["ID"]
    found = opened(filled.site.get(f"{filled.base}/files?all=true&format=zip"))
    assert set(found) == {
        "E1/resources/LOGS/files/l.txt",
        *(f"E1/scans/{number}/resources/DICOM/files/sub/a.dcm" for number in "123"),
        f"E1/assessors/{assessor}/out/resources/OUT/files/o.txt",
    }


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("{E}/resources/LOGS/files", "E1/resources/LOGS/files/l.txt"),
        ("{E}/assessors/Q/out/resources/OUT/files", "Q/out/resources/OUT/files/o.txt"),
        ("/projects/{P}/subjects/S1/files", "S1/resources/S/files/s.txt"),
        ("/projects/{P}/resources/P/files", "{P}/resources/P/files/p.txt"),
    ],
)
def test_A6_7_default_names_of_other_levels(filled: Place, path: str, name: str) -> None:
    def fill(text: str) -> str:
        return text.replace("{E}", filled.base).replace("{P}", filled.project)

    assert set(opened(filled.site.get(f"{fill(path)}?format=zip"))) == {fill(name)}


STRUCTURES = [
    ("simplified", "scans/ALL/files", "E1/scans/1/DICOM/sub/a.dcm"),
    ("improved", "scans/ALL/files", "scans/2_T2 (fast)/DICOM/sub/a.dcm"),
    ("improved", "files?all=true", "resources/LOGS/l.txt"),
    ("improved", "files", "resources/{ID}_ /LOGS/l.txt"),
    ("legacy", "scans/ALL/files", "E1/SCANS/1/DICOM/sub/a.dcm"),
    ("legacy", "files", "E1/RESOURCES/LOGS/l.txt"),
]


@pytest.mark.parametrize(("structure", "tail", "name"), STRUCTURES)
def test_A6_7_structures(filled: Place, structure: str, tail: str, name: str) -> None:
    mark = "&" if "?" in tail else "?"
    answer = filled.site.get(f"{filled.base}/{tail}{mark}format=zip&structure={structure}")
    assert name.replace("{ID}", filled.session) in opened(answer)


@pytest.mark.parametrize(
    ("query", "start"),
    [("projectIncludedInPath=true", "{P}/E1/"), ("subjectIncludedInPath=true", "S1/E1/"),
     ("projectIncludedInPath=true&subjectIncludedInPath=true", "{P}/S1/E1/")],
)  # fmt: skip
def test_A6_7_prefix_folders(filled: Place, query: str, start: str) -> None:
    found = opened(filled.site.get(f"{filled.base}/scans/1/files?format=zip&{query}"))
    assert all(name.startswith(start.replace("{P}", filled.project)) for name in found)


def test_A6_7_simplified_damages_names(place: Place) -> None:
    place.put(f"{place.base}/resources/R/files/x/filesystem.txt")
    found = opened(place.site.get(f"{place.base}/files?format=zip&structure=simplified"))
    assert set(found) == {"E1/R/xystem.txt"}


def test_A6_7_a_folder_called_like_its_scan_is_renamed_with_it(place: Place) -> None:
    place.put(f"{place.scan}/resources/DICOM/files/1/a.dcm")
    found = opened(place.site.get(f"{place.base}/scans/1/files?format=zip"))
    assert set(found) == {"E1/scans/1-T1/resources/DICOM/files/1-T1/a.dcm"}


def test_A6_7_zip_of_a_folder(place: Place) -> None:
    place.put(f"{place.base}/resources/R/files/sub/a")
    place.put(f"{place.base}/resources/R/files/b")
    found = opened(place.site.get(f"{place.base}/resources/R/files/sub/?format=zip"))
    assert set(found) == {"sub/a"}


def test_A6_7_several_sessions(filled: Place) -> None:
    second = filled.site.put(
        f"/projects/{filled.project}/subjects/S1/experiments/E2?xsiType=xnat:mrSessionData"
    ).text
    filled.put(f"/experiments/{second}/resources/LOGS/files/l.txt", b"other")
    both = f"/experiments/{filled.session},{second}/resources/LOGS/files?format=zip"
    assert opened(filled.site.get(both)) == {
        "E1/resources/LOGS/files/l.txt": b"log",
        "E2/resources/LOGS/files/l.txt": b"other",
    }
    # Without a session folder their names are the same: broken off in the middle.
    improved = f"{both}&structure=improved".replace("/resources/LOGS", "") + "&all=true"
    with pytest.raises(OSError, match=r"broken|Invalid|ended|Connection"):
        filled.site.get(improved)


@pytest.mark.parametrize(("selector", "count"), [("ALL", 3), ("1,2", 2), ("NULL", 1), ("T1", 1)])
def test_A6_7_selectors(filled: Place, selector: str, count: int) -> None:
    answer = filled.site.get(f"{filled.base}/scans/{selector}/files?format=zip")
    assert len(opened(answer)) == count


def test_A6_7_a_type_with_a_slash(place: Place) -> None:
    scan = "xnat:mrScanData"
    place.site.put(f"{place.base}/scans/9?xsiType={scan}", params={f"{scan}/type": "a/b,c"})
    place.put(f"{place.base}/scans/9/resources/DICOM/files/a")
    rows = place.site.rows(f"{place.base}/scans/a[SLASH]b[COMMA]c/files")
    assert len(rows) == 1


@pytest.mark.parametrize(("compression", "method"), [("0", 0), ("8", 8), ("", 0)])
def test_A6_7_compression(place: Place, compression: str, method: int) -> None:
    body = b"x" * 100_000
    place.put(f"{place.base}/resources/R/files/a", body)
    query = f"&compression={compression}" if compression else ""
    answer = place.site.get(f"{place.base}/resources/R/files?format=zip{query}")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        info = archive.infolist()[0]
        assert archive.read(info) == body
    if compression:
        assert info.compress_type == method
    if info.compress_type == 0:
        # Sizes and CRC stand in front of the bytes: the server has read the file twice.
        assert answer.content[14:18] != b"\0\0\0\0"


def test_A6_7_times_are_the_disks(own_site: Site, standin: StandIn) -> None:
    import os

    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a"}})
    os.utime(standin.root / "archive/P1/arc001/E1/RESOURCES/R/a", (1_000_000_000, 1_000_000_000))
    answer = own_site.get(f"/experiments/{session}/resources/R/files?format=zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.infolist()[0].date_time == (2001, 9, 9, 1, 46, 40)


@pytest.mark.parametrize(("kind", "mode"), [("tar", "r:"), ("tar.gz", "r:gz")])
def test_A6_7_tar(filled: Place, kind: str, mode: str) -> None:
    answer = filled.site.get(f"{filled.base}/scans/ALL/files?format={kind}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="E1.{kind}";'
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode=mode) as archive:  # type: ignore[call-overload]
        members = {member.name: member for member in archive}
        name = "E1/scans/1-T1/resources/DICOM/files/sub/a.dcm"
        assert members[name].mode == 0o060
        source = archive.extractfile(name)
        assert source is not None
        assert source.read() == b"1"


def test_A6_7_missing_files_are_left_out(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a", "b": b"b"}})
    folder = standin.root / "archive/P1/arc001/E1/RESOURCES/R"
    path = f"/experiments/{session}/resources/R/files"
    (folder / "a").unlink()
    assert len(own_site.rows(path)) == 2
    assert set(opened(own_site.get(f"{path}?format=zip"))) == {"E1/resources/R/files/b"}
    (folder / "b").unlink()
    assert own_site.get(f"{path}?format=zip").status_code == 404


def test_A6_7_nothing_at_all_is_404(place: Place) -> None:
    place.site.put(f"{place.base}/resources/R")
    assert place.site.get(f"{place.base}/resources/R/files?format=zip").status_code == 404
    assert place.site.get(f"{place.base}/files?format=zip").status_code == 404


def test_A6_7_xcat(filled: Place) -> None:
    answer = filled.site.get(f"{filled.base}/scans/1/files?format=xcat")
    assert f'URI="{filled.site.url}/data{filled.scan}/resources/' in answer.text


def test_A6_7_no_resume(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a"}})
    path = f"/experiments/{session}/resources/R/files?format=zip"
    assert own_site.get(path, headers={"Range": "bytes=10-"}).status_code == 500
    assert own_site.get(path, headers={"Range": "bytes=0-10"}).status_code == 200


def test_A6_7_cut_in_the_middle_is_a_200_all_the_same(own_site: Site, standin: StandIn) -> None:
    session = standin.add_session("P1", "S1", "E1", resources={"R": {"a": b"a" * 5000}})
    standin.faults.add(Fault(path="format=zip", cut=1000))
    answer = own_site.get(f"/experiments/{session}/resources/R/files?format=zip", stream=True)
    assert answer.status_code == 200
    with pytest.raises(OSError, match=r"broken|Invalid|ended|Connection"):
        _ = answer.content


def test_A6_7_many_files_whole(own_site: Site, standin: StandIn) -> None:
    files = {f"{n:04d}.dcm": bytes([n % 251]) * (n * 7) for n in range(1, 1200)}
    session = standin.add_session("P1", "S1", "E1", scans={"1": {"resources": {"DICOM": files}}})
    found = opened(own_site.get(f"/experiments/{session}/scans/ALL/files?format=zip"))
    assert {name.rpartition("/")[2]: data for name, data in found.items()} == files
