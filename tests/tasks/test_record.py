"""Records: what they hold survives, what changed is named."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.exceptions import XNATIntegrityError
from xnat_luigi.rest.records import File
from xnat_luigi.targets.resource import fingerprint
from xnat_luigi.tasks.record import (
    RECORD_NAME,
    InputRecord,
    OutputRecord,
    Record,
    describe_code,
    differences,
)

FILES = (File("a.dcm", 10, "0" * 32), File("sub/b.dcm", 20, "1" * 32))
DICOM = InputRecord.of("dicom", "/data/experiments/E1/scans/1/resources/DICOM", FILES)
RECORD = Record(
    task="xnat.Step",
    server="https://xnat.example.org",
    uri="/data/experiments/E1/scans/1/resources/NIFTI",
    inputs=(DICOM,),
    parameters={"threshold": "0.1"},
    code={"version": "1"},
    machine={"system": "any"},
    started="2026-01-01T00:00:00+00:00",
    ended="2026-01-01T00:01:00+00:00",
    outputs=OutputRecord((("out.nii.gz", 5, "2" * 32),)),
    programs=({"command": ["dcm2niix"], "version": "v1", "status": 0, "seconds": 0.1},),
)


def test_a_record_survives_its_text() -> None:
    assert Record.from_json(RECORD.to_json()) == RECORD
    assert Record.from_json(RECORD.to_json()).to_json() == RECORD.to_json()


@given(st.text(), st.integers(min_value=0), st.text(alphabet="0123456789abcdef", max_size=32))
def test_any_file_survives(path: str, size: int, digest: str) -> None:
    record = replace(RECORD, outputs=OutputRecord(((path, size, digest),)))
    assert Record.from_json(record.to_json().encode()) == record


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"format": 1}', '{"format": "x"}', RECORD.to_json()[:-20]]
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(XNATIntegrityError):
        Record.from_json(text)


def test_a_newer_format_is_refused_with_advice() -> None:
    newer = {**json.loads(RECORD.to_json()), "format": 2}
    with pytest.raises(XNATIntegrityError, match="update"):
        Record.from_json(json.dumps(newer))


def test_nothing_changed_gives_no_difference() -> None:
    found = differences(RECORD, inputs=[DICOM], parameters={"threshold": "0.1"}, version="1")
    assert found == []


def test_every_change_is_named() -> None:
    other = InputRecord.of(
        "dicom", DICOM.uri, [File("a.dcm", 10, "9" * 32), File("c.dcm", 1, "3" * 32)]
    )
    found = differences(
        RECORD,
        inputs=[other, replace(DICOM, name="mask")],
        parameters={"threshold": "0.2", "side": "left"},
        version="2",
    )
    assert found == [
        "input dicom has changed: sub/b.dcm is gone, c.dcm is new, a.dcm differs",
        "input mask is new",
        "parameter side was None and is 'left'",
        "parameter threshold was '0.1' and is '0.2'",
        "code version was '1' and is '2'",
    ]


def test_the_record_itself_is_no_part_of_what_it_describes() -> None:
    with_record = [*FILES, File(RECORD_NAME, 999, "f" * 32)]
    again = InputRecord.of("dicom", DICOM.uri, with_record)
    assert again.fingerprint == DICOM.fingerprint == fingerprint(FILES)
    assert again.files == DICOM.files
    assert again.has_record
    assert again.record == "f" * 32
    assert not DICOM.has_record


def test_code_is_described_by_what_is_installed() -> None:
    code = describe_code("7", ["luigi", "no-such-distribution"], None)
    assert code["version"] == "7"
    assert list(code["packages"]) == ["luigi"]
    assert "git" not in code


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_code_in_a_checkout_names_its_commit_and_whether_it_was_clean(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "step.py").write_text("one = 1\n")
    git(tmp_path, "add", "step.py")
    git(tmp_path, "commit", "-q", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert describe_code("1", [], tmp_path)["git"] == {"commit": commit, "clean": True}
    (tmp_path / "notes.txt").write_text("not of the code")
    assert describe_code("1", [], tmp_path)["git"]["clean"] is True
    (tmp_path / "step.py").write_text("one = 2\n")
    assert describe_code("1", [], tmp_path)["git"] == {"commit": commit, "clean": False}
