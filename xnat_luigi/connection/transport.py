"""One request over HTTP: the only importer of requests.

Knows no login and repeats nothing. Redirects are not followed, cookies and netrc are left alone,
the environment is asked for proxies and certificates only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any
from urllib.parse import urlsplit

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
    XNATSSLError,
    XNATTimeoutError,
)

__all__ = ["Body", "Query", "Reply", "Transport", "check_server"]

logger = logging.getLogger(__name__)

Body = bytes | IO[bytes] | Iterable[bytes]
Query = Mapping[str, str] | Sequence[tuple[str, str]]

USER_AGENT = f"xnat-luigi/{__version__} python-requests/{requests.__version__}"
CHUNK = 512 * 1024


def check_server(server: str) -> str:
    """The address without a trailing slash.

    Raises
    ------
    XNATConfigError
        It is no http or https address, or it holds a user or password.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise XNATConfigError(
            f"{server.rsplit('@', 1)[-1]!r} is no address of a server, such as "
            "https://xnat.example.org"
        )
    if parts.username or parts.password:
        raise XNATConfigError(
            f"the address of {parts.hostname} holds a login: leave it out, it would end up in logs"
        )
    if parts.query or parts.fragment:
        raise XNATConfigError(f"the address {server!r} has a query: give the server only")
    return server.rstrip("/")


class NotSentError(XNATConnectionError):
    """The connection was never made, so the server has seen nothing."""


class Reply:
    """An answer whose body is still on the way."""

    def __init__(
        self, response: requests.Response, where: str, policy: Policy, clock: Callable[[], float]
    ) -> None:
        self._response = response
        self._where = where
        self._policy = policy
        self._clock = clock
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    @property
    def length(self) -> int | None:
        """Bytes of the body as announced, None when unknown."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isdigit() and "Transfer-Encoding" not in self.headers else None

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The body, as it comes.

        Raises
        ------
        XNATTimeoutError
            Nothing came for `Policy.gap` seconds, or less than `Policy.rate` over such a time.
        XNATConnectionError
            The body broke off.
        """
        raw = self._response.raw
        _set_gap(raw, self._policy.gap)
        begin, count = self._clock(), 0
        while True:
            with _translated(self._where, self._policy):
                data = raw.read1(size)
            if not data:
                return
            yield data
            count += len(data)
            now = self._clock()
            if now - begin >= self._policy.gap:
                if count < self._policy.rate * (now - begin):
                    raise XNATTimeoutError(
                        f"{self._where}: the answer drips ({count} bytes in {now - begin:.0f} s)"
                    )
                begin, count = now, 0

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
        self._verify = verify
        self._clock = clock
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
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
    ) -> Reply:
        """Send one request and return the answer as soon as its head is there.

        Parameters
        ----------
        wait : float
            Seconds until the first byte of the answer.

        Raises
        ------
        NotSentError
            No connection could be made.
        XNATConnectionError
            No answer, or none in time; whether the server worked is unknown.
        """
        session = self._session()
        where = f"{method} {self.server}{path}"
        data: Any = list(_pairs(form)) if form is not None else body
        with _translated(where, self.policy):
            response = session.request(
                method,
                self.server + path,
                params=list(_pairs(query)) if query else None,
                headers=dict(headers or {}),
                data=data,
                timeout=(self.policy.connect, wait),
                allow_redirects=False,
                stream=True,
            )
        session.cookies.clear()
        return Reply(response, where, self.policy, self._clock)

    def close(self) -> None:
        """Close all sockets of this process."""
        for session in self._sessions:
            session.close()
        self._sessions.clear()
        self._local = threading.local()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._make_session()
            self._local.session = session
            self._sessions.append(session)
        return session

    def _make_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # no netrc, no cookies or credentials of anybody else
        session.headers.clear()
        session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        session.proxies.update(requests.utils.get_environ_proxies(self.server, no_proxy=None))
        authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        session.verify = (authorities or True) if self._verify is True else self._verify
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=2, max_retries=0)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session


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
def _translated(where: str, policy: Policy) -> Iterator[None]:
    """Errors of requests and urllib3 as ours, without addresses' queries and without secrets."""
    try:
        yield
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
        raise XNATSSLError(
            f"{where}: no secure connection, {_reason(error)}; if the certificate is your site's "
            "own, name its file in XNAT_LUIGI_VERIFY"
        ) from None
    except requests.exceptions.ConnectTimeout:
        raise NotSentError(f"{where}: no connection within {policy.connect:g} s") from None
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        raise XNATTimeoutError(f"{where}: no answer in time, or it stood still") from None
    except requests.exceptions.InvalidURL as error:
        raise XNATConfigError(f"{where}: {_reason(error)}") from None
    except requests.exceptions.ConnectionError as error:
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


def _reason(error: BaseException) -> str:
    """The innermost words of an error: those above repeat the address with its query."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error.args[-1] if error.args else error) or type(error).__name__
    text = text.split(": ", 1)[-1] if "object at 0x" in text else text
    return text[:160]
