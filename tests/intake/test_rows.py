"""What scanners sent into the prearchive: quiet rows, headers by partial read, policies."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pydicom
import pytest

from pipelines.material import MadeStudy, cut, make_study, series_of
from tests.intake.conftest import PROJECT, Line, small_study
from xnat_luigi.exceptions import XNATIntegrityError, XNATUnsafeNameError
from xnat_luigi.gate.running import Outcome, Settings, retry, run_rows
from xnat_luigi.intake.arrivals import make_images
from xnat_luigi.intake.bringing import Sending
from xnat_luigi.intake.decisions import decide
from xnat_luigi.intake.ledger import DELETED, DONE, HELD, Ledger
from xnat_luigi.intake.rows import Watchman, key_of, open_remote, read_row
from xnat_luigi.intake.studies import read_folder
from xnat_luigi.rest import prearchive, services
from xnat_luigi.rest.records import PrearchiveRow
from xnat_luigi.standin.faults import Fault


def scan(line: Line, made: MadeStudy, *, count: int | None = None, build: bool = True) -> None:
    """A scanner sends a study; the server's rebuilder makes it READY."""
    files = read_folder(made.folder).find(made.uid).files[:count]
    services.import_archive(
        line.conn,
        Sending(make_images(files)).stream(),
        project=PROJECT,
        subject=made.subject,
        session=made.session,
    )
    if build:
        row = next(r for r in prearchive.list_rows(line.conn, PROJECT) if r.tag == made.uid)
        prearchive.build(line.conn, row)


def settings(tmp_path: Path, rules: str = "", policy: str = "") -> Settings:
    made = Settings(str(tmp_path / "state"), project=PROJECT, thumbnails=1)
    for name, text in (("rules", rules), ("policy", policy)):
        if text:
            path = tmp_path / f"{name}.toml"
            path.write_text(text)
            made = replace(made, **{name: str(path)})
    return made


def go(line: Line, wish: Settings, *, now: float = 0.0) -> Outcome:
    return run_rows(line.conn, wish, pace=line.pace, now=lambda: now)


def test_rows_are_judged_and_archived(line: Line, tmp_path: Path) -> None:
    scan(line, line.made)
    scan(line, small_study(tmp_path / "more", 2))
    outcome = go(line, settings(tmp_path))
    assert [entry.stage for entry in outcome.entries] == [DONE, DONE] and outcome.good
    assert len(line.experiments()) == 2 and line.rows() == []
    assert "6 of 6 files" in outcome.entries[0].facts["proof"]
    page = tmp_path / "state" / "reports" / PROJECT / "S001_MR1.html"
    assert page.read_text().count("data:image/png") == 2


def test_headers_are_those_of_the_files(line: Line, tmp_path: Path) -> None:
    scan(line, line.made)
    (row,) = prearchive.list_rows(line.conn, PROJECT)
    arrived = read_row(line.conn, row)
    wanted = {header.sop_uid: header for header in line.files}
    assert {header.sop_uid for header in arrived.headers} == set(wanted)
    for header in arrived.headers:
        assert header.whole and header.values == wanted[header.sop_uid].values
        assert header.size == wanted[header.sop_uid].size
    assert arrived.open_file is not None
    dataset = arrived.open_file(arrived.headers[0])
    assert dataset.SOPInstanceUID == arrived.headers[0].sop_uid and len(dataset.PixelData) > 0


def test_a_large_header_is_asked_for_in_full(line: Line) -> None:
    dataset = pydicom.dcmread(line.made.files[0])
    block = dataset.private_block(0x0019, "LONG", create=True)
    block.add_new(0x10, "OB", b"\1" * 300_000)
    dataset.save_as(line.made.files[0], enforce_file_format=True)
    scan(line, line.made)
    (row,) = prearchive.list_rows(line.conn, PROJECT)
    assert all(header.whole for header in read_row(line.conn, row).headers)


def test_a_server_that_knows_no_ranges_is_cut_off(line: Line) -> None:
    scan(line, line.made)
    line.server.faults.add(Fault(method="GET", path="/files/", ignore_range=True))
    (row,) = prearchive.list_rows(line.conn, PROJECT)
    assert all(header.whole for header in read_row(line.conn, row).headers)


