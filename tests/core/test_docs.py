"""docs/objects.md and docs/moving-data.md do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.standin.objects import dicom
from xnat_luigi.cli import build_parser
from xnat_luigi.standin import StandIn

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page: str, kind: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_objects_every_block_runs(standin: StandIn, tmp_path: Path) -> None:
    data = dicom("1.2.3", 1, 1)
    standin.add_project("P1", name="first")
    standin.add_project("P2")
    scans = {
        "1": {"type": "T1", "resources": {"DICOM": {"1.dcm": data}}},
        "2": {"type": "T2"},
    }
    standin.add_session("P1", "S1", "S1_MR1", scans=scans, date="2024-02-01")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "table.csv").write_text("a,b\n")
    names = {"SERVER": standin.url, "FOLDER": folder, "TARGET": tmp_path / "target"}
    found = blocks("objects.md", "python")
    assert len(found) == 7
    for block in found:
        exec(compile(block, "docs/objects.md", "exec"), names)
    assert list((tmp_path / "target").rglob("1.dcm"))


@pytest.mark.parametrize(
    "line", [line for block in blocks("moving-data.md", "console") for line in block.splitlines()]
)
def test_moving_data_every_command_is_one(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "xnat_cp_project":
        words = ["xnat-luigi", "copy-project", *words[1:]]
    assert words[0] == "xnat-luigi"
    parsed = build_parser(words[1:]).parse_args(words[1:])
    assert parsed.command == words[1]
