"""Fault row N10: a range that is ignored, wrong or refused gives the file from its start."""

from __future__ import annotations

import pytest

from xnat_luigi.exceptions import XNATConnectionError, XNATResponseError
from xnat_luigi.intake.rows import _read_start
from xnat_luigi.rest.records import PrearchiveFile
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from ..connection.tried import Connect

CONTENT = bytes(range(256)) * 40
FAULTS = {
    "none": None,
    "ignored": Fault(path="files/a", ignore_range=True),
    "wrong": Fault(path="files/a", wrong_range=True, times=1),
    "416": Fault(path="files/a", status=416, times=1),
}


@pytest.fixture
def file(standin: StandIn) -> PrearchiveFile:
    scans = {"1": {"resources": {"R": {"a": CONTENT}}}}
    session = standin.add_session("P1", "S1", "E1", scans=scans)
    uri = f"/data/experiments/{session}/scans/1/resources/R/files/a"
    return PrearchiveFile("a", len(CONTENT), uri)


@pytest.mark.parametrize("what", FAULTS)
def test_N10_the_right_bytes_whatever_comes_of_the_range(
    standin: StandIn, tried: Connect, file: PrearchiveFile, what: str
) -> None:
    fault = FAULTS[what]
    if fault is not None:
        given = {name: getattr(fault, name) for name in _GIVEN}
        standin.faults.add(Fault(**given))
    assert _read_start(tried().connection, file, 300) == (CONTENT[:300], len(CONTENT))


_GIVEN = ("path", "ignore_range", "wrong_range", "status", "times")


def test_N10_a_file_that_is_refused_altogether_is_an_error(
    standin: StandIn, tried: Connect, file: PrearchiveFile
) -> None:
    standin.faults.add(Fault(path="files/a", status=416))
    with pytest.raises((XNATResponseError, XNATConnectionError), match="416"):
        _read_start(tried().connection, file, 300)
