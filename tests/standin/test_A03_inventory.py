"""Wire contract A 3.6 and A 3.7: inventories in few requests, change detection."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xnat_luigi.standin import StandIn

from .site import Site


class Filled:
    """Two sessions with scans and files, one assessor with an `out` and an own resource."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.project = site.project()
        self.one = self._session("S1", "E1")
        self.two = self._session("S2", "E2")
        self.qc = site.put(
            f"/experiments/{self.one}/assessors/QC1?xsiType=xnat:qcManualAssessorData"
        ).text
        self.put(f"/experiments/{self.one}/assessors/{self.qc}/out/resources/OUT/files/o.txt")
        self.put(f"/experiments/{self.one}/resources/LOGS/files/l.txt")

    def _session(self, subject: str, label: str) -> str:
        base = f"/projects/{self.project}/subjects/{subject}/experiments/{label}"
        made = self.site.put(f"{base}?xsiType=xnat:mrSessionData&date=2024-02-01").text
        for number, kind in (("1", "T1"), ("2", "T2")):
            scan = f"/experiments/{made}/scans/{number}"
            self.site.put(f"{scan}?xsiType=xnat:mrScanData&xnat:mrScanData/type={kind}")
            self.put(f"{scan}/resources/DICOM/files/a.dcm")
        return made

    def put(self, path: str, body: bytes = b"hello") -> None:
        answer = self.site.put(f"{path}?inbody=true&overwrite=true", body)
        assert answer.status_code == 200, answer.text


@pytest.fixture
def filled(site: Site) -> Filled:
    return Filled(site)


def test_A3_6_sessions_of_a_project(filled: Filled) -> None:
    rows = filled.site.rows(
        f"/projects/{filled.project}/experiments",
        columns="ID,label,xsiType,date,subject_ID,subject_label,insert_date",
        limit="*",
    )
    assert {(row["ID"], row["subject_label"]) for row in rows} == {
        (filled.one, "S1"),
        (filled.two, "S2"),
    }


def test_A3_6_sessions_scans_and_resources_of_a_project(filled: Filled) -> None:
    path = "xnat:imagescandata"
    names = ("id", "type", "quality", "frames", "series_description", "file/label",
             "file/file_count", "file/file_size")  # fmt: skip
    rows = filled.site.rows(
        "/experiments",
        project=filled.project,
        xsiType="xnat:imageSessionData",
        columns="ID,label,subject_label,project," + ",".join(f"{path}/{name}" for name in names),
    )
    found = {
        (row["ID"], row[f"{path}/id"], row[f"{path}/type"], row[f"{path}/file/label"],
         row[f"{path}/file/file_count"], row[f"{path}/file/file_size"])
        for row in rows
    }  # fmt: skip
    assert found == {
        (session, number, kind, "DICOM", "1", "5")
        for session in (filled.one, filled.two)
        for number, kind in (("1", "T1"), ("2", "T2"))
    }


def test_A3_6_assessors_and_their_out_resources(filled: Filled) -> None:
    kind = "xnat:qcManualAssessorData"
    rows = filled.site.rows(
        "/experiments",
        project=filled.project,
        xsiType=kind,
        columns=f"ID,label,session_ID,session_label,{kind}/out/file/label",
    )
    assert [(r["ID"], r["session_ID"], r[f"{kind.lower()}/out/file/label"]) for r in rows] == [
        (filled.qc, filled.one, "OUT")
    ]


def test_A3_6_one_session_in_one_document(filled: Filled) -> None:
    item = filled.site.get(f"/experiments/{filled.one}?format=json").json()["items"][0]
    fields = {child["field"] for child in item["children"]}
    assert {"scans/scan", "assessors/assessor", "resources/resource"} <= fields


def test_A3_6_resources_flat(filled: Filled) -> None:
    rows = filled.site.rows(f"/experiments/{filled.one}/resources", all="true")
    found = {(row["label"], row["category"], row["cat_id"], row["cat_desc"]) for row in rows}
    assert found == {
        ("LOGS", "resources", "", ""),
        ("DICOM", "scans", "1", "T1"),
        ("DICOM", "scans", "2", "T2"),
        ("OUT", "assessors", filled.qc, ""),
    }


def test_A3_6_session_level_rows_name_their_session(filled: Filled) -> None:
    filled.put(f"/experiments/{filled.two}/resources/LOGS/files/m.txt")
    rows = filled.site.rows(f"/experiments/{filled.one},{filled.two}/resources")
    assert [(row["cat_id"], row["cat_desc"]) for row in rows] == [
        (filled.one, " "),
        (filled.two, " "),
    ]


def test_A3_6_files_flat(filled: Filled) -> None:
    rows = filled.site.rows(f"/experiments/{filled.one}/files", all="true")
    assert {(row["collection"], row["Name"]) for row in rows} == {
        ("LOGS", "l.txt"),
        ("DICOM", "a.dcm"),
        ("OUT", "o.txt"),
    }
    assert len(filled.site.rows(f"/experiments/{filled.one}/files")) == 1


def test_A3_6_assessor_by_id(filled: Filled) -> None:
    rows = filled.site.rows(f"/experiments/{filled.qc}/resources")
    assert [(row["label"], row["category"], row["cat_id"]) for row in rows] == [
        ("OUT", "assessors", filled.qc)
    ]
    files = filled.site.rows(f"/experiments/{filled.qc}/resources/OUT/files")
    assert [row["Name"] for row in files] == ["o.txt"]


