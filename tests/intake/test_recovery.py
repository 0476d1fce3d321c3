"""The recovery table: every pair has one line, and a sight is read off listings rightly."""

from __future__ import annotations

import itertools

import pytest

from xnat_luigi.exceptions import XNATUnsafeNameError
from xnat_luigi.intake.keys import StudyKey
from xnat_luigi.intake.recovery import RECOVERY, Action, Archived, RowState, decide, row_state, see
from xnat_luigi.rest.records import Experiment, PrearchiveRow
from xnat_luigi.rest.states import STATUSES

KEY = StudyKey("P1", "1.2.3", "S1", "S1_MR1")


def row(status: str = "READY", **other: str) -> PrearchiveRow:
    values = {"project": "P1", "tag": "1.2.3", "name": "S1_MR1", "folder": "S1_MR1", **other}
    return PrearchiveRow(timestamp="20240611_101112345", status=status, **values)


def experiment(uid: str = "1.2.3", label: str = "S1_MR1") -> Experiment:
    return Experiment(id="E1", label=label, uid=uid, project="P1")


def test_every_pair_has_exactly_one_line() -> None:
    for state, archived in itertools.product(RowState, Archived):
        lines = [case for case in RECOVERY if case.row is state and archived in case.archived]
        assert len(lines) == 1, (state, archived)


TABLE = [
    ("READY", None, Action.ARCHIVE),
    ("READY", "1.2.3", Action.COMPARE),
    ("READY", "9.9", Action.STOP),
    ("CONFLICT", None, Action.REBUILD),
    ("ERROR", None, Action.REBUILD),
    ("CONFLICT", "1.2.3", Action.COMPARE),
    ("CONFLICT", "9.9", Action.STOP),
    (None, "1.2.3", Action.DONE),
    (None, "9.9", Action.STOP),
    (None, None, Action.SEARCH),
]


@pytest.mark.parametrize(("status", "uid", "action"), TABLE)
def test_the_lines_of_the_contract(status: str | None, uid: str | None, action: Action) -> None:
    rows = [row(status)] if status else []
    experiments = [experiment(uid)] if uid else []
    assert decide(see(KEY, rows, experiments)).action is action


@pytest.mark.parametrize("uid", [None, "1.2.3", "9.9"])
@pytest.mark.parametrize("status", [s for s in STATUSES if s not in ("READY", "CONFLICT", "ERROR")])
def test_whatever_is_in_flight_is_waited_for(status: str, uid: str | None) -> None:
    sight = see(KEY, [row(status)], [experiment(uid)] if uid else [])
    assert decide(sight).action is Action.WAIT


def test_an_unknown_status_counts_as_in_flight() -> None:
    assert row_state(row("_SOMETHING_NEW")) is RowState.IN_FLIGHT


def test_other_projects_studies_and_labels_are_not_ours() -> None:
    rows = [row(project="Unassigned"), row(tag="9.9"), row(name="other", folder="other")]
    sight = see(KEY, rows, [experiment("9.9", "other")])
    assert sight.row is None and sight.experiment is None
    assert [one.name for one in sight.others] == ["other"]


def test_a_row_is_known_by_its_folder_too() -> None:
    assert see(KEY, [row(name="x", folder="S1_MR1")], []).row is not None


def test_a_study_under_another_label_stops() -> None:
    sight = see(KEY, [], [experiment(label="elsewhere")])
    assert sight.archived is Archived.ELSEWHERE and decide(sight).action is Action.STOP
    assert "elsewhere" in str(sight)


@pytest.mark.parametrize("label", ["a b", "", "ä", "a/b", "a.b"])
def test_T4_keys_with_labels_the_server_would_change_are_refused(label: str) -> None:
    with pytest.raises(XNATUnsafeNameError):
        StudyKey("P1", "1.2.3", "S1", label)
