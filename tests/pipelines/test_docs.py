"""The code in the pages about pipelines is right, and their claims about numbers hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import luigi
import pytest

from xnat_luigi import tasks
from xnat_luigi.targets import snapshot
from xnat_luigi.tasks import Step
from xnat_luigi.tasks.condition import Condition

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("page", ["pipelines.md", "tasks.md"])
def test_the_code_can_be_imported(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)
    assert blocks
    names = []
    for number, code in enumerate(blocks):
        (tmp_path / f"shown{number}.py").write_text(code)
        names.append(f"shown{number}")
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{DOCS.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_pages_name_all_there_is() -> None:
    text = (DOCS / "pipelines.md").read_text()
    options = {name for name in Step.own if name not in ("server", "project", "experiment", "scan")}
    for option in options:
        assert f"`--{option}" in text, option
    assert f"ceil(S / {snapshot.BATCH})" in text
    table = text[text.index("## Complete") :]
    rows = re.findall(r"^\| (?!the result|-)", table[: table.index("**How far")], re.M)
    assert len(rows) == len(Condition) - 1, "every condition but «current» has a row"


def test_the_picture_is_one() -> None:
    root = ElementTree.parse(DOCS / "pictures" / "provenance.svg").getroot()
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert sum("DICOM" in text for text in texts) == 2
    assert sum("MEASURES" in text for text in texts) == 1


def test_the_page_of_tasks_names_every_task_and_target() -> None:
    text = (DOCS / "tasks.md").read_text()
    bases = {"XnatTask", "Step", "DerivedTask", "DerivedAssessor", "EveryScan", "EverySession"}
    for name in tasks.__all__:
        kind = getattr(tasks, name)
        if isinstance(kind, type) and issubclass(kind, luigi.Task) and name not in bases:
            assert f"`xnat.{name}`" in text, name
    pipelines = (DOCS / "pipelines.md").read_text()
    for name in bases - {"XnatTask"}:
        assert f"`{name}`" in pipelines, name
