"""Checks of studies on disk: what passes, what does not, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pydicom.data
import pytest

from pipelines.material import MadeStudy, Series, cut
from xnat_luigi.qc.checks import check_files, check_study
from xnat_luigi.qc.rules import RulesError, parse_rules
from xnat_luigi.qc.verdicts import FAIL, PASS, WARN, Finding, Verdict

from .material import change, small_study


@pytest.fixture
def study(tmp_path: Path) -> MadeStudy:
    return small_study(tmp_path / "study")


def found(verdict: Verdict, rule: str) -> list[Finding]:
    """Findings of a rule that are not a pass."""
    return [one for one in verdict.findings if one.rule == rule and one.status != PASS]


def verdict_of(study: MadeStudy, text: str, **context: str) -> Verdict:
    return check_study(study.files, parse_rules(text), **context)


def test_a_sound_study_passes_the_first_gate(study: MadeStudy) -> None:
    verdict = check_files(study.files, study_uid=study.uid, patient_id="S001_MR1", expected_files=8)
    assert verdict.status == PASS and verdict.reasons == ()


def test_a_cut_file_fails_and_is_named(study: MadeStudy) -> None:
    cut(study.files[2])
    verdict = check_files(study.files)
    (finding,) = found(verdict, "files whole")
    assert finding.status == FAIL and "pixel data declare" in finding.message
    assert finding.files == (str(study.files[2]),)


def test_another_patient_fails(study: MadeStudy) -> None:
    change(study.files[0], lambda dataset: setattr(dataset, "PatientID", "S999"))
    verdict = check_files(study.files)
    (finding,) = found(verdict, "one patient")
    assert finding.files == (str(study.files[0]),) and "'S999'" in finding.found


def test_two_studies_fail(study: MadeStudy, tmp_path: Path) -> None:
    other = small_study(tmp_path / "other", session="S001_MR2")
    assert found(check_files([*study.files, *other.files]), "one study")


def test_an_image_twice_fails(study: MadeStudy) -> None:
    assert found(check_files([*study.files, study.files[0]]), "unique images")


def test_too_few_files_fail(study: MadeStudy) -> None:
    assert found(check_files(study.files, expected_files=9), "file count")
    assert found(check_files([]), "file count")


def test_nothing_checked_is_no_pass() -> None:
    assert Verdict(()).status == FAIL


def test_a_verdict_survives_json(study: MadeStudy) -> None:
    cut(study.files[2])
    verdict = check_files(study.files)
    assert Verdict.from_json(verdict.to_json()) == verdict
    with pytest.raises(ValueError, match="no verdict"):
        Verdict.from_json("{}")


SERIES_RULES = """
[[series]]
name = "T1"
description = "t1*"
count = 1
minimum_files = 4
orientation = "axial"
[series.header]
Rows = 64
SliceThickness = { value = 2.5, tolerance = 0.01 }
[[series]]
name = "T2"
description = "T2*"
[allowed]
severity = "warn"
"""


def test_a_study_after_the_protocol_passes(study: MadeStudy) -> None:
    verdict = verdict_of(study, SERIES_RULES)
    assert verdict.status == PASS, verdict.reasons


def test_missing_surplus_and_short_series_are_found(tmp_path: Path) -> None:
    study = small_study(tmp_path, series=(Series("T1w", 3), Series("FLAIR", 2)))
    verdict = verdict_of(study, SERIES_RULES)
    assert found(verdict, "T1: files")[0].found == "3"
    assert found(verdict, "T2: count")[0].found == "0"
    (strange,) = found(verdict, "allowed series")
    assert (strange.status, strange.found) == (WARN, "FLAIR")


def test_header_values_are_compared_with_tolerance(study: MadeStudy) -> None:
    change(study.files[0], lambda dataset: setattr(dataset, "SliceThickness", 2.505))
    assert verdict_of(study, SERIES_RULES).status == PASS
    change(study.files[0], lambda dataset: setattr(dataset, "SliceThickness", 3))
    (finding,) = found(verdict_of(study, SERIES_RULES), "T1: SliceThickness")
    assert (finding.found, finding.wanted) == ("3.0", "2.5 ± 0.01")


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ("Modality = 'MR'", True),
        ("Modality = { one_of = ['CT', 'MR'] }", True),
        ("Modality = { matches = 'M' }", False),
        ("Modality = { matches = 'M.' }", True),
        ("PatientAddress = { present = false }", True),
        ("PatientAddress = { present = true }", False),
        ("EchoTime = { minimum = 1e6 }", False),
        ("EchoTime = { maximum = 1e6 }", True),
        ("PatientAddress = { maximum = 3 }", False),
        ("PixelSpacing = [0.3125, 0.3125]", True),
        ("PixelSpacing = 0.3125", False),
        ("Modality = 3", False),
        ("Modality = { minimum = 3 }", False),
    ],
)
def test_kinds_of_header_rules(study: MadeStudy, rule: str, passes: bool) -> None:
    verdict = verdict_of(study, f"[header]\n{rule}\n")
    assert (verdict.status == PASS) is passes, verdict.reasons


def test_labels_and_modalities(study: MadeStudy) -> None:
    rules = "[study]\nsubject = 'S\\d{3}'\nsession = 'S\\d{3}_MR\\d'\nmodality = 'MR'\n"
    assert verdict_of(study, rules, subject="S001", session="S001_MR1").status == PASS
    verdict = verdict_of(study, rules, subject="X1", session="S001_MR1")
    assert [one.rule for one in verdict.ordered if one.status == FAIL] == ["subject label"]
    assert found(verdict_of(study, "[study]\nmodality = 'CT'\n"), "modality")


GAPS = "[gaps]\ninstance_number = 'fail'\nslice_position = 'warn'\n"


def test_a_missing_slice_leaves_two_gaps(tmp_path: Path) -> None:
    study = small_study(tmp_path, series=(Series("T1w", 8),))
    assert verdict_of(study, GAPS).status == PASS
    study.files[3].unlink()
    left = [path for path in study.files if path.exists()]
    verdict = check_study(left, parse_rules(GAPS))
    (number,) = found(verdict, "gaps: InstanceNumber")
    assert number.status == FAIL and number.found == "4"
    (position,) = found(verdict, "gaps: slice position")
    assert position.status == WARN and position.found == "5 mm where 2.5 mm is usual"


def test_a_missing_first_slice_is_a_gap(tmp_path: Path) -> None:
    study = small_study(tmp_path, series=(Series("T1w", 4),))
    verdict = check_study(study.files[1:], parse_rules(GAPS))
    assert found(verdict, "gaps: InstanceNumber")[0].found == "1"


def test_time_points_at_one_position_are_no_gap(tmp_path: Path) -> None:
    study = small_study(tmp_path, series=(Series("bold", 8),))
    for index, path in enumerate(study.files):
        place = [0.0, 0.0, 3.0 * (index % 4)]
        change(path, lambda dataset, at=place: setattr(dataset, "ImagePositionPatient", at))
    assert not found(verdict_of(study, GAPS), "gaps: slice position")


def test_a_change_inside_a_series_is_found(study: MadeStudy) -> None:
    rules = "[consistency]\nfields = ['RepetitionTime', 'ImageOrientationPatient']\n"
    assert verdict_of(study, rules).status == PASS
    change(study.files[1], lambda dataset: setattr(dataset, "RepetitionTime", 999))
    (finding,) = found(verdict_of(study, rules), "consistency: RepetitionTime")
    assert finding.files == (str(study.files[1]),)


def test_orientation_is_told_from_the_normal(study: MadeStudy) -> None:
    rule = "[[series]]\ndescription = 'T1w'\norientation = 'sagittal'\n"
    assert found(verdict_of(study, rule), "T1w: orientation")
    for path in study.files:
        change(path, lambda d: setattr(d, "ImageOrientationPatient", [0, 1, 0, 0, 0, -1]))
    assert not found(verdict_of(study, rule), "T1w: orientation")


PIXELS = "[pixels]\nreadable = 'fail'\nconstant = 'fail'\nsample = 0\n"


def test_one_grey_all_over_is_found(study: MadeStudy) -> None:
    assert verdict_of(study, PIXELS).status == PASS
    change(study.files[0], lambda d: setattr(d, "PixelData", bytes(len(d.PixelData))))
    (finding,) = found(verdict_of(study, PIXELS), "pixels: constant")
    assert finding.files == (str(study.files[0]),)


def test_pixel_data_that_are_too_short_for_the_matrix_fail(study: MadeStudy) -> None:
    change(study.files[0], lambda d: setattr(d, "PixelData", d.PixelData[:100]))
    (finding,) = found(verdict_of(study, PIXELS), "pixels: readable")
    assert finding.status == FAIL and finding.files == (str(study.files[0]),)


def test_a_missing_decoder_warns_and_is_named() -> None:
    path = pydicom.data.get_testdata_file("JPEGLSNearLossless_08.dcm")
    verdict = check_study([str(path)], parse_rules(PIXELS))
    (finding,) = found(verdict, "pixels: readable")
    assert finding.status == WARN and "JPEG-LS" in finding.message


def test_compressed_pixel_data_are_decoded_by_pydicom() -> None:
    path = pydicom.data.get_testdata_file("MR_small_RLE.dcm")
    verdict = check_study([str(path)], parse_rules(PIXELS))
    assert not found(verdict, "pixels: readable") and not found(verdict, "pixels: constant")


PHI = "[phi]\nburned_in = 'fail'\nnames = 'fail'\nempty = ['PatientBirthDate']\n"


def test_suspicions_of_identity(study: MadeStudy) -> None:
    def reveal(dataset: pydicom.Dataset) -> None:
        dataset.PatientName = "Mustermann^Erika"
        dataset.BurnedInAnnotation = "YES"
        dataset.PatientComments = "asked for by Dr. Who for erika"
        dataset.PatientBirthDate = "19700101"

    for path in study.files:
        change(path, lambda d: setattr(d, "PatientBirthDate", ""))
    assert verdict_of(study, PHI).status == PASS, verdict_of(study, PHI).reasons
    change(study.files[0], reveal)
    verdict = verdict_of(study, PHI)
    assert found(verdict, "privacy: burned-in text")
    (name,) = found(verdict, "privacy: names in text")
    assert name.found == "PatientComments" and "rika" not in name.message
    assert found(verdict, "privacy: PatientBirthDate")


def test_ones_own_check_beside_the_rules(study: MadeStudy, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def fine(study): return True\n"
        "def bad(study): return f'{len(study.series)} series are too few'\n"
        "def broken(study): return 1 / 0\n"
    )
    path = tmp_path / "rules.toml"
    path.write_text(
        "".join(f"[[check]]\ncall = 'own.py:{name}'\n" for name in ("fine", "bad", "broken"))
    )
    from xnat_luigi.qc.rules import read_rules

    verdict = check_study(study.files, read_rules(path))
    assert not found(verdict, "fine")
    assert found(verdict, "bad")[0].message == "2 series are too few"
    assert "ZeroDivisionError" in found(verdict, "broken")[0].message


@pytest.mark.parametrize("call", ["absent.py:look", "no.such.module:look", "json:nothing"])
def test_a_check_that_cannot_be_loaded_is_an_error(study: MadeStudy, call: str) -> None:
    with pytest.raises(RulesError, match="cannot be loaded"):
        verdict_of(study, f"[[check]]\ncall = '{call}'\n")


def test_a_file_without_its_own_uid_fails(study: MadeStudy) -> None:
    change(study.files[0], lambda dataset: dataset.pop("SOPInstanceUID"))
    verdict = check_files(study.files)
    assert verdict.status == "fail" and "no SOPInstanceUID" in verdict.reasons[0]
