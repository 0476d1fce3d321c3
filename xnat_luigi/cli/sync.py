"""`xnat-luigi sync`: a project to disk, and every night what has changed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from .syncing import DRIFT, Journal, add_order, carry_out, display, over_projects, read_order

if TYPE_CHECKING:
    from ..connection.login import Connection
    from ..sync.order import Order
    from ..sync.plan import Plan
    from ..sync.report import Report

NAME = "sync"
HELP = """Brings a project to a folder, and afterwards only what has changed.

    xnat-luigi sync --server URL --project P1 --dest /data
    xnat-luigi sync nightly.toml --report /var/log/xnat-sync.jsonl
    xnat-luigi sync nightly.toml --dry-run

Every file is compared with the server's size and MD5 before it gets its name. Files that lie there
already and are right are not fetched. Nothing of yours is overwritten or removed: files that you
edited stay and are reported, what is in the way moves to DEST/.xnat-luigi/trash, and what the
server has no more is reported (see `xnat-luigi prune`). A run that was killed is simply started
again. The password comes from ~/.netrc.

Ends with 0 when all is there, 5 when the server cannot be reached, 6 when it refuses the login, 7
when bytes are not what they should be, 10 with --dry-run --check when there is something to do.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, from where, to where, and how."""
    add_order(parser)
    how = parser.add_argument_group("how")
    how.add_argument("--workers", type=int, metavar="N", help="sessions at a time (4)")
    how.add_argument(
        "--cap", type=int, metavar="N", help="sessions at a time over all your processes here (4)"
    )
    how.add_argument(
        "--digests",
        metavar="size|fail|refresh",
        help="where the server has no MD5: take files by size, refuse them, or have it computed",
    )
    how.add_argument(
        "--deep",
        nargs="?",
        const="all",
        metavar="1/30",
        help="compare all MD5s, or those of a different thirtieth of the project in every run",
    )
    add_preview(parser)
    parser.add_argument("--report", type=Path, metavar="FILE", help="append JSON lines to it")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--no-progress", action="store_true", help="no bars on a terminal")


def add_preview(parser: argparse.ArgumentParser) -> None:
    """Only looking."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and why")
    parser.add_argument(
        "--check", action="store_true", help="with --dry-run: end with 10 if there is something"
    )


def run(arguments: argparse.Namespace) -> int:
    """Syncs one project after the other; the worst status counts."""
    order = read_order(arguments)
    if arguments.check and not arguments.dry_run:
        arguments.dry_run = True
    journal = Journal(arguments.report)
    said: list[dict[str, object]] = []

    def work(conn: Connection, project: str) -> int:
        if arguments.dry_run:
            return preview(conn, order, project, arguments, said)
        return _sync(conn, order, project, arguments, journal, said)

    def failed(project: str, error: Exception, status: int) -> None:
        said.append(failure(project, error, status))
        if not arguments.dry_run:
            journal.write("sync", said[-1])

    status = over_projects(order, work, failed, netrc=arguments.netrc, debug=arguments.debug)
    if not arguments.dry_run:
        journal.write("end", {"projects": order.projects, "exit_status": status})
    if arguments.json:
        print(json.dumps(said[0] if len(said) == 1 else said, indent=1, ensure_ascii=False))
    return status


def failure(project: str, error: Exception, status: int) -> dict[str, object]:
    """What a report says of a project that could not even be listed."""
    return {"project": project, "failed": str(error), "exit_status": status}


def make_plan(conn: Connection, order: Order, project: str) -> Plan:
    """Inventory and plan of one project; the part whose turn it is is looked at deeply."""
    from ..sync import inventory, plan
    from ..sync.deep import Turn, parse_deep

    found = inventory.take(conn, project, order.select)
    if len(order.projects) == 1:
        found.refuse_unknown()
    parts = parse_deep(order.deep)
    turn = Turn.read(order.dest, project, parts) if parts else None
    deep = turn.takes if turn is not None else False
    return plan.make(found, order.dest, layout=order.layout, deep=deep)


def preview(
    conn: Connection,
    order: Order,
    project: str,
    arguments: argparse.Namespace,
    said: list[dict[str, object]],
) -> int:
    """What a sync would do: one request for each session that it would look at."""
    from ..sync.plan import measure

    todo = measure(conn, make_plan(conn, order, project))
    said.append(todo.to_dict())
    if not arguments.json:
        print(f"{project}:" if len(order.projects) > 1 else "", end="")
        print(todo.to_text())
    return DRIFT if arguments.check and not todo.empty else 0


def _sync(
    conn: Connection,
    order: Order,
    project: str,
    arguments: argparse.Namespace,
    journal: Journal,
    said: list[dict[str, object]],
) -> int:
    from ..sync.deep import Turn, parse_deep
    from ..sync.report import summarize

    todo = make_plan(conn, order, project)
    journal.write("plan", {"project": project, "steps": len(todo.steps), "same": todo.same})
    if todo.steps or todo.settled:
        report = _apply(conn, order, todo, arguments, journal)
    else:
        report = summarize(todo)  # a quiet night: what brings files is not even loaded
    if order.deep and not report.failed:
        Turn.read(order.dest, project, parse_deep(order.deep)).done()
    summary = report.to_dict()
    journal.write("sync", {key: value for key, value in summary.items() if key != "sessions"})
    said.append(summary)
    if not arguments.json:
        for one in report.sessions:
            told = one.files or one.removed or one.drifted or one.displaced or arguments.verbose
            if not one.failed and one.reason != "found" and told:
                print(one.to_text())
        print("\n".join([*report.to_remarks(), report.to_line()]))
    return report.exit_status


def _apply(
    conn: Connection, order: Order, todo: Plan, arguments: argparse.Namespace, journal: Journal
) -> Report:
    bars = not arguments.no_progress
    quiet = not arguments.json
    project = todo.inventory.project
    with display(journal, project, len(todo.steps), bars=bars, failures=quiet) as shown:
        return carry_out(conn, order, todo, shown)
