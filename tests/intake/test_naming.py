"""Naming rules: templates, regular expressions, CSV maps; what no rule names is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.material import make_study, series_of
from xnat_luigi.intake.naming import (
    NamingError,
    UnnamedError,
    fixed_names,
    name_all,
    name_study,
    read_naming,
)
from xnat_luigi.intake.studies import Study, read_folder


@pytest.fixture
def study(tmp_path: Path) -> Study:
    make_study(
        tmp_path / "in",
        subject="S001",
        session="S001_MR1",
        series=series_of(("T1w",), slices=1),
        side=64,
    )
    (found,) = read_folder(tmp_path / "in", fields=("StationName",))
    return found


def rules(tmp_path: Path, text: str, table: str = "") -> Path:
    path = tmp_path / "naming.toml"
    path.write_text(text)
    if table:
        (tmp_path / "map.csv").write_text(table)
    return path


def test_templates_of_header_fields(study: Study) -> None:
    key = name_study(study, [fixed_names("P1", "{PatientName}")])
    assert (key.project, key.subject, key.session) == ("P1", "S001", "S001_20240611_MR")


def test_a_regular_expression_gives_names(study: Study, tmp_path: Path) -> None:
    path = rules(
        tmp_path,
        """
        [[name]]
        field = "PatientID"
        regex = "(?P<who>S[0-9]+)_(?P<what>.*)"
        project = "P1"
        subject = "{who}"
        session = "{subject}_{what}_{StudyDate:.4}"
        """,
    )
    assert name_study(study, read_naming(path)).session == "S001_MR1_2024"


def test_a_csv_map_gives_names(study: Study, tmp_path: Path) -> None:
    path = rules(
        tmp_path,
        '[[name]]\ncsv = "map.csv"\nkey = "{PatientID}"\n',
        "key,project,subject,session\nS001_MR1,P7,A1,A1_first\n",
    )
    key = name_study(study, read_naming(path))
    assert (key.project, key.subject, key.session) == ("P7", "A1", "A1_first")


def test_the_first_rule_that_names_wins(study: Study, tmp_path: Path) -> None:
    path = rules(
        tmp_path,
        """
        [[name]]
        when = { Modality = "CT" }
        project = "CT"
        subject = "{PatientID}"
        session = "{PatientID}"
        [[name]]
        when = { Modality = "M?" }
        project = "MR"
        subject = "{PatientID}"
        session = "{PatientID}"
        """,
    )
    assert name_study(study, read_naming(path)).project == "MR"


def test_what_no_rule_names_is_refused_with_the_reasons(study: Study, tmp_path: Path) -> None:
    path = rules(
        tmp_path,
        """
        [[name]]
        csv = "map.csv"
        key = "{PatientID}"
        [[name]]
        field = "StudyDescription"
        regex = "P[0-9]"
        project = "P1"
        subject = "a"
        session = "b"
        """,
        "key,project,subject,session\nother,P7,A1,A1_first\n",
    )
    with pytest.raises(UnnamedError) as caught:
        name_study(study, read_naming(path))
    assert "'S001_MR1' is not in the map" in str(caught.value)
    assert "does not match" in str(caught.value)


def test_T4_a_label_the_server_would_change_is_refused_here(study: Study) -> None:
    with pytest.raises(UnnamedError, match="subject label 'S 1' is refused"):
        name_study(study, [fixed_names("P1", "S 1")])


def test_two_studies_of_one_name_are_both_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        make_study(
            tmp_path / str(number),
            subject="S001",
            session="S001_MR1",
            series=series_of(("T1w",), slices=1),
            side=64,
            seed=str(number),
        )
    named, refused = name_all(read_folder(tmp_path), [fixed_names("P1")])
    assert not named and len(refused) == 2
    assert "2 studies would be called S001_MR1_20240611_MR" in refused[0][1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[name]]\nproject = 'P'\nsubject = 's'\nsesion = 'x'\n", "did you mean 'session'"),
        ("[[name]]\nproject = 'P'\nsubject = 's'\n", "what the session is called"),
        ("[[name]]\nproject = 'P'\nsubject = 's'\nsession = '{Nobody}'\n", "no header field"),
        ("[[name]]\nproject = 'P'\nsubject = 's'\nsession = '{'\n", "Single '{'"),
        ("[[name]]\nfield = 'PatientID'\nproject = 'P'\nsubject = 's'\nsession='x'\n", "together"),
        ("[[name]]\ncsv = 'absent.csv'\n", "absent.csv"),
        ("names = 1\n", "no word here"),
        ("", "no [[name]] table"),
        ("[[name", "cannot be read"),
    ],
)
def test_a_wrong_rule_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(NamingError) as caught:
        read_naming(rules(tmp_path, text))
    assert said in str(caught.value)


def test_a_map_that_names_a_key_twice_is_refused(tmp_path: Path) -> None:
    table = "key,project,subject,session\na,P,s,t\na,P,s,u\n"
    with pytest.raises(NamingError, match="names 'a' again"):
        read_naming(rules(tmp_path, '[[name]]\ncsv = "map.csv"\nkey = "{PatientID}"\n', table))
