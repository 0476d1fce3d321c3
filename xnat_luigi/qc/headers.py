"""Checks of header values: wanted values, sameness inside a series, gaps, orientation."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from ..dicom import Header
from .material import Material, SeriesFiles, number, numbers
from .rules import Rules, Wanted
from .verdicts import PASS, Finding

SHOWN = 5
_AXES = ("sagittal", "coronal", "axial")


def shown(values: Iterable[str]) -> str:
    """A few values for a message."""
    found = [value if value else "(empty)" for value in values]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def check_header(
    rule: str, wanted: Iterable[Wanted], headers: tuple[Header, ...], series: str = ""
) -> Iterator[Finding]:
    """One finding a field, over all files given."""
    for want in wanted:
        by_value = Counter(header.get(want.keyword) for header in headers)
        wrong = [value for value in by_value if not fits(value, want)]
        name = f"{rule}: {want.keyword}"
        if wrong:
            bad = tuple(h.path for h in headers if h.get(want.keyword) in wrong)
            found = shown(sorted(wrong))
            message = (
                f"{want.keyword} is {found}, wanted {want}, in {len(bad)} of {len(headers)} files"
            )
            yield Finding(name, want.severity, message, found, str(want), series, bad[:SHOWN])
        else:
            found = shown(sorted(by_value))
            yield Finding(name, PASS, f"{want.keyword} is {found}", found, str(want), series)


def fits(value: str, want: Wanted) -> bool:
    """Whether a value (several separated by a backslash) is what is wanted."""
    if want.present is not None and bool(value) != want.present:
        return False
    if not value:
        # An absent field meets only "absent"; every other condition needs a value.
        return want.present is False or not (
            want.values or want.one_of or want.matches or _bounded(want)
        )
    if want.values and not _equal(value, want.values, want.tolerance):
        return False
    if want.one_of and not any(_equal(value, (one,), want.tolerance) for one in want.one_of):
        return False
    if want.matches and re.fullmatch(want.matches, value) is None:
        return False
    return not _bounded(want) or _within(value, want)


def _bounded(want: Wanted) -> bool:
    return want.minimum is not None or want.maximum is not None


def _within(value: str, want: Wanted) -> bool:
    found = numbers(value)
    if found is None:
        return False
    low = -math.inf if want.minimum is None else want.minimum
    high = math.inf if want.maximum is None else want.maximum
    return all(low <= one <= high for one in found)


def _equal(value: str, wanted: tuple[str | float, ...], tolerance: float) -> bool:
    parts = value.split("\\")
    if len(parts) != len(wanted):
        return False
    for part, want in zip(parts, wanted, strict=True):
        if isinstance(want, float):
            found = number(part)
            if found is None or abs(found - want) > tolerance + 1e-9 * abs(want):
                return False
        elif part.strip() != want:
            return False
    return True


def check_consistency(rules: Rules, series: SeriesFiles) -> Iterator[Finding]:
    """Fields that must not change inside a series."""
    for keyword in rules.consistency:
        values = list(dict.fromkeys(header.get(keyword) for header in series.headers))
        first = values[0]
        odd = [v for v in values if not _same(v, first, rules.consistency_tolerance)]
        name = f"consistency: {keyword}"
        if odd:
            files = tuple(h.path for h in series.headers if h.get(keyword) in odd)
            found = shown([first, *odd])
            message = f"{series}: {keyword} changes: {found}"
            severity = rules.consistency_severity
            yield Finding(name, severity, message, found, "one value", series.uid, files[:SHOWN])
        else:
            yield Finding(name, PASS, f"{series}: same {keyword}", first, "one value", series.uid)


def _same(one: str, other: str, tolerance: float) -> bool:
    if one == other:
        return True
    left, right = numbers(one), numbers(other)
    if left is None or right is None or len(left) != len(right):
        return False
    return all(abs(a - b) <= tolerance for a, b in zip(left, right, strict=True))


def orientation(header: Header) -> str:
    """axial, coronal or sagittal: the axis nearest to the slice's normal; "" when it cannot be
    told.
    """
    normal = slice_normal(header)
    if normal is None:
        return ""
    sizes = [abs(part) for part in normal]
    return _AXES[sizes.index(max(sizes))]


def slice_normal(header: Header) -> tuple[float, float, float] | None:
    """The unit vector across the slice, in the patient's coordinates (PS3.3 C.7.6.2.1.1)."""
    cosines = numbers(header.get("ImageOrientationPatient"))
    if cosines is None or len(cosines) != 6:
        return None
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.sqrt(sum(part * part for part in normal))
    if not 0.5 < length < 1.5:  # not two unit vectors at a right angle: says nothing
        return None
    return (normal[0] / length, normal[1] / length, normal[2] / length)


