"""What is to be done, and why; pure but for looking at the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..rest.records import Experiment
from ..staging.manifest import Manifest, read_manifest, verify, write_manifest
from .inventory import Inventory

__all__ = ["Plan", "Step", "make", "read_known", "session_folder", "write_seen"]

STATE = ".xnat-luigi"
SEEN = "session.json"


@dataclass(frozen=True)
class Step:
    """One session to look at. `reason` is `new`, `changed`, `damaged` or `deep`."""

    session: Experiment
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Plan:
    """Steps in a fixed order; `same` counts the sessions with nothing to do.

    `deleted` are IDs of experiments that lie on disk and are not on the server any more; `drifted`
    are files that somebody edited here.
    """

    inventory: Inventory
    root: Path
    layout: str
    steps: tuple[Step, ...]
    same: int
    deleted: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether server and disk agree."""
        return not self.steps

    def to_text(self) -> str:
        """A line for every step, and a sum."""
        lines = [
            f"{step.session.label}: {step.reason} {step.detail}".rstrip() for step in self.steps
        ]
        lines += [f"{one}: deleted on the server, still here" for one in self.deleted]
        lines += [f"{one}: edited here, left as it is" for one in self.drifted]
        return "\n".join([*lines, f"{len(self.steps)} sessions to do, {self.same} the same"])


def session_folder(root: Path, project: str, experiment_id: str) -> Path:
    """Where the manifests of a session lie."""
    return root / STATE / "manifests" / project / experiment_id


def read_known(folder: Path) -> tuple[Manifest | None, list[Manifest]]:
    """What was seen of a session as a whole, and the manifests of its resources."""
    seen = read_manifest(folder / SEEN)
    resources = []
    if folder.is_dir():
        for path in sorted(folder.glob("*.json")):
            manifest = read_manifest(path) if path.name != SEEN else None
            if manifest is not None:
                resources.append(manifest)
    return seen, resources


def write_seen(
    root: Path, project: str, session: Experiment, words: str, resources: int, stamp: str
) -> None:
    """Note that all of a session is on disk as of a stamp; written after everything else."""
    origin = {"experiment_id": session.id, "experiment_label": session.label, "project": project}
    stamps = {"subject": stamp, "selection": words, "resources": str(resources)}
    path = session_folder(root, project, session.id) / SEEN
    write_manifest(path, Manifest(origin, (), stamps), root=root)


def selection_words(inventory: Inventory, layout: str) -> str:
    """What was asked for, in one word: another selection or layout is another question."""
    return f"{inventory.selection!r} {layout}"


def make(
    inventory: Inventory, root: Path, *, layout: str = "documented", deep: bool = False
) -> Plan:
    """Compare the inventory with the disk. Files are proven by size, time and inode, or hashed."""
    steps: list[Step] = []
    drifted: list[str] = []
    same = 0
    for session in inventory.sessions:
        folder = session_folder(root, inventory.project, session.id)
        seen, resources = read_known(folder)
        step, edited = _judge(inventory, session, seen, resources, root, layout)
        drifted += edited
        if deep and step is None:
            step = Step(session, "deep")
        if step is None:
            same += 1
        else:
            steps.append(step)
    present = {one.id for one in inventory.sessions}
    base = root / STATE / "manifests" / inventory.project
    lying = sorted(path.name for path in base.iterdir() if path.is_dir()) if base.is_dir() else []
    whole = inventory.selection == type(inventory.selection)()
    deleted = (
        tuple(one for one in lying if one not in present and one != "project") if whole else ()
    )
    return Plan(inventory, root, layout, tuple(steps), same, deleted, tuple(drifted))


def _judge(
    inventory: Inventory,
    session: Experiment,
    seen: Manifest | None,
    resources: list[Manifest],
    root: Path,
    layout: str,
) -> tuple[Step | None, list[str]]:
    if seen is None:
        return Step(session, "new" if not resources else "incomplete"), []
    damages = [damage for manifest in resources for damage in verify(manifest, root)]
    edited = [damage.path for damage in damages if damage.kind == "drifted"]
    broken = [damage for damage in damages if damage.kind != "drifted"]
    if broken:
        return Step(session, "damaged", f"{broken[0].path} {broken[0].detail}"), edited
    if len(resources) != int(seen.stamps.get("resources", "-1")):
        return Step(session, "damaged", "a manifest is missing"), edited
    if seen.stamps.get("selection") != selection_words(inventory, layout):
        return Step(session, "changed", "something else is asked for"), edited
    stamp = inventory.stamp(session)
    if not stamp or seen.stamps.get("subject") != stamp:
        return Step(session, "changed", "its subject was modified on the server"), edited
    return None, edited
