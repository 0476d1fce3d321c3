"""What an arriving DICOM object says about itself: header, routing, scan, file name.

Wire contract B 1.5 and 1.6. Nothing here knows HTTP, rows or folders; `receiving.py` does.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pydicom
from pydicom import charset
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

KEYWORDS = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "SeriesDate",
    "StudyTime",
    "SeriesTime",
    "AccessionNumber",
    "Modality",
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "StudyDescription",
    "SeriesDescription",
    "ManufacturerModelName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AdditionalPatientHistory",
    "PatientComments",
    "SliceThickness",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "MagneticFieldStrength",
    "FlipAngle",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "StudyComments",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
)
_TAGS = [tag for tag in map(tag_for_keyword, KEYWORDS) if tag is not None]
_NUMBERS = {"US": "H", "UL": "I", "SS": "h", "SL": "i", "FL": "f", "FD": "d"}

VALID_LABEL = re.compile(r"[A-Za-z0-9_-]+\Z")
_VALID_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_DEFAULT_TEMPLATE = (
    "${StudyInstanceUID}-${SeriesNumber}-${InstanceNumber}-${HashSOPClassUIDWithSOPInstanceUID}.dcm"
)


class Unreadable(Exception):
    """Bytes that are no DICOM object."""


@dataclass(frozen=True)
class Header:
    """The elements of one DICOM object that decide where it goes, as text.

    `first("MagneticFieldStrength")` is the first of several values, "" where there is none.
    """

    values: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, keyword: str) -> str:
        return self.values.get(keyword, "")

    def first(self, keyword: str) -> str:
        return self[keyword].split("\\", 1)[0].strip()


def read_header(source: bytes | Path | IO[bytes]) -> Header:
    """Read what we need of an object, stopping before the pixels.

    Objects without the 128 byte preamble are accepted when they carry the four UIDs of a real
    object, as the server's own reader does.

    :raises Unreadable: these bytes are no DICOM object with a study and an instance UID.
    """
    for force in (False, True):
        stream: Any = io.BytesIO(source) if isinstance(source, bytes) else source
        if not isinstance(source, bytes | Path):
            source.seek(0)
        try:
            dataset = pydicom.dcmread(
                stream, stop_before_pixels=True, specific_tags=list(_TAGS), force=force
            )
            values = {}
            encodings = _encodings(_text(dataset, tag_for_keyword("SpecificCharacterSet"), []))
            for element_tag in list(dataset.keys()):
                keyword = keyword_for_tag(element_tag)
                values[keyword] = _text(dataset, element_tag, encodings)
        except Exception:  # pydicom raises many kinds on bytes that are no DICOM
            continue
        header = Header(values)
        if header["StudyInstanceUID"] and header["SOPInstanceUID"] and header["SOPClassUID"]:
            return header
    raise Unreadable("not a DICOM object")


def _encodings(names: str) -> list[str]:
    found = [charset.python_encoding.get(name.strip(), "") for name in names.split("\\")]
    return [name for name in found if name]


def _text(dataset: pydicom.Dataset, tag: Any, encodings: list[str]) -> str:
    """An element's value as text, read from its raw bytes: no validation, no warnings."""
    if tag is None or tag not in dataset:
        return ""
    element: Any = dataset.get_item(tag)
    value = element.value
    if value is None:
        return ""
    if not isinstance(value, bytes):
        parts = value if isinstance(value, list | tuple | pydicom.multival.MultiValue) else [value]
        return "\\".join(str(part) for part in parts).strip()
    vr = element.VR or dictionary_VR(tag)
    if vr in _NUMBERS:
        little = getattr(element, "is_little_endian", True)
        pattern = ("<" if little else ">") + _NUMBERS[vr]
        size = struct.calcsize(pattern)
        whole = len(value) // size * size
        return "\\".join(str(n[0]) for n in struct.iter_unpack(pattern, value[:whole]))
    for encoding in [*encodings[::-1], "latin-1"]:
        try:
            return value.decode(encoding).strip(" \0\r\n\t")
        except (UnicodeDecodeError, LookupError):
            continue
    return value.decode("latin-1").strip(" \0")


# --- routing --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Route:
    """Where an object belongs. `project` "" means `Unassigned`; `auto` None: headers are silent."""

    project: str
    subject: str
    session: str
    auto: bool | None


