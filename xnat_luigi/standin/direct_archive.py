"""Direct archive: files go straight to the archive tree (wire contract B 4.2)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .archive_checks import ArchiveOrder
from .archiver import ArchiveFailed
from .dicom_import import Header, read_header, scan_id
from .receiving import Order, free_scan_id
from .state.prearchive import Row, StatusRefused, parse_stamp

if TYPE_CHECKING:
    from .services import Services

__all__ = ["DirectArchive", "DirectRow"]

TABLES = """
CREATE TABLE IF NOT EXISTS direct_archive(
  pk INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, subject TEXT NOT NULL,
  name TEXT NOT NULL, tag TEXT NOT NULL, status TEXT NOT NULL, lastmod TEXT NOT NULL,
  uploaded TEXT NOT NULL, scan_date TEXT NOT NULL, autoarchive TEXT NOT NULL,
  uploader TEXT NOT NULL, UNIQUE(project, tag, name));
"""


@dataclass(frozen=True)
class DirectRow:
    """A session that is arriving in the archive tree."""

    pk: int
    project: str
    subject: str
    name: str
    tag: str
    status: str
    lastmod: str
    uploaded: str
    scan_date: str
    autoarchive: str
    uploader: str

    @property
    def uri(self) -> str:
        """As import answers it: without `/data`."""
        return f"/xapi/direct-archive/{self.project}/{self.tag}/{self.name}"

    def document(self, location: Path) -> dict[str, Any]:
        """The row as JSON. The exact key set of a real server is not determined."""
        return {
            "id": self.pk,
            "project": self.project,
            "subject": self.subject,
            "name": self.name,
            "folderName": self.name,
            "tag": self.tag,
            "status": self.status,
            "lastBuiltDate": self.lastmod,
            "uploadDate": self.uploaded,
            "scanDate": self.scan_date,
            "autoArchive": self.autoarchive,
            "location": str(location),
        }


class DirectArchive:
    """Rows, files and the job that turns them into experiments."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.store = services.state.store
        self.store.declare(TABLES)
        self._guard = threading.Lock()
        self._promised: dict[int, dict[str, str]] = {}
        """Row -> {SeriesInstanceUID: scan folder}."""

    # rows ---------------------------------------------------------------------------------------

    def get(self, project: str, tag: str, name: str) -> DirectRow | None:
        """The row of a study, or None when it is finished or unknown."""
        found = self.store.row(
            "SELECT * FROM direct_archive WHERE project = ? AND tag = ? AND name = ?",
            project,
            tag,
            name,
        )
        return None if found is None else DirectRow(**dict(found))

    def by_pk(self, pk: int) -> DirectRow | None:
        found = self.store.row("SELECT * FROM direct_archive WHERE pk = ?", pk)
        return None if found is None else DirectRow(**dict(found))

    def all(self) -> list[DirectRow]:
        """Every row, oldest first."""
        rows = self.store.rows("SELECT * FROM direct_archive ORDER BY pk")
        return [DirectRow(**dict(row)) for row in rows]

    def remove(self, row: DirectRow) -> None:
        """Forgets a row; files are left where they are."""
        self._promised.pop(row.pk, None)
        self.store.change("DELETE FROM direct_archive WHERE pk = ?", row.pk)

    def place(self, row: DirectRow) -> Path:
        """The session's folder in the archive tree."""
        arc = self.services.state.items.current_arc(row.project)
        return self.services.state.archive / row.project / arc / row.name

    def _set(self, row: DirectRow, status: str) -> None:
        self.store.change(
            "UPDATE direct_archive SET status = ?, lastmod = ? WHERE pk = ?",
            status,
            self.services.clock.stamp(),
            row.pk,
        )

    # receiving ----------------------------------------------------------------------------------

    def receive(self, order: Order, data: bytes, name: str) -> str | None:
        """Stores one object in the archive tree and returns the row's URI.

        None when it must go to the prearchive: unassigned, the session's folder is there already,
        or the row no longer receives. `""` when the site's filter drops the object.

        :raises Unreadable: the bytes are no DICOM object.
        """
        receiver = self.services.receiver
        header = read_header(data)
        if receiver.is_filtered(header):
            return ""
        found = receiver.route(order, header)
        if not found.project:
            return None
        with self._guard:
            row = self.get(found.project, header["StudyInstanceUID"], found.session)
            if row is None:
                row = self._add(order, header, found.project, found.subject, found.session)
        if row is None or row.status != "RECEIVING":
            return None
        with self._guard:
            place = self._scan_folder(row, header)
        receiver.store(place, header, data, name, rename=order.flag("rename"))
        self._set(row, "RECEIVING")
        return row.uri

    def _scan_folder(self, row: DirectRow, header: Header) -> Path:
        """The folder of the object's series; another series of the same number gets its own.

        Folders are known by what lies in them, and by what was promised since the server started.
        """
        series = header["SeriesInstanceUID"]
        root = self.place(row) / "SCANS"
        promised = self._promised.setdefault(row.pk, {})
        taken: set[str] = set()
        while series not in promised:
            name = free_scan_id(scan_id(header), header["Modality"], taken)
            found = next((root / name / "DICOM").glob("[!.]*"), None)
            there = self.services.headers.read(found)["SeriesInstanceUID"] if found else series
            if there == series and name not in promised.values():
                promised[series] = name
            taken.add(name)
        return root / promised[series] / "DICOM"

    def _add(
        self, order: Order, header: Header, project: str, subject: str, session: str
    ) -> DirectRow | None:
        arc = self.services.state.items.current_arc(project)
        if (self.services.state.archive / project / arc / session).exists():
            return None
        now = self.services.clock.stamp()
        kept = order.parameters.get("AA") or order.parameters.get("auto-archive")
        auto = self.services.receiver.auto_archive(
            project, None if not kept else kept.lower() == "true"
        )
        self.store.insert(
            "INSERT INTO direct_archive(project, subject, name, tag, status, lastmod, uploaded,"
            " scan_date, autoarchive, uploader) VALUES(?,?,?,?,?,?,?,?,?,?)",
            project,
            subject,
            session,
            header["StudyInstanceUID"],
            "RECEIVING",
            now,
            now,
            header["StudyDate"],
            auto,
            order.user,
        )
        return self.get(project, header["StudyInstanceUID"], session)

    # archiving ----------------------------------------------------------------------------------

    def look(self) -> None:
        """Queues rows that nobody has sent files to for the rebuilder's minutes."""
        minutes = int(self.services.preferences["sessionXmlRebuilderInterval"])
        before = self.services.clock.now() - timedelta(minutes=minutes)
        for row in self.all():
            if row.status == "RECEIVING" and parse_stamp(row.lastmod) <= before:
                self.queue(row)

    def queue(self, row: DirectRow) -> None:
        """Starts the archive job of a row."""
        self._set(row, "QUEUED_ARCHIVING")

        def work() -> None:
            self.services.jobs.pass_point("QUEUED_ARCHIVING")
            self._set(row, "ARCHIVING")
            self.services.jobs.pass_point("ARCHIVING")
            self._archive(row)

        self.services.jobs.start("direct-archive", work)

    def _archive(self, row: DirectRow) -> None:
        """The files become a prearchive row for a moment; what fails stays one (B 4.2)."""
        services = self.services
        session = services.prearchive.add(
            Row(
                project=row.project,
                timestamp="",
                folder=row.name,
                name=row.name,
                subject=row.subject,
                tag=row.tag,
                autoarchive=row.autoarchive,
                source="uploader",
                uploader=row.uploader,
            )
        )
        target = services.prearchive.place(session)
        target.rmdir()
        self.place(row).rename(target)
        order = ArchiveOrder(user=row.uploader, tracking_key=session.key)
        try:
            services.work.build(session)
            services.archiver.archive(session, order)
        except ArchiveFailed as error:
            services.prearchive.log(session, f"Attempt to direct-archive failed: {error}")
        except StatusRefused:
            return
        finally:
            self.remove(row)
