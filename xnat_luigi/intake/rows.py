"""What others sent into the prearchive: which rows are ripe, and what is in them.

`survey` needs one request however many rows there are: what was held before and has not changed
since is known from the ledger. `read_row` looks at a row on the server's side: listings, and of
every file no more than its header.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .. import uris
from ..dicom import Header, NeedMore, read_head
from ..exceptions import XNATIntegrityError, XNATResponseError, XNATUnsafeNameError
from ..rest import absence, prearchive, states
from ..rest.records import PrearchiveFile, PrearchiveRow
from ..staging.save import make_folder, save_text
from . import ledger as stages
from .decisions import decision_of
from .journey import Arrived, Plan, fingerprint, rests
from .keys import StudyHeldError, StudyKey, StudyTimeoutError
from .ledger import Entry, Ledger
from .naming import NamingRule, UnnamedError, name_study
from .policy import DELETE, Policy
from .studies import group

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ..connection.login import Connection

log = logging.getLogger(__name__)
QUIET = 300.0
"""Seconds without a new file before a row is built; the server's own rebuilder waits as long."""
_HELD = "held"
_HEAD = 64 * 1024
_LIMIT = 256 << 20


@dataclass(frozen=True)
class Survey:
    """The rows of one look: those to take in now, and the others with the reason.

    homeless: ripe rows of no project (`Unassigned`), which must be moved to one first. waiting: the
    entries of resting rows that wait for a human, as they were held or rejected before.
    """

    ripe: tuple[tuple[PrearchiveRow, StudyKey], ...] = ()
    homeless: tuple[tuple[PrearchiveRow, StudyKey], ...] = ()
    resting: tuple[tuple[PrearchiveRow, str], ...] = ()
    refused: tuple[tuple[PrearchiveRow, str], ...] = ()
    waiting: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Watchman:
    """Remembers since when rows have not changed, by this machine's clock alone.

    The server tells its own local time without a zone, so the two clocks are never compared: a row
    is quiet when its `lastmod` was the same for long enough in our looks.
    """

    path: Path
    now: Callable[[], float] = field(default=time.time, repr=False)

    def look(self, rows: Iterable[PrearchiveRow]) -> dict[str, float]:
        """Address -> seconds since the row was first seen as it is now; forgets absent rows."""
        before = self._read()
        moment = self.now()
        known: dict[str, tuple[str, float]] = {}
        for row in rows:
            word = f"{row.status} {row.lastmod}"
            seen = before.get(row.url)
            known[row.url] = (word, seen[1] if seen and seen[0] == word else moment)
        if known != before:
            make_folder(self.path.parent)
            save_text(self.path, json.dumps(known))
        return {url: max(0.0, moment - first) for url, (_, first) in known.items()}

    def _read(self) -> dict[str, tuple[str, float]]:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(url): (str(word), float(first)) for url, (word, first) in data.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}


def watchman(ledger: Ledger, server: str, *, now: Callable[[], float] = time.time) -> Watchman:
    """The watchman of a working folder, for one server."""
    return Watchman(ledger.folder(server) / "rows.json", now)


def key_of(row: PrearchiveRow) -> StudyKey:
    """What identifies a row's study: its labels are the server's (B 1.6).

    Raises XNATUnsafeNameError when a label would be changed at archive time, or is missing.
    """
    return StudyKey(row.project, row.tag, row.subject, row.name)


def survey(
    conn: Connection,
    plan: Plan,
    *,
    project: str | None = None,
    watch: Watchman,
    quiet: float = QUIET,
) -> Survey:
    """Look at all rows of a project, or of all projects our user can edit; one request.

    quiet: seconds without a change before a RECEIVING row is taken. A project without a row costs
    two more, which tell whether it is there at all. Raises XNATNotFoundError when it is not,
    and for everything that is no answer.
    """
    rows = absence.find_rows(conn, project) if project else prearchive.list_rows(conn)
    still = watch.look(rows)
    known = {entry.key: entry for entry in plan.ledger.entries(server=conn.server)}
    ripe, homeless, resting, refused = [], [], [], []
    waiting: list[Entry] = []
    for row in rows:
        try:
            key = key_of(row)
        except XNATUnsafeNameError as error:
            refused.append((row, f"{row.url}: {error}"))
            continue
        entry = known.get(key)
        why = _why_not(row, entry, still[row.url], quiet, plan)
        if why:
            resting.append((row, why))
            if entry is not None and why.startswith(_HELD) and entry.stage in stages.RESTING:
                waiting.append(entry)
        elif row.project == prearchive.UNASSIGNED:
            homeless.append((row, key))
        else:
            ripe.append((row, key))
    return Survey(tuple(ripe), tuple(homeless), tuple(resting), tuple(refused), tuple(waiting))


