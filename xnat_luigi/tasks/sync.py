"""A project, or sessions of it, to disk: tasks over `xnat_luigi.sync`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import luigi

from ..exceptions import XNATError, XNATValueError
from ..sync import inventory, plan
from ..sync.apply import Rules, apply
from ..sync.deep import Turn, parse_deep
from ..sync.order import Order, explain, read_order
from ..targets.recent import Recent
from ..targets.staged import StagedTarget
from ..transfer.select import Selection, fits
from .base import XnatTask, split
from .ending import cleanly

__all__ = ["SyncExperiment", "SyncFailedError", "SyncOrder", "SyncProject"]


DIGESTS = ("size", "fail", "refresh")


_recent: Recent[inventory.Inventory] = Recent()


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
    deep: str = luigi.StrParameter(
        default="",
        significant=False,
        description="compare digests though nothing shows a change: all, or 1/30 for another "
        "thirtieth of the project in every run",
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
        named = {key: split(text) for key, text in given.items() if text}
        return Selection.from_mapping({**self.select, **named, **self.session_names()})

    def session_names(self) -> dict[str, tuple[str, ...]]:
        """The sessions, where the task names some."""
        return {}

    def take_inventory(self) -> inventory.Inventory:
        """What the server has of it now: two requests."""
        return inventory.take(self.connect(), self.project, self.selection())

    def turn(self) -> Turn | None:
        """The part of the project that is to be looked at deeply."""
        parts = parse_deep(self.deep)
        return Turn.read(self.root, self.project, parts) if parts else None

    def make_plan(self) -> plan.Plan:
        """What is to be done now, with a look at the disk."""
        turn = None if vars(self).get("_deep_done") else self.turn()
        deep = turn.takes if turn is not None else False
        return plan.make(self.take_inventory(), self.root, layout=self.layout, deep=deep)

    def complete(self) -> bool:
        """Whether the server's inventory and the disk agree; a deep look is never done before."""
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
        turn = self.turn()
        if turn is not None:
            turn.done()
        vars(self)["_deep_done"] = True


class SyncProject(SyncTask):
    """A project to disk, one task with an inner pool.

    Complete when the inventory says so: every session of the selection is on disk as of the
    server's latest stamp, and its files are what their manifests say.
    """

    sessions: str = luigi.StrParameter(
        default="", description="labels or IDs of sessions, globs with commas"
    )

    def session_names(self) -> dict[str, tuple[str, ...]]:
        return {"sessions": split(self.sessions)} if self.sessions else {}

    def take_inventory(self) -> inventory.Inventory:
        """As for all; a session, subject or type that the project lacks is an error.

        Raises XNATValueError with the nearest name there is.
        """
        found = super().take_inventory()
        found.refuse_unknown()
        return found

    def output(self) -> StagedTarget:
        return StagedTarget(str(self.root), self.project)


class SyncExperiment(SyncTask):
    """One session to disk, or a batch of them in one run, for those who want the graph."""

    experiment: str = luigi.StrParameter(
        batch_method=",".join, description="ID or label of the session, several with commas"
    )
    max_batch_size = 500

    def session_names(self) -> dict[str, tuple[str, ...]]:
        return {"sessions": split(self.experiment)}

    def complete(self) -> bool:
        """As for the project; a session the server does not know is not complete.

        Many of these asked in a row share one inventory of the project, less than a minute old,
        that is believed when it says that nothing is to be done.
        """
        recent = self.recent_inventory()
        if not self.deep and self.settled(plan.make(recent, self.root, layout=self.layout)):
            return True
        return self.settled(self.make_plan())

    def settled(self, todo: plan.Plan) -> bool:
        """Whether a plan says that all sessions asked for are there and right."""
        known = {name for one in todo.inventory.sessions for name in (one.id, one.label)}
        return todo.empty and known.issuperset(split(self.experiment))

    def recent_inventory(self) -> inventory.Inventory:
        """This task's part of the inventory that all of its kind share."""
        whole = replace(self.selection(), sessions=())
        key = (self.connect().server, self.project, repr(whole))
        found = _recent.get(key)
        if found is None:
            begun = _recent.now()
            found = inventory.take(self.connect(), self.project, whole)
            _recent.put(key, begun, found)
        wanted = replace(whole, sessions=split(self.experiment))
        mine = (one for one in found.sessions if fits(wanted.sessions, one.label, one.id))
        return replace(found, sessions=tuple(mine), selection=wanted)

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[Any]) -> list[Any]:
        """Those of many that are complete, by one inventory; a tuple is all parameters in order,
        or a mapping of them."""
        return [
            one
            for one in parameter_tuples
            if (cls(**one) if isinstance(one, Mapping) else cls(*one)).complete()
        ]

    @cleanly
    def run(self) -> None:
        _recent.forget()
        known = self.make_plan().inventory.sessions
        names = {name for one in known for name in (one.id, one.label)}
        missing = sorted(set(split(self.experiment)) - names)
        super().run()
        if missing:
            raise SyncFailedError(f"project {self.project} has no session {', '.join(missing)}")

    def output(self) -> StagedTarget:
        return StagedTarget(str(self.root), self.project)


class SyncOrder(luigi.WrapperTask):
    """What a file orders, as `xnat-luigi sync FILE.toml` does it: one `SyncProject` a project.

    The file is read when Luigi asks what is required, and holds no secret.
    """

    task_namespace = "xnat"

    order: str = luigi.StrParameter(description="TOML file; docs/sync.md describes it")

    def requires(self) -> list[SyncProject]:
        path = Path(self.order).expanduser()
        values = read_order(path)
        try:
            wanted = Order.from_mapping(values)
        except XNATValueError as error:
            raise explain(path, error) from None
        select = {
            one.name: value
            for one in fields(wanted.select)
            if (value := getattr(wanted.select, one.name)) != one.default
        }
        return [
            SyncProject(
                server=wanted.server,
                project=project,
                dest=str(wanted.dest),
                layout=wanted.layout,
                select=select,
                digests=wanted.digests,
                cap=wanted.cap,
                deep=wanted.deep,
                transfers=wanted.workers,
            )
            for project in wanted.projects
        ]
