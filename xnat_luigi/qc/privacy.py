"""Suspicions that a study says whose it is: burned-in text, names in free text, fields that must be
empty.

Suspicions, no proof: a clean verdict here does not make a study anonymous.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..dicom import Header
from .headers import SHOWN, shown
from .material import Material
from .rules import Rules
from .verdicts import PASS, Finding


def check_privacy(rules: Rules, material: Material) -> Iterator[Finding]:
    """All suspicions the rules ask for."""
    if rules.burned_in:
        yield _burned_in(rules.burned_in, material)
    if rules.names_in_text:
        yield _names(rules, material)
    for keyword in rules.empty:
        yield _empty(keyword, rules.empty_severity, material)


def _burned_in(severity: str, material: Material) -> Finding:
    marked = [h for h in material.whole if h.get("BurnedInAnnotation").upper() == "YES"]
    # Screenshots and scanned documents say nothing of themselves, but their kind is telling.
    captured = [
        h
        for h in material.whole
        if h.get("BurnedInAnnotation").upper() != "NO"
        and h.get("SOPClassUID").startswith("1.2.840.10008.5.1.4.1.1.7")
    ]
    suspect = [*marked, *captured]
    rule, wanted = "privacy: burned-in text", "none"
    if suspect:
        why = "BurnedInAnnotation is YES" if marked else "secondary captures"
        message = f"{len(suspect)} files may show text in the image ({why})"
        return Finding(rule, severity, message, why, wanted, files=_paths(suspect))
    return Finding(rule, PASS, "no file declares text in the image", "none", wanted)


def _name_parts(header: Header) -> set[str]:
    """Words of the patient's name worth looking for: letters only, three or more."""
    words = re.split(r"[\^=\\\s,.]+", header.get("PatientName"))
    return {word.casefold() for word in words if len(word) >= 3 and word.isalpha()}


def _names(rules: Rules, material: Material) -> Finding:
    hits: list[Header] = []
    found: set[str] = set()
    for header in material.whole:
        parts = _name_parts(header)
        for keyword in rules.text_fields:
            words = {word.casefold() for word in re.findall(r"[^\W\d_]+", header.get(keyword))}
            if parts & words:
                hits.append(header)
                found.add(keyword)
                break
    rule, wanted = "privacy: names in text", "none"
    if hits:
        # The name itself is not repeated: reports travel further than images.
        told = shown(sorted(found))
        message = f"a part of the patient's name stands in {told} of {len(hits)} files"
        return Finding(rule, rules.names_in_text, message, told, wanted, files=_paths(hits))
    return Finding(rule, PASS, "no part of the patient's name in free text", "none", wanted)


def _empty(keyword: str, severity: str, material: Material) -> Finding:
    filled = [header for header in material.whole if header.get(keyword)]
    rule = f"privacy: {keyword}"
    if filled:
        message = f"{keyword} is filled in {len(filled)} files"
        return Finding(rule, severity, message, "filled", "empty", files=_paths(filled))
    return Finding(rule, PASS, f"{keyword} is empty", "empty", "empty")


def _paths(headers: list[Header]) -> tuple[str, ...]:
    return tuple(header.path for header in headers)[:SHOWN]
