"""The DICOM inbox: import from a folder on the server (wire contract B 7)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .archive_checks import ArchiveOrder
from .archiver import ArchiveFailed
from .dicom_import import Unreadable, UnsupportedFormat, archive_entries, archive_format
from .prearchive_work import WorkFailed
from .receiving import ConcurrentSend, Order
from .state.prearchive import Row, StatusRefused
from .state.store import dumps, loads
from .wire import Refusal

if TYPE_CHECKING:
    from .services import Services

__all__ = ["Inbox", "InboxRequest"]

TABLES = """
CREATE TABLE IF NOT EXISTS inbox(
  pk INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, path TEXT NOT NULL,
  parameters TEXT NOT NULL, status TEXT NOT NULL, cleanup INTEGER NOT NULL,
  resolution TEXT NOT NULL DEFAULT '', created REAL NOT NULL, changed REAL NOT NULL);
"""


@dataclass(frozen=True)
class InboxRequest:
    """One request: `Queued`, `Accepted`, `Importing`, `Processed`, `Completed` or `Failed`."""

    pk: int
    user: str
    path: str
    parameters: dict[str, str]
    status: str
    cleanup: bool
    resolution: str
    created: float
    changed: float

    @property
    def finished(self) -> bool:
        return self.status in {"Processed", "Completed", "Failed"}

    def document(self) -> dict[str, Any]:
        return {
            "id": self.pk,
            "username": self.user,
            "sessionPath": self.path,
            "parameters": self.parameters,
            "status": self.status,
            "cleanupAfterImport": self.cleanup,
            "resolution": self.resolution,
            "created": int(self.created * 1000),
            "timestamp": int(self.changed * 1000),
            "enabled": True,
        }


class Inbox:
    """Requests and the job that works one off."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.store = services.state.store
        self.store.declare(TABLES)

    @property
    def root(self) -> Path:
        """The site's `inboxPath`; by default a folder `inbox` below the stand-in's root."""
        chosen = self.services.preferences.get("inboxPath", "")
        return Path(str(chosen)) if chosen else self.services.state.root / "inbox"

    def get(self, pk: int) -> InboxRequest | None:
        row = self.store.row("SELECT * FROM inbox WHERE pk = ?", pk)
        return None if row is None else _read(dict(row))

    def all(self) -> list[InboxRequest]:
        """Every request, oldest first."""
        return [_read(dict(row)) for row in self.store.rows("SELECT * FROM inbox ORDER BY pk")]

    def _set(self, pk: int, status: str, resolution: str = "") -> None:
        self.store.change(
            "UPDATE inbox SET status = ?, resolution = ?, changed = ? WHERE pk = ?",
            status,
            resolution,
            self.services.clock.time(),
            pk,
        )

    def submit(self, user: str, parameters: dict[str, str]) -> str:
        """Checks a call, queues it and returns its URI `/xapi/dicom/N`.

        :raises Refusal: 400 path missing, outside the inbox, empty or no right; 409 label taken.
        """
        path = self._path(user, parameters.get("path", ""))
        project = parameters.get("PROJECT_ID", "")
        session = parameters.get("EXPT_LABEL", "")
        if session and self.services.state.items.by_label(project, session, "experiment"):
            raise Refusal(409, f"The session label {session} is already in use.")
        cleanup = parameters.get("cleanupAfterImport", "true").lower() != "false"
        now = self.services.clock.time()
        pk = self.store.insert(
            "INSERT INTO inbox(user, path, parameters, status, cleanup, created, changed)"
            " VALUES(?,?,?,'Queued',?,?,?)",
            user,
            str(path),
            dumps(parameters),
            int(cleanup),
            now,
            now,
        )
        self.services.jobs.start("inbox", lambda: self._work(pk))
        return f"/xapi/dicom/{pk}"

    def _path(self, user: str, text: str) -> Path:
        if not text:
            raise Refusal(400, "The path parameter is required.")
        path, root = Path(text).resolve(), self.root.resolve()
        if not path.is_relative_to(root) or path == root:
            raise Refusal(400, f"{text} is not below the inbox.")
        project = path.relative_to(root).parts[0]
        if not self.services.state.rights.may(user, "edit", project):
            raise Refusal(400, f"You have no permission to import into {project}.")
        if not path.exists() or (path.is_dir() and not any(path.rglob("*"))):
            raise Refusal(400, f"{text} does not exist or is empty.")
        return path

    def _work(self, pk: int) -> None:
        request = self.get(pk)
        assert request is not None
        self.services.jobs.pass_point("INBOX")
        self._set(pk, "Accepted")
        self._set(pk, "Importing")
        given = request.parameters
        order = Order(
            user=request.user,
            parameters={
                "project": given.get("PROJECT_ID", ""),
                "subject": given.get("SUBJECT_ID", ""),
                "session": given.get("EXPT_LABEL", ""),
            },
        )
        try:
            rows = self._receive(Path(request.path), order)
            if not rows:
                raise UnsupportedFormat("No DICOM files were found.")
            for row in rows:
                self.services.work.build(row)
        except (UnsupportedFormat, ConcurrentSend, WorkFailed, StatusRefused) as error:
            self._set(pk, "Failed", str(error))
            return
        if request.cleanup:
            _remove(Path(request.path))
        self._finish(pk, rows)

    def _receive(self, path: Path, order: Order) -> list[Row]:
        rows: dict[int, Row] = {}
        for name, data in _contents(path):
            try:
                row = self.services.receiver.receive(order, data, name)
            except Unreadable:
                continue
            if row is not None:
                rows[row.pk] = row
        return list(rows.values())

    def _finish(self, pk: int, rows: list[Row]) -> None:
        """`Completed` when the rows archive by themselves, else `Processed` for good."""
        uris = []
        for row in rows:
            flagged = row.autoarchive.startswith("AutoArchive")
            if not flagged and self.services.project_code(row.project) < 4:
                continue
            try:
                order = ArchiveOrder(user=row.uploader, tracking_key=row.key)
                uris.append(self.services.archiver.archive(row, order))
            except (ArchiveFailed, StatusRefused) as error:
                self._set(pk, "Failed", str(error))
                return
        if uris:
            self._set(pk, "Completed", ";".join(uri.removeprefix("/data") for uri in uris))
        else:
            self._set(pk, "Processed")


def _contents(path: Path) -> list[tuple[str, bytes]]:
    if path.is_file():
        if archive_format(path.name):
            return list(archive_entries(path, path.name))
        return [(path.name, path.read_bytes())]
    return [(one.name, one.read_bytes()) for one in sorted(path.rglob("*")) if one.is_file()]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _read(values: dict[str, Any]) -> InboxRequest:
    values["parameters"] = loads(values["parameters"])
    values["cleanup"] = bool(values["cleanup"])
    return InboxRequest(**values)
