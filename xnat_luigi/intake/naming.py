"""What a study is called: project, subject and session label by rule. What no rule names is
refused.

A rule file is TOML; its `[[name]]` tables are tried in order and the first that names the study
wins::

    [[name]]                                   # a CSV map, one line a patient
    csv = "map.csv"                            # columns: key, project, subject, session
    key = "{PatientID}"

    [[name]]                                   # a regular expression over a header field
    when = { Modality = "MR", StationName = "SCN*" }
    field = "StudyDescription"
    regex = "(?P<project>[A-Z]+[0-9])_(?P<number>[0-9]+).*"
    project = "{project}"
    subject = "{project}_{number}"
    session = "{subject}_{StudyDate}_{Modality}"

Templates hold header fields (`{PatientID}`, `{StudyDate:.4}`), named groups of the regex, columns
of the CSV line, and the labels made before (`project`, then `subject`, then `session`). A field
that is absent or empty makes the rule name nothing.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import importlib
import re
import string
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dicom import FIELDS, wanted_tags
from ..exceptions import XNATConfigError, XNATUnsafeNameError, XNATValueError
from .keys import StudyKey
from .studies import Study

tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

LABELS = ("project", "subject", "session")
_WORDS = {*LABELS, "when", "field", "regex", "csv", "key", "clean"}


class NamingError(XNATConfigError):
    """A naming rule cannot be used."""


class UnnamedError(XNATValueError):
    """No rule names a study, or a rule gives it a label that the server would change."""


@dataclass(frozen=True)
class NamingRule:
    """One way to name a study, see the module.

    templates: label -> template, for project, subject and session. when: header field -> pattern
    with `*` and `?`, all must match. regex: matched as a whole against the header field `source`.
    table: CSV lines by key. clean: replace characters outside `[A-Za-z0-9_-]` by `_` instead of
    refusing them.
    """

    templates: Mapping[str, str]
    when: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    regex: str = ""
    key: str = ""
    table: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    clean: bool = False
    where: str = "rule"

    @property
    def fields(self) -> tuple[str, ...]:
        """Header fields the rule reads beside `dicom.FIELDS`."""
        names = [*self.when, *([self.source] if self.source else [])]
        for template in (*self.templates.values(), self.key):
            names += [name for name in _names(template) if _is_keyword(name)]
        return tuple(dict.fromkeys(name for name in names if name not in FIELDS))


def _names(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name]


def _is_keyword(name: str) -> bool:
    try:
        wanted_tags((name,))
    except ValueError:
        return False
    return True


def fixed_names(project: str, subject: str = "{PatientID}", session: str = "") -> NamingRule:
    """A rule of templates alone; the session defaults to patient, date and modality."""
    pattern = session or "{subject}_{StudyDate}_{Modality}"
    return NamingRule({"project": project, "subject": subject, "session": pattern})


def read_naming(path: str | Path) -> tuple[NamingRule, ...]:
    """Read a rule file. Raises NamingError for everything that is wrong with it."""
    place = Path(path)
    try:
        data = tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NamingError(f"naming rules {path} cannot be read: {error}") from None
    tables = data.pop("name", None)
    if data:
        raise NamingError(f"{path}: {sorted(data)[0]!r} is no word here; write [[name]] tables")
    if not isinstance(tables, list) or not tables:
        raise NamingError(f"{path} holds no [[name]] table")
    return tuple(
        _rule(table, f"{path} [[name]] {index}", place.parent)
        for index, table in enumerate(tables, start=1)
    )


def _rule(table: Mapping[str, Any], where: str, folder: Path) -> NamingRule:
    for word in table:
        if word not in _WORDS:
            near = difflib.get_close_matches(word, _WORDS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise NamingError(f"{where}: {word!r} is no word of this table{hint}")
    templates = {label: str(table[label]) for label in LABELS if label in table}
    rows = _read_map(folder / str(table["csv"]), where) if "csv" in table else {}
    columns = next(iter(rows.values()), {})
    for label in LABELS:
        if label not in templates:
            if label not in columns:
                raise NamingError(f"{where}: say what the {label} is called")
            templates[label] = f"{{{label}}}"
    rule = NamingRule(
        templates,
        {str(name): str(pattern) for name, pattern in dict(table.get("when", {})).items()},
        str(table.get("field", "")),
        str(table.get("regex", "")),
        str(table.get("key", "")),
        rows,
        bool(table.get("clean", False)),
        where,
    )
    _check(rule, set(columns))
    return rule


def _check(rule: NamingRule, columns: set[str]) -> None:
    groups: set[str] = set()
    if bool(rule.regex) != bool(rule.source):
        raise NamingError(f"{rule.where}: field and regex belong together")
    if rule.table and not rule.key:
        raise NamingError(f"{rule.where}: csv needs a key, for instance key = '{{PatientID}}'")
    try:
        groups = set(re.compile(rule.regex).groupindex)
        known = groups | columns | set(LABELS)
        names = [name for text in (*rule.templates.values(), rule.key) for name in _names(text)]
    except (re.error, ValueError) as error:
        raise NamingError(f"{rule.where}: {error}") from None
    for name in [*names, *rule.when, *([rule.source] if rule.source else [])]:
        if name not in known and not _is_keyword(name):
            raise NamingError(
                f"{rule.where}: {name!r} is no header field, group or column ({sorted(known)})"
            )


def _read_map(path: Path, where: str) -> dict[str, dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NamingError(f"{where}: {path} cannot be read: {error}") from None
    if not lines or "key" not in lines[0]:
        raise NamingError(f"{where}: {path} needs a first line with the column 'key', and lines")
    found: dict[str, dict[str, str]] = {}
    for number, line in enumerate(lines, start=2):
        key = (line.get("key") or "").strip()
        if key in found:
            raise NamingError(f"{where}: {path}:{number} names {key!r} again")
        found[key] = {str(k): (v or "").strip() for k, v in line.items() if k}
    return found


def name_study(study: Study, rules: Iterable[NamingRule]) -> StudyKey:
    """The key of a study after the first rule that names it.

    The study must have been read with the rules' `fields`. Raises UnnamedError with what each rule
    said.
    """
    reasons = []
    for rule in rules:
        named, reason = _apply(rule, study)
        if named is None:
            reasons.append(f"{rule.where}: {reason}")
            continue
        try:
            return StudyKey(named["project"], study.uid, named["subject"], named["session"])
        except XNATUnsafeNameError as error:
            raise UnnamedError(f"study {study.uid}: {rule.where}: {error}") from None
    said = "; ".join(reasons) or "there is no rule"
    raise UnnamedError(f"no rule names study {study.uid} (patient {study.patient_id!r}): {said}")


def _apply(rule: NamingRule, study: Study) -> tuple[dict[str, str] | None, str]:
    """The three labels, or why there are none."""
    for name, pattern in rule.when.items():
        if not fnmatch.fnmatchcase(study.first(name), pattern):
            return None, f"{name} is {study.first(name)!r}, not {pattern!r}"
    words: dict[str, str] = {}
    if rule.regex:
        match = re.fullmatch(rule.regex, study.first(rule.source))
        if match is None:
            return None, f"{rule.source} is {study.first(rule.source)!r}, which does not match"
        words.update({name: value or "" for name, value in match.groupdict().items()})
    if rule.table:
        key, lacking = _fill(rule.key, study, words)
        if lacking or key not in rule.table:
            return None, f"{lacking} is empty" if lacking else f"{key!r} is not in the map"
        words.update({k: v for k, v in rule.table[key].items() if v})
    named: dict[str, str] = {}
    for label in LABELS:
        value, lacking = _fill(rule.templates[label], study, {**words, **named})
        if lacking or not value:
            return None, f"{lacking or label} is empty"
        named[label] = re.sub(r"[^A-Za-z0-9_-]", "_", value) if rule.clean else value
    return named, ""


def _fill(template: str, study: Study, words: Mapping[str, str]) -> tuple[str, str]:
    """The filled template, and the first name that has no value."""
    values = {name: words.get(name) or study.first(name) for name in _names(template)}
    lacking = next((name for name, value in values.items() if not value), "")
    return ("" if lacking else template.format_map(values)), lacking


def name_all(
    studies: Iterable[Study], rules: Iterable[NamingRule]
) -> tuple[list[tuple[Study, StudyKey]], list[tuple[Study, str]]]:
    """Named studies, and refused ones with the reason.

    Two studies that would get one session label are both refused: which of them is meant is not
    guessed.
    """
    rules = tuple(rules)
    named: list[tuple[Study, StudyKey]] = []
    refused: list[tuple[Study, str]] = []
    for study in studies:
        try:
            named.append((study, name_study(study, rules)))
        except UnnamedError as error:
            refused.append((study, str(error)))
    labels: dict[tuple[str, str], list[Study]] = {}
    for study, key in named:
        labels.setdefault((key.project, key.session), []).append(study)
    clashing = {pair for pair, found in labels.items() if len(found) > 1}
    for study, key in named:
        if (key.project, key.session) in clashing:
            count = len(labels[key.project, key.session])
            refused.append((study, f"{count} studies would be called {key.session}"))
    return [
        (study, key) for study, key in named if (key.project, key.session) not in clashing
    ], refused
