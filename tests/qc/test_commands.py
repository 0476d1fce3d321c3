"""`xnat-luigi qc` as it is typed; approve and reject stand with the intake's commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.material import cut
from tests.qc.material import small_study
from xnat_luigi import cli

Text = pytest.CaptureFixture[str]
RULES = """
title = "Brain protocol"
[[series]]
description = "T1w"
minimum_files = 4
[[series]]
description = "FLAIR"
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return str(path)


def test_explain_says_it_in_sentences(rules: str, capsys: Text) -> None:
    assert cli.main(["qc", "explain", rules]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Brain protocol\n") and "FLAIR" in told and "else it fails" in told


def test_check_says_what_is_wrong(rules: str, tmp_path: Path, capsys: Text) -> None:
    study = small_study(tmp_path / "in")
    assert cli.main(["qc", "check", str(study.folder), "--rules", rules]) == 1
    told = capsys.readouterr().out
    assert f"{study.uid} 'S001_MR1': fail" in told and "FLAIR" in told


def test_check_without_rules_is_the_first_gate(tmp_path: Path, capsys: Text) -> None:
    study = small_study(tmp_path / "in")
    assert cli.main(["qc", "check", str(study.folder)]) == 0
    cut(study.files[0])
    assert cli.main(["qc", "check", str(study.folder)]) == 1
    assert "not whole" in capsys.readouterr().out


def test_check_writes_pages_and_json(rules: str, tmp_path: Path, capsys: Text) -> None:
    study = small_study(tmp_path / "in")
    out = tmp_path / "out"
    words = ["qc", "check", str(study.folder), "--rules", rules, "--report", str(out), "--json"]
    assert cli.main(words) == 1
    verdict = json.loads(capsys.readouterr().out)[study.uid]
    assert verdict["status"] == "fail"
    assert (out / "S001_MR1.html").is_file() and (out / "index.html").is_file()


def test_check_knows_a_study_by_the_labels_of_the_intake(tmp_path: Path, capsys: Text) -> None:
    study = small_study(tmp_path / "in")
    rules = tmp_path / "labels.toml"
    rules.write_text('[study]\nsubject = "S001"\nsession = "S001_MR1"\nminimum_files = 900\n')
    words = ["qc", "check", str(study.folder), "--rules", str(rules)]
    assert cli.main(words) == 1
    told = capsys.readouterr().out
    assert "label is" not in told
    assert f"{len(study.files)} files, at least 900 wanted" in told
    naming = tmp_path / "naming.toml"
    naming.write_text(
        "[[name]]\nproject = 'P'\nsubject = 'X_{PatientName}'\nsession = '{PatientID}'\n"
    )
    assert cli.main([*words, "--naming", str(naming)]) == 1
    assert "subject label is 'X_S001'" in capsys.readouterr().out


def test_a_rule_file_with_a_typo_names_the_word(tmp_path: Path, capsys: Text) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("[sudy]\n")
    assert cli.main(["qc", "explain", str(path)]) == 2
    assert "did you mean 'study'" in capsys.readouterr().err


def test_a_folder_without_dicom_is_an_error(tmp_path: Path, capsys: Text) -> None:
    assert cli.main(["qc", "check", str(tmp_path)]) == 2
    assert "holds no DICOM study" in capsys.readouterr().err
