"""Which sessions, scans and resources are meant."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..rest.records import Experiment, Resource

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """Patterns, each a tuple of globs of which one must fit; empty means all.

    sessions: labels or IDs. subjects: labels or IDs. scans: IDs or types. resources: labels.
    """

    sessions: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()

    def takes_session(self, session: Experiment) -> bool:
        """Whether a session is meant."""
        return _fits(self.sessions, session.label, session.id) and _fits(
            self.subjects, session.subject_label, session.subject_id
        )

    def takes_resource(self, resource: Resource) -> bool:
        """Whether a resource of a session, scan or assessor is meant."""
        if not _fits(self.resources, resource.label):
            return False
        if not self.scans:
            return True
        return resource.category == "scans" and _fits(
            self.scans, resource.cat_id, resource.cat_desc
        )


def _fits(patterns: tuple[str, ...], *names: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
