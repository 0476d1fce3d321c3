"""Building a session out of the DICOM files of a prearchive folder (wire contract B 1.6).

A built session is a plain document that fits into JSON:

    {"xsi_type", "uid", "fields": {...}, "scans": [{"id", "xsi_type", "uid", "fields": {...},
      "resources": [{"label", "content", "format", "files": [{"path", "size", "uid", "number"}]}]}]}

`path` is relative to the resource's folder `SCANS/<id>/<label>/`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .dicom_import import Header, Unreadable, read_header

XNAT = "http://nrg.wustl.edu/xnat"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_NAMED = {
    *("CR", "CT", "DX", "ECG", "EPS", "ES", "GM", "HD", "IO", "MG", "MR", "NM", "OP", "OPT"),
    *("RF", "SM", "US", "XA", "XC"),
}
_RADIOTHERAPY = {"RTSTRUCT", "RTPLAN", "RTDOSE", "RTIMAGE", "RTRECORD"}
_NO_IMAGES = _RADIOTHERAPY | {"SR", "SEG", "KO", "PR", "AU", "REG"}
# A session of several modalities takes the type of the first of these it holds.
_PRECEDENCE = ("MR", "CT", "XA", "NM", "US", "MG", "DX", "CR")


class NoSession(Exception):
    """The folder holds no DICOM object, or objects of several studies."""


@dataclass
class _Scan:
    id: str
    files: list[tuple[Path, Header]] = field(default_factory=list)


class HeaderCache:
    """Headers of files already read, forgotten oldest first; safe for several threads."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, int, int], Header] = OrderedDict()

    def put(self, path: Path, header: Header) -> None:
        """Remembers what was read while the file arrived."""
        state = path.stat()
        with self._lock:
            self._known[(str(path), state.st_mtime_ns, state.st_size)] = header
            while len(self._known) > self._size:
                self._known.popitem(last=False)

    def read(self, path: Path) -> Header:
        """The header of a file.

        :raises Unreadable: it is no DICOM object.
        """
        state = path.stat()
        with self._lock:
            known = self._known.get((str(path), state.st_mtime_ns, state.st_size))
        if known is None:
            known = read_header(path)
            self.put(path, known)
        return known


def build_session(folder: Path, headers: HeaderCache, *, separate: str = "") -> dict[str, Any]:
    """Read every file below `SCANS` and say what session they make.

    Secondary captures and other non-images of a mixed scan move to its resource `secondary`.
    Files that are no DICOM objects are left where they are and are not mentioned.

    :param separate: the site's `separatePETMR`: `pet` makes PET sessions of PET/MR studies.
    :raises NoSession: nothing readable is there.
    """
    scans = [scan for scan in (_read_scan(d, headers) for d in _scan_folders(folder)) if scan]
    if not scans:
        raise NoSession("no DICOM files found in the session folder")
    documents = [_describe_scan(folder, scan) for scan in scans]
    first = scans[0].files[0][1]
    return {
        "xsi_type": _session_type(scans, separate),
        "uid": first["StudyInstanceUID"],
        "fields": _session_fields(first, documents),
        "scans": documents,
    }


def _scan_folders(folder: Path) -> list[Path]:
    root = folder / "SCANS"
    if not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if path.is_dir()]
    return sorted(
        folders,
        key=lambda p: (not p.name.isdigit(), int(p.name) if p.name.isdigit() else 0, p.name),
    )


def _read_scan(folder: Path, headers: HeaderCache) -> _Scan | None:
    scan = _Scan(folder.name)
    for path in sorted(folder.rglob("[!.]*")):  # hidden ones are being written
        if path.is_file() and not path.name.endswith("_catalog.xml"):
            try:
                scan.files.append((path, headers.read(path)))
            except Unreadable:
                continue
    return scan if scan.files else None


def _is_secondary(header: Header) -> bool:
    sop = header["SOPClassUID"]
    return sop == _SECONDARY or sop.startswith(_SECONDARY + ".")


def _modality(scan: _Scan) -> str:
    """The modality of a scan's images, `SC` when there is nothing but secondary captures."""
    primary = [h for _, h in scan.files if not _is_secondary(h)]
    if not primary:
        return "SC"
    images = [h for h in primary if h["Modality"] not in _NO_IMAGES]
    return (images or primary)[0]["Modality"].upper()


def scan_type(modality: str) -> str:
    """The scan xsiType of a modality."""
    if modality in _RADIOTHERAPY:
        return "xnat:rtImageScanData"
    special = {"PT": "pet", "SC": "sc", "SR": "sr", "SEG": "seg"}.get(modality)
    if special is None and modality in _NAMED:
        special = modality.lower()
    return f"xnat:{special or 'otherDicom'}ScanData"


