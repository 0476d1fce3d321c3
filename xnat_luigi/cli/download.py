"""`xnat-luigi download`: what fits some patterns, into a folder."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from .syncing import add_netrc, add_patterns, read_patterns, say_nothing_fits

NAME = "download"
HELP = """Downloads sessions, scans and resources chosen by patterns into a folder.

    xnat-luigi download --server URL --project 'P*' --sessions 'S1_*' --scans T1 --dest DIR

A pattern is a glob, or with re: in front a regular expression that must fit as a whole:
--sessions 're:S[0-9]+_MR1'. Options with patterns can be repeated, globs also have commas. Every
file is compared with the server's listing; what lies in the folder already and is equal is not
downloaded again. For folders that shall follow the server see `xnat-luigi sync`.
Exit status: 0 all downloaded, 1 something failed (it is named), 3 no such project, or
nothing fits.
"""
FAILED = 1
PATTERNS = ("subjects", "sessions", "types", "scans", "qualities", "resources")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where from, what, where to."""
    parser.add_argument("--server", required=True, help="address of the server")
    parser.add_argument(
        "--project", action="append", required=True, metavar="PATTERN", help="IDs of projects"
    )
    add_patterns(parser, PATTERNS)
    parser.add_argument("--since", default="", help="first date of an experiment, YYYY-MM-DD")
    parser.add_argument("--until", default="", help="last date of an experiment, YYYY-MM-DD")
    parser.add_argument("--dest", required=True, help="folder; made when missing")
    parser.add_argument(
        "--layout", default="documented", help="how files lie: documented, flat, or a template"
    )
    parser.add_argument("--user", help="login name; that of the netrc file without")
    add_netrc(parser)
    parser.add_argument("--json", action="store_true", help="report for machines")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> int:
    """Downloads and reports."""
    from ..connection.registry import connection_for
    from ..transfer.batch import download_selected
    from ..transfer.select import Selection

    days = {"since": arguments.since, "until": arguments.until}
    select = {
        **read_patterns(arguments, PATTERNS),
        **{key: day for key, day in days.items() if day},
    }
    selection = Selection.from_mapping(select)
    conn = connection_for(arguments.server, user=arguments.user, netrc_file=arguments.netrc)
    done = download_selected(
        conn,
        Path(arguments.dest),
        arguments.project,
        selection,
        layout=arguments.layout,
        progress=None if arguments.quiet else _tell,
    )
    if arguments.json:
        print(json.dumps(asdict(done), indent=1, ensure_ascii=False))
    else:
        print(
            f"{done.sessions} sessions: {done.files} files with {done.bytes} bytes downloaded, "
            f"{done.kept} were there"
        )
        if done.unverified:
            print(f"{done.unverified} files have no MD5 on the server: compared by size only")
    for name in done.displaced:
        print(f"{name}: other than on the server; it is in .xnat-luigi/trash now", file=sys.stderr)
    for place, reason in done.failed:
        print(f"failed: {place}: {reason}", file=sys.stderr)
    if select and not (done.files or done.kept or done.failed):
        return say_nothing_fits(select, " or ".join(arguments.project))
    return FAILED if done.failed else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
