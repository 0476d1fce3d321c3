"""A ready project for a look round: `xnat-luigi serve --sample`.

Made the way a lab would make it, over HTTP: studies of real DICOM (the images inside pydicom) are
imported, built and archived; one is left in the prearchive.
"""

from __future__ import annotations

import base64
import hashlib
import io
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pydicom
import pydicom.data

if TYPE_CHECKING:
    from .server import StandIn

__all__ = ["PROJECT", "fill"]

PROJECT = "SAMPLE"
SLICES = 6
TIMEOUT = 60.0
_FILES = {"MR": "MR_small.dcm", "CT": "CT_small.dcm"}


@dataclass(frozen=True)
class Study:
    """A study of the sample: the modality and the descriptions of its series."""

    subject: str
    session: str
    date: str
    modality: str
    series: tuple[str, ...]


ARCHIVED = (
    Study("SUBJ01", "SUBJ01_MR1", "20240201", "MR", ("T1w", "T2w")),
    Study("SUBJ01", "SUBJ01_CT1", "20240308", "CT", ("thorax",)),
    Study("SUBJ02", "SUBJ02_MR1", "20240402", "MR", ("T1w", "T2w", "localizer")),
)
WAITING = Study("SUBJ03", "SUBJ03_MR1", "20240501", "MR", ("T1w",))


def fill(server: StandIn, user: str, password: str) -> str:
    """Makes the project (one that is there already is left alone) and returns its ID.

    Raises: `OSError` when the server refuses something, which would be its fault.
    """
    ask = _Asker(server.url, user, password)
    if server.state.items.by_id(PROJECT, "project") is not None:
        return PROJECT
    ask("PUT", f"/data/projects/{PROJECT}", description="Sample project of the stand-in server")
    for study in ARCHIVED:
        _archive(ask, study)
    ask("POST", _import(ask, WAITING), action="build")
    session = f"/data/projects/{PROJECT}/subjects/SUBJ01/experiments/SUBJ01_MR1"
    note = b"Motion in the second series.\n"
    ask("PUT", f"{session}/resources/NOTES/files/note.txt", note, inbody="true", format="TXT")
    ask(
        "PUT",
        f"{session}/assessors/SUBJ01_MR1_QC",
        xsiType="xnat:qcManualAssessorData",
        date="2024-02-02",
    )
    readme = b"A project of invented subjects; nobody was scanned.\n"
    path = f"/data/projects/{PROJECT}/resources/DOCS/files/README.txt"
    ask("PUT", path, readme, inbody="true", format="TXT")
    return PROJECT


class _Asker:
    """Requests to the server, with a login."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}
        session = self("GET", "/data/JSESSION").decode()
        self._headers = {"Cookie": f"JSESSIONID={session}"}

    def __call__(self, method: str, path: str, body: bytes | None = None, **query: str) -> bytes:
        address = f"{self._url}{path}?{urllib.parse.urlencode(query)}"
        headers = dict(self._headers)
        if body is not None:
            zipped = body[:4] == b"PK\x03\x04"
            headers["Content-Type"] = f"application/{'zip' if zipped else 'octet-stream'}"
        request = urllib.request.Request(address, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            content: bytes = answer.read()
            return content


def _import(ask: _Asker, study: Study) -> str:
    """Sends a study and returns its row's address."""
    answer = ask(
        "POST",
        "/data/services/import",
        _zip(study),
        **{"import-handler": "DICOM-zip", "project": PROJECT, "subject": study.subject,
           "session": study.session},
    )  # fmt: skip
    return answer.decode().strip()


def _archive(ask: _Asker, study: Study) -> None:
    row = _import(ask, study)
    ask("POST", row, action="build")
    ask("POST", "/data/services/archive", src=row.removeprefix("/data"))


def _zip(study: Study) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in _slices(study):
            archive.writestr(name, data)
    return stream.getvalue()


def _slices(study: Study) -> Iterator[tuple[str, bytes]]:
    source = pydicom.data.get_testdata_file(_FILES[study.modality])
    image = pydicom.dcmread(str(source))
    image.PatientName, image.PatientID = study.subject, study.session
    image.StudyDate, image.StudyInstanceUID = study.date, _uid(study.session)
    for series, description in enumerate(study.series, start=1):
        image.SeriesNumber, image.SeriesDescription = series, description
        image.SeriesInstanceUID = _uid(study.session, series)
        for number in range(1, SLICES + 1):
            image.InstanceNumber = number
            image.SliceLocation = 3.0 * number
            image.SOPInstanceUID = _uid(study.session, series, number)
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            target = io.BytesIO()
            image.save_as(target)
            yield f"{series}/{number:03d}.dcm", target.getvalue()


def _uid(*parts: object) -> str:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"
