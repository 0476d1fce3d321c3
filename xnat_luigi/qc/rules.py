"""QC rules as a TOML file: what a study must look like. Reading, checking the file itself, nothing
else.

Every table and key is listed here; a word that is none of them is an error that names the nearest
right one. What the rules mean is told by `explain.py` and done by `checks.py`.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dicom import FIELDS, wanted_tags
from ..exceptions import XNATConfigError
from .verdicts import FAIL, WARN

# Two names for one library: in Python itself from 3.11 on, a package of its own before.
tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

SEVERITIES = (WARN, FAIL)
ORIENTATIONS = ("axial", "coronal", "sagittal")
FREE_TEXT = (
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "PatientComments",
    "ImageComments",
    "StudyComments",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
    "StudyID",
)
CONSISTENT = ("Modality", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient")


class RulesError(XNATConfigError):
    """A rule file cannot be used; the message names the file, the table and the word."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a header field must be. Of several conditions all must hold.

    `tolerance` is absolute, in the field's own unit.
    """

    keyword: str
    values: tuple[str | float, ...] = ()
    tolerance: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    one_of: tuple[str | float, ...] = ()
    matches: str = ""
    present: bool | None = None
    severity: str = FAIL

    def __str__(self) -> str:
        parts = []
        if self.values:
            within = f" ± {self.tolerance:g}" if self.tolerance else ""
            parts.append("\\".join(_plain(value) for value in self.values) + within)
        if self.minimum is not None or self.maximum is not None:
            low = "" if self.minimum is None else f"at least {self.minimum:g}"
            high = "" if self.maximum is None else f"at most {self.maximum:g}"
            parts.append(" and ".join(filter(None, (low, high))))
        if self.one_of:
            parts.append("one of " + ", ".join(_plain(value) for value in self.one_of))
        if self.matches:
            parts.append(f"matching /{self.matches}/")
        if self.present is not None:
            parts.append("present" if self.present else "absent or empty")
        return ", ".join(parts)


def _plain(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class SeriesRule:
    """A kind of series: how it is recognised, how many there must be and what each must be like."""

    name: str
    description: str = ""
    regex: str = ""
    modality: str = ""
    minimum: int = 1
    maximum: int | None = None
    minimum_files: int = 1
    maximum_files: int | None = None
    orientation: str = ""
    header: tuple[Wanted, ...] = ()
    severity: str = FAIL


@dataclass(frozen=True, slots=True)
class Call:
    """One's own check: `module:function`, or `file.py:function` beside the rule file."""

    target: str
    name: str
    severity: str = FAIL
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """A rule file. Severities are "warn" or "fail"; "" means that the rule is not asked for."""

    title: str = ""
    path: str = ""
    subject: str = ""
    session: str = ""
    modalities: tuple[str, ...] = ()
    minimum_series: int = 1
    minimum_files: int = 1
    study_severity: str = FAIL
    header: tuple[Wanted, ...] = ()
    series: tuple[SeriesRule, ...] = ()
    allowed: tuple[str, ...] = ()
    allowed_severity: str = ""
    instance_number: str = ""
    slice_position: str = ""
    gap_tolerance: float = 0.5
    consistency: tuple[str, ...] = ()
    consistency_tolerance: float = 1e-4
    consistency_severity: str = FAIL
    pixels_readable: str = ""
    pixels_constant: str = ""
    pixels_sample: int = 3
    burned_in: str = ""
    names_in_text: str = ""
    text_fields: tuple[str, ...] = FREE_TEXT
    empty: tuple[str, ...] = ()
    empty_severity: str = FAIL
    calls: tuple[Call, ...] = field(default=())

    @property
    def fields(self) -> tuple[str, ...]:
        """Keywords to read from the headers beside `dicom.FIELDS`."""
        wanted = [want.keyword for want in self.header]
        wanted += [want.keyword for rule in self.series for want in rule.header]
        wanted += [*self.consistency, *self.empty]
        wanted += [keyword for call in self.calls for keyword in call.needs]
        if self.names_in_text:
            wanted += self.text_fields
        return tuple(dict.fromkeys(name for name in wanted if name not in FIELDS))

    @property
    def pixels(self) -> bool:
        """Whether whole files are needed, not headers alone."""
        return bool(self.pixels_readable or self.pixels_constant)


