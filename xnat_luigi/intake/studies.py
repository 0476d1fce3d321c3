"""A folder of DICOM files, grouped into studies, with everything that is wrong with it.

`read_folder` walks, `group` sorts headers into studies; both return plain data. Nothing is left out
silently: what belongs to no study is a `Problem` of the folder, what is wrong inside a study is a
`Problem` of that study.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..dicom import NOT_DICOM, TRUNCATED, UNREADABLE, Header, read_header
from ..exceptions import XNATValueError

DUPLICATE = "duplicate"
CONFLICTING = "conflicting duplicate"
OTHER_PATIENT = "other patient"
NO_IDENTITY = "no identity"
DIRECTORY_FILE = "DICOMDIR"

_CHUNK = 128
_SUFFIXES = (".dcm", ".dicom", ".ima")
_DICOMDIR_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `kind` is one of the constants here or a `Header.state`."""

    path: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Series:
    """The whole files of one series, in order of InstanceNumber."""

    uid: str
    number: str
    modality: str
    description: str
    files: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """One study: plain data, safe to send to another process.

    `series` holds the files that may be sent; truncated ones and duplicates are in `problems` (a
    truncated file is never part of a series). `patients` are all PatientIDs met, the most frequent
    first.
    """

    uid: str
    patients: tuple[str, ...]
    patient_name: str
    series: tuple[Series, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Header, ...]:
        """All files that may be sent, series after series."""
        return tuple(header for series in self.series for header in series.files)

    @property
    def size(self) -> int:
        """Bytes of all files that may be sent."""
        return sum(header.size for header in self.files)

    @property
    def patient_id(self) -> str:
        return self.patients[0] if self.patients else ""

    @property
    def sop_uids(self) -> frozenset[str]:
        return frozenset(header.sop_uid for header in self.files)

    def first(self, keyword: str) -> str:
        """The first value that a file of this study has for a field, "" when none has one.

        Patient's ID and name are the most frequent ones: one stray file must not name a study.
        """
        frequent = {"PatientID": self.patient_id, "PatientName": self.patient_name}
        if keyword in frequent:
            return frequent[keyword]
        return next((v for header in self.files if (v := header.get(keyword))), "")

    @property
    def odd(self) -> tuple[str, ...]:
        """Paths that are not sent and that QC must see: cut, unclear or contradicting files.

        Exact copies are not among them: leaving one of two equal files out loses nothing.
        """
        sent = {header.path for header in self.files}
        found = (p.path for p in self.problems if p.kind != DUPLICATE and p.path not in sent)
        return tuple(dict.fromkeys(found))

    def of_kind(self, *kinds: str) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.kind in kinds)


@dataclass(frozen=True, slots=True)
class Studies:
    """What a folder holds: studies ordered by UID, and the files that belong to none."""

    root: str
    studies: tuple[Study, ...]
    problems: tuple[Problem, ...] = field(default=())

    def __iter__(self) -> Iterator[Study]:
        return iter(self.studies)

    def __len__(self) -> int:
        return len(self.studies)

    def find(self, uid: str) -> Study:
        """The study with this StudyInstanceUID; XNATValueError when the folder has none."""
        for study in self.studies:
            if study.uid == uid:
                return study
        raise XNATValueError(f"{self.root} holds no study {uid}; it holds {len(self.studies)}")