def test_X_a_cut_file_in_a_row_holds_it(line: Line, tmp_path: Path) -> None:
    """The server stores a cut file without a word."""
    files = line.files
    cut(line.made.files[0])
    body = Sending(make_images(files))
    object.__setattr__(body.images[0], "size", line.made.files[0].stat().st_size)
    services.import_archive(
        line.conn, body.stream(), project=PROJECT, subject="S001", session="S001_MR1"
    )
    outcome = go(line, settings(tmp_path), now=0)
    assert not outcome.entries  # files came just now
    (entry,) = go(line, settings(tmp_path), now=301).entries
    assert entry.stage == HELD and "not whole" in entry.detail
    assert line.rows() == [("S001_MR1", "READY")] and line.experiments() == []


def test_a_row_that_receives_is_taken_when_it_is_quiet(line: Line, tmp_path: Path) -> None:
    scan(line, line.made, count=4, build=False)
    wish = settings(tmp_path)
    assert not go(line, wish, now=0).entries
    line.server.clock.advance(20)
    scan(line, line.made, build=False)  # the rest comes, and the watch begins anew
    assert not go(line, wish, now=200).entries and not go(line, wish, now=499).entries
    (entry,) = go(line, wish, now=501).entries
    assert entry.stage == DONE, entry.detail
    assert line.archived_once()


def test_the_watchman_forgets_rows_that_are_gone(tmp_path: Path) -> None:
    now = [0.0]
    watch = Watchman(tmp_path / "rows.json", lambda: now[0])
    row = PrearchiveRow(
        project="P", timestamp="1", folder="f", status="READY", url="/a", lastmod="x"
    )
    assert watch.look([row]) == {"/a": 0.0}
    now[0] = 50.0
    assert watch.look([row]) == {"/a": 50.0}
    assert watch.look([]) == {}
    assert watch.look([row]) == {"/a": 0.0}
    (tmp_path / "rows.json").write_text("{")
    assert watch.look([row]) == {"/a": 0.0}


def test_nothing_to_do_costs_one_request(line: Line, tmp_path: Path) -> None:
    """Held rows that have not changed are known from the ledger."""
    for number in (1, 2, 3):
        scan(line, small_study(tmp_path / f"s{number}", number))
    wish = settings(tmp_path, '[header]\nModality = "CT"\n')
    assert {entry.stage for entry in go(line, wish).entries} == {HELD}
    line.server.log.clear()
    assert go(line, wish).entries == ()
    assert [r.path for r in line.server.requests] == ["/data/prearchive/projects/P1"]


def test_other_rules_look_again(line: Line, tmp_path: Path) -> None:
    scan(line, line.made)
    assert go(line, settings(tmp_path, '[header]\nModality = "CT"\n')).entries[0].stage == HELD
    assert go(line, settings(tmp_path, '[header]\nModality = "MR"\n')).entries[0].stage == DONE


def test_an_approved_row_goes_on(line: Line, tmp_path: Path) -> None:
    scan(line, line.made)
    wish = settings(tmp_path, '[header]\nModality = "CT"\n')
    (entry,) = go(line, wish).entries
    decide(Ledger(wish.state), entry, "approve", "MR is right", who="ada")
    (entry,) = go(line, wish).entries
    assert entry.stage == DONE, entry.detail
    assert line.archived_once()


def test_retry_knows_where_a_row_came_from(line: Line, tmp_path: Path) -> None:
    scan(line, line.made)
    wish = settings(tmp_path)
    line.server.faults.add(Fault(method="POST", path="validate-archive", status=500))
    (entry,) = go(line, wish).entries
    assert entry.stage == "failed"
    line.server.faults.clear()
    outcome = retry(line.conn, wish.state, [entry], pace=line.pace)
    assert outcome.entries[0].stage == DONE and line.archived_once()


def test_pixel_rules_fetch_whole_files(line: Line, tmp_path: Path) -> None:
    """Headers by parts, and of every series one whole file."""
    made = make_study(
        tmp_path / "large",
        subject="S001",
        session="S001_MR1",
        series=series_of(("T1w", "T2w"), slices=3),
    )
    scan(line, made)
    wish = settings(tmp_path, '[pixels]\nreadable = "fail"\nconstant = "fail"\nsample = 1\n')
    (entry,) = go(line, replace(wish, thumbnails=0)).entries
    assert entry.stage == DONE, entry.detail
    sizes = [
        r.bytes_out for r in line.server.requests if "/prearchive/" in r.path and ".dcm" in r.path
    ]
    assert sorted(size > 500_000 for size in sizes) == [False] * 6 + [True] * 2


FAIL = '[header]\nModality = "CT"\n'


