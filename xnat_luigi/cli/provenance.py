"""`xnat-luigi provenance`: where a result came from."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "provenance"
HELP = """Shows where a result on the server came from, and whether that still holds.

    xnat-luigi provenance show  --server URL /data/experiments/E/scans/1/resources/NIFTI
    xnat-luigi provenance graph --server URL --format svg URI > graph.svg
    xnat-luigi provenance check --server URL URI
    xnat-luigi provenance export --server URL --folder crate URI

`check` compares result and inputs with what the records say, up to the raw data, and ends with
status 10 when something is not as it was, with 3 when the resource is not there or has no record.
`export` writes the whole way as an RO-Crate.
"""

DRIFT = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One of three questions, a server and an address."""
    parser.add_argument("question", choices=("show", "graph", "check", "export"))
    parser.add_argument("uri", help="address of the resource, from /data/ on")
    parser.add_argument("--server", required=True, help="address of the server")
    parser.add_argument(
        "--format", choices=("text", "dot", "svg"), default="text", help="of the graph"
    )
    parser.add_argument("--folder", type=Path, help="of the export; empty, or not there")


def run(arguments: argparse.Namespace) -> int:
    """Answers the question."""
    from ..connection.registry import close_all, connection_for
    from ..exceptions import XNATValueError
    from ..tasks import lineage

    connection = connection_for(arguments.server)
    try:
        if arguments.question == "show":
            print(lineage.read_record(connection, arguments.uri).to_json(), end="")
            return 0
        if arguments.question == "graph":
            draw = {
                "text": lineage.draw_text,
                "dot": lineage.draw_dot,
                "svg": lineage.draw_svg,
            }[arguments.format]
            print(draw(lineage.trace(connection, arguments.uri)))
            return 0
        if arguments.question == "export":
            if arguments.folder is None:
                raise XNATValueError("provenance export needs --folder, where to write the crate")
            from ..tasks.crate import write_crate

            print(f"{write_crate(connection, arguments.uri, arguments.folder)} is written")
            return 0
        lineage.read_record(connection, arguments.uri)  # without one there is nothing to compare
        faults = lineage.check(connection, arguments.uri)
        for fault in faults:
            print(fault)
        if not faults:
            print("result and inputs are what the records say")
        return DRIFT if faults else 0
    finally:
        close_all()
