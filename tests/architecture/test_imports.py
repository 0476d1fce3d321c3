"""Importing the package is cheap, and the documents are kept."""

from __future__ import annotations

import subprocess
import sys

from .source import ROOT

HEAVY = ("luigi", "lxml", "pydicom", "aiohttp", "numpy", "requests")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, xnat_luigi; "
        f"print([name for name in {HEAVY!r} if name in sys.modules and name != 'requests'])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert answer.stdout.strip() == "[]"


def test_the_project_speaks_of_itself_alone() -> None:
    """No path of a machine and no package-index host in any tracked text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    forbidden = [
        "/" + "work/",
        "/" + "root/",
        "/" + "tmp/bash",
        "pypi" + "-more",
        "files.python" + "hosted",
    ]
    faults = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".dcm", ".gz", ".zip"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        faults += [f"{name}: {word}" for word in forbidden if word in text]
    assert not faults
