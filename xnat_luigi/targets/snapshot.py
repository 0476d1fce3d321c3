"""All files of a project's sessions as of one moment, in few requests.

Asking whether a thousand results are there one by one costs thousands of requests. A snapshot asks
once: the sessions, then the files of `BATCH` sessions a request (wire contract A 3.6), so

    requests = 1 + ceil(sessions / BATCH) + types of assessors asked for

A snapshot is only ever believed when it says «there, and right»: what it does not show is asked
anew, of the server. It belongs to one process, is forgotten after a fork and when a step of the
project has written, and is not used when older than a minute (`recent.AGE`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING

from .. import uris
from ..rest import contents, listings
from ..rest.records import File
from ..uris import Address
from .recent import Recent
from .resource import OWN_NAMES, SEAL_NAME, PlacedTarget, fingerprint

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["BATCH", "Place", "Snapshot", "Summary", "current", "forget", "scan_facts", "take"]

BATCH = 50

_PLACE = re.compile(
    r"/experiments/(?P<experiment>[^/]+)"
    r"(?:/(?P<kind>scans|assessors|reconstructions)/(?P<item>[^/]+)(?:/(?P<way>in|out))?)?"
    r"/resources/[^/]+/files/"
)
_WORDS = {"scans": "scan", "assessors": "assessor", "reconstructions": "reconstruction"}


@dataclass(frozen=True, order=True)
class Place:
    """Whose resource it is, by ids; `kind` is empty for the session's own."""

    experiment: str
    kind: str
    item: str
    way: str
    label: str

    def address(self) -> Address:
        """The place as an address."""
        words = {_WORDS[self.kind]: self.item} if self.kind else {}
        if self.way:
            words["direction"] = self.way
        return Address(experiment=self.experiment, **words)


@dataclass(frozen=True)
class Summary:
    """What a resource holds, in words instead of rows: a project may list millions of files.

    `content` is the fingerprint of its files without those that tell where it came from, `outputs`
    the fingerprint of all but the seal, `seal` the seal's size and MD5, None if there is none.
    """

    content: str
    outputs: str
    seal: tuple[int | None, str] | None

    @classmethod
    def of(cls, files: Sequence[File]) -> Summary:
        """From the rows of one resource."""
        seal = next(((f.size, f.md5) for f in files if f.path == SEAL_NAME), None)
        return cls(
            fingerprint(file for file in files if file.path not in OWN_NAMES),
            fingerprint(file for file in files if file.path != SEAL_NAME),
            seal,
        )