def _why_not(
    row: PrearchiveRow, entry: Entry | None, still: float, quiet: float, plan: Plan
) -> str:
    """Why a row is left alone now, "" when it may be taken."""
    if rests(entry, seen_of(row, plan), plan):
        return f"{_HELD}, and nothing changed"
    if states.failed(row.status):
        held = entry is not None and entry.stage == stages.HELD
        return f"{_HELD} by the server" if held and not plan.again else ""
    if states.phase(row.status) is states.Phase.RECEIVING:
        return "" if still >= quiet else f"files came {still:.0f} s ago or less"
    return f"the server works on it ({row.status})" if states.in_flight(row.status) else ""


def seen_of(row: PrearchiveRow, plan: Plan) -> str:
    """The word for a row as it is now; `journey.take_row` keeps the same one."""
    return fingerprint((row.url, row.lastmod), plan)


def build_row(conn: Connection, row: PrearchiveRow, key: StudyKey) -> PrearchiveRow:
    """Build a row, so that no late file is missing from its document (B 13).

    Raises StudyHeldError when the server cannot, StudyTimeoutError when it is at something else.
    """
    try:
        built = prearchive.build(conn, row)
    except XNATResponseError as error:
        now = prearchive.get_row(conn, row.project, row.timestamp, row.folder)
        if now is None or now.status != "ERROR":
            raise
        log = prearchive.read_last_log(conn, now)
        raise StudyHeldError(key, "the server cannot build the session", log) from error
    if states.in_flight(built.status):
        raise StudyTimeoutError(f"{key}: the row is {built.status} after its build; look later")
    return built


def give_home(
    conn: Connection, row: PrearchiveRow, key: StudyKey, rules: Sequence[NamingRule]
) -> tuple[PrearchiveRow, StudyKey]:
    """Move a row of no project to the one that the naming rules give its study (matrix: only after
    looking, and the row was just read).

    Only the project may be new: a row's labels cannot be changed (B 2.5). Raises UnnamedError.
    """
    built = build_row(conn, row, key)
    fields = tuple(dict.fromkeys(name for rule in rules for name in rule.fields))
    arrived = read_row(conn, built, fields=fields)
    named = name_study(group(row.url, arrived.headers).find(row.tag), rules)
    if (named.subject, named.session) != (key.subject, key.session):
        raise UnnamedError(
            f"{row.url}: the rules call it {named.subject}/{named.session}, the server "
            f"{key.subject}/{key.session}, and a row cannot be renamed"
        )
    if named.project == prearchive.UNASSIGNED:
        raise UnnamedError(f"{row.url}: the rules name no project")
    return prearchive.move(conn, built, named.project), named


# what is in a row -------------------------------------------------------------------------------


def read_row(
    conn: Connection, row: PrearchiveRow, *, fields: Sequence[str] = (), workers: int = 4
) -> Arrived:
    """The headers of all images of a built row, read in part; whole files only when asked for.

    Raises XNATNotFoundError when the row is not built or gone.
    """
    files: dict[str, PrearchiveFile] = {}
    for scan in prearchive.list_scans(conn, row):
        for resource in prearchive.list_resources(conn, row, scan.id):
            for file in prearchive.list_scan_files(conn, row, scan.id, resource.label):
                files[f"{scan.id}/{resource.label}/{file.path}"] = file

    def read(item: tuple[str, PrearchiveFile]) -> Header:
        return read_remote(conn, *item, fields=fields)

    with ThreadPoolExecutor(workers) as pool:
        headers = tuple(pool.map(read, files.items()))

    def open_file(header: Header) -> Dataset:
        return open_remote(conn, files[header.path])

    return Arrived(row, headers, open_file)


