"""Resources and their files as targets: there, and the same as they were."""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from ..exceptions import XNATIntegrityError, XNATNotFoundError, XNATValueError
from ..rest import absence, contents, listings
from ..rest.files import download
from ..rest.records import File
from ..transfer import single, upload
from ..uris import Address
from .remote import XnatTarget

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "OWN_NAMES",
    "RECORD_NAME",
    "SEAL_NAME",
    "Compared",
    "FileTarget",
    "PendingFile",
    "PlacedTarget",
    "ResourceTarget",
    "fingerprint",
]

RECORD_NAME = "provenance.json"
SEAL_NAME = "provenance.seal"
OWN_NAMES = frozenset({RECORD_NAME, SEAL_NAME})
"""Files beside the result of a step that say where it came from; no part of what it is."""

POLICIES = ("size", "fail")
SPOOL = 16 * 1024 * 1024


class Compared(Enum):
    """By what a resource was found equal to its fingerprint, or why it was not."""

    ABSENT = "absent"
    PRESENT = "present, nothing to compare with"
    BY_DIGEST = "equal by path, size and digest"
    BY_SIZE = "equal by path and size, digests absent"
    DIFFERENT = "different"


def fingerprint(files: Iterable[File]) -> str:
    """A resource's files in one word: `v1:COUNT:BYTES:SIZES:DIGESTS`.

    `SIZES` is the SHA-256 (first 32 hex digits) over paths and sizes, `DIGESTS` over paths, sizes
    and MD5 digests, or `-` when a digest or a size is missing: the word says itself what it proves.
    """
    rows = sorted((file.path, file.size, file.md5) for file in files)
    by_size = hashlib.sha256()
    by_digest = hashlib.sha256()
    complete = True
    for path, size, digest in rows:
        by_size.update(f"{path}\0{size}\n".encode())
        by_digest.update(f"{path}\0{size}\0{digest}\n".encode())
        complete = complete and size is not None and bool(digest)
    total = sum(size or 0 for _, size, _ in rows)
    digests = by_digest.hexdigest()[:32] if complete else "-"
    return f"v1:{len(rows)}:{total}:{by_size.hexdigest()[:32]}:{digests}"


@dataclass(frozen=True)
class PlacedTarget(XnatTarget):
    """Something below an item that is named by ids or labels.

    Args:
        project: project ID. With the other fields empty: the project's own resource.
        experiment, scan, assessor, subject: the item, each by ID or label (scans by ID). In an
            assessor's label `{session}` stands for the label of its session.
        direction: `in` or `out` of an assessor.
        resource: label of the resource.
    """

    project: str
    resource: str
    subject: str = ""
    experiment: str = ""
    scan: str = ""
    assessor: str = ""
    direction: str = "out"

    def address(self, connection: Connection) -> Address | None:
        """The resource's address by ids, None when the item itself is absent.

        A wrong parent answers with *its* parent's rows (wire contract A 6.1), so labels are turned
        into ids that are known to exist before anything is asked below them.
        """
        if self.experiment:
            return self._of_experiment(connection)
        if self.subject:
            found = absence.find_subject(connection, self.project, self.subject)
            return None if found is None else Address(project=self.project, subject=found.id)
        if not absence.project_exists(connection, self.project):
            return None
        return Address(project=self.project)

    def assessor_label(self, session: str) -> str:
        """The assessor's label or ID in a session of this label; odd letters become `_`."""
        return self.assessor.replace("{session}", re.sub(r"[^A-Za-z0-9_-]", "_", session))

    def _of_experiment(self, connection: Connection) -> Address | None:
        found = absence.find_experiment(connection, self.project, self.experiment)
        if found is None:
            return None
        if self.assessor:
            wanted = self.assessor_label(found.label)
            for row in listings.list_assessors(connection, found.id):
                if wanted in (row.id, row.label):
                    return Address(experiment=found.id, assessor=row.id, direction=self.direction)
            return None
        if self.scan:
            there = absence.scan_exists(connection, found.id, self.scan)
            return Address(experiment=found.id, scan=self.scan) if there else None
        return Address(experiment=found.id)