def test_a_failed_row_is_deleted_only_when_policy_says_so_by_name(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(line, line.made)
    policy = '[project.P1]\non_fail = "delete"\ndelete_after_days = 30\n'
    wish = settings(tmp_path, FAIL, policy)
    assert go(line, wish).entries[0].stage == HELD
    assert go(line, wish).entries == () and line.rows() != []
    _age(Ledger(wish.state), days=29)
    assert go(line, wish).entries == () and line.rows() != []
    _age(Ledger(wish.state), days=2)
    (entry,) = go(line, wish).entries
    assert entry.stage == DELETED and line.rows() == [] and line.experiments() == []


def _age(ledger: Ledger, *, days: float) -> None:
    """Makes the history older."""
    for path in ledger.root.rglob("*.json"):
        text = path.read_text()
        if '"events"' not in text:
            continue
        entry = ledger.entries()[0]
        for event in entry.events:
            older = datetime.fromisoformat(event.at) - timedelta(days=days)
            text = text.replace(event.at, older.astimezone(timezone.utc).isoformat())
        path.write_text(text)


def test_a_failed_row_stays_for_ever_by_default(line: Line, tmp_path: Path) -> None:
    scan(line, line.made)
    wish = settings(tmp_path, FAIL)
    go(line, wish)
    _age(Ledger(wish.state), days=4000)
    assert go(line, wish).entries == () and line.rows() == [("S001_MR1", "READY")]


def test_a_row_in_conflict_is_rebuilt_once_then_held_with_the_log(
    line: Line, tmp_path: Path
) -> None:
    scan(line, line.made)
    (row,) = line.services.prearchive.all()
    line.services.prearchive.log(row, "Operation Failed: the label is odd")
    line.services.prearchive.set_status(row, "CONFLICT")
    (entry,) = go(line, settings(tmp_path)).entries
    assert entry.stage == DONE, entry.detail
    assert line.archived_once()


def test_rows_with_labels_the_server_would_change_are_refused(line: Line, tmp_path: Path) -> None:
    odd = PrearchiveRow(
        project="P1", timestamp="t", folder="f", status="READY", name="a b", subject="S", tag="1.2"
    )
    with pytest.raises(XNATUnsafeNameError):
        key_of(odd)


@pytest.fixture
def homeless(line: Line) -> Line:
    """The study is a row of no project."""
    scan(line, line.made)
    (listed,) = line.services.prearchive.all()
    row = line.services.prearchive.by_pk(listed.pk)
    assert row is not None
    line.services.work.move(row, "Unassigned")
    return line


def test_rows_of_no_project_are_named_not_archived(homeless: Line, tmp_path: Path) -> None:
    outcome = go(homeless, replace(settings(tmp_path), project=""))
    (why,) = outcome.refused.values()
    assert not outcome.entries and "belongs to no project" in why and not outcome.good


def named(tmp_path: Path, session: str) -> Settings:
    path = tmp_path / "naming.toml"
    path.write_text(
        "[[name]]\nwhen = { StationName = '*' }\nproject = 'P1'\n"
        f"subject = '{{PatientName}}'\nsession = '{session}'\n"
    )
    return replace(settings(tmp_path), project="", naming=str(path))


def test_rows_of_no_project_go_where_the_rules_say(homeless: Line, tmp_path: Path) -> None:
    (entry,) = go(homeless, named(tmp_path, "{PatientID}")).entries
    assert entry.stage == DONE, entry.detail
    assert entry.key.project == "P1" and homeless.archived_once()


def test_rows_are_not_renamed(homeless: Line, tmp_path: Path) -> None:
    outcome = go(homeless, named(tmp_path, "{PatientID}_NEW"))
    assert not outcome.entries and "cannot be renamed" in next(iter(outcome.refused.values()))
    assert [row.project for row in homeless.services.prearchive.all()] == ["Unassigned"]


def test_a_row_that_is_locked_rests(line: Line, tmp_path: Path) -> None:
    scan(line, line.made)
    (row,) = line.services.prearchive.all()
    line.services.prearchive.set_status(row, "_MOVING")
    assert go(line, settings(tmp_path), now=9999).entries == ()


def test_N4_a_file_that_comes_short_is_no_dataset(line: Line) -> None:
    scan(line, line.made)
    (row,) = prearchive.list_rows(line.conn, PROJECT)
    file = prearchive.list_scan_files(line.conn, row, "1")[0]
    assert open_remote(line.conn, file).PatientID == "S001_MR1"
    line.server.faults.add(Fault(method="GET", path="/files/", cut=500, no_length=True))
    with pytest.raises(XNATIntegrityError, match="500 bytes came"):
        open_remote(line.conn, file)
