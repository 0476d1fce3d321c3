"""Tables as JSON, CSV, XML or HTML (wire contract A 3.1): every cell is text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from ..wire import Answer, Refusal, Request

__all__ = ["cell", "table"]

_KINDS = {
    "application/json": "json",
    "text/html": "html",
    "text/xml": "xml",
    "application/xml": "xml",
    "text/csv": "csv",
}


def cell(value: object) -> str:
    """A value as a cell: text, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(value)
    return str(value)


def table(
    request: Request,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    title: str = "",
    total: bool = True,
    about: Sequence[Mapping[str, str]] | None = None,
) -> Answer:
    """A table in the format asked for; JSON when nothing is said.

    `about` are the `Columns` that file listings and searches put in front; `total=False` leaves
    `totalRecords` out, as file listings and pages do.
    """
    lines = [{name: cell(row.get(name)) for name in columns} for row in rows]
    lines = _sorted(request, lines)
    kind = request.format or _KINDS.get(
        request.accepts("application/json", "text/html", "text/xml", "text/csv"), ""
    )
    if kind in ("json", "application/json"):
        return Answer(
            body=_json(lines, title, total, about), content_type="application/json", chunked=True
        )
    if kind in ("csv", "text/csv"):
        return Answer(body=_csv(columns, lines), content_type="text/csv", chunked=True)
    if kind in ("xml", "text/xml"):
        return Answer(body=_xml(columns, lines, title), content_type="text/xml", chunked=True)
    if kind in ("html", "text/html"):
        return Answer(body=_html(columns, lines), content_type="text/html", chunked=True)
    raise Refusal(406)


def _sorted(request: Request, lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """`sortBy` in memory, nulls last (wire contract A 3.4)."""
    names = [name for name in (request.query.raw("sortBy") or "").split(",") if name]
    down = (request.query.raw("sortOrder") or "").upper() == "DESC"
    for name in reversed(names):
        full = [line for line in lines if line.get(name)]
        empty = [line for line in lines if not line.get(name)]
        lines = sorted(full, key=lambda line: line[name], reverse=down) + empty
    return lines


def _json(
    lines: list[dict[str, str]],
    title: str,
    total: bool,
    about: Sequence[Mapping[str, str]] | None,
) -> Iterator[bytes]:
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    head = f'"Columns":{encode(list(about))},' if about is not None else ""
    yield f'{{"ResultSet":{{{head}"Result":['.encode()
    size = 500
    for start in range(0, len(lines), size):
        piece = ",".join(encode(line) for line in lines[start : start + size])
        yield ("," if start else "").encode() + piece.encode()
    tail = f', "totalRecords": "{len(lines)}"' if total else ""
    if title:
        tail += f',"title": {encode(title)}' if total else f', "title": {encode(title)}'
    yield f"]{tail}}}}}".encode()


def _csv(columns: Sequence[str], lines: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        writer.writerow([line[name].replace("\n", " ") for name in columns])
    return text.getvalue().encode()


def _xml(columns: Sequence[str], lines: list[dict[str, str]], title: str) -> bytes:
    def mark(text: str) -> str:
        # Only these two are escaped: an ampersand in the data gives invalid XML (A 3.1).
        return text.replace("<", "&lt;").replace(">", "&gt;")

    head = "".join(f"<column>{mark(name)}</column>" for name in columns)
    body = "".join(
        "<row>" + "".join(f"<cell>{mark(line[name])}</cell>" for name in columns) + "</row>\n"
        for line in lines
    )
    return (
        f'<ResultSet title="{mark(title)}" totalRecords="{len(lines)}"><results><columns>{head}'
        f"</columns>\n<rows>{body}</rows></results></ResultSet>"
    ).encode()


def _html(columns: Sequence[str], lines: list[dict[str, str]]) -> bytes:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(line[name])}</td>" for name in columns) + "</tr>"
        for line in lines
    )
    page = f'<table class="x_rs_t" cellpadding="0"><tr>{head}</tr>{body}</table>'
    return f"<!DOCTYPE html>\n<html><body>{page}</body></html>".encode()
