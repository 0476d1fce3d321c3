"""Crafted DICOM on its whole way: archived exactly once, or held with the reason; never half.

What the reader makes of such bytes is tested in `tests/intake/test_dicom.py`; here the study goes
through grouping, judgement, import and archive on a server.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from pipelines.material import cut
from tests.intake.conftest import PROJECT, Line, small_study
from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.gate.running import Settings, run_folder
from xnat_luigi.intake.ledger import DONE, HELD, Entry
from xnat_luigi.rest import contents
from xnat_luigi.standin import StandIn


@pytest.fixture
def line(standin: StandIn, netrc: Path, tmp_path: Path) -> Iterator[Line]:
    """A project, a study in a folder, a connection."""
    standin.add_project(PROJECT)
    yield Line(standin, connection_for(standin.url), small_study(tmp_path / "in"))
    close_all()


def go(line: Line, tmp_path: Path) -> Entry:
    """The folder through the whole intake; it holds one study."""
    settings = Settings(
        str(tmp_path / "state"), project=PROJECT, folder=str(line.made.folder), thumbnails=1
    )
    outcome = run_folder(line.conn, settings, workers=1, pace=line.pace)
    (entry,) = outcome.entries
    return entry


def is_held(line: Line, entry: Entry, reason: str) -> bool:
    assert entry.stage == HELD, entry.detail
    assert reason in entry.detail
    return line.imports == 0 and line.rows() == [] and line.experiments() == []


def rewrite(path: Path, **values: Any) -> None:
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("keep", [0.95, 0.6, 0.3])
def test_X_truncated_pixels(line: Line, tmp_path: Path, keep: float) -> None:
    cut(line.made.files[3], keep=keep)
    assert is_held(line, go(line, tmp_path), "not whole DICOM files")


@pytest.mark.parametrize("size", [0, 100, 200, 360, 700])
def test_X_truncated_in_the_header(line: Line, tmp_path: Path, size: int) -> None:
    """Cut before it tells its study: the study it lies beside is not archived without it."""
    path = line.made.files[3]
    path.write_bytes(path.read_bytes()[:size])
    assert is_held(line, go(line, tmp_path), "not whole DICOM files")


def test_X_a_note_beside_the_images_does_no_harm(line: Line, tmp_path: Path) -> None:
    (line.made.files[0].parent / "README.txt").write_text("from the scanner")
    assert go(line, tmp_path).stage == DONE and line.archived_once()


def test_X_two_patients_in_one_study(line: Line, tmp_path: Path) -> None:
    rewrite(line.made.files[0], PatientID="SOMEBODY", PatientName="Else^Body")
    assert is_held(line, go(line, tmp_path), "2 different values of PatientID")


def test_X_one_uid_on_two_different_images(line: Line, tmp_path: Path) -> None:
    first = pydicom.dcmread(line.made.files[0])
    rewrite(line.made.files[1], SOPInstanceUID=first.SOPInstanceUID)
    assert is_held(line, go(line, tmp_path), "SOPInstanceUIDs occur more than once")


def test_X_the_same_image_twice_is_sent_once(line: Line, tmp_path: Path) -> None:
    (line.made.folder / "copy.dcm").write_bytes(line.made.files[0].read_bytes())
    entry = go(line, tmp_path)
    assert entry.stage == DONE and line.archived_once()
    assert len(contents.list_session_files(line.conn, entry.facts["experiment"])) == 6 + 2


def test_X_images_without_uid(line: Line, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(line.made.files[0])
    del dataset.SOPInstanceUID
    dataset.save_as(line.made.files[0])
    entry = go(line, tmp_path)
    assert entry.stage == HELD and line.imports == 0


def private(count: int) -> Callable[[Path], None]:
    def craft(path: Path) -> None:
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(0x0029, "HUGE THINGS", create=True)
        block.add_new(0x10, "OB", b"\xa5" * count)
        dataset.save_as(path, enforce_file_format=True)

    return craft


@pytest.mark.parametrize("count", [70_000, 5_000_000])
def test_X_huge_private_tags_pass_unchanged(line: Line, tmp_path: Path, count: int) -> None:
    private(count)(line.made.files[0])
    entry = go(line, tmp_path)
    assert entry.stage == DONE, entry.detail
    assert "6 with the MD5 sent" in entry.facts["proof"] and line.archived_once()


@pytest.mark.parametrize("vr", [b"XX", b"\0\0", b"UN", b"SQ", b"OW"])
@pytest.mark.parametrize("keyword", ["PatientID", "SeriesDescription", "Rows"])
def test_X_a_wrong_vr_is_archived_or_held_and_never_misnamed(
    line: Line, tmp_path: Path, vr: bytes, keyword: str
) -> None:
    path = line.made.files[0]
    raw = path.read_bytes()
    tag = pydicom.tag.Tag(keyword)
    at = raw.index(struct.pack("<HH", tag.group, tag.element), 132)
    path.write_bytes(raw[: at + 4] + vr + raw[at + 6 :])
    settings = Settings(str(tmp_path / "state"), project=PROJECT, folder=str(line.made.folder))
    outcome = run_folder(line.conn, settings, workers=1, pace=line.pace)
    for entry in outcome.entries:
        assert entry.key.session == "S001_MR1" and entry.stage in (DONE, HELD), entry.detail
    lost = {problem.path for problem in outcome.found.problems}  # type: ignore[union-attr]
    assert outcome.entries or outcome.refused
    assert line.archived_once() or (line.rows() == [] and line.experiments() == [])
    assert lost <= {str(path)}
