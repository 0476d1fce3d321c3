"""Who is asking: Basic, cookie, alias token, guest; what the unknown get (wire contract A 1)."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

from .state import State
from .wire import Answer, Refusal, Request, status_page

__all__ = ["LOGIN_PAGE", "Access", "csrf_token", "is_browser", "login_page"]

BROWSERS = re.compile(r"MSIE|Mozilla|AppleWebKit|Opera")
LOGIN_PAGE = "/app/template/Login.vm"
GUARDED = ("/data", "/REST", "/xapi", "/fs", "/schemas")
REFUSED = (
    "Login attempt failed. Please check your username and password and try again. It is also "
    "possible that too many sessions are open for this account. After a number of failed attempts "
    "the account is locked."
)


def is_browser(headers: Mapping[str, str]) -> bool:
    """Whether the User-Agent looks like a browser's (wire contract A 1.3)."""
    return bool(BROWSERS.search(headers.get("user-agent", "")))


def login_page() -> bytes:
    """The login page that browsers (and lost sessions) see with status 200."""
    return (
        b"<!DOCTYPE html>\n<html>\n<head><title>XNAT</title></head>\n<body>\n"
        b"<!-- BEGIN xnat-templates/screens/Login.vm -->\n<form id='login_form' method='post' "
        b"action='/login'>\n<input name='username'><input name='password' type='password'>\n"
        b"</form>\n<!-- END xnat-templates/screens/Login.vm -->\n</body>\n</html>\n"
    )


class Access:
    """Finds the user of a request; `check()` answers when the request goes no further."""

    def __init__(self, state: State, context: str = "") -> None:
        self.state = state
        self.context = context

    def check(self, request: Request, *, open_address: bool) -> Answer | None:
        """Sets `request.user` and `request.session`.

        Returns: the refusal, or None when the handler may go on.
        """
        if self.state.preferences["securityChannel"] == "https":
            return redirect(self._secure(request))
        given = request.headers.get("authorization", "")
        session = read_cookie(request.headers, "JSESSIONID")
        login = self.state.users.use_session(session) if session else None
        request.session = session if login is not None else ""
        request.user = login or "guest"
        if given.lower().startswith("basic "):
            refusal = self._basic(request, given[6:], login)
            if refusal is not None:
                return refusal
            if not self.state.preferences["initialized"]:
                return Answer.text("Site has not yet been configured.", 403)
        guarded = request.path.startswith(GUARDED)
        if guarded and not open_address:
            self._check_token(request)
        if request.user != "guest":
            return self._check_account(request)
        if open_address or not guarded or not self.state.preferences["requireLogin"]:
            return None
        return self.challenge(request)

    @staticmethod
    def _secure(request: Request) -> str:
        query = f"?{urlencode(request.query.pairs)}" if request.query else ""
        plain = request.base.removeprefix("http://")
        return f"https://{plain}{request.path}{query}"

    def _check_token(self, request: Request) -> None:
        """The CSRF token, asked of browsers only (wire contract A 1.3).

        Raises: `Refusal` 500.
        """
        if not self.state.preferences["enableCsrfToken"] or not is_browser(request.headers):
            return
        if request.method in ("POST", "PUT", "DELETE") and (
            request.query.raw("XNAT_CSRF") != csrf_token(request.session)
        ):
            raise Refusal(500, "Invalid CSRF token.")

    def _basic(self, request: Request, encoded: str, login: str | None) -> Answer | None:
        try:
            pair = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return self.refuse()
        name, colon, password = pair.partition(":")
        if not colon:
            return self.refuse()
        user = self.authenticate(name, password)
        if user is None:
            return self.refuse()
        if user != login:
            opened = self.state.users.open_session(user)
            if opened is None:
                return self.refuse()
            request.session = opened
        request.user = user
        return None

    def authenticate(self, name: str, password: str) -> str | None:
        """The login that a pair stands for, or None; knows passwords and alias tokens."""
        name = name.rpartition("/")[2]  # `provider/username`
        if _is_uuid(name):
            for ask in self.state.authenticators:
                found = ask(name, password)
                if found is not None:
                    return found
            return None
        return name if self.state.users.check_password(name, password) else None

    def _check_account(self, request: Request) -> Answer | None:
        user = self.state.users.get(request.user)
        page = None
        if user is None or not user.enabled:
            page = "/app/template/InactiveAccount.vm"
        elif user.expired and not request.path.startswith("/app/"):
            page = "/app/template/XDATScreen_UpdateUser.vm"
        if page is None or request.path.startswith("/app/"):
            return None
        return redirect(f"{request.base}{page}")

    def challenge(self, request: Request) -> Answer:
        """What a guest gets where a login is needed: 401, or the login page for browsers."""
        if is_browser(request.headers):
            return redirect(f"{request.base}{LOGIN_PAGE}")
        return self.refuse("The request requires user authentication")

    def refuse(self, message: str = REFUSED) -> Answer:
        """A 401 with the Basic challenge."""
        return Answer(
            status=401,
            body=status_page(401, message),
            content_type="text/html",
            headers=[("WWW-Authenticate", 'Basic realm="XNAT Protected Area"')],
        )

    def cookies(self, request: Request) -> list[str]:
        """The Set-Cookie values of every answer (wire contract A 1.2)."""
        path = self.context or "/"
        found = [self.expiry_cookie()]
        if request.session and request.session != read_cookie(request.headers, "JSESSIONID"):
            found.append(f"JSESSIONID={request.session}; Path={path}; HttpOnly")
        return found

    def expiry_cookie(self) -> str:
        """When the session ends, in the server's own quoting."""
        limit = int(self.state.preferences["sessionTimeout"] * 1000)
        now = int(self.state.clock.time() * 1000)
        path = self.context or "/"
        return f'SESSION_EXPIRATION_TIME="{now},{limit}"; Version=1; Path={path}'


def csrf_token(session: str) -> str:
    """The token that belongs to a session."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, session))


def redirect(target: str) -> Answer:
    """A 302."""
    return Answer(status=302, content_type=None, headers=[("Location", target)])


def read_cookie(headers: Mapping[str, str], name: str) -> str:
    """A cookie's value, "" when it was not sent."""
    return cookie_value(headers.get("cookie", ""), name)


def cookie_value(text: str, name: str) -> str:
    """A value in the text of a Cookie header, "" where there is none."""
    if name not in text:
        return ""
    for piece in text.split(";"):
        key, _, value = piece.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return "-" in text
