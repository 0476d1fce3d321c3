"""What was sent beside what the server holds: before archiving in a row, afterwards in an
experiment.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..dicom import Header
from ..exceptions import XNATIntegrityError, XNATValueError
from ..rest import contents, listings, prearchive
from ..rest.records import Experiment, File, PrearchiveRow

if TYPE_CHECKING:
    from ..connection.login import Connection

log = logging.getLogger(__name__)
_IMAGES = ("DICOM", "secondary")
"""The resources an import fills (wire contract B 1.6)."""


@dataclass(frozen=True, slots=True)
class Image:
    """One file on its way: `name` is the one it gets on the server, made of its SOPInstanceUID.

    A name that depends on the image alone makes sending again harmless: the same image overwrites
    itself (B 1.6), and arrival can be proven by names without opening a file.
    """

    name: str
    path: str
    size: int
    sop_uid: str = ""
    modified: int = 0


def make_images(files: Iterable[Header]) -> tuple[Image, ...]:
    """The images of a study's files.

    Raises XNATValueError when there is none, when one is not whole, names no SOPInstanceUID, or
    occurs
    twice: the server would keep one of two without a word.
    """
    images: dict[str, Image] = {}
    for header in files:
        if not header.whole:
            raise XNATValueError(
                f"{header.path} is {header.state} ({header.detail}) and is not sent; repair or "
                "remove it"
            )
        name = re.sub(r"[^0-9A-Za-z.-]", "_", header.sop_uid) + ".dcm"
        if not header.sop_uid or name in images:
            other = images[name].path if name in images else "no SOPInstanceUID"
            raise XNATValueError(f"{header.path} cannot be told apart from {other}; leave one out")
        images[name] = Image(name, header.path, header.size, header.sop_uid, header.modified)
    if not images:
        raise XNATValueError("there is no file to send")
    return tuple(images.values())


def refuse_changed(images: Iterable[Image]) -> None:
    """Raises XNATIntegrityError when a file is not the one whose header was read."""
    for image in images:
        try:
            facts = os.stat(image.path)
        except OSError as error:
            raise XNATIntegrityError(f"{image.path} cannot be read any more: {error}") from None
        if facts.st_size != image.size or (image.modified and facts.st_mtime_ns != image.modified):
            raise XNATIntegrityError(
                f"{image.path} changed since its header was read: read the folder again"
            )


@dataclass(frozen=True, slots=True)
class Arrival:
    """The comparison of what was sent with what is there.

    `renamed`: the server gives files names of its own (a site's template, anonymisation); then
    numbers are compared, names cannot be.
    """

    wanted: int
    found: int
    missing: tuple[str, ...] = ()
    renamed: bool = False

    @property
    def complete(self) -> bool:
        if self.renamed:
            return self.found >= self.wanted
        return not self.missing

    def __str__(self) -> str:
        if self.complete:
            return f"{self.found} files, {self.wanted} sent"
        few = ", ".join(self.missing[:3])
        return f"{self.found} files, {self.wanted} sent, missing {few or 'some'}"


def compare_names(wanted: Iterable[str], found: Iterable[str]) -> Arrival:
    """Compare names; pure."""
    want, have = set(wanted), list(found)
    held = set(have)
    if want and have and not want & held:
        return Arrival(len(want), len(have), renamed=True)
    return Arrival(len(want), len(have), tuple(sorted(want - held)))


def list_row_files(conn: Connection, row: PrearchiveRow) -> dict[str, list[tuple[str, int | None]]]:
    """Scan ID -> (base name, size) of the images of a built row.

    One request and two a scan. Raises XNATNotFoundError when the row is not built or gone.
    """
    found: dict[str, list[tuple[str, int | None]]] = {}
    for scan in prearchive.list_scans(conn, row):
        files = found.setdefault(scan.id, [])
        for resource in prearchive.list_resources(conn, row, scan.id):
            if resource.label in _IMAGES:
                listed = prearchive.list_scan_files(conn, row, scan.id, resource.label)
                files += [(file.path.rpartition("/")[2], file.size) for file in listed]
    return found


def list_archived_files(conn: Connection, experiment: Experiment) -> list[File]:
    """The images of an archived session, one request."""
    files = contents.list_session_files(conn, experiment.id)
    return [file for file in files if file.resource_label in _IMAGES]


def in_row(conn: Connection, row: PrearchiveRow, names: Iterable[str]) -> Arrival:
    """Whether a row holds all images, by name."""
    listed = list_row_files(conn, row)
    return compare_names(names, [name for files in listed.values() for name, _ in files])


def lacking(
    row_files: Mapping[str, Iterable[tuple[str, int | None]]], archived: Iterable[File]
) -> list[str]:
    """Names of files that a row holds and the archive does not, by name and size; pure."""
    row = Counter(pair for files in row_files.values() for pair in files)
    held = Counter((file.path.rpartition("/")[2], file.size) for file in archived)
    return sorted(name for name, _ in (row - held).elements())


@dataclass(frozen=True, slots=True)
class Proof:
    """What the archive holds beside what was sent. Empty lists and equal numbers are the proof.

    `proven` counts files whose MD5 is that of the file sent, `rewritten` those the server changed
    on its way in (anonymisation, decompression: B 1.6), `undigested` those it has no MD5 of.
    """

    experiment: str
    wanted: int
    found: int
    scans: int
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    proven: int = 0
    rewritten: int = 0
    undigested: int = 0
    renamed: bool = False

    @property
    def good(self) -> bool:
        return not self.missing and self.found >= self.wanted

    def __str__(self) -> str:
        told = f"{self.found} of {self.wanted} files in {self.scans} scans"
        if self.missing:
            return f"{told}, missing {', '.join(self.missing[:3])}"
        kinds = (
            (self.proven, "with the MD5 sent"),
            (self.rewritten, "rewritten by the server"),
            (self.undigested, "without a digest"),
            (len(self.surplus), "that were not sent"),
        )
        said = [f"{count} {what}" for count, what in kinds if count]
        return told + (f" ({', '.join(said)})" if said else "")


def prove(
    experiment: Experiment, wanted: Mapping[str, str], files: Iterable[File], scans: int
) -> Proof:
    """Compare the archive's listing with what was sent; pure.

    wanted: name -> MD5 in hex, "" when not known.
    """
    held = {file.path.rpartition("/")[2]: file for file in files}
    renamed = bool(wanted and held) and not set(wanted) & set(held)
    missing = () if renamed else tuple(sorted(set(wanted) - set(held)))
    surplus = () if renamed else tuple(sorted(set(held) - set(wanted)))
    known = [(held[name].digest, md5) for name, md5 in wanted.items() if name in held]
    return Proof(
        experiment.id,
        len(wanted),
        len(held),
        scans,
        missing,
        surplus,
        sum(bool(md5) and digest == md5 for digest, md5 in known),
        sum(bool(md5 and digest) and digest != md5 for digest, md5 in known),
        sum(not digest or not md5 for digest, md5 in known),
        renamed,
    )


def verify(conn: Connection, experiment: Experiment, wanted: Mapping[str, str]) -> Proof:
    """Prove that an archived session holds what was sent: two listings.

    wanted: name -> MD5 in hex, "" when not known; `Brought.sent` is such a mapping. Raises
    XNATIntegrityError when something is missing.
    """
    scans = listings.list_scans(conn, experiment.id)
    proof = prove(experiment, wanted, list_archived_files(conn, experiment), len(scans))
    if not proof.good:
        raise XNATIntegrityError(f"session {experiment.label} ({experiment.id}) holds {proof}")
    return proof


def verify_names(conn: Connection, experiment: Experiment, names: Iterable[str]) -> Proof:
    """Prove that an archived session holds as many files of each name as a row held before.

    For rows that others sent: nobody here knows a digest, and names may occur once a scan. Raises
    XNATIntegrityError when one is missing.
    """
    wanted = Counter(names)
    scans = listings.list_scans(conn, experiment.id)
    files = list_archived_files(conn, experiment)
    held = Counter(file.path.rpartition("/")[2] for file in files)
    missing = tuple(sorted((wanted - held).elements()))
    surplus = tuple(sorted((held - wanted).elements()))
    count, found = wanted.total(), held.total()
    proof = Proof(
        experiment.id, count, found, len(scans), missing, surplus, undigested=count - len(missing)
    )
    if not proof.good:
        raise XNATIntegrityError(f"session {experiment.label} ({experiment.id}) holds {proof}")
    return proof


def delete_proven(
    conn: Connection, experiment: Experiment, files: Iterable[Header], sent: Mapping[str, str]
) -> str:
    """Delete those files of a source whose very bytes were sent, or lie in the archive.

    Every file is hashed right before it is deleted: one that was corrected after it was sent has
    the same name on the server and other bytes, and may be the only copy. Copies and cut files are
    none of the study's files and stay.

    sent: name -> MD5 in hex of what was sent, "" when not known; `Brought.sent` is such a mapping.
    Returns what was done, in words. Raises XNATIntegrityError when a file is not the one whose
    header was read; nothing is deleted then.
    """
    images = make_images(files)
    refuse_changed(images)
    held = {
        file.path.rpartition("/")[2]: file.digest.lower()
        for file in list_archived_files(conn, experiment)
    }
    kept = []
    for image in images:
        known = {sent.get(image.name, ""), held[image.name]} if image.name in held else set()
        if _md5(image.path) in known:
            Path(image.path).unlink(missing_ok=True)
        else:
            kept.append(image.path)
    told = f"deleted {len(images) - len(kept)} of {len(images)} files of the source"
    if kept:
        told += (
            f"; kept {', '.join(kept[:3])}{' and others' if len(kept) > 3 else ''}: not proven to "
            f"be what was sent to {experiment.label} ({experiment.id}); compare them"
        )
        log.warning("%s", told)
    return told


def _md5(path: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
