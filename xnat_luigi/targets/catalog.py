"""Catalogs that tell the truth, as a target."""

from __future__ import annotations

from dataclasses import dataclass

from ..rest import absence, contents
from ..uris import Address
from .remote import XnatTarget

__all__ = ["CatalogTarget"]


@dataclass(frozen=True)
class CatalogTarget(XnatTarget):
    """Exists when every file of an experiment has a size and an MD5, and the counts add up.

    Args:
        experiment: ID or label.
    """

    project: str
    experiment: str

    def exists(self) -> bool:
        return not self.open_points()

    def open_points(self) -> list[str]:
        """What a refresh should mend, in sentences; one that says so if there is no experiment."""
        connection = self.connect()
        found = absence.find_experiment(connection, self.project, self.experiment)
        if found is None:
            return [f"{self.project} has no experiment {self.experiment}"]
        points = []
        files = contents.list_session_files(connection, found.id)
        for resource in contents.list_resources(
            connection, Address(experiment=found.id), everything=True
        ):
            mine = [file for file in files if file.resource_id == resource.id]
            bare = sum(1 for file in mine if not file.md5 or file.size is None)
            if bare:
                points.append(f"{resource.label}: {bare} of {len(mine)} files without digest")
            counted = (resource.file_count, resource.file_size)
            if counted != (len(mine), sum(file.size or 0 for file in mine)):
                points.append(f"{resource.label}: the server counts {counted}, {len(mine)} listed")
        return points
