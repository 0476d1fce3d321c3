"""The material of demo and tests is real DICOM, and the same every time."""

from __future__ import annotations

from pathlib import Path

from pipelines.material import cut, make_study, series_of
from xnat_luigi.dicom import TRUNCATED, WHOLE, read_header


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    series = [*series_of(["T1w", "T2w"], slices=2), *series_of(["CT"], slices=1, modality="CT")]
    one, two = (
        make_study(tmp_path / name, subject="S1", session="S1_MR1", series=series, side=64)
        for name in "ab"
    )
    assert one.uid == two.uid
    assert [p.read_bytes() for p in one.files] == [p.read_bytes() for p in two.files]
    assert len({p.read_bytes() for p in one.files}) == 5


def test_slices_have_a_clinical_size_and_are_whole(tmp_path: Path) -> None:
    made = make_study(tmp_path, subject="S1", session="S1_MR1", series=series_of(["T1w"]))
    headers = [read_header(path) for path in made.files]
    assert {header.state for header in headers} == {WHOLE}
    assert all(512 * 512 * 2 < header.size < 600_000 for header in headers)
    assert {header.study_uid for header in headers} == {made.uid}


def test_a_cut_file_is_seen(tmp_path: Path) -> None:
    made = make_study(tmp_path, subject="S1", session="S", series=series_of(["T1w"], slices=1))
    length = cut(made.files[0])
    header = read_header(made.files[0])
    assert (header.size, header.state) == (length, TRUNCATED)
