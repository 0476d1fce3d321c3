"""Every shipped pipeline has an example in `config/pipelines`, and the examples are right."""

from __future__ import annotations

import configparser
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import luigi
import pytest

from pipelines.material import cut, make_study, series_of
from xnat_luigi.connection.registry import connection_for
from xnat_luigi.rest import listings
from xnat_luigi.standin import StandIn

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "config" / "pipelines").glob("*.cfg"))


def command_in(example: Path) -> list[str]:
    """The words of the command in an example's comment, from `luigi` on."""
    line = next(line for line in example.read_text().splitlines() if "luigi --module" in line)
    return shlex.split(line[line.index("luigi --module") :])


def read(example: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(example)
    return parser


def test_there_is_one_for_every_pipeline() -> None:
    helpers = {"__init__", "anonymise", "demo", "material", "pages", "take_in"}
    modules = {path.stem for path in (ROOT / "pipelines").glob("*.py")} - helpers
    assert {example.stem for example in EXAMPLES} == modules


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_its_sections_and_options_are_known(example: Path) -> None:
    words = command_in(example)
    importlib.import_module(words[words.index("--module") + 1])
    parser = read(example)
    assert parser.sections() == [words[3]]
    task = luigi.task_register.Register.get_task_cls(words[3])
    known = dict(task.get_params())
    for option, text in parser[words[3]].items():
        assert option in known, f"{words[3]} has no parameter {option}"
        known[option].parse(text)


def run_example(name: str, where: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """Runs an example as it is, with other values for some options."""
    example = ROOT / "config" / "pipelines" / f"{name}.cfg"
    text = example.read_text()
    for option, value in values.items():
        text, count = re.subn(rf"(?m)^{option} =.*$", f"{option} = {value}", text)
        assert count == 1, option
    (where / example.name).write_text(text)
    return subprocess.run(
        [sys.executable, "-m", *command_in(example)],
        cwd=ROOT,
        env={**os.environ, "LUIGI_CONFIG_PATH": str(where / example.name)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_projects_are_synced_and_a_missing_one_is_told(
    server: StandIn, add_sessions: Callable[..., list[str]], tmp_path: Path
) -> None:
    add_sessions(2, project="BRAIN")
    add_sessions(1, project="HEART")
    values = {"server": server.url, "dest": str(tmp_path / "dest"), "select": "{}"}
    done = run_example("sync", tmp_path, **values)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / "dest" / "BRAIN").rglob("*.dcm"))) == 6
    assert len(list((tmp_path / "dest" / "HEART").rglob("*.dcm"))) == 3
    done = run_example("sync", tmp_path, **values, projects="BRAIN,NOPE")
    assert done.returncode != 0
    assert "NOPE" in done.stderr


def test_the_nights_studies_are_archived_and_a_broken_one_is_held(
    server: StandIn, tmp_path: Path
) -> None:
    server.add_project("BRAIN")
    incoming = tmp_path / "incoming"
    for label in ("S1_MR1", "S2_MR1"):
        made = make_study(
            incoming / label,
            subject=label[:2],
            session=label,
            series=series_of(["T1w"], slices=2),
            side=64,
        )
    cut(made.files[0])
    values: dict[str, Any] = {"server": server.url, "folder": str(incoming)}
    done = run_example("night", tmp_path, **values, evidence=str(tmp_path / "evidence"))
    assert done.returncode == 1, done.stderr[-3000:]
    assert "S2_MR1" in done.stderr
    labels = [one.label for one in listings.list_sessions(connection_for(server.url), "BRAIN")]
    assert labels == ["S1_MR1"]
