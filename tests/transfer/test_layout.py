"""Local paths: made in one place, never outside, never two at one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.exceptions import XNATUnsafeNameError, XNATValueError
from xnat_luigi.transfer.layout import LAYOUTS, Origin, check_layout, place, prove_apart

SCAN = Origin("http://x", "P1", "S1", "sub", "E1", "ses", "scans", "4-MR1", "T1 w/o", "12", "DICOM")
OWN = replace(SCAN, category="resources", parent_id="", parent_desc="", resource_label="LOGS")
OUT = replace(SCAN, category="assessors", parent_id="A1", parent_desc="", resource_label="QC")


@pytest.mark.parametrize(
    ("origin", "layout", "path"),
    [
        (SCAN, "documented", "P1/sub/ses/scans/4-MR1-T1_w_o/resources/DICOM/files/a/1.dcm"),
        (OWN, "documented", "P1/sub/ses/resources/LOGS/files/a/1.dcm"),
        (OUT, "documented", "P1/sub/ses/assessors/A1/resources/QC/files/a/1.dcm"),
        (SCAN, "flat", "ses/scans/4-MR1-T1_w_o/DICOM/a/1.dcm"),
        (OWN, "flat", "ses/LOGS/a/1.dcm"),
        (
            SCAN,
            "{project}/{subject}/{session}/{scan_id}-{scan_type}/{resource}/{path}",
            "P1/sub/ses/4-MR1-T1_w_o/DICOM/a/1.dcm",
        ),
        (
            OWN,
            "{session}/{scan_id}-{scan_type}/{resource_id}_{path}",
            "ses/session-none/12_a/1.dcm",
        ),
    ],
)
def test_layouts(origin: Origin, layout: str, path: str) -> None:
    assert place(origin, "a/1.dcm", layout) == PurePosixPath(path)


def test_ids_stand_in_for_labels_that_are_missing() -> None:
    bare = replace(SCAN, subject_label="", experiment_label="", resource_label="", parent_desc="")
    assert str(place(bare, "x", "flat")) == "E1/scans/4-MR1/12/x"


@given(path=st.text(max_size=40), layout=st.sampled_from([*LAYOUTS, "{session}_{path}"]))
def test_D6_whatever_the_server_names_a_file_it_stays_inside_or_is_refused(
    path: str, layout: str
) -> None:
    try:
        found = place(SCAN, path, layout)
    except XNATUnsafeNameError:
        return
    assert str(found).endswith(path)
    assert not found.is_absolute()
    assert not {"", ".", "..", ".xnat-luigi"} & set(found.parts)
    assert Path("/root", found).resolve().is_relative_to("/root")
    assert all(len(part.encode()) <= 255 for part in found.parts)


names = st.text("ab/._-\\ é\0", max_size=6)


@given(
    origin=st.builds(
        Origin, *[names] * 6, st.sampled_from(["scans", "assessors", "resources"]), *[names] * 4
    )
)
def test_D6_nor_does_any_label(origin: Origin) -> None:
    for layout in (*LAYOUTS, "{subject}-{session}/{scan_id}/{path}"):
        try:
            found = place(origin, "f", layout)
        except XNATUnsafeNameError:
            continue
        assert Path("/root", found).resolve().is_relative_to("/root")
        assert found.name == "f"


@pytest.mark.parametrize(
    "path", ["", "/x", "x/", "a//b", "..", "a/..", ".xnat-luigi/x", "x\\y", "\ud800"]
)
def test_T4_names_that_are_no_path_are_refused(path: str) -> None:
    with pytest.raises(XNATUnsafeNameError, match="is refused"):
        place(SCAN, path)


@pytest.mark.parametrize("path", ["a b", "100%", "#1", "ä/ü", "a:b", "~x", "-rf", "x;y", "{path}"])
def test_T4_odd_names_are_kept_as_they_are(path: str) -> None:
    assert str(place(SCAN, path)).endswith("/files/" + path)


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("documentd", "did you mean documented?"),
        ("{sesion}/{path}", "unknown field {sesion}, did you mean {session}?"),
        ("{session}", "must end with {path}"),
        ("{path}/{session}", "must end with {path}"),
        ("{path}/{path}", "must end with {path}"),
        ("/data/{session}/{path}", "not a relative path"),
        ("{session}/{{path}", "not a relative path"),
    ],
)
def test_wrong_layouts_are_explained(layout: str, said: str) -> None:
    with pytest.raises(XNATValueError, match=re.escape(said)):
        check_layout(layout)


TWO = [SCAN, replace(SCAN, experiment_id="E2", experiment_label="other")]


@pytest.mark.parametrize(
    "layout", ["documented", "flat", "{scan_id}/{session}/{path}", "{subject}-{session}/{path}"]
)
def test_sessions_with_a_part_of_their_own_are_apart(layout: str) -> None:
    prove_apart(TWO, layout)


@pytest.mark.parametrize(
    "layout",
    ["{subject}/{path}", "{place}/{session}/{path}", "{session}{scan_id}/{path}", "{path}"],
)
def test_sessions_without_one_are_refused_by_name(layout: str) -> None:
    with pytest.raises(XNATUnsafeNameError, match=r"ses \(E1\) and other \(E2\)"):
        prove_apart(TWO, layout)
    prove_apart(TWO[:1], layout)


def test_labels_that_melt_into_each_other_are_found() -> None:
    first = replace(SCAN, subject_label="a_b", experiment_label="c")
    second = replace(SCAN, subject_label="a", experiment_label="b_c", experiment_id="E2")
    with pytest.raises(XNATUnsafeNameError):
        prove_apart([first, second], "{subject}_{session}/{path}")


@given(
    labels=st.lists(st.tuples(names, names), min_size=2, max_size=2, unique=True),
    paths=st.lists(names, min_size=2, max_size=2),
    layout=st.sampled_from(
        ["documented", "flat", "{subject}_{session}/{path}", "x/{session}/{scan_id}{path}"]
    ),
)
def test_what_is_proven_apart_never_meets(
    labels: list[tuple[str, str]], paths: list[str], layout: str
) -> None:
    origins = [
        replace(SCAN, subject_label=subject, experiment_label=label, experiment_id=f"E{n}")
        for n, (subject, label) in enumerate(labels)
    ]
    try:
        prove_apart(origins, layout)
        one, two = (place(o, path, layout) for o, path in zip(origins, paths, strict=True))
    except XNATUnsafeNameError:
        return
    assert one != two
    assert one not in two.parents
    assert two not in one.parents
