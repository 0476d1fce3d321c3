"""The worked hook: identities are taken away on the way in, the same way every time."""

from __future__ import annotations

import sys
from pathlib import Path

import pydicom
import pytest

from pipelines.anonymise import SEED, hide_identity
from tests.intake.conftest import Line
from xnat_luigi import cli
from xnat_luigi.exceptions import XNATConfigError
from xnat_luigi.intake.ledger import Ledger


@pytest.fixture
def words(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line."""
    monkeypatch.setenv(SEED, "a secret of this site")
    naming = tmp_path / "pseudonyms.toml"
    naming.write_text(
        "[[name]]\nproject = 'P1'\nsubject = '{PatientID}'\n"
        "session = '{PatientID}_{StudyDate}_{Modality}'\n"
    )
    return [
        *("intake", "run", str(line.made.folder), "--server", line.server.url),
        *("--naming", str(naming), "--state", str(tmp_path / "state")),
        *("--hook", "pipelines.anonymise:hide_identity"),
    ]


def test_nothing_that_tells_whose_it_is_reaches_the_server(
    line: Line, words: list[str], tmp_path: Path
) -> None:
    assert cli.main(words) == 0
    original = pydicom.dcmread(line.made.files[0])
    stored = [pydicom.dcmread(path) for path in (line.server.root / "archive").rglob("*.dcm")]
    assert len(stored) == 6 and line.rows() == []
    for dataset in stored:
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate"):
            assert dataset[keyword].value != original[keyword].value, keyword
        assert "S001" not in str(dataset)
    pixels = {dataset.PixelData for dataset in stored}
    assert pixels == {pydicom.dcmread(path).PixelData for path in line.made.files}
    (entry,) = Ledger(tmp_path / "state").entries()
    assert "6 with the MD5 sent" in entry.facts["proof"]


def test_a_second_run_finds_the_same_pseudonyms(line: Line, words: list[str]) -> None:
    assert cli.main(words) == 0
    assert cli.main(words) == 0
    assert line.imports == 1 and len(line.experiments()) == 1


def test_without_a_seed_nothing_is_sent(
    line: Line, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SEED)
    with pytest.raises(XNATConfigError, match=SEED):
        hide_identity(pydicom.Dataset())
    assert cli.main(words) == 2 and line.imports == 0


def test_without_the_library_it_says_what_to_install(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "dicognito.anonymizer", None)
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "xnat-luigi[anonymise]" in error and "fault of the program" not in error


def test_a_hook_that_fails_is_named_with_the_file(
    line: Line,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "odd_hook.py").write_text("def change(dataset):\n    return dataset.NoSuchWord\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cli.main([*words[:-1], "odd_hook:change"]) == 2
    error = capsys.readouterr().err
    assert ".dcm: the hook fails: AttributeError" in error and "NoSuchWord" in error
