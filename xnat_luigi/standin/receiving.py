"""The gradual importer: a DICOM object in, a file in a prearchive row out (B 1.5, 1.6)."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clock import Clock
from .dicom_import import (
    Header,
    Route,
    is_valid_file_name,
    read_header,
    route,
    scan_id,
    template_name,
)
from .dicom_session import HeaderCache
from .preferences import Preferences
from .state.prearchive import UNASSIGNED, Prearchive, Row, parse_stamp

__all__ = ["CODES", "ConcurrentSend", "Order", "Receiver"]

CODES = {0: "Manual", 4: "AutoArchive", 5: "AutoArchiveOverwrite"}
"""The row's `autoarchive` by the project's `prearchive_code`."""
_BUMP = 15.0
"""Seconds between two changes of `lastmod` while files arrive (B 2.7)."""


class ConcurrentSend(Exception):
    """Two requests write the same file at once."""


@dataclass
class Order:
    """What an import asks for, apart from its files.

    :ivar user: login of the caller.
    :ivar parameters: project, subject, session and the row's flags, by their long or short names.
    :ivar place: `(timestamp, folder or "")` of `dest=/prearchive/projects/P/TS/F`.
    :ivar fresh: SI: never append to a row of an earlier upload.
    """

    user: str
    parameters: dict[str, str] = field(default_factory=dict)
    place: tuple[str, str] | None = None
    fresh: bool = False
    rows: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        return self.parameters.get(name, "").lower() in {"true", "1"}


class Receiver:
    """Finds or makes the row of an object and stores its bytes as they came.

    A real server may rewrite them (anonymisation, decompression); this one never does.
    """

    def __init__(
        self,
        prearchive: Prearchive,
        headers: HeaderCache,
        preferences: Preferences,
        clock: Clock,
        *,
        find_project: Callable[[str, str | None], str],
        project_code: Callable[[str], int],
    ) -> None:
        """
        :param find_project: `(ID or alias, login or None for the site's receiver)` -> ID or "".
        :param project_code: a project's `prearchive_code`.
        """
        self.prearchive = prearchive
        self.headers = headers
        self.preferences = preferences
        self.clock = clock
        self.find_project = find_project
        self.project_code = project_code
        self._guard = threading.Lock()
        self._row_locks: dict[str, threading.RLock] = {}
        self._targets: set[Path] = set()

    @contextmanager
    def row_lock(self, row: Row) -> Iterator[None]:
        """Two files of one row choose their scan folders one after the other."""
        with self._guard:
            lock = self._row_locks.setdefault(row.url, threading.RLock())
        with lock:
            yield

    def receive(self, order: Order, data: bytes, name: str = "") -> Row | None:
        """Stores one object; None when the receiver's filter drops it.

        :raises Unreadable: the bytes are no DICOM object.
        :raises ConcurrentSend: the same file is being written by another request.
        """
        header = read_header(data)
        if self.is_filtered(header):
            return None
        found = self.route(order, header)
        row = self._row(order, header, found)
        with self.row_lock(row):
            scan = self._scan_folder(row, header)
        place = self.prearchive.place(row) / "SCANS" / scan / "DICOM"
        self.store(place, header, data, name, rename=order.flag("rename"))
        self._arrived(row)
        return row

    def route(self, order: Order, header: Header) -> Route:
        """Project, subject and session of an object under this order."""
        return route(
            header,
            order.parameters,
            lambda project: self.find_project(project, order.user),
            lambda project: self.find_project(project, None),
        )

    def is_filtered(self, header: Header) -> bool:
        """Whether the site's series filter (a regular expression on the description) drops it."""
        pattern = self.preferences.get("seriesImportFilter", "")
        return bool(pattern) and re.search(pattern, header["SeriesDescription"]) is not None

    # rows ---------------------------------------------------------------------------------------

    def _row(self, order: Order, header: Header, found: Route) -> Row:
        project = found.project or UNASSIGNED
        key = (project, header["StudyInstanceUID"], found.session)
        with self._guard:
            row = self._known(order, key)
            if row is None:
                row = self.prearchive.add(self._new_row(order, header, found))
            order.rows[key] = row.pk
        return row

    def _known(self, order: Order, key: tuple[str, str, str]) -> Row | None:
        if key in order.rows:
            row = self.prearchive.by_pk(order.rows[key])
            if row is not None:
                return row
        if order.place is not None and order.place[1]:
            return self.prearchive.get(key[0], *order.place)
        return None if order.fresh else self.prearchive.find(*key)

    def _new_row(self, order: Order, header: Header, found: Route) -> Row:
        given = order.parameters
        project = found.project or UNASSIGNED
        stamp, folder = order.place or ("", "")
        date, time = header["StudyDate"], header["StudyTime"].partition(".")[0]
        return Row(
            project=project,
            timestamp=stamp,
            folder=folder or found.session,
            name=found.session,
            subject=found.subject,
            tag=header["StudyInstanceUID"],
            scan_date=_scan_date(date, time),
            autoarchive=self.auto_archive(project, found.auto),
            prevent_anon=order.flag("prevent_anon"),
            prevent_auto_commit=order.flag("prevent_auto_commit"),
            source=given.get("SOURCE", ""),
            visit=given.get("VISIT", ""),
            protocol=given.get("SUBTYPE", ""),
            timezone=given.get("TIMEZONE", "") if order.fresh else "",
            uploader=order.user,
        )

    def auto_archive(self, project: str, asked: bool | None = None) -> str:
        """The row's flag: the header's `AA:`, else by the project's code (B 1.3, 2.1)."""
        if project == UNASSIGNED:
            return ""
        if asked is not None:
            return CODES[4] if asked else CODES[0]
        code = self.project_code(project)
        return CODES[5] if code >= 5 else CODES[4] if code == 4 else CODES[0]

    def _arrived(self, row: Row) -> None:
        """Any row that gets a file is receiving again, whatever it was doing (B 2.4, quirks)."""
        now = self.prearchive.by_pk(row.pk)
        if now is None:
            return
        if now.status == "RECEIVING":
            age = self.clock.now() - parse_stamp(now.lastmod)
            if age.total_seconds() < _BUMP:
                return
        status = "RECEIVING_INTERRUPT" if now.status == "BUILDING" else "RECEIVING"
        self.prearchive.set_status(now, status, own=True)

    # files --------------------------------------------------------------------------------------

    def _scan_folder(self, row: Row, header: Header) -> str:
        current = self.prearchive.by_pk(row.pk)
        extra: dict[str, Any] = dict((current or row).extra)
        series: dict[str, str] = dict(extra.get("series", {}))
        uid = header["SeriesInstanceUID"]
        if uid in series:
            return series[uid]
        series[uid] = free_scan_id(scan_id(header), header["Modality"], set(series.values()))
        extra["series"] = series
        self.prearchive.update(current or row, extra=extra)
        return series[uid]

    def store(
        self, place: Path, header: Header, data: bytes, name: str, *, rename: bool = False
    ) -> Path:
        """Writes one object below `place` under its own name, or one by template."""
        template = str(self.preferences.get("dicomFileNameTemplate", "") or "")
        target = place / name
        if rename or not is_valid_file_name(name) or self._taken(target, header):
            target = place / template_name(header, template)
        with self._guard:
            if target in self._targets:
                raise ConcurrentSend("Concurrent file sends of the same data is not supported.")
            self._targets.add(target)
        try:
            write_file(target, data)
            self.headers.put(target, header)
        finally:
            with self._guard:
                self._targets.discard(target)
        return target

    def _taken(self, target: Path, header: Header) -> bool:
        if not target.exists():
            return False
        try:
            return self.headers.read(target)["SOPInstanceUID"] != header["SOPInstanceUID"]
        except Exception:  # something unreadable has that name: leave it alone
            return True

    def is_receiving(self, row: Row) -> bool:
        """Whether a file of this row is being written right now."""
        place = self.prearchive.place(row)
        with self._guard:
            return any(target.is_relative_to(place) for target in self._targets)


def free_scan_id(wanted: str, modality: str, taken: set[str]) -> str:
    """`wanted`, or `<id>-<MOD><n>` when another series has it (B 3.4)."""
    if wanted not in taken:
        return wanted
    number = 1
    while f"{wanted}-{modality or 'OT'}{number}" in taken:
        number += 1
    return f"{wanted}-{modality or 'OT'}{number}"


def write_file(target: Path, data: bytes | Iterable[bytes]) -> None:
    """Writes beside the target and renames, so that a killed server leaves no half file.

    :param data: everything, or chunk after chunk.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            for chunk in (data,) if isinstance(data, bytes) else data:
                file.write(chunk)
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _scan_date(date: str, time: str) -> str:
    if len(date) != 8 or not date.isdigit():
        return ""
    clock = time if len(time) == 6 and time.isdigit() else "000000"
    return f"{date[:4]}-{date[4:6]}-{date[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:]}.0"
