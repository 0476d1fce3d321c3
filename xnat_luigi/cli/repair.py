"""`xnat-luigi repair`: what is missing or damaged in a folder, again from the server."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .syncing import Journal, add_order, carry_out, display, over_projects, read_order

if TYPE_CHECKING:
    from ..connection.login import Connection

NAME = "repair"
HELP = """Fetches again what is missing or damaged in a synced folder, and only that.

    xnat-luigi repair nightly.toml --deep
    xnat-luigi repair --server URL --project P1 --dest /data --restore

With --restore also files that were edited here are fetched again; the edited ones go to
DEST/.xnat-luigi/trash.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The same order as for a sync."""
    add_order(parser)
    parser.add_argument("--deep", action="store_true", help="hash every file to find damage")
    parser.add_argument("--restore", action="store_true", help="undo edits here, too")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")


def run(arguments: argparse.Namespace) -> int:
    """Repairs one project after the other."""
    from ..sync import inventory, plan

    deep, arguments.deep = arguments.deep, None
    order = read_order(arguments)

    def work(conn: Connection, project: str) -> int:
        todo = plan.repair(
            inventory.take(conn, project, order.select),
            order.dest,
            layout=order.layout,
            deep=deep,
            restore=arguments.restore,
        )
        if arguments.dry_run:
            print(todo.to_text())
            return 0
        with display(Journal(None), project, len(todo.steps), bars=True, failures=True) as shown:
            report = carry_out(conn, order, todo, shown)
        sessions = (one.to_text() for one in report.sessions if not one.failed)
        print("\n".join([*sessions, *report.to_remarks(), report.to_line()]))
        return report.exit_status

    return over_projects(order, work, netrc=arguments.netrc, debug=arguments.debug)
