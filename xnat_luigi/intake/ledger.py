"""The ledger: what happened to every study, on disk, safe under kill -9.

One small file per (server, project, StudyInstanceUID, session label), replaced as a whole and
atomically, so that a reader sees the state before a step or after it, never half of it. The ledger
is evidence and
convenience, not truth: truth is what the server shows (`recovery.look`). A ledger that is lost or
damaged costs a look, never a study.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..staging.lock import staged_lock
from ..staging.save import make_folder, save_text
from .keys import StudyKey

log = logging.getLogger(__name__)
VERSION = 1

FOUND = "found"
SENDING = "sending"
SENT = "sent"
BUILT = "built"
CHECKED = "checked"
HELD = "held"
APPROVED = "approved"
REJECTED = "rejected"
ARCHIVING = "archiving"
ARCHIVED = "archived"
VERIFIED = "verified"
RECORDED = "recorded"
DONE = "done"
DELETED = "deleted"
FAILED = "failed"
STAGES = (
    FOUND,
    SENDING,
    SENT,
    BUILT,
    CHECKED,
    HELD,
    APPROVED,
    REJECTED,
    ARCHIVING,
    ARCHIVED,
    VERIFIED,
    RECORDED,
    DONE,
    DELETED,
    FAILED,
)
"""In the order in which a study passes them; `HELD`, `REJECTED` and `FAILED` wait for somebody."""
RESTING = frozenset({HELD, REJECTED, FAILED})


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a study's history. `at` is UTC in ISO 8601, `by` is user@host:process."""

    at: str
    stage: str
    detail: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger knows of a study.

    `facts` holds whatever later steps need, as JSON values: the verdict, the images sent
    (SOPInstanceUID
    -> size and MD5), the human decision, the source folder.
    """

    server: str
    key: StudyKey
    events: tuple[Event, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return self.events[-1].stage if self.events else FOUND

    @property
    def since(self) -> str:
        """When the present stage was entered."""
        since = ""
        for event in reversed(self.events):
            if event.stage != self.stage:
                break
            since = event.at
        return since

    @property
    def detail(self) -> str:
        return self.events[-1].detail if self.events else ""

    @property
    def verdict(self) -> str:
        return str(self.facts.get("verdict", {}).get("status", ""))

    @property
    def waits_for(self) -> str:
        """Whom the study waits for, "" when it is on its way or done."""
        if self.stage == HELD:
            return f"a human: {self.detail}"
        if self.stage == FAILED:
            return f"`intake retry`: {self.detail}"
        if self.stage in (SENDING, ARCHIVING):
            return "the server"
        return ""

    def passed(self, stage: str) -> bool:
        """Whether the study ever reached a stage."""
        return any(event.stage == stage for event in self.events)


def local_user() -> str:
    """Who acts here, for the record: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no entry in the password file, as in some containers
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _utc() -> datetime:
    return datetime.now(timezone.utc)


