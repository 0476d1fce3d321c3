"""The services of the stand-in as one part of the state: import, prearchive, archive, tracking.

`state.part(Services)` makes it once. Its knobs are for tests:

    services.jobs.hold("_ARCHIVING")          jobs stop there until `release()`
    services.archiver.knobs.archive_delay     seconds of the stand-in's clock, and others
    services.rebuilder.run()                  the idle rebuilder, now
"""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path

from .archiver import Archiver
from .dicom_session import HeaderCache
from .direct_archive import DirectArchive
from .inbox import Inbox
from .jobs import Jobs
from .prearchive_work import PrearchiveWork, Rebuilder
from .receiving import Receiver
from .state import State
from .state.prearchive import UNASSIGNED, Prearchive
from .state.tracking import Tracking

__all__ = ["Services"]


class Services:
    """Everything of the wire contract's part B that outlives a request."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.preferences = state.preferences
        self.clock = state.clock
        self.jobs = Jobs(state.clock)
        self.headers = HeaderCache()
        self.prearchive = Prearchive(state.root, state.store, state.clock)
        self.tracking = Tracking(state.store, state.clock)
        self.receiver = Receiver(
            self.prearchive,
            self.headers,
            state.preferences,
            state.clock,
            find_project=self.find_project,
            project_code=self.project_code,
        )
        self.work = PrearchiveWork(
            self.prearchive,
            self.headers,
            self.jobs,
            state.preferences,
            auto_archive=self.receiver.auto_archive,
        )
        self.archiver = Archiver(self)
        self.direct = DirectArchive(self)
        self.inbox = Inbox(self)
        self.rebuilder = Rebuilder(
            self.work,
            state.clock,
            state.preferences,
            is_receiving=self.receiver.is_receiving,
            then=self.archiver.after_build,
        )
        state.closing.append(self.jobs.close)
        self._sweep()

    def _sweep(self) -> None:
        """Removes what a killed server had half written; nothing is being written yet."""
        for left in self.state.prearchive.rglob(".*.part"):
            left.unlink(missing_ok=True)

    def start_ticking(self) -> None:
        """Starts the idle rebuilder's thread; called when the first file arrives."""
        self.jobs.tick(self._tick)

    def _tick(self) -> None:
        self.rebuilder.look()
        self.direct.look()

    @cached_property
    def user_cache(self) -> Path:
        """Where users keep scratch files for imports (B 8)."""
        path = self.state.cache / "users"
        path.mkdir(parents=True, exist_ok=True)
        return path

    # projects -----------------------------------------------------------------------------------

    def find_project(self, name: str, login: str | None) -> str:
        """The ID of a project by ID or alias, "" if unknown or `login` may not create in it.

        :param login: None for the site's receiver, who may everything.
        """
        project = self.state.items.project(name) if name != UNASSIGNED else None
        if project is None:
            return ""
        if login is not None and not self.state.rights.may(login, "create", project.id):
            return ""
        return project.id

    def project_code(self, project: str) -> int:
        """The project's `prearchive_code`: 0, 4 or 5."""
        return int(self.state.rights.code(project, "prearchive_code", "0"))

    @staticmethod
    def remove_tree(path: Path) -> None:
        """Removes a folder and whatever is in it."""
        shutil.rmtree(path, ignore_errors=True)
