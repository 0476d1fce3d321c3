"""What earlier runs left below a destination's `.xnat-luigi`: the memory of a sync.

::

    manifests/PROJECT/EXPERIMENT_ID/RESOURCE_ID.json   one per resource, written after its files
    manifests/PROJECT/EXPERIMENT_ID/session.json       all of the session is here, as of a stamp
    gone/PROJECT/EXPERIMENT_ID.json                    files of ours that the server has no more
    partial/PROJECT/EXPERIMENT_ID.jsonl                files of a session that is not complete yet
    locks/PROJECT/EXPERIMENT_ID.lock
    trash/YYYY-MM-DD/...                               what was put aside, under its old path
    servers/PROJECT                                    the server the project is from
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..exceptions import XNATConfigError
from ..staging.manifest import Entry, Manifest, read_manifest, write_manifest
from ..staging.save import append_line, remove_file, save_text
from ..staging.sweep import remove_leftovers

if TYPE_CHECKING:
    from ..rest.records import Experiment

__all__ = ["STATE", "Known", "State"]

STATE = ".xnat-luigi"
SEEN = "session.json"


def _name(server: str) -> tuple[str, int, str]:
    """Host, port (0 for that of http or https) and path: a test server is but a port away."""
    parts = urlsplit(server)
    port = parts.port or 0
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return (parts.hostname or "").lower(), 0 if port == usual else port, parts.path.rstrip("/")


@dataclass(frozen=True)
class Known:
    """A session as it was when it was last complete, and the manifests of its resources."""

    seen: Manifest | None
    resources: tuple[Manifest, ...]

    @property
    def whole(self) -> bool:
        """Whether all manifests that were written then are here."""
        return self.seen is not None and self.seen.stamps.get("resources") == str(
            len(self.resources)
        )

    def stamp(self, name: str) -> str:
        """A stamp of that time: `subject`, `session` or `selection`."""
        return self.seen.stamps.get(name, "") if self.seen is not None else ""

    @property
    def label(self) -> str:
        """The session's label at that time."""
        some = [one for one in (self.seen, *self.resources) if one is not None]
        return some[0].origin.get("experiment_label", "") if some else ""


