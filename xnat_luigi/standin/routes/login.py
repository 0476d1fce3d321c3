"""Sessions: `/data/JSESSION`, `/data/auth`, `/data/services/auth`, user sessions (A 1.2)."""

from __future__ import annotations

import json
import uuid

from ..access import Access, is_browser, login_page, redirect
from ..state import State
from ..wire import Answer, Params, Refusal, Request
from . import Route

__all__ = ["ROUTES"]

HTML = "text/html;charset=UTF-8"


def get_session(request: Request, state: State) -> Answer:
    """The session id; without credentials that of a new guest session."""
    if not request.session:
        request.session = state.users.open_session(request.user) or ""
    text = request.session
    if request.query.flag("CSRF"):
        text += f"; XNAT_CSRF={uuid.uuid4()}"
    return Answer.text(text)


def end_session(request: Request, state: State) -> Answer:
    """Ends the session."""
    if request.session:
        state.users.close_session(request.session)
        request.session = ""
    return Answer()


def get_auth(request: Request, state: State) -> Answer:
    """`User 'alice' is logged in`."""
    return Answer.text(f"User '{request.user}' is logged in")


def authenticate(request: Request, state: State) -> Answer:
    """Login by form; answers the id of a new session."""
    if request.body.size == 0:
        # A checked exception in the resource's constructor (wire contract A 0.3).
        raise Refusal(404)
    form = request.form() or Params.parse(request.body.read().decode("utf-8", "replace"))
    name = form.raw("username") or form.raw("j_username")
    password = form.raw("password") or form.raw("j_password") or ""
    provider = form.raw("provider") or form.raw("login_method") or form.raw("authenticatorId")
    if name is None:
        raise Refusal(401, "Authentication failed.")
    if provider not in (None, "", "localdb", "Database"):
        raise Refusal(400, f"Unknown authenticator: {provider}")
    user = Access(state).authenticate(name, password)
    session = state.users.open_session(user) if user is not None else None
    if user is None or session is None:
        raise Refusal(401, "Authentication failed.")
    request.user, request.session = user, session
    return Answer.text(session)


def no_authentication(request: Request, state: State) -> Answer:
    """GET is no way to log in: 404 (wire contract A 1.2)."""
    raise Refusal(404)


def count_sessions(request: Request, state: State) -> Answer:
    """`{"alice":3}`."""
    login = request.variables["U"]
    _check_own(request, state, login)
    return Answer(
        body=json.dumps({login: state.users.count_sessions(login)}).encode(),
        content_type="application/json",
    )


def end_sessions(request: Request, state: State) -> Answer:
    """Expires all sessions of a user."""
    login = request.variables["U"]
    _check_own(request, state, login)
    state.users.close_sessions(login)
    return Answer()


def _check_own(request: Request, state: State, login: str) -> None:
    if login != request.user and not state.rights.is_admin(request.user):
        raise Refusal(403, "You may only look at your own sessions.")
    if state.users.get(login) is None:
        raise Refusal(404)


def get_providers(request: Request, state: State) -> Answer:
    """The one authentication provider there is."""
    return Answer.json([{"name": "Database", "id": "localdb", "method": "localdb"}])


def get_root(request: Request, state: State) -> Answer:
    """The start page: guests are sent to the login page."""
    page = "Login" if request.user == "guest" else "Index"
    return redirect(f"{request.base}/app/template/{page}.vm")


def get_page(request: Request, state: State) -> Answer:
    """The pages of the user interface that clients come across."""
    page = request.variables["PAGE"]
    if page.startswith("template/Login.vm") or request.user == "guest":
        return Answer(body=login_page(), content_type=HTML)
    text = f"<!DOCTYPE html>\n<html><head><title>XNAT</title></head><body>{page}</body></html>"
    return Answer(body=text.encode(), content_type=HTML)


def get_legacy(request: Request, state: State) -> Answer:
    """`/archive/...` without `/data`: another servlet, about which the contract says nothing."""
    if request.user == "guest" and state.preferences["requireLogin"]:
        if is_browser(request.headers):
            return redirect(f"{request.base}/app/template/Login.vm")
        raise Refusal(401)
    raise Refusal(501, "The legacy servlet /archive is not determined by the wire contract.")


ROUTES = [
    Route("GET", "/data/JSESSION", get_session, archive=False, open=True),
    Route("POST", "/data/JSESSION", get_session, archive=False, open=True),
    Route("DELETE", "/data/JSESSION", end_session, archive=False, open=True),
    Route("GET", "/data/auth", get_auth, archive=False),
    Route("POST", "/data/services/auth", authenticate, archive=False, open=True),
    Route("PUT", "/data/services/auth", authenticate, archive=False, open=True),
    Route("GET", "/data/services/auth", no_authentication, archive=False, open=True),
    Route("GET", "/data/user/{U}/sessions", count_sessions),
    Route("DELETE", "/data/user/{U}/sessions", end_sessions),
    Route("GET", "/xapi/users/authProviders", get_providers),
    Route("GET", "/", get_root, open=True),
    Route("GET", "/app/{PAGE*}", get_page, open=True),
    Route("GET", "/archive/{REST*}", get_legacy, open=True),
]
