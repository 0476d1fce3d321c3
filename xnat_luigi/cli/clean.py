"""`xnat-luigi clean`: leftovers of killed runs and old trash."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "clean"
HELP = """Removes from a synced folder what killed runs left behind, and old trash.

    xnat-luigi clean /data
    xnat-luigi clean /data --trash-days 7 --dry-run

Parts of files go when the process that wrote them is gone (of another machine: after a day). Data
are never touched.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A folder."""
    parser.add_argument("dest", type=Path, metavar="DIR")
    parser.add_argument(
        "--trash-days",
        type=float,
        default=30.0,
        metavar="N",
        help="keep trash so long (30); 0 empties it",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed")


def run(arguments: argparse.Namespace) -> int:
    """Cleans."""
    from ..exceptions import XNATValueError
    from ..sync.clean import clean

    root = arguments.dest.expanduser().absolute()
    if not (root / ".xnat-luigi").is_dir():
        raise XNATValueError(f"{root}: nothing was ever synced here")
    print(clean(root, trash_days=arguments.trash_days, dry=arguments.dry_run).to_text())
    return 0
