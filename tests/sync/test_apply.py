"""What a sync does to a disk: nothing twice, nothing lost, everything proven."""

from __future__ import annotations

import hashlib
import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.exceptions import XNATUnsafeNameError
from xnat_luigi.rest.items import delete_item, rename
from xnat_luigi.staging.save import machine, save_bytes
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.sync import inventory, plan
from xnat_luigi.sync.apply import Rules, apply
from xnat_luigi.sync.state import State
from xnat_luigi.transfer.select import Selection
from xnat_luigi.uris import experiment

from .conftest import Sync, content, fetched, fill, replace_file, tree

FIRST = "P1/S0/E0/scans/1-T1/resources/DICOM/files/0.dcm"


def trash(root: Path) -> dict[str, bytes]:
    """What lies in the trash, without the day."""
    base = root / ".xnat-luigi" / "trash"
    found = (path for path in base.rglob("*") if path.is_file())
    return {"/".join(p.relative_to(base).parts[1:]): p.read_bytes() for p in found}


def test_a_project_arrives_as_documented(standin: StandIn, sync: Sync, root: Path) -> None:
    fill(standin, 2)
    report = sync()
    assert report.exit_status == 0
    found = tree(root)
    assert len(found) == 20
    assert found[FIRST] == content("E0", 1, 0)
    assert found["P1/S1/E1/scans/2-T2_flair/resources/DICOM/files/a/3.dcm"] == content("E1", 2, 3)
    assert found["P1/S1/E1/resources/LOGS/files/a b.txt"] == b"hello"


