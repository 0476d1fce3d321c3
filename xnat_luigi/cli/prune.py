"""`xnat-luigi prune`: what the server has no more, out of a folder and into its trash."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .syncing import add_order, over_projects, read_order

if TYPE_CHECKING:
    from ..connection.login import Connection
    from ..sync.prune import Limit

NAME = "prune"
HELP = """Moves files that the server has no more to DEST/.xnat-luigi/trash.

    xnat-luigi prune nightly.toml --dry-run
    xnat-luigi prune nightly.toml --max-delete 500 --max-delete 20%

Only files that a sync has put there and that nobody has edited since; only after a complete listing
of the project; a session only if the server, asked for it by its ID, says that it is gone. More
than --max-delete (1000 files and 10 % of all, both must hold) is refused as a whole. See
`xnat-luigi clean` for emptying the trash.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The same order as for a sync; its selection does not matter here."""
    add_order(parser)
    parser.add_argument(
        "--max-delete", action="append", metavar="N|P%", help="a number of files, or percent"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed")


def run(arguments: argparse.Namespace) -> int:
    """Prunes one project after the other."""
    from ..sync import inventory
    from ..sync.prune import prune

    order = read_order(arguments)
    limit = _limit(arguments.max_delete or [])

    def work(conn: Connection, project: str) -> int:
        found = inventory.take(conn, project)
        done = prune(conn, found, order.dest, limit=limit, dry=arguments.dry_run)
        print(done.to_text())
        return 0

    return over_projects(order, work, netrc=arguments.netrc, debug=arguments.debug)


def _limit(words: list[str]) -> Limit:
    from ..exceptions import XNATValueError
    from ..sync.prune import Limit

    count, percent = Limit.count, Limit.percent
    for word in words:
        try:
            if word.endswith("%"):
                percent = float(word[:-1])
            else:
                count = int(word)
        except ValueError:
            raise XNATValueError(f"--max-delete: {word!r} is neither 500 nor 20%") from None
    return Limit(count, percent)
