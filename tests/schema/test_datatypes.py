"""Values between XML Schema and Python."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.schema.datatypes import convert_from, convert_to


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        ("2024-02-01", "xs:date", dt.date(2024, 2, 1)),
        ("2024-02-01 10:00:00.0", "xs:date", dt.date(2024, 2, 1)),
        ("10:11:12", "xs:time", dt.time(10, 11, 12)),
        ("10:11", "xs:time", dt.time(10, 11)),
        ("2024-02-01 10:11:12.5", "xs:dateTime", dt.datetime(2024, 2, 1, 10, 11, 12, 500000)),
        (
            "2024-02-01T10:11:12Z",
            "xs:dateTime",
            dt.datetime(2024, 2, 1, 10, 11, 12, tzinfo=dt.timezone.utc),
        ),
        ("PT1H30M", "xs:duration", dt.timedelta(hours=1.5)),
        ("-P1D", "xs:duration", dt.timedelta(days=-1)),
        ("true", "xs:boolean", True),
        ("0", "xs:boolean", False),
        (True, "xs:boolean", True),
        (12, "xs:integer", 12),
        ("256.0", "xs:integer", 256),
        (9007199254740993, "xs:long", 9007199254740993),
        ("9007199254740993", "xs:long", 9007199254740993),
        (1, "xs:float", 1.0),
        ("NaN", "xs:float", math.nan),
        (3, "xs:int", "3"),
        (3, "xs:string", "3"),
        ("a", "other:type", "a"),
    ],
)
def test_values_get_pythons_types(value: Any, type_: str, expected: Any) -> None:
    found = convert_to(value, type_)
    assert type(found) is type(expected)
    assert found == expected or (found != found and expected != expected)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("01/02/2024", "xs:date"),
        ("2024-13-01", "xs:date"),
        ("25:00:00", "xs:time"),
        ("yesterday", "xs:dateTime"),
        ("P1M", "xs:duration"),
        ("P", "xs:duration"),
        ("yes", "xs:boolean"),
        ("1.5", "xs:integer"),
        (True, "xs:integer"),
        ("one", "xs:float"),
        (None, "xs:float"),
    ],
)
def test_what_is_no_value_of_the_type_is_refused_by_name(value: Any, type_: str) -> None:
    with pytest.raises(XNATValueError, match=type_):
        convert_to(value, type_)
    with pytest.raises(XNATValueError, match=type_):
        convert_from(value, type_)


@given(st.dates())
def test_dates_survive_the_way_there_and_back(value: dt.date) -> None:
    assert convert_to(convert_from(value, "xs:date"), "xs:date") == value


@given(st.datetimes())
def test_moments_survive_the_way_there_and_back(value: dt.datetime) -> None:
    assert convert_to(convert_from(value, "xs:dateTime"), "xs:dateTime") == value


@given(st.times())
def test_times_survive_the_way_there_and_back(value: dt.time) -> None:
    assert convert_to(convert_from(value, "xs:time"), "xs:time") == value


@given(
    st.timedeltas(min_value=dt.timedelta(days=-10000), max_value=dt.timedelta(days=10000)),
)
def test_durations_survive_the_way_there_and_back(value: dt.timedelta) -> None:
    found = convert_to(convert_from(value, "xs:duration"), "xs:duration")
    assert abs(found - value) <= dt.timedelta(microseconds=1)


@given(st.integers())
def test_whole_numbers_survive_the_way_there_and_back(value: int) -> None:
    assert convert_to(convert_from(value, "xs:integer"), "xs:integer") == value


@given(st.floats(allow_nan=False))
def test_numbers_survive_the_way_there_and_back(value: float) -> None:
    assert convert_to(convert_from(value, "xs:double"), "xs:double") == value


@given(st.text())
def test_any_text_is_a_value_or_an_error_that_names_the_type(text: str) -> None:
    for type_ in ("xs:date", "xs:time", "xs:dateTime", "xs:duration", "xs:integer", "xs:boolean"):
        try:
            convert_to(text, type_)
        except XNATValueError as error:
            assert type_ in str(error)