def test_manifests_say_where_it_came_from_and_how_it_was_proven(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    (session,) = fill(standin, 1)
    sync()
    known = State(root, "P1").read(session)
    assert known.whole
    by_label = {
        (one.origin["parent_id"], one.origin["resource_label"]): one for one in known.resources
    }
    dicom = by_label["1", "DICOM"]
    assert dicom.origin["server"] == standin.url
    assert (dicom.origin["subject_label"], dicom.origin["parent_desc"]) == ("S0", "T1")
    entry = dicom.entries[0]
    assert entry.md5 == hashlib.md5((root / entry.path).read_bytes()).hexdigest()
    assert {one.proof for one in dicom.entries} == {"md5"}


def test_files_of_another_tool_are_adopted_by_hash(
    standin: StandIn, sync: Sync, root: Path, tmp_path: Path
) -> None:
    fill(standin, 2)
    sync(to=tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / ".xnat-luigi")
    os.rename(tmp_path / "other", root)
    standin.log.clear()
    report = sync()
    assert (report.files, sum(one.adopted for one in report.sessions)) == (0, 20)
    assert fetched(standin) == []
    assert sync().same == 2


def test_another_file_in_the_way_moves_to_the_trash(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 1)
    save_bytes(root / FIRST, [b"mine, and precious"])
    report = sync()
    assert report.sessions[0].displaced == (FIRST,)
    assert tree(root)[FIRST] == content("E0", 1, 0)
    assert trash(root) == {FIRST: b"mine, and precious"}


def test_D6_a_link_in_the_way_is_moved_not_followed(
    standin: StandIn, sync: Sync, root: Path, tmp_path: Path
) -> None:
    fill(standin, 1)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (root / FIRST).parent.mkdir(parents=True)
    (root / FIRST).symlink_to(victim)
    sync()
    assert victim.read_text() == "mine"
    assert (root / FIRST).read_bytes() == content("E0", 1, 0)


def test_files_edited_here_stay_and_are_reported(standin: StandIn, sync: Sync, root: Path) -> None:
    fill(standin, 1)
    sync()
    (root / FIRST).write_bytes(b"edited")
    report = sync()
    assert (report.same, report.files) == (1, 0)
    replace_file(standin, "E0", "1.dcm", content("other", size=2001))
    (one,) = sync().sessions
    assert (one.files, one.drifted) == (1, (FIRST,))
    assert (root / FIRST).read_bytes() == b"edited"


def test_an_edited_file_that_changed_on_the_server_too_is_kept_in_the_trash(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 1)
    sync()
    (root / FIRST).write_bytes(b"edited")
    replace_file(standin, "E0", "0.dcm", b"the server's")
    (one,) = sync().sessions
    assert one.displaced == (FIRST,)
    assert (root / FIRST).read_bytes() == b"the server's"
    assert trash(root) == {FIRST: b"edited"}


def test_D4_missing_and_damaged_files_come_again_and_only_they(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 2)
    sync()
    whole = tree(root)
    (root / FIRST).unlink()
    standin.log.clear()
    (one,) = sync().sessions
    assert (one.session, one.reason, one.files) == ("E0", "missing", 1)
    times = (root / FIRST).stat()
    damaged = bytearray(content("E0", 1, 0))
    damaged[7] ^= 1
    (root / FIRST).write_bytes(damaged)
    os.utime(root / FIRST, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sync().same == 2  # as somebody's backup would: size, time and inode are the same
    report = sync(deep=True)
    assert {one.session: one.reason for one in report.sessions} == {"E0": "damaged", "E1": "deep"}
    assert report.files == 1
    assert tree(root) == whole


def test_a_same_size_overwrite_shows_in_a_deep_sync(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 2)
    sync()
    new = content("other", size=2000)
    replace_file(standin, "E0", "0.dcm", new)  # the server moves no stamp for an equal size
    assert sync().same == 2
    report = sync(deep=True)
    assert report.files == 1
    assert (root / FIRST).read_bytes() == new


def test_a_renamed_session_moves_on_disk_without_a_byte(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    (session,) = fill(standin, 1)
    sync()
    rename(conn, experiment(session), "NEW")
    standin.log.clear()
    (one,) = sync().sessions
    assert (one.session, one.files, one.moved) == ("NEW", 0, 10)
    assert fetched(standin) == []
    assert all(path.startswith("P1/S0/NEW/") for path in tree(root))
    assert sync().same == 1


def test_another_layout_moves_what_is_there(standin: StandIn, sync: Sync, root: Path) -> None:
    fill(standin, 2)
    sync()
    standin.log.clear()
    report = sync(layout="{subject}_{session}/{scan_id}-{scan_type}/{resource}/{path}")
    assert (report.files, sum(one.moved for one in report.sessions)) == (0, 20)
    assert fetched(standin) == []
    assert "S0_E0/1-T1/DICOM/0.dcm" in tree(root)
    assert len(tree(root)) == 20


def test_what_the_server_removed_stays_and_is_named_once(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    first, _ = fill(standin, 2)
    sync()
    conn.request("DELETE", f"{experiment(first)}/scans/1/resources/DICOM")
    (one,) = sync().sessions
    assert len(one.removed) == 4
    assert len(tree(root)) == 20
    again = sync()
    assert (again.same, again.sessions) == (2, ())
    assert len(list(State(root, "P1").all_gone())) == 4
    standin.add_session(
        "P1", "S0", "E0", scans={"1": {"resources": {"DICOM": {"0.dcm": content("E0", 1, 0)}}}}
    )
    (one,) = sync().sessions
    assert (one.files, one.adopted) == (0, 1)  # it is back: nothing is fetched
    assert len(list(State(root, "P1").all_gone())) == 3


def test_a_deleted_session_is_named_and_stays(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    first, _ = fill(standin, 2)
    sync()
    delete_item(conn, f"/data/projects/P1/subjects/S0/experiments/{first}")
    report = sync()
    assert report.deleted == (first,)
    assert report.same == 1
    assert len(tree(root)) == 20


def test_one_failed_session_does_not_stop_the_others(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    ids = fill(standin, 3)
    standin.faults.add(Fault(path=f"{ids[1]}/resources", status=403, html=True))
    report = sync()
    assert [one.session for one in report.failed] == ["E1"]
    assert "403" in report.failed[0].failed
    assert report.exit_status == 6
    assert report.files == 20
    standin.faults.clear()
    report = sync()
    assert ([one.session for one in report.sessions], report.exit_status) == (["E1"], 0)
    assert len(tree(root)) == 30


def test_two_scans_for_one_place_are_refused_before_any_byte(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    one = {"resources": {"DICOM": {"x": b"x"}}}
    standin.add_session("P1", "S0", "E0", scans={"1": {"type": "T1", **one}, "1-T1": {**one}})
    standin.add_session("P1", "S0", "E1", scans={"1": dict(one)})
    report = sync()
    assert [one.session for one in report.failed] == ["E0"]
    assert "would lie at one place" in report.failed[0].failed
    assert list(tree(root)) == ["P1/S0/E1/scans/1/resources/DICOM/files/x"]


def test_a_layout_in_which_sessions_could_meet_is_refused(standin: StandIn, sync: Sync) -> None:
    fill(standin, 2)
    standin.log.clear()
    with pytest.raises(XNATUnsafeNameError, match=r"E0 .* and E1 .*\{session\}"):
        sync(layout="{project}/{scan_id}/{resource}/{path}")
    assert fetched(standin) == []


def test_a_part_that_lacked_only_its_name_is_taken_over(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 1)
    target = root / FIRST
    target.parent.mkdir(parents=True)
    dead = 4_000_000  # beyond any process id
    left = target.with_name(f".{target.name}.{dead:x}-{machine()}-0123abcd.part")
    left.write_bytes(content("E0", 1, 0))
    half = target.with_name(f".1.dcm.{dead:x}-{machine()}-0123abcd.part")
    half.write_bytes(content("E0", 1, 1)[:100])
    (one,) = sync().sessions
    assert (one.adopted, one.files) == (1, 9)
    assert not left.exists()
    assert not half.exists()


def test_selected_scans_and_resources_only(standin: StandIn, sync: Sync, root: Path) -> None:
    fill(standin, 2)
    sync(selection=Selection(scans=("T1",)))
    assert len(tree(root)) == 8
    report = sync(selection=Selection(resources=("NIFTI", "LOGS")))
    assert (report.files, len(tree(root))) == (4, 12)
    assert all(not one.removed for one in report.sessions)  # left out is not removed
    report = sync()
    assert (report.files, len(tree(root))) == (8, 20)
    assert sync().same == 2


def test_digests_absent_follow_the_policy(standin: StandIn, sync: Sync, root: Path) -> None:
    standin.preferences["checksums"] = False
    (session,) = fill(standin, 1)
    report = sync(rules=Rules(digests="fail"))
    assert report.exit_status == 7
    assert "no digest on the server" in report.failed[0].failed
    assert tree(root) == {}
    report = sync(rules=Rules(digests="size"))
    assert (report.files, report.sessions[0].bare) == (10, 10)
    known = State(root, "P1").read(session)
    assert {entry.proof for one in known.resources for entry in one.entries} == {"size"}


def test_without_digests_too_nothing_is_fetched_twice_after_a_failure(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    standin.preferences["checksums"] = False
    (session,) = fill(standin, 1)
    standin.faults.add(Fault(path="format=zip", status=404, html=True))
    standin.faults.add(Fault(path=r"files/a/3\.dcm", status=404, html=True))
    (one,) = sync().sessions
    assert (one.files, bool(one.failed)) == (9, True)
    partial = root / ".xnat-luigi" / "partial" / "P1" / f"{session}.jsonl"
    with partial.open("a") as file:
        file.write('[["1", "P1/../../etc/passwd", 1, "x"]]\n[["1", "half')
    standin.faults.clear()
    standin.log.clear()
    (one,) = sync().sessions
    assert (one.files, one.kept, one.failed) == (1, 9, "")
    assert [path.rsplit("/", 1)[-1] for path in fetched(standin)] == ["3.dcm"]
    assert not partial.exists()
    assert sync().same == 1


def test_digests_absent_are_ordered_from_the_server(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    standin.preferences["checksums"] = False
    (session,) = fill(standin, 1)
    standin.preferences["checksums"] = True
    report = sync(rules=Rules(digests="refresh"))
    assert (report.exit_status, report.sessions[0].bare, report.files) == (0, 0, 10)
    known = State(root, "P1").read(session)
    assert {entry.proof for one in known.resources for entry in one.entries} == {"md5"}


def test_a_session_without_files_is_done(standin: StandIn, sync: Sync) -> None:
    standin.add_session("P1", "S0", "E0")
    assert sync().exit_status == 0
    assert sync().same == 1


def test_progress_and_watch_see_every_session_and_byte(standin: StandIn, sync: Sync) -> None:
    fill(standin, 4)
    steps: list[tuple[int, int]] = []
    labels: list[str] = []
    counts: list[int] = []
    report = sync(
        progress=lambda done, every: steps.append((done, every)),
        watch=lambda one: labels.append(one.session),
        pulse=counts.append,
    )
    assert steps == [(n, 4) for n in (1, 2, 3, 4)]
    assert labels == ["E0", "E1", "E2", "E3"]
    assert sum(counts) >= report.bytes


def test_resources_of_assessors_come_too(standin: StandIn, sync: Sync, root: Path) -> None:
    fill(standin, 1)
    files = {"report.txt": b"good", "maps/1.nii": content("map")}
    assessor = standin.add_assessor("P1", "E0", "E0_QC", resources={"OUT": files})
    report = sync()
    assert (report.exit_status, report.files) == (0, 12)
    base = f"P1/S0/E0/assessors/{assessor}/resources/OUT/files"
    assert {name: tree(root)[f"{base}/{name}"] for name in files} == files
    assert len(fetched(standin)) == 1
    assert sync().same == 1


def test_T4_odd_names_of_files_arrive_as_they_are(standin: StandIn, sync: Sync, root: Path) -> None:
    names = [
        "a b.txt",
        "100%.txt",
        "x#1.txt",
        "ä ö.txt",
        "a+b=c&d.txt",
        "~",
        "-rf",
        "q?.txt",
        "[1]",
    ]
    files = {f"sub {n}/{name}": content(name) for n, name in enumerate(names)}
    standin.add_session("P1", "S0", "E0", resources={"ODD": files})
    assert sync().exit_status == 0
    base = "P1/S0/E0/resources/ODD/files"
    assert tree(root) == {f"{base}/{name}": data for name, data in files.items()}
    for path in tree(root):
        (root / path).unlink()
        standin.log.clear()
        assert sync().files == 1  # now each by itself
        assert "format=zip" not in str([one.query for one in standin.requests])
    assert tree(root) == {f"{base}/{name}": data for name, data in files.items()}


def test_shared_sessions_lie_in_the_project_they_are_shared_into(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    (session,) = fill(standin, 1)
    standin.add_project("P2")
    conn.request(
        "PUT",
        f"/data/projects/P1/subjects/S0/experiments/{session}/projects/P2?label=OTHER",
        accepted=(200, 201),
    )
    report = sync("P2")
    assert (report.exit_status, report.files) == (0, 10)
    assert all(path.startswith("P2/") and "/OTHER/" in path for path in tree(root))
    assert sync("P2", selection=Selection(shared=False), to=root.parent / "own").files == 0


def test_an_empty_file_is_a_file(standin: StandIn, sync: Sync, root: Path) -> None:
    standin.add_session("P1", "S0", "E0", resources={"R": {"empty": b"", "full": b"x"}})
    assert sync().exit_status == 0
    assert tree(root)["P1/S0/E0/resources/R/files/empty"] == b""
    assert sync().same == 1


def test_an_empty_list_is_not_believed_where_files_are_counted(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 1)
    sync()
    replace_file(standin, "E0", "0.dcm", content("new", size=77))
    empty = '{"ResultSet":{"Columns":[{"key":"URI"}],"Result":[],"title":"Files"}}'
    standin.faults.add(Fault(path=r"/files\?", replace=empty))
    (one,) = sync().sessions
    assert "the server counts 1 files in LOGS and lists none" in one.failed
    assert one.exit_status == 7
    standin.faults.clear()
    assert list(State(root, "P1").all_gone()) == []
    assert sync().files == 1


def test_A1_a_login_that_expires_on_the_way_costs_a_new_one(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 4)
    report = sync(workers=1, watch=lambda one: standin.clock.advance(3600))
    assert (report.exit_status, report.files) == (0, 40)
    logins = [one for one in standin.requests if one.path == "/data/services/auth"]
    assert len(logins) > 1
    assert len(tree(root)) == 40


def test_a_server_below_a_path(tmp_path: Path, netrc: Path) -> None:
    with StandIn(context="/xnat") as server:
        fill(server, 1)
        conn = connection_for(server.url)
        todo = plan.make(inventory.take(conn, "P1"), tmp_path / "data")
        report = apply(conn, todo)
        assert (report.exit_status, report.files) == (0, 10)
        (tmp_path / "data" / FIRST).unlink()
        todo = plan.make(inventory.take(conn, "P1"), tmp_path / "data")
        assert apply(conn, todo).files == 1
        close_all()


@pytest.mark.parametrize("lists", ["NFD", "another case"])
def test_what_a_disk_lists_under_another_name_is_put_aside_too(
    standin: StandIn, sync: Sync, root: Path, monkeypatch: pytest.MonkeyPatch, lists: str
) -> None:
    """Some disks list names in another form than they were given, and find them in both."""
    name = unicodedata.normalize("NFC", "K\u00f6rper.dcm")
    standin.add_session("P1", "S0", "E0", scans={"1": {"resources": {"DICOM": {name: b"right"}}}})
    place = root / "P1/S0/E0/scans/1/resources/DICOM/files" / name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"somebody else's")
    listed = os.listdir

    def other(folder: str) -> list[str]:
        names = listed(folder)
        if lists == "NFD":
            return [unicodedata.normalize("NFD", one) for one in names]
        return [one.upper() for one in names]

    monkeypatch.setattr("xnat_luigi.staging.sweep.os.listdir", other)
    report = sync()
    monkeypatch.undo()
    assert report.exit_status == 0
    assert place.read_bytes() == b"right"
    (aside,) = (root / ".xnat-luigi" / "trash").rglob("*.dcm")
    assert aside.read_bytes() == b"somebody else's"
