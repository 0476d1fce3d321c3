"""Reading the server's answers: tables, item documents, lists of addresses.

A body that is empty, a web page, or of another shape than promised is an error, whatever its
status says (wire contract A 0.3). Nothing here asks the server anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..exceptions import XNATPageError, XNATResponseError
from .records import Item

if TYPE_CHECKING:
    from ..connection.login import Answer

__all__ = [
    "cell",
    "child_items",
    "number",
    "quoted_start",
    "read_duplicates",
    "read_items",
    "read_json",
    "read_table",
    "read_text",
    "read_uri_list",
]

_PAGE_STARTS = ("<!doctype html", "<html")


def quoted_start(text: str, most: int = 120) -> str:
    """Return the first characters of a body for an error message, on one line."""
    start = " ".join(text[: most * 2].split())[:most]
    return repr(start)


def _fail(answer: Answer, why: str, *, page: bool = False) -> XNATResponseError:
    kind = XNATPageError if page else XNATResponseError
    return kind(
        f"{answer.method} {answer.path}: status {answer.status}, but {why}",
        status=answer.status,
        method=answer.method,
        path=answer.path,
        detail=answer.text[:200],
    )


def _is_page(text: str) -> bool:
    return text[:100].lstrip().lower().startswith(_PAGE_STARTS)


def read_text(answer: Answer) -> str:
    """Return a body that is plain text, stripped (identifiers, settings).

    Raises
    ------
    XNATPageError
        The body is a web page.
    XNATResponseError
        The body is empty.
    """
    text = answer.text.strip()
    if not text:
        raise _fail(answer, "the body is empty")
    if _is_page(text):
        raise _fail(answer, "the body is a web page where text was due", page=True)
    return text


def read_json(answer: Answer) -> Any:
    """Return a body that is JSON.

    Raises
    ------
    XNATPageError
        The body is a web page (a login page, an item page).
    XNATResponseError
        The body is empty (a bad column, A 3.3) or no JSON.
    """
    text = answer.text
    if not text.strip():
        raise _fail(answer, "the body is empty where JSON was due")
    if _is_page(text):
        raise _fail(answer, "the body is a web page where JSON was due", page=True)
    try:
        return json.loads(text)
    except ValueError:
        raise _fail(answer, f"the body is no JSON: {quoted_start(text)}") from None


def read_table(answer: Answer) -> list[dict[str, str]]:
    """Return the rows of a listing (wire contract A 3.1).

    Every cell is text; null counts as `""`. Where the server says `totalRecords`, the number of
    rows must agree with it. Keys are as sent: full paths come in lower case (A 3.3), see `cell`.

    Raises
    ------
    XNATResponseError
        The body is empty, a page, no table, or has fewer or more rows than it says.
    """
    document = read_json(answer)
    result = document.get("ResultSet") if isinstance(document, dict) else None
    rows = result.get("Result") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(rows, list):
        raise _fail(answer, f"the body is no table: {quoted_start(answer.text)}")
    table = []
    for row in rows:
        if not isinstance(row, dict):
            raise _fail(answer, "a row of the table is no object")
        table.append({str(key): _cell_text(value) for key, value in row.items()})
    total = number(_cell_text(result.get("totalRecords")))
    if total is not None and total != len(table):
        raise _fail(answer, f"the table has {len(table)} rows and says it has {total}")
    return table


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def cell(row: dict[str, str], *names: str) -> str:
    """Return the first cell that the row has under one of the names, else `""`.

    A name that holds `/` is a full path: the server answers its key in lower case (A 3.3).
    """
    for name in names:
        for key in (name, name.lower()) if "/" in name else (name,):
            if key in row:
                return row[key]
    return ""


def number(text: str) -> int | None:
    """Return a count or size, None when the server has none (`""`, text; A 8, row 16)."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text)
    whole, dot, rest = text.partition(".")
    if dot and whole.isascii() and whole.isdigit() and not rest.strip("0"):
        return int(whole)  # some databases answer 176.0
    return None


def read_items(answer: Answer) -> list[Item]:
    """Return the current items of a document (wire contract A 4).

    Entries of the history (`isHistory` true) are left out; without `includeHistory` there is one
    item.

    Raises
    ------
    XNATResponseError
        The body is empty, a page or no item document, or holds no current item.
    """
    document = read_json(answer)
    entries = document.get("items") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _fail(answer, f"the body is no item document: {quoted_start(answer.text)}")
    items = list(child_items(entries))
    if not items:
        raise _fail(answer, "the document holds no current item")
    return items


def child_items(entries: Sequence[Any]) -> Iterator[Item]:
    """Turn the server's nested objects into records, without entries of the history."""
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        meta = entry.get("meta") or {}
        if meta.get("isHistory") in (True, "true"):
            continue
        children: dict[str, tuple[Item, ...]] = {}
        for child in entry.get("children") or ():
            if isinstance(child, dict):
                name = str(child.get("field", ""))
                found = tuple(child_items(child.get("items") or ()))
                children[name] = children.get(name, ()) + found
        yield Item(
            xsi_type=str(meta.get("xsi:type", "")),
            fields=dict(entry.get("data_fields") or {}),
            children=children,
            meta=dict(meta),
        )


def read_uri_list(answer: Answer) -> list[str]:
    """Return the addresses of a `text/uri-list` body (CRLF or none at the end, B 0 and 1.4).

    Raises
    ------
    XNATResponseError
        The body is a page, has no address (all files were rejected: a failure, B 1.4), or holds a
        line that is none.
    """
    text = read_text(answer)
    addresses = [line.strip() for line in text.splitlines() if line.strip()]
    for address in addresses:
        if not address.startswith("/") and "://" not in address:
            raise _fail(answer, f"{quoted_start(address)} is no address")
    return addresses


def read_duplicates(answer: Answer) -> list[str]:
    """Return the paths that an upload found taken (wire contract A 6.4).

    The server says it with status 200 and JSON labelled `text/html`; an empty body means that no
    file was taken. It does not prove that anything was stored.

    Raises
    ------
    XNATResponseError
        The body is a page or something else.
    """
    if not answer.text.strip():
        return []
    document = read_json(answer)
    found = document.get("duplicates") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise _fail(answer, f"the body is no list of duplicates: {quoted_start(answer.text)}")
    return [str(path) for path in found]
