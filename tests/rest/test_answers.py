"""Reading answers: whatever comes, it is data or an error of ours (wire contract A 0.3, A 3.1)."""

from __future__ import annotations

import io
import json
import time

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from xnat_luigi.config import Policy
from xnat_luigi.connection.login import Answer
from xnat_luigi.connection.sockets import Sockets
from xnat_luigi.connection.transport import Reply
from xnat_luigi.exceptions import XNATError, XNATPageError, XNATResponseError
from xnat_luigi.rest import answers
from xnat_luigi.rest.contents import make_file, make_resource
from xnat_luigi.rest.listings import make_experiment
from xnat_luigi.rest.prearchive import make_row

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "ResultSet",
                    "Result",
                    "totalRecords",
                    "items",
                    "children",
                    "data_fields",
                    "meta",
                    "isHistory",
                    "xsi:type",
                    "field",
                    "duplicates",
                    "ID",
                    "URI",
                ]
            )
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def answer(content: bytes) -> Answer:
    """An answer as it came over the wire."""
    response = requests.Response()
    response.status_code = 200
    response.raw = io.BytesIO(content)
    reply = Reply(response, "GET /data/x", Policy(), time.monotonic, 60.0, Sockets(60.0))
    return Answer("GET", "/data/x", reply, content)


@settings(max_examples=200, deadline=None)
@given(document=JSON)
def test_any_json_is_data_or_an_error(document: object) -> None:
    body = answer(json.dumps(document).encode())
    for read in (answers.read_table, answers.read_items, answers.read_duplicates):
        try:
            read(body)
        except XNATError:
            continue


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_data_or_an_error(content: bytes) -> None:
    body = answer(content)
    for read in (
        answers.read_table,
        answers.read_items,
        answers.read_json,
        answers.read_text,
        answers.read_uri_list,
        answers.read_duplicates,
    ):
        try:
            read(body)
        except XNATError as error:
            assert len(str(error)) < 600
            continue


@settings(max_examples=100, deadline=None)
@given(row=st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=6))
def test_any_row_makes_a_record(row: dict[str, str]) -> None:
    make_resource(row)
    make_experiment(row)
    make_row(row)
    try:
        make_file(row)
    except XNATResponseError:
        assert "/resources/" not in row.get("URI", "")


@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html><html>", b"  <HTML><body>", b"\n<!doctype HTML>"],
)
def test_A0_3_pages_are_told_apart(content: bytes) -> None:
    for read in (answers.read_table, answers.read_text, answers.read_items):
        with pytest.raises(XNATPageError):
            read(answer(content))


def test_A3_1_a_table_that_lacks_rows_is_an_error() -> None:
    table = {"ResultSet": {"Result": [{"ID": "1", "n": 2, "x": None}], "totalRecords": "1"}}
    assert answers.read_table(answer(json.dumps(table).encode())) == [
        {"ID": "1", "n": "2", "x": ""}
    ]
    table["ResultSet"]["totalRecords"] = "2"
    with pytest.raises(XNATResponseError, match="1 rows and says it has 2"):
        answers.read_table(answer(json.dumps(table).encode()))


def test_A0_3_an_empty_body_is_no_table() -> None:
    with pytest.raises(XNATResponseError, match="empty"):
        answers.read_table(answer(b""))


def test_B0_lists_of_addresses_end_with_crlf_or_nothing() -> None:
    two = answers.read_uri_list(answer(b"/data/a\r\n/data/b\r\n"))
    assert two == ["/data/a", "/data/b"]
    assert answers.read_uri_list(answer(b"/data/a")) == ["/data/a"]
    for body in (b"", b"\r\n", b"nothing of that kind"):
        with pytest.raises(XNATResponseError):
            answers.read_uri_list(answer(body))
