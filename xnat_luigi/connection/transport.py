"""One request over HTTP: the only importer of requests.

Knows no login and repeats nothing. Redirects are not followed, cookies and netrc are left alone,
the environment is asked for proxies and certificates only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import IO, Any

import requests
import requests.utils
import urllib3
from requests.adapters import HTTPAdapter

from .._version import __version__
from ..config import Policy
from ..exceptions import (
    XNATConfigError,
    XNATConnectionError,
    XNATIntegrityError,
    XNATIOError,
    XNATSSLError,
    XNATTimeoutError,
)
from .address import check_server, origin_of, shown
from .sockets import Sockets

__all__ = [
    "Body",
    "Interface",
    "NotSentError",
    "Query",
    "Reply",
    "Transport",
    "encode_multipart",
]

logger = logging.getLogger(__name__)

Body = bytes | IO[bytes] | Iterable[bytes]
Query = Mapping[str, str] | Sequence[tuple[str, str]]

USER_AGENT = (
    f"xnat-luigi/{__version__} ({platform.system()} {platform.machine()}) "
    f"{platform.python_implementation()}/{platform.python_version()} "
    f"python-requests/{requests.__version__}"
)
"""names the client in detail (S-017); XNAT would treat what looks like a browser as one (A 1.3)"""
CHUNK = 1024 * 1024
SENT_AT_ONCE = 256 * 1024
"""bytes that the other side has to take within one gap"""

_EXPIRATION = re.compile(r'SESSION_EXPIRATION_TIME="?(\d+),(\d+)"?')
_CONNECTION = re.compile(r"^(?:\w+\(host=[^)]*\)|<[^>]* object at 0x[^>]*>): ")
_NEW_SESSION = re.compile(r"(?:^|[;, ])JSESSIONID=([0-9A-Za-z.-]+)")


class NotSentError(XNATConnectionError):
    """The connection was never made, so the server has seen nothing."""


class Reply:
    """An answer whose body is still on the way."""

    def __init__(
        self,
        response: requests.Response,
        where: str,
        policy: Policy,
        clock: Callable[[], float],
        gap: float,
        sockets: Sockets,
    ) -> None:
        self._response = response
        self._where = where
        self._policy = policy
        self._clock = clock
        self._gap = gap
        self._sockets = sockets
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    @property
    def length(self) -> int | None:
        """Bytes of the body as announced, None when unknown."""
        text = self.headers.get("Content-Length", "")
        changed = "Transfer-Encoding" in self.headers or self._encoded
        return int(text) if text.isascii() and text.isdigit() and not changed else None

    @property
    def expiration(self) -> tuple[float, float] | None:
        """Server's time and how long a session may idle, both in seconds (A 1.2); None without."""
        found = _EXPIRATION.search(self._cookies)
        return (int(found[1]) / 1000, int(found[2]) / 1000) if found else None

    @property
    def new_session(self) -> str | None:
        """The session that the server opened for this request, None when it knew ours."""
        found = _NEW_SESSION.search(self._cookies)
        return found[1] if found else None

    @property
    def further_cookies(self) -> dict[str, str]:
        """Cookies that are not XNAT's: a load balancer finds our node by them."""
        jar = self._response.cookies
        return {
            one.name: one.value
            for one in jar
            if one.value and one.name not in ("JSESSIONID", "SESSION_EXPIRATION_TIME")
        }

    @property
    def _cookies(self) -> str:
        return self.headers.get("Set-Cookie", "")

    @property
    def _encoded(self) -> bool:
        return self.headers.get("Content-Encoding", "identity").lower() not in ("", "identity")

    def as_response(self, content: bytes) -> requests.Response:
        """The answer of the HTTP library, with a body that was read already."""
        response = self._response
        response._content = content
        response._content_consumed = True  # type: ignore[attr-defined]
        return response

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The body, as it comes.

        Raises
        ------
        XNATTimeoutError
            Nothing came for the gap in seconds, or less than `Policy.rate` over such a time of
            waiting. The time that the caller takes for a piece does not count.
        XNATConnectionError
            The body broke off.
        XNATIOError
            The connection was interrupted.
        """
        raw = self._response.raw
        _set_gap(raw, self._gap)
        spent, count = 0.0, 0
        while True:
            begin = self._clock()
            try:
                with _translated(self._where, self._policy.connect):
                    # We ask for no compression; a proxy that does it all the same is understood.
                    data = raw.read1(size, decode_content=self._encoded)
            except XNATConnectionError:
                self._sockets.check()
                raise
            spent += self._clock() - begin
            if not data:
                self._sockets.check()  # a socket that we shut looks like an end
                return
            count += len(data)
            if spent >= self._gap:
                if count < self._policy.rate * spent:
                    raise XNATTimeoutError(
                        f"{self._where}: the answer drips ({count} bytes in {spent:.0f} s)"
                    )
                spent, count = 0.0, 0
            yield data

    def read(self) -> bytes:
        """The whole body; XNATIntegrityError when it is larger than the policy allows."""
        parts, size = [], 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > self._policy.largest_answer:
                raise XNATIntegrityError(
                    f"{self._where}: the answer has more than {self._policy.largest_answer} bytes"
                )
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Give the socket back, or close it when the body was not read to its end."""
        self._response.close()


