"""Lists and parts inside an object's document: set, added to, cleared."""

from __future__ import annotations

from typing import Any

import pytest

from xnat_luigi.exceptions import XNATValueError


def test_S148_plain_values_by_name(session: Any, project: Any) -> None:
    ids = project.subjects["S2"].add_id
    assert len(ids) == 0 and "mrn" not in ids
    ids["mrn"] = "123"
    ids["study"] = "X9"
    session.clearcache()
    again = session.create_object(project.subjects["S2"].uri).add_id
    assert dict(again) == {"mrn": "123", "study": "X9"} and again["mrn"] == "123"
    assert "'mrn': '123'" in repr(again)
    again["mrn"] = "124"
    assert dict(again) == {"mrn": "124", "study": "X9"}
    del again["study"]
    assert list(again) == ["mrn"]
    with pytest.raises(KeyError):
        del again["study"]
    with pytest.raises(KeyError):
        again["nothing"]
    with pytest.raises(XNATValueError, match="set them by name"):
        again.append("value")


def test_S148_parts_by_name_and_position(session: Any, project: Any) -> None:
    people = project.investigators
    people.append({"firstname": "Jane", "lastname": "Doe"})
    people["Roe"] = {"firstname": "Rick", "title": "Dr"}
    session.clearcache()
    people = session.projects["P1"].investigators
    assert [one.firstname for one in people.listing] == ["Jane", "Rick"]
    assert people["Roe"].title == "Dr" and people[0].lastname == "Doe"
    people["Doe"].institution = "Here"
    people[1].department = "There"
    assert people["Doe"].institution == "Here" and people["Roe"].department == "There"
    assert str(people["Roe"]) == "<InvestigatorData Dr Rick Roe>"
    with pytest.raises(XNATValueError, match="as a dict"):
        people["Doe"] = "Jane"
    with pytest.raises(XNATValueError, match="only append"):
        people.insert(0, {"lastname": "First"})


def test_S142_parts_within_parts(experiment: Any, session: Any) -> None:
    parameters = experiment.scans["1"].parameters
    assert parameters.tr is None
    parameters.tr = 2.5
    parameters.voxel_res.x = 1.5
    parameters.add_param["foo"] = "bar"
    session.clearcache()
    again = session.experiments[experiment.id].scans["1"].parameters
    assert (again.tr, again.voxel_res.x, again.add_param["foo"]) == (2.5, 1.5, "bar")
    del again.tr
    assert again.tr is None and again.voxel_res.x == 1.5
    with pytest.raises(XNATValueError):
        again.tr = "soon"


def test_S142_a_part_that_is_not_there_yet_is_made_by_its_first_field(
    experiment: Any, project: Any
) -> None:
    assert experiment.validation.status is None
    experiment.validation.status = "passed"
    experiment.validation.notes = "by hand"
    assert (experiment.validation.status, experiment.validation.notes) == ("passed", "by hand")
    subject = project.subjects["S1"]
    subject.demographics.gender = "male"
    assert subject.demographics.gender == "male"


def test_S153_parts_are_cleared_through_what_they_are_in(experiment: Any, project: Any) -> None:
    with pytest.raises(XNATValueError, match="part of"):
        experiment.scanner.delete()
    project.pi.lastname = "Doe"
    assert project.pi.uri == project.uri and project.pi.fulldata["data_fields"]["lastname"] == "Doe"
