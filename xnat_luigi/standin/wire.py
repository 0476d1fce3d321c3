"""What goes between the sockets and the handlers: plain requests in, plain answers out.

A handler is `handler(request, state) -> Answer`: synchronous, knows no socket, runs in a thread.
The request's body lies in a temporary file before the handler starts (`Body`); the answer's body is
bytes, a file on disk or an iterator of chunks. To refuse, raise `Refusal(status, message)`: below
`/data` it becomes Restlet's status page, below `/xapi` plain text (wire contract A 0.3).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from .multipart import Part, read_parts

__all__ = ["Answer", "Body", "Params", "Part", "Refusal", "Request", "status_page", "escape_param"]

TEXT = "text/plain;charset=ISO-8859-1"
GENERIC = {
    400: "The request could not be understood by the server due to malformed syntax",
    401: "The request requires user authentication",
    403: "The server understood the request, but is refusing to fulfill it",
    404: "The server has not found anything matching the request URI",
    405: "The method specified in the request is not allowed for the resource identified by the "
    "request URI",
    406: "The resource identified by the request is only capable of generating response entities "
    "which have content characteristics not acceptable according to the accept headers sent in the "
    "request",
    409: "The request could not be completed due to a conflict with the current state of the "
    "resource",
    417: "The expectation given in the Expect request header could not be met by this server",
    422: "The server understands the content type of the request entity but was unable to process "
    "the contained instructions",
    500: "The server encountered an unexpected condition which prevented it from fulfilling the "
    "request",
    501: "The server does not support the functionality required to fulfill the request",
    502: "The server, while acting as a gateway or proxy, received an invalid response from the "
    "upstream server",
    503: "The server is currently unable to handle the request due to a temporary overloading or "
    "maintenance of the server",
    504: "The server, while acting as a gateway or proxy, could not complete the request in time",
}
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"})


def escape_param(value: str) -> str:
    """A parameter's value as XNAT reads it: XML-escaped (wire contract A 0.2, "Escaping")."""
    return value.translate(_ESCAPES)


def status_page(status: int, message: str | None = None) -> bytes:
    """Restlet's error page; clients look for `<h3>(.*)</h3>` in it (wire contract A 0.3)."""
    text = message or GENERIC.get(status, "")
    anchor = f"sec10.{status // 100}.{status % 100 + 1}"
    return (
        "<html>\n<head>\n   <title>Status page</title>\n</head>\n<body>\n"
        f"<h3>{text}</h3><p>You can get technical details "
        f'<a href="http://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#{anchor}">here</a>.<br>\n'
        'Please continue your visit at our <a href="/">home page</a>.\n'
        "</p>\n</body>\n</html>"
    ).encode()


