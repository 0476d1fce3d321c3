"""Making objects: by their class, by create_...; what is refused before it is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.exceptions import XNATConflictError, XNATUnsafeNameError, XNATValueError
from xnat_luigi.standin import StandIn

from .conftest import asked


def puts(site: StandIn) -> list[str]:
    """The PUTs of items so far."""
    return [one for one in asked(site) if one.startswith("PUT /data/") and "auth" not in one]


def test_S156_everything_is_made_by_its_class(session: Any, site: StandIn) -> None:
    classes = session.classes
    project = classes.ProjectData(parent=session, id_="P9", description="new")
    subject = classes.SubjectData(parent=project, label="S9", group="A")
    experiment = classes.MrSessionData(parent=subject, label="S9_MR", note="made")
    scan = classes.MrScanData(parent=experiment, id_="7", type="T1")
    assessor = classes.QcManualAssessorData(parent=experiment, label="S9_QC")
    session.clearcache()
    found = session.projects["P9"].subjects["S9"].experiments["S9_MR"]
    assert (project.description, subject.group, found.note) == ("new", "A", "made")
    assert found.id == experiment.id and found.scans["T1"].id == scan.id == "7"
    assert found.assessors["S9_QC"].id == assessor.id
    assert experiment.subject.id == subject.id


def test_S156_a_keyword_that_is_no_field_makes_nothing(
    session: Any, project: Any, experiment: Any, site: StandIn
) -> None:
    classes = session.classes
    subject = project.subjects["S1"]
    for cls, parent, fields, hint in (
        (classes.SubjectData, project, {"label": "S9", "gruop": "A"}, "did you mean 'group'"),
        (classes.MrSessionData, subject, {"label": "X", "datee": "2024-01-01"}, "'date'"),
        (classes.MrScanData, experiment, {"id_": "7", "qality": "bad"}, "'quality'"),
        (classes.ProjectData, session, {"id_": "P9", "delete": "1"}, "no field 'delete'"),
    ):
        with pytest.raises(XNATValueError, match=hint):
            cls(parent=parent, **fields)
    assert puts(site) == []


def test_S156_a_label_that_is_there_is_the_object_that_is_there(session: Any, project: Any) -> None:
    made = session.classes.SubjectData(parent=project, label="S1", group="B")
    session.clearcache()
    assert made.id == project.subjects["S1"].id and project.subjects["S1"].group == "B"


def test_S157_the_parent_must_be_of_the_right_kind(
    session: Any, project: Any, site: StandIn
) -> None:
    classes = session.classes
    for made, parent in (
        (classes.MrSessionData, project),
        (classes.MrScanData, project),
        (classes.SubjectData, session),
        (classes.ProjectData, project),
    ):
        with pytest.raises(XNATValueError, match="parent"):
            made(parent=parent, label="X", id_="X")
    with pytest.raises(XNATValueError, match="uri and xnat_session, or a parent"):
        classes.SubjectData(label="X")
    assert puts(site) == []


def test_S159_scans_by_id_and_type(session: Any, experiment: Any) -> None:
    made = session.classes.MrScanData(parent=experiment, id_="12", type="FLAIR", quality="usable")
    assert str(made) == "<MrScanData FLAIR (12)>"
    assert experiment.scans["FLAIR"].id == "12"
    other = session.classes.MrScanData(parent=experiment, id="13", type="FLAIR")
    assert other.id == "13"


@pytest.mark.parametrize("label", ["a b", "ä", "a/b", "x.y"])
def test_S160_T4_labels_with_a_blank_are_refused_where_they_are_made(
    session: Any, project: Any, site: StandIn, label: str
) -> None:
    with pytest.raises(XNATUnsafeNameError, match="only letters"):
        session.classes.SubjectData(parent=project, label=label)
    assert puts(site) == []


def test_S160_an_old_label_with_a_blank_is_reached_by_its_id(
    session: Any, project: Any, site: StandIn
) -> None:
    id_ = site.add_subject("P1", "old label")
    subject = project.subjects["old label"]
    assert subject.id == id_ and subject.label == "old label"
    made = session.classes.MrSessionData(parent=subject, label="OLD_MR")
    assert project.experiments["OLD_MR"].subject.id == id_
    assert made.subject.label == "old label"


def test_S161_a_missing_label_is_named(session: Any, project: Any, experiment: Any) -> None:
    with pytest.raises(XNATValueError, match="label"):
        session.classes.SubjectData(parent=project)
    with pytest.raises(XNATValueError, match="id"):
        session.classes.MrScanData(parent=experiment)


def test_S162_S163_a_resource_is_made_and_read(session: Any, experiment: Any) -> None:
    made = session.classes.ResourceCatalog(
        parent=experiment.scans["1"], label="My.res-1_x", format="TEXT"
    )
    assert (made.label, made.format) == ("My.res-1_x", "TEXT")
    assert made.data["label"] == "My.res-1_x" and made.id.isdigit()
    assert experiment.scans["1"].resources["My.res-1_x"].id == made.id


def test_S164_a_resource_with_the_content_of_a_folder(
    session: Any, experiment: Any, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("one")
    made = session.classes.ResourceCatalog(
        parent=experiment, label="NEW", data_dir=tmp_path, upload_method="tar_memory"
    )
    assert [one.path for one in made.files.listing] == ["sub/a.txt"]


def test_S165_S166_create_resource_of_every_level(
    project: Any, experiment: Any, site: StandIn, tmp_path: Path
) -> None:
    site.add_assessor("P1", "S1_MR1", "QC1")
    (tmp_path / "a.txt").write_text("one")
    owners = [
        project,
        project.subjects["S1"],
        experiment,
        experiment.scans["3"],
        experiment.assessors["QC1"],
    ]
    for owner in owners:
        made = owner.create_resource("NEW", format="TEXT", data_dir=tmp_path, method="tgz_file")
        assert (made.label, made.format) == ("NEW", "TEXT")
        assert [one.path for one in owner.resources["NEW"].files.listing] == ["a.txt"]
        with pytest.raises(XNATConflictError, match="already"):
            owner.create_resource("NEW")


def test_S167_an_assessor(experiment: Any) -> None:
    made = experiment.create_assessor("QC7", "xnat:qcManualAssessorData")
    assert type(made).__name__ == "QcManualAssessorData"
    other = experiment.create_assessor("QC8", "QcAssessmentData")
    assert {one.label for one in experiment.assessors.listing} == {made.label, other.label}
    with pytest.raises(TypeError):
        experiment.create_assessor("QC9")
