"""A connection: login once, cookie afterwards, one new login when it has expired.

Requests that may be repeated are, within the policy; those that may not raise `XNATUnclearError`
when their answer is lost. Nothing is ever «absent» here: that is `rest.absence`'s word.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .. import uris
from ..config import Policy
from ..exceptions import (
    XNATConnectionError,
    XNATIOError,
    XNATLoginFailedError,
    XNATNotConnectedError,
    XNATResponseError,
)
from . import entrance
from .address import shown
from .answer import Answer, Stream, Wait, is_login_page, is_page, shows_nothing
from .asking import Sending, Timeout, page_error, refusal, unclear
from .credentials import Credentials, tell_nobody
from .retry import RETRIED, RetryPolicy, read_retry_after
from .transport import Body, Interface, NotSentError, Query, Reply, Transport

__all__ = ["Answer", "Connection", "Stream", "Wait"]

FRESH = 20.0
"""seconds for which a login that was just confirmed is not doubted because of an empty listing"""
OLD = 60.0
"""seconds after which a login that has given no sign is asked after with the next answer"""
_HEAD = 8192
_LOGOUT = 10.0
"""seconds that the end of a session may take; a server that hangs does not keep us"""
_all: weakref.WeakSet[Connection] = weakref.WeakSet()


class Connection:
    """What everything above talks through.

    Parameters
    ----------
    transport : Transport
        One server.
    credentials : Credentials or None
        None asks as a guest.
    provider : str, optional
        The server's authentication provider (S-010).
    session : str, optional
        A session that exists already, in place of a login (S-048). It is never renewed.
    logger : logging.Logger, optional
        Where messages go, in place of the module's own.
    sleep, clock, today : callable
        Sleeping, monotonic seconds, and seconds since the epoch; injected by tests.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials | None = None,
        *,
        provider: str | None = None,
        session: str | None = None,
        logger: logging.Logger | None = None,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._credentials = None if session else credentials
        self._provider = provider
        self._borrowed = session
        self._lent: str | None = None
        self._logger = logger or logging.getLogger(__name__)
        self._sleep = sleep
        self._clock = clock
        self._today = today
        self._lock = threading.RLock()
        self._here = threading.local()
        self._cookie: str | None = session
        self._generation = 1 if session else 0
        self._confirmed = float("-inf")
        self._refused: str | None = None
        self._closed = False
        self._expiration: tuple[float, float] | None = None
        self._balancing: dict[str, str] = {}
        self._user = credentials.user if credentials and not session else entrance.GUEST
        self._identified = session is None
        _all.add(self)

    def __repr__(self) -> str:
        return f"Connection({self.server!r}, user={self._user!r})"

    @property
    def server(self) -> str:
        """The server's address, without a trailing slash."""
        return self._transport.server

    @property
    def policy(self) -> Policy:
        """The numbers of waiting and retrying."""
        return self._transport.policy

    @property
    def user(self) -> str:
        """The name the server knows us by; before the login the name it is asked with."""
        return self._user

    @property
    def session_id(self) -> str:
        """The id of our session on the server; logs in when there is none yet (S-047)."""
        return self._ensure()[0]

    @property
    def expiration(self) -> tuple[float, float] | None:
        """When the server last saw us and how long it waits, in its own seconds; None if unknown.

        Source: the cookie SESSION_EXPIRATION_TIME (A 1.2).
        """
        return self._expiration

    @property
    def interface(self) -> Interface:
        """The HTTP library itself, logged in; its answers are not checked (S-075)."""
        self._ensure()
        return self._transport.interface(lambda: self._cookies_with(self._cookie))

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
        wait: Timeout = Wait.LISTING,
        repeatable: bool | None = None,
        html: bool = False,
    ) -> Answer:
        """Send a request and return its whole answer.

        Parameters
        ----------
        method, path : str
            `path` begins with a slash and is encoded (see `uris`).
        query : mapping or sequence of pairs
            Names may repeat in the latter.
        body : bytes, binary file or iterable of bytes
            With a Content-Length wherever one is known.
        form : like `query`
            A form, in place of a body.
        accepted : sequence of int
            The statuses that are returned; all others raise.
        wait : Wait, float or (float, float)
            A row of the policy, or seconds of silence, or seconds to connect and of silence.
        repeatable : bool, optional
            Whether it may be sent again; by default GET and HEAD may.
        html : bool
            Whether a web page is what is wanted.

        Raises
        ------
        XNATResponseError
            A status that is not accepted, as the class that fits (`asking.refusal`).
        XNATPageError
            A web page where data was due.
        XNATUnclearError
            A request that must not be repeated may have worked: its answer was lost, or a proxy
            answered, or a web page came.
        XNATLoginFailedError
            The login is refused, or lost again after a new one.
        XNATIOError
            What was to be sent could not be read, or the connection was interrupted.
        """
        sending = Sending(
            method,
            path,
            query=query,
            headers=headers,
            body=body,
            form=form,
            wait=wait,
            again=repeatable,
        )

        def take(reply: Reply, cookie: str) -> Answer:
            return Answer(method, path, reply, reply.read())

        answer: Answer = self._ask(sending, take, accepted)
        if not html and answer.status < 300 and is_page(answer.content[:512]):
            problem = page_error(self._where(sending), answer)
            raise problem if sending.again else unclear(str(problem), answer.status)
        return answer

    @contextlib.contextmanager
    def stream(
        self,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        accepted: Sequence[int] = (200,),
        wait: Timeout = Wait.TRANSFER,
    ) -> Iterator[Stream]:
        """GET a file or zip piece by piece; what a lost login is answered is never handed on.

        The start of an answer is repeated within the policy; what breaks off later raises, and
        the caller begins anew.
        """
        sending = Sending("GET", path, query=query, headers=headers, wait=wait)
        kept: list[Reply] = []

        def take(reply: Reply, cookie: str) -> Stream | Answer:
            if reply.status not in accepted:
                return Answer("GET", path, reply, reply.read())
            rest = reply.chunks()
            first = next(rest, b"")
            if is_page(first[:512]):
                while len(first) < _HEAD and (more := next(rest, b"")):
                    first += more
                # A file may well be a web page; what a lost login is shown is none of ours.
                if is_login_page(first) or not self._still_us(cookie):
                    answer = Answer("GET", path, reply, first)
                    answer.lost = True
                    return answer
            kept.append(reply)
            return Stream(reply, first, rest)

        try:
            yield self._ask(sending, take, accepted)
        finally:
            for reply in kept:
                reply.close()

    # --- the session --------------------------------------------------------------------------

    def logged_in(self) -> bool:
        """Ask the server whether it still knows us; when not, the next request logs in anew.

        A guest is always known; a connection that was closed never is.
        """
        if self._closed:
            return False
        confirmed = getattr(self._here, "confirmed", None)
        self._here.confirmed = None
        if confirmed is not None and self._clock() - confirmed < 1.0:
            return True  # asked a moment ago, because this thread was answered 404
        cookie, generation = self._ensure()
        if self._still_us(cookie):
            return True
        if generation == self._generation and not self._borrowed:
            self._cookie = None
        return False

    def keep_alive(self) -> bool:
        """Tell the server that we are still here (F-02); False when it does not know us any more.

        Asked once, without retries: it comes again at the next beat.
        """
        cookie, generation = self._ensure()
        reply = self._send(Sending("GET", uris.JSESSION), cookie)
        try:
            answer = Answer("GET", uris.JSESSION, reply, reply.read())
        finally:
            reply.close()
        if answer.status == 200 and answer.text.split(";")[0].strip() == cookie:
            self._confirmed = self._clock()
            return True
        if answer.status in (200, 401, 403) and generation == self._generation:
            self._cookie = self._borrowed
            return False
        raise refusal(f"GET {self.server}{uris.JSESSION}", answer)

    def close(self, *, end_session: bool = True) -> None:
        """End the server's session and close the sockets; asking afterwards raises.

        Parameters
        ----------
        end_session : bool
            False leaves the session alive on the server (S-052).
        """
        with self._lock:
            cookie, self._cookie = self._cookie, None
            self.resume()
            if cookie and end_session and not self._closed and cookie != self._lent:
                with contextlib.suppress(XNATConnectionError):
                    self._send(Sending("DELETE", uris.JSESSION, wait=_LOGOUT), cookie).close()
            self._closed = True
            self._transport.close()

    def interrupt(self) -> None:
        """End what all threads wait for here at once; called from any thread (fault row D3).

        Waits before another try and answers that are on their way end with XNATIOError
        («stopped»), and so does every request that follows, until `resume`. A request that must
        not be repeated and was sent raises XNATUnclearError, as ever.
        """
        self._transport.sockets.interrupt()

    def resume(self) -> None:
        """Take requests again after `interrupt`; those that it ended stay ended."""
        self._transport.sockets.resume()

    def pause(self, seconds: float) -> None:
        """Wait before the server is asked again; `interrupt` ends it with XNATIOError."""
        (self._sleep or self._transport.sockets.wait)(seconds)
        self._transport.sockets.check()

    def drop(self) -> None:
        """Forget everything without a word to the server: what a forked child inherits."""
        self._transport.forget()
        self._cookie = None
        self._closed = True

    def go_on(self, session: str) -> None:
        """In a forked child: work in the parent's login session, which only the parent ends.

        If it is lost on the way the child logs in anew, and ends that session itself.
        """
        self._closed = False
        self._cookie = self._lent = session
        self._generation += 1

    def _after_fork(self) -> None:
        """In a child: own sockets and an own login; the parent's go on as if nothing had been."""
        self._lock = threading.RLock()
        self._here = threading.local()
        self._transport.forget()
        if not self._borrowed:
            self._cookie = None

    # --- one request, its tries and its logins ------------------------------------------------

    def _ask(
        self,
        sending: Sending,
        take: Callable[[Reply, str], Any],
        accepted: Sequence[int],
    ) -> Any:
        """Send until there is an accepted answer or an error."""
        waits = RetryPolicy(self.policy)
        logins = 0
        if not sending.replayable and self._clock() - self._confirmed > FRESH:
            self.logged_in()  # what cannot be sent again must not meet a lost login
        while True:
            cookie, generation = self._ensure()
            try:
                found = self._take(sending, cookie, take)
            except XNATConnectionError as error:
                self._wait_or_raise(sending, waits, error)
                continue
            if not isinstance(found, Answer):
                return found
            if sending.again and generation != self._generation and sending.rewind():
                continue  # meanwhile another thread found this login lost: its answers are in doubt
            if found.lost or entrance.is_lost(found) or self._doubtful(sending, found, cookie):
                logins += 1
                if logins > 1 and found.status == 200 and is_page(found.content[:512]):
                    raise page_error(self._where(sending), found)
                self._renew(sending, generation, logins)
                continue
            entrance.check_not_sent_away(self.server, self._user, found)
            if found.status in accepted:
                return found
            self._later_or_raise(sending, waits, found)

    def _take(self, sending: Sending, cookie: str, take: Callable[[Reply, str], Any]) -> Any:
        reply = self._send(sending, cookie)
        try:
            found = take(reply, cookie)
        except BaseException as error:
            reply.close()
            if isinstance(error, XNATIOError) and not sending.again:
                raise unclear(str(error), reply.status) from None  # interrupted, but done
            raise
        if isinstance(found, Answer):
            reply.close()
            self._here.new_session = reply.new_session
        return found

    def _send(self, sending: Sending, cookie: str | None) -> Reply:
        headers = dict(sending.headers or {})
        if cookies := self._cookies_with(cookie):
            headers["Cookie"] = cookies
        self._here.confirmed = None
        reply = self._transport.send(
            sending.method,
            sending.path,
            query=sending.query,
            headers=headers,
            body=sending.body,
            form=sending.form,
            **sending.timeouts(self.policy),  # type: ignore[arg-type]
        )
        before, now = self._expiration, reply.expiration
        if before and now and now[0] - before[0] >= before[1]:
            # By the server's own clock more time has passed than it lets a session idle.
            self._confirmed = float("-inf")
        self._expiration = now or before
        if further := reply.further_cookies:
            self._balancing = {**self._balancing, **further}
        self._logger.debug("%s: %s", self._where(sending), reply.status)
        return reply

    def _cookies_with(self, session: str | None) -> str:
        cookies = {**self._balancing, **({"JSESSIONID": session} if session else {})}
        return "; ".join(f"{name}={value}" for name, value in cookies.items())

    def _doubtful(self, sending: Sending, answer: Answer, cookie: str) -> bool:
        """Whether the answer was given to somebody else: what a guest sees of an open site.

        Any refusal may mean just that (404, 403, for some addresses 500), and so may a listing
        that is empty or has less in it (fault row A1). So a login is asked after when there is a
        sign that it ended, and now and then when there is none.
        """
        if not sending.again and answer.status not in range(400, 500):
            return False  # it may have been done, whoever we were
        other = self._here.new_session not in (None, cookie)
        refused = answer.status >= 400 and answer.status not in RETRIED
        since = self._clock() - self._confirmed
        empty = answer.status == 200 and shows_nothing(answer.content)
        if other or refused or since > OLD or (empty and since > FRESH):
            if not self._still_us(cookie):
                return True
            self._here.confirmed = self._confirmed
        return False

    def _still_us(self, cookie: str) -> bool:
        if self._credentials is None and not self._borrowed:
            return True
        name = self._name_of(cookie)
        if not self._identified and name is not None:
            self._user, self._identified = name, True
        sure = name == self._user
        if sure:
            self._confirmed = self._clock()
        return sure

    def _name_of(self, cookie: str) -> str | None:
        return entrance.who(lambda one: self._plain(one, cookie), self.server, self._user)

    def _renew(self, sending: Sending, generation: int, logins: int) -> None:
        """Log in anew, once for each request."""
        if self._borrowed:
            raise XNATLoginFailedError(
                f"{self._where(sending)}: the login session that was given is no longer alive"
            )
        if self._credentials is None:
            raise XNATLoginFailedError(
                f"{self._where(sending)}: {self.server} wants a login and there is none: "
                f"{tell_nobody(self.server)}"
            )
        if logins > 1 or not sending.rewind():
            raise XNATLoginFailedError(
                f"{self._where(sending)}: the server does not take the login of {self._user!r} "
                "(asked twice)"
            )
        self._logger.info("%s does not know us any more; logging in again", self.server)
        self._log_in(generation)

    def _wait_or_raise(
        self, sending: Sending, waits: RetryPolicy, error: XNATConnectionError
    ) -> None:
        if not sending.again and not isinstance(error, NotSentError):
            raise unclear(str(error)) from None
        self._transport.sockets.check()
        pause = waits.next_wait()
        if pause is None or not sending.rewind():
            raise error
        self._logger.info("%s; again in %.1f s", error, pause)
        self.pause(pause)

    def _later_or_raise(self, sending: Sending, waits: RetryPolicy, answer: Answer) -> None:
        """Wait for another try, or raise the error that the status means."""
        status = answer.status
        where = self._where(sending)
        if status in (502, 503, 504) and not sending.again:
            raise unclear(str(refusal(where, answer)), status)
        # 429 comes from a proxy that let nothing through, so even a POST may be sent again.
        later = status == 429 or (status in RETRIED and sending.again)
        once = status == 500 and sending.method == "GET" and sending.again
        if not later and not once:
            raise refusal(where, answer)
        after = read_retry_after(answer.headers.get("Retry-After"), self._today())
        pause = waits.next_wait(after, once=once)
        if pause is None or not sending.rewind():
            raise refusal(where, answer, after)
        self._logger.info("%s: %s; again in %.1f s", where, status, pause)
        self.pause(pause)

    def _where(self, sending: Sending) -> str:
        return f"{sending.method} {self.server}{shown(sending.path)}"

    # --- the login ----------------------------------------------------------------------------

    def _ensure(self) -> tuple[str, int]:
        """The session and its number; logs in when there is none."""
        while True:
            if self._closed:
                raise XNATNotConnectedError(f"the connection to {self.server} was closed")
            cookie, generation = self._cookie, self._generation
            if cookie is not None:
                return cookie, generation
            self._log_in(generation)

    def _log_in(self, generation: int) -> None:
        """Log in, unless another thread has done so since `generation`."""
        with self._lock:
            if self._generation != generation and self._cookie is not None:
                return
            if self._closed:
                raise XNATNotConnectedError(f"the connection to {self.server} was closed")
            if self._refused:  # a wrong password is never tried again: accounts get locked
                raise XNATLoginFailedError(self._refused)
            self._cookie = None
            if self._credentials is None:
                cookie = entrance.open_guest(self._plain, self.server)
            else:
                cookie = self._open(self._credentials)
            self._confirmed = self._clock()
            self._generation += 1
            self._cookie = cookie

    def _open(self, credentials: Credentials) -> str:
        try:
            cookie = entrance.open_session(self._plain, self.server, credentials, self._provider)
        except entrance.RefusedError as error:
            self._refused = str(error)
            raise XNATLoginFailedError(self._refused) from None
        name = self._name_of(cookie)
        # The name may be another one: of a token, or of a provider's user (S-011, S-012).
        if name is None or (name == entrance.GUEST and credentials.user != entrance.GUEST):
            raise XNATLoginFailedError(
                f"{self.server} took the login of {credentials.user!r} and does not know it: "
                "cookies are lost on the way"
            )
        self._user = name
        return cookie

    def _plain(self, sending: Sending, cookie: str | None = None) -> Answer:
        """A request of the login itself: repeated on outages, never on refusals."""
        waits = RetryPolicy(self.policy)
        while True:
            after: float | None = None
            try:
                reply = self._send(sending, cookie)
                try:
                    answer = Answer(sending.method, sending.path, reply, reply.read())
                finally:
                    reply.close()
            except XNATConnectionError as error:
                self._transport.sockets.check()
                problem: XNATConnectionError | XNATResponseError = error
            else:
                if answer.status not in RETRIED:
                    return answer
                after = read_retry_after(answer.headers.get("Retry-After"), self._today())
                problem = refusal(self._where(sending), answer, after)
            pause = waits.next_wait(after)
            if pause is None:
                raise problem
            self.pause(pause)


def _renew_after_fork() -> None:
    for connection in list(_all):
        connection._after_fork()


os.register_at_fork(after_in_child=_renew_after_fork)