class Transport:
    """Sends requests to one server; a socket pool for each thread.

    Parameters
    ----------
    server : str
        Its address, with a context path if it has one.
    verify : bool or str
        False leaves certificates unchecked, and says so once; a string is a file of certificates.
    clock : callable
        Monotonic seconds, injected by tests.
    """

    def __init__(
        self,
        server: str,
        *,
        policy: Policy | None = None,
        verify: bool | str = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = check_server(server)
        self.policy = policy or Policy()
        if isinstance(verify, str) and not os.path.exists(verify):
            raise XNATConfigError(f"there is no file of certificates {verify!r} (verify)")
        self._verify = verify
        self._clock = clock
        self._local = threading.local()
        self._renew_sessions()
        if verify is False and self.server.startswith("https:"):
            logger.warning("certificates of %s are not checked (verify is off)", self.server)
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        form: Query | None = None,
        wait: float,
        connect: float | None = None,
        gap: float | None = None,
    ) -> Reply:
        """Send one request and return the answer as soon as its head is there.

        Parameters
        ----------
        wait : float
            Seconds until the first byte of the answer.
        connect, gap : float, optional
            Seconds until a connection stands, and of silence inside the body; the policy's
            otherwise.

        Raises
        ------
        XNATIOError
            The body could not be read on our side, or the connection was interrupted before.
        NotSentError
            No connection could be made.
        XNATConnectionError
            No answer, or none in time; whether the server worked is unknown.
        """
        session = self._session()
        sockets = self.sockets
        sockets.check()
        sockets.allow(gap)
        where = f"{method} {self.server}{shown(path)}"
        sent_headers = {name: value for name, value in (headers or {}).items() if value is not None}
        begin = self._clock()
        data = _framed(body, sent_headers) if form is None else list(_pairs(form))
        try:
            with _translated(where, connect or self.policy.connect):
                # Past what a session of the library adds: cookies, redirects, the environment.
                # None of it is wanted here, and it takes as long as all the rest.
                request, params = requests.PreparedRequest(), list(_pairs(query or ()))
                every = {**session.headers, **sent_headers}
                request.prepare(method, self.server + path, every, None, data, params)
                response = session.get_adapter(self.server).send(
                    request,
                    True,
                    (connect or self.policy.connect, wait),
                    session.verify is None or session.verify,
                    proxies=session.proxies,
                )
        except XNATConnectionError:
            if isinstance(data, _Pieces) and data.error is not None:
                raise XNATIOError(f"{where}: what was to be sent: {data.error}") from None
            raise
        finally:
            sockets.allow(None)
        response.elapsed = timedelta(seconds=self._clock() - begin)
        return Reply(response, where, self.policy, self._clock, gap or self.policy.gap, sockets)

    def interface(self, cookie: Callable[[], str | None]) -> Interface:
        """A session of the HTTP library for scripts, with our settings and our login (S-075).

        `cookie` gives the Cookie header of our server.
        """
        made = Interface(self.server, cookie, lambda: self.sockets)
        self._set_up(made)
        self._remember(made)
        return made

    def close(self) -> None:
        """Close all sockets of this process."""
        with self._guard:
            sessions = list(self._sessions)
            self._sessions.clear()
        for session in sessions:
            session.close()
        self._local = threading.local()

    def forget(self) -> None:
        """Leave the sockets to the process that we were forked from, and open own ones."""
        # Not closed: over TLS that would say goodbye in the parent's name.
        self._local = threading.local()
        self._renew_sessions()

    def _renew_sessions(self) -> None:
        # Held weakly: the sockets of a thread are closed when it ends.
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        self.sockets = Sockets(self.policy.gap)
        self._guard = threading.Lock()
        self._pid = os.getpid()

    def _remember(self, session: requests.Session) -> None:
        with self._guard:
            self._sessions.add(session)

    def _session(self) -> requests.Session:
        if self._pid != os.getpid():
            self.forget()
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            self._set_up(session)
            self._local.session = session
            self._remember(session)
        return session

    def _set_up(self, session: requests.Session) -> None:
        session.trust_env = False  # no netrc, no cookies or credentials of anybody else
        session.headers.clear()
        session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        session.proxies.update(requests.utils.get_environ_proxies(self.server, no_proxy=None))
        authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        session.verify = (authorities or True) if self._verify is True else self._verify
        _mount(session, self.sockets)


