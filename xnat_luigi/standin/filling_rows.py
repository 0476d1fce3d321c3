"""Filling the prearchive from Python: rows in any state, without HTTP (`StandIn.add_row`)."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from typing import Any

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from .filling import add_project
from .receiving import Order
from .services import Services
from .state import State
from .state.prearchive import STATUSES, UNASSIGNED, Row

__all__ = ["add_row", "small_object"]

_CLASSES = {
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def small_object(
    study: str, series: int | str, instance: int, *, modality: str = "MR", **elements: Any
) -> bytes:
    """A whole DICOM object of 8 x 8 pixels.

    Parameters:
        study: StudyInstanceUID; series and instance are numbered below it.
        elements: further elements by DICOM keyword, such as `PatientName`.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_CLASSES.get(modality, _CAPTURE))
    meta.MediaStorageSOPInstanceUID = UID(f"{study}.{series}.{instance}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID = meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    made.StudyDate, made.StudyTime, made.Modality = "20240201", "101112", modality
    made.SeriesDescription = f"series {series}"
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.{series}"
    made.SeriesNumber, made.InstanceNumber = series, instance
    made.Rows = made.Columns = 8
    made.BitsAllocated = made.BitsStored = 8
    made.SamplesPerPixel, made.PixelRepresentation, made.HighBit = 1, 0, 7
    made.PhotometricInterpretation = "MONOCHROME2"
    made.PixelData = bytes((instance + number) % 256 for number in range(64))
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def add_row(
    state: State,
    project: str,
    subject: str,
    session: str,
    *,
    user: str = "admin",
    study: str = "",
    scans: Mapping[str, int] | None = None,
    files: Mapping[str, bytes] | None = None,
    modality: str = "MR",
    status: str = "READY",
    log: str = "",
) -> str:
    """A study in the prearchive; returns its `url` as listings have it, without `/data`.

    Parameters:
        project: made where it is missing; `Unassigned` is no project.
        study: StudyInstanceUID, a new one by default.
        scans: series number -> how many small objects are made; `{"1": 2}` by default.
        files: DICOM objects by file name, instead of made ones.
        status: any of the prearchive, locked ones too; only `RECEIVING` is left without a document.
        log: an entry of the row's log, where the reason of a conflict or an error is read.

    Raises: `ValueError` unknown status, `Unreadable` a file is no DICOM object.
    """
    if status not in STATUSES:
        raise ValueError(f"{status!r} is no status of the prearchive")
    if project != UNASSIGNED:
        add_project(state, project, user=user)
    study = study or f"2.25.{uuid.uuid4().int % 10**24}"
    services = state.part(Services)
    labels = {"project": project, "subject": subject, "session": session}
    order = Order(user=user, parameters=labels)
    row: Row | None = None
    for name, data in (files or _made(study, scans, subject, session, modality)).items():
        row = services.receiver.receive(order, data, name) or row
    if row is None:
        raise ValueError("no object was taken: the site's filter drops them, or there is none")
    if status != "RECEIVING":
        services.work.build(row)
    if log:
        services.prearchive.log(row, log)
    if status not in ("RECEIVING", "READY"):
        services.prearchive.set_status(row, status, own=True)
    return row.url


def _made(
    study: str, scans: Mapping[str, int] | None, subject: str, session: str, modality: str
) -> dict[str, bytes]:
    return {
        f"{series}-{number}.dcm": small_object(
            study, series, number, modality=modality, PatientName=subject, PatientID=session
        )
        for series, count in (scans or {"1": 2}).items()
        for number in range(1, count + 1)
    }
