"""`xnat-luigi intake` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.material import cut, make_study, series_of
from tests.intake.conftest import Line, small_study
from xnat_luigi import cli
from xnat_luigi.intake.bringing import bring_in
from xnat_luigi.intake.ledger import Ledger
from xnat_luigi.standin.faults import Fault

Text = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    place = tmp_path / "desk"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def run(line: Line, *words: str) -> int:
    return cli.main(["intake", "run", str(line.made.folder), "--server", line.server.url, *words])


def test_run_status_explain(line: Line, here: Path, capsys: Text) -> None:
    small_study(line.made.folder / "more", 2)
    assert run(line, "--project", "P1") == 0
    told = capsys.readouterr().out
    assert "P1/S001_MR1 done" in told and "P1/S002_MR1 done" in told
    assert len(line.experiments()) == 2 and line.rows() == []
    assert cli.main(["intake", "status"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["project", "session", "stage", "since", "verdict", "waits", "for"]
    assert "S001_MR1" in table[1] and " done " in table[1] and " pass" in table[1]
    assert cli.main(["intake", "explain", "S002_MR1"]) == 0
    story = capsys.readouterr().out
    assert story.index("found") < story.index("sending") < story.index("archived")
    assert "Nothing is left to do." in story
    assert (here / "intake-state" / "reports" / "index.html").is_file()


def test_a_held_study_is_said_and_makes_the_status_one(
    line: Line, here: Path, capsys: Text
) -> None:
    cut(line.made.files[0])
    small_study(line.made.folder / "more", 2)
    assert run(line, "--project", "P1") == 1
    told = capsys.readouterr().out
    assert "S001_MR1 held: QC says fail" in told and "S002_MR1 done" in told
    assert cli.main(["intake", "status", "--stage", "held"]) == 0
    table = capsys.readouterr().out
    assert "S001_MR1" in table and "S002_MR1" not in table and "a human" in table


def test_rows_takes_in_what_a_scanner_sent(line: Line, here: Path, capsys: Text) -> None:
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    words = ["intake", "rows", "--server", line.server.url, "--project", "P1"]
    assert cli.main(words) == 0
    assert "P1/S001_MR1 done" in capsys.readouterr().out and line.archived_once()
    assert cli.main(words) == 0
    assert capsys.readouterr().out == ""


def test_status_for_machines(line: Line, here: Path, capsys: Text) -> None:
    run(line, "--project", "P1")
    capsys.readouterr()
    assert cli.main(["intake", "status", "--json"]) == 0
    (study,) = json.loads(capsys.readouterr().out)
    assert study["session"] == "S001_MR1" and study["stage"] == "done"
    assert study["experiment"] == "XNAT_E00001" and study["verdict"] == "pass"
    assert cli.main(["intake", "explain", line.made.uid, "--json"]) == 0
    (story,) = json.loads(capsys.readouterr().out)
    assert [event["stage"] for event in story["events"]][-1] == "done"


def test_a_summary_for_a_mail(line: Line, here: Path, capsys: Text) -> None:
    cut(line.made.files[0])
    small_study(line.made.folder / "more", 2)
    run(line, "--project", "P1")
    capsys.readouterr()
    assert cli.main(["intake", "status", "--mail"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "XNAT intake: 1 archived, 1 waiting" and lines[1] == ""
    assert any("P1/S001_MR1 since" in one for one in lines)
    assert "  P1/S002_MR1" in lines


def test_retry_takes_up_what_failed(line: Line, here: Path, capsys: Text) -> None:
    line.server.faults.add(Fault(method="GET", path="/prearchive", status=500))
    assert run(line, "--project", "P1") == 1
    told = capsys.readouterr().out
    assert "failed: " in told and "Error:" not in told
    line.server.faults.clear()
    assert cli.main(["intake", "retry"]) == 0
    assert "S001_MR1 done" in capsys.readouterr().out and line.archived_once()


def test_approve_and_retry(line: Line, here: Path, capsys: Text) -> None:
    rules = here / "rules.toml"
    rules.write_text('[header]\nModality = { value = "CT", severity = "warn" }\n')
    assert run(line, "--project", "P1", "--rules", "rules.toml") == 1
    assert cli.main(["qc", "approve", "S001_MR1", "--reason", "it is MR", "--who", "ada"]) == 0
    assert cli.main(["intake", "retry", "S001_MR1"]) == 0
    assert line.archived_once()
    capsys.readouterr()
    cli.main(["intake", "explain", "S001_MR1"])
    assert "approve by ada: it is MR" in capsys.readouterr().out


def test_reject_keeps_it_out(line: Line, here: Path, capsys: Text) -> None:
    cut(line.made.files[0])
    run(line, "--project", "P1")
    assert cli.main(["qc", "reject", "S001_MR1", "--reason", "broken disk"]) == 0
    assert cli.main(["intake", "retry", "S001_MR1"]) == 1
    assert "rejected by" in capsys.readouterr().out and line.imports == 0


def test_a_decision_needs_a_study_that_waits(line: Line, here: Path, capsys: Text) -> None:
    run(line, "--project", "P1")
    assert cli.main(["qc", "approve", "S001_MR1", "--reason", "yes"]) == 2
    assert "is not held but done" in capsys.readouterr().err
    assert cli.main(["qc", "approve", "S777", "--reason", "yes"]) == 2
    assert "knows no S777" in capsys.readouterr().err


def test_a_dry_run_sends_nothing(line: Line, here: Path, capsys: Text) -> None:
    assert run(line, "--project", "P1", "--dry-run") == 0
    assert "P1/S001/S001_MR1, 6 files in 2 series, pass" in capsys.readouterr().out
    assert not line.server.requests and not (here / "intake-state").exists()


def test_what_no_rule_names_is_refused(line: Line, here: Path, capsys: Text) -> None:
    naming = here / "naming.toml"
    naming.write_text(
        "[[name]]\nwhen = { Modality = 'CT' }\nproject = 'P1'\n"
        "subject = '{PatientID}'\nsession = '{PatientID}'\n"
    )
    assert run(line, "--naming", "naming.toml") == 1
    assert "refused: no rule names study" in capsys.readouterr().err
    assert line.imports == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say how studies are named"),
        (["--project", "P1", "--rules", "absent.toml"], "absent.toml cannot be read"),
        (["--project", "P1", "--policy", "absent.toml"], "absent.toml cannot be read"),
        (["--project", "P1", "--hook", "no.such:thing"], "cannot be loaded"),
    ],
)
def test_bad_words_end_with_one_sentence(
    line: Line, here: Path, capsys: Text, words: list[str], said: str
) -> None:
    assert run(line, *words) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and line.imports == 0


def test_a_folder_without_dicom(line: Line, here: Path, capsys: Text) -> None:
    (here / "empty").mkdir()
    (here / "empty" / "note.txt").write_text("no images")
    words = ["intake", "run", "empty", "--server", line.server.url, "--project", "P1"]
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert "holds no DICOM study" in error and "1 files, not DICOM" in error


def test_append_adds_what_the_archive_lacks(line: Line, here: Path, capsys: Text) -> None:
    """Files that came after archiving; asked for by name, sent once, never by itself."""
    run(line, "--project", "P1")
    make_study(
        line.made.folder,
        subject="S001",
        session="S001_MR1",
        series=series_of(("T1w", "T2w", "FLAIR"), slices=3),
        side=64,
    )
    assert run(line, "--project", "P1") == 1
    assert "--append" in capsys.readouterr().out and line.imports == 1
    assert cli.main(["intake", "retry", "--append"]) == 2
    assert cli.main(["intake", "retry", "S001_MR1", "--append"]) == 0
    assert line.archived_once() and line.imports == 2
    queries = [r.query for r in line.server.requests if r.path.endswith("/services/archive")]
    assert ["overwrite=append" in query for query in queries] == [False, True]
    (entry,) = Ledger("intake-state").entries()
    assert "9 of 9 files in 3 scans" in entry.facts["proof"]


def rows(line: Line, *words: str) -> int:
    return cli.main(["intake", "rows", "--server", line.server.url, *words])


def test_rows_that_wait_are_said_every_night(line: Line, here: Path, capsys: Text) -> None:
    """A row that was held stays a reason for status 1, however often it is passed by."""
    (here / "rules.toml").write_text('[header]\nModality = "CT"\n')
    bring_in(line.conn, line.key, line.files, pace=line.pace)
    words = ("--project", "P1", "--rules", "rules.toml")
    for _ in range(2):
        assert rows(line, *words) == 1
        assert capsys.readouterr().out.startswith("P1/S001_MR1 held: QC says fail")
    assert rows(line, *words, "--json") == 1
    (study,) = json.loads(capsys.readouterr().out)["studies"]
    assert study["stage"] == "held"
    assert cli.main(["qc", "reject", "S001_MR1", "--reason", "it is MR"]) == 0
    capsys.readouterr()
    assert rows(line, *words) == 1
    assert "P1/S001_MR1 rejected: by " in capsys.readouterr().out


def test_a_project_that_is_not_there_is_no_quiet_night(
    line: Line, here: Path, capsys: Text
) -> None:
    assert rows(line, "--project", "P1") == 0
    assert rows(line, "--project", "NOPE") == 3
    assert "there is no project 'NOPE' that admin can see" in capsys.readouterr().err
    assert run(line, "--project", "NOPE") == 3
    assert "there is no project 'NOPE' that admin can see" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_status_five(
    line: Line, here: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "1")
    words = ["--server", "http://127.0.0.1:9", "--project", "P1"]
    assert cli.main(["intake", "run", str(line.made.folder), *words]) == 5
    told = capsys.readouterr()
    assert "http://127.0.0.1:9" in told.err and "Error:" not in told.out + told.err
    assert cli.main(["intake", "rows", *words]) == 5


def test_what_does_not_fit_is_not_nothing(line: Line, here: Path, capsys: Text) -> None:
    assert cli.main(["intake", "status"]) == 0
    assert "holds no study" in capsys.readouterr().out
    run(line, "--project", "P1")
    capsys.readouterr()
    assert cli.main(["intake", "status", "--stage", "hold"]) == 2
    assert "'hold' is no stage of a study; did you mean 'held'" in capsys.readouterr().err
    assert cli.main(["intake", "status", "--stage", "held"]) == 0
    assert "holds 1 studies, none of which fits" in capsys.readouterr().out
    assert cli.main(["intake", "status", "--project", "NOPE"]) == 0
    assert "holds 1 studies, none of which fits" in capsys.readouterr().out
    assert cli.main(["intake", "retry"]) == 0
    assert "nothing to retry" in capsys.readouterr().out
