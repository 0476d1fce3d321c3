"""Every file of a project against its catalog; the command that reports it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.cli import main
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import XNATConnectionError, XNATNotFoundError, XNATUnavailableError
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.transfer.integrity import BAD, STATES, check_project
from xnat_luigi.transfer.select import Selection


@pytest.fixture
def conn(standin: StandIn) -> Iterator[Connection]:
    connection = Connection(
        Transport(standin.url), Credentials("admin", "admin"), sleep=lambda seconds: None
    )
    yield connection
    standin.faults.clear()
    connection.close()


@pytest.fixture
def site(standin: StandIn) -> StandIn:
    """Files of a project, a subject, a session, its scans and an assessor."""
    standin.add_project("P1", resources={"DOCS": {"a.txt": b"a"}})
    standin.add_subject("P1", "S1", resources={"NOTES": {"n.txt": b"note"}})
    standin.add_session(
        "P1",
        "S1",
        "S1_MR1",
        scans={
            "1": {"type": "T1", "resources": {"DICOM": {"1.dcm": b"one", "2.dcm": b"two"}}},
            "2": {"type": "T2", "resources": {"DICOM": {"1.dcm": b"x"}, "NII": {"s/1": b"yy"}}},
        },
        resources={"LOGS": {"log.txt": b"it ran"}},
    )
    standin.add_assessor("P1", "S1_MR1", "QC1", resources={"REPORT": {"r.txt": b"fine"}})
    return standin


def on_disk(site: StandIn, pattern: str) -> Path:
    """One file in the server's archive."""
    (found,) = (site.root / "archive").rglob(pattern)
    return found


def test_all_files_of_all_levels_are_right(conn: Connection, site: StandIn) -> None:
    found = list(check_project(conn, "P1"))
    assert Counter(one.state for one in found) == {"ok": 8}
    places = {(one.place, one.category, one.parent, one.resource, one.path) for one in found}
    assert ("P1", "resources", "", "DOCS", "a.txt") in places
    assert ("S1", "resources", "", "NOTES", "n.txt") in places
    assert ("S1_MR1", "scans", "2", "NII", "s/1") in places
    assert ("S1_MR1", "resources", "", "LOGS", "log.txt") in places


def test_D4_damage_on_the_server_is_found(conn: Connection, site: StandIn) -> None:
    on_disk(site, "SCANS/1/DICOM/1.dcm").write_bytes(b"onf")
    on_disk(site, "SCANS/1/DICOM/2.dcm").unlink()
    on_disk(site, "log.txt").write_bytes(b"it ran on")
    found = {one.path: one for one in check_project(conn, "P1") if one.state in BAD}
    assert {path: one.state for path, one in found.items()} == {
        "1.dcm": "digest differs",
        "2.dcm": "missing",
        "log.txt": "size differs",
    }
    assert "instead of" in found["1.dcm"].detail and found["1.dcm"].place == "S1_MR1"
    assert set(STATES) >= {one.state for one in found.values()}


def test_N3_what_breaks_off_once_is_no_damage(conn: Connection, site: StandIn) -> None:
    site.faults.add(Fault(method="GET", path=r"files/2\.dcm", cut=1, times=1))
    assert {one.state for one in check_project(conn, "P1")} == {"ok"}
    site.faults.add(Fault(method="GET", path=r"files/2\.dcm", status=500))
    bad = [one for one in check_project(conn, "P1") if one.state != "ok"]
    assert [(one.path, one.state) for one in bad] == [("2.dcm", "unreadable")]


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("how", [{"status": 503}, {"reset": True}])
def test_N6_an_outage_says_nothing_about_files(
    conn: Connection, site: StandIn, deep: bool, how: dict[str, Any]
) -> None:
    site.faults.add(Fault(path=r"/files/.|/auth$|/users/|JSESSION", **how))
    with pytest.raises((XNATConnectionError, XNATUnavailableError)):
        list(check_project(conn, "P1", deep=deep))


def test_files_without_a_digest_are_told(conn: Connection, site: StandIn) -> None:
    site.preferences["checksums"] = False
    site.add_session("P1", "S1", "S1_MR2", resources={"NEW": {"x.txt": b"x"}})
    found = {one.path: one for one in check_project(conn, "P1")}
    assert found["x.txt"].state == "size ok" and "no MD5" in found["x.txt"].detail


def test_quick_reads_no_file(conn: Connection, site: StandIn) -> None:
    on_disk(site, "SCANS/1/DICOM/2.dcm").unlink()
    on_disk(site, "log.txt").write_bytes(b"it ran on")
    (on_disk(site, "SCANS/1/DICOM") / "3.dcm").write_bytes(b"three")
    found = list(check_project(conn, "P1", deep=False))
    states = {(one.path.rsplit("/", 1)[-1], one.state) for one in found if one.state in BAD}
    assert states == {
        ("2.dcm", "missing"),
        ("log.txt", "size differs"),
        ("3.dcm", "not catalogued"),
    }
    assert not any("/files/" in one.path and one.method == "GET" for one in site.requests)
    assert len(found) == 9  # files of the project and its subjects as well
    on_disk(site, "a.txt").write_bytes(b"aa")
    on_disk(site, "n.txt").unlink()
    upper = [one for one in check_project(conn, "P1", deep=False) if one.category == "resources"]
    assert {(one.path, one.state) for one in upper} >= {
        ("a.txt", "size differs"),
        ("n.txt", "missing"),
    }


def test_only_what_is_selected(conn: Connection, site: StandIn) -> None:
    found = list(check_project(conn, "P1", Selection(scans=("2",), resources=("D*",))))
    assert [(one.parent, one.path) for one in found] == [("2", "1.dcm")]
    assert list(check_project(conn, "P1", Selection(sessions=("NOPE*",)))) == []
    with pytest.raises(XNATNotFoundError):
        list(check_project(conn, "NOPE"))


def command(site: StandIn, *words: str) -> int:
    return main(["integrity", "--server", site.url, "--project", "P1", *words])


def test_the_command_reports_as_text(
    site: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(site) == 0
    assert capsys.readouterr().out == "8 files: 8 ok\n"
    on_disk(site, "log.txt").write_bytes(b"it ram")
    assert command(site) == 7
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("digest differs: S1_MR1/LOGS/log.txt (MD5 ")
    assert last == "8 files: 1 digest differs, 7 ok"


def test_the_command_reports_as_csv_and_json(
    site: StandIn, netrc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.csv"
    assert command(site, "--format", "csv", "--all", "--output", str(target)) == 0
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert len(rows) == 8 and {row["state"] for row in rows} == {"ok"}
    on_disk(site, "log.txt").unlink()
    assert command(site, "--format", "json", "--sessions", "S1_*") == 7
    report = json.loads(capsys.readouterr().out)
    assert report["counts"] == {"ok": 5, "missing": 1}
    assert [one["path"] for one in report["files"]] == ["log.txt"]
    assert main(["integrity", "--server", site.url, "--project", "NOPE"]) == 3
    assert "NOPE" in capsys.readouterr().err
