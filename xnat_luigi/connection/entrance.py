"""The login itself: how a session is opened, who it belongs to, and what a refusal means.

Source: wire contract A 1.1 to A 1.3. Nothing is kept here; `login.Connection` keeps the session.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .. import uris
from ..exceptions import XNATExpiredCredentialsError, XNATLoginFailedError, XNATResponseError
from .answer import Answer, detail_of, is_login_page, is_page
from .asking import Sending, elsewhere
from .credentials import Credentials, tell_nobody

__all__ = [
    "GUEST",
    "RefusedError",
    "check_not_sent_away",
    "is_lost",
    "open_guest",
    "open_session",
    "who",
]

GUEST = "guest"
_LOGGED_IN = re.compile(r"User '([^']*)' is logged in")
_SESSION = re.compile(r"[0-9A-Za-z.-]{8,128}")
_Ask = Callable[[Sending], Answer]


class RefusedError(XNATLoginFailedError):
    """User and password are not taken: asking again could lock the account."""


def open_session(
    ask: _Ask, server: str, credentials: Credentials, provider: str | None = None
) -> str:
    """Log in with user and password and return the session (A 1.2, F-01).

    Raises
    ------
    RefusedError
        Wrong user or password, or too many sessions.
    XNATLoginFailedError
        A disabled account, a site that is not set up, a page in place of a session.
    XNATExpiredCredentialsError
        The password has to be renewed.
    XNATResponseError
        The server does not speak like an XNAT.
    """
    form = [("username", credentials.user), ("password", credentials.password)]
    if provider:
        form.append(("provider", provider))
    # Repeated on outages: a login that was answered into the void leaves a session behind that
    # ends by itself, which is better than a night's work that ends.
    answer = ask(Sending("PUT", uris.LOGIN, form=form))
    if answer.status == 401:
        raise RefusedError(
            f"{server} refuses user {credentials.user!r} (from {credentials.source}): wrong "
            "password, or too many open sessions. Not tried again, since accounts get locked"
        )
    check_not_sent_away(server, credentials.user, answer)
    if answer.status == 403:  # the site is not set up, the password has expired, ... (A 0.3, A 1.3)
        said = detail_of(answer.content)
        if "expired" in said.lower():
            raise XNATExpiredCredentialsError(
                f"the password of {credentials.user!r} at {server} has expired: renew it there"
            )
        raise XNATLoginFailedError(f"{server} refuses user {credentials.user!r}: {said or '403'}")
    if answer.status == 400 and provider:
        raise XNATLoginFailedError(f"{server} does not know the login provider {provider!r}")
    if answer.status != 200:
        raise _no_xnat(server, answer)
    return _session_in(answer, server)


def open_guest(ask: _Ask, server: str) -> str:
    """Open a session of nobody in particular (S-002, A 1.2), so that not each request opens one."""
    answer = ask(Sending("GET", uris.JSESSION))
    check_not_sent_away(server, GUEST, answer)
    if answer.status == 401:
        raise XNATLoginFailedError(
            f"{server} wants a login and there is none: {tell_nobody(server)}"
        )
    if answer.status != 200:
        raise _no_xnat(server, answer)
    return _session_in(answer, server)


def _no_xnat(server: str, answer: Answer) -> XNATResponseError:
    where = elsewhere(answer)
    hint = f"use that address if it is right: {where}" if where else "is this an XNAT server?"
    return XNATResponseError(
        f"{answer.method} {server}{answer.path}: {answer.status}; {hint}",
        status=answer.status,
        method=answer.method,
        path=answer.path,
    )


def _session_in(answer: Answer, server: str) -> str:
    session = answer.text.split(";")[0].strip()
    if is_page(answer.content[:512]) or not _SESSION.fullmatch(session):
        raise XNATLoginFailedError(
            f"{server} answers the login with something that is no session; is this the address "
            "of an XNAT server?"
        )
    return session


def who(ask: _Ask, server: str, user: str) -> str | None:
    """Return the name behind a session, which `ask` sends; None when the server knows it no more.

    Source: A 1.2, `GET /data/auth`; its answer to a guest says `guest`.
    """
    answer = ask(Sending("GET", uris.AUTH))
    check_not_sent_away(server, user, answer)
    if answer.status in (200, 401, 403) or answer.status in range(300, 400):
        found = _LOGGED_IN.search(answer.text) if answer.status == 200 else None
        return found.group(1) if found else None
    raise XNATResponseError(
        f"GET {server}{uris.AUTH}: {answer.status}; the server does not say who we are",
        status=answer.status,
        method="GET",
        path=uris.AUTH,
    )


def check_not_sent_away(server: str, user: str, answer: Answer) -> None:
    """Raise when a redirect says that the account cannot be used (A 1.3)."""
    if answer.status not in (301, 302, 303):
        return
    where = answer.headers.get("Location", "")
    if "UpdateUser" in where:
        raise XNATExpiredCredentialsError(
            f"the password of {user!r} at {server} has expired: renew it on the server's web page"
        )
    if "InactiveAccount" in where:
        raise XNATLoginFailedError(f"the account {user!r} at {server} is disabled")


def is_lost(answer: Answer) -> bool:
    """Whether the answer says that our session is no more (A 1.3)."""
    if answer.status in (301, 302, 303):
        return "Login.vm" in answer.headers.get("Location", "")
    return answer.status == 401 or (answer.status == 200 and is_login_page(answer.content))
