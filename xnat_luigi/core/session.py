"""What objects and listings need of a session. The session itself lies above this package."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["OfSession", "SessionLike", "external_url", "local_path", "session_of"]


class SessionLike(Protocol):
    """A session as seen from below; `session.facade` offers it."""

    @property
    def connection(self) -> Connection:
        """The connection that everything is asked through."""

    @property
    def logger(self) -> logging.Logger:
        """Where messages go."""

    @property
    def caching(self) -> bool:
        """Whether objects and listings keep what they read."""

    @property
    def classes(self) -> Any:
        """The classes made of the server's schemas."""

    @property
    def server(self) -> str:
        """The address of the server, without a slash at its end."""

    def put(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """PUT, see `BaseXNATSession.put`."""

    def post(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """POST, see `BaseXNATSession.post`."""

    def delete(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """DELETE, see `BaseXNATSession.delete`."""

    def get_json(self, uri: str, *args: Any, **kwargs: Any) -> Any:
        """GET of JSON, see `BaseXNATSession.get_json`."""

    def upload(self, uri: str, file_: Any, *args: Any, **kwargs: Any) -> Any:
        """Upload, see `BaseXNATSession.upload`."""

    def download(self, uri: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Download to a file, see `BaseXNATSession.download`."""

    def download_zip(self, uri: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Download of a zip, see `BaseXNATSession.download_zip`."""

    def download_stream(self, uri: str, target_stream: Any, *args: Any, **kwargs: Any) -> Any:
        """Download to a stream, see `BaseXNATSession.download_stream`."""


def session_of(parent: Any) -> Any:
    """Return the session of an object or listing; a session is its own."""
    return getattr(parent, "xnat_session", None) or parent


def local_path(session: SessionLike, uri: str) -> str:
    """Return the path of an address that may begin with the server's uri (S-059).

    `/data/archive/X` and `/REST/X` stay as they are; the server takes them as `/data/X` (A 0.1).
    """
    server = session.server.rstrip("/")
    path = uri.removeprefix(server) if uri.startswith(server + "/") else uri
    return path.rstrip("/") or "/"


def external_url(
    session: SessionLike,
    obj: Any,
    query: Mapping[str, str] | None = None,
    scheme: str | None = None,
) -> str:
    """Return the address of an object for a browser or another program (S-149 to S-151).

    Parameters
    ----------
    obj : object
        With a `fulluri`.
    query : mapping, optional
        What goes behind a `?`.
    scheme : str, optional
        In place of the server's own, `https` for example.
    """
    from urllib.parse import quote, urlencode

    url = session.server.rstrip("/") + quote(getattr(obj, "fulluri", None) or obj.uri, safe="/,*%")
    if query:
        url += "?" + urlencode(query)
    if scheme:
        url = scheme + "://" + url.partition("://")[2]
    return url


class OfSession:
    """What a session offers besides objects: `services`, `prearchive`, `inspect`."""

    def __init__(self, xnat_session: Any) -> None:
        self._session = xnat_session

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._session.server}>"

    @property
    def xnat_session(self) -> Any:
        """The session it belongs to."""
        return self._session
