"""`xnat-luigi copy-project`, also installed as `xnat_cp_project`: a project onto another server."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from .syncing import add_netrc, add_patterns, read_patterns, say_nothing_fits

NAME = "copy-project"
HELP = """Copies a whole project to another server, or to another project of the same one.

    xnat-luigi copy-project --source-host URL --source-project P --dest-host URL2 \\
        [--dest-project Q]

Subjects, experiments, assessors, scans, custom variables, resources and files; labels stay, IDs are
those that the target gives. Every file is compared with both servers' listings. A copy that broke
off is resumed by the same command: what the target shows and is equal is not sent again.
Logins come from the netrc file. Exit status: 0 all copied, 1 something failed (it is named), 3 no
such project, or nothing fits.
"""
FAILED = 1
PATTERNS = ("subjects", "sessions", "scans", "resources")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where from, where to, and which part."""
    parser.add_argument(
        "--source-host", "--server", dest="source_host", required=True, help="server to copy from"
    )
    parser.add_argument(
        "--source-project", "--project", dest="source_project", required=True, help="its ID there"
    )
    parser.add_argument(
        "--dest-host", "--to", dest="dest_host", help="server to copy to; the same without"
    )
    parser.add_argument(
        "--dest-project", "--to-project", dest="dest_project", help="its ID there; the same without"
    )
    parser.add_argument("--source-user", help="login name on the source")
    parser.add_argument("--dest-user", help="login name on the target")
    add_netrc(parser)
    add_patterns(parser, PATTERNS)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of the target that differ"
    )
    parser.add_argument("--json", action="store_true", help="report for machines")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> int:
    """Copies and reports."""
    from ..connection.registry import connection_for
    from ..transfer.copying import copy_project
    from ..transfer.select import Selection

    wanted = read_patterns(arguments, PATTERNS)
    target_host = arguments.dest_host or arguments.source_host
    new_project = arguments.dest_project or arguments.source_project
    source = connection_for(
        arguments.source_host, user=arguments.source_user, netrc_file=arguments.netrc
    )
    target = connection_for(target_host, user=arguments.dest_user, netrc_file=arguments.netrc)
    done = copy_project(
        source,
        target,
        arguments.source_project,
        new_project,
        selection=Selection.from_mapping(wanted) if wanted else None,
        overwrite=arguments.overwrite,
        progress=None if arguments.quiet else _tell,
    )
    if arguments.json:
        print(json.dumps(asdict(done), indent=1, ensure_ascii=False))
    else:
        print(
            f"{done.subjects} subjects, {done.experiments} experiments, {done.assessors} "
            f"assessors, {done.resources} resources: {done.files} files with {done.bytes} bytes "
            f"copied, {done.kept} were there"
        )
        for label in done.shared:
            print(f"left out, shared from another project: {label}")
    for place, reason in done.failed:
        print(f"failed: {place}: {reason}", file=sys.stderr)
    if wanted and not (done.experiments or done.resources or done.kept or done.failed):
        return say_nothing_fits(wanted, arguments.source_project)
    return FAILED if done.failed else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command by the name `xnat_cp_project`."""
    from . import main as dispatch

    return dispatch(["copy-project", *(sys.argv[1:] if argv is None else argv)])
