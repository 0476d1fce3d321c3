"""What comes back: whole answers and streams, and what their bodies say about themselves."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import XNATResponseError
from .address import shown
from .transport import CHUNK, Reply

if TYPE_CHECKING:
    import requests

__all__ = ["Answer", "Stream", "Wait", "detail_of", "is_login_page", "is_page", "shows_nothing"]

LOGIN_PAGE = b"xnat-templates/screens/Login.vm"
"""stands in a comment of the login page (wire contract A 1.3)"""

_HEADING = re.compile(r"<h3>(.*?)</h3>", re.DOTALL)
_NOTHING = re.compile(rb'"Result"\s*:\s*\[\s*\]')


class Wait(enum.Enum):
    """How long the first byte of an answer may take; the numbers are the policy's."""

    LISTING = "listing"
    TRANSFER = "transfer"
    ARCHIVE = "archive"


class Answer:
    """A whole answer.

    Attributes
    ----------
    method, path : str
        What was asked, without its query.
    status : int
        The HTTP status.
    headers : mapping
        The headers; names in any case.
    content : bytes
        The body.
    lost : bool
        Whether it was found to be an answer to somebody else: our login is lost.
    """

    def __init__(self, method: str, path: str, reply: Reply, content: bytes) -> None:
        self.method = method
        self.path = path
        self.status = reply.status
        self.headers: Mapping[str, str] = reply.headers
        self.content = content
        self.lost = False
        self._reply = reply

    def __repr__(self) -> str:
        return f"<Answer {self.status} to {self.method} {shown(self.path)}>"

    @property
    def text(self) -> str:
        """The body as text: UTF-8, else Latin-1 (the server names the latter and sends either)."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError:
            return self.content.decode("latin-1")

    def json(self) -> Any:
        """The body as JSON; XNATResponseError when it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise XNATResponseError(
                f"{self.method} {shown(self.path)}: the answer is no JSON",
                status=self.status,
                method=self.method,
                path=shown(self.path),
                detail=self.text[:200],
            ) from None

    @property
    def response(self) -> requests.Response:
        """The same answer as scripts of the documented client know it."""
        return self._reply.as_response(self.content)


class Stream:
    """An answer whose body is read piece by piece.

    Attributes
    ----------
    status : int
        The HTTP status.
    headers : mapping
        The headers; names in any case.
    length : int or None
        Bytes of the body as announced.
    """

    def __init__(self, reply: Reply, first: bytes, rest: Iterator[bytes]) -> None:
        self._first = first
        self._rest = rest
        self.status = reply.status
        self.headers = reply.headers
        self.length = reply.length

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The body as it comes, once; pieces are at most `size` bytes.

        Raises
        ------
        XNATTimeoutError
            It stands still or drips.
        XNATConnectionError
            It breaks off before its end.
        """
        first, self._first = self._first, b""
        if first:
            yield from _cut(first, size)
        for piece in self._rest:
            yield from _cut(piece, size)


def _cut(piece: bytes, size: int) -> Iterator[bytes]:
    if len(piece) <= size:
        yield piece
        return
    for begin in range(0, len(piece), size):
        yield piece[begin : begin + size]


def is_page(start: bytes) -> bool:
    """Whether a body that starts like this is a web page (F-06)."""
    return start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def is_login_page(content: bytes) -> bool:
    """Whether this is XNAT's login page, which may come with status 200 (A 1.3)."""
    return is_page(content[:512]) and LOGIN_PAGE in content[:8192]


def shows_nothing(content: bytes) -> bool:
    """Whether this is an empty listing: what a guest sees of an open site, too."""
    return len(content) < 1024 and _NOTHING.search(content) is not None


def detail_of(content: bytes) -> str:
    """The server's own words, at most 200 characters: the heading of its page, or plain text."""
    text = content[:4096].decode("utf-8", errors="replace")
    heading = _HEADING.search(text)
    if heading:
        text = re.sub(r"<[^>]*>", " ", heading.group(1))
    elif is_page(content[:512]):
        return ""
    return " ".join(text.split())[:200]
