"""Entry names of a zip and the files they belong to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.transfer.zipped import key_finder, member_key

steps = st.sampled_from(
    [
        "E1",
        "scans",
        "1",
        "1-T1",
        "2",
        "assessors",
        "out",
        "resources",
        "DICOM",
        "files",
        "a.dcm",
        "",
    ]
)
names = st.lists(st.lists(steps, min_size=1, max_size=10).map("/".join), max_size=12)


@given(names)
def test_a_finder_says_of_each_name_what_it_says_alone(some: list[str]) -> None:
    scans = {"1", "2"}
    find = key_finder(scans)
    assert [find(name) for name in some] == [member_key(name, scans) for name in some]


@given(st.lists(st.sampled_from(["0.dcm", "files/0.dcm", "resources/X/files/0.dcm", "a/b"])))
def test_neighbours_share_all_but_their_path(paths: list[str]) -> None:
    find = key_finder({"1"})
    names = [f"E1/scans/1-T1/resources/DICOM/files/{path}" for path in paths]
    found = [find(name) for name in names]
    assert found == [member_key(name, {"1"}) for name in names]
    assert [key.path for key in found if key is not None] == paths