@pytest.mark.parametrize(
    ("selector", "count"),
    [("ALL", 2), ("*", 2), ("1,2", 2), ("T1,T2", 2), ("T1", 1), ("2", 1), ("1,T2", 2), ("9", 0)],
)
def test_A3_6_scan_selectors(filled: Filled, selector: str, count: int) -> None:
    answer = filled.site.get(f"/experiments/{filled.one}/scans/{selector}/files")
    if not count:
        assert answer.status_code in (200, 500)
        return
    assert len(answer.json()["ResultSet"]["Result"]) == count
    rows = filled.site.rows(f"/experiments/{filled.one}/scans/{selector}/resources")
    assert len(rows) == count


def test_A3_6_several_sessions_one_label(filled: Filled) -> None:
    path = f"/experiments/{filled.one},{filled.two}/scans/ALL/resources/DICOM,NIFTI/files"
    rows = filled.site.rows(path)
    assert len(rows) == 4
    assert all("/scans/" in row["URI"] and "/resources/" in row["URI"] for row in rows)


def test_A3_6_what_lies_on_disk(filled: Filled) -> None:
    rows = filled.site.rows(f"/experiments/{filled.one}/DIR", recursive="true")
    names = {row["Name"] for row in rows}
    assert {"a.dcm", "l.txt"} <= names
    assert any(name.endswith("_catalog.xml") for name in names)
    assert all(row["URI"].startswith(f"/data/experiments/{filled.one}/DIR/") for row in rows)
    one = next(row for row in rows if row["Name"] == "l.txt")
    assert filled.site.get(one["URI"]).content == b"hello"


def test_A3_6_disk_is_not_for_guests(own_site: Site) -> None:
    assert own_site.standin is not None
    own_site.standin.preferences["requireLogin"] = False
    session = own_site.standin.add_session("P1", "S1", "E1")
    own_site.put("/projects/P1/accessibility/public")
    assert own_site.as_user("").get(f"/experiments/{session}/DIR").status_code == 401


# 3.7 --------------------------------------------------------------------------------------------


class Stamps:
    """The three times of a session that clients look at."""

    def __init__(self, server: StandIn, site: Site) -> None:
        self.server, self.site = server, site
        self.session = server.add_session(
            "P1", "S1", "E1", scans={"1": {"type": "T1", "resources": {"DICOM": {"a": b"hello"}}}}
        )

    def take(self) -> tuple[str, str, str]:
        """(abstract, concrete, subject)"""
        experiments = "/projects/P1/experiments"
        concrete = "xnat:mrSessionData"
        return (
            self.site.rows(experiments, columns="ID,last_modified")[0]["last_modified"],
            self.site.rows(
                experiments, columns=f"ID,{concrete}/meta/last_modified", xsiType=concrete
            )[0][f"{concrete.lower()}/meta/last_modified"],
            self.site.rows("/projects/P1/subjects", columns="ID,last_modified")[0]["last_modified"],
        )

    def moved(self, change: Callable[[], object]) -> tuple[bool, bool, bool]:
        before = self.take()
        self.server.clock.advance(5)
        change()
        after = self.take()
        return (after[0] > before[0], after[1] > before[1], after[2] > before[2])


def changes(stamps: Stamps) -> dict[str, tuple[Callable[[], object], tuple[bool, bool, bool]]]:
    site, base = stamps.site, f"/experiments/{stamps.session}"
    file = f"{base}/scans/1/resources/DICOM/files"
    return {
        "field": (lambda: site.put(f"{base}?xsiType=xnat:mrSessionData&scanner=X"),
                  (True, True, True)),
        "scan": (lambda: site.put(f"{base}/scans/2?xsiType=xnat:mrScanData"),
                 (False, True, True)),
        "quality": (lambda: site.put(f"{base}/scans/1?xnat:mrScanData/quality=poor"),
                    (False, True, True)),
        "file": (lambda: site.put(f"{file}/b?inbody=true", b"new"), (False, True, True)),
        "resource": (lambda: site.put(f"{base}/resources/R"), (False, True, True)),
        "same size": (lambda: site.put(f"{file}/a?inbody=true&overwrite=true", b"HELLO"),
                      (False, False, False)),
        "no stats": (lambda: site.put(f"{file}/c?inbody=true&update-stats=false", b"x"),
                     (False, False, False)),
        "deleted resource": (lambda: site.delete(f"{base}/scans/1/resources/DICOM"),
                             (False, True, True)),
        "deleted scan": (lambda: site.delete(f"{base}/scans/1"), (False, True, True)),
    }  # fmt: skip


@pytest.mark.parametrize(
    "what",
    ["field", "scan", "quality", "file", "resource", "same size", "no stats", "deleted resource",
     "deleted scan"],
)  # fmt: skip
def test_A3_7_what_moves(own_site: Site, standin: StandIn, what: str) -> None:
    stamps = Stamps(standin, own_site)
    change, expected = changes(stamps)[what]
    assert stamps.moved(change) == expected


def test_A3_7_deleted_session_moves_its_subject(own_site: Site, standin: StandIn) -> None:
    stamps = Stamps(standin, own_site)
    before = stamps.take()[2]
    standin.clock.advance(5)
    own_site.delete(f"/projects/P1/subjects/S1/experiments/{stamps.session}")
    rows = own_site.rows("/projects/P1/subjects", columns="ID,last_modified")
    assert rows[0]["last_modified"] > before
