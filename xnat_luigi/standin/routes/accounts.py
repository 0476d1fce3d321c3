"""Tokens and users (wire contract B 8)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from ..render.tables import table
from ..state import State, User
from ..state.tokens import Token, Tokens
from ..wire import Answer, Refusal, Request
from . import Route

__all__ = ["ROUTES"]

_JSON = "application/json"


# --- tokens -----------------------------------------------------------------------------------


def _json(document: object) -> Answer:
    return Answer.text(json.dumps(document), content_type=_JSON)


def get_token(request: Request, state: State) -> Answer:
    """`issue`, `validate`, `invalidate`, `show`; anything else is 400."""
    if request.user == "guest":
        raise Refusal(401)
    operations = {
        "issue": _issue,
        "validate": _validate,
        "invalidate": _invalidate,
        "show": _show,
    }
    operation = operations.get(request.variables["OPERATION"])
    if operation is None:
        raise Refusal(400, f"Unknown operation: {request.variables['OPERATION']}")
    words = [unquote(word) for word in request.remainder.split("/") if word]
    return operation(request, state, words)


def _subject(request: Request, state: State, words: list[str]) -> str:
    """The user a call is about: the caller, or `/user/U` for administrators."""
    if words[:1] != ["user"] or len(words) < 2:
        return request.user
    if words[1] != request.user and not state.rights.is_admin(request.user):
        raise Refusal(403, "Only administrators can handle other users' tokens.")
    if state.users.get(words[1]) is None:
        raise Refusal(404, f"Unknown user: {words[1]}")
    return words[1]


def _issue(request: Request, state: State, words: list[str]) -> Answer:
    if words[:1] == ["user"] and not state.rights.is_admin(request.user):
        raise Refusal(403, "Only administrators can issue tokens for other users.")
    token = state.part(Tokens).issue(_subject(request, state, words))
    return _json(token.document())


def _own_token(request: Request, state: State, alias: str) -> Token:
    token = state.part(Tokens).find(alias)
    if token is None:
        raise Refusal(404, "Unknown token.")
    if token.login != request.user and not state.rights.is_admin(request.user):
        raise Refusal(403, "This token belongs to another user.")
    return token


def _validate(request: Request, state: State, words: list[str]) -> Answer:
    """`{"valid": login}`; a wrong secret leaves `valid` out, with status 200."""
    if len(words) < 2:
        raise Refusal(401 if words else 400)
    token = _own_token(request, state, words[0])
    login = state.part(Tokens).check(token.alias, words[1])
    return _json({"valid": login} if login else {})


def _invalidate(request: Request, state: State, words: list[str]) -> Answer:
    if not words:
        raise Refusal(400)
    token = _own_token(request, state, words[0])
    state.part(Tokens).remove(token.alias)
    return _json({"result": "OK"})


def _show(request: Request, state: State, words: list[str]) -> Answer:
    login = _subject(request, state, words)
    return _json([token.document() for token in state.part(Tokens).of(login)])


# --- users ------------------------------------------------------------------------------------

USER_COLUMNS = ("xdat_user_id", "login", "firstname", "lastname", "email")


def list_users(request: Request, state: State) -> Answer:
    """Enabled users as a table; administrators only where the site says so."""
    restricted = state.preferences.get("restrictUserListAccessToAdmins", False)
    if restricted and not state.rights.is_admin(request.user):
        raise Refusal(403)
    lines = [
        {
            "xdat_user_id": str(user.number),
            "login": user.login,
            "firstname": user.first_name,
            "lastname": user.last_name,
            "email": user.email,
        }
        for user in state.users.all()
        if user.enabled
    ]
    return table(request, USER_COLUMNS, lines)


def _document(user: User) -> dict[str, Any]:
    """A user as `/xapi/users` shows it; times of accounts are not kept, so they are null."""
    return {
        "id": user.number,
        "username": user.login,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "email": user.email,
        "enabled": user.enabled,
        "verified": user.verified,
        "secured": True,
        "lastModified": None,
        "lastSuccessfulLogin": None,
        "authorization": None,
    }


def _admin(request: Request, state: State) -> None:
    if not state.rights.is_admin(request.user):
        raise Refusal(403)


def _account(request: Request, state: State) -> User:
    user = state.users.get(unquote(request.variables["USER"]))
    if user is None:
        raise Refusal(404)
    return user


def _self_or_admin(request: Request, state: State) -> User:
    if unquote(request.variables["USER"]) != request.user:
        _admin(request, state)
    return _account(request, state)


def list_names(request: Request, state: State) -> Answer:
    """The logins as a JSON array."""
    return Answer.json([user.login for user in state.users.all()])


def list_profiles(request: Request, state: State) -> Answer:
    _admin(request, state)
    return Answer.json([_document(user) for user in state.users.all()])


def list_active(request: Request, state: State) -> Answer:
    """Users with live server sessions: login -> count. The real shape holds session ids too."""
    _admin(request, state)
    counts = {user.login: state.users.count_sessions(user.login) for user in state.users.all()}
    return Answer.json(
        {login: {"count": count, "sessions": []} for login, count in counts.items() if count}
    )


def get_current(request: Request, state: State) -> Answer:
    user = state.users.get(request.user)
    if user is None:
        raise Refusal(401)
    return Answer.json(_document(user))


def get_user(request: Request, state: State) -> Answer:
    return Answer.json(_document(_self_or_admin(request, state)))


def create_user(request: Request, state: State) -> Answer:
    """201 with the new user; administrators only."""
    _admin(request, state)
    given = _body(request)
    login, password = str(given.get("username") or ""), str(given.get("password") or "")
    if not login or not password:
        raise Refusal(400, "username and password are required.")
    if state.users.get(login) is not None:
        raise Refusal(409, f"The user {login} exists already.")
    state.users.add(
        login,
        password,
        email=str(given.get("email") or ""),
        first_name=str(given.get("firstName") or ""),
        last_name=str(given.get("lastName") or ""),
    )
    _change(state, login, given)
    user = state.users.get(login)
    assert user is not None
    return Answer.json(_document(user), status=201)


def _body(request: Request) -> dict[str, Any]:
    try:
        document = json.loads(request.body.read())
    except ValueError:
        raise Refusal(400, "The body is no JSON.") from None
    if not isinstance(document, dict):
        raise Refusal(400, "The body is no JSON object.")
    return document


_SETTABLE = {
    "email": "email",
    "firstName": "first_name",
    "lastName": "last_name",
    "enabled": "enabled",
    "verified": "verified",
}


def _change(state: State, login: str, given: dict[str, Any]) -> bool:
    """Sets what differs; whether anything did."""
    user = state.users.get(login)
    assert user is not None
    changed = {
        column: given[key]
        for key, column in _SETTABLE.items()
        if given.get(key) is not None and given[key] != getattr(user, column)
    }
    if given.get("password"):
        changed["password"] = given["password"]
    if changed:
        state.users.set(login, **changed)
    return bool(changed)


def update_user(request: Request, state: State) -> Answer:
    """200, or 304 when nothing changed."""
    user = _self_or_admin(request, state)
    given = _body(request)
    if not state.rights.is_admin(request.user):
        given = {key: value for key, value in given.items() if key not in {"enabled", "verified"}}
    if not _change(state, user.login, given):
        return Answer(304, content_type=None)
    return get_user(request, state)


def get_flag(request: Request, state: State) -> Answer:
    user = _self_or_admin(request, state)
    return Answer.json(getattr(user, request.path.rpartition("/")[2]))


def put_flag(request: Request, state: State) -> Answer:
    """`/enabled/{flag}` and `/verified/{flag}`."""
    _admin(request, state)
    user = _account(request, state)
    name = request.path.rstrip("/").split("/")[-2]
    wanted = request.variables["FLAG"].lower() == "true"
    if getattr(user, name) == wanted:
        return Answer(304, content_type=None)
    state.users.set(user.login, **{name: wanted})
    return Answer.json(wanted)


def get_roles(request: Request, state: State) -> Answer:
    user = _self_or_admin(request, state)
    return Answer.json(["Administrator"] if user.admin else [])


def get_groups(request: Request, state: State) -> Answer:
    """`PROJECT_owner`, `PROJECT_member`, `PROJECT_collaborator`."""
    user = _self_or_admin(request, state)
    return Answer.json([f"{project}_{role}" for project, role in _memberships(state, user.login)])


def _memberships(state: State, login: str) -> list[tuple[str, str]]:
    found = (
        (project.id, state.users.role(project.id, login)) for project in state.items.all("project")
    )
    return [(project, role) for project, role in found if role]


def change_group(request: Request, state: State) -> Answer:
    """PUT adds the user to a group, DELETE takes it out."""
    _admin(request, state)
    user = _account(request, state)
    project, _, role = unquote(request.variables["GROUP"]).rpartition("_")
    if state.items.by_id(project, "project") is None:
        raise Refusal(404)
    try:
        state.users.set_role(project, user.login, role if request.method == "PUT" else None)
    except ValueError:
        raise Refusal(404) from None
    return get_groups(request, state)


def get_projects(request: Request, state: State) -> Answer:
    user = _self_or_admin(request, state)
    return Answer.json([project for project, _ in _memberships(state, user.login)])


def set_up(state: State) -> None:
    """Lets aliases and secrets of tokens log in like names and passwords."""
    state.authenticators.append(state.part(Tokens).check)


_USER = "/xapi/users/{USER}"
ROUTES = [
    Route("GET", "/data/services/tokens/{OPERATION}", get_token, archive=False),
    Route("GET", "/data/users", list_users, archive=False),
    Route("GET", "/xapi/users", list_names),
    Route("POST", "/xapi/users", create_user),
    Route("GET", "/xapi/users/current", get_current),
    Route("GET", "/xapi/users/active", list_active),
    Route("GET", "/xapi/users/profiles", list_profiles),
    Route("GET", "/xapi/users/profile", get_current),
    Route("GET", "/xapi/users/profile/{USER}", get_user),
    Route("GET", _USER, get_user),
    Route("PUT", _USER, update_user),
    Route("GET", _USER + "/enabled", get_flag),
    Route("GET", _USER + "/verified", get_flag),
    Route("PUT", _USER + "/enabled/{FLAG}", put_flag),
    Route("PUT", _USER + "/verified/{FLAG}", put_flag),
    Route("GET", _USER + "/roles", get_roles),
    Route("GET", _USER + "/groups", get_groups),
    Route("PUT", _USER + "/groups/{GROUP}", change_group),
    Route("DELETE", _USER + "/groups/{GROUP}", change_group),
    Route("GET", _USER + "/projects", get_projects),
]
