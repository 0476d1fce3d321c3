"""Addresses: everything that goes into one comes out of it unchanged, or is refused (row T4)."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi import uris
from xnat_luigi.exceptions import XNATUnsafeNameError, XNATValueError
from xnat_luigi.uris import Address


@given(st.text(st.characters(), max_size=40))
def test_T4_a_segment_comes_back_as_it_was_or_is_refused(text: str) -> None:
    try:
        quoted = uris.quote_segment(text)
    except XNATUnsafeNameError:
        return
    assert unquote(quoted) == text
    assert urlsplit(f"http://h/data/{quoted}").path == f"/data/{quoted}"
    assert not set(quoted) & set("/?#;\\ ")


@given(st.text(st.characters(), max_size=60))
def test_T4_a_file_path_comes_back_as_it_was_or_is_refused(text: str) -> None:
    try:
        quoted = uris.quote_path(text)
    except XNATUnsafeNameError:
        return
    assert unquote(quoted) == text
    assert urlsplit(f"http://h/f/{quoted}").path == f"/f/{quoted}"
    assert ".." not in quoted.split("/")


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a\\b", "a\nb", "\x00", "\x7f", "\ud800"])
def test_T4_what_can_never_be_addressed_is_refused(bad: str) -> None:
    with pytest.raises(XNATUnsafeNameError):
        uris.quote_segment(bad)


@pytest.mark.parametrize("bad", ["", "/a", "a//b", "../a", "a/../b", "a/.", "a\rb", "\ud800/a"])
def test_T4_file_paths_that_climb_or_stand_still_are_refused(bad: str) -> None:
    with pytest.raises(XNATUnsafeNameError):
        uris.quote_path(bad)


@pytest.mark.parametrize("good", ["S1", "a-b_C", "0", "x" * 255])
def test_A5_3_labels_that_the_server_takes(good: str) -> None:
    assert uris.check_label(good) == good


@pytest.mark.parametrize("bad", ["", "a b", "a.b", "ä", "a/b", "a%20", "x" * 256, "a\n", "²"])
def test_A5_3_labels_that_it_would_choke_on(bad: str) -> None:
    with pytest.raises(XNATUnsafeNameError, match="subject"):
        uris.check_label(bad, "subject label")


@pytest.mark.parametrize("bad", ["", "..", ".", "a b", "123", "ä", "a/b"])
def test_A6_1_resource_labels_that_are_refused(bad: str) -> None:
    with pytest.raises(XNATUnsafeNameError):
        uris.check_resource_label(bad)


@pytest.mark.parametrize("good", ["DICOM", "a.b", "1a", "QC-1_x"])
def test_A6_1_resource_labels_that_are_taken(good: str) -> None:
    assert uris.check_resource_label(good) == good


@pytest.mark.parametrize(
    ("path", "survives"),
    [
        ("a.txt", True),
        ("a b.txt", True),
        ("a+b", True),
        ("a#b", False),
        ("ä", False),
        ("a%b", False),
    ],
)
def test_A6_4_which_names_an_upload_keeps(path: str, survives: bool) -> None:
    assert uris.survives_upload(path) is survives


@pytest.mark.parametrize(
    ("listed", "address"),
    [
        ("/data/experiments/E/scans/1", "/data/experiments/E/scans/1"),
        ("/data/experiments/E/files/a b#c%20", "/data/experiments/E/files/a%20b%23c%2520"),
        ("/archive/projects/P", "/data/archive/projects/P"),
        ("/REST/projects/P", "/REST/projects/P"),
    ],
)
def test_A6_2_listed_addresses_are_raw(listed: str, address: str) -> None:
    assert uris.quote_listed(listed) == address


@pytest.mark.parametrize(
    "bad", ["http://evil/data/x", "//evil/data", "/data/../../etc", "/etc", "", "/data/a\nb"]
)
def test_a_listed_address_that_leads_elsewhere_is_refused(bad: str) -> None:
    with pytest.raises(XNATUnsafeNameError):
        uris.quote_listed(bad)


@pytest.mark.parametrize(
    ("address", "path", "kind"),
    [
        (Address(project="P"), "/data/projects/P", "project"),
        (Address(project="P", subject="S"), "/data/projects/P/subjects/S", "subject"),
        (Address(experiment="E"), "/data/experiments/E", "experiment"),
        (Address(experiment="E", scan="1 a"), "/data/experiments/E/scans/1%20a", "scan"),
        (
            Address(experiment="E", assessor="A", direction="in"),
            "/data/experiments/E/assessors/A/in",
            "assessor",
        ),
        (
            Address(project="P", subject="S", experiment="E", scan="1"),
            "/data/projects/P/subjects/S/experiments/E/scans/1",
            "scan",
        ),
    ],
)
def test_A0_1_places_of_resources(address: Address, path: str, kind: str) -> None:
    assert address.path() == path
    assert address.kind == kind
    assert address.resource("R") == f"{path}/resources/R"
    assert address.file("R", "a/b c") == f"{path}/resources/R/files/a/b%20c"


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"scan": "1"},
        {"project": "P", "experiment": "E", "scan": "1"},
        {"experiment": "E", "scan": "1", "assessor": "A"},
        {"experiment": "E", "direction": "in"},
        {"experiment": "E", "assessor": "A", "direction": "up"},
    ],
)
def test_A0_1_places_that_have_no_route_are_refused(parts: dict[str, str]) -> None:
    with pytest.raises(XNATValueError):
        Address(**parts)


def test_A0_1_there_is_no_list_of_files_of_an_experiment_by_project() -> None:
    with pytest.raises(XNATValueError, match="no route"):
        Address(project="P", experiment="E").files()


def test_parents_lead_up() -> None:
    scan = Address(project="P", subject="S", experiment="E", scan="1")
    seen = []
    place: Address | None = scan
    while place is not None:
        seen.append(place.kind)
        place = place.parent
    assert seen == ["scan", "experiment", "subject", "project"]
    assert Address(experiment="E", assessor="A", direction="in").parent == Address(experiment="E")
    assert Address(experiment="E").parent is None
