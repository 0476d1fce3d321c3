"""What a sync is asked to do, as a file that can be kept in git and as options of a command.

::

    server = "https://xnat.example.org"
    projects = ["P1", "P2"]
    dest = "/data/xnat"
    layout = "documented"
    deep = "1/30"

    [select]
    types = ["xnat:mrSessionData"]
    scans = ["T1*", "T2*"]
    qualities = ["usable"]
    since = 2024-01-01

No secret has a place here: the password comes from netrc or the environment.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..exceptions import XNATConfigError, XNATError, XNATValueError
from ..transfer.fetch import DIGESTS
from ..transfer.layout import check_layout
from ..transfer.select import Selection, nearest
from .deep import parse_deep

tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

__all__ = ["Order", "read_order"]


@dataclass(frozen=True)
class Order:
    """A destination, and what shall be in it.

    Attributes
    ----------
    workers : int
        Sessions fetched at a time.
    cap : int
        Sessions fetched from this server at a time by all processes of this user on this machine;
        0 is no cap.
    digests : str
        `size`, `fail` or `refresh`: what to do where the server has no digest.
    deep : str
        `all`, or `1/30` for a different thirtieth of each project in every run, or "".
    """

    server: str
    projects: tuple[str, ...]
    dest: Path
    layout: str = "documented"
    select: Selection = field(default_factory=Selection)
    workers: int = 4
    cap: int = 4
    digests: str = "size"
    deep: str = ""

    def __post_init__(self) -> None:
        check_layout(self.layout)
        parse_deep(self.deep)
        if self.digests not in DIGESTS:
            raise XNATConfigError(f"digests: {self.digests!r}{nearest(self.digests, DIGESTS)}")
        if len(self.projects) > 1 and "{project}" not in check_layout(self.layout):
            raise XNATConfigError(
                f"layout {self.layout!r} does not hold {{project}}, so sessions of several "
                "projects could meet: add it, or give each project a destination of its own"
            )
        if self.workers < 1 or self.cap < 0:
            raise XNATConfigError("workers must be at least 1, and cap at least 0")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Order:
        """Make an order of plain values.

        Raises
        ------
        XNATConfigError
            An unknown key, with the nearest right one; a value of a wrong kind; a key missing.
        """
        known = {one.name for one in fields(cls)}
        taken: dict[str, object] = {}
        for key, value in values.items():
            if key not in known:
                raise XNATConfigError(f"there is no {key!r} in a sync{nearest(key, known)}")
            taken[key] = _read(key, value)
        missing = [key for key in ("server", "projects", "dest") if not taken.get(key)]
        if missing:
            raise XNATConfigError(f"{missing[0]} is missing: say it in the file or as an option")
        return cls(**taken)  # type: ignore[arg-type]


def _read(key: str, value: object) -> object:
    if key == "select":
        if isinstance(value, Selection):
            return value
        if isinstance(value, Mapping):
            return Selection.from_mapping(value)
        raise XNATConfigError("select: a table of patterns is due")
    if key in ("workers", "cap"):
        if isinstance(value, bool) or not isinstance(value, int):
            raise XNATConfigError(f"{key}: a whole number is due, not {value!r}")
        return value
    if key == "projects":
        if isinstance(value, str):
            value = value.split(",")
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(one.strip() for one in value if one.strip())
        raise XNATConfigError(f"projects: a list of project IDs is due, not {value!r}")
    if not isinstance(value, str | Path):
        raise XNATConfigError(f"{key}: a text is due, not {value!r}")
    return Path(value).expanduser().absolute() if key == "dest" else str(value)


def read_order(path: Path) -> dict[str, object]:
    """The plain values of a TOML file; `Order.from_mapping` makes sense of them.

    Raises
    ------
    XNATConfigError
        It cannot be read, or is no TOML; says where.
    """
    try:
        found: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise XNATConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise XNATConfigError(f"{path} is no TOML: {error}") from error
    return found


def explain(path: Path, error: XNATError) -> XNATValueError:
    """The same error, with the file it is about."""
    return XNATConfigError(f"{path}: {error}")
