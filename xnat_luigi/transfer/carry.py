"""Files on their way: in one zip or one by one, whichever is cheaper, and named in batches.

A member of a zip is proven by the digest of the listing while the zip still arrives; such files
get their names in batches, so a run that is killed at the end of a large session has lost next to
nothing. What the zip does not bring, or brings wrong, is fetched singly.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import (
    XNATConnectionError,
    XNATError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATPageError,
    XNATUnsafeNameError,
)
from ..rest.files.download import open_zip
from ..rest.records import File
from ..staging.manifest import Entry
from ..staging.save import Part, Want, publish
from ..staging.unpack import Limits, Unpacked, unpack_zip
from ..uris import Address
from .layout import Origin
from .single import fetch_part
from .standing import Wanted, make_entry
from .trash import put_aside
from .zipped import Key, holds, key_finder

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Carrier", "Parcel", "Traffic"]

log = logging.getLogger(__name__)

BATCH_FILES = 256
BATCH_BYTES = 128 << 20
REQUEST_WORTH = 1 << 20
"""bytes that are as dear as one more request"""
MOST_IN_ZIP = 300
"""resources named in one address: servers take about 8 KB of it"""
SLACK = 64 << 20


@dataclass(frozen=True)
class Parcel:
    """The files wanted of one resource, and how large all of it is."""

    origin: Origin
    wanted: tuple[Wanted, ...]
    every: tuple[File, ...]

    @property
    def in_zip(self) -> bool:
        """Whether a zip of the whole resource is cheaper than its wanted files one by one."""
        needless = _size(self.every) - _size(one.file for one in self.wanted)
        return bool(self.origin.resource_id) and len(self.wanted) * REQUEST_WORTH > needless


@dataclass
class Traffic:
    """What one carrier asked for and brought."""

    requests: int = 0
    zips: int = 0
    files: int = 0
    bytes: int = 0
    displaced: list[str] = field(default_factory=list)


def _size(files: Iterable[File]) -> int:
    return sum(file.size or 0 for file in files)


class Carrier:
    """Brings files below a root.

    Parameters
    ----------
    pulse : callable
        Called with the number of bytes of every piece; what it raises ends the work and leaves
        no part behind.
    journal : callable, optional
        Called with files that are about to get their names: resource ID and entry.
    today : callable
        Seconds since 1970, for the date in the trash.
    """

    def __init__(
        self,
        conn: Connection,
        root: Path,
        *,
        pulse: Callable[[int], None] | None = None,
        journal: Callable[[list[tuple[str, Entry]]], None] | None = None,
        today: Callable[[], float] = time.time,
    ) -> None:
        self.conn = conn
        self.root = root
        self.pulse = pulse or (lambda count: None)
        self.journal = journal
        self.today = today
        self.traffic = Traffic()
        self.entries: dict[Path, Entry] = {}
        self.failed: dict[Path, XNATError] = {}
        self._parts: dict[Path, Part] = {}
        self._waiting = 0
        self._wanted: dict[Path, tuple[str, Wanted]] = {}

    def bring(self, parcels: Sequence[Parcel]) -> None:
        """Bring all files; afterwards each target is in `entries` or, with its reason, in `failed`.

        Only what concerns one file (it misses on the server, it is wrong twice) is kept as its
        reason; an outage, a full disk or a stop raise, and what was named until then stays.
        """
        for parcel in parcels:
            name = parcel.origin.resource_id
            self._wanted |= {one.target: (name, one) for one in parcel.wanted}
        try:
            zipped = [parcel for parcel in parcels if parcel.wanted and parcel.in_zip]
            if sum(len(parcel.wanted) for parcel in zipped) > 1:
                for start in range(0, len(zipped), MOST_IN_ZIP):
                    self._from_zip(zipped[start : start + MOST_IN_ZIP])
            for parcel in parcels:
                for one in self._left(parcel):
                    self._singly(one)
            self.flush()
        finally:
            self._discard()

    def _left(self, parcel: Parcel) -> list[Wanted]:
        return [
            one
            for one in parcel.wanted
            if one.target not in self.entries and one.target not in self._parts
        ]

    # --- one zip of several resources ---------------------------------------------------------

    def _from_zip(self, parcels: Sequence[Parcel]) -> None:
        first = parcels[0].origin
        path = _address(first).files(",".join(parcel.origin.resource_id for parcel in parcels))
        for attempt in (1, 2):
            left = [one for parcel in parcels for one in self._left(parcel)]
            if not left:
                return
            try:
                self._read_zip(path, left, parcels)
                return
            except XNATConnectionError as error:
                log.warning("%s: %s; %s", path, error, "once more" if attempt == 1 else "singly")
            except (
                XNATIntegrityError,
                XNATUnsafeNameError,
                XNATNotFoundError,
                XNATPageError,
            ) as error:
                log.warning("%s: %s; fetching the files one by one", path, error)
                return

    def _read_zip(self, path: str, left: Sequence[Wanted], parcels: Sequence[Parcel]) -> None:
        by_key = _by_key(parcels, {one.target for one in left})
        key_of = key_finder({key.parent for key in by_key if key.category == "scans"})

        def find(name: str) -> Want | None:
            key = key_of(name)
            one = by_key.get(key) if key is not None else None
            return one.want if one is not None else None

        every = [file for parcel in parcels for file in parcel.every]
        self.traffic.requests += 1
        self.traffic.zips += 1
        with open_zip(self.conn, path) as stream:
            found = unpack_zip(
                self._counted(stream.chunks()),
                find,
                limits=_limits(every),
                root=self.root,
                proven=self._take,
            )
        for one in found:
            if one.part is not None and one.part.want.path not in self.entries:
                self._take(one)
            elif one.fault and one.fault != "unwanted":
                log.warning("%s: %s has %s; fetching it", path, one.name, one.fault)

    def _take(self, one: Unpacked) -> bool:
        assert one.part is not None
        if one.part.want.path not in self._parts:
            self._add(one.part)
        return True

    # --- one file -----------------------------------------------------------------------------

    def _singly(self, one: Wanted) -> None:
        try:
            part = fetch_part(
                self.conn,
                one.file,
                one.target,
                root=self.root,
                asked=self._asked,
                pulse=self._pulse,
            )
        except (XNATNotFoundError, XNATPageError, XNATIntegrityError) as error:
            self.failed[one.target] = error
            return
        self._add(part)

    def _asked(self) -> None:
        self.traffic.requests += 1

    def _pulse(self, count: int) -> None:
        self.traffic.bytes += count
        self.pulse(count)

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._pulse(len(chunk))
            yield chunk

    # --- names --------------------------------------------------------------------------------

    def _add(self, part: Part) -> None:
        self._parts[part.want.path] = part
        self._waiting += part.size
        if len(self._parts) >= BATCH_FILES or self._waiting >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Give all proven parts their names."""
        parts = list(self._parts.values())
        self._parts, self._waiting = {}, 0
        try:
            # Noted before they have names: a note without its file is seen through by its inode.
            notes = {part.want.path: self._note(part) for part in parts}
            if self.journal is not None and parts:
                self.journal(list(notes.values()))
            for part in parts:
                if self._wanted[part.want.path][1].displace:
                    self._put_aside(part)
        except BaseException:
            for part in parts:
                part.discard()
            raise
        for saved in publish(parts, folders=False):
            self.entries[saved.path] = notes[saved.path][1]
            self.traffic.files += 1

    def _note(self, part: Part) -> tuple[str, Entry]:
        assert part.saved is not None
        name, one = self._wanted[part.want.path]
        return name, make_entry(one.file, part.saved, one.inside)

    def _put_aside(self, part: Part) -> None:
        """Move what somebody else wrote to the trash, unless it is what we bring."""
        target = part.want.path
        if not os.path.lexists(target):
            return
        if part.saved is not None and holds(target, part.saved):
            return
        put_aside(target, self.root, self.today())
        self.traffic.displaced.append(target.relative_to(self.root).as_posix())

    def _discard(self) -> None:
        for part in self._parts.values():
            part.discard()
        self._parts = {}


def _by_key(parcels: Sequence[Parcel], left: Collection[Path]) -> dict[Key, Wanted]:
    """The files whose place in a zip names them alone: two resources may have one label (A 6.1)."""
    found: dict[Key, Wanted] = {}
    twice: set[Key] = set()
    for parcel in parcels:
        origin = parcel.origin
        label = origin.resource_label or origin.resource_id
        for one in parcel.wanted:
            key = Key(origin.category, origin.parent_id, label, one.file.path)
            if key in found:
                twice.add(key)
            found[key] = one
    return {key: one for key, one in found.items() if key not in twice and one.target in left}


def _address(origin: Origin) -> Address:
    if origin.experiment_id:
        return Address(experiment=origin.experiment_id)
    return Address(project=origin.project, subject=origin.subject_id or None)


def _limits(files: Sequence[File]) -> Limits:
    if any(file.size is None for file in files):
        return Limits()
    return Limits(members=2 * len(files) + 1000, total_bytes=2 * _size(files) + SLACK)