def read_folder(
    path: str | os.PathLike[str],
    *,
    fields: Sequence[str] = (),
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Studies:
    """Walk a folder and group its DICOM files into studies.

    path: a folder (its subfolders too; symbolic links to folders are not followed) or one file.
    fields: DICOM keywords to read beside `dicom.FIELDS`, for naming rules and QC rules.
    workers: threads that read (they hide the disk's waiting, not the processor's work).
    progress: called with the number of files looked at so far.

    Raises XNATValueError when the path does not exist. Files that cannot be read, are not DICOM or
    are cut short are problems of the result, never errors.
    """
    root = Path(path)
    if not root.exists():
        raise XNATValueError(f"{root} does not exist: give the folder that holds the DICOM files")
    paths = [str(root)] if root.is_file() else list(walk(root))
    headers = _read_all(paths, tuple(fields), workers, progress)
    return group(str(root), headers, same_content=_same_content)


def walk(root: Path) -> Iterator[str]:
    """All regular files below a folder, in a stable order; other things (sockets, devices) are
    left out.
    """
    pending = [str(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if entry.is_file():
                yield entry.path
        pending += [entry.path for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]


def _read_all(
    paths: list[str],
    fields: tuple[str, ...],
    workers: int | None,
    progress: Callable[[int], None] | None,
) -> list[Header]:
    chunks = [paths[at : at + _CHUNK] for at in range(0, len(paths), _CHUNK)]

    def read_chunk(chunk: list[str]) -> list[Header]:
        return [read_header(path, fields=fields) for path in chunk]

    headers: list[Header] = []
    if len(chunks) <= 1:
        found = map(read_chunk, chunks)
        headers = [header for part in found for header in part]
    else:
        with ThreadPoolExecutor(workers or 2 * min(4, os.cpu_count() or 1)) as pool:
            for part in pool.map(read_chunk, chunks):
                headers += part
                if progress is not None:
                    progress(len(headers))
    return headers


def _same_content(one: str, other: str) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def group(
    root: str,
    headers: Iterable[Header],
    *,
    same_content: Callable[[str, str], bool] | None = None,
) -> Studies:
    """Sort headers into studies; the same headers in any order give the same result.

    same_content: called with two paths of equal headers, to tell a copy from another image that
    wears the same SOPInstanceUID; without it equal headers of equal size count as a copy.
    """
    homeless: list[Problem] = []
    members: dict[str, list[Header]] = {}
    for header in sorted(headers, key=lambda header: header.path):
        problem = _homeless(header)
        if problem is None:
            members.setdefault(header.study_uid, []).append(header)
        else:
            homeless.append(problem)
    neighbours = _neighbours(members)
    suspects: dict[str, list[Problem]] = {}
    problems = []
    for problem in homeless:
        uids = neighbours.get(os.path.dirname(problem.path), ()) if _is_suspect(problem) else ()
        if not uids:
            problems.append(problem)
        for uid in uids:
            suspects.setdefault(uid, []).append(problem)
    studies = tuple(
        _study(uid, members[uid], suspects.get(uid, []), same_content) for uid in sorted(members)
    )
    return Studies(root, studies, tuple(problems))


def _neighbours(members: Mapping[str, Iterable[Header]]) -> dict[str, list[str]]:
    """Folder -> the studies that have files there."""
    found: dict[str, dict[str, None]] = {}
    for uid in sorted(members):
        for header in members[uid]:
            found.setdefault(os.path.dirname(header.path), {})[uid] = None
    return {folder: list(uids) for folder, uids in found.items()}


def _is_suspect(problem: Problem) -> bool:
    """Whether a file that tells no study may be a damaged image of its neighbours' study.

    A study is not archived beside such a file as if it were whole: somebody must look.
    """
    named = problem.path.lower().endswith(_SUFFIXES)
    return problem.kind in (TRUNCATED, UNREADABLE) or (problem.kind == NOT_DICOM and named)


def _homeless(header: Header) -> Problem | None:
    """Why a file belongs to no study; a truncated one belongs to its study when it still names
    it.
    """
    if header.state in (NOT_DICOM, UNREADABLE):
        return Problem(header.path, header.state, header.detail)
    if header.get("SOPClassUID") == _DICOMDIR_CLASS or Path(header.path).name == "DICOMDIR":
        return Problem(header.path, DIRECTORY_FILE, "an index of a disk, not an image; not sent")
    if not header.study_uid:
        kind = header.state if not header.whole else NO_IDENTITY
        return Problem(header.path, kind, header.detail or "no StudyInstanceUID")
    return None


def _study(
    uid: str,
    headers: list[Header],
    suspects: list[Problem],
    same_content: Callable[[str, str], bool] | None,
) -> Study:
    problems = [Problem(h.path, TRUNCATED, h.detail) for h in headers if not h.whole]
    problems += suspects
    whole = [header for header in headers if header.whole]
    kept, more = _without_duplicates(whole, same_content)
    problems += more
    patients = _by_frequency(header.get("PatientID") for header in kept)
    problems += [
        Problem(h.path, OTHER_PATIENT, f"PatientID {h.get('PatientID')!r}, not {patients[0]!r}")
        for h in kept
        if h.get("PatientID") != patients[0]
    ]
    names = _by_frequency(header.get("PatientName") for header in kept)
    return Study(
        uid,
        tuple(patients),
        names[0] if names else "",
        _series(kept),
        tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind))),
        _notes(kept),
    )


def _without_duplicates(
    headers: list[Header], same_content: Callable[[str, str], bool] | None
) -> tuple[list[Header], list[Problem]]:
    """One file per SOPInstanceUID: the first by path stays."""
    kept: dict[str, Header] = {}
    problems = []
    for header in headers:
        uid = header.sop_uid
        if not uid or not header.series_uid:
            missing = "SeriesInstanceUID" if uid else "SOPInstanceUID"
            problems.append(Problem(header.path, NO_IDENTITY, f"no {missing}"))
        elif uid not in kept:
            kept[uid] = header
        else:
            first = kept[uid]
            same = (first.size, first.values) == (header.size, header.values)
            if same and same_content is not None:
                same = same_content(first.path, header.path)
            kind = DUPLICATE if same else CONFLICTING
            problems.append(Problem(header.path, kind, f"SOPInstanceUID {uid} as {first.path}"))
    return list(kept.values()), problems


def _by_frequency(values: Iterable[str]) -> list[str]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return sorted(counts, key=lambda value: (-counts[value], value))


def _series(headers: list[Header]) -> tuple[Series, ...]:
    members: dict[str, list[Header]] = {}
    for header in headers:
        members.setdefault(header.series_uid, []).append(header)
    found = []
    for uid, files in members.items():
        files.sort(key=lambda header: (_number(header.get("InstanceNumber")), header.path))
        first = files[0]
        number, modality = first.get("SeriesNumber"), first.get("Modality")
        description = first.get("SeriesDescription")
        found.append(Series(uid, number, modality, description, tuple(files)))
    return tuple(sorted(found, key=lambda series: (_number(series.number), series.uid)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")


def _notes(headers: list[Header]) -> tuple[str, ...]:
    """Worth saying, but no fault."""
    notes = []
    compressed = sum(header.compressed for header in headers)
    if compressed:
        notes.append(f"{compressed} of {len(headers)} files hold compressed pixel data")
    enhanced = sum(header.enhanced for header in headers)
    if enhanced:
        notes.append(f"{enhanced} of {len(headers)} files are enhanced multi-frame objects")
    return tuple(notes)