def _session_type(scans: Iterable[_Scan], separate: str) -> str:
    found = {_modality(scan) for scan in scans}
    if {"PT", "MR"} <= found:
        return "xnat:petSessionData" if separate == "pet" else "xnat:petmrSessionData"
    if "PT" in found:
        return "xnat:petSessionData"
    for modality in (*_PRECEDENCE, *sorted(_NAMED - set(_PRECEDENCE))):
        if modality in found:
            return f"xnat:{modality.lower()}SessionData"
    if found & _RADIOTHERAPY:
        return "xnat:rtSessionData"
    if found == {"SR"}:
        return "xnat:srSessionData"
    return "xnat:otherDicomSessionData"


def _describe_scan(folder: Path, scan: _Scan) -> dict[str, Any]:
    modality = _modality(scan)
    mixed = {_belongs_apart(h, modality) for _, h in scan.files} == {True, False}
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, header in scan.files:
        apart = modality == "SC" or (mixed and _belongs_apart(header, modality))
        label = "secondary" if apart else "DICOM"
        groups.setdefault(label, []).append(_describe_file(folder, scan.id, label, path, header))
    main = next((h for _, h in scan.files if not _belongs_apart(h, modality)), scan.files[0][1])
    frames = sum(int(file["frames"]) for file in groups.get("DICOM", groups.get("secondary", [])))
    return {
        "id": scan.id,
        "xsi_type": scan_type(modality),
        "uid": main["SeriesInstanceUID"],
        "fields": _scan_fields(main, modality, frames),
        "resources": [
            {
                "label": label,
                "content": "RAW" if label == "DICOM" else "secondary",
                "format": "DICOM",
                "files": files,
            }
            for label, files in sorted(groups.items())
        ],
    }


def _belongs_apart(header: Header, modality: str) -> bool:
    if _is_secondary(header):
        return modality != "SC"
    return header["Modality"] in _NO_IMAGES and modality not in _NO_IMAGES


def _describe_file(
    folder: Path, scan: str, label: str, path: Path, header: Header
) -> dict[str, Any]:
    """One catalog entry; the file moves to the folder of its resource when it lies elsewhere."""
    home = folder / "SCANS" / scan / label
    if not path.is_relative_to(home):
        target = home / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        path = target
    frames = header["NumberOfFrames"]
    return {
        "path": path.relative_to(home).as_posix(),
        "size": path.stat().st_size,
        "uid": header["SOPInstanceUID"],
        "number": header["InstanceNumber"],
        "series": header["SeriesInstanceUID"],
        "frames": int(frames) if frames.isdigit() else 1,
    }


def _session_fields(header: Header, scans: list[dict[str, Any]]) -> dict[str, Any]:
    modalities = sorted(
        {scan["fields"]["modality"] for scan in scans if scan["fields"].get("modality")}
    )
    fields: dict[str, Any] = {
        "date": _date(header["StudyDate"] or header["SeriesDate"]),
        "time": _time(header["StudyTime"] or header["SeriesTime"]),
        "acquisition_site": header["InstitutionName"],
        "scanner": header["StationName"],
        "scanner/manufacturer": header["Manufacturer"],
        "scanner/model": header["ManufacturerModelName"],
        "session_type": header["StudyDescription"],
        "modality": ", ".join(modalities),
        "UID": header["StudyInstanceUID"],
        "dcmAccessionNumber": header["AccessionNumber"],
        "dcmPatientId": header["PatientID"],
        "dcmPatientName": header["PatientName"].split("=")[0],
        "study_id": "",
    }
    strength = next(
        (s["fields"].get("fieldStrength") for s in scans if "fieldStrength" in s["fields"]), ""
    )
    if strength:
        fields["fieldStrength"] = strength
    return {key: value for key, value in fields.items() if value != ""}


def _scan_fields(header: Header, modality: str, frames: int) -> dict[str, Any]:
    """Fields in the order of the schema; numbers are numbers, absent ones are left out."""
    fields: dict[str, Any] = {
        "type": header["SeriesDescription"],
        "UID": header["SeriesInstanceUID"],
        "quality": "usable",
        "series_description": header["SeriesDescription"],
        "scanner": header["StationName"],
        "scanner/manufacturer": header["Manufacturer"],
        "scanner/model": header["ManufacturerModelName"],
        "modality": header["Modality"],
        "frames": frames,
        "startTime": _time(header["SeriesTime"]),
    }
    if modality == "MR":
        spacing = header["PixelSpacing"].split("\\")
        strength = header.first("MagneticFieldStrength")
        numbers = {
            "parameters/voxelRes/x": spacing[-1],
            "parameters/voxelRes/y": spacing[0],
            "parameters/voxelRes/z": header.first("SliceThickness"),
            "parameters/tr": header.first("RepetitionTime"),
            "parameters/te": header.first("EchoTime"),
            "parameters/ti": header.first("InversionTime"),
            "parameters/flip": header.first("FlipAngle"),
        }
        fields["fieldStrength"] = strength
        fields.update({key: _number(text) for key, text in numbers.items()})
    return {key: value for key, value in fields.items() if value not in ("", None)}


