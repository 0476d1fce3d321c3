"""DICOM objects and archives of them, made in memory."""

from __future__ import annotations

import io
import tarfile
import uuid
import zipfile
from collections.abc import Mapping
from typing import Any

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

MR = "1.2.840.10008.5.1.4.1.1.4"
CT = "1.2.840.10008.5.1.4.1.1.2"
PT = "1.2.840.10008.5.1.4.1.1.128"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CLASSES = {
    "MR": MR,
    "CT": CT,
    "PT": PT,
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
    "OT": CAPTURE,
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
}


def new_uid() -> str:
    """A UID that nobody has used, short enough for suffixes."""
    return f"2.25.{uuid.uuid4().int % 10**24}"


def dicom(
    study: str,
    series: int | str = 1,
    instance: int = 1,
    *,
    subject: str = "S1",
    session: str = "S1_MR1",
    modality: str = "MR",
    series_uid: str = "",
    **elements: Any,
) -> bytes:
    """One object of 8 x 8 pixels; `elements` are further DICOM keywords with their values."""
    series_uid = series_uid or f"{study}.{series}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = elements.pop("SOPClassUID", CLASSES.get(modality, CAPTURE))
    meta.MediaStorageSOPInstanceUID = elements.pop("SOPInstanceUID", f"{series_uid}.{instance}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyDate, data.StudyTime = "20220118", "164125"
    data.Modality = modality
    data.SeriesDescription = f"series {series}"
    data.PatientName, data.PatientID = subject, session
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series_uid
    data.SeriesNumber, data.InstanceNumber = series, instance
    data.Rows = data.Columns = 8
    data.BitsAllocated = data.BitsStored = 8
    data.SamplesPerPixel, data.PixelRepresentation, data.HighBit = 1, 0, 7
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = bytes((instance + n) % 256 for n in range(64))
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()


def study_files(
    study: str, scans: Mapping[int, int] | None = None, **options: Any
) -> dict[str, bytes]:
    """The objects of a study by file name; `scans` maps series number to how many objects."""
    return {
        f"{series}-{instance}.dcm": dicom(study, series, instance, **options)
        for series, count in (scans or {1: 2, 2: 1}).items()
        for instance in range(1, count + 1)
    }


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A stored zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar; `w:gz` for a gzipped one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def study_zip(study: str, scans: Mapping[int, int] | None = None, **options: Any) -> bytes:
    """A study as a zip."""
    return zipped(study_files(study, scans, **options))
