"""Whether a prearchive row may go to the archive: labels and findings (wire contract B 3.2 to 3.5).

The dry run (`validate-archive`) lists the findings; the archive job stops at the first that counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .state.prearchive import UNASSIGNED, Row

__all__ = [
    "ArchiveOrder",
    "Existing",
    "Finding",
    "Labels",
    "check",
    "match_scan",
    "resolve_labels",
    "stopping",
]

_PUNCTUATION = re.compile(r"[\s!-/:-@\[-`{-~]")
_KEPT = frozenset("-_!")
_LABEL = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass
class ArchiveOrder:
    """What an archive call asks for.

    :ivar fields: other XML paths, e.g. `xnat:mrSessionData/note`.
    :ivar override: `overwrite=append|delete` of a single `src`, `delete` of several (B 3.3).
    :ivar merge: whether an existing session may take more data.
    :ivar replace_files: same-named files are replaced.
    """

    user: str
    project: str = ""
    subject: str = ""
    session: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    override: bool = False
    merge: bool = True
    replace_files: bool = False
    quarantine: bool = False
    trigger_pipelines: bool = True
    tracking_key: str = ""


@dataclass(frozen=True)
class Labels:
    project: str
    subject: str
    session: str


@dataclass(frozen=True)
class Existing:
    """The experiment that already has the label, as far as the checks need it.

    :ivar scans: scan ID -> (series UID, {relative path: SOP UID or ""} over its DICOM resources).
    """

    subject_label: str
    subject_id: str
    xsi_type: str
    uid: str
    scans: Mapping[str, tuple[str, Mapping[str, str]]]
    open_workflow: str = ""


@dataclass(frozen=True)
class Finding:
    """One line of the dry run. `kind` is WARN, FAIL or CONFLICT.

    :ivar stops: what the real archive does about it: "" nothing, `CONFLICT` or `ERROR`.
    """

    code: int
    kind: str
    message: str
    stops: str = ""


def clean(text: str) -> str:
    """Blanks and ASCII punctuation except `-` `_` `!` become `_`; others stay and fail later."""
    return _PUNCTUATION.sub(lambda m: m.group() if m.group() in _KEPT else "_", text)


def resolve_labels(row: Row, order: ArchiveOrder) -> Labels:
    """The labels in the server's order of precedence (B 3.2)."""
    built: Mapping[str, Any] = row.built
    fields = order.fields
    xsi_type = str(built.get("xsi_type", ""))
    session = (
        order.session
        or fields.get(f"{xsi_type}/label", "")
        or fields.get("EXPT_LABEL", "")
        or fields.get("label", "")
        or row.name
        or row.folder
    )
    dicom_name = str(built.get("fields", {}).get("dcmPatientName", ""))
    subject = order.subject or fields.get("SUBJECT_ID", "") or row.subject or dicom_name
    project = order.project or ("" if row.project == UNASSIGNED else row.project)
    return Labels(project, clean(subject), clean(session))


def check(
    row: Row,
    labels: Labels,
    order: ArchiveOrder,
    existing: Existing | None,
    *,
    place: Path,
    cross_modality: bool,
) -> list[Finding]:
    """Everything there is to say about archiving this row now.

    :param cross_modality: the site's `preventCrossModalityMerge`.
    """
    found = list(_label_findings(labels))
    found += _file_findings(row, place, waived=order.override)
    if existing is not None:
        found += _merge_findings(row, labels, order, existing, cross_modality)
    return found


def stopping(findings: Iterable[Finding]) -> Finding | None:
    """The finding that stops the real archive, conflicts before errors."""
    found = list(findings)
    for kind in ("CONFLICT", "ERROR"):
        for finding in found:
            if finding.stops == kind:
                return finding
    return None


def _label_findings(labels: Labels) -> Iterable[Finding]:
    if not labels.project:
        yield Finding(6, "FAIL", "Unable to identify destination project.", "ERROR")
    if not labels.session:
        yield Finding(8, "FAIL", "Unable to identify label for session.", "ERROR")
    elif not _LABEL.match(labels.session):
        yield Finding(13, "FAIL", f"Invalid character in session label: {labels.session}", "ERROR")
    if not labels.subject:
        yield Finding(11, "FAIL", "Unable to identify subject.", "ERROR")
    elif not _LABEL.match(labels.subject):
        yield Finding(13, "FAIL", f"Invalid character in subject label: {labels.subject}", "ERROR")