def _number(text: str) -> float | int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else value


def _date(text: str) -> str:
    digits = text.replace(".", "")
    return (
        f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
        if len(digits) >= 8 and digits[:8].isdigit()
        else ""
    )


def _time(text: str) -> str:
    digits = text.replace(":", "").partition(".")[0]
    return (
        f"{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
        if len(digits) >= 6 and digits[:6].isdigit()
        else ""
    )


# --- the session document --------------------------------------------------------------------

_ROOTS = {
    "xnat:otherDicomSessionData": "OtherDicomSession",
    "xnat:petmrSessionData": "PETMRSession",
}


def root_element(xsi_type: str) -> str:
    """The document's root element of a session type, e.g. `MRSession`."""
    short = xsi_type.removeprefix("xnat:").removesuffix("SessionData")
    return _ROOTS.get(xsi_type, f"{short.upper()}Session")


def session_xml(built: Mapping[str, Any], *, project: str, subject: str, label: str) -> bytes:
    """The XML document of a prearchive session: the archive's schema, without an ID."""
    ElementTree.register_namespace("xnat", XNAT)
    ElementTree.register_namespace("xsi", XSI)
    root = ElementTree.Element(f"{{{XNAT}}}{root_element(built['xsi_type'])}")
    for key, value in (("project", project), ("label", label), ("UID", built["uid"])):
        if value:
            root.set(key, value)
    fields = dict(built["fields"])
    late = {
        key: fields.pop(key)
        for key in (
            "dcmAccessionNumber",
            "dcmPatientId",
            "dcmPatientName",
            "session_type",
            "modality",
            "fieldStrength",
        )
        if key in fields
    }
    fields.pop("UID", None)
    _append_fields(
        root, {k: v for k, v in fields.items() if k in ("date", "time", "acquisition_site")}
    )
    if subject:
        _append(root, "subject_ID", subject)
    _append_fields(root, {k: v for k, v in fields.items() if k.startswith("scanner")})
    _append_fields(root, late)
    scans = ElementTree.SubElement(root, f"{{{XNAT}}}scans")
    for scan in built["scans"]:
        _append_scan(scans, scan)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root)


def _append(parent: ElementTree.Element, name: str, text: object) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, f"{{{XNAT}}}{name}")
    child.text = str(text)
    return child


def _append_fields(parent: ElementTree.Element, fields: Mapping[str, Any]) -> None:
    """Nested fields; `scanner/model` is an attribute of `scanner`, the rest are elements."""
    attributes = {"scanner": ("manufacturer", "model"), "voxelRes": ("x", "y", "z")}
    for key, value in fields.items():
        *path, name = key.split("/")
        node = parent
        for step in path:
            found = node.find(f"{{{XNAT}}}{step}")
            node = found if found is not None else ElementTree.SubElement(node, f"{{{XNAT}}}{step}")
        if path and name in attributes.get(path[-1], ()):
            node.set(name, str(value))
        else:
            _append(node, name, value)


def _append_scan(parent: ElementTree.Element, scan: Mapping[str, Any]) -> None:
    node = ElementTree.SubElement(parent, f"{{{XNAT}}}scan", {"ID": scan["id"]})
    fields = dict(scan["fields"])
    for name in ("type", "UID"):
        if name in fields:
            node.set(name, fields.pop(name))
    node.set(f"{{{XSI}}}type", scan["xsi_type"])
    _append_fields(node, fields)
    for resource in scan["resources"]:
        files = resource["files"]
        ElementTree.SubElement(
            node,
            f"{{{XNAT}}}file",
            {
                "label": resource["label"],
                "URI": f"SCANS/{scan['id']}/{resource['label']}/scan_{scan['id']}_catalog.xml",
                "format": resource["format"],
                "content": resource["content"],
                "file_count": str(len(files)),
                "file_size": str(sum(file["size"] for file in files)),
                f"{{{XSI}}}type": "xnat:resourceCatalog",
            },
        )