def read_rules(path: str | Path) -> Rules:
    """Read a rule file. Raises RulesError for everything that is wrong with it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"rule file {path} cannot be read: {error}") from None
    return parse_rules(text, str(path))


def parse_rules(text: str, path: str = "rules") -> Rules:
    """The rules of a TOML text; `path` is for messages and for checks that lie beside it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"{path} is no TOML: {error}") from None
    top = _Table(data, path)
    rules = {"path": path, "title": top.text("title"), **_study(top.table("study"))}
    rules["header"] = _header(top.table("header"))
    rules["series"] = tuple(_series(table) for table in top.tables("series"))
    allowed = top.table("allowed")
    rules["allowed"] = allowed.texts("descriptions")
    rules["allowed_severity"] = allowed.severity("severity", WARN if allowed.given else "")
    gaps = top.table("gaps")
    rules["instance_number"] = gaps.severity("instance_number", "")
    rules["slice_position"] = gaps.severity("slice_position", "")
    rules["gap_tolerance"] = gaps.number("tolerance", 0.5)
    same = top.table("consistency")
    rules["consistency"] = same.keywords("fields", CONSISTENT if same.given else ())
    rules["consistency_tolerance"] = same.number("tolerance", 1e-4)
    rules["consistency_severity"] = same.severity("severity", FAIL)
    pixels = top.table("pixels")
    rules["pixels_readable"] = pixels.severity("readable", "")
    rules["pixels_constant"] = pixels.severity("constant", "")
    rules["pixels_sample"] = pixels.whole("sample", 3)
    rules.update(_phi(top.table("phi")))
    rules["calls"] = tuple(_call(table) for table in top.tables("check"))
    top.end()
    return Rules(**rules)


def _study(table: _Table) -> dict[str, Any]:
    return {
        "subject": table.pattern("subject"),
        "session": table.pattern("session"),
        "modalities": table.texts("modality"),
        "minimum_series": table.whole("minimum_series", 1),
        "minimum_files": table.whole("minimum_files", 1),
        "study_severity": table.severity("severity", FAIL),
    }


def _phi(table: _Table) -> dict[str, Any]:
    return {
        "burned_in": table.severity("burned_in", ""),
        "names_in_text": table.severity("names", ""),
        "text_fields": table.keywords("fields", FREE_TEXT),
        "empty": table.keywords("empty", ()),
        "empty_severity": table.severity("empty_severity", FAIL),
    }


def _series(table: _Table) -> SeriesRule:
    required = table.flag("required", True)
    low, high = table.span("count", (1 if required else 0, None))
    if not required:
        low = 0
    rule = SeriesRule(
        name=table.text("name") or table.peek("description") or table.peek("regex"),
        description=table.text("description"),
        regex=table.pattern("regex"),
        modality=table.text("modality"),
        minimum=low,
        maximum=high,
        minimum_files=table.whole("minimum_files", 1),
        maximum_files=table.whole("maximum_files", 0) or None,
        orientation=table.choice("orientation", ORIENTATIONS),
        header=_header(table.table("header")),
        severity=table.severity("severity", FAIL),
    )
    table.end()
    if not (rule.description or rule.regex or rule.modality):
        raise RulesError(
            f"{table.where}: say how the series is recognised: description (with * "
            "and ?), regex or modality"
        )
    return rule


def _header(table: _Table) -> tuple[Wanted, ...]:
    return tuple(_wanted(table, keyword) for keyword in table.words())


def _wanted(table: _Table, keyword: str) -> Wanted:
    table.check_keyword(keyword)
    value = table.take(keyword)
    if not isinstance(value, Mapping):
        return Wanted(keyword, _values(value))
    inner = _Table(value, f"{table.where}.{keyword}")
    wanted = Wanted(
        keyword,
        _values(inner.take("value")) if inner.peek("value") != "" else (),
        inner.number("tolerance", 0.0),
        inner.optional("minimum"),
        inner.optional("maximum"),
        _values(inner.take("one_of")) if inner.peek("one_of") != "" else (),
        inner.pattern("matches"),
        inner.maybe_flag("present"),
        inner.severity("severity", FAIL),
    )
    inner.end()
    if not str(wanted):
        raise RulesError(
            f"{inner.where} asks for nothing: give value, one_of, minimum, maximum, "
            "matches or present"
        )
    return wanted


def _values(value: object) -> tuple[str | float, ...]:
    if isinstance(value, list):
        return tuple(item for part in value for item in _values(part))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return (str(value),)
    return (float(value) if isinstance(value, int | float) else value,)


def _call(table: _Table) -> Call:
    target = table.text("call")
    if not re.fullmatch(r"[^:]+:[A-Za-z_]\w*", target):
        raise RulesError(
            f"{table.where}: call = {target!r} must be 'package.module:function' "
            "or 'file.py:function'"
        )
    call = Call(
        target,
        table.text("name") or target.rpartition(":")[2],
        table.severity("severity", FAIL),
        table.keywords("needs", ()),
    )
    table.end()
    return call


