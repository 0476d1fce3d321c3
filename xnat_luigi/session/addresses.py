"""Addresses as scripts write them, turned into a path and a query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

from ..exceptions import XNATValueError

__all__ = ["read_address", "servers_of"]

_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def servers_of(session: Any) -> tuple[str, ...]:
    """The addresses a session's server is known by: its own, and the one that was given."""
    given = getattr(session, "original_uri", None)
    return (session.server, given) if given else (session.server,)


def read_address(
    servers: tuple[str, ...],
    uri: str,
    query: Mapping[str, Any] | None = None,
    format: str | None = None,
) -> tuple[str, list[tuple[str, str]]]:
    """Return path (quoted) and query of a REST path or of a full uri of the server (S-058, S-059).

    Parameters
    ----------
    servers : tuple of str
        The addresses the server is known by; what redirected there may be one more.
    uri : str
        `/data/projects` or `https://xnat.example.org/data/projects`, with a query if need be.
    query : mapping, optional
        What is added to the query; a list as value repeats the key (S-064).
    format : str, optional
        Added as `format` (S-063).

    Raises
    ------
    XNATValueError
        It is an address of another server, or no path.
    """
    path = str(uri)
    for server in servers:
        bare = server.rstrip("/")
        if path == bare or path.startswith((bare + "/", bare + "?")):
            path = path[len(bare) :] or "/"
            break
    if not path.startswith("/") or path.startswith("//"):
        raise XNATValueError(
            f"{path.partition('?')[0]!r} is no address at {servers[0]}: give a path such as "
            "/data/projects"
        )
    if _CONTROL.search(path):
        raise XNATValueError(f"{path!r} holds a control character")
    path, _, written = path.partition("?")
    pairs = parse_qsl(written, keep_blank_values=True)
    for key, value in (query or {}).items():
        values = value if isinstance(value, (list, tuple)) else (value,)
        pairs += [(str(key), _text(one)) for one in values if one is not None]
    if format is not None:
        pairs = [pair for pair in pairs if pair[0] != "format"] + [("format", format)]
    return quote(_STRAY_PERCENT.sub("%25", path), safe="/%:,*;=@&+$!'()~"), pairs


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
