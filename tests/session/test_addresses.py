"""Addresses as scripts write them (S-058, S-059, S-063, S-064)."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.session.addresses import read_address

SERVERS = ("https://xnat.example.org/xnat", "http://old.example.org/")
TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)
SEGMENT = TEXT.filter(lambda text: not set(text) & {"?", "/", "%", "\\"} and text)


@pytest.mark.parametrize(
    ("uri", "path", "query"),
    [
        ("/data/projects", "/data/projects", []),
        ("https://xnat.example.org/xnat/data/projects", "/data/projects", []),
        ("http://old.example.org/data/projects?a=1&a=2&b=", "/data/projects", None),
        ("https://xnat.example.org/xnat", "/", []),
        ("/data/x y/a%20b/100%", "/data/x%20y/a%20b/100%25", []),
        ("/data/experiments/A,B/scans/*/files", "/data/experiments/A,B/scans/*/files", []),
        ("/data/a#b", "/data/a%23b", []),
    ],
)
def test_S058_S059_paths_and_whole_addresses(
    uri: str, path: str, query: list[tuple[str, str]] | None
) -> None:
    found, pairs = read_address(SERVERS, uri)
    assert found == path
    assert pairs == ([("a", "1"), ("a", "2"), ("b", "")] if query is None else query)


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example.org/data/projects",
        "https://xnat.example.org.evil.org/xnat/data",
        "https://xnat.example.org/xnatty/data",
        "//evil.example.org/data",
        "data/projects",
        "",
        "/data/a\nb",
    ],
)
def test_S059_other_servers_and_what_is_no_path_are_refused(uri: str) -> None:
    with pytest.raises(XNATValueError):
        read_address(SERVERS, uri)


def test_S063_S064_format_and_query_are_added() -> None:
    _, pairs = read_address(
        SERVERS, "/data?format=xml&x=1", {"y": [1, 2], "z": True, "n": None}, "json"
    )
    assert pairs == [("x", "1"), ("y", "1"), ("y", "2"), ("z", "true"), ("format", "json")]


@given(st.lists(SEGMENT, min_size=1, max_size=4))
def test_any_names_come_back_from_the_quoted_path(names: list[str]) -> None:
    path, pairs = read_address(SERVERS, "/data/" + "/".join(names))
    assert unquote(path) == "/data/" + "/".join(names)
    assert pairs == []
    assert path.isascii()
    assert not set(path) & set(' ?#"<>\\^`{|}')


@given(TEXT)
def test_any_text_is_a_path_or_an_error(text: str) -> None:
    try:
        path, _ = read_address(SERVERS, text)
    except XNATValueError:
        return
    assert path.startswith("/")
    assert not path.startswith("//")
    assert path.isascii()
