"""A connection: login once, cookie afterwards, one new login when it has expired.

Requests that may be repeated are, within the policy; those that may not raise `XNATUnclearError`
when their answer is lost. Nothing is ever «absent» here: that is `rest.absence`'s word.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, cast

from .. import uris
from ..config import Policy
from ..exceptions import (
    XNATConflictError,
    XNATConnectionError,
    XNATExpiredCredentialsError,
    XNATForbiddenError,
    XNATLoginFailedError,
    XNATNotConnectedError,
    XNATNotFoundError,
    XNATPageError,
    XNATResponseError,
    XNATUnavailableError,
    XNATUnclearError,
)
from .credentials import Credentials
from .retry import RETRIED, RetryPolicy, read_retry_after
from .transport import CHUNK, Body, NotSentError, Query, Reply, Transport

__all__ = ["Answer", "Connection", "Stream", "Wait"]

logger = logging.getLogger(__name__)

LOGIN_PAGE = "xnat-templates/screens/Login.vm"
_LOGGED_IN = re.compile(r"User '([^']*)' is logged in")
_HEADING = re.compile(r"<h3>(.*?)</h3>", re.DOTALL)
_SESSION = re.compile(r"[0-9A-Za-z.-]{8,128}")
_LOCKS = {404: XNATNotFoundError, 403: XNATForbiddenError, 409: XNATConflictError}


class Wait(enum.Enum):
    """How long the first byte of an answer may take; the numbers are the policy's."""

    LISTING = "listing"
    TRANSFER = "transfer"
    ARCHIVE = "archive"

    def seconds(self, policy: Policy) -> float:
        return cast(float, getattr(policy, self.value))


class Answer:
    """A whole answer."""

    def __init__(
        self, method: str, path: str, status: int, headers: Mapping[str, str], content: bytes
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        self.headers = headers
        self.content = content

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
                f"{self.method} {self.path}: the answer is no JSON",
                status=self.status,
                method=self.method,
                path=self.path,
                detail=self.text[:200],
            ) from None