class _Table:
    """A TOML table that is read word by word; a word left over at the end is an error."""

    def __init__(self, data: Mapping[str, Any], where: str, *, given: bool = True) -> None:
        self.where = where
        self.given = given
        self._data = dict(data)
        self._known: list[str] = []
        self._inner: list[_Table] = []

    def _fault(self, word: str, what: str, value: object) -> RulesError:
        return RulesError(f"{self.where}: {word} = {value!r} must be {what}")

    def take(self, word: str) -> Any:
        self._known.append(word)
        return self._data.pop(word, "")

    def peek(self, word: str) -> Any:
        return self._data.get(word, "")

    def words(self) -> list[str]:
        return list(self._data)

    def end(self) -> None:
        """Every word of this table and of those in it has been read."""
        for inner in self._inner:
            inner.end()
        for word in self._data:
            near = difflib.get_close_matches(word, self._known, 1)
            hint = (
                f"; did you mean {near[0]!r}?"
                if near
                else f": {', '.join(sorted(set(self._known)))}"
            )
            raise RulesError(f"{self.where}: {word!r} is no word of this table{hint}")

    def table(self, word: str) -> _Table:
        given = word in self._data
        data = self.take(word) if given else {}
        self._known.append(word)
        if not isinstance(data, Mapping):
            raise self._fault(word, "a table", data)
        inner = _Table(data, f"{self.where} [{word}]", given=given)
        self._inner.append(inner)
        return inner

    def tables(self, word: str) -> list[_Table]:
        data = self.take(word) or []
        if not isinstance(data, list) or not all(isinstance(part, Mapping) for part in data):
            raise self._fault(word, f"written as [[{word}]]", data)
        return [
            _Table(part, f"{self.where} [[{word}]] {index}")
            for index, part in enumerate(data, start=1)
        ]

    def text(self, word: str) -> str:
        value = self.take(word)
        if not isinstance(value, str):
            raise self._fault(word, "a text", value)
        return value

    def texts(self, word: str) -> tuple[str, ...]:
        value = self.take(word) or []
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise self._fault(word, "a list of texts", value)
        return tuple(value)

    def keywords(self, word: str, default: Iterable[str]) -> tuple[str, ...]:
        found = self.texts(word) or tuple(default)
        for keyword in found:
            self.check_keyword(keyword)
        return found

    def check_keyword(self, keyword: str) -> None:
        try:
            wanted_tags((keyword,))
        except ValueError:
            from pydicom.datadict import keyword_dict

            near = difflib.get_close_matches(keyword, keyword_dict, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise RulesError(f"{self.where}: {keyword!r} is no DICOM keyword{hint}") from None

    def pattern(self, word: str) -> str:
        value = self.text(word)
        try:
            re.compile(value)
        except re.error as error:
            raise self._fault(word, f"a regular expression ({error})", value) from None
        return value

    def severity(self, word: str, default: str) -> str:
        value = self.take(word) or default
        if value is False or value == "off":
            return ""
        if value != "" and value not in SEVERITIES:
            raise self._fault(word, "'warn', 'fail' or 'off'", value)
        return str(value)

    def choice(self, word: str, choices: tuple[str, ...]) -> str:
        value = self.text(word)
        if value and value not in choices:
            raise self._fault(word, f"one of {', '.join(choices)}", value)
        return value

    def flag(self, word: str, default: bool) -> bool:
        value = self.maybe_flag(word)
        return default if value is None else value

    def maybe_flag(self, word: str) -> bool | None:
        value = self.take(word)
        if value == "" and not isinstance(value, bool):
            return None
        if not isinstance(value, bool):
            raise self._fault(word, "true or false", value)
        return value

    def number(self, word: str, default: float) -> float:
        found = self.optional(word)
        return default if found is None else found

    def optional(self, word: str) -> float | None:
        value = self.take(word)
        if value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._fault(word, "a number", value)
        return float(value)

    def whole(self, word: str, default: int) -> int:
        found = self.number(word, default)
        if found < 0 or found != int(found):
            raise self._fault(word, "a whole number, 0 or more", found)
        return int(found)

    def span(self, word: str, default: tuple[int, int | None]) -> tuple[int, int | None]:
        """`count = 2` or `count = [1, 3]`."""
        value = self.take(word)
        if value == "":
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value, value
        if (
            isinstance(value, list)
            and len(value) == 2
            and all(isinstance(part, int) and part >= 0 for part in value)
            and value[0] <= value[1]
        ):
            return value[0], value[1]
        raise self._fault(word, "a whole number or [least, most]", value)
