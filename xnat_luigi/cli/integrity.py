"""`xnat-luigi integrity`: every file of a project against its digest."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .syncing import add_netrc, add_patterns, read_patterns, say_nothing_fits

if TYPE_CHECKING:
    from ..transfer.integrity import Checked

NAME = "integrity"
HELP = """Checks every file of a project against size and MD5 in the server's catalogs.

    xnat-luigi integrity --server URL --project P [--format text|csv|json] [--output FILE]

Every file is downloaded and hashed, nothing is kept. --quick compares the server's folders with
its catalogs instead: it finds files that miss, have another size or are listed nowhere, but no
flipped byte. Without --all only what is wrong is listed, with the number of all files.
Exit status: 0 all files are right, 7 some are not, 3 the project is not there, or
nothing fits.
"""
BROKEN = 7
PATTERNS = ("subjects", "sessions", "scans", "resources")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Server, project, which sessions, and what to report."""
    parser.add_argument("--server", required=True, help="address of the server")
    parser.add_argument("--project", required=True, help="ID of the project")
    parser.add_argument("--user", help="login name; that of the netrc file without")
    add_netrc(parser)
    add_patterns(parser, PATTERNS)
    parser.add_argument("--quick", action="store_true", help="compare folders, download nothing")
    parser.add_argument("--workers", type=int, default=4, help="downloads at a time (4)")
    parser.add_argument("--format", choices=("text", "csv", "json"), default="text")
    parser.add_argument("--output", help="file to write the report to; standard output without")
    parser.add_argument("--all", action="store_true", help="list the files that are right as well")


def run(arguments: argparse.Namespace) -> int:
    """Checks, reports, and says by the status whether all is well."""
    from ..connection.registry import connection_for
    from ..transfer.integrity import BAD, check_project
    from ..transfer.select import Selection

    wanted = read_patterns(arguments, PATTERNS)
    conn = connection_for(arguments.server, user=arguments.user, netrc_file=arguments.netrc)
    found = check_project(
        conn,
        arguments.project,
        Selection.from_mapping(wanted) if wanted else None,
        deep=not arguments.quick,
        workers=arguments.workers,
    )
    counts: Counter[str] = Counter()
    listed = _counted(found, counts, every=arguments.all)
    with _target(arguments.output) as stream:
        write = {"text": _write_text, "csv": _write_csv, "json": _write_json}[arguments.format]
        write(listed, counts, stream)
    if wanted and not counts:
        return say_nothing_fits(wanted, arguments.project)
    return BROKEN if BAD & set(counts) else 0


def _counted(found: Iterable[Checked], counts: Counter[str], *, every: bool) -> Iterator[Checked]:
    """Count everything, hand on what is to be listed."""
    from ..transfer.integrity import BAD

    for one in found:
        counts[one.state] += 1
        if every or one.state in BAD:
            yield one


@contextmanager
def _target(output: str | None) -> Iterator[TextIO]:
    """Standard output, or a file that gets its name when the report is whole."""
    if output is None:
        yield sys.stdout
        return
    from ..staging.save import save_text

    with StringIO() as text:
        yield text
        save_text(Path(output), text.getvalue())


def _write_text(found: Iterable[Checked], counts: Counter[str], stream: TextIO) -> None:
    for one in found:
        where = "/".join(part for part in (one.place, one.parent, one.resource, one.path) if part)
        more = f" ({one.detail})" if one.detail else ""
        print(f"{one.state}: {where}{more}", file=stream)
    total = sum(counts.values())
    inner = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    print(f"{total} files: {inner}" if total else "no files", file=stream)


def _write_csv(found: Iterable[Checked], counts: Counter[str], stream: TextIO) -> None:
    from ..transfer.integrity import Checked

    writer = csv.writer(stream, lineterminator="\n")
    names = [one.name for one in fields(Checked)]
    writer.writerow(names)
    for one in found:
        writer.writerow([getattr(one, name) for name in names])


def _write_json(found: Iterable[Checked], counts: Counter[str], stream: TextIO) -> None:
    files = [asdict(one) for one in found]
    json.dump({"counts": dict(counts), "files": files}, stream, indent=1, ensure_ascii=False)
    print(file=stream)