def check_orientation(rule: str, wanted: str, severity: str, series: SeriesFiles) -> Finding:
    """All slices of a series lie as wanted."""
    found = Counter(orientation(header) or "unknown" for header in series.headers)
    name, told = f"{rule}: orientation", shown(sorted(found))
    if set(found) == {wanted}:
        return Finding(name, PASS, f"{series} is {wanted}", told, wanted, series.uid)
    return Finding(name, severity, f"{series} is {told}, not {wanted}", told, wanted, series.uid)


def check_gaps(rules: Rules, material: Material) -> Iterator[Finding]:
    """Missing InstanceNumbers and missing slices."""
    for series in material.series:
        if rules.instance_number:
            yield _instance_gaps(rules.instance_number, series)
        if rules.slice_position:
            yield _position_gaps(rules.slice_position, rules.gap_tolerance, series)


def _instance_gaps(severity: str, series: SeriesFiles) -> Finding:
    read = [number(header.get("InstanceNumber")) for header in series.headers]
    held = sorted({int(one) for one in read if one is not None})
    rule, wanted = "gaps: InstanceNumber", "every number from the first on"
    if None in read:
        message = f"{series}: {read.count(None)} files have no InstanceNumber"
        return Finding(rule, severity, message, "absent", wanted, series.uid)
    start = min(1, held[0])
    missing = sorted(set(range(start, held[-1] + 1)) - set(held)) if held[-1] < 10**6 else []
    if missing or held[-1] >= 10**6:
        told = shown(str(one) for one in missing) if missing else f"up to {held[-1]}"
        message = f"{series}: InstanceNumber {told} missing, {len(held)} are there"
        return Finding(rule, severity, message, told, wanted, series.uid)
    span = f"{held[0]}-{held[-1]}"
    return Finding(rule, PASS, f"{series}: {span} without a gap", span, wanted, series.uid)


def _position_gaps(severity: str, tolerance: float, series: SeriesFiles) -> Finding:
    """Distances between neighbouring slices of one orientation may not exceed the usual one.

    Several images at one position (time points, echoes, directions) count once; a localizer's three
    planes are looked at each for itself.
    """
    rule, wanted = "gaps: slice position", f"even distances within {tolerance:.0%}"
    stacks: dict[tuple[float, ...], set[float]] = {}
    for header in series.headers:
        place, normal = numbers(header.get("ImagePositionPatient")), slice_normal(header)
        if place is None or normal is None or len(place) != 3:
            continue
        along = sum(a * b for a, b in zip(place, normal, strict=True))
        stacks.setdefault(tuple(round(n, 2) for n in normal), set()).add(round(along, 2))
    widest, usual = 0.0, 0.0
    for positions in stacks.values():
        ordered = sorted(positions)
        steps = sorted(b - a for a, b in pairwise(ordered))
        if len(steps) < 2:
            continue
        median = steps[len(steps) // 2]
        if steps[-1] > median * (1 + tolerance) and steps[-1] - median > widest - usual:
            widest, usual = steps[-1], median
    if widest:
        found = f"{widest:g} mm where {usual:g} mm is usual"
        message = f"{series}: a gap of {found}"
        return Finding(rule, severity, message, found, wanted, series.uid)
    return Finding(rule, PASS, f"{series}: no gap", "even", wanted, series.uid)
