"""A night's sessions as reports: sound, incomplete, odd, and cut."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pydicom

from pipelines.material import cut, make_study, series_of
from xnat_luigi.dicom import read_header
from xnat_luigi.gate.judging import judge_headers
from xnat_luigi.qc.report import write_report
from xnat_luigi.qc.rules import parse_rules

MADE = datetime(2024, 6, 11, 6, 0, tzinfo=timezone.utc)
RULES = parse_rules(
    """
    title = "Brain protocol"
    [study]
    modality = ["MR"]
    [[series]]
    name = "T1"
    description = "T1*"
    minimum_files = 5
    orientation = "axial"
    header.SliceThickness = { value = 2.5, tolerance = 0.1 }
    [[series]]
    name = "T2"
    description = "T2*"
    [[series]]
    name = "FLAIR"
    description = "FLAIR*"
    [allowed]
    descriptions = ["Localizer"]
    [gaps]
    instance_number = "fail"
    slice_position = "warn"
    [pixels]
    readable = "fail"
    constant = "fail"
    [phi]
    names = "warn"
    """
)


def make_reports(base: Path, *, side: int = 64) -> Path:
    """Four sessions in two projects; returns the folder of the pages."""
    out = base / "reports"
    brain = ("T1w", "T2w", "FLAIR")
    _report(base, out, "P1", "SUBJ1_MR1", brain, side)
    _report(base, out, "P1", "SUBJ2_MR1", brain[:2], side)
    _report(base, out, "P1", "SUBJ3_MR1", (*brain, "Extra"), side, comment="Mrs Smith moved")
    _report(base, out, "P2", "SUBJ4_MR1", brain, side, broken=True)
    return out


def _report(
    base: Path,
    out: Path,
    project: str,
    session: str,
    series: tuple[str, ...],
    side: int,
    *,
    comment: str = "",
    broken: bool = False,
) -> None:
    study = make_study(
        base / "in" / session,
        subject=session.split("_")[0],
        session=session,
        series=series_of(series, slices=5),
        side=side,
    )
    for path in study.files if comment else ():
        dataset: Any = pydicom.dcmread(path)
        dataset.PatientName, dataset.ImageComments = "SMITH^ANNA", comment
        dataset.save_as(path, enforce_file_format=True)
    if broken:
        cut(study.files[3])
    material, verdict = judge_headers(
        [read_header(path, fields=RULES.fields) for path in study.files],
        RULES,
        subject=study.subject,
        session=session,
        study_uid=study.uid,
    )
    notes = [("The server's dry run", ["nothing against it"])]
    write_report(out, material, verdict, RULES, project=project, notes=notes, made=MADE)
