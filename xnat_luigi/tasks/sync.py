"""A project, or sessions of it, to disk: tasks over `xnat_luigi.sync`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import luigi

from ..exceptions import XNATError
from ..sync import inventory, plan
from ..sync.apply import Rules, apply
from ..targets.staged import StagedTarget
from ..transfer.select import Selection
from .base import XnatTask
from .ending import cleanly

__all__ = ["SyncExperiment", "SyncFailedError", "SyncProject"]


DIGESTS = ("size", "fail", "refresh")


class SyncFailedError(XNATError):
    """Some sessions could not be fetched, the others were; the message names them."""


class SyncTask(XnatTask):
    """What both kinds share: a destination, a layout, a selection."""

    dest: str = luigi.StrParameter(description="folder on this machine")
    layout: str = luigi.StrParameter(
        default="documented", description="name of a layout, or a template"
    )
    subjects: str = luigi.StrParameter(default="", description="globs, separated by commas")
    scans: str = luigi.StrParameter(default="", description="IDs or types, globs with commas")
    labels: str = luigi.StrParameter(
        default="", description="labels of resources, globs with commas"
    )
    select: Mapping[str, Any] = luigi.DictParameter(
        default={},
        description="JSON with further fields of a selection: types, qualities, custom, since, "
        "until, shared",
    )
    digests: str = luigi.ChoiceParameter(
        choices=DIGESTS,
        default="size",
        significant=False,
        description="files without a digest on the server: take them by size, fail, or have the "
        "server compute them first",
    )
    cap: int = luigi.IntParameter(
        default=0,
        significant=False,
        description="sessions fetched at a time by all processes of this machine; 0 is no cap",
    )
    transfers: int = luigi.IntParameter(
        default=4, significant=False, description="sessions fetched at a time inside the task"
    )

    @property
    def root(self) -> Path:
        """The destination."""
        return Path(self.dest).expanduser().absolute()

    def selection(self) -> Selection:
        """What is asked for.

        Raises XNATValueError for a field that no selection has, naming the nearest right one.
        """
        given = {"subjects": self.subjects, "scans": self.scans, "resources": self.labels}
        named = {key: _split(text) for key, text in given.items() if text}
        return Selection.from_mapping({**self.select, **named, **self.session_names()})

    def session_names(self) -> dict[str, tuple[str, ...]]:
        """The sessions, where the task names some."""
        return {}

    def make_plan(self) -> plan.Plan:
        """What is to be done now: two requests and a look at the disk."""
        found = inventory.take(self.connect(), self.project, self.selection())
        return plan.make(found, self.root, layout=self.layout)

    def complete(self) -> bool:
        """Whether the server's inventory and the disk agree."""
        return self.make_plan().empty

    @cleanly
    def run(self) -> None:
        """Fetches what differs; raises when a session could not be fetched."""
        todo = self.make_plan()
        line = self.status_line()
        line.say(f"{len(todo.steps)} sessions to look at, {todo.same} the same", final=True)

        def progress(done: int, every: int) -> None:
            line.say(f"{done} of {every} sessions", done=done / max(every, 1))

        report = apply(
            self.connect(),
            todo,
            workers=self.transfers,
            rules=Rules(digests=self.digests, cap=self.cap),
            progress=progress,
        )
        line.say(report.to_text(), done=1.0, final=True)
        if report.failed:
            named = "; ".join(f"{one.session}: {one.failed}" for one in report.failed[:5])
            more = f"; and {len(report.failed) - 5} more" if len(report.failed) > 5 else ""
            raise SyncFailedError(
                f"{len(report.failed)} of {len(todo.steps)} sessions of {self.project} could not "
                f"be fetched: {named}{more}"
            )


class SyncProject(SyncTask):
    """A project to disk, one task with an inner pool.

    Complete when the inventory says so: every session of the selection is on disk as of the
    server's latest stamp, and its files are what their manifests say.
    """

    sessions: str = luigi.StrParameter(
        default="", description="labels or IDs of sessions, globs with commas"
    )

    def session_names(self) -> dict[str, tuple[str, ...]]:
        return {"sessions": _split(self.sessions)} if self.sessions else {}

    def output(self) -> StagedTarget:
        return StagedTarget(str(self.root), self.project)


class SyncExperiment(SyncTask):
    """One session to disk, or a batch of them in one run, for those who want the graph."""

    experiment: str = luigi.StrParameter(
        batch_method=",".join, description="ID or label of the session, several with commas"
    )
    max_batch_size = 500

    def session_names(self) -> dict[str, tuple[str, ...]]:
        return {"sessions": _split(self.experiment)}

    def complete(self) -> bool:
        """As for the project; a session the server does not know is not complete."""
        todo = self.make_plan()
        known = {name for one in todo.inventory.sessions for name in (one.id, one.label)}
        return todo.empty and known.issuperset(_split(self.experiment))

    @cleanly
    def run(self) -> None:
        known = self.make_plan().inventory.sessions
        names = {name for one in known for name in (one.id, one.label)}
        missing = sorted(set(_split(self.experiment)) - names)
        super().run()
        if missing:
            raise SyncFailedError(f"project {self.project} has no session {', '.join(missing)}")

    def output(self) -> StagedTarget:
        return StagedTarget(str(self.root), self.project)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
