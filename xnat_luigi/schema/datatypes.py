"""Values between the words of XML Schema and Python's types.

An item's data hold numbers as numbers and everything else as text (wire contract A 4), listings
hold text only; both are understood.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

from ..exceptions import XNATValueError

__all__ = ["PYTHON", "as_meant", "convert_from", "convert_to"]

_ESCAPED = re.compile("&(lt|gt|quot|apos|amp);")
_MARKS = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}
_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?"
_ZONE = r"(Z|[+-]\d\d:?\d\d)?"
_DATE_ONLY = re.compile(_DATE + _ZONE)
_TIME_ONLY = re.compile(_TIME + _ZONE)
_DATETIME = re.compile(_DATE + "[T ]" + _TIME + _ZONE)
_DURATION = re.compile(
    r"(-)?P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)


def convert_to(value: Any, type_: str) -> Any:
    """The value in Python's type for a type of XML Schema.

    Parameters
    ----------
    value : object
        What the server gave: text or a number.
    type_ : str
        ``xs:date`` and the like; a type that is not known gives text.

    Raises
    ------
    XNATValueError
        The value is none of that type; the message names both.
    """
    convert: Callable[[Any], Any] = _TO.get(type_, as_meant)
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise XNATValueError(f"{value!r} is no {type_}: {error}") from None


def as_meant(value: Any) -> str:
    """A text as it was meant.

    The server stores what comes by forms and queries with five marks escaped (wire contract A
    0.2); without this, a text that is read, changed and written would be escaped once more each
    time.
    """
    text = str(value)
    return _ESCAPED.sub(lambda found: _MARKS[found[1]], text) if "&" in text else text


def convert_from(value: Any, type_: str) -> str:
    """The text to send for a value; what is no value of the type is refused before it is sent.

    Raises
    ------
    XNATValueError
        The value is none of that type.
    """
    convert = _FROM.get(type_, str)
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise XNATValueError(f"{value!r} cannot be sent as {type_}: {error}") from None


def _zone(text: str | None) -> datetime.timezone | None:
    if not text:
        return None
    if text == "Z":
        return datetime.timezone.utc
    sign = -1 if text[0] == "-" else 1
    digits = text[1:].replace(":", "")
    return datetime.timezone(
        sign * datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    )


def _micro(text: str | None) -> int:
    return int((text or "0")[:6].ljust(6, "0"))


def _fitting(pattern: re.Pattern[str], value: Any, example: str) -> re.Match[str]:
    found = pattern.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"expected is something like {example}")
    return found


def to_date(value: Any) -> datetime.date:
    """``2024-02-01``; a date with a time loses the time."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    text = str(value).strip()
    if _DATETIME.fullmatch(text):
        return to_datetime(text).date()
    year, month, day = _fitting(_DATE_ONLY, text, "2024-02-01").groups()[:3]
    return datetime.date(int(year), int(month), int(day))


def to_time(value: Any) -> datetime.time:
    """``10:00:00``, with fractions and a zone where they are given."""
    if isinstance(value, datetime.time):
        return value
    hour, minute, second, part, zone = _fitting(_TIME_ONLY, value, "10:00:00").groups()
    return datetime.time(int(hour), int(minute), int(second or 0), _micro(part), tzinfo=_zone(zone))


def to_datetime(value: Any) -> datetime.datetime:
    """``2024-02-01T10:00:00``, also with a blank in the middle, as the server writes it."""
    if isinstance(value, datetime.datetime):
        return value
    found = _fitting(_DATETIME, value, "2024-02-01 10:00:00").groups()
    year, month, day, hour, minute, second, part, zone = found
    return datetime.datetime(
        int(year),
        int(month),
        int(day),
        int(hour),
        int(minute),
        int(second or 0),
        _micro(part),
        tzinfo=_zone(zone),
    )