def clean_label(text: str) -> str:
    """A label made from a header: every other character becomes `_` (B 1.6, unverified)."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text.strip())


def route(
    header: Header,
    parameters: Mapping[str, str],
    find_project: Callable[[str], str],
    receiver_project: Callable[[str], str] | None = None,
) -> Route:
    """Decide project, subject and session of an object (wire contract B 1.6).

    :param parameters: `project`, `subject`, `session` as sent, taken uncleaned.
    :param find_project: the project ID for an ID or alias the *caller* may create in, or "".
    :param receiver_project: the same for values from headers, looked up as the site's receiver.
    """
    receiver_project = receiver_project or find_project
    project = find_project(parameters["project"]) if parameters.get("project") else ""
    if not project:
        project = _header_project(header, receiver_project)
    subject = parameters.get("subject") or clean_label(
        _comment(header, "Subject") or header["PatientName"].split("=")[0]
    )
    session = parameters.get("session") or clean_label(
        _comment(header, "Session") or header["PatientID"]
    )
    auto = _comment(header, "AA", r"true|t|false|f")
    return Route(
        project=project,
        subject=subject,
        session=session or "dicom_upload",
        auto=None if not auto else auto.lower().startswith("t"),
    )


def _header_project(header: Header, find_project: Callable[[str], str]) -> str:
    candidates = [
        _comment(header, "Project"),
        header["StudyDescription"],
        header["AccessionNumber"],
    ]
    for candidate in candidates:
        found = find_project(candidate) if candidate else ""
        if found:
            return found
    return ""


def _comment(header: Header, word: str, value: str = r"[\w-]+") -> str:
    pattern = re.compile(rf"(?:^|[;,\s]){word}:\s*({value})(?=$|[;,\s])", re.IGNORECASE)
    for keyword in ("PatientComments", "StudyComments", "AdditionalPatientHistory"):
        found = pattern.search(header[keyword])
        if found:
            return found.group(1)
    return ""


def scan_id(header: Header) -> str:
    """SeriesNumber where it is a valid file name, else the cleaned series UID, else `NA`."""
    number = header["SeriesNumber"]
    if number and VALID_LABEL.match(number):
        return number
    uid = header["SeriesInstanceUID"]
    return re.sub(r"[^A-Za-z0-9_-]", "_", uid) if uid else "NA"


def is_valid_file_name(name: str) -> bool:
    """Whether a file may keep its name; one that looks like a catalog or is hidden may not."""
    plain = bool(_VALID_FILE_NAME.match(name)) and not name.startswith(".")
    return plain and len(name) <= 200 and not name.endswith("_catalog.xml")


def template_name(header: Header, template: str = "") -> str:
    """A file name by template: `${Keyword}`, and `${HashAWithB}` for a short hash of two UIDs.

    The hash's alphabet on a real server is not determined; it is stable here for equal UIDs.
    """

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        hashed = re.fullmatch(r"Hash(\w+?)With(\w+)", name)
        if hashed:
            seed = (header[hashed.group(1)] + header[hashed.group(2)]).encode()
            return _base36(int.from_bytes(hashlib.sha256(seed).digest()[:5], "big"))
        return header.first(name) or "null"

    filled = re.sub(r"\$\{(\w+)\}", fill, template or _DEFAULT_TEMPLATE)
    return re.sub(r"[^A-Za-z0-9_.-]", "_", filled)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits or "0"


# --- archives -------------------------------------------------------------------------------


class UnsupportedFormat(Exception):
    """An archive's name or bytes that DICOM-zip does not take."""


def archive_format(name: str) -> str:
    """`zip`, `tar`, `tgz` by a case-sensitive suffix, or "" (`.gz` alone is refused too)."""
    for kind, suffixes in (
        ("tar", (".tar", ".xar")),
        ("tgz", (".tgz", ".tar.gz")),
        ("zip", (".zip", ".zar")),
    ):
        if name.endswith(suffixes):
            return kind
    return ""


def archive_entries(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Every file of an archive as (base name, bytes); nested archives are entered.

    :raises UnsupportedFormat: neither the name's suffix nor the bytes are an archive.
    """
    kind = archive_format(name)
    if not kind:
        raise UnsupportedFormat(f"Unsupported format {name}")
    with path.open("rb") as stream:
        yield from _entries(stream, kind, name)


def _entries(stream: IO[bytes], kind: str, name: str) -> Iterator[tuple[str, bytes]]:
    reader = _zip_entries if kind == "zip" else _tar_entries
    for entry, data in reader(stream, kind, name):
        base = PurePosixPath(entry.replace("\\", "/")).name
        inner = archive_format(base)
        if inner:
            yield from _entries(io.BytesIO(data), inner, base)
        elif base:
            yield base, data


def _zip_entries(stream: IO[bytes], _kind: str, name: str) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield info.filename, archive.read(info)
    except Exception as error:  # damage and encryption raise a dozen kinds
        raise UnsupportedFormat(f"unable to read {name}: {error}") from error


def _tar_entries(stream: IO[bytes], kind: str, name: str) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=stream, mode="r:gz" if kind == "tgz" else "r:") as archive:
            for member in archive:
                opened = archive.extractfile(member) if member.isfile() else None
                if opened is not None:
                    yield member.name, opened.read()
    except Exception as error:  # damage raises many kinds
        raise UnsupportedFormat(f"unable to read {name}: {error}") from error
