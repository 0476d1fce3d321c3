"""`xnat-luigi new-pipeline`: a package of one's own to start from."""

from __future__ import annotations

import argparse
import keyword
import re
from pathlib import Path

NAME = "new-pipeline"
HELP = """Makes a small package with a processing step, a rule file and a test that passes at once.

    xnat-luigi new-pipeline slices
    cd slices && python -m pytest

The step takes a scan's DICOM and makes a resource; change what it does in `process()`.
"""

STEP = '''"""A processing step: from the DICOM of a scan to a table of its slices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import luigi
import pydicom

from xnat_luigi.tasks import DerivedTask


class {camel}(DerivedTask):
    """Number and position of every slice, as the resource {upper} of the scan."""

    task_namespace = "{name}"
    inputs = {{"dicom": "DICOM"}}
    result = "{upper}"
    version = "1"  # raise it when the code gives other results than before

    digits = luigi.IntParameter(default=1, description="digits after the point")

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        rows = []
        for path in sorted(inputs["dicom"].rglob("*.dcm")):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            place = float(header.get("SliceLocation", 0.0))
            rows.append((int(header.InstanceNumber), f"{{place:.{{self.digits}}f}}"))
        lines = [f"{{number}},{{place}}" for number, place in sorted(rows)]
        text = "\\n".join(["slice,place", *lines]) + "\\n"
        (workdir / "slices.csv").write_text(text)
'''

RULES = """# What a study must look like before it is archived; `xnat-luigi qc explain rules.toml`
# reads it out. Add rules as you find out what goes wrong at your scanner.
title = "{name}"

[study]
modality = ["MR"]
minimum_files = 1

[gaps]
instance_number = "warn"

[pixels]
readable = "fail"
"""

TEST = '''"""The step runs against the stand-in server: no XNAT is needed."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pydicom.data

from {name}.steps import {camel}
from xnat_luigi.qc.rules import read_rules
from xnat_luigi.targets.resource import FileTarget
from xnat_luigi.testing import StandIn, counted, run_task


def make_scan(server: StandIn, folder: Path, count: int = 3) -> None:
    """A session with one scan of real DICOM, straight into the server's state."""
    files = {{}}
    for number in range(1, count + 1):
        image = pydicom.dcmread(pydicom.data.get_testdata_file("MR_small.dcm"))
        image.InstanceNumber, image.SliceLocation = number, 2.5 * number
        image.save_as(folder / f"{{number}}.dcm")
        files[f"{{number}}.dcm"] = (folder / f"{{number}}.dcm").read_bytes()
    scans = {{"1": {{"type": "T1w", "resources": {{"DICOM": files}}}}}}
    server.add_session("P1", "S1", "S1_MR1", scans=scans)


def step(server: StandIn, folder: Path, **more: object) -> {camel}:
    place = {{"server": server.url, "project": "P1", "experiment": "S1_MR1", "scan": "1"}}
    return {camel}(stage=str(folder / "stage"), **place, **more)


def test_the_result_is_there_and_is_made_once(xnat_server: StandIn, tmp_path: Path) -> None:
    make_scan(xnat_server, tmp_path)
    run_task(step(xnat_server, tmp_path)).check()
    place = {{"experiment": "S1_MR1", "scan": "1", "path": "slices.csv"}}
    with FileTarget(xnat_server.url, "P1", "{upper}", **place).open() as file:
        assert file.read() == "slice,place\\n1,2.5\\n2,5.0\\n3,7.5\\n"
    with counted(xnat_server) as requests:
        run_task(step(xnat_server, tmp_path)).check()
    assert requests.by("PUT", "/resources/") == 0


def test_another_parameter_makes_it_again(xnat_server: StandIn, tmp_path: Path) -> None:
    make_scan(xnat_server, tmp_path)
    run_task(step(xnat_server, tmp_path)).check()
    assert not step(xnat_server, tmp_path, digits=2).complete()


def test_the_rules_can_be_read() -> None:
    rules = read_rules(Path(__file__).resolve().parents[1] / "rules.toml")
    assert rules.modalities == ("MR",)
'''

PROJECT = """[build-system]
requires = ["setuptools>=65"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"
dependencies = ["xnat-luigi[standin]", "pydicom>=3.0"]

[tool.setuptools]
packages = ["{name}"]

[tool.pytest.ini_options]
pythonpath = ["."]
testpaths = ["tests"]
"""

README = """# {name}

    python -m luigi --module {name}.steps {name}.{camel} --server https://xnat.example.org \\
        --project P1 --experiment XNAT_E00001 --scan 1 --local-scheduler

`{name}/steps.py` holds the step, `rules.toml` the rules for QC, `tests/` tests that need no XNAT:

    python -m pytest
"""

FILES = {
    "pyproject.toml": PROJECT,
    "README.md": README,
    "rules.toml": RULES,
    "{name}/__init__.py": '"""Steps of the pipeline {name}."""\n',
    "{name}/steps.py": STEP,
    "tests/test_steps.py": TEST,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A name, and where to put it."""
    parser.add_argument("name", help="name of the Python package, small letters")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to make it (here)")


def run(arguments: argparse.Namespace) -> int:
    """Writes the files; refuses a name that is no package's and a folder that is there."""
    from ..exceptions import XNATValueError
    from ..staging.save import save_text

    name = arguments.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise XNATValueError(f"{name!r} cannot be the name of a package: small letters, digits, _")
    root = arguments.folder / name
    if root.exists() and any(root.iterdir()):
        raise XNATValueError(f"{root} is there already and not empty; choose another name")
    words = {
        "name": name,
        "camel": "".join(part.capitalize() for part in name.split("_")),
        "upper": name.upper(),
    }
    for path, text in FILES.items():
        save_text(root / path.format(**words), text.format(**words))
    print(f"{root} is made. Try it: cd {root} && python -m pytest")
    return 0