def _file_findings(row: Row, place: Path, *, waived: bool) -> Iterable[Finding]:
    """Strange files (20), scans without files (21) and doubled objects (22)."""
    known = set()
    stops = "" if waived else "ERROR"
    for scan in row.built.get("scans", []):
        uids: set[str] = set()
        for resource in scan["resources"]:
            for entry in resource["files"]:
                known.add(Path(scan["id"], resource["label"], entry["path"]))
                if entry["uid"] in uids:
                    message = f"Scan {scan['id']} contains duplicate SOP instance UIDs."
                    yield Finding(22, "WARN", message, stops)
                uids.add(entry["uid"])
    root = place / "SCANS"
    on_disk = (
        {p.relative_to(root) for p in root.rglob("[!.]*") if p.is_file()}
        if root.is_dir()
        else set()
    )
    strange = sorted(p for p in on_disk - known if not p.name.endswith("_catalog.xml"))
    if strange:
        message = (
            f"Session contains {len(strange)} file(s) that no catalog references: {strange[0]}"
        )
        yield Finding(20, "WARN", message, stops)
    if known - on_disk:
        yield Finding(21, "WARN", "Session document references files that do not exist.", stops)


def _merge_findings(
    row: Row, labels: Labels, order: ArchiveOrder, existing: Existing, cross_modality: bool
) -> Iterable[Finding]:
    pre = "Session already exists, retry with overwrite enabled"
    stops = "" if order.merge else "CONFLICT"
    yield Finding(1, "WARN" if order.merge else "CONFLICT", pre, stops)
    if labels.subject not in {existing.subject_label, existing.subject_id}:
        message = f"{labels.subject}: {labels.session} Already Exists for another Subject"
        yield Finding(4, "CONFLICT", message, "CONFLICT")
    xsi_type = row.built.get("xsi_type", "")
    if existing.xsi_type != xsi_type and cross_modality:
        message = f"{xsi_type} and {existing.xsi_type}: Data may require a manual merge."
        yield Finding(19, "CONFLICT", message, "CONFLICT")
    lenient = "" if order.override else "CONFLICT"
    kind = "WARN" if order.override else "CONFLICT"
    if existing.uid and row.tag and existing.uid != row.tag:
        message = (
            f"Invalid modification of session UID via archive process. {existing.uid} -> {row.tag}"
        )
        yield Finding(5, kind, message, lenient)
    if existing.open_workflow:
        message = f"Session processing may already be in progress: {existing.open_workflow}"
        yield Finding(10, kind, message, lenient)
    yield from _scan_findings(row, order, existing)


def match_scan(scan: Mapping[str, Any], existing: Existing) -> str:
    """What an incoming scan is to the session: `same`, `renamed`, `moved` or `new`."""
    for number, (uid, _) in existing.scans.items():
        if number == scan["id"]:
            return "same" if not uid or not scan["uid"] or uid == scan["uid"] else "renamed"
    uids = {uid for uid, _ in existing.scans.values() if uid}
    return "moved" if scan["uid"] in uids else "new"


def _scan_findings(row: Row, order: ArchiveOrder, existing: Existing) -> Iterable[Finding]:
    replace = order.override or order.replace_files
    for scan in row.built.get("scans", []):
        number, kind = scan["id"], match_scan(scan, existing)
        if kind == "renamed":
            yield Finding(17, "WARN", f"Scan {number} is there with another UID; will be renamed.")
        elif kind == "moved":
            severe = "" if order.override else "CONFLICT"
            message = f"Scan {number} is there under another scan number."
            yield Finding(18, "WARN" if order.override else "CONFLICT", message, severe)
        elif kind == "same":
            yield Finding(16, "WARN", f"Scan {number} is there with the same UID.")
            if not replace and _overlap(scan, existing.scans[number][1]):
                message = "Session already exists with matching files."
                yield Finding(14, "CONFLICT", message, "CONFLICT")


def _overlap(scan: Mapping[str, Any], files: Mapping[str, str]) -> bool:
    """Whether a path or an object of the incoming scan is there already."""
    uids = set(files.values()) - {""}
    return any(
        f"{resource['label']}/{entry['path']}" in files or entry["uid"] in uids
        for resource in scan["resources"]
        for entry in resource["files"]
    )
