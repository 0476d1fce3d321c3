"""What lies on disk and was proven, as a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import luigi

from ..staging.manifest import Manifest, find_manifests, read_manifest, verify

__all__ = ["StagedTarget"]

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
