"""Which series a study must and may have, and one's own checks."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .headers import check_header, check_orientation, shown
from .material import Material, SeriesFiles
from .rules import Call, Rules, RulesError, SeriesRule
from .verdicts import FAIL, PASS, Finding


def matches(rule: SeriesRule, series: SeriesFiles) -> bool:
    """Whether a series is of this kind: every way of recognising it that is given must hold."""
    if rule.modality and series.modality != rule.modality:
        return False
    if rule.description and not fnmatch.fnmatchcase(
        series.description.casefold(), rule.description.casefold()
    ):
        return False
    return not rule.regex or re.search(rule.regex, series.description) is not None


def check_series(rules: Rules, material: Material) -> Iterator[Finding]:
    """Every series rule, then the series that no rule names."""
    named: set[str] = set()
    for rule in rules.series:
        kind = [series for series in material.series if matches(rule, series)]
        named.update(series.uid for series in kind)
        yield _count(rule, kind)
        for series in kind:
            yield _files(rule, series)
            if rule.orientation:
                yield check_orientation(rule.name, rule.orientation, rule.severity, series)
            yield from check_header(rule.name, rule.header, series.headers, series.uid)
    if rules.allowed_severity:
        yield from _unexpected(rules, material, named)


def _count(rule: SeriesRule, kind: list[SeriesFiles]) -> Finding:
    found = len(kind)
    wanted = describe_span(rule.minimum, rule.maximum)
    fine = found >= rule.minimum and (rule.maximum is None or found <= rule.maximum)
    message = f"{found} series {rule.name!r}, wanted {wanted}"
    status = PASS if fine else rule.severity
    return Finding(f"{rule.name}: count", status, message, str(found), wanted)


def _files(rule: SeriesRule, series: SeriesFiles) -> Finding:
    found = len(series.headers)
    wanted = describe_span(rule.minimum_files, rule.maximum_files)
    fine = found >= rule.minimum_files and (
        rule.maximum_files is None or found <= rule.maximum_files
    )
    status = PASS if fine else rule.severity
    message = f"{series} holds {found} files, wanted {wanted}"
    return Finding(f"{rule.name}: files", status, message, str(found), wanted, series.uid)


def describe_span(low: int, high: int | None) -> str:
    """«at least 2», «2», «1 to 3»."""
    if high is None:
        return f"at least {low}"
    return str(low) if low == high else f"{low} to {high}"


def _unexpected(rules: Rules, material: Material, named: set[str]) -> Iterator[Finding]:
    strange = [
        series
        for series in material.series
        if series.uid not in named
        and not any(
            fnmatch.fnmatchcase(series.description.casefold(), pattern.casefold())
            for pattern in rules.allowed
        )
    ]
    rule, wanted = "allowed series", "named by a rule or allowed"
    for series in strange:
        message = f"{series} is neither named by a rule nor allowed"
        yield Finding(rule, rules.allowed_severity, message, series.description, wanted, series.uid)
    if not strange:
        told = shown([series.description for series in material.series])
        yield Finding(rule, PASS, "every series is named or allowed", told, wanted)


def check_labels(rules: Rules, material: Material) -> Iterator[Finding]:
    """Subject and session label, modalities, and header values of the study as a whole."""
    for what, pattern, label in (
        ("subject label", rules.subject, material.subject),
        ("session label", rules.session, material.session),
    ):
        if pattern:
            fine = re.fullmatch(pattern, label) is not None
            status = PASS if fine else rules.study_severity
            message = f"{what} is {label!r}" + ("" if fine else f", wanted /{pattern}/")
            yield Finding(what, status, message, label, pattern)
    if rules.modalities:
        found = sorted({series.modality for series in material.series})
        wanted = ", ".join(rules.modalities)
        wrong = [one for one in found if one not in rules.modalities]
        status = rules.study_severity if wrong or not found else PASS
        yield Finding("modality", status, f"modality {shown(found)}", shown(found), wanted)
    yield from check_header("study", rules.header, material.whole)


def check_calls(rules: Rules, material: Material) -> Iterator[Finding]:
    """One's own checks. One that raises is a fail that says so: a broken check is no pass."""
    for call in rules.calls:
        function = find_function(call, rules.path)
        try:
            answer = function(material)
            yield from _findings(call, answer)
        except (
            Exception
        ) as error:  # somebody else's code: its fault must not hide the others' findings
            message = f"the check itself failed: {type(error).__name__}: {error}"
            yield Finding(call.name, FAIL, message, type(error).__name__, "an answer")


def _findings(call: Call, answer: Any) -> Iterator[Finding]:
    if answer is None or answer is True:
        yield Finding(call.name, PASS, "nothing to say", "", "")
    elif answer is False:
        yield Finding(call.name, call.severity, "not met", "", "")
    elif isinstance(answer, str):
        yield Finding(call.name, call.severity, answer, answer, "")
    elif isinstance(answer, Finding):
        yield answer
    elif isinstance(answer, Iterable):
        found = False
        for part in answer:
            found = True
            yield from _findings(call, part)
        if not found:
            yield Finding(call.name, PASS, "nothing to say", "", "")
    else:
        raise TypeError(
            f"a check answers None, a bool, a text, a Finding or several, "
            f"not {type(answer).__name__}"
        )


def find_function(call: Call, rules_path: str) -> Callable[[Material], Any]:
    """The function behind `module:function` or `file.py:function`. Raises RulesError."""
    place, _, name = call.target.rpartition(":")
    try:
        if place.endswith(".py"):
            path = Path(rules_path).parent / place
            spec = importlib.util.spec_from_file_location(f"qc_check_{path.stem}", path)
            if spec is None or spec.loader is None:
                raise RulesError(f"{rules_path}: {path} cannot be loaded")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        function = getattr(module, name)
    except (ImportError, OSError, AttributeError, SyntaxError) as error:
        raise RulesError(f"{rules_path}: check {call.target!r} cannot be loaded: {error}") from None
    if not callable(function):
        raise RulesError(f"{rules_path}: {call.target!r} is no function")
    found: Callable[[Material], Any] = function
    return found
