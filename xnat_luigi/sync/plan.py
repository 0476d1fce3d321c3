"""What is to be done, and why; looks at the disk and changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import XNATResponseError
from ..rest import contents
from ..rest.listings import list_scans
from ..rest.records import Experiment, Resource
from ..staging.manifest import Damage, Manifest, verify
from ..transfer.layout import Origin, check_layout, prove_apart
from ..transfer.select import Selection
from ..uris import Address
from .inventory import Inventory
from .state import STATE, Known, State

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["STATE", "Plan", "Step", "make", "measure", "repair", "selection_words"]

_SEEN_WORDS = ("project", "subject_id", "subject_label", "experiment_id", "experiment_label")

Chosen = Callable[[Experiment], bool]


@dataclass(frozen=True)
class Step:
    """One session to look at.

    `reason` is `new` (nothing of it is here), `incomplete` (an earlier run did not end it),
    `changed` (there, or another selection is asked for), `missing` or `damaged` (here), `deep`
    (digests are to be compared) or `repair`. After `measure`, `files` and `bytes` say at most how
    much has to be fetched; they are -1 where the server does not say. `deep` hashes what is here.
    """

    session: Experiment
    reason: str
    detail: str = ""
    stamp: str = ""
    files: int = 0
    bytes: int = 0
    deep: bool = False


@dataclass(frozen=True)
class Plan:
    """Steps in a fixed order; `same` counts the sessions with nothing to do.

    `settled` are sessions whose subject has changed but they have not; `deleted` are IDs (with
    labels in `labels`) that lie on disk and are not on the server any more; `gone` are files of
    sessions that are still there; `drifted` were edited here; all of these are left as they are.
    """

    inventory: Inventory
    root: Path
    layout: str
    steps: tuple[Step, ...]
    same: int
    deleted: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    settled: tuple[Step, ...] = ()
    labels: Mapping[str, str] | None = None
    measured: bool = False
    restore: bool = False

    @property
    def empty(self) -> bool:
        """Whether server and disk agree."""
        return not self.steps

    @property
    def requests(self) -> int:
        """Requests that the steps will need at most, one zip for each session counted."""
        each = 2 + (1 if self.inventory.selection.needs_scans else 0)
        return sum(each + (1 if step.files else 0) for step in self.steps)

    def to_dict(self) -> dict[str, object]:
        """For machines; the order is fixed."""
        sum_of = {
            "sessions": len(self.steps),
            "same": self.same,
            "requests": self.requests,
        }
        if self.measured:
            sum_of["files"] = sum(max(step.files, 0) for step in self.steps)
            sum_of["bytes"] = sum(max(step.bytes, 0) for step in self.steps)
        return {
            "project": self.inventory.project,
            "steps": [
                {
                    "session": step.session.label,
                    "id": step.session.id,
                    "reason": step.reason,
                    "detail": step.detail,
                    **({"files": step.files, "bytes": step.bytes} if self.measured else {}),
                }
                for step in self.steps
            ],
            "deleted": [self._named(one) for one in self.deleted],
            "gone": list(self.gone),
            "drifted": list(self.drifted),
            "free": free_space(self.root),
            "sum": sum_of,
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def _named(self, experiment_id: str) -> str:
        label = (self.labels or {}).get(experiment_id, "")
        return f"{label} ({experiment_id})" if label else experiment_id

    def to_text(self) -> str:
        """A line for every step, and a sum."""
        lines = []
        for step in self.steps:
            size = f", {step.files} files, {step.bytes:,} bytes"
            size = size if self.measured and step.files >= 0 and step.bytes >= 0 else ""
            lines.append(f"{step.session.label}: {step.reason} {step.detail}".rstrip() + size)
        lines += [f"{self._named(one)}: deleted on the server, still here" for one in self.deleted]
        lines += [f"{one}: not on the server any more, still here" for one in self.gone]
        lines += [f"{one}: edited here, left as it is" for one in self.drifted]
        end = f"{len(self.steps)} sessions to do, {self.same} the same"
        if self.measured:
            most = sum(max(step.bytes, 0) for step in self.steps)
            end += (
                f"; at most {most:,} bytes in about {self.requests} requests, "
                f"{free_space(self.root):,} bytes are free"
            )
        return "\n".join([*lines, end])


def selection_words(selection: Selection, layout: str) -> str:
    """What was asked for of a session: with another selection or layout it is looked at again."""
    inside = {
        "scans": selection.scans,
        "resources": selection.resources,
        "qualities": selection.qualities,
    }
    return json.dumps({"layout": layout, **{k: v for k, v in inside.items() if v}})


def make(
    inventory: Inventory,
    root: Path,
    *,
    layout: str = "documented",
    deep: bool | Chosen = False,
) -> Plan:
    """Compare the inventory with the disk.

    Parameters
    ----------
    layout : str
        A name of `layout.LAYOUTS`, or a template.
    deep : bool or callable
        Look into sessions though nothing shows a change, to compare digests there and here; a
        callable says into which.

    Raises
    ------
    XNATUnsafeNameError
        Two sessions could have files at one place in this layout, of this project or of another
        one that was synced into the same folder.
    XNATConfigError
        The folder holds this project of another server.
    """
    state = State(root, inventory.project)
    state.check_server(inventory.server)
    prove_apart(_origins(inventory, state, layout), layout)
    wanted = deep if callable(deep) else (lambda session: bool(deep))
    words = selection_words(inventory.selection, layout)
    steps: dict[str, Step] = {}
    drifted: list[str] = []
    suspects: list[Experiment] = []
    own: dict[str, str] = {}
    for session in inventory.sessions:
        known = state.read(session.id)
        step, edited = _judge(session, known, root, words, wanted(session))
        drifted += edited
        if step is not None:
            steps[session.id] = step
        elif not _unmoved(inventory, session, known):
            own[session.id] = known.stamp("session")
            suspects.append(session)
    look = [*suspects, *(step.session for step in steps.values())]
    closer = inventory.look_closer(look) if look else {}
    settled = []
    for session in suspects:
        stamp = closer.get(session.id, "")
        if stamp and stamp == own[session.id]:
            settled.append(Step(session, "settled", stamp=stamp))
        else:
            steps[session.id] = Step(session, "changed", "it was modified on the server")
    ordered = tuple(
        replace(steps[one.id], stamp=closer.get(one.id, ""), deep=wanted(one))
        for one in inventory.sessions
        if one.id in steps
    )
    lying = state.experiments()
    deleted = tuple(one for one in lying if one not in inventory.ids)
    left = [entry.path for one, entry in state.all_gone() if one in inventory.ids]
    taken = state.lying(inventory.ids) if left else set()
    gone = tuple(path for path in left if path not in taken)
    labels = {one: state.read(one).label for one in deleted}
    same = len(inventory.sessions) - len(ordered)
    return Plan(
        inventory,
        root,
        layout,
        ordered,
        same,
        deleted,
        tuple(drifted),
        gone,
        tuple(settled),
        labels,
    )


def repair(
    inventory: Inventory,
    root: Path,
    *,
    layout: str = "documented",
    deep: bool = False,
    restore: bool = False,
) -> Plan:
    """Plan for what is missing or damaged here, whatever has changed on the server.

    Parameters
    ----------
    deep : bool
        Hash every file to find damage.
    restore : bool
        Also fetch again what was edited here; the edited files go to the trash.
    """
    state = State(root, inventory.project)
    state.check_server(inventory.server)
    steps = []
    drifted: list[str] = []
    for session in inventory.sessions:
        known = state.read(session.id)
        damages = [one for each in known.resources for one in verify(each, root, deep=deep)]
        edited = [one.path for one in damages if one.kind == "drifted"]
        broken = damages if restore else [one for one in damages if one.kind != "drifted"]
        drifted += [] if restore else edited
        if broken or (known.resources and not known.whole):
            detail = f"{broken[0].path} {broken[0].detail}" if broken else "a manifest is missing"
            steps.append(Step(session, "repair", detail, deep=deep))
    same = len(inventory.sessions) - len(steps)
    closer = inventory.look_closer([one.session for one in steps]) if steps else {}
    stamped = tuple(replace(one, stamp=closer.get(one.session.id, "")) for one in steps)
    return Plan(inventory, root, layout, stamped, same, drifted=tuple(drifted), restore=restore)


def _judge(
    session: Experiment, known: Known, root: Path, words: str, deep: bool
) -> tuple[Step | None, list[str]]:
    """A step if the disk alone, or the question, asks for one; and the files edited here."""
    if known.seen is None:
        return Step(session, "incomplete" if known.resources else "new"), []
    damages = [one for manifest in known.resources for one in verify(manifest, root, deep=deep)]
    edited = [one.path for one in damages if one.kind == "drifted"]
    broken = [one for one in damages if one.kind != "drifted"]
    if broken:
        return Step(session, _worst(broken), f"{broken[0].path} {broken[0].detail}"), edited
    if not known.whole:
        return Step(session, "missing", "a manifest"), edited
    if known.stamp("selection") != words:
        return Step(session, "changed", "something else is asked for"), edited
    if _renamed(session, known):
        return Step(session, "changed", "it was renamed on the server"), edited
    return (Step(session, "deep") if deep else None), edited


def _origins(inventory: Inventory, state: State, layout: str) -> Iterator[Origin]:
    for session in inventory.sessions:
        yield origin_of(inventory, session)
    if "{project}" not in check_layout(layout):
        for words in state.neighbours():
            yield Origin("", **{name: words[name] for name in _SEEN_WORDS if name in words})


def _worst(damages: list[Damage]) -> str:
    kinds = {one.kind for one in damages}
    return "missing" if kinds == {"missing"} else "damaged"


def _renamed(session: Experiment, known: Known) -> bool:
    assert known.seen is not None
    origin = known.seen.origin
    return (origin.get("experiment_label"), origin.get("subject_label")) != (
        session.label,
        session.subject_label,
    )


def _unmoved(inventory: Inventory, session: Experiment, known: Known) -> bool:
    stamp = inventory.stamp(session)
    return bool(stamp) and known.stamp("subject") == stamp


def origin_of(inventory: Inventory, session: Experiment, row: Resource | None = None) -> Origin:
    """The origin of a session, or of one of its resources."""
    own = row is None or row.category in ("", "resources")
    return Origin(
        server=inventory.server,
        project=inventory.project,
        subject_id=session.subject_id,
        subject_label=session.subject_label,
        experiment_id=session.id,
        experiment_label=session.label,
        category="resources" if row is None or own else row.category,
        parent_id="" if row is None or own else row.cat_id,
        parent_desc="" if row is None or own else row.cat_desc,
        resource_id=row.id if row is not None else "",
        resource_label=row.label if row is not None else "",
    )


def wanted_resources(
    conn: Connection, selection: Selection, session: Experiment
) -> tuple[list[Resource], list[Resource]]:
    """All resources of a session, and those that are meant."""
    rows = contents.list_resources(conn, Address(experiment=session.id), everything=True)
    scans = list_scans(conn, session.id) if selection.needs_scans and rows else []
    return rows, [row for row in rows if selection.takes_resource(row, scans)]


def measure(conn: Connection, plan: Plan) -> Plan:
    """Ask for counts and sizes of what the steps may fetch: one request a step.

    A resource whose count and size are those of its manifest is not counted. A session that the
    server refuses to list keeps the reason in its step.
    """
    state = State(plan.root, plan.inventory.project)
    steps = []
    for step in plan.steps:
        known = {
            one.origin.get("resource_id"): one for one in state.read(step.session.id).resources
        }
        try:
            _, rows = wanted_resources(conn, plan.inventory.selection, step.session)
        except XNATResponseError as error:
            steps.append(replace(step, detail=f"but: {error}", files=-1, bytes=-1))
            continue
        files = size = 0
        for row in rows:
            if not _as_known(row, known.get(row.id), plan.root):
                files = -1 if row.file_count is None or files < 0 else files + row.file_count
                size = -1 if row.file_size is None or size < 0 else size + row.file_size
        steps.append(replace(step, files=files, bytes=size))
    return replace(plan, steps=tuple(steps), measured=True)


def _as_known(row: Resource, manifest: Manifest | None, root: Path) -> bool:
    if manifest is None or any(one.kind != "drifted" for one in verify(manifest, root)):
        return False
    return (row.file_count, row.file_size) == (len(manifest.entries), manifest.size)


def free_space(root: Path) -> int:
    """Bytes free for us on the file system of a folder that may not exist yet."""
    while not root.exists() and root != root.parent:
        root = root.parent
    found = os.statvfs(root)
    return found.f_bavail * found.f_frsize
