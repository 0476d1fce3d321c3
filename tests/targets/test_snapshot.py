"""A snapshot asks little, and is believed only when it says «there, and right»."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from xnat_luigi.connection.registry import connection_for
from xnat_luigi.standin import StandIn
from xnat_luigi.targets import recent, snapshot
from xnat_luigi.targets.recent import Recent
from xnat_luigi.targets.resource import FileTarget, ResourceTarget


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    snapshot.forget()


def dicom(server: StandIn, **more: str) -> ResourceTarget:
    place = {"experiment": "S1_MR1", "scan": "1", **more}
    return ResourceTarget(server.url, "P1", "DICOM", **place)


@pytest.mark.parametrize("sessions", [1, 6])
def test_the_number_of_requests_is_the_one_promised(archive: StandIn, sessions: int) -> None:
    for number in range(2, sessions + 1):
        scans = {"1": {"type": "T1", "resources": {"DICOM": {"1.dcm": b"x"}}}}
        archive.add_session("P1", f"S{number}", f"S{number}_MR1", scans=scans)
    connection = connection_for(archive.url)
    connection.logged_in()
    before = len(archive.requests)
    found = snapshot.take(connection, "P1", types=["xnat:qcAssessmentData"], batch=3)
    assert len(archive.requests) - before == 1 + -(-sessions // 3) + 1
    assert len(list(found.scans_with("DICOM"))) == sessions


def test_it_says_what_a_listing_says(archive: StandIn) -> None:
    taken = snapshot.take(connection_for(archive.url), "P1", types=["xnat:qcAssessmentData"])
    for target in (
        dicom(archive),
        ResourceTarget(archive.url, "P1", "NOTES", experiment="S1_MR1"),
        ResourceTarget(archive.url, "P1", "REPORT", experiment="S1_MR1", assessor="S1_QC"),
    ):
        found = taken.find(target)
        live = target.read()
        assert found is not None
        assert live is not None
        assert found == (live[0], snapshot.Summary.of(live[1]))


@pytest.mark.parametrize(
    "target",
    [
        {"resource": "NIFTI"},
        {"scan": "2"},
        {"experiment": "S2_MR1"},
        {"scan": "", "assessor": "S1_QC"},
    ],
)
def test_what_it_does_not_show_it_does_not_know(archive: StandIn, target: dict[str, str]) -> None:
    taken = snapshot.take(connection_for(archive.url), "P1")
    words: dict[str, Any] = {"experiment": "S1_MR1", "scan": "1", "resource": "DICOM", **target}
    assert taken.find(ResourceTarget(archive.url, "P1", **words)) is None


def test_rows_of_millions_of_files_are_not_kept(archive: StandIn) -> None:
    taken = snapshot.take(connection_for(archive.url), "P1")
    assert {type(one) for one in taken.resources.values()} == {snapshot.Summary}
    with FileTarget(archive.url, "P1", "DICOM", experiment="S1_MR1", scan="1", path="1.dcm").open(
        "wb"
    ) as file:
        file.write(b"other")
    again = snapshot.take(connection_for(archive.url), "P1")
    assert taken.find(dicom(archive)) != again.find(dicom(archive))


def test_it_is_forgotten_when_told_and_in_a_child(archive: StandIn) -> None:
    snapshot.take(connection_for(archive.url), "P1")
    assert snapshot.current(archive.url + "/", "P1") is not None
    assert snapshot.current(archive.url, "P2") is None
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(snapshot.current(archive.url, "P1") is None))
    child.start()
    child.join(30)
    assert answers.get() is True
    snapshot.forget(archive.url, "P2")
    assert snapshot.current(archive.url, "P1") is not None
    snapshot.forget(archive.url, "P1")
    assert snapshot.current(archive.url, "P1") is None


def test_an_answer_is_old_after_a_minute() -> None:
    now = [100.0]
    answers: Recent[str] = Recent(clock=lambda: now[0])
    answers.put("question", answers.now(), "answer")
    now[0] += recent.AGE
    assert answers.get("question") == "answer"
    now[0] += 0.1
    assert answers.get("question") is None
    assert answers.get("another") is None
