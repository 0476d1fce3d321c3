"""A rule file in plain sentences: what `xnat-luigi qc explain` says."""

from __future__ import annotations

from collections.abc import Iterator

from .protocol import describe_span
from .rules import Rules, SeriesRule, Wanted

_ELSE = {"fail": "else it fails", "warn": "else it warns"}


def explain(rules: Rules) -> str:
    """What a rule file asks of a study, line by line."""
    lines = [rules.title or f"Rules of {rules.path}", ""]
    lines += [f"- {line}" for line in _lines(rules)]
    return "\n".join(lines) + "\n"


def _lines(rules: Rules) -> Iterator[str]:
    yield (
        "All files are whole DICOM files of one study and one patient, no image twice, "
        "else it fails."
    )
    yield (
        f"At least {rules.minimum_series} series and {rules.minimum_files} files, else it fails."
    )
    for what, pattern in (("subject", rules.subject), ("session", rules.session)):
        if pattern:
            yield f"The {what} label matches /{pattern}/, {_ELSE[rules.study_severity]}."
    if rules.modalities:
        known = ", ".join(rules.modalities)
        yield f"Every series is of modality {known}, {_ELSE[rules.study_severity]}."
    yield from _header("In every file", rules.header)
    for rule in rules.series:
        yield from _series(rule)
    if rules.allowed_severity:
        known = ", ".join(rules.allowed) or "none"
        other = _ELSE[rules.allowed_severity]
        yield f"Other series are allowed if they are called: {known}; {other}."
    if rules.instance_number:
        yield f"InstanceNumber has no gap in any series, {_ELSE[rules.instance_number]}."
    if rules.slice_position:
        yield (
            "No distance between neighbouring slices exceeds the usual one by more than "
            f"{rules.gap_tolerance:.0%}, {_ELSE[rules.slice_position]}."
        )
    if rules.consistency:
        fields = ", ".join(rules.consistency)
        yield f"Inside a series these stay the same: {fields}; {_ELSE[rules.consistency_severity]}."
    yield from _pixels(rules)
    yield from _privacy(rules)
    for call in rules.calls:
        yield f"Our own check {call.name!r} ({call.target}) is content, {_ELSE[call.severity]}."


def _series(rule: SeriesRule) -> Iterator[str]:
    signs = []
    if rule.description:
        signs.append(f"described as {rule.description!r}")
    if rule.regex:
        signs.append(f"with a description matching /{rule.regex}/")
    if rule.modality:
        signs.append(f"of modality {rule.modality}")
    count = describe_span(rule.minimum, rule.maximum)
    files = describe_span(rule.minimum_files, rule.maximum_files)
    yield (
        f"Series {rule.name!r} ({', '.join(signs)}): {count}, each of {files} files, "
        f"{_ELSE[rule.severity]}."
    )
    if rule.orientation:
        yield f"Series {rule.name!r} is {rule.orientation}, {_ELSE[rule.severity]}."
    yield from _header(f"In series {rule.name!r}", rule.header)


def _header(where: str, wanted: tuple[Wanted, ...]) -> Iterator[str]:
    for want in wanted:
        yield f"{where}, {want.keyword} is {want}, {_ELSE[want.severity]}."


def _pixels(rules: Rules) -> Iterator[str]:
    count = f"{rules.pixels_sample} files" if rules.pixels_sample else "all files"
    if rules.pixels_readable:
        yield f"Pixel data of {count} of every series can be read, {_ELSE[rules.pixels_readable]}."
    if rules.pixels_constant:
        yield f"Pixel data of {count} of every series vary, {_ELSE[rules.pixels_constant]}."


def _privacy(rules: Rules) -> Iterator[str]:
    if rules.burned_in:
        yield f"No file declares text burned into the image, {_ELSE[rules.burned_in]}."
    if rules.names_in_text:
        fields = ", ".join(rules.text_fields)
        yield f"No part of the patient's name stands in {fields}; {_ELSE[rules.names_in_text]}."
    if rules.empty:
        yield f"These are empty: {', '.join(rules.empty)}; {_ELSE[rules.empty_severity]}."
