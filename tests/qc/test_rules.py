"""Rule files: what is understood, what is refused and with which words, what `explain` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnat_luigi.qc.explain import explain
from xnat_luigi.qc.rules import Rules, RulesError, parse_rules, read_rules

EVERYTHING = """
title = "Head protocol"
[study]
subject = "S\\\\d{3}"
session = "S\\\\d{3}_MR\\\\d"
modality = ["MR"]
minimum_series = 2
minimum_files = 8
[header]
Manufacturer = "TOSHIBA_MEC"
[[series]]
name = "T1"
description = "T1*"
count = [1, 2]
minimum_files = 4
maximum_files = 6
orientation = "axial"
[series.header]
EchoTime = { minimum = 1, maximum = 300, severity = "warn" }
Rows = { value = 64 }
PatientSex = { one_of = ["M", "F", "O"] }
[[series]]
name = "T2"
regex = "^T2"
required = false
severity = "warn"
[allowed]
descriptions = ["localizer*"]
severity = "fail"
[gaps]
instance_number = "fail"
slice_position = "warn"
[consistency]
fields = ["Rows", "Columns"]
[pixels]
readable = "fail"
constant = "warn"
sample = 2
[phi]
burned_in = "fail"
names = "warn"
empty = ["PatientBirthDate"]
[[check]]
call = "own.py:look"
needs = ["EchoTime"]
"""


def test_a_full_rule_file_is_understood() -> None:
    rules = parse_rules(EVERYTHING)
    assert rules.title == "Head protocol"
    assert [rule.name for rule in rules.series] == ["T1", "T2"]
    first, second = rules.series
    assert (first.minimum, first.maximum, first.minimum_files, first.maximum_files) == (1, 2, 4, 6)
    assert (second.minimum, second.severity) == (0, "warn")
    assert {"EchoTime", "PatientSex", "PatientBirthDate", "ProtocolName"} <= set(rules.fields)
    assert "Rows" not in rules.fields, "read anyway"
    assert rules.pixels


def test_an_empty_rule_file_asks_for_the_first_gate_alone() -> None:
    rules = parse_rules("")
    assert rules == Rules(path="rules")
    assert rules.allowed_severity == "" and not rules.pixels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gap]\n", "did you mean 'gaps'"),
        ("[gaps]\ninstance_numbr = 'fail'\n", "did you mean 'instance_number'"),
        ("[gaps]\ninstance_number = 'maybe'\n", "'warn', 'fail' or 'off'"),
        ("[[series]]\nname = 'T1'\n", "how the series is recognised"),
        ("[[series]]\ndescription = 'a'\ncount = [3, 1]\n", "[least, most]"),
        ("[[series]]\ndescription = 'a'\norientation = 'transversal'\n", "axial, coronal"),
        ("[header]\nEchoTme = 3\n", "did you mean 'EchoTime'"),
        ("[header]\nEchoTime = {}\n", "asks for nothing"),
        ("[header]\nEchoTime = { tolerence = 1 }\n", "did you mean 'tolerance'"),
        ("[study]\nsubject = '('\n", "a regular expression"),
        ("[study]\nminimum_files = -1\n", "a whole number"),
        ("[[check]]\ncall = 'nothing'\n", "'package.module:function'"),
        ("series = 3\n", "written as [[series]]"),
        ("title = 3\n", "a text"),
        ("a = [", "is no TOML"),
    ],
)
def test_a_wrong_word_is_refused_with_the_right_one(text: str, said: str) -> None:
    with pytest.raises(RulesError, match="rules") as caught:
        parse_rules(text)
    assert said in str(caught.value)
    assert caught.value.exit_status == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"absent\.toml cannot be read"):
        read_rules(tmp_path / "absent.toml")


def test_explain_names_everything_that_is_asked() -> None:
    told = explain(parse_rules(EVERYTHING))
    for words in (
        "Head protocol",
        "session label matches",
        "Series 'T1' (described as 'T1*'): 1 to 2, each of 4 to 6 files, else it fails.",
        "Series 'T2' (with a description matching /^T2/): at least 0",
        "EchoTime is at least 1 and at most 300, else it warns.",
        "PatientSex is one of M, F, O",
        "Other series are allowed if they are called: localizer*; else it fails.",
        "InstanceNumber has no gap",
        "exceeds the usual one by more than 50%",
        "stay the same: Rows, Columns",
        "Pixel data of 2 files",
        "burned into the image",
        "These are empty: PatientBirthDate",
        "own check 'look' (own.py:look)",
    ):
        assert words in told
