"""Studies made of real DICOM: the CT and MR images inside pydicom, made into series and sessions.

The headers stay those of the scanners; UIDs, names, numbers and positions are rewritten and the
pixels tiled to the half megabyte of a clinical slice. Equal arguments always give equal bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data

__all__ = ["MadeStudy", "Series", "cut", "make_dataset", "make_study", "uid"]

SOURCES = {"MR": "MR_small.dcm", "CT": "CT_small.dcm"}
SIDE = 512


@dataclass(frozen=True)
class Series:
    """One series to make: its description and the number of slices."""

    description: str
    slices: int = 4
    modality: str = "MR"


@dataclass(frozen=True)
class MadeStudy:
    """A study on disk.

    Attributes:
        folder: where its files lie, one sub-folder a series.
        uid: StudyInstanceUID.
        files: paths of all files, sorted.
    """

    folder: Path
    subject: str
    session: str
    uid: str
    files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files)


def uid(*parts: object) -> str:
    """A UID below 2.25 that depends on the parts alone."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def make_study(
    folder: Path,
    *,
    subject: str,
    session: str,
    series: Sequence[Series],
    side: int = SIDE,
    date: str = "20240611",
    seed: str = "",
) -> MadeStudy:
    """Writes a study into `folder` and says what it holds.

    Args:
        side: rows and columns of every image; 512 makes files of half a megabyte, 64 small ones.
        seed: other words give other UIDs and pixels for the same names.
    """
    study_uid = uid(seed, subject, session)
    written: list[Path] = []
    for number, one in enumerate(series, start=1):
        target = folder / f"{number:02d}-{one.description}"
        target.mkdir(parents=True, exist_ok=True)
        for index in range(1, one.slices + 1):
            dataset = make_dataset(
                one, number, index, study_uid, subject=subject, session=session, side=side
            )
            dataset.StudyDate = date
            path = target / f"{session}-{number:02d}-{index:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            written.append(path)
    return MadeStudy(folder, subject, session, study_uid, tuple(sorted(written)))


def make_dataset(
    series: Series,
    number: int,
    index: int,
    study_uid: str,
    *,
    subject: str,
    session: str,
    side: int = SIDE,
) -> Any:
    """One image of a series as a pydicom dataset (pydicom is untyped, so is the answer)."""
    source = pydicom.data.get_testdata_file(SOURCES[series.modality])
    dataset: Any = pydicom.dcmread(str(source))
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = uid(study_uid, number)
    dataset.SOPInstanceUID = uid(study_uid, number, index)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.FrameOfReferenceUID = uid(study_uid, "frame")
    dataset.PatientName = subject
    dataset.PatientID = session
    dataset.SeriesNumber = number
    dataset.SeriesDescription = series.description
    dataset.InstanceNumber = index
    dataset.ImagePositionPatient = [-100.0, -100.0, 2.5 * index]
    dataset.SliceLocation = 2.5 * index
    dataset.SliceThickness = 2.5
    _tile(dataset, side, turn=7 * number + index)
    return dataset


def _tile(dataset: Any, side: int, *, turn: int) -> None:
    """Repeats the image to `side` x `side`, turned by some rows so that no two slices are equal."""
    rows, columns, width = dataset.Rows, dataset.Columns, dataset.BitsAllocated // 8
    pixels = dataset.PixelData[: rows * columns * width]
    lines = [
        pixels[start : start + columns * width] for start in range(0, len(pixels), columns * width)
    ]
    wide = [(line * (side // columns + 1))[: side * width] for line in lines]
    dataset.PixelData = b"".join(wide[(row + turn) % rows] for row in range(side))
    dataset.Rows = dataset.Columns = side


def cut(path: Path, *, keep: float = 0.6) -> int:
    """Cuts a file as a broken copy would, and returns its new length in bytes."""
    length = int(path.stat().st_size * keep)
    with path.open("r+b") as file:
        file.truncate(length)
    return length


def series_of(names: Iterable[str], *, slices: int = 4, modality: str = "MR") -> tuple[Series, ...]:
    """Series of equal length by their descriptions."""
    return tuple(Series(name, slices, modality) for name in names)