class State:
    """The memory of one project in one destination."""

    def __init__(self, root: Path, project: str) -> None:
        self.root = root
        self.project = project
        self.manifests = root / STATE / "manifests" / project
        self.gone = root / STATE / "gone" / project

    def check_server(self, server: str) -> None:
        """Refuse to mix two servers: one of them would seem to have deleted all of the other's.

        Raises
        ------
        XNATConfigError
            The project here is of a server with another name or port. http and https, each at
            its usual port, are one server.
        """
        path = self._server_file
        try:
            known = path.read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError):
            return
        if known and _name(known) != _name(server):
            raise XNATConfigError(
                f"{self.root} holds project {self.project} of {known}, not of {server}: choose "
                "another destination, or, if that server only has a new address, write it into "
                f"{path}"
            )

    def bind(self, server: str) -> None:
        """Note the server, if none is noted yet."""
        if not self._server_file.exists():
            save_text(self._server_file, server + "\n", sync=False, root=self.root)

    @property
    def _server_file(self) -> Path:
        return self.root / STATE / "servers" / self.project

    def sweep(self) -> None:
        """Remove what killed runs left half written of what stands here for all sessions."""
        for folder in (self.lock("").parent, self._partial("").parent, self.gone):
            remove_leftovers(folder)

    def neighbours(self) -> Iterator[Mapping[str, str]]:
        """What is known of the sessions of other projects in this destination."""
        base = self.manifests.parent
        names = sorted(os.listdir(base)) if base.is_dir() else []
        for name in names:
            if name != self.project:
                other = State(self.root, name)
                for experiment_id in other.experiments():
                    seen = read_manifest(other.folder(experiment_id) / SEEN)
                    if seen is not None:
                        yield seen.origin

    def folder(self, experiment_id: str) -> Path:
        """Where the manifests of a session lie."""
        return self.manifests / experiment_id

    def lock(self, experiment_id: str) -> Path:
        """The lock of a session."""
        return self.root / STATE / "locks" / self.project / f"{experiment_id}.lock"

    def experiments(self) -> list[str]:
        """IDs of the sessions that something is known of, in order."""
        try:
            names = sorted(os.listdir(self.manifests))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name for name in names if name != "project"]

    def read(self, experiment_id: str) -> Known:
        """What is known of a session; a damaged manifest counts as none (fault row D5)."""
        folder = self.folder(experiment_id)
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return Known(None, ())
        resources = []
        for name in names:
            if name.endswith(".json") and name != SEEN and not name.startswith("."):
                manifest = read_manifest(f"{folder}/{name}")
                if manifest is not None:
                    resources.append(manifest)
        seen = read_manifest(f"{folder}/{SEEN}") if SEEN in names else None
        return Known(seen, tuple(resources))

    def write_seen(
        self, session: Experiment, selection: str, resources: int, subject: str, own: str
    ) -> None:
        """Note that all of a session is on disk as of its stamps; written after everything else."""
        origin = {
            "project": self.project,
            "subject_id": session.subject_id,
            "subject_label": session.subject_label,
            "experiment_id": session.id,
            "experiment_label": session.label,
        }
        stamps = {
            "subject": subject,
            "session": own,
            "selection": selection,
            "resources": str(resources),
        }
        path = self.folder(session.id) / SEEN
        write_manifest(path, Manifest(origin, (), stamps), sync=False, root=self.root)

    def forget(self, experiment_id: str, resource_id: str) -> None:
        """Remove the manifest of a resource that the server has no more."""
        remove_file(self.folder(experiment_id) / f"{resource_id}.json")

    def read_gone(self, experiment_id: str) -> tuple[Entry, ...]:
        """Files of ours that the server has no more."""
        manifest = read_manifest(self.gone / f"{experiment_id}.json")
        return manifest.entries if manifest is not None else ()

    def write_gone(self, experiment_id: str, label: str, entries: Iterable[Entry]) -> None:
        """Replace that list; an empty one is removed."""
        path = self.gone / f"{experiment_id}.json"
        kept = tuple(sorted(entries, key=lambda entry: entry.path))
        if not kept:
            remove_file(path)
        elif kept != self.read_gone(experiment_id):
            origin = {
                "project": self.project,
                "experiment_id": experiment_id,
                "experiment_label": label,
            }
            write_manifest(path, Manifest(origin, kept), sync=False, root=self.root)

    def append_partial(self, experiment_id: str, rows: Iterable[tuple[str, Entry]]) -> None:
        """Note files (with their resource's ID) that have their names, in a session under way."""
        line = json.dumps([[name, *entry] for name, entry in rows], ensure_ascii=False)
        append_line(self._partial(experiment_id), line)

    def read_partial(self, experiment_id: str) -> dict[str, list[Entry]]:
        """Such files by resource, as far as they are on disk as they were noted.

        A line that a killed process has not ended is no error.
        """
        try:
            lines = self._partial(experiment_id).read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return {}
        found: dict[str, dict[str, Entry]] = {}
        for line in lines:
            try:
                rows = [(str(name), Entry(*facts)) for name, *facts in json.loads(line)]
            except (ValueError, TypeError):
                continue
            for name, entry in rows:
                if self._is_there(entry):
                    found.setdefault(name, {})[entry.remote] = entry
        return {name: list(entries.values()) for name, entries in found.items()}

    def unfinished(self) -> Iterator[tuple[str, int]]:
        """Sessions that no run has ended, and how many files of them lie here without that."""
        folder = self._partial("").parent
        for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
            count = sum(map(len, self.read_partial(path.stem).values()))
            if count:
                label = self.read(path.stem).label
                yield (f"{label} ({path.stem})" if label else path.stem), count

    def end_partial(self, experiment_id: str) -> None:
        """Forget them: the session is complete and its manifests tell all."""
        remove_file(self._partial(experiment_id))

    def _partial(self, experiment_id: str) -> Path:
        return self.root / STATE / "partial" / self.project / f"{experiment_id}.jsonl"

    def _is_there(self, entry: Entry) -> bool:
        if not isinstance(entry.path, str) or ".." in entry.path.split("/"):
            return False
        try:
            status = os.lstat(f"{self.root}/{entry.path}")
        except (OSError, ValueError):
            return False
        seen = (status.st_size, status.st_mtime_ns, status.st_ino)
        return seen == (entry.size, entry.mtime_ns, entry.inode)

    def lying(self, ids: Iterable[str]) -> set[str]:
        """Paths that these sessions hold; one of them may have taken an old place of another."""
        return {
            entry.path
            for name in ids
            for manifest in self.read(name).resources
            for entry in manifest.entries
        }

    def all_gone(self) -> Iterator[tuple[str, Entry]]:
        """All files of ours that the server has no more, with their experiment's ID."""
        if self.gone.is_dir():
            for path in sorted(self.gone.glob("*.json")):
                for entry in self.read_gone(path.stem):
                    yield path.stem, entry
