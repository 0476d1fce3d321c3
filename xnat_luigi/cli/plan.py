"""`xnat-luigi plan`: what a sync would do, and why."""

from __future__ import annotations

import argparse
import json

from .sync import failure, preview
from .syncing import add_order, over_projects, read_order

NAME = "plan"
HELP = """Says what `xnat-luigi sync` would do with the same file and options, and why.

    xnat-luigi plan nightly.toml
    xnat-luigi plan --server URL --project P1 --dest /data --json

Nothing is fetched and nothing changes. With --check the status is 10 when there is something to do.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The same as for a sync."""
    add_order(parser)
    parser.add_argument("--deep", nargs="?", const="all", metavar="1/30", help="as for sync")
    parser.add_argument("--check", action="store_true", help="end with 10 if there is something")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints the plans."""
    order = read_order(arguments)
    said: list[dict[str, object]] = []
    status = over_projects(
        order,
        lambda conn, project: preview(conn, order, project, arguments, said),
        lambda project, error, status: said.append(failure(project, error, status)),
        netrc=arguments.netrc,
        debug=arguments.debug,
    )
    if arguments.json:
        print(json.dumps(said[0] if len(said) == 1 else said, indent=1, ensure_ascii=False))
    return status
