"""`xnat-luigi verify`: whether a folder is what was fetched."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

NAME = "verify"
HELP = """Compares a synced folder with its manifests; asks no server.

    xnat-luigi verify /data
    xnat-luigi verify /data --deep --sample 5%

Files whose size, time and inode have not changed cost one look; all others are hashed, as all are
with --deep. Ends with 7 when files are missing or damaged (see `xnat-luigi repair`) or a session
did not come whole (sync it again), with 10 when some were only edited.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A folder, and how thoroughly."""
    parser.add_argument("dest", type=Path, metavar="DIR")
    parser.add_argument(
        "--project", action="append", metavar="ID", help="only this; may be repeated"
    )
    parser.add_argument("--deep", action="store_true", help="hash every file")
    parser.add_argument(
        "--sample",
        type=_share,
        default=1.0,
        metavar="5%",
        help="look at a share, drawn anew each time",
    )
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="that hash (2)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _share(text: str) -> float:
    number = text.removesuffix("%")
    try:
        value = float(number) / (100 if number != text else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share like 5% or 0.05") from None
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and up to 100%")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Looks and says."""
    from ..sync.verify import verify_tree

    verdict = verify_tree(
        arguments.dest.expanduser().absolute(),
        projects=arguments.project,
        deep=arguments.deep,
        sample=arguments.sample,
        threads=arguments.threads,
    )
    if arguments.json:
        print(json.dumps(verdict.to_dict(), indent=1, ensure_ascii=False))
    else:
        print(verdict.to_text())
    return verdict.exit_status
