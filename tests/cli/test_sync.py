"""The commands around a sync, as a data manager types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xnat_luigi.cli import main
from xnat_luigi.rest.items import delete_item
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from ..sync.conftest import content, fetched, fill, replace_file, tree

FIRST = "P1/S0/E0/scans/1-T1/resources/DICOM/files/0.dcm"


class Shell:
    """A destination, a file that describes it, and `xnat-luigi`."""

    def __init__(self, server: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.root = folder / "data"
        self.file = folder / "nightly.toml"
        self.capsys = capsys
        self.out = self.err = ""
        self.write()

    def write(self, more: str = "") -> None:
        first = f'server = "{self.server.url}"\nprojects = ["P1"]\ndest = "{self.root}"\n'
        self.file.write_text(f"{first}cap = 0\n{more}")

    def __call__(self, *words: str) -> int:
        try:
            status = main(list(words))
        except SystemExit as leaving:
            status = int(str(leaving.code))
        self.out, self.err = self.capsys.readouterr()
        return status

    def sync(self, *words: str) -> int:
        return self("sync", str(self.file), *words)

    def json(self) -> dict[str, object]:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def shell(
    standin: StandIn, netrc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Shell:
    fill(standin, 3)
    return Shell(standin, tmp_path, capsys)


def test_a_night_and_the_next(shell: Shell) -> None:
    assert shell.sync() == 0
    assert "P1: 3 new, 0 the same, 0 failed; 30 files" in shell.out
    assert shell.sync() == 0
    assert "P1: 3 the same, 0 failed; 0 files" in shell.out
    replace_file(shell.server, "E1", "0.dcm", content("new", size=99))
    assert shell.sync("--json") == 0
    report = shell.json()
    assert (report["files"], report["bytes"], report["same"]) == (1, 99, 2)


def test_options_do_without_a_file(shell: Shell) -> None:
    words = ("--server", shell.server.url, "--project", "P1", "--dest", str(shell.root))
    assert shell("sync", *words, "--session", "E0,E2", "--scan", "T1", "--layout", "flat") == 0
    assert set(tree(shell.root)) == {
        f"{session}/scans/1-T1/DICOM/{n}.dcm" for session in ("E0", "E2") for n in range(4)
    }


def test_options_win_over_the_file(shell: Shell) -> None:
    shell.write('layout = "flat"\n[select]\nsessions = ["E0"]\nresources = ["LOGS"]\n')
    assert shell.sync("--session", "E1") == 0
    assert set(tree(shell.root)) == {"E1/LOGS/a b.txt"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('layuot = "flat"', "'layuot' in a sync, did you mean 'layout'?"),
        ('[select]\nsesions = ["E"]', "'sesions', did you mean 'sessions'?"),
        ("workers = 0", "workers must be at least 1"),
        ('workers = "4"', "workers: a whole number is due"),
        ('digests = "sizes"', "'sizes', did you mean 'size'?"),
        ('layout = "{sesion}/{path}"', "unknown field {sesion}, did you mean {session}?"),
        ('layout = "{session}"', "it must end with {path}"),
        ('layout = "falt"', "did you mean flat?"),
        ('[select]\nsince = "1.2.2024"', "no date like 2024-02-01"),
        ("[select]\nsessions = 7", "sessions: a list of texts is due"),
        ('deep = "1/x"', "a part like 1/30 is due"),
        ("layout = ", "is no TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_nearest_right_word(
    shell: Shell, text: str, said: str
) -> None:
    shell.write(text)
    assert shell.sync() == 2
    assert said in shell.err
    assert str(shell.file) in shell.err
    assert shell.server.requests == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--session", "E00"), "P1 has no session 'E00', did you mean 'E0'?"),
        (("--subject", "S00"), "no subject 'S00', did you mean 'S0'?"),
        (
            ("--type", "xnat:mrSession"),
            "no type 'xnat:mrSession', did you mean 'xnat:mrSessionData",
        ),
        (("--session", "E1,zzzz"), "no session 'zzzz'; known are E0, E1, E2"),
    ],
)
def test_a_name_that_is_not_there_is_refused(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    assert shell.sync(*words) == 2
    assert said in shell.err
    assert fetched(shell.server) == []
    assert shell.sync("--session", "Z*") == 0  # a pattern may fit nothing tonight


def test_what_is_missing_is_named(shell: Shell) -> None:
    assert shell("sync", "--server", shell.server.url, "--project", "P1") == 2
    assert "dest is missing" in shell.err
    assert shell("sync", str(shell.root / "none.toml")) == 2
    assert "cannot be read" in shell.err


def test_a_dry_run_says_what_and_why_and_changes_nothing(shell: Shell) -> None:
    assert shell.sync("--dry-run") == 0
    assert "E0: new, 10 files, 16,008 bytes" in shell.out
    assert "bytes are free" in shell.out
    assert not shell.root.exists()
    assert fetched(shell.server) == []
    assert shell.sync("--dry-run", "--check") == 10
    shell.sync()
    assert shell.sync("--check") == 0
    (shell.root / FIRST).unlink()
    assert shell("plan", str(shell.file), "--check", "--json") == 10
    plan = shell.json()
    assert plan["steps"] == [
        {
            "session": "E0",
            "id": "XNAT_E00001",
            "reason": "missing",
            "detail": f"{FIRST} is not there",
            "files": 4,
            "bytes": 8000,
        }
    ]


def test_a_plan_names_a_session_that_cannot_be_listed(shell: Shell) -> None:
    shell.server.faults.add(Fault(path="E00002/resources", status=403, html=True))
    assert shell("plan", str(shell.file)) == 0
    assert "E1: new but: GET" in shell.out
    assert "3 sessions to do" in shell.out


def test_the_same_plan_is_the_same_text(shell: Shell) -> None:
    said = []
    for _ in range(2):
        shell("plan", str(shell.file))
        said.append(shell.out.rsplit(";", 1)[0])
    assert said[0] == said[1]


def test_json_lines_for_machines(shell: Shell, tmp_path: Path) -> None:
    log = tmp_path / "log" / "sync.jsonl"
    shell.server.faults.add(Fault(path="E00002/resources", status=403, html=True))
    assert shell.sync("--report", str(log)) == 6
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds == ["plan", "session", "session", "session", "sync", "end"]
    assert [bool(line["failed"]) for line in lines[1:4]] == [False, True, False]
    assert (lines[-2]["files"], lines[-2]["exit_status"]) == (20, 6)
    assert (lines[-1]["projects"], lines[-1]["exit_status"]) == (["P1"], 6)
    assert shell.err.count("403") == 1
    assert "E1: new, failed: " in shell.err


def test_statuses_of_what_can_go_wrong(shell: Shell, netrc: Path) -> None:
    shell.file.write_text(shell.file.read_text().replace('"P1"', '"NONE"'))
    assert shell.sync() == 3
    assert "there is no project 'NONE' that admin can see" in shell.err
    netrc.write_text("machine 127.0.0.1 login admin password wrong\n")
    assert shell.sync() == 6
    assert "wrong password" in shell.err
    netrc.chmod(0o644)
    assert shell.sync() in (2, 6)
    assert "chmod" in shell.err


def test_verify_repair_and_restore(shell: Shell) -> None:
    assert shell("verify", str(shell.root)) == 2
    assert "nothing was ever synced here" in shell.err
    shell.sync()
    assert shell("verify", str(shell.root)) == 0
    assert "30 files" in shell.out and "all right" in shell.out
    (shell.root / FIRST).write_text("edited")
    assert shell("verify", str(shell.root)) == 10
    (shell.root / FIRST.replace("0.dcm", "1.dcm")).unlink()
    assert shell("verify", str(shell.root), "--deep", "--json") == 7
    kinds = {one["path"]: one["kind"] for one in shell.json()["damages"]}  # type: ignore[attr-defined]
    assert sorted(kinds.values()) == ["drifted", "missing"]
    assert shell("repair", str(shell.file), "--dry-run") == 0
    assert "E0: repair" in shell.out
    assert shell("repair", str(shell.file)) == 0
    assert "E0: repair, 1 files" in shell.out
    assert (shell.root / FIRST).read_text() == "edited"
    assert shell("repair", str(shell.file), "--restore") == 0
    assert (shell.root / FIRST).read_bytes() == content("E0", 1, 0)
    assert shell("verify", str(shell.root), "--deep") == 0


def test_a_sample_is_a_share(shell: Shell) -> None:
    shell.sync()
    assert shell("verify", str(shell.root), "--sample", "200%") == 2
    assert shell("verify", str(shell.root), "--sample", "50%", "--json") == 0
    assert int(str(shell.json()["files"])) < 30
    assert shell("verify", str(shell.root), "--sample", "0.0000001%") == 0
    assert "0 files (a sample: 0 of 12 resources)" in shell.out
    assert shell("verify", str(shell.root)) == 0
    assert "sample" not in shell.out


def test_prune_takes_what_is_gone_into_the_trash_and_clean_empties_it(shell: Shell) -> None:
    shell.sync()
    from xnat_luigi.connection.registry import close_all, connection_for

    conn = connection_for(shell.server.url)
    delete_item(conn, "/data/projects/P1/subjects/S1/experiments/XNAT_E00002")
    close_all()
    edited = shell.root / "P1/S1/E1/resources/LOGS/files/a b.txt"
    edited.write_text("mine")
    assert shell("prune", str(shell.file)) == 1
    assert "10 of 30 files" in shell.err and "nothing was" in shell.err
    assert shell("prune", str(shell.file), "--dry-run") == 0
    assert "scans/1-T1/resources/DICOM/files/0.dcm: would move to the trash" in shell.out
    assert "but 10 of 30 files" in shell.out and "--max-delete" in shell.out
    assert shell("prune", str(shell.file), "--max-delete", "50%", "--dry-run") == 0
    assert ": would move" in shell.out and "moved" not in shell.out and "but" not in shell.out
    assert len(tree(shell.root)) == 30
    assert shell("prune", str(shell.file), "--max-delete", "50%") == 0
    assert "9 files" in shell.out
    assert "a b.txt: edited here, left as it is" in shell.out
    assert len(tree(shell.root)) == 21
    assert edited.read_text() == "mine"
    assert shell("prune", str(shell.file)) == 0
    assert "0 files" in shell.out
    assert shell("clean", str(shell.root)) == 0
    assert len(list((shell.root / ".xnat-luigi" / "trash").rglob("*.dcm"))) == 8
    assert shell("clean", str(shell.root), "--trash-days", "-3") == 2
    assert len(list((shell.root / ".xnat-luigi" / "trash").rglob("*.dcm"))) == 8
    assert shell("clean", str(shell.root), "--trash-days", "0", "--dry-run") == 0
    assert "would be removed" in shell.out
    assert shell("clean", str(shell.root), "--trash-days", "0") == 0
    assert list((shell.root / ".xnat-luigi" / "trash").rglob("*.dcm")) == []
    assert shell.sync() == 0
    assert "1 deleted" not in shell.out


def test_deep_takes_another_part_every_night(shell: Shell) -> None:
    shell.sync()
    seen: list[str] = []
    for _ in range(3):
        assert shell.sync("--deep", "1/3", "--json") == 0
        sessions = shell.json()["sessions"]
        seen += [one["session"] for one in sessions]  # type: ignore[attr-defined]
    assert sorted(seen) == ["E0", "E1", "E2"]
    assert shell.sync("--deep", "--json") == 0
    assert len(shell.json()["sessions"]) == 3  # type: ignore[arg-type]


def test_bars_on_a_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shell.server.faults.add(Fault(path="E00002/resources", status=403, html=True))
    assert shell.sync() == 6
    assert "sessions," in shell.err and "MB/s" in shell.err
    assert "E1: new, failed: GET" in shell.err
    assert shell.sync("--no-progress") == 6
    assert "MB/s" not in shell.err


def test_prune_and_verify_say_what_they_cannot_read(shell: Shell) -> None:
    shell.sync()
    assert shell("prune", str(shell.file), "--max-delete", "many") == 2
    assert "neither 500 nor 20%" in shell.err
    assert shell("prune", str(shell.file), "--max-delete", "5") == 0
    assert shell("verify", str(shell.root), "--sample", "few") == 2
    assert "no share like 5%" in shell.err
    assert shell("clean", str(shell.root / "none")) == 2


def spoil(shell: Shell) -> None:
    """Of E0's scan 1 one file is gone on the server's disk and two have other bytes."""
    for path, facts in (
        ("format=zip", {"status": 404}),
        (r"E00001/(?!.*/a/).*/0\.dcm$", {"status": 404}),
        (r"E00001/(?!.*/a/).*/[12]\.dcm$", {"flip": 5}),
    ):
        shell.server.faults.add(Fault(path=path, **facts))  # type: ignore[arg-type]


def test_every_file_that_did_not_come_is_named_and_counts_as_bytes(shell: Shell) -> None:
    spoil(shell)
    assert shell.sync() == 7
    assert "3 files did not come" in shell.err
    line = next(one for one in shell.err.splitlines() if one.startswith("E0: new, failed"))
    assert [name in line for name in ("0.dcm", "1.dcm", "2.dcm", "3.dcm")] == [True] * 3 + [False]


def test_one_file_that_is_gone_there_is_not_a_project_that_is_gone(shell: Shell) -> None:
    shell.server.faults.add(Fault(path="format=zip", status=404))
    shell.server.faults.add(Fault(path=r"E00001/(?!.*/a/).*/0\.dcm$", status=404))
    assert shell.sync() == 7
    assert "0.dcm" in shell.err


def test_verify_names_a_session_that_no_sync_has_ended(shell: Shell) -> None:
    spoil(shell)
    shell.sync()
    assert shell("verify", str(shell.root)) == 7
    assert "E0 (XNAT_E00001) of P1 is not complete: 7 files" in shell.out
    assert "1 not right" in shell.out
    shell.server.faults.clear()
    assert shell.sync() == 0
    assert shell("verify", str(shell.root)) == 0


@pytest.mark.parametrize("projects", ['"NONE", "P1"', '"P1", "NONE"'])
def test_a_project_that_fails_does_not_stop_the_others(
    shell: Shell, tmp_path: Path, projects: str
) -> None:
    log = tmp_path / "sync.jsonl"
    shell.file.write_text(shell.file.read_text().replace('"P1"', projects))
    assert shell.sync("--report", str(log), "--json") == 3
    assert len(tree(shell.root)) == 30
    assert shell.err.count("NONE: there is no project 'NONE'") == 1
    told = {one["project"]: one for one in json.loads(shell.out)}
    assert (told["P1"]["files"], told["NONE"]["exit_status"]) == (30, 3)
    assert "no project 'NONE'" in told["NONE"]["failed"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["exit_status"] for one in lines if one["kind"] == "sync"].count(3) == 1
    assert (lines[-1]["kind"], lines[-1]["exit_status"]) == ("end", 3)
    for command in ("plan", "repair", "prune"):
        assert shell(command, str(shell.file)) == 3
        assert ("the same" in shell.out) or "moved to the trash" in shell.out
        assert "NONE: there is no project" in shell.err
    assert shell("plan", str(shell.file), "--check") == 3


def test_a_server_that_refuses_leaves_a_line_in_the_report(shell: Shell, tmp_path: Path) -> None:
    log = tmp_path / "sync.jsonl"
    shell.server.faults.add(Fault(status=403, html=True))
    assert shell.sync("--report", str(log), "--json") == 6
    assert shell.json()["exit_status"] == 6
    kinds = [json.loads(line)["kind"] for line in log.read_text().splitlines()]
    assert kinds == ["sync", "end"]


def test_what_lies_here_and_not_there_is_named_every_night_and_once(shell: Shell) -> None:
    from xnat_luigi.connection.registry import close_all, connection_for

    shell.sync()
    (shell.root / FIRST).write_text("edited")
    conn = connection_for(shell.server.url)
    delete_item(conn, "/data/projects/P1/subjects/S1/experiments/XNAT_E00002")
    close_all()
    for _ in range(2):
        assert shell.sync() == 0
        both = shell.out + shell.err
        assert both.count(f"{FIRST}: edited here, left as it is") == 1
        assert both.count("E1 (XNAT_E00002): deleted on the server, still here") == 1
        assert both.count("xnat-luigi prune") == 1
        assert "1 deleted on the server" in both and "1 files edited here" in both
    assert shell.sync("--json") == 0
    report = shell.json()
    assert report["drifted"] == [FIRST]
    assert report["labels"] == {"XNAT_E00002": "E1"}
    assert shell("repair", str(shell.file)) == 0
    assert shell.out.count(f"{FIRST}: edited here") == 1


def test_every_session_and_remark_is_said_once(shell: Shell) -> None:
    shell.sync()
    (shell.root / FIRST).write_text("edited")
    replace_file(shell.server, "E0", "1.dcm", content("new", size=99))
    assert shell.sync() == 0
    assert (shell.out + shell.err).count(f"{FIRST}: edited here") == 1
    assert (shell.out + shell.err).count("E0: changed") == 1
