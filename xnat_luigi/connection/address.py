"""Addresses of servers: what they may be, whom they mean, and how they may be shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..exceptions import XNATConfigError

__all__ = ["check_server", "origin_of", "shown"]

_SECRET = re.compile(r"(/tokens/(?:in)?validate/|;jsessionid=).*", re.IGNORECASE)


def check_server(server: str) -> str:
    """The address without a trailing slash.

    Raises
    ------
    XNATConfigError
        It is no http or https address, or it holds a user or password.
    """
    named = server.rsplit("@", 1)[-1]
    try:
        parts = urlsplit(server)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        usable = False
    if not usable or re.search(r"[\x00-\x20\x7f\\]", server):
        raise XNATConfigError(
            f"{named!r} is no address of a server, such as https://xnat.example.org"
        )
    if parts.username or parts.password:
        raise XNATConfigError(
            f"the address of {parts.hostname} holds a login: leave it out, it would end up in logs"
        )
    if parts.query or parts.fragment:
        raise XNATConfigError(f"the address {server!r} has a query: give the server only")
    return server.rstrip("/")


def origin_of(address: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address: what a password or a cookie is meant for."""
    parts = urlsplit(address)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port


def shown(path: str) -> str:
    """A path as it may stand in logs and messages: without the tokens that some have in it."""
    return _SECRET.sub(r"\1...", path.partition("?")[0])
