"""Searches with conditions, through the generated classes (S-267), on a live session."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

import xnat_luigi
from xnat_luigi.exceptions import XNATResponseError, XNATValueError
from xnat_luigi.search import and_, or_
from xnat_luigi.standin import StandIn


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    """Three MR sessions of two subjects, and a CT session."""
    with StandIn() as server:
        server.add_project("P")
        server.add_project("OTHER")
        server.add_subject("P", "A", demographics={"gender": "male"})
        server.add_subject("P", "B", demographics={"gender": "female"})
        for subject, label, kind, fields in (
            ("A", "A_MR1", "mr", {"age": 20.0}),
            ("A", "A_MR2", "mr", {"age": 21.5}),
            ("B", "B_MR1", "mr", {"age": 40.0}),
            ("B", "B_CT1", "ct", {"age": 40.0}),
        ):
            scans = {"1": {"type": "T1" if label != "A_MR2" else "FLAIR"}}
            server.add_session(
                "P",
                subject,
                label,
                xsi_type=f"xnat:{kind}SessionData",
                date=f"2024-0{label[-1]}-01",
                scans=scans,
                **fields,
            )
        yield server


@pytest.fixture(scope="module")
def session(server: StandIn) -> Iterator[Any]:
    with xnat_luigi.connect(server.url, user="admin", password="admin") as session:
        yield session


def labels(query: Any) -> list[str]:
    return sorted(found.label for found in query.all())


def test_S267_conditions_compare_fields(session: Any) -> None:
    cls = session.classes.MrSessionData
    assert labels(cls.query()) == ["A_MR1", "A_MR2", "B_MR1"]
    assert labels(cls.query(cls.age < 21.5)) == ["A_MR1"]
    assert labels(cls.query(cls.age <= 21.5)) == ["A_MR1", "A_MR2"]
    assert labels(cls.query(cls.age > 21.5)) == ["B_MR1"]
    assert labels(cls.query(cls.age.between(21, 50))) == ["A_MR2", "B_MR1"]
    assert labels(cls.query(cls.label.like("a%"))) == ["A_MR1", "A_MR2"]
    assert labels(cls.query(cls.label != "A_MR1")) == ["A_MR2", "B_MR1"]
    assert labels(cls.query(cls.label.one_of("A_MR1", "B_MR1"))) == ["A_MR1", "B_MR1"]


def test_S267_conditions_are_put_together(session: Any) -> None:
    cls = session.classes.MrSessionData
    young, second = cls.age < 30, cls.label.like("%2")
    assert labels(cls.query(young & second)) == ["A_MR2"]
    assert labels(cls.query((cls.label == "B_MR1") | second)) == ["A_MR2", "B_MR1"]
    assert labels(cls.query(and_(young, or_(second, cls.label == "B_MR1")))) == ["A_MR2"]
    assert labels(cls.query().filter(young).filter(second)) == ["A_MR2"]


def test_S267_dates_are_given_as_dates(session: Any) -> None:
    cls = session.classes.MrSessionData
    assert labels(cls.query(cls.date > datetime.date(2024, 1, 15))) == ["A_MR2"]
    assert labels(cls.query(cls.date == datetime.date(2024, 1, 1))) == ["A_MR1", "B_MR1"]


def test_S267_conditions_may_be_on_subject_and_scans(session: Any) -> None:
    cls = session.classes.MrSessionData
    assert labels(cls.query(session.classes.SubjectData.label == "A")) == ["A_MR1", "A_MR2"]
    assert labels(cls.query(session.classes.MrScanData.type == "FLAIR")) == ["A_MR2"]


def test_S267_what_is_found_are_objects_of_the_right_class(session: Any) -> None:
    images = session.classes.ImageSessionData
    found = {one.label: type(one).__name__ for one in images.query(images.project == "P").all()}
    assert found == {
        "A_MR1": "MrSessionData",
        "A_MR2": "MrSessionData",
        "B_MR1": "MrSessionData",
        "B_CT1": "CtSessionData",
    }
    projects = session.classes.ProjectData
    assert [one.id for one in projects.query(projects.id == "OTHER").all()] == ["OTHER"]
    subjects = session.classes.SubjectData
    (subject,) = subjects.query(subjects.label == "B").all()
    assert subject.demographics.gender == "female"


def test_S267_first_last_and_one(session: Any) -> None:
    cls = session.classes.MrSessionData
    by_label = cls.query(cls.label == "B_MR1")
    assert by_label.one().label == by_label.first().label == by_label.last().label == "B_MR1"
    assert cls.query(cls.label == "none").first() is None
    assert cls.query(cls.label == "none").one_or_none() is None
    with pytest.raises(XNATValueError, match="one object was due, 0"):
        cls.query(cls.label == "none").one()
    with pytest.raises(XNATValueError, match="one object at most was due, 3"):
        cls.query().one_or_none()


def test_S267_columns_of_a_table_can_be_chosen(session: Any) -> None:
    cls = session.classes.MrSessionData
    rows = cls.query(cls.label == "A_MR2").view(cls.label, cls.age).tabulate_dict()
    assert len(rows) == 1
    assert rows[0]["label"] == "A_MR2"
    assert "21.5" in rows[0].values()


def test_S267_quotes_and_marks_are_values_and_nothing_else(session: Any) -> None:
    cls = session.classes.MrSessionData
    for text in ("' OR 1=1 --", "<&>\"'", "größe \N{SNOWMAN}"):
        assert cls.query(cls.note == text).all() == []


def test_S267_a_search_that_the_server_refuses_is_an_error(session: Any) -> None:
    from xnat_luigi.search import Field

    cls = session.classes.MrSessionData
    with pytest.raises(XNATResponseError, match="no_such"):
        cls.query(Field(cls, "no_such") == 1).all()
    with pytest.raises(XNATValueError, match="cannot be searched"):
        session.classes.MrScanData.query().all()