class Stream:
    """An answer whose body is read piece by piece."""

    def __init__(self, reply: Reply, first: bytes, rest: Iterator[bytes]) -> None:
        self._reply = reply
        self._first = first
        self._rest = rest
        self.status = reply.status
        self.headers = reply.headers
        self.length = reply.length

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The body as it comes; pieces are at most `size` bytes."""
        if self._first:
            yield self._first
            self._first = b""
        yield from self._rest


class Connection:
    """What everything above talks through.

    Parameters
    ----------
    transport : Transport
        One server.
    credentials : Credentials or None
        None asks as a guest.
    clock, sleep, today : callable
        Monotonic seconds, sleeping, and the time of day; injected by tests.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        today: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._sleep = sleep
        self._today = today
        self._lock = threading.Lock()
        self._cookie: str | None = None
        self._generation = 0
        self._refused = False
        self._closed = False
        self.user = credentials.user if credentials else "guest"

    def __repr__(self) -> str:
        return f"Connection({self.server!r}, user={self.user!r})"

    @property
    def server(self) -> str:
        """The server's address, without a trailing slash."""
        return self._transport.server

    @property
    def policy(self) -> Policy:
        """The numbers of waiting and retrying."""
        return self._transport.policy

    # --- asking -------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        form: Query | None = None,
        accepted: Sequence[int] = (200,),
        wait: Wait = Wait.LISTING,
        repeatable: bool | None = None,
        html: bool = False,
    ) -> Answer:
        """Send a request and return its whole answer; see `docs/architecture.md`.

        Raises
        ------
        XNATResponseError
            A status that is not accepted, as the class that fits.
        XNATUnclearError
            A request that must not be repeated may have worked.
        XNATLoginFailedError
            The login is refused, or lost again after a new one.
        """
        sending = _Sending(method, path, query, headers, body, form, wait)
        again = method in ("GET", "HEAD") if repeatable is None else repeatable

        def take(reply: Reply) -> Answer:
            content = b"" if method == "HEAD" else reply.read()
            return Answer(method, path, reply.status, reply.headers, content)

        answer: Answer = self._ask(sending, take, accepted, again=again)
        # XNAT's own refusals (404, 409...) are pages too (A 1.6): only a success must not be one.
        due = answer.status in accepted and answer.status < 400 and not html
        if due and _is_page(answer.content[:512]):
            raise XNATPageError(
                f"{method} {self.server}{path}: a web page where data was due",
                status=answer.status,
                method=method,
                path=path,
                detail=_detail(answer.content),
            )
        return answer

    @contextlib.contextmanager
    def stream(
        self,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        accepted: Sequence[int] = (200,),
        wait: Wait = Wait.TRANSFER,
    ) -> Iterator[Stream]:
        """GET a file or zip piece by piece; a login page is never handed on as one.

        The start of an answer is repeated within the policy; what breaks off later raises, and
        the caller begins anew.
        """
        sending = _Sending("GET", path, query, headers, None, None, wait)
        kept: list[Reply] = []

        def take(reply: Reply) -> Stream | Answer:
            if reply.status not in accepted:
                return Answer("GET", path, reply.status, reply.headers, reply.read())
            rest = reply.chunks()
            first = next(rest, b"")
            if LOGIN_PAGE.encode() in first[:8192] and not self.logged_in():
                return Answer("GET", path, 401, reply.headers, b"")
            kept.append(reply)
            return Stream(reply, first, rest)

        try:
            found = self._ask(sending, take, accepted, again=True)
            assert isinstance(found, Stream)
            yield found
        finally:
            for reply in kept:
                reply.close()

    def logged_in(self) -> bool:
        """Ask the server whether it still knows us; when not, the next request logs in anew."""
        if self._closed:
            return False
        if self._credentials is None:
            return True
        if self._cookie is None:
            self._log_in(self._generation)
            return True
        if self._who(self._cookie) == self.user:
            return True
        self._cookie = None
        return False

    def close(self) -> None:
        """End the server's session and close the sockets; asking afterwards raises."""
        with self._lock:
            cookie, self._cookie = self._cookie, None
            if cookie and not self._closed:
                with contextlib.suppress(XNATConnectionError):
                    self._send_once(
                        _Sending("DELETE", uris.JSESSION, wait=Wait.LISTING), cookie
                    ).close()
            self._closed = True
            self._transport.close()

    def drop(self) -> None:
        """Forget everything without a word to the server: what a forked child inherits."""
        self._cookie = None
        self._closed = True

    # --- one request, its tries and its logins ------------------------------------------------

    def _ask(
        self,
        sending: _Sending,
        take: Callable[[Reply], Any],
        accepted: Sequence[int],
        *,
        again: bool,
    ) -> Any:
        """Send until there is an accepted answer or an error."""
        waits = RetryPolicy(self.policy)
        logins = 0
        if not sending.replayable and self._credentials is not None:
            self.logged_in()  # a consumed body could not be sent again after a refusal
        while True:
            cookie, generation = self._ensure()
            try:
                reply = self._send_once(sending, cookie)
                try:
                    found = take(reply)
                except BaseException:
                    reply.close()
                    raise
                if isinstance(found, Answer):
                    reply.close()
            except XNATConnectionError as error:
                self._wait_or_raise(sending, waits, error, again)
                continue
            if not isinstance(found, Answer):
                return found
            if self._expired(found):
                logins += 1
                if logins > 1 or not sending.rewind():
                    raise XNATLoginFailedError(
                        f"{sending.method} {self.server}{sending.path}: the server does not take "
                        f"the login of {self.user!r} (asked twice)"
                    )
                self._log_in(generation)
                continue
            if found.status in accepted:
                return found
            self._later_or_raise(sending, waits, found, again)

    def _wait_or_raise(
        self, sending: _Sending, waits: RetryPolicy, error: XNATConnectionError, again: bool
    ) -> None:
        never_sent = isinstance(error, NotSentError)
        if not again and not never_sent:
            raise XNATUnclearError(
                f"{error}. The server may have done it: look before ordering it again"
            ) from None
        pause = waits.next_wait()
        if pause is None or not sending.rewind():
            raise error
        logger.info("%s; again in %.1f s", error, pause)
        self._sleep(pause)

    def _later_or_raise(
        self, sending: _Sending, waits: RetryPolicy, answer: Answer, again: bool
    ) -> None:
        """Wait for another try, or raise the error that the status means."""
        status = answer.status
        detail = _detail(answer.content)
        where = f"{sending.method} {self.server}{sending.path}"
        facts: dict[str, Any] = {
            "status": status,
            "method": sending.method,
            "path": sending.path,
            "detail": detail,
        }
        said = f": {detail}" if detail else ""
        if status in RETRIED and not again and status in (502, 503, 504):
            raise XNATUnclearError(
                f"{where}: {status}{said}. The server may have done it: look before ordering it "
                "again",
                status=status,
            )
        if (status in RETRIED and again) or (status == 500 and sending.method == "GET"):
            after = read_retry_after(answer.headers.get("Retry-After"), self._today())
            pause = waits.next_wait(after, most=2 if status == 500 else None)
            if pause is not None and sending.rewind():
                logger.info("%s: %s; again in %.1f s", where, status, pause)
                self._sleep(pause)
                return
            until = f"; the server asks to wait {after:.0f} s" if after else ""
            if status in RETRIED:
                raise XNATUnavailableError(
                    f"{where}: {status} after all tries{until}{said}", **facts
                )
        if status in RETRIED:
            raise XNATUnavailableError(f"{where}: {status}{said}", **facts)
        if status in (301, 302, 303, 307, 308):
            said = ": it sends us elsewhere, which is not followed; is the address right?"
        raise _LOCKS.get(status, XNATResponseError)(f"{where}: {status}{said}", **facts)

    def _send_once(self, sending: _Sending, cookie: str | None) -> Reply:
        headers = dict(sending.headers or {})
        if cookie:
            headers["Cookie"] = f"JSESSIONID={cookie}"
        return self._transport.send(
            sending.method,
            sending.path,
            query=sending.query,
            headers=headers,
            body=sending.body,
            form=sending.form,
            wait=sending.wait.seconds(self.policy),
        )

    # --- the login ----------------------------------------------------------------------------

    def _ensure(self) -> tuple[str | None, int]:
        if self._closed:
            raise XNATNotConnectedError(f"the connection to {self.server} was closed")
        if self._credentials is None:
            return None, self._generation
        if self._cookie is None:
            self._log_in(self._generation)
        return self._cookie, self._generation

    def _log_in(self, generation: int) -> None:
        """Log in, unless another thread has done so since `generation`."""
        with self._lock:
            if self._generation != generation and self._cookie is not None:
                return
            if self._closed:
                raise XNATNotConnectedError(f"the connection to {self.server} was closed")
            if self._credentials is None or self._refused:
                raise XNATLoginFailedError(
                    f"{self.server} does not take the login of {self.user!r}"
                )
            self._cookie = None
            cookie = self._fetch_cookie(self._credentials)
            name = self._who(cookie)
            if name != self.user and not (name and "/" in self.user):
                raise XNATLoginFailedError(
                    f"{self.server} logged us in as {name!r}, not as {self.user!r}"
                )
            self.user = name or self.user
            self._cookie = cookie
            self._generation += 1

    def _fetch_cookie(self, credentials: Credentials) -> str:
        form = [("username", credentials.user), ("password", credentials.password)]
        answer = self._plain(_Sending("PUT", uris.LOGIN, form=form, wait=Wait.LISTING))
        if answer.status in (401, 403):
            self._refused = True  # wrong passwords are never tried again: accounts get locked
            raise XNATLoginFailedError(
                f"{self.server} refuses user {credentials.user!r} (from {credentials.source}): "
                "wrong password, or too many open sessions"
            )
        if answer.status in (301, 302, 303) and "UpdateUser" in answer.headers.get("Location", ""):
            raise XNATExpiredCredentialsError(
                f"the password of {credentials.user!r} at {self.server} has expired: renew it there"
            )
        if answer.status != 200:
            raise XNATResponseError(
                f"PUT {self.server}{uris.LOGIN}: {answer.status}; is this an XNAT server?",
                status=answer.status,
                method="PUT",
                path=uris.LOGIN,
            )
        cookie = answer.text.split(";")[0].strip()
        if not _SESSION.fullmatch(cookie):
            raise XNATLoginFailedError(
                f"{self.server} answers the login with a page, not a session"
            )
        return cookie

    def _who(self, cookie: str) -> str | None:
        """The name the server knows a session by; None for nobody."""
        answer = self._plain(_Sending("GET", uris.AUTH, wait=Wait.LISTING), cookie)
        if answer.status != 200:
            if answer.status in (301, 302, 303) and "UpdateUser" in answer.headers.get(
                "Location", ""
            ):
                raise XNATExpiredCredentialsError(
                    f"the password of {self.user!r} at {self.server} has expired: renew it there"
                )
            return None
        found = _LOGGED_IN.search(answer.text)
        return found.group(1) if found else None

    def _plain(self, sending: _Sending, cookie: str | None = None) -> Answer:
        """A request of the login itself: repeated on outages, never on refusals."""
        waits = RetryPolicy(self.policy)
        while True:
            try:
                reply = self._send_once(sending, cookie)
                try:
                    content = reply.read()
                finally:
                    reply.close()
            except XNATConnectionError as error:
                pause = waits.next_wait()
                if pause is None:
                    raise error
                self._sleep(pause)
                continue
            answer = Answer(sending.method, sending.path, reply.status, reply.headers, content)
            if answer.status not in RETRIED:
                return answer
            pause = waits.next_wait(
                read_retry_after(answer.headers.get("Retry-After"), self._today())
            )
            if pause is None:
                raise XNATUnavailableError(
                    f"{sending.method} {self.server}{sending.path}: {answer.status} after all "
                    "tries",
                    status=answer.status,
                    method=sending.method,
                    path=sending.path,
                )
            self._sleep(pause)

    def _expired(self, answer: Answer) -> bool:
        """Whether the answer says that our login is no more (wire contract A 1.3)."""
        if answer.status in (301, 302, 303):
            where = answer.headers.get("Location", "")
            if "UpdateUser" in where:
                raise XNATExpiredCredentialsError(
                    f"the password of {self.user!r} at {self.server} has expired: renew it there"
                )
            return "Login.vm" in where
        if answer.status == 401:
            if self._credentials is None:
                raise XNATLoginFailedError(
                    f"{self.server} wants a login and we have none: put it into ~/.netrc"
                )
            return True
        return answer.status == 200 and LOGIN_PAGE.encode() in answer.content[:8192]


class _Sending:
    """One request as it can be sent again."""

    def __init__(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        form: Query | None = None,
        wait: Wait = Wait.LISTING,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.form = form
        self.wait = wait
        self.body = body
        self._start = 0
        if hasattr(body, "seek") and hasattr(body, "tell"):
            self._start = cast(IO[bytes], body).tell()

    @property
    def replayable(self) -> bool:
        """Whether the body can be sent a second time."""
        return self.body is None or isinstance(self.body, bytes) or hasattr(self.body, "seek")

    def rewind(self) -> bool:
        """Make the body ready to be sent again; False when it cannot be."""
        if not self.replayable:
            return False
        if hasattr(self.body, "seek"):
            cast(IO[bytes], self.body).seek(self._start)
        return True


def _is_page(start: bytes) -> bool:
    return start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def _detail(content: bytes) -> str:
    """The server's own words: the heading of its page, or a short plain text."""
    text = content[:4096].decode("utf-8", errors="replace")
    heading = _HEADING.search(text)
    if heading:
        text = re.sub(r"<[^>]*>", " ", heading.group(1))
    elif _is_page(content[:512]):
        return ""
    return " ".join(text.split())[:200]
