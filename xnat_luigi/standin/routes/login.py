"""Logging in and out (wire contract A 1.2)."""

from __future__ import annotations

from ..access import Access, csrf_token
from ..state import State
from ..wire import Answer, Params, Refusal, Request
from . import Route

__all__ = ["ROUTES"]

PROVIDERS = ("localdb",)
"""XNAT's own accounts are behind this one; the stand-in has no other"""


def get_session(request: Request, state: State) -> Answer:
    """`/data/JSESSION`: the session's id; guests get one too."""
    if not request.session:
        opened = state.users.open_session(request.user)
        if opened is None:
            raise Refusal(401)
        request.session = opened
    text = request.session
    if request.query.flag("CSRF"):
        text += f"; XNAT_CSRF={csrf_token(request.session)}"
    return Answer.text(text)


def delete_session(request: Request, state: State) -> Answer:
    """Ends the session."""
    if request.session:
        state.users.close_session(request.session)
        request.session = ""
    return Answer.text("")


def login(request: Request, state: State) -> Answer:
    """`/data/services/auth` with a form."""
    form = request.form()
    if not form and request.body.size:
        form = Params.parse(request.body.read().decode("utf-8", "replace"))
    name = form.raw("username") or form.raw("j_username")
    password = form.raw("password") or form.raw("j_password")
    if not name or password is None:
        raise Refusal(404)
    provider = form.raw("provider") or form.raw("login_method") or form.raw("authenticatorId")
    if provider and provider not in PROVIDERS:
        raise Refusal(400, "Unknown authentication provider.")
    user = Access(state).authenticate(name, password)
    if user is None:
        raise Refusal(401, "Authentication failed.")
    opened = state.users.open_session(user)
    if opened is None:
        raise Refusal(401, "Authentication failed.")
    request.user, request.session = user, opened
    return Answer.text(opened)


def who(request: Request, state: State) -> Answer:
    """`/data/auth`."""
    return Answer.text(f"User '{request.user}' is logged in")


def absent(request: Request, state: State) -> Answer:
    """`GET /data/services/auth` and `/data/version`."""
    raise Refusal(404)


def count_sessions(request: Request, state: State) -> Answer:
    """`/data/user/U/sessions`."""
    user = request.variables["U"]
    if user != request.user and not state.rights.is_admin(request.user):
        raise Refusal(403)
    if request.method == "DELETE":
        state.users.close_sessions(user)
        return Answer.text("")
    return Answer.json({user: state.users.count_sessions(user)})


def page(request: Request, state: State) -> Answer:
    """The pages that browsers and lost sessions are sent to."""
    from ..access import login_page

    return Answer(body=login_page(), content_type="text/html")


ROUTES = [
    Route("GET", "/data/JSESSION", get_session, archive=False, open=True),
    Route("POST", "/data/JSESSION", get_session, archive=False, open=True),
    Route("DELETE", "/data/JSESSION", delete_session, archive=False, open=True),
    Route("GET", "/data/services/auth", absent, archive=False, open=True),
    Route("PUT", "/data/services/auth", login, archive=False, open=True),
    Route("POST", "/data/services/auth", login, archive=False, open=True),
    Route("GET", "/data/auth", who, archive=False),
    Route("GET", "/data/user/{U}/sessions", count_sessions, archive=False),
    Route("DELETE", "/data/user/{U}/sessions", count_sessions, archive=False),
    Route("GET", "/app/template/{PAGE}", page, open=True),
]
