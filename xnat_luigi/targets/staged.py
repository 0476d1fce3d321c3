"""What lies on disk and was proven, as a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import luigi

from ..rest import absence, contents
from ..rest.records import Experiment, File, Resource
from ..staging.manifest import Entry, Manifest, find_manifests, read_manifest, verify
from ..transfer.fetch import manifest_path
from ..transfer.layout import Origin, place
from ..uris import Address
from .resource import PlacedTarget

__all__ = ["StagedResourceTarget", "StagedTarget"]

STATE = ".xnat-luigi"


@dataclass(frozen=True)
class StagedTarget(luigi.Target):
    """Exists when manifests are there and every file is what they say.

    Says nothing about the server: whether a newer version exists there is the inventory's question.

    Args:
        root: the destination of a sync or download.
        project: project ID.
        experiment: ID of an experiment; empty for all of the project.
        deep: hash every file instead of trusting size, time and inode.
    """

    root: str
    project: str
    experiment: str = ""
    deep: bool = False

    def manifests(self) -> list[Manifest]:
        """The readable manifests; a damaged one counts as absent, and so does its resource."""
        folder = Path(self.root).expanduser() / STATE / "manifests" / self.project
        if self.experiment:
            folder = folder / self.experiment
        if not folder.is_dir():
            return []
        found = (read_manifest(path) for path in find_manifests(folder))
        return [manifest for manifest in found if manifest is not None]

    def exists(self) -> bool:
        found = self.manifests()
        root = Path(self.root).expanduser()
        return bool(found) and not any(verify(one, root, deep=self.deep) for one in found)


@dataclass(frozen=True)
class StagedResourceTarget(PlacedTarget):
    """Exists when a resource lies on disk as the server lists it now.

    Every file the server lists is there with that size and digest, is what the manifest says, and
    lies where the layout puts it. What the server has no digest of is taken by its size.

    Args:
        root: the destination.
        layout: name of a layout, or a template (`transfer/layout.py`).
    """

    root: str = ""
    layout: str = "documented"

    @property
    def folder(self) -> Path:
        """The destination as a whole path."""
        return Path(self.root).expanduser().absolute()

    def remote(self) -> tuple[Origin, tuple[File, ...]] | None:
        """What the server has: the resource's origin and files; None when it is absent."""
        connection = self.connect()
        address = self.address(connection)
        if address is None:
            return None
        if address.experiment is None:
            return self._of_project(address)
        found = absence.find_experiment(connection, self.project, self.experiment)
        if found is None:
            return None
        # The listing of the whole experiment tells the scan's type, which is a part of the path.
        rows = contents.list_resources(
            connection, Address(experiment=address.experiment), everything=True
        )
        below = address.scan or address.assessor
        for row in rows:
            here = row.cat_id == below if below else row.category in ("", "resources")
            if here and self.resource in (row.label, row.id):
                files = contents.list_files(connection, address, row.id)
                return self._origin(found, row, below), tuple(files)
        return None

    def _of_project(self, address: Address) -> tuple[Origin, tuple[File, ...]] | None:
        connection = self.connect()
        row = absence.find_resource(connection, address, self.resource)
        if row is None:
            return None
        origin = Origin(
            server=connection.server,
            project=self.project,
            subject_id=address.subject or "",
            subject_label=self.subject or "project",
            experiment_label="resources",
            resource_id=row.id,
            resource_label=row.label,
        )
        return origin, tuple(contents.list_files(connection, address, self.resource))

    def _origin(self, found: Experiment, row: Resource, below: str | None) -> Origin:
        subject = absence.find_subject(self.connect(), self.project, found.subject_id)
        return Origin(
            server=self.connect().server,
            project=self.project,
            subject_id=found.subject_id,
            subject_label=subject.label if subject else "",
            experiment_id=found.id,
            experiment_label=found.label,
            category=row.category if below else "resources",
            parent_id=row.cat_id if below else "",
            parent_desc=row.cat_desc if below else "",
            resource_id=row.id,
            resource_label=row.label,
        )

    def standing(self, origin: Origin, files: tuple[File, ...]) -> list[Entry]:
        """Entries of the manifest that still hold: of these files nothing is to be fetched."""
        manifest = read_manifest(manifest_path(self.folder, origin))
        if manifest is None:
            return []
        damaged = {one.path for one in verify(manifest, self.folder)}
        now = {file.path: file for file in files}
        return [
            entry
            for entry in manifest.entries
            if entry.path not in damaged
            and entry.remote in now
            and _agrees(entry, now[entry.remote])
            and entry.path == place(origin, entry.remote, self.layout).as_posix()
        ]

    def exists(self) -> bool:
        found = self.remote()
        if found is None:
            return False
        origin, files = found
        manifest = read_manifest(manifest_path(self.folder, origin))
        return manifest is not None and len(self.standing(origin, files)) == len(files)


def _agrees(entry: Entry, file: File) -> bool:
    if file.size is not None and file.size != entry.size:
        return False
    return file.md5 in ("", entry.md5)
