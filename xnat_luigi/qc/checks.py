"""Checks of a study: files and rules in, a verdict out.

`check_files` is the first gate, which needs no rule file: files whole, one study, one and the
expected patient, no SOPInstanceUID twice, as many files and series as were promised. `check_study`
adds a rule file.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..dicom import Header, read_header
from .headers import check_consistency, check_gaps
from .material import Material, make_material
from .pixels import check_pixels
from .privacy import check_privacy
from .protocol import check_calls, check_labels, check_series
from .rules import Rules
from .verdicts import FAIL, PASS, WARN, Finding, Verdict

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SHOWN = 5


def check_files(
    files: Iterable[Header | str | os.PathLike[str]],
    *,
    study_uid: str = "",
    patient_id: str = "",
    expected_files: int | None = None,
    minimum_files: int = 1,
    minimum_series: int = 1,
    fields: Sequence[str] = (),
) -> Verdict:
    """The first gate, for the files of one study.

    files: headers, or paths that are read here. study_uid, patient_id: what is expected, "" for
    "whatever it is, but one". expected_files: how many there must be exactly, for instance as many
    as were sent.
    Raises nothing for what the files hold; every fault is a finding with status fail.
    """
    headers = [
        entry if isinstance(entry, Header) else read_header(entry, fields=fields) for entry in files
    ]
    return Verdict.of(
        (
            _whole(headers),
            _count(headers, expected_files, minimum_files),
            _series_count(headers, minimum_series),
            _one("one study", "StudyInstanceUID", headers, study_uid),
            _one("one patient", "PatientID", headers, patient_id),
            _no_duplicates(headers),
        )
    )


def _named(headers: Iterable[Header]) -> tuple[str, ...]:
    return tuple(header.path for header in headers)[:_SHOWN]


def _whole(headers: list[Header]) -> Finding:
    bad = [header for header in headers if not header.whole]
    if bad:
        first = bad[0]
        message = f"{len(bad)} of {len(headers)} files are not whole DICOM files: {first.detail}"
        return Finding("files whole", FAIL, message, first.state, "whole", files=_named(bad))
    return Finding("files whole", PASS, f"{len(headers)} files are whole", "whole", "whole")


def _count(headers: list[Header], expected: int | None, minimum: int) -> Finding:
    found = len(headers)
    if expected is not None:
        status = PASS if found == expected else FAIL
        return Finding(
            "file count", status, f"{found} files, {expected} expected", str(found), str(expected)
        )
    status = PASS if found >= minimum else FAIL
    wanted = "" if status == PASS else f", at least {minimum} wanted"
    return Finding(
        "file count", status, f"{found} files{wanted}", str(found), f"at least {minimum}"
    )


def _series_count(headers: list[Header], minimum: int) -> Finding:
    found = len({header.series_uid for header in headers if header.series_uid})
    status = PASS if found >= minimum else FAIL
    wanted = "" if status == PASS else f", at least {minimum} wanted"
    return Finding(
        "series count", status, f"{found} series{wanted}", str(found), f"at least {minimum}"
    )


def _one(rule: str, keyword: str, headers: list[Header], wanted: str) -> Finding:
    """All readable files agree in a field, with the wanted value where one is given."""
    read = [header for header in headers if header.values]
    values = Counter(header.get(keyword) for header in read)
    want = wanted or "one value"
    if not values:
        return Finding(rule, FAIL, f"no file tells its {keyword}", "", want)
    found = ", ".join(repr(value) for value, _ in values.most_common(_SHOWN))
    if len(values) > 1:
        main = values.most_common(1)[0][0]
        odd = [header for header in read if header.get(keyword) != (wanted or main)]
        message = f"{len(values)} different values of {keyword}: {found}"
        return Finding(rule, FAIL, message, found, want, files=_named(odd))
    (value,) = values
    if wanted and value != wanted:
        return Finding(rule, FAIL, f"{keyword} is {value!r}, not {wanted!r}", value, wanted)
    if not value:
        return Finding(rule, WARN, f"{keyword} is empty", "", want)
    return Finding(rule, PASS, f"{keyword} is {value!r} everywhere", value, want)


def _no_duplicates(headers: list[Header]) -> Finding:
    nameless = [h for h in headers if h.whole and not (h.sop_uid and h.series_uid)]
    if nameless:
        message = f"{len(nameless)} files have no SOPInstanceUID or no SeriesInstanceUID"
        return Finding(
            "unique images", FAIL, message, str(len(nameless)), "0", files=_named(nameless)
        )
    counts = Counter(header.sop_uid for header in headers if header.whole and header.sop_uid)
    twice = {uid for uid, count in counts.items() if count > 1}
    if twice:
        again = [header for header in headers if header.sop_uid in twice]
        message = f"{len(twice)} SOPInstanceUIDs occur more than once"
        return Finding("unique images", FAIL, message, str(len(twice)), "0", files=_named(again))
    return Finding("unique images", PASS, f"{len(counts)} different images", "0", "0")


def check_study(
    files: Iterable[Header | str | os.PathLike[str]] | Material,
    rules: Rules,
    *,
    subject: str = "",
    session: str = "",
    study_uid: str = "",
    patient_id: str = "",
    open_file: Callable[[Header], Dataset] | None = None,
) -> Verdict:
    """The first gate and everything a rule file asks for.

    files: headers (read with `rules.fields`), paths, or material made before. subject, session:
    labels the study has or shall have. open_file: how to get at a whole file when it does not lie
    on this disk.

    Raises RulesError when one's own check cannot be loaded; everything else is a finding.
    """
    if isinstance(files, Material):
        material = files
    else:
        material = make_material(
            files,
            fields=rules.fields,
            subject=subject,
            session=session,
            study_uid=study_uid,
            open_file=open_file,
        )
    gate = check_files(
        material.headers,
        study_uid=material.study_uid,
        patient_id=patient_id,
        minimum_files=rules.minimum_files,
        minimum_series=rules.minimum_series,
    )
    return gate + Verdict.of(_by_rules(rules, material))


def _by_rules(rules: Rules, material: Material) -> Iterator[Finding]:
    yield from check_labels(rules, material)
    yield from check_series(rules, material)
    yield from check_gaps(rules, material)
    for series in material.series:
        yield from check_consistency(rules, series)
    if rules.pixels:
        yield from check_pixels(rules, material)
    yield from check_privacy(rules, material)
    yield from check_calls(rules, material)
