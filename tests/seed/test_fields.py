"""Fields of generated classes, written and read on a live session (S-131 to S-142, S-257)."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import xnat_luigi
from xnat_luigi.classes import SchemaProperty
from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.schema.records import SIMPLE
from xnat_luigi.standin import StandIn

# A value of each kind, and what it is read as.
VALUES: dict[str, tuple[Any, Any]] = {
    "xs:string": ("a <b> & \"c\" 'd' größe", "a <b> & \"c\" 'd' größe"),
    "xs:integer": (7, 7),
    "xs:float": (1.5, 1.5),
    "xs:double": (0.1, 0.1),
    "xs:decimal": (2.25, 2.25),
    "xs:boolean": (True, True),
    "xs:date": (datetime.date(2024, 2, 29), datetime.date(2024, 2, 29)),
    "xs:time": (datetime.time(13, 14, 15), datetime.time(13, 14, 15)),
    "xs:dateTime": (
        datetime.datetime(2024, 2, 29, 1, 2, 3),
        datetime.datetime(2024, 2, 29, 1, 2, 3),
    ),
}


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    with StandIn() as server:
        server.add_project("P")
        server.add_session("P", "S", "MR", scans={"1": "T1"})
        with xnat_luigi.connect(server.url, user="admin", password="admin") as session:
            yield session
        assert not server.errors


def plain_fields(obj: Any) -> Iterator[tuple[str, Any]]:
    """The properties of an object that hold plain values of a kind in VALUES, without limits."""
    for name in dir(type(obj)):
        found = inspect.getattr_static(type(obj), name)
        if isinstance(found, SchemaProperty) and not found.record.own:
            record = found.record
            if record.kind == SIMPLE and record.type in VALUES and not record.limits:
                yield name, record


def kinds_of(obj: Any) -> set[str]:
    return {record.type for _, record in plain_fields(obj)}


@pytest.fixture(params=["subject", "session", "scan", "extension"])
def thing(request: pytest.FixtureRequest, session: Any) -> Any:
    """Objects of several kinds."""
    subject = session.projects["P"].subjects["S"]
    if request.param == "subject":
        return subject
    if request.param == "extension":
        listed = subject.experiments
        if "MEM" in listed:
            return listed["MEM"]
        return session.classes.MemoryTestData(parent=subject, label="MEM")
    experiment = subject.experiments["MR"]
    return experiment if request.param == "session" else experiment.scans["1"]


KEPT_BY_SERVER = {"id", "label", "project", "subject_id", "image_session_id", "type", "uid"}


def test_S132_S133_every_plain_field_is_written_and_read_back(thing: Any, session: Any) -> None:
    tried = 0
    for name, record in plain_fields(thing):
        if name in KEPT_BY_SERVER:
            continue
        value, expected = VALUES[record.type]
        setattr(thing, name, value)
        session.clearcache()
        thing.clearcache()
        assert getattr(thing, name) == expected, name
        assert type(getattr(thing, name)) is type(expected), name
        tried += 1
    assert tried >= 2


def test_S139_fields_are_cleared(thing: Any) -> None:
    name, record = next(
        (name, record) for name, record in plain_fields(thing) if name not in KEPT_BY_SERVER
    )
    setattr(thing, name, VALUES[record.type][0])
    delattr(thing, name)
    thing.clearcache()
    assert getattr(thing, name) is None


def test_S257_an_extension_has_fields_and_limits_of_its_own(session: Any) -> None:
    cls = session.classes.MemoryTestData
    subject = session.projects["P"].subjects["S"]
    test = cls(parent=subject, label="MEM2", version="A", immediate=30)
    test.clearcache()
    assert (test.version, test.immediate) == ("A", 30)
    with pytest.raises(XNATValueError, match="version"):
        test.version = "C"
    with pytest.raises(XNATValueError, match="at most 45"):
        test.immediate = 46
    test.fields["rater"] = "RD"
    test.clearcache()
    assert dict(test.fields) == {"rater": "RD"}
    assert session.projects["P"].experiments["MEM2"] is test


def test_S141_the_xpath_leads_to_the_field_that_is_set(session: Any) -> None:
    scan = session.projects["P"].subjects["S"].experiments["MR"].scans["1"]
    assert scan.xpath == "xnat:mrScanData"
    assert scan.parameters.xpath == "xnat:mrScanData/parameters"
    assert scan.parameters.voxel_res.xpath == "xnat:mrScanData/parameters/voxelRes"
    scan.parameters.tr = 2000.0
    scan.parameters.voxel_res.x = 0.5
    scan.clearcache()
    assert scan.parameters.tr == 2000.0
    assert scan.parameters.voxel_res.x == 0.5
    assert "tr" in dir(scan.parameters)


def test_S116_keys_and_fields_are_offered_to_interactive_shells(session: Any) -> None:
    project = session.projects["P"]
    assert session.projects._ipython_key_completions_() == ["P"]
    subject = project.subjects["S"]
    assert project.subjects._ipython_key_completions_() == [subject.id, "S"]
    assert {"demographics", "experiments", "fields", "share", "label"} <= set(dir(subject))
    assert {"gender", "yob"} <= set(dir(subject.demographics))
    assert {"scans", "assessors", "date", "download_dir"} <= set(dir(subject.experiments["MR"]))
    assert inspect.signature(type(subject).share).parameters.keys() >= {"project", "label"}


def test_S139_fields_of_nested_objects_that_are_not_there_yet(session: Any) -> None:
    subject = session.classes.SubjectData(parent=session.projects["P"], label="NEW")
    assert subject.demographics.gender is None
    subject.demographics.gender = "female"
    subject.demographics.yob = 1980
    subject.clearcache()
    assert (subject.demographics.gender, subject.demographics.yob) == ("female", 1980)
    del subject.demographics.yob
    subject.clearcache()
    assert (subject.demographics.gender, subject.demographics.yob) == ("female", None)
    assert type(subject.demographics) is session.classes.DemographicData


def test_S133_what_is_no_field_is_refused_and_not_set_silently(session: Any) -> None:
    subject = session.projects["P"].subjects["S"]
    with pytest.raises(AttributeError, match="SubjectData has no field 'gender'"):
        subject.gender = "female"
    with pytest.raises(AttributeError, match="no field 'demografics'"):
        subject.demografics = None
    subject.experiments["MR"].note = "set"
    assert subject.experiments["MR"].note == "set"
