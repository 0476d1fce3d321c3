"""Which sessions, scans and resources are meant."""

from __future__ import annotations

from datetime import date

import pytest

from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.rest.records import Experiment, Resource, Scan
from xnat_luigi.transfer.select import Selection

SESSION = Experiment("X_E1", "S1_MR1", "xnat:mrSessionData", "P1", "X_S1", "S1", date="2024-02-01")
T1 = Resource("1", "DICOM", "scans", "1", "T1 MPRAGE")
OWN = Resource("2", "LOGS", "resources")
SCANS = [Scan("1", type="T1 MPRAGE", quality="usable"), Scan("2", quality="unusable")]


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ({}, True),
        ({"sessions": "S1_*"}, True),
        ({"sessions": ["X_E1"]}, True),
        ({"sessions": "s1_*"}, False),
        ({"sessions": "other, S1_MR1"}, True),
        ({"subjects": "S1"}, True),
        ({"subjects": "X_S2"}, False),
        ({"types": "xnat:mr*"}, True),
        ({"types": "xnat:ct*"}, False),
        ({"since": "2024-02-01", "until": "2024-02-01"}, True),
        ({"since": date(2024, 2, 2)}, False),
        ({"until": "2024-01-31"}, False),
        ({"sessions": "S1_*", "types": "xnat:ct*"}, False),
    ],
)
def test_sessions(values: dict[str, object], taken: bool) -> None:
    assert Selection.from_mapping(values).takes_session(SESSION) is taken


def test_a_session_without_a_date_is_in_no_window() -> None:
    undated = Experiment("E", "E")
    assert Selection().takes_session(undated)
    assert not Selection(until="2030-01-01").takes_session(undated)


def test_custom_variables_must_all_fit_and_their_names_have_no_case() -> None:
    wanted = Selection.from_mapping({"custom": ["Cohort=A*", "site=1"]})
    assert wanted.takes_session(SESSION, {"cohort": "AB", "site": "1"})
    assert not wanted.takes_session(SESSION, {"cohort": "AB"})
    assert not wanted.takes_session(SESSION, {"cohort": "B", "site": "1"})
    assert not wanted.takes_session(SESSION)


@pytest.mark.parametrize(
    ("values", "scan", "own"),
    [
        ({}, True, True),
        ({"scans": "1"}, True, False),
        ({"scans": "T1*"}, True, False),
        ({"scans": "T2*"}, False, False),
        ({"resources": "DICOM"}, True, False),
        ({"resources": "LOGS,NIFTI"}, False, True),
        ({"qualities": "usable"}, True, False),
        ({"qualities": "questionable"}, False, False),
        ({"scans": "T1*", "resources": "NIFTI"}, False, False),
    ],
)
def test_resources(values: dict[str, object], scan: bool, own: bool) -> None:
    chosen = Selection.from_mapping(values)
    assert chosen.takes_resource(T1, SCANS) is scan
    assert chosen.takes_resource(OWN, SCANS) is own
    assert chosen.needs_scans is ("qualities" in values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sesions": "x"}, "no 'sesions', did you mean 'sessions'?"),
        ({"qqq": "x"}, "known are custom, qualities, resources"),
        ({"sessions": 7}, "sessions: a list of texts is due, not 7"),
        ({"sessions": [7]}, "a list of texts"),
        ({"shared": "no"}, "shared: true or false is due"),
        ({"since": 2024}, "since: a text is due"),
        ({"since": "01.02.2024"}, "no date like 2024-02-01"),
        ({"since": "2024-02-30"}, "no date"),
        ({"since": "2024-02-02", "until": "2024-02-01"}, "is after"),
        ({"custom": "cohort"}, "is not NAME=VALUE"),
    ],
)
def test_a_wrong_key_or_value_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(XNATValueError) as caught:
        Selection.from_mapping(values)
    assert said in str(caught.value)
