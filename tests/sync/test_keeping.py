"""Memory of a sync, pruning, verifying and turns: the careful parts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.connection.login import Connection
from xnat_luigi.exceptions import (
    XNATConfigError,
    XNATIntegrityError,
    XNATLockError,
    XNATUnsafeNameError,
    XNATValueError,
)
from xnat_luigi.rest.items import delete_item
from xnat_luigi.rest.records import Experiment
from xnat_luigi.staging.lock import slot
from xnat_luigi.staging.manifest import read_manifest
from xnat_luigi.staging.save import machine
from xnat_luigi.standin import StandIn
from xnat_luigi.sync import inventory, plan
from xnat_luigi.sync.apply import Rules, apply
from xnat_luigi.sync.clean import clean
from xnat_luigi.sync.deep import Turn, parse_deep
from xnat_luigi.sync.order import Order, tomllib
from xnat_luigi.sync.prune import Limit, TooManyError, prune
from xnat_luigi.sync.state import State
from xnat_luigi.sync.verify import verify_tree

from .conftest import Sync, content, fetched, fill, replace_file, tree

ALL = Limit(1000, 100)
DOCS = Path(__file__).parents[2] / "docs" / "sync.md"


def delete(conn: Connection, session: str, subject: str = "S0") -> None:
    delete_item(conn, f"/data/projects/P1/subjects/{subject}/experiments/{session}")


@pytest.mark.parametrize("text", ["", "{", '{"format": 1}'])
@pytest.mark.parametrize("name", ["session.json", "1.json"])
def test_D5_a_damaged_manifest_costs_a_look_and_no_byte(
    standin: StandIn, sync: Sync, root: Path, text: str, name: str
) -> None:
    (session,) = fill(standin, 1)
    sync()
    (State(root, "P1").folder(session) / name).write_text(text)
    standin.log.clear()
    (one,) = sync().sessions
    assert (one.files, one.kept) == (0, 10)
    assert fetched(standin) == []
    assert sync().same == 1


def test_D5_a_newer_manifest_is_refused_with_what_to_do(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    (session,) = fill(standin, 1)
    sync()
    path = State(root, "P1").folder(session) / "1.json"
    path.write_text(path.read_text().replace('"format":1', '"format":9'))
    with pytest.raises(XNATIntegrityError, match="newer version"):
        sync()


def test_losing_all_memory_costs_hashing_only(standin: StandIn, sync: Sync, root: Path) -> None:
    fill(standin, 2)
    sync()
    for path in (root / ".xnat-luigi").rglob("*.json"):
        path.unlink()
    standin.log.clear()
    report = sync()
    assert (report.files, sum(one.adopted for one in report.sessions)) == (0, 20)
    assert fetched(standin) == []


def test_a_change_while_we_look_is_seen_by_the_next_run(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    """Stamps are taken before the files are listed: at worst a session is looked at twice."""
    fill(standin, 2)
    found = inventory.take(conn, "P1")
    todo = plan.make(found, root)
    replace_file(standin, "E0", "0.dcm", content("meanwhile", size=50))
    assert apply(conn, todo).files == 20
    again = sync()
    assert [(one.session, one.files) for one in again.sessions] == [("E0", 0)]
    assert sync().same == 2


def test_pruning_is_refused_beyond_its_limit_and_moves_nothing(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    first, *_ = fill(standin, 3)
    sync()
    delete(conn, first)
    found = inventory.take(conn, "P1")
    for limit in (Limit(9, 100), Limit(1000, 33)):
        with pytest.raises(TooManyError, match="10 of 30 files"):
            prune(conn, found, root, limit=limit)
    assert len(tree(root)) == 30
    assert len(prune(conn, found, root, limit=Limit(10, 34)).removed) == 10
    assert len(tree(root)) == 20


def test_a_session_that_is_only_not_listed_is_left_alone(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    first, *_ = fill(standin, 2)
    sync()
    found = inventory.take(conn, "P1")
    partial = replace(found, ids=found.ids - {first}, sessions=found.sessions[1:])
    done = prune(conn, partial, root, limit=ALL)
    assert (done.removed, done.kept) == ((), (first,))
    assert "left alone" in done.to_text()
    assert len(tree(root)) == 20


def test_pruning_spares_a_place_that_another_session_has_taken(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    first, *_ = fill(standin, 1)
    sync()
    delete(conn, first)
    fill(standin, 1)  # the same label again, another ID
    report = sync()
    assert (report.files, sum(one.adopted for one in report.sessions)) == (0, 10)
    done = prune(conn, inventory.take(conn, "P1"), root, limit=ALL)
    assert done.removed == ()
    assert len(tree(root)) == 10
    assert State(root, "P1").experiments() != []


def test_files_removed_on_the_server_are_pruned_and_forgotten(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    (first,) = fill(standin, 1)
    sync()
    conn.request("DELETE", f"/data/experiments/{first}/scans/2/resources/NIFTI")
    sync()
    done = prune(conn, inventory.take(conn, "P1"), root, limit=ALL)
    assert [path.rsplit("/", 1)[-1] for path in done.removed] == ["x.nii"]
    assert list(State(root, "P1").all_gone()) == []
    assert not (root / "P1/S0/E0/scans/2-T2_flair/resources/NIFTI").exists()
    assert sync().same == 1


def test_a_session_without_files_is_forgotten_when_it_is_deleted(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    empty = standin.add_session("P1", "S0", "EMPTY")
    sync()
    delete(conn, empty)
    found = inventory.take(conn, "P1")
    assert prune(conn, found, root, dry=True).removed == ()
    assert plan.make(found, root).deleted == (empty,)
    prune(conn, found, root)
    assert plan.make(found, root).deleted == ()


def test_a_project_of_another_server_is_never_mixed_in_nor_pruned(
    standin: StandIn, conn: Connection, sync: Sync, root: Path
) -> None:
    fill(standin, 1)
    sync()
    found = replace(inventory.take(conn, "P1"), server="https://other.example.org/xnat")
    with pytest.raises(XNATConfigError, match=r"holds project P1 of http://127.*servers/P1"):
        plan.make(found, root)
    with pytest.raises(XNATConfigError):
        prune(conn, replace(found, ids=frozenset()), root, limit=ALL)
    assert len(tree(root)) == 10


@pytest.mark.parametrize(
    ("known", "now", "same"),
    [
        ("http://x.org", "https://x.org", True),
        ("http://x.org:80", "https://X.org:443/", True),
        ("http://x.org:8080", "http://x.org:8080/", True),
        ("http://127.0.0.1:8191", "http://127.0.0.1:8193", False),
        ("http://x.org", "http://x.org:8080", False),
        ("http://x.org:8080", "https://x.org:8080/xnat", False),
    ],
)
def test_a_test_server_is_but_a_port_away(root: Path, known: str, now: str, same: bool) -> None:
    state = State(root, "P1")
    state.bind(known)
    if same:
        state.check_server(now)
        return
    with pytest.raises(XNATConfigError, match=r"write it into .*servers/P1"):
        state.check_server(now)


def test_two_projects_in_one_folder_cannot_take_each_others_places(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 1)
    fill(standin, 1, project="P2")
    standin.add_session("P3", "S0", "E9", resources={"LOGS": {"x": b"x"}})
    sync(layout="flat")
    sync("P3", layout="flat")
    with pytest.raises(XNATUnsafeNameError, match="E0"):
        sync("P2", layout="flat")
    assert trash_is_empty(root)
    assert sync("P2", layout="{project}_{session}/{scan_id}/{resource}/{path}").files == 10
    with pytest.raises(XNATConfigError, match=r"does not hold \{project\}"):
        Order("http://x", ("P1", "P2"), root, layout="flat")


def trash_is_empty(root: Path) -> bool:
    return not list((root / ".xnat-luigi").glob("trash/*/*"))


def test_verifying_learns_new_inodes_of_a_copied_tree(
    standin: StandIn, sync: Sync, root: Path, tmp_path: Path
) -> None:
    import shutil

    fill(standin, 1)
    sync()
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert verify_tree(copy).exit_status == 0
    manifests = [read_manifest(path) for path in (copy / ".xnat-luigi").rglob("[0-9]*.json")]
    entries = [entry for one in manifests if one is not None for entry in one.entries]
    assert all((copy / one.path).stat().st_ino == one.inode for one in entries)


def test_verify_counts_damaged_manifests(standin: StandIn, sync: Sync, root: Path) -> None:
    (session,) = fill(standin, 1)
    sync()
    (State(root, "P1").folder(session) / "1.json").write_text("{")
    verdict = verify_tree(root)
    assert verdict.exit_status == 7
    assert "a damaged manifest" in verdict.to_text()
    for sample in (0, 1.5, -1):
        with pytest.raises(XNATValueError):
            verify_tree(root, sample=sample)


def test_clean_takes_old_trash_only(standin: StandIn, sync: Sync, root: Path) -> None:
    fill(standin, 1)
    for day in ("2024-01-01", "2024-01-31", "notes"):
        (root / ".xnat-luigi" / "trash" / day).mkdir(parents=True)
    now = time.mktime((2024, 2, 5, 12, 0, 0, 0, 0, -1))
    assert [path.name for path in clean(root, trash_days=10, dry=True, now=lambda: now).days] == [
        "2024-01-01"
    ]
    clean(root, trash_days=10, now=lambda: now)
    left = {path.name for path in (root / ".xnat-luigi" / "trash").iterdir()}
    assert left == {"2024-01-31", "notes"}


def test_turns_cover_every_session_once_and_survive_lost_nights(tmp_path: Path) -> None:
    sessions = [Experiment(f"X_E{n:05}") for n in range(200)]
    seen: list[str] = []
    for _ in range(7):
        turn = Turn.read(tmp_path, "P1", 7)
        assert Turn.read(tmp_path, "P1", 7) == turn  # a lost night is this part's again
        seen += [one.id for one in sessions if turn.takes(one)]
        turn.done()
    assert sorted(seen) == [one.id for one in sessions]
    assert Turn.read(tmp_path, "P1", 7).number == 0
    assert Turn.read(tmp_path, "P1", 5).number == 0
    assert [parse_deep(text) for text in ("", "all", "1", "1/30")] == [0, 1, 1, 30]


def test_no_more_places_than_the_cap_over_all_threads_and_processes(tmp_path: Path) -> None:
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with slot("http://x", 2, folder=tmp_path):
            with guard:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 2)
    ticks = iter(range(0, 100000, 1000))
    late = slot(
        "http://x",
        1,
        folder=tmp_path,
        timeout=5000,
        clock=lambda: float(next(ticks)),
        sleep=lambda seconds: None,
    )
    with (
        slot("http://x", 1, folder=tmp_path),
        slot("http://y", 1, folder=tmp_path),
        pytest.raises(XNATLockError, match="all 1 places for http://x are taken"),
        late,
    ):
        pytest.fail("one too many")
    with slot("http://x", 0, folder=tmp_path / "never"):
        assert not (tmp_path / "never").exists()


def test_the_places_lie_in_a_folder_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with slot("http://x", 1):
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(XNATLockError, match="not a folder of ours"), slot("http://x", 1):
        pytest.fail("went through a link")


def test_a_capped_sync_ends(standin: StandIn, sync: Sync, tmp_path: Path) -> None:
    fill(standin, 5)
    report = sync(workers=4, rules=Rules(cap=1, slots=tmp_path / "slots"))
    assert (report.files, report.exit_status) == (50, 0)


def test_the_file_in_the_documents_is_right() -> None:
    text = DOCS.read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    values: dict[str, Any] = tomllib.loads(block)
    order = Order.from_mapping(values)
    assert order.select.since == "2024-01-01"
    assert (order.projects, order.deep) == (("P1", "P2"), "1/30")


def test_D2_a_record_that_a_killed_run_left_half_written_goes(
    standin: StandIn, sync: Sync, root: Path
) -> None:
    fill(standin, 1)
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    half = root / ".xnat-luigi" / "locks" / "P1"
    half.mkdir(parents=True)
    left = half / f".E0.lock.owner.{ended.pid:x}-{machine()}-00000001.part"
    ours = half / f".E0.lock.owner.{os.getpid():x}-{machine()}-00000001.part"
    left.touch()
    ours.touch()
    sync()
    assert not left.exists()
    assert ours.exists()  # its process lives: it may be about to be renamed