@dataclass(frozen=True)
class ResourceTarget(PlacedTarget):
    """Exists when the resource does and, if a fingerprint is given, equals it.

    Args:
        fingerprint: what `fingerprint()` said of the files it should have; empty for «any».
        policy: what to do when the server has no digests but the fingerprint has: `size` compares
            paths and sizes (`compare()` says so), `fail` raises.
    """

    fingerprint: str = ""
    policy: str = "size"

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise XNATValueError(f"policy {self.policy!r} is none of {', '.join(POLICIES)}")
        if self.fingerprint and self.fingerprint.count(":") != 4:
            raise XNATValueError(f"{self.fingerprint!r} is no fingerprint of a resource")

    def exists(self) -> bool:
        return self.compare() not in (Compared.ABSENT, Compared.DIFFERENT)

    def compare(self) -> Compared:
        """How the resource stands to the fingerprint, and by which proof."""
        files = self.list()
        if files is None:
            return Compared.ABSENT
        if not self.fingerprint:
            return Compared.PRESENT
        there = fingerprint(files)
        *wanted, wanted_digests = self.fingerprint.split(":")
        *found, found_digests = there.split(":")
        if wanted != found:
            return Compared.DIFFERENT
        if "-" not in (wanted_digests, found_digests):
            same = wanted_digests == found_digests
            return Compared.BY_DIGEST if same else Compared.DIFFERENT
        if self.policy == "fail":
            raise XNATIntegrityError(
                f"{self.server}: resource {self.resource} has no digests to compare; refresh its "
                "catalog with checksums, or choose policy size"
            )
        return Compared.BY_SIZE

    def files(self) -> tuple[File, ...]:
        """The files the resource holds now; XNATNotFoundError when it is absent."""
        files = self.list()
        if files is None:
            raise XNATNotFoundError(f"there is no resource {self.resource}: {self}")
        return files

    def list(self) -> tuple[File, ...] | None:
        """The files; None when the resource or its item is absent."""
        found = self.read()
        return None if found is None else found[1]

    def read(self) -> tuple[Address, tuple[File, ...]] | None:
        """The place by ids and the files; None when the resource or its item is absent.

        Rows whose addresses lie in our place prove that it exists: that takes two requests. Only
        an empty answer is looked into.
        """
        quick = self._read_quickly()
        if quick is not None:
            return quick
        connection = self.connect()
        place = self.address(connection)
        if place is None or absence.find_resource(connection, place, self.resource) is None:
            return None
        return place, tuple(contents.list_files(connection, place, self.resource))

    def _read_quickly(self) -> tuple[Address, tuple[File, ...]] | None:
        if not self.experiment or self.assessor:
            return None
        connection = self.connect()
        found = absence.find_experiment(connection, self.project, self.experiment)
        if found is None:
            return None
        place = Address(experiment=found.id, scan=self.scan or None)
        try:
            files = contents.list_files(connection, place, self.resource)
        except XNATNotFoundError:
            return None
        if len({file.resource_id for file in files}) != 1:
            return None  # nothing there, or two resources of one label
        return place, tuple(files)


@dataclass(frozen=True)
class FileTarget(PlacedTarget):
    """One file in a resource, that can be read and written like a local Luigi target.

    Args:
        path: the file's whole path within the resource.
    """

    path: str = ""

    def __post_init__(self) -> None:
        if not self.path:
            raise XNATValueError("a FileTarget needs the path of a file within its resource")

    def find(self) -> File | None:
        """The file's row, None when the file, its resource or its item is absent."""
        connection = self.connect()
        place = self.address(connection)
        if place is None:
            return None
        return absence.find_file(connection, place, self.resource, self.path)

    def exists(self) -> bool:
        return self.find() is not None

    @overload
    def open(self, mode: Literal["r", "rb"] = "r") -> IO[Any]: ...

    @overload
    def open(self, mode: Literal["w", "wb"]) -> PendingFile: ...

    def open(self, mode: str = "r") -> IO[Any] | PendingFile:
        """Opens the file.

        Args:
            mode: `r` and `w` for UTF-8 text, `rb` and `wb` for bytes.

        Reading fetches the whole file first and compares size and digest with the listing
        (XNATIntegrityError). What is written is uploaded when the file is closed and verified by
        a listing; nothing is uploaded when an exception leaves the `with` block.
        """
        if mode in ("r", "rb"):
            file = self._fetch()
            return file if mode == "rb" else io.TextIOWrapper(file, encoding="utf-8")
        if mode in ("w", "wb"):
            return PendingFile(self, text=mode == "w")
        raise XNATValueError(f"mode {mode!r} is none of r, rb, w, wb")

    def store(self, source: Path) -> None:
        """Uploads a local file to this place, replacing what is there, and proves it by a listing.

        Raises XNATUploadError when the listing does not show what was sent, XNATNotFoundError when
        the item the resource belongs to is absent.
        """
        connection = self.connect()
        place = self.address(connection)
        if place is None:
            raise XNATNotFoundError(f"there is no item to hold the file: {self}")
        sending = upload.make_sending(self.path, source)
        upload.upload_files(connection, place, self.resource, [sending], overwrite=True)

    def _fetch(self) -> IO[bytes]:
        row = self.find()
        if row is None:
            raise XNATNotFoundError(f"{self.server}: there is no file {self.path} at {self}")
        file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
        try:
            single.in_tries(lambda: self._fill(file, row))
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def _fill(self, file: IO[bytes], row: File) -> None:
        file.seek(0)
        file.truncate()
        md5 = hashlib.md5(usedforsecurity=False)
        size = 0
        with download.open_file(self.connect(), row.uri) as stream:
            for chunk in stream.chunks():
                md5.update(chunk)
                size += len(chunk)
                file.write(chunk)
        if row.size not in (None, size) or row.md5 not in ("", md5.hexdigest()):
            raise XNATIntegrityError(
                f"{self.server}: {self.path} came with {size} bytes, MD5 {md5.hexdigest()}; "
                f"the listing says {row.size} bytes, MD5 {row.md5 or 'unknown'}"
            )


class PendingFile:
    """A file being written that reaches the server when it is closed, whole or not at all."""

    def __init__(self, target: FileTarget, *, text: bool) -> None:
        self._target = target
        self._raw = tempfile.NamedTemporaryFile()  # noqa: SIM115  closed by close()
        self._file: IO[Any] = (
            io.TextIOWrapper(self._raw, encoding="utf-8", newline="") if text else self._raw
        )

    def write(self, data: Any) -> int:
        """Writes text or bytes, as the file was opened."""
        return self._file.write(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Writes one after the other."""
        for line in lines:
            self.write(line)

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        """Uploads what was written, replacing the file of this path, and proves it by a listing."""
        if self._file.closed:
            return
        try:
            self._file.flush()
            self._target.store(Path(self._raw.name))
        finally:
            self.abort()

    def abort(self) -> None:
        """Forgets what was written; nothing is uploaded."""
        self._file.close()
        self._raw.close()

    def __enter__(self) -> PendingFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        if not self._file.closed:
            self.abort()
