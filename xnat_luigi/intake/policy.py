"""What is done after a verdict, per project, as a TOML file.

::

    [default]
    on_pass = "archive"           # or "hold"
    on_warn = "hold"              # or "archive"
    on_fail = "hold"              # or "quarantine", "delete"
    delete_source = false         # delete the folder's files after the archive has been proven

    [project.P1]
    on_warn = "archive"

    [project.P2]
    on_fail = "quarantine"
    quarantine_project = "P2_QUARANTINE"

    [project.P3]
    on_fail = "delete"            # rows only, and only after so many days
    delete_after_days = 30

Nothing is deleted unless it is written here for that project, by name.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .. import uris
from ..exceptions import XNATConfigError

tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

ARCHIVE = "archive"
HOLD = "hold"
QUARANTINE = "quarantine"
DELETE = "delete"
_CHOICES = {
    "on_pass": (ARCHIVE, HOLD),
    "on_warn": (ARCHIVE, HOLD),
    "on_fail": (HOLD, QUARANTINE, DELETE),
}
_OWN_ONLY = ("delete_source", "delete_after_days")


class PolicyError(XNATConfigError):
    """A policy file cannot be used."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is done with the studies of one project; the defaults touch nothing that is not
    right.
    """

    on_pass: str = ARCHIVE
    on_warn: str = HOLD
    on_fail: str = HOLD
    quarantine_project: str = ""
    delete_after_days: float = 0.0
    delete_source: bool = False
    quality_pass: str = "usable"
    quality_warn: str = "questionable"
    quality_fail: str = "unusable"

    def after(self, status: str) -> str:
        """What follows a verdict: "archive", "hold", "quarantine" or "delete"."""
        return {"pass": self.on_pass, "warn": self.on_warn}.get(status, self.on_fail)

    def quality(self, status: str) -> str:
        """The word for a scan's quality."""
        words = {"pass": self.quality_pass, "warn": self.quality_warn}
        return words.get(status, self.quality_fail)


@dataclass(frozen=True)
class Policies:
    """A policy for every project."""

    default: Policy = Policy()
    projects: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, project: str) -> Policy:
        return self.projects.get(project, self.default)


def read_policies(path: str | Path) -> Policies:
    """Read a policy file. Raises PolicyError for everything that is wrong with it."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolicyError(f"policy file {path} cannot be read: {error}") from None
    known = {"default", "project"}
    for word in data:
        if word not in known:
            raise PolicyError(f"{path}: {word!r} is no word here; write [default] or [project.ID]")
    default = _policy(Policy(), data.get("default", {}), f"{path} [default]")
    for word in _OWN_ONLY:
        if word in data.get("default", {}) and data["default"][word]:
            raise PolicyError(
                f"{path} [default]: {word} is set for a project by name, never for all"
            )
    if default.on_fail == DELETE:
        raise PolicyError(f"{path} [default]: deleting is set for a project by name, never for all")
    return Policies(
        default,
        {
            uris.check_label(name, "project ID"): _policy(
                default, table, f"{path} [project.{name}]"
            )
            for name, table in data.get("project", {}).items()
        },
    )


def _policy(base: Policy, table: Mapping[str, Any], where: str) -> Policy:
    known = [one.name for one in fields(Policy)]
    for word, value in table.items():
        if word not in known:
            near = difflib.get_close_matches(word, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f": {', '.join(known)}"
            raise PolicyError(f"{where}: {word!r} is no word of a policy{hint}")
        if value not in _CHOICES.get(word, (value,)):
            raise PolicyError(f"{where}: {word} is one of {', '.join(_CHOICES[word])}")
        wanted: type | tuple[type, ...] = type(getattr(base, word))
        wanted = (int, float) if wanted is float else wanted
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise PolicyError(f"{where}: {word} = {value!r} is of the wrong kind")
    policy = replace(base, **table)
    if policy.on_fail == QUARANTINE and not policy.quarantine_project:
        raise PolicyError(f"{where}: quarantine needs quarantine_project")
    if policy.on_fail == DELETE and policy.delete_after_days <= 0:
        raise PolicyError(f"{where}: delete needs delete_after_days, above 0")
    return policy
