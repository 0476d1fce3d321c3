"""What every script shares: journeys by name, facts in as JSON, findings out as JSON.

Runs in the environment of the official clients: standard library only.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Journey = Callable[[dict[str, Any]], dict[str, Any]]


def md5s(folder: str | Path) -> dict[str, str]:
    """The MD5 of every file below a folder, by relative path."""
    root = Path(folder)
    return {
        path.relative_to(root).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def by_name(folder: str | Path) -> dict[str, str]:
    """The same by base name."""
    return {path.rpartition("/")[2]: digest for path, digest in md5s(folder).items()}


def main(journeys: dict[str, Journey]) -> None:
    """Runs the journey that the command line names."""
    facts = json.load(sys.stdin)
    found = journeys[sys.argv[1]](facts)
    sys.stdout.write("\n" + json.dumps(found) + "\n")