class Ledger:
    """The ledger of one working folder.

    root: the folder; entries lie in `root/.xnat-luigi/ledger/SERVER/PROJECT/`, locks beside them.
    now: the clock, injected in tests.
    """

    def __init__(self, root: str | Path, *, now: Callable[[], datetime] = _utc) -> None:
        self.root = Path(root)
        self._folder = self.root / ".xnat-luigi" / "ledger"
        self._now = now

    def folder(self, server: str) -> Path:
        """Where everything about one server lies."""
        return self._folder / _server_name(server)

    def place(self, server: str, key: StudyKey) -> Path:
        """The file of an entry."""
        digest = hashlib.sha256(f"{key.study_uid}\n{key.session}".encode()).hexdigest()[:16]
        return self.folder(server) / key.project / f"{key.session[:80]}.{digest}.json"

    def read(self, server: str, key: StudyKey) -> Entry | None:
        """The entry of a study, None when there is none (or none that can be understood)."""
        return _read(self.place(server, key))

    def entries(self, *, server: str = "", project: str = "") -> list[Entry]:
        """All entries, ordered by server, project and session."""
        pattern = f"{_server_name(server) if server else '*'}/{project or '*'}/*.json"
        found = (_read(path) for path in sorted(self._folder.glob(pattern)))
        return [entry for entry in found if entry is not None]

    def find(self, session: str, *, server: str = "", project: str = "") -> list[Entry]:
        """Entries of a session label or a StudyInstanceUID."""
        return [
            entry
            for entry in self.entries(server=server, project=project)
            if session in (entry.key.session, entry.key.study_uid)
        ]

    def record(
        self, server: str, key: StudyKey, stage: str, detail: str = "", **facts: Any
    ) -> Entry:
        """Add a line to a study's history, and facts; durable when it returns.

        stage: one of `STAGES`. A fact given as None is removed. A line equal to the last one is not
        repeated. Raises ValueError for an unknown stage, XNATIOError when the disk is full.
        """
        if stage not in STAGES:
            raise ValueError(f"{stage!r} is no stage of the ledger: {', '.join(STAGES)}")
        place = self.place(server, key)
        with staged_lock(place.with_suffix(".write"), timeout=60.0, owner=f"recording {stage}"):
            entry = _read(place) or Entry(server, key)
            kept = {k: v for k, v in {**entry.facts, **facts}.items() if v is not None}
            events = entry.events
            if not events or (events[-1].stage, events[-1].detail) != (stage, detail):
                by = f"{local_user()}:{os.getpid()}"
                at = self._now().isoformat(timespec="milliseconds")
                events = (*events, Event(at, stage, detail, by))
            entry = replace(entry, key=key, events=events, facts=kept)
            make_folder(place.parent)
            save_text(place, _dump(entry))
        return entry

    def journal(self, server: str, key: StudyKey) -> Journal:
        """A voice that writes into one study's entry."""
        return Journal(self, server, key)

    def lock(
        self, server: str, key: StudyKey, *, timeout: float = 0.0
    ) -> AbstractContextManager[None]:
        """Hold a study for the length of a block, against other processes on this disk.

        timeout: seconds to wait, 0 to try once. Raises XNATLockError naming the holder. The lock
        saves work; what is right does not depend on it (every act is preceded by a look).
        """
        place = self.place(server, key).with_suffix(".lock")
        return staged_lock(place, timeout=timeout, owner=f"{key}")

    def lock_subject(
        self, server: str, key: StudyKey, *, timeout: float = 3600.0
    ) -> AbstractContextManager[None]:
        """Hold the study's subject while it is archived.

        Two archives that meet at a subject which is not there yet hinder each other on the server
        (wire contract B 12); the second then ends as ERROR. timeout: seconds to wait.
        """
        place = self.folder(server) / key.project / f".{key.subject[:80]}.subject.lock"
        return staged_lock(place, timeout=timeout, owner=f"archiving {key}")


@dataclass(frozen=True)
class Journal:
    """Writes the history of one study; `None` in its place writes nothing."""

    ledger: Ledger
    server: str
    key: StudyKey

    def __call__(self, stage: str, detail: str = "", **facts: Any) -> None:
        self.ledger.record(self.server, self.key, stage, detail, **facts)


def no_journal(stage: str, detail: str = "", **facts: Any) -> None:
    """For callers who keep no ledger."""


def _server_name(server: str) -> str:
    """A folder name for an address: readable, and different for different servers."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", server.split("://")[-1]).strip("_")
    return f"{plain[:60]}-{hashlib.sha256(server.rstrip('/').encode()).hexdigest()[:8]}"


def _dump(entry: Entry) -> str:
    data = {
        "version": VERSION,
        "server": entry.server,
        "key": asdict(entry.key),
        "events": [asdict(event) for event in entry.events],
        "facts": entry.facts,
    }
    return json.dumps(data, ensure_ascii=False, indent=1, default=str)


def _read(path: Path) -> Entry | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']} is not known here")
        return Entry(
            data["server"],
            StudyKey(**data["key"]),
            tuple(Event(**event) for event in data["events"]),
            data["facts"],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged and counts as absent: %s", path, error)
        return None


def histories(entries: list[Entry]) -> Iterator[tuple[Entry, Event]]:
    """All events of some entries, oldest first."""
    pairs = [(entry, event) for entry in entries for event in entry.events]
    yield from sorted(pairs, key=lambda pair: pair[1].at)