def read_remote(
    conn: Connection, name: str, file: PrearchiveFile, *, fields: Sequence[str] = ()
) -> Header:
    """The header of one file of a row; `name` becomes its path.

    The first 64 KiB are asked for, more when the header is longer. A server that sends the whole
    file instead is cut off.
    """
    wanted = _HEAD
    while True:
        head, size = _read_start(conn, file, wanted)
        try:
            return read_head(head, size, path=name, fields=fields)
        except NeedMore as more:
            if more.upto <= len(head) or more.upto > _LIMIT:
                raise XNATIntegrityError(
                    f"{file.uri}: {len(head)} of {size} bytes came, its header needs {more.upto}"
                ) from None
            wanted = max(more.upto, 4 * wanted)


def _read_start(
    conn: Connection, file: PrearchiveFile, count: int, *, ranges: bool = True
) -> tuple[bytes, int]:
    """The first bytes of a file, and its size.

    A range is asked for only where the listing tells the size, and never beyond it: the server
    does not clamp ranges but promises bytes that do not exist (A 0.2).
    """
    if file.size == 0:
        return b"", 0
    kept = bytearray()
    ask = None
    if ranges and file.size is not None and count < file.size:
        ask = {"Range": f"bytes=0-{count - 1}"}
    path = uris.quote_listed(file.uri)
    # 416 and another range than the one asked for come from proxies: then the file from its start.
    with conn.stream(path, headers=ask, accepted=(200, 206, 416) if ask else (200,)) as stream:
        asked = stream.headers.get("Content-Range", "").startswith("bytes 0-")
        if stream.status == 416 or (stream.status == 206 and not asked):
            return _read_start(conn, file, count, ranges=False)
        for chunk in stream.chunks():
            kept += chunk
            if len(kept) >= count and file.size is not None:
                break
        size = len(kept) if file.size is None else file.size
    return bytes(kept[:count]), size


def open_remote(conn: Connection, file: PrearchiveFile) -> Dataset:
    """A whole file of a row as a data set; one file in memory at a time.

    Raises XNATIntegrityError when it does not come whole.
    """
    from pydicom import dcmread

    with conn.stream(uris.quote_listed(file.uri)) as stream:
        raw = b"".join(stream.chunks())
    if file.size is not None and len(raw) != file.size:
        raise XNATIntegrityError(f"{file.uri}: {len(raw)} bytes came, {file.size} are listed")
    return cast("Dataset", dcmread(io.BytesIO(raw)))


# deleting by policy -----------------------------------------------------------------------------


def is_deletable(entry: Entry, policy: Policy, now: datetime) -> bool:
    """Whether a failed row may go: policy says so by name, QC failed it, nobody decided about it,
    and it has been held for long enough.
    """
    if policy.on_fail != DELETE or policy.delete_after_days <= 0 or not entry.events:
        return False
    if entry.stage != stages.HELD or entry.verdict != "fail" or decision_of(entry) is not None:
        return False
    held = datetime.fromisoformat(_first_held(entry))
    return now - held >= timedelta(days=policy.delete_after_days)


def _first_held(entry: Entry) -> str:
    """Since when the study has been held for QC; looks of later runs do not count anew."""
    since = entry.events[-1].at
    for event in reversed(entry.events):
        if event.stage not in (stages.HELD, stages.CHECKED, stages.FOUND):
            break
        if event.stage == stages.HELD:
            since = event.at
    return since


def delete_failed(
    conn: Connection,
    plan: Plan,
    rows: Iterable[PrearchiveRow],
    *,
    now: datetime | None = None,
) -> list[Entry]:
    """Delete the rows that policy gives up, after looking at each of them; returns their entries.

    Only rows that QC failed, and only as they were when QC saw them.
    """
    moment = now or datetime.now(timezone.utc)
    entries: Mapping[StudyKey, Entry] = {
        entry.key: entry for entry in plan.ledger.entries(server=conn.server)
    }
    gone = []
    for row in rows:
        try:
            entry = entries.get(key_of(row))
        except XNATUnsafeNameError:
            continue
        if entry is None or entry.facts.get("seen") != seen_of(row, plan):
            continue
        policy = plan.policies.of(row.project)
        if is_deletable(entry, policy, moment):
            prearchive.delete_row(conn, row)
            told = f"{row.url}, as policy says after {policy.delete_after_days:g} days"
            gone.append(plan.ledger.record(conn.server, entry.key, stages.DELETED, told))
    return gone