class _Adapter(HTTPAdapter):
    """Makes connections that `Sockets` knows of."""

    def __init__(self, sockets: Sockets) -> None:
        self._ours = sockets
        super().__init__(pool_connections=1, pool_maxsize=2, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._ours.pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # those have connections of their own
            manager.pool_classes_by_scheme = self._ours.pools
        return manager


def _mount(session: requests.Session, sockets: Sockets) -> None:
    """Give a session a pool of its own, empty as yet."""
    adapter = _Adapter(sockets)
    session.mount("http://", adapter)
    session.mount("https://", adapter)


class Interface(requests.Session):
    """The session of the HTTP library as `session.interface`: logged in, nothing is checked.

    The cookie goes to the server's own origin and to nobody else, redirects included.
    """

    def __init__(
        self, server: str, cookie: Callable[[], str | None], sockets: Callable[[], Sockets]
    ) -> None:
        super().__init__()
        self._sockets = sockets
        self._origin = origin_of(server)
        self._cookie = cookie
        self._pid = os.getpid()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request with the login's cookie, if it goes to our server."""
        if self._pid != os.getpid():
            _mount(
                self, self._sockets()
            )  # the sockets are those of the process that we were forked from
            self._pid = os.getpid()
        request.headers.pop("Cookie", None)
        cookie = self._cookie()
        if cookie and origin_of(request.url or "") == self._origin:
            request.headers["Cookie"] = cookie
        response = super().send(request, **kwargs)
        self.cookies.clear()
        return response


def encode_multipart(files: Any, data: Any = None) -> tuple[bytes, str]:
    """Body and Content-Type of a multipart upload; `files` as the HTTP library takes them."""
    made = requests.Request("PUT", "http://localhost", files=files, data=data or {}).prepare()
    body = made.body if isinstance(made.body, bytes) else b""
    return body, made.headers["Content-Type"]


class _Pieces:
    """A body that is read piece by piece; remembers why it could not be read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.error: OSError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._checked()
        except OSError as error:
            self.error = error
            raise

    def _checked(self) -> Iterable[bytes]:
        return self._pieces


class _Framed(_Pieces):
    """The same of known length."""

    def __init__(self, pieces: Iterable[bytes], length: int) -> None:
        super().__init__(pieces)
        self._length = length

    def __len__(self) -> int:
        return self._length

    def _checked(self) -> Iterator[bytes]:
        left = self._length
        for piece in self._pieces:
            if len(piece) > left:
                raise OSError(f"it has more than the {self._length} bytes announced")
            left -= len(piece)
            yield piece
        if left:
            raise OSError(f"it has {left} bytes less than the {self._length} announced")


def _framed(body: Body | None, headers: dict[str, str]) -> Any:
    """The body as it can be sent with a Content-Length, which XNAT needs (A 6.4)."""
    if body is None or isinstance(body, bytes):
        return body
    named = headers.pop("Content-Length", None)
    if hasattr(body, "read"):
        file: IO[bytes] = body  # type: ignore[assignment]
        length = int(named) if named else _rest_of(file)
        pieces: Iterable[bytes] = iter(lambda: file.read(SENT_AT_ONCE), b"")
    else:
        length = int(named) if named else None
        pieces = body
    if length == 0:
        return b""
    # Without a length the HTTP library sends chunks.
    return _Pieces(pieces) if length is None else _Framed(pieces, length)


def _rest_of(file: IO[bytes]) -> int | None:
    """Bytes from here to the end, None when the file cannot tell."""
    try:
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (OSError, AttributeError, ValueError):
        return None
    return end - here


def _pairs(query: Query) -> Iterator[tuple[str, str]]:
    items = query.items() if isinstance(query, Mapping) else query
    for key, value in items:
        yield key, str(value)


def _set_gap(raw: Any, gap: float) -> None:
    """From now on the socket may be silent for `gap` seconds only."""
    connection = getattr(raw, "_connection", None)
    sock = getattr(connection, "sock", None)
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.settimeout(gap)


@contextlib.contextmanager
def _translated(where: str, connect: float) -> Iterator[None]:
    """Errors of requests and urllib3 as ours, without addresses' queries and without secrets."""
    try:
        yield
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
        raise XNATSSLError(
            f"{where}: no secure connection, {_reason(error)}; if the certificate is your site's "
            "own, name its file in XNAT_LUIGI_VERIFY"
        ) from None
    except requests.exceptions.ConnectTimeout:
        raise NotSentError(f"{where}: no connection within {connect:g} s") from None
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        raise XNATTimeoutError(f"{where}: no answer in time, or it stood still") from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
        raise XNATConfigError(f"{where}: {_reason(error)}") from None
    except requests.exceptions.ConnectionError as error:
        if _stood_still(error):
            raise XNATTimeoutError(f"{where}: the server does not read what is sent") from None
        kind = NotSentError if _never_sent(error) else XNATConnectionError
        raise kind(f"{where}: {_reason(error)}; is the server up and the address right?") from None
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise XNATConnectionError(f"{where}: the answer broke off ({_reason(error)})") from None


def _never_sent(error: requests.exceptions.ConnectionError) -> bool:
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    return isinstance(
        reason,
        urllib3.exceptions.NewConnectionError
        | urllib3.exceptions.ConnectTimeoutError
        | urllib3.exceptions.ProxyError,
    )


def _stood_still(error: requests.exceptions.ConnectionError) -> bool:
    """Whether a body was not read in time, which comes as a connection that broke."""
    inner = error.args[0] if error.args else None
    reasons = getattr(inner, "args", ())
    return isinstance(inner, urllib3.exceptions.ProtocolError) and any(
        isinstance(one, TimeoutError) for one in reasons
    )


def _reason(error: BaseException) -> str:
    """The innermost words of an error: those above repeat the address with its query."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error.args[-1] if error.args else error) or type(error).__name__
    return _CONNECTION.sub("", text)[:160]
