"""What is checked: the headers of one study, and a way to its pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dicom import Header, read_header

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class SeriesFiles:
    """The whole files of one series, in order of InstanceNumber."""

    uid: str
    headers: tuple[Header, ...]

    @property
    def number(self) -> str:
        return self.headers[0].get("SeriesNumber")

    @property
    def description(self) -> str:
        return self.headers[0].get("SeriesDescription")

    @property
    def modality(self) -> str:
        return self.headers[0].get("Modality")

    def __str__(self) -> str:
        return f"series {self.number or '?'} {self.description!r}"


@dataclass(frozen=True)
class Material:
    """One study to be checked.

    headers: all files, also those that are not whole. subject, session: the labels it has or shall
    have, "" when not decided. expected: facts of who made the study, free words for one's own
    checks.
    """

    headers: tuple[Header, ...]
    subject: str = ""
    session: str = ""
    study_uid: str = ""
    open_file: Callable[[Header], Dataset] | None = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def whole(self) -> tuple[Header, ...]:
        return tuple(header for header in self.headers if header.whole)

    @cached_property
    def series(self) -> tuple[SeriesFiles, ...]:
        """Series by SeriesNumber."""
        members: dict[str, list[Header]] = {}
        for header in self.whole:
            members.setdefault(header.series_uid, []).append(header)
        found = [
            SeriesFiles(uid, tuple(sorted(files, key=_instance))) for uid, files in members.items()
        ]
        return tuple(sorted(found, key=lambda one: (number(one.number) or 0.0, one.uid)))

    def dataset(self, header: Header) -> Dataset:
        """The whole file with its pixel data; from disk unless `open_file` knows better."""
        if self.open_file is not None:
            return self.open_file(header)
        from pydicom import dcmread

        return dcmread(header.path)


def make_material(
    files: Iterable[Header | str | os.PathLike[str]],
    *,
    fields: tuple[str, ...] = (),
    subject: str = "",
    session: str = "",
    study_uid: str = "",
    open_file: Callable[[Header], Dataset] | None = None,
) -> Material:
    """Material with all `fields` read.

    files: headers or paths. A header that was read without one of the fields is read again when its
    file lies on this disk. Raises ValueError when it does not: ask for the fields (`Rules.fields`)
    when reading.
    """
    headers = []
    for entry in files:
        if isinstance(entry, Header):
            headers.append(_completed(entry, fields))
        else:
            headers.append(read_header(entry, fields=fields))
    return Material(tuple(headers), subject, session, study_uid, open_file)


def _completed(header: Header, fields: tuple[str, ...]) -> Header:
    lacking = [name for name in fields if name not in header.asked]
    if not lacking or not header.whole:
        return header
    if not Path(header.path).is_file():
        raise ValueError(f"{header.path} was read without {', '.join(lacking)}")
    return read_header(header.path, fields=fields)


def _instance(header: Header) -> tuple[float, str]:
    found = number(header.get("InstanceNumber"))
    return (float("inf") if found is None else found, header.path)


def number(text: str) -> float | None:
    """A DICOM number as a float, None for anything else."""
    try:
        return float(text)
    except ValueError:
        return None


def numbers(text: str) -> list[float] | None:
    """All values of a multi-valued numeric field, None when one of them is no number."""
    try:
        return [float(part) for part in text.split("\\")]
    except ValueError:
        return None
