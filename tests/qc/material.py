"""Small studies for the tests of QC, made of real DICOM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom

from pipelines.material import MadeStudy, Series, make_study

SERIES = (Series("T1w", 4), Series("T2w", 4))


def small_study(folder: Path, **options: Any) -> MadeStudy:
    """A study of two series with four slices of 64 x 64."""
    settings = {"subject": "S001", "session": "S001_MR1", "series": SERIES, "side": 64}
    return make_study(folder, **{**settings, **options})


def change(path: Path, how: Callable[[Any], None]) -> None:
    """Rewrite one file with a change to its data set."""
    dataset = pydicom.dcmread(path)
    how(dataset)
    dataset.save_as(path, enforce_file_format=True)