@dataclass(frozen=True)
class Snapshot:
    """What was there.

    `names` leads from labels and IDs of sessions to their IDs and labels, `assessors` from session
    ID and label or ID of an assessor to its ID and custom variables, for assessors of the `types`
    that were asked for. `ambiguous` are places with two resources of one label, as racing creators
    leave them (A 6.1): named among the places, but what they hold cannot be told.
    """

    names: Mapping[str, tuple[str, str]]
    resources: Mapping[Place, Summary]
    assessors: Mapping[tuple[str, str], tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    types: frozenset[str] = frozenset()
    ambiguous: frozenset[Place] = frozenset()

    def covers(self, target: PlacedTarget) -> bool:
        """Whether it would show the target's files if they had been there."""
        return bool(target.experiment) and not (target.assessor and not self.types)

    def find(self, target: PlacedTarget) -> tuple[Address, Summary] | None:
        """Address and content of a resource; None when the snapshot cannot tell."""
        if target.experiment not in self.names or not self.covers(target):
            return None
        experiment, label = self.names[target.experiment]
        kind, item, way = "scans" if target.scan else "", target.scan, ""
        if target.assessor:
            known = self.assessors.get((experiment, target.assessor_label(label)))
            if known is None:
                return None
            kind, item, way = "assessors", known[0], target.direction
        place = Place(experiment, kind, item, way, target.resource)
        found = self.resources.get(place)
        return None if found is None else (place.address(), found)

    def values(self, target: PlacedTarget) -> Mapping[str, str] | None:
        """Custom variables of the target's assessor, None when it does not show it."""
        experiment, label = self.names.get(target.experiment, ("", ""))
        known = self.assessors.get((experiment, target.assessor_label(label)))
        return None if known is None else known[1]

    def assessors_with(self, label: str) -> Iterator[tuple[str, str]]:
        """Session ID and assessor ID of every assessor with files in a resource of this label."""
        for place in self._places():
            known = (place.experiment, place.item) in self.assessors
            if place.kind == "assessors" and place.label == label and known:
                yield place.experiment, place.item

    def scans_with(self, label: str) -> Iterator[tuple[str, str]]:
        """Experiment ID and scan ID of every scan with files in a resource of this label."""
        for place in self._places():
            if place.kind == "scans" and place.label == label:
                yield place.experiment, place.item

    def sessions_with(self, label: str) -> Iterator[str]:
        """IDs of the sessions with files in a resource of their own of this label."""
        for place in self._places():
            if not place.kind and place.label == label:
                yield place.experiment

    def _places(self) -> list[Place]:
        return sorted({*self.resources, *self.ambiguous})


_recent: Recent[Snapshot] = Recent()
_scans: Recent[Mapping[tuple[str, str], tuple[str, str]]] = Recent()


def take(
    connection: Connection,
    project: str,
    *,
    types: Sequence[str] = (),
    batch: int = BATCH,
) -> Snapshot:
    """Asks the server, and keeps the answer for `current()`.

    Args:
        types: types of assessors whose labels and custom variables are wanted, too.
        batch: sessions per request; the length of an address is the limit.

    Raises:
        XNATNotFoundError: the project is not there, or hidden.
    """
    begun = _recent.now()
    sessions = listings.list_experiments(connection, project)
    names = {one.id: (one.id, one.label) for one in sessions}
    for one in sessions:
        names.setdefault(one.label, (one.id, one.label))
    resources: dict[Place, Summary] = {}
    ambiguous: set[Place] = set()
    ids = sorted({one.id for one in sessions})
    for start in range(0, len(ids), batch):
        for place, summary in _read_batch(connection, ids[start : start + batch]):
            if summary is None:
                ambiguous.add(place)
            else:
                resources[place] = summary
    assessors: dict[tuple[str, str], tuple[str, Mapping[str, str]]] = {}
    for xsi_type in types:
        assessors.update(_list_assessors(connection, project, xsi_type))
    snapshot = Snapshot(names, resources, assessors, frozenset(types), frozenset(ambiguous))
    _recent.put((connection.server, project), begun, snapshot)
    return snapshot


def current(server: str, project: str) -> Snapshot | None:
    """This process's snapshot of a project, None when there is none, or none young enough."""
    return _recent.get((server.rstrip("/"), project))


def forget(server: str = "", project: str = "") -> None:
    """Forgets one project's snapshot, all of them when none is named."""
    key = (server.rstrip("/"), project)
    for one in (_recent, _scans):
        one.forget((lambda known: known == key) if project else None)


def scan_facts(connection: Connection, project: str) -> Mapping[tuple[str, str], tuple[str, str]]:
    """Type and quality of every scan, by experiment ID and scan ID; one request (A 3.6).

    Kept for a minute, like a snapshot.
    """
    key = (connection.server, project)
    known = _scans.get(key)
    if known is not None:
        return known
    begun = _scans.now()
    number, kind, quality = (f"xnat:imagescandata/{name}" for name in ("id", "type", "quality"))
    rows = listings.select_rows(
        connection,
        uris.experiments(project),
        ("ID", number, kind, quality),
        xsi_type=listings.IMAGE_SESSIONS,
    )
    found = {(row["ID"], row[number]): (row[kind], row[quality]) for row in rows if row[number]}
    _scans.put(key, begun, found)
    return found


def _read_batch(
    connection: Connection, ids: Sequence[str]
) -> Iterator[tuple[Place, Summary | None]]:
    """The resources of some sessions; None for two with one label, so that it is asked anew."""
    found: dict[Place, list[File]] = {}
    for file in contents.list_files_of(connection, ids):
        place = _place(file)
        if place is not None:
            found.setdefault(place, []).append(file)
    for place, files in found.items():
        alone = len({file.resource_id for file in files}) == 1
        yield place, Summary.of(files) if alone else None


def _list_assessors(
    connection: Connection, project: str, xsi_type: str
) -> Iterator[tuple[tuple[str, str], tuple[str, Mapping[str, str]]]]:
    """All assessors of a type in one request; one row per custom variable (A 3.3, A 3.6)."""
    name, value = f"{xsi_type}/fields/field/name", f"{xsi_type}/fields/field/field"
    rows = listings.select_rows(
        connection,
        uris.experiments(),
        ("ID", "label", "session_ID", name, value),
        {"project": project},
        xsi_type=xsi_type,
    )
    for one in listings.merge_rows(rows, ["ID"], {"values": [name, value]}):
        pairs = one["values"]
        assert isinstance(pairs, list)
        values = {pair[name].lower(): unescape(pair[value]) for pair in pairs}
        for name_or_id in (one["label"], one["ID"]):
            yield (str(one["session_ID"]), str(name_or_id)), (str(one["ID"]), values)


def _place(file: File) -> Place | None:
    match = _PLACE.search(file.uri)
    if match is None:
        return None
    part = {name: value or "" for name, value in match.groupdict().items()}
    return Place(part["experiment"], part["kind"], part["item"], part["way"], file.resource_label)
