"""Folders grouped into studies, with everything that is wrong with them."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pydicom
import pytest

from pipelines.material import MadeStudy, cut, make_study, series_of
from xnat_luigi.dicom import NOT_DICOM, TRUNCATED, UNREADABLE, read_header
from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.intake.studies import (
    CONFLICTING,
    DIRECTORY_FILE,
    DUPLICATE,
    NO_IDENTITY,
    OTHER_PATIENT,
    group,
    read_folder,
)


@pytest.fixture
def made(tmp_path: Path) -> MadeStudy:
    return make_study(
        tmp_path / "in",
        subject="S001",
        session="S001_MR1",
        series=series_of(("T1w", "T2w"), slices=3),
        side=64,
    )


def rewrite(path: Path, **values: object) -> None:
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)


def test_a_folder_becomes_studies_and_series(made: MadeStudy, tmp_path: Path) -> None:
    other = make_study(
        tmp_path / "in" / "deep" / "er",
        subject="S002",
        session="S002_MR1",
        series=series_of(("T1w",), slices=2),
        side=64,
    )
    found = read_folder(tmp_path / "in")
    assert {study.uid for study in found} == {made.uid, other.uid} and not found.problems
    study = found.find(made.uid)
    assert [series.description for series in study.series] == ["T1w", "T2w"]
    assert [file.get("InstanceNumber") for file in study.series[0].files] == ["1", "2", "3"]
    assert study.size == made.bytes and study.patient_id == "S001_MR1" and not study.problems


def test_one_file_may_be_named_too(made: MadeStudy) -> None:
    assert len(read_folder(made.files[0]).find(made.uid).files) == 1


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(XNATValueError, match="does not exist"):
        read_folder(tmp_path / "absent")
    with pytest.raises(XNATValueError, match="holds no study"):
        read_folder(tmp_path).find("1.2.3")


def test_X_a_truncated_file_is_no_part_of_its_series(made: MadeStudy, tmp_path: Path) -> None:
    cut(made.files[0])
    study = read_folder(tmp_path / "in").find(made.uid)
    (problem,) = study.of_kind(TRUNCATED)
    assert problem.path == str(made.files[0]) and len(study.files) == 5


def test_what_is_not_dicom_is_named(made: MadeStudy, tmp_path: Path) -> None:
    (tmp_path / "in" / "notes.txt").write_text("hello")
    (tmp_path / "in" / "empty").touch()
    (tmp_path / "in" / "loose").symlink_to(tmp_path / "nowhere")
    shutil.copy(made.files[0], tmp_path / "in" / "DICOMDIR")
    kinds = {Path(p.path).name: p.kind for p in read_folder(tmp_path / "in").problems}
    assert kinds["notes.txt"] == kinds["empty"] == NOT_DICOM
    assert kinds["DICOMDIR"] == DIRECTORY_FILE
    assert "loose" not in kinds or kinds["loose"] == UNREADABLE


def test_X_duplicate_uids_are_told_from_copies(made: MadeStudy, tmp_path: Path) -> None:
    first, second, third = made.files[:3]
    shutil.copy(first, tmp_path / "in" / "zz-copy.dcm")
    shutil.copy(second, tmp_path / "in" / "zz-changed.dcm")
    raw = bytearray(second.read_bytes())
    raw[-3] ^= 1
    (tmp_path / "in" / "zz-changed.dcm").write_bytes(raw)
    rewrite(third, SOPInstanceUID=read_header(first).sop_uid)
    study = read_folder(tmp_path / "in").find(made.uid)
    kinds = {Path(p.path).name: p.kind for p in study.problems}
    assert kinds == {
        "zz-copy.dcm": DUPLICATE,
        "zz-changed.dcm": CONFLICTING,
        third.name: CONFLICTING,
    }
    assert len(study.files) == 5


def test_X_two_patients_in_one_study_are_found(made: MadeStudy, tmp_path: Path) -> None:
    rewrite(made.files[1], PatientID="S999")
    study = read_folder(tmp_path / "in").find(made.uid)
    (problem,) = study.of_kind(OTHER_PATIENT)
    assert problem.path == str(made.files[1]) and "'S999', not 'S001_MR1'" in problem.detail
    assert study.patients == ("S001_MR1", "S999")


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_X_a_file_without_identity_is_named(made: MadeStudy, tmp_path: Path, keyword: str) -> None:
    dataset = pydicom.dcmread(made.files[0])
    setattr(dataset, keyword, "")
    dataset.save_as(made.files[0])
    found = read_folder(tmp_path / "in")
    problems = [*found.problems, *found.find(made.uid).problems]
    assert [(p.path, p.kind) for p in problems] == [(str(made.files[0]), NO_IDENTITY)]


def test_grouping_does_not_depend_on_the_order(made: MadeStudy, tmp_path: Path) -> None:
    headers = [read_header(path) for path in made.files]
    first = group("x", headers)
    random.Random(5).shuffle(headers)
    assert group("x", headers) == first


def test_compressed_files_are_noted(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    shutil.copy(str(get_testdata_file("JPEG2000.dcm")), tmp_path / "a.dcm")
    (study,) = read_folder(tmp_path)
    assert study.notes == ("1 of 1 files hold compressed pixel data",)


def test_progress_counts_files(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}").write_bytes(b"x")
    seen: list[int] = []
    found = read_folder(tmp_path, progress=seen.append)
    assert seen == [128, 256, 300] and len(found.problems) == 300
