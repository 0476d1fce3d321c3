"""From a result back to where it came from, by the records that lie beside the results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..exceptions import XNATIntegrityError, XNATNotFoundError, XNATValueError
from ..rest import absence, contents
from ..rest.files import download
from ..rest.records import File
from ..uris import Address
from .record import RECORD_NAME, InputRecord, OutputRecord, Record

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = [
    "Node",
    "check",
    "draw_dot",
    "draw_svg",
    "draw_text",
    "read_place",
    "read_record",
    "trace",
]

RECORD_LIMIT = 64 * 1024 * 1024
_FIELDS = {
    "projects": "project",
    "subjects": "subject",
    "experiments": "experiment",
    "scans": "scan",
    "assessors": "assessor",
}


def read_place(uri: str) -> tuple[Address, str]:
    """Takes `/data/experiments/E/scans/1/resources/LABEL` (or a link with the server) apart.

    Raises XNATValueError for anything else.
    """
    path = uri.split("://", 1)[-1]
    at = path.find("/data/")
    parts = [unquote(part) for part in path[at + 6 :].strip("/").split("/")] if at >= 0 else []
    if parts[:1] == ["archive"]:
        parts = parts[1:]
    fields: dict[str, str] = {}
    while len(parts) >= 2 and parts[0] in _FIELDS:
        fields[_FIELDS[parts[0]]] = parts[1]
        parts = parts[2:]
        if parts[:1] in (["in"], ["out"]):
            fields["direction"] = parts.pop(0)
    if len(parts) != 2 or parts[0] != "resources" or not fields:
        raise XNATValueError(
            f"{uri} is no address of a resource; it should look like "
            "/data/experiments/XNAT_E00001/scans/1/resources/NIFTI"
        )
    return Address(**fields), parts[1]


def read_record(connection: Connection, uri: str) -> Record:
    """The record of a result.

    Raises:
        XNATNotFoundError: the resource is absent, or has no record.
        XNATIntegrityError: the record cannot be read.
    """
    record, _ = _read(connection, uri)
    if record is None:
        raise XNATNotFoundError(f"{connection.server}{uri} has no {RECORD_NAME}")
    return record


def _read(connection: Connection, uri: str) -> tuple[Record | None, list[File]]:
    address, label = read_place(uri)
    if absence.find_resource(connection, address, label) is None:
        raise XNATNotFoundError(f"{connection.server} has no resource {uri}")
    files = contents.list_files(connection, address, label)
    row = next((file for file in files if file.path == RECORD_NAME), None)
    if row is None:
        return None, files
    text = download.read_file(connection, row.uri, limit=RECORD_LIMIT)
    return Record.from_json(text), files


@dataclass(frozen=True)
class Node:
    """A resource on the way: its address, the record beside it (None for raw data), its sources.

    `problem` says why the way ends here where it should not.
    """

    uri: str
    record: Record | None = None
    sources: tuple[Node, ...] = ()
    problem: str = ""
    used: InputRecord | None = field(default=None, repr=False)

    def walk(self) -> Iterator[Node]:
        """This node and all before it, each address once, the result first."""
        seen = set()
        pending = [self]
        while pending:
            node = pending.pop(0)
            if node.uri not in seen:
                seen.add(node.uri)
                yield node
                pending += node.sources


def trace(connection: Connection, uri: str, *, depth: int = 50) -> Node:
    """Follows the records from a result up to the raw data.

    Raises XNATNotFoundError when the result itself is absent; a source that is not there any more
    becomes a node with a problem.
    """
    record, _ = _read(connection, uri)
    return _node(connection, uri, record, depth, None, ())


def _node(
    connection: Connection,
    uri: str,
    record: Record | None,
    depth: int,
    used: InputRecord | None,
    above: tuple[str, ...],
) -> Node:
    sources: list[Node] = []
    for one in record.inputs if record else ():
        if depth <= 0 or one.uri in above:
            sources.append(Node(one.uri, problem="the records run in a circle", used=one))
            continue
        try:
            found, _ = _read(connection, one.uri)
        except (XNATNotFoundError, XNATIntegrityError) as error:
            sources.append(Node(one.uri, problem=str(error), used=one))
            continue
        sources.append(_node(connection, one.uri, found, depth - 1, one, (*above, uri)))
    return Node(uri, record, tuple(sources), used=used)


def check(connection: Connection, uri: str) -> list[str]:
    """What is not any more as the records say, along the whole way; empty when all is.

    Compares the result's files with its record and every input with what was recorded of it.
    """
    faults = []
    for node in trace(connection, uri).walk():
        if node.problem:
            faults.append(f"{node.uri}: {node.problem}")
        if node.record is None:
            continue
        _, files = _read(connection, node.uri)
        if node.record.state != "complete":
            faults.append(f"{node.uri}: its upload was broken off")
        if not _equal(node.record.outputs, OutputRecord.of(files)):
            faults.append(f"{node.uri}: its files are not those of its record")
        for one in node.record.inputs:
            faults += _check_input(connection, node, one)
    return faults


def _check_input(connection: Connection, node: Node, one: InputRecord) -> list[str]:
    try:
        _, files = _read(connection, one.uri)
    except (XNATNotFoundError, XNATIntegrityError):
        return [f"{node.uri}: input {one.name} ({one.uri}) is gone or has a broken record"]
    then = {path: (size, digest) for path, size, digest in one.files}
    now = {path: (size, digest) for path, size, digest in OutputRecord.of(files).files}
    changed = sorted(
        path for path in then.keys() | now.keys() if not _same(then.get(path), now.get(path))
    )
    if not changed:
        return []
    names = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return [f"{node.uri}: input {one.name} ({one.uri}) was replaced: {names}"]


def _equal(one: OutputRecord, two: OutputRecord) -> bool:
    first = {path: (size, digest) for path, size, digest in one.files}
    second = {path: (size, digest) for path, size, digest in two.files}
    return first.keys() == second.keys() and all(_same(first[p], second[p]) for p in first)


def _same(one: tuple[int | None, str] | None, two: tuple[int | None, str] | None) -> bool:
    if one is None or two is None:
        return one is two
    return one[0] == two[0] and (one[1] == two[1] or "" in (one[1], two[1]))


# --- pictures -------------------------------------------------------------------------------------


def _title(node: Node) -> str:
    return node.uri.removeprefix("/data/")


def _subtitle(node: Node) -> str:
    if node.problem:
        return node.problem
    if node.record is None:
        count = len(node.used.files) if node.used else 0
        return f"raw data, {count} files" if count else "raw data"
    return f"{node.record.task} version {node.record.code.get('version')}, {node.record.ended}"


def draw_text(node: Node, indent: int = 0) -> str:
    """An indented tree, the result on top."""
    lines = [f"{'  ' * indent}{_title(node)}  ({_subtitle(node)})"]
    lines += [draw_text(source, indent + 1) for source in node.sources]
    return "\n".join(lines)


def draw_dot(node: Node) -> str:
    """A graph for Graphviz; arrows go from source to result."""
    lines = ["digraph provenance {", "  rankdir=TB; node [shape=box];"]
    for one in node.walk():
        label = f"{_title(one)}\\n{_subtitle(one)}".replace('"', "'")
        lines.append(f'  "{one.uri}" [label="{label}"];')
    for one in node.walk():
        lines += [f'  "{source.uri}" -> "{one.uri}";' for source in one.sources]
    return "\n".join([*lines, "}"])


def draw_svg(node: Node) -> str:
    """A picture without any further program: a row for every step, raw data on top."""
    levels = _levels(node)
    height = max(levels.values()) + 1
    rows: list[list[Node]] = [[] for _ in range(height)]
    for one in node.walk():
        rows[height - 1 - levels[one.uri]].append(one)
    longest = max(max(len(_title(one)), len(_subtitle(one)[:80])) for one in node.walk())
    box, gap = 8 * longest + 30, 90
    total = (box + 40) * max(len(row) for row in rows)
    places: dict[str, tuple[float, float]] = {}
    for down, row in enumerate(rows):
        for across, one in enumerate(row):
            places[one.uri] = ((across + 0.5) * total / len(row), 20.0 + down * gap)
    shapes = []
    for one in node.walk():
        x, y = places[one.uri]
        for source in one.sources:
            sx, sy = places[source.uri]
            shapes.append(
                f'<line x1="{sx:.0f}" y1="{sy + 48:.0f}" x2="{x:.0f}" y2="{y:.0f}" '
                'stroke="#555" marker-end="url(#arrow)"/>'
            )
        fill = "#fde0dd" if one.problem else ("#e8f1fa" if one.record else "#f2f2f2")
        shapes.append(
            f'<rect x="{x - box / 2:.0f}" y="{y:.0f}" width="{box}" height="48" rx="6" '
            f'fill="{fill}" stroke="#555"/>'
            f'<text x="{x:.0f}" y="{y + 20:.0f}" text-anchor="middle">{escape(_title(one))}</text>'
            f'<text x="{x:.0f}" y="{y + 38:.0f}" text-anchor="middle" font-size="11">'
            f"{escape(_subtitle(one)[:80])}</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height * gap}" '
        f'width="{total}" height="{height * gap}" '
        'font-family="sans-serif" font-size="13"><defs><marker id="arrow" markerWidth="8" '
        'markerHeight="8" refX="7" refY="3" orient="auto"><path d="M0,0 L7,3 L0,6 z" fill="#555"/>'
        "</marker></defs>" + "".join(shapes) + "</svg>\n"
    )


def _levels(node: Node) -> dict[str, int]:
    """The longest way from the result to every node."""
    levels: dict[str, int] = {}
    pending = [(node, 0)]
    while pending:
        one, level = pending.pop()
        if levels.get(one.uri, -1) < level:
            levels[one.uri] = level
            pending += [(source, level + 1) for source in one.sources]
    return levels
