"""What can be said of the package without a server (S-032, S-034, S-270, S-272)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import xnat_luigi
from xnat_luigi.prearchive import PrearchiveSession

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_S034_every_documented_module_is_imported_without_a_warning() -> None:
    modules = json.loads((HERE / "api.json").read_text(encoding="utf-8"))["modules"]
    lines = [f"import xnat_luigi.{name}" if name else "import xnat_luigi" for name in modules]
    code = "\n".join([*lines, "xnat_luigi.connect", "xnat_luigi.session.XNATSession"])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_S034_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, xnat_luigi; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"luigi", "lxml", "pydicom", "requests", "numpy", "rich", "aiohttp"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which a copy of the tree was installed, by what pip builds with."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed here, and building must not need the network")
    tree = tmp_path_factory.mktemp("tree")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    for name in ("xnat_luigi", "pipelines"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    place = tmp_path_factory.mktemp("installed")
    code = (
        "import sys; from setuptools import setup; "
        "setup(script_args=['-q', 'install_lib', '--install-dir', sys.argv[1]])"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(place)],
        cwd=tree,
        check=True,
        timeout=120,
        capture_output=True,
    )
    return place


def test_S032_what_is_installed_is_whole(installed: Path) -> None:
    code = (
        "import xnat_luigi, sys; "
        "assert xnat_luigi.__file__.startswith(sys.argv[1]); "
        "from xnat_luigi.standin.schemas import schema_names; "
        "print(len(schema_names()), xnat_luigi.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(installed)],
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, version = done.stdout.split()
    assert int(count) > 10
    assert version == xnat_luigi.__version__
    assert (installed / "xnat_luigi" / "py.typed").is_file()


def test_S032_pip_knows_the_package() -> None:
    found = importlib.metadata.distribution("xnat-luigi")
    assert found.version == xnat_luigi.__version__
    commands = {one.name for one in found.entry_points if one.group == "console_scripts"}
    assert "xnat-luigi" in commands


def test_S270_every_requirement_states_its_least_version() -> None:
    required = importlib.metadata.requires("xnat-luigi") or []
    assert required
    needed = [line for line in required if "extra ==" not in line]
    for line in needed:
        assert re.search(r">=\s*\d", line), line


@pytest.mark.parametrize("name", ["rebuild", "move", "delete"])
def test_S272_the_parameter_is_named_asynchronous(name: str) -> None:
    parameters = inspect.signature(getattr(PrearchiveSession, name)).parameters
    assert "asynchronous" in parameters
    assert "async" not in parameters


def test_the_checker_finds_every_documented_name(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("seed_checker", HERE / "check_seed_api.py")
    assert spec is not None and spec.loader is not None
    checker: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)
    status = checker.main(["--package=xnat_luigi", f"--api={HERE / 'api.json'}"])
    text = capsys.readouterr().out
    found = re.fullmatch(
        r"seed API: (\d+) of \1 documented names present, 0 signature deviations",
        text.splitlines()[-1],
    )
    assert found is not None, text
    assert int(found.group(1)) >= 259
    assert status == 0
