"""Searches: elements, XML searches, saved searches (wire contract B 9)."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from ..render.tables import table
from ..searching import describe_search, display_fields, kind_of, read_search, run
from ..state import Item, State
from ..types import element_of, known_types
from ..wire import Answer, Refusal, Request
from . import Route
from .finding import may_read

__all__ = ["ROUTES"]

_ELEMENTS = ("ELEMENT_NAME", "SINGULAR", "PLURAL", "SECURED", "COUNT")
_FIELDS = (
    "FIELD_ID",
    "HEADER",
    "SUMMARY",
    "TYPE",
    "REQUIRES_VALUE",
    "DESC",
    "ELEMENT_NAME",
    "SRC",
)


class Searches:
    """Results that are kept for paging (in memory) and saved searches (on disk)."""

    def __init__(self, state: State) -> None:
        self.store = state.store
        self.store.declare(
            "CREATE TABLE IF NOT EXISTS saved_search("
            "id TEXT PRIMARY KEY, owner TEXT NOT NULL, document BLOB NOT NULL)"
        )
        self._results: dict[tuple[str, str], tuple[Any, list[dict[str, str]]]] = {}
        self._lock = threading.Lock()

    def keep(self, user: str, search: Any, rows: list[dict[str, str]]) -> str:
        """Keep a result; its ID."""
        name = "search_" + secrets.token_hex(8)
        with self._lock:
            self._results[(user, name)] = (search, rows)
        return name

    def kept(self, user: str, name: str) -> tuple[Any, list[dict[str, str]]] | None:
        """A result of this user."""
        with self._lock:
            return self._results.get((user, name))


def _visible(request: Request, state: State) -> Any:
    def filtered(items: Iterable[Item]) -> Iterator[Item]:
        return (item for item in items if may_read(request, state, item))

    return filtered


def list_elements(request: Request, state: State) -> Answer:
    """Types that are in use and that the caller can read."""
    counts: dict[str, int] = {}
    kinds = ("project", "subject", "experiment", "assessor", "scan")
    for item in _visible(request, state)(state.items.all(*kinds)):
        counts[item.xsi_type] = counts.get(item.xsi_type, 0) + 1
    rows = []
    for xsi_type, count in sorted(counts.items()):
        name = element_of(xsi_type).rpartition(":")[2]
        secured = "false" if kind_of(xsi_type) == "scan" else "true"
        rows.append(
            {
                "ELEMENT_NAME": xsi_type,
                "SINGULAR": name,
                "PLURAL": name + "s",
                "SECURED": secured,
                "COUNT": count,
            }
        )
    return table(request, _ELEMENTS, rows)


def list_fields(request: Request, state: State) -> Answer:
    """The fields of a type."""
    named = unquote(request.variables["TYPE"])
    xsi_type = next((one for one in known_types() if one == named), "")
    if not kind_of(xsi_type):
        raise Refusal(400, f"Unknown element {named!r}.")
    rows = [
        {
            "FIELD_ID": name,
            "HEADER": name.replace("_", " ").title(),
            "SUMMARY": f"{xsi_type}/{path}",
            "TYPE": "date" if "DATE" in name or name == "LAST_MODIFIED" else "string",
            "REQUIRES_VALUE": "false",
            "DESC": "",
            "ELEMENT_NAME": xsi_type,
            "SRC": "0",
        }
        for name, path in display_fields(xsi_type).items()
    ]
    return table(request, _FIELDS, rows)


def post_search(request: Request, state: State) -> Answer:
    """Run a search document."""
    search = read_search(request.body.read())
    rows = run(state, search, _visible(request, state))
    if not request.query.flag("cache"):
        return _results(request, search, rows)
    name = state.part(Searches).keep(request.user, search, rows)
    return Answer.json({"ResultSet": {"ID": name, "totalRecords": str(len(rows))}})


def _results(request: Request, search: Any, rows: list[dict[str, str]]) -> Answer:
    about = [
        {
            "key": one.key,
            "element_name": one.xsi_type,
            "id": one.field_id,
            "header": one.header,
            "xPATH": f"{one.xsi_type}.{one.field_id}",
            "type": "string",
        }
        for one in search.fields
    ]
    keys = list(dict.fromkeys(one.key for one in search.fields))
    return table(request, keys, rows, about=about)


def get_page(request: Request, state: State) -> Answer:
    """A part of a result that was kept."""
    found = state.part(Searches).kept(request.user, unquote(request.variables["ID"]))
    if found is None:
        raise Refusal(404)
    search, rows = found
    try:
        offset = int(request.query.raw("offset") or 0)
        limit = int(request.query.raw("limit") or len(rows))
    except ValueError:
        raise Refusal(400, "limit and offset are numbers.") from None
    return _results(request, search, rows[offset : offset + limit])


def list_saved(request: Request, state: State) -> Answer:
    """The caller's saved searches."""
    state.part(Searches)
    found = state.store.rows(
        "SELECT id, document FROM saved_search WHERE owner = ? ORDER BY id", request.user
    )
    rows = [{"id": row["id"], **describe_search(bytes(row["document"]))} for row in found]
    return table(request, ("id", "brief_description", "description", "root_element_name"), rows)