class Refusal(Exception):
    """A handler refuses: the status and the sentence that the client sees."""

    def __init__(self, status: int, message: str | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Params:
    """Query or form parameters; keys repeat, values come XML-escaped as the real server reads them.

    `raw()` gives a value as it was sent (passwords, JSON, XML).
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs = list(pairs)

    @classmethod
    def parse(cls, text: str) -> Params:
        """Splits a query string or an urlencoded form."""
        return cls(parse_qsl(text, keep_blank_values=True))

    def get(self, name: str, default: str = "") -> str:
        """The last value of `name`, escaped, or `default`."""
        value = self.raw(name)
        return default if value is None else escape_param(value)

    def raw(self, name: str) -> str | None:
        """The last value of `name` as it was sent, or None."""
        return next((v for k, v in reversed(self.pairs) if k == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of `name` in order, escaped."""
        return [escape_param(v) for k, v in self.pairs if k == name]

    def flag(self, name: str, default: bool = False) -> bool:
        """True if present and neither `false` nor `0` (wire contract A 0.2, "Booleans")."""
        value = self.raw(name)
        return default if value is None else value.lower() not in ("false", "0")

    def items(self) -> list[tuple[str, str]]:
        """All pairs in order, values escaped."""
        return [(k, escape_param(v)) for k, v in self.pairs]

    def __contains__(self, name: object) -> bool:
        return any(k == name for k, _ in self.pairs)

    def __add__(self, other: Params) -> Params:
        return Params(self.pairs + other.pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)


@dataclass
class Body:
    """A request's body, already on disk.

    `declared` is the Content-Length as sent, None for a chunked body ("unknown length" in the wire
    contract); `size` is what really came.
    """

    path: Path | None = None
    size: int = 0
    declared: int | None = 0
    content_type: str = ""

    def read(self) -> bytes:
        """The whole body in memory; for small ones."""
        return b"" if self.path is None else self.path.read_bytes()

    @property
    def media_type(self) -> str:
        """The Content-Type without parameters, lower case."""
        return self.content_type.partition(";")[0].strip().lower()


@dataclass
class Request:
    """One request as handlers see it."""

    method: str
    path: str
    """Path as sent, percent-encoding and all, without context prefix and query."""
    query: Params
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Body
    user: str = "guest"
    session: str = ""
    """The JSESSIONID this request belongs to."""
    variables: dict[str, str] = field(default_factory=dict)
    """Values of the template's `{NAMES}`, as sent: not percent-decoded (wire contract A 7)."""
    remainder: str = ""
    """What followed the matched template, without its leading slash."""
    base: str = ""
    """`http://host:port` as the client addressed us, plus context path."""
    context: str = ""

    def form(self) -> Params:
        """Fields of an urlencoded body; empty for other bodies."""
        if self.body.media_type != "application/x-www-form-urlencoded":
            return Params()
        return Params.parse(self.body.read().decode("utf-8", "replace"))

    def parameters(self) -> Params:
        """Form fields, then the query (read last, so it wins)."""
        return self.form() + self.query

    def parts(self) -> list[Part]:
        """Parts of a multipart body, still on disk.

        Raises: `Refusal` 400 when the body is no well-formed multipart.
        """
        if self.body.path is None:
            return []
        try:
            return read_parts(self.body.path, self.body.content_type)
        except ValueError as error:
            raise Refusal(400, str(error)) from None

    @property
    def is_multipart(self) -> bool:
        """Whether the body is multipart/form-data."""
        return self.body.media_type.startswith("multipart/")

    @property
    def format(self) -> str:
        """`format=` as asked for, lower case, "" when absent."""
        return (self.query.raw("format") or "").lower()

    def accepts(self, *kinds: str) -> str:
        """The first of `kinds` (media types, best first) that the Accept header takes, else ""."""
        wanted = _accepted(self.headers.get("accept", "*/*"))
        best, best_quality = "", 0.0
        for kind in kinds:
            quality = _quality(wanted, kind)
            if quality > best_quality:
                best, best_quality = kind, quality
        return best


def _accepted(header: str) -> list[tuple[str, float]]:
    found = []
    for piece in header.split(","):
        name, _, parameters = piece.strip().partition(";")
        quality = 1.0
        for parameter in parameters.split(";"):
            key, _, value = parameter.strip().partition("=")
            if key == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if name:
            found.append((name.strip().lower(), quality))
    return found or [("*/*", 1.0)]


def _quality(wanted: Sequence[tuple[str, float]], kind: str) -> float:
    main = kind.partition("/")[0]
    best = (0, 0.0)
    for name, quality in wanted:
        rank = {kind: 3, f"{main}/*": 2, "*/*": 1}.get(name, 0)
        if rank and (rank, quality) > best:
            best = (rank, quality)
    return best[1]


@dataclass
class Answer:
    """What a handler answers.

    A `Path` body is sent as a file: with `Content-Length`, `Last-Modified`, Range and 304. An
    iterator is sent chunked; so are bytes when `chunked` is set (tables and items have no length on
    the wire, wire contract A 0.2).
    """

    status: int = 200
    body: bytes | Path | Iterable[bytes] = b""
    content_type: str | None = TEXT
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = False
    cookies: list[str] = field(default_factory=list)
    ranges: bool = True
    """Whether a Range header is looked at."""
    after: list[os.PathLike[str]] = field(default_factory=list)
    """Temporary files to remove once the answer is out."""
    catalogs: list[Path] = field(default_factory=list)
    """For a file of a resource: the catalogs it was found in, so that the answer can be kept."""

    @classmethod
    def text(cls, text: str, status: int = 200, content_type: str = TEXT) -> Answer:
        """A string with its length."""
        return cls(status=status, body=text.encode(), content_type=content_type)

    @classmethod
    def json(cls, data: object, status: int = 200) -> Answer:
        """A JSON document of the `/xapi` kind."""
        import json

        return cls(
            status=status,
            body=json.dumps(data, separators=(",", ":")).encode(),
            content_type="application/json;charset=UTF-8",
        )

    @classmethod
    def page(cls, status: int, message: str | None = None) -> Answer:
        """Restlet's status page."""
        return cls(status=status, body=status_page(status, message), content_type="text/html")

    def pieces(self, size: int = 1 << 20) -> Iterator[bytes]:
        """The body as chunks, wherever it lies."""
        if isinstance(self.body, bytes):
            yield self.body
        elif isinstance(self.body, Path):
            with self.body.open("rb") as file:
                while chunk := file.read(size):
                    yield chunk
        else:
            yield from self.body