def to_timedelta(value: Any) -> datetime.timedelta:
    """``PT1H30M``; months and years have no fixed length and are refused."""
    if isinstance(value, datetime.timedelta):
        return value
    found = _fitting(_DURATION, value, "P1DT2H30M")
    minus, *numbers = found.groups()
    if not any(numbers):
        raise ValueError("expected is something like P1DT2H30M")
    weeks, days, hours, minutes, seconds = (float(number or 0) for number in numbers)
    length = datetime.timedelta(
        weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
    )
    return -length if minus else length


def to_bool(value: Any) -> bool:
    """``true`` and ``1`` are true, ``false`` and ``0`` are false, anything else is refused."""
    text = str(value).strip().lower()
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise ValueError("expected is true or false")


def to_int(value: Any) -> int:
    """A whole number; ``"256.0"`` is one, ``"256.5"`` is none."""
    if isinstance(value, bool):
        raise ValueError("expected is a number")
    if isinstance(value, int):
        return value
    try:
        return int(value) if isinstance(value, str) else _whole(float(value))
    except ValueError:
        return _whole(float(value))


def _whole(number: float) -> int:
    if not number.is_integer():
        raise ValueError("expected is a whole number")
    return int(number)


def to_float(value: Any) -> float:
    """A number; ``NaN`` and ``INF`` come as text."""
    if isinstance(value, bool):
        raise ValueError("expected is a number")
    return float(value)


def _from_float(value: Any) -> str:
    number = to_float(value)
    if math.isinf(number):
        return "INF" if number > 0 else "-INF"
    return "NaN" if math.isnan(number) else repr(number)


def _from_timedelta(value: Any) -> str:
    length = to_timedelta(value)
    sign = "-" if length < datetime.timedelta(0) else ""
    length = abs(length)
    hours, rest = divmod(length.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    text = (
        f"{seconds}.{length.microseconds:06d}".rstrip("0").rstrip(".")
        if (length.microseconds)
        else str(seconds)
    )
    days = f"{length.days}D" if length.days else ""
    return f"{sign}P{days}T{hours}H{minutes}M{text}S"


_INTEGERS = (
    "integer",
    "long",
    "short",
    "byte",
    "nonNegativeInteger",
    "positiveInteger",
    "nonPositiveInteger",
    "negativeInteger",
    "unsignedLong",
    "unsignedInt",
    "unsignedShort",
    "unsignedByte",
)
_FLOATS = ("float", "double", "decimal")

PYTHON: dict[str, type] = {
    # xs:int is text in the documented classes (section 1.5.1: num_frames, number, id)
    "xs:int": str,
    "xs:string": str,
    "xs:anyURI": str,
    "xs:boolean": bool,
    "xs:date": datetime.date,
    "xs:time": datetime.time,
    "xs:dateTime": datetime.datetime,
    "xs:duration": datetime.timedelta,
    **{f"xs:{name}": int for name in _INTEGERS},
    **{f"xs:{name}": float for name in _FLOATS},
}
"""Python's types for those of XML Schema; all others are text."""

_TO: dict[str, Callable[[Any], Any]] = {
    "xs:boolean": to_bool,
    "xs:date": to_date,
    "xs:time": to_time,
    "xs:dateTime": to_datetime,
    "xs:duration": to_timedelta,
    **{f"xs:{name}": to_int for name in _INTEGERS},
    **{f"xs:{name}": to_float for name in _FLOATS},
}
_FROM: dict[str, Callable[[Any], str]] = {
    "xs:boolean": lambda value: "true" if to_bool(value) else "false",
    "xs:date": lambda value: to_date(value).isoformat(),
    "xs:time": lambda value: to_time(value).isoformat(),
    "xs:dateTime": lambda value: to_datetime(value).isoformat(),
    "xs:duration": _from_timedelta,
    **{f"xs:{name}": lambda value: str(to_int(value)) for name in _INTEGERS},
    **{f"xs:{name}": _from_float for name in _FLOATS},
}