def _saved(request: Request, state: State) -> bytes:
    state.part(Searches)
    name = unquote(request.variables["ID"])
    if name.startswith("@"):
        xsi_type = next((one for one in known_types() if one == name[1:]), "")
        if not kind_of(xsi_type):
            raise Refusal(404)
        return _default_search(xsi_type)
    row = state.store.row(
        "SELECT document FROM saved_search WHERE id = ? AND owner = ?", name, request.user
    )
    if row is None:
        raise Refusal(404)
    return bytes(row["document"])


def _default_search(xsi_type: str) -> bytes:
    fields = "".join(
        f"<xdat:search_field><xdat:element_name>{xsi_type}</xdat:element_name>"
        f"<xdat:field_ID>{name}</xdat:field_ID><xdat:sequence>{number}</xdat:sequence>"
        f"<xdat:type>string</xdat:type><xdat:header>{name}</xdat:header></xdat:search_field>"
        for number, name in enumerate(display_fields(xsi_type))
    )
    return (
        '<xdat:bundle xmlns:xdat="http://nrg.wustl.edu/security" '
        f'ID="@{xsi_type}"><xdat:root_element_name>{xsi_type}</xdat:root_element_name>'
        f"{fields}</xdat:bundle>"
    ).encode()


def get_saved(request: Request, state: State) -> Answer:
    """A saved search as XML."""
    return Answer(body=_saved(request, state), content_type="text/xml")


def put_saved(request: Request, state: State) -> Answer:
    """Save a search under an ID."""
    content = request.body.read()
    read_search(content)
    state.part(Searches)
    state.store.insert(
        "INSERT OR REPLACE INTO saved_search(id, owner, document) VALUES(?,?,?)",
        unquote(request.variables["ID"]),
        request.user,
        content,
    )
    return Answer.text("")


def delete_saved(request: Request, state: State) -> Answer:
    """Remove a saved search."""
    _saved(request, state)
    name = unquote(request.variables["ID"])
    state.store.change("DELETE FROM saved_search WHERE id = ? AND owner = ?", name, request.user)
    return Answer.text("")


def get_saved_results(request: Request, state: State) -> Answer:
    """Run a saved search."""
    search = read_search(_saved(request, state))
    return _results(request, search, run(state, search, _visible(request, state)))


_SAVED = "/data/search/saved/{ID}"
ROUTES = [
    Route("POST", "/data/search", post_search, archive=False),
    Route("GET", "/data/search/elements", list_elements, archive=False),
    Route("GET", "/data/search/elements/{TYPE}", list_fields, archive=False),
    Route("GET", "/data/search/saved", list_saved, archive=False),
    Route("GET", _SAVED, get_saved, archive=False),
    Route("PUT", _SAVED, put_saved, archive=False),
    Route("DELETE", _SAVED, delete_saved, archive=False),
    Route("GET", _SAVED + "/results", get_saved_results, archive=False),
    Route("GET", "/data/search/{ID}", get_page, archive=False),
]
