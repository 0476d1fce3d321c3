"""Which sessions, scans and resources are meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from fnmatch import fnmatchcase

from ..exceptions import XNATValueError
from ..rest.records import Experiment, Resource, Scan

__all__ = ["Selection", "fits", "nearest"]


@dataclass(frozen=True)
class Selection:
    """Patterns, each a tuple of which one must fit; empty means all.

    A pattern is a glob (`S1_*`), or with `re:` in front a regular expression that must fit as a
    whole (`re:S\\d+_MR[12]`).

    Attributes
    ----------
    sessions, subjects : tuple of str
        Labels or IDs.
    scans : tuple of str
        IDs or types; with it (or `qualities`) only resources of scans are taken.
    resources : tuple of str
        Labels.
    types : tuple of str
        xsiTypes of sessions, `xnat:mrSessionData`.
    qualities : tuple of str
        Of scans, `usable`; costs one request for each session that is looked at.
    since, until : str
        First and last date of a session, `YYYY-MM-DD`; a session without a date is left out then.
    custom : tuple of str
        `NAME=GLOB` for custom variables of sessions; all of them must fit.
    shared : bool
        Also sessions that belong to another project and are shared into this one.
    """

    sessions: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    qualities: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    custom: tuple[str, ...] = ()
    shared: bool = True

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            value = getattr(self, name)
            if value and not _is_date(value):
                raise XNATValueError(f"{name}: {value!r} is no date like 2024-02-01")
        if self.since and self.until and self.since > self.until:
            raise XNATValueError(f"since {self.since} is after until {self.until}")
        for patterns in (self.sessions, self.subjects, self.scans, self.resources, self.types):
            for one in patterns:
                _check_pattern(one)
        for one in self.custom:
            if not one.partition("=")[0] or "=" not in one:
                raise XNATValueError(f"custom: {one!r} is not NAME=VALUE, for example cohort=A*")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Selection:
        """Make a selection of plain values, as a TOML file or a command line has them.

        A list of patterns may also be one text, with commas.

        Raises
        ------
        XNATValueError
            An unknown key, with the nearest right one, or a value of a wrong kind.
        """
        kinds = {one.name: one.type for one in fields(cls)}
        taken: dict[str, object] = {}
        for key, value in values.items():
            if key not in kinds:
                raise XNATValueError(f"a selection has no {key!r}{nearest(key, kinds)}")
            taken[key] = _read(key, str(kinds[key]), value)
        return cls(**taken)  # type: ignore[arg-type]

    def takes_session(self, session: Experiment, custom: Mapping[str, str] | None = None) -> bool:
        """Whether a session is meant; `custom` are its variables, where some are asked for.

        `shared` is not looked at: a row does not tell whose the session is (A 3.5).
        """
        return (
            fits(self.sessions, session.label, session.id)
            and fits(self.subjects, session.subject_label, session.subject_id)
            and fits(self.types, session.xsi_type)
            and self._in_time(session.date)
            and all(_has(custom or {}, one) for one in self.custom)
        )

    def _in_time(self, day: str) -> bool:
        if not (self.since or self.until):
            return True
        return bool(day) and self.since <= day and (not self.until or day <= self.until)

    @property
    def needs_scans(self) -> bool:
        """Whether the scans of a session must be listed to answer `takes_resource`."""
        return bool(self.qualities)

    def takes_resource(self, resource: Resource, scans: Iterable[Scan] = ()) -> bool:
        """Whether a resource of a session, scan or assessor is meant."""
        if not fits(self.resources, resource.label):
            return False
        if not (self.scans or self.qualities):
            return True
        if resource.category != "scans":
            return False
        if not fits(self.scans, resource.cat_id, resource.cat_desc):
            return False
        qualities = [one.quality for one in scans if one.id == resource.cat_id]
        return not self.qualities or any(fits(self.qualities, one) for one in qualities)


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'X'?`, or the list of what there is when nothing is near."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"


def fits(patterns: Sequence[str], *names: str) -> bool:
    """Say whether one of the names fits one of the patterns; no pattern at all fits everything."""
    return not patterns or any(_fits_one(one, name) for one in patterns for name in names)


def _fits_one(pattern: str, name: str) -> bool:
    if pattern.startswith("re:"):
        return re.fullmatch(pattern[3:], name) is not None
    return fnmatchcase(name, pattern)


def _check_pattern(pattern: str) -> None:
    if pattern.startswith("re:"):
        try:
            re.compile(pattern[3:])
        except re.error as error:
            raise XNATValueError(f"{pattern!r} is no regular expression: {error}") from None


def _has(custom: Mapping[str, str], wanted: str) -> bool:
    name, _, pattern = wanted.partition("=")
    lowered = {key.lower(): value for key, value in custom.items()}
    return name.lower() in lowered and fnmatchcase(lowered[name.lower()], pattern)


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _read(key: str, kind: str, value: object) -> object:
    if kind == "bool":
        if isinstance(value, bool):
            return value
        raise XNATValueError(f"{key}: true or false is due, not {value!r}")
    if kind == "str":
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, str):
            return value
        raise XNATValueError(f"{key}: a text is due, not {value!r}")
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(one.strip() for one in value if one.strip())
    raise XNATValueError(f"{key}: a list of texts is due, not {value!r}")
