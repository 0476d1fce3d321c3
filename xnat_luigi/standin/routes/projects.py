"""Projects and their settings (wire contract A 3.2, A 5)."""

from __future__ import annotations

from typing import Any

from ..changes import LABEL, apply_asked, remove_item
from ..documents import read_asked
from ..render.items import answer_item
from ..render.tables import table
from ..state import Item, State
from ..types import is_a
from ..wire import Answer, Refusal, Request
from . import Route
from .finding import listing, need, variable
from .places import project_of

__all__ = ["ROUTES"]

_OTHER = [
    "accessible",
    "data",
    "owner",
    "member",
    "collaborator",
    "users",
    "admin",
    "recent",
    "favorite",
    "activeSince",
]


def list_projects(request: Request, state: State) -> Answer:
    """The projects the caller may read; another family of columns with some parameters."""
    items = list(state.items.all("project"))
    if any(name in request.query for name in [*_OTHER, "prearc_code", "permissions", "restrict"]):
        return _display(request, state, items)
    return listing(
        request,
        state,
        "project",
        items,
        "ID secondary_ID name description pi_firstname pi_lastname",
        filtered=state.rights.is_admin(request.user),
        paged=False,
    )


def _display(request: Request, state: State, items: list[Item]) -> Answer:
    wanted = {"edit": "edit", "delete": "delete"}.get(request.query.raw("restrict") or "", "read")
    rows: list[dict[str, Any]] = []
    for item in items:
        if not state.rights.may(request.user, wanted, item.id):
            continue
        role = state.users.role(item.id, request.user)
        if any(request.query.flag(name) and role != name for name in ("owner", "member")):
            continue
        account = state.users.get(request.user)
        rows.append(
            {
                "id": item.id,
                "secondary_id": item.fields.get("secondary_ID"),
                "name": item.fields.get("name"),
                "description": item.fields.get("description"),
                "project_access": state.rights.accessibility(item.id).capitalize(),
                "insert_date": item.inserted,
                "insert_user": item.inserter,
                f"user_role_{account.number if account else 0}": f"{role.capitalize()}s"
                if role
                else "",
                "URI": f"/data/projects/{item.id}",
            }
        )
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["id", "URI"]
    return table(request, names, rows, title="Projects")


def get_project(request: Request, state: State) -> Answer:
    """The project's document."""
    return answer_item(request, state, project_of(request, state))


def put_project(request: Request, state: State) -> Answer:
    """Makes a project or changes one."""
    name = variable(request, "P")
    item = state.items.project(name)
    asked = read_asked(request, "project", "xnat:projectData")
    if asked.identity.get("ID", name) != name:
        raise Refusal(
            417,
            "The project ID for the REST call must match the project ID in the submitted document.",
        )
    if not is_a(asked.xsi_type, "xnat:projectData"):
        raise Refusal(422, "Only xnat:Project documents can be PUT to this address.")
    asked.identity.clear()
    asked.replace = False  # an existing project only takes additions (A 5.2)
    if item is not None:
        need(request, state, "edit", item)
        if apply_asked(item, asked):
            state.items.save(item, request.user)
        return Answer.text("")
    if request.user == "guest" or not (
        state.rights.is_admin(request.user) or state.preferences["uiAllowNonAdminProjectCreation"]
    ):
        raise Refusal(403)
    _check_new(state, name)
    item = Item(kind="project", id=name, xsi_type="xnat:projectData", project=name)
    apply_asked(item, asked)
    item.fields.setdefault("name", name)
    item.fields.setdefault("secondary_ID", name)
    for other in state.items.all("project"):
        known = {other.id, str(other.fields.get("name")), str(other.fields.get("secondary_ID"))}
        mine = {name, str(item.fields["name"]), str(item.fields["secondary_ID"])}
        if {one.lower() for one in known} & {one.lower() for one in mine}:
            raise Refusal(409)
    state.items.add(item, request.user)
    state.users.set_role(name, request.user, "owner")
    return Answer.text("")


def _check_new(state: State, name: str) -> None:
    if not LABEL.fullmatch(name):
        raise Refusal(417, "Invalid character in project ID.")
    if state.store.value("SELECT 1 FROM used_project WHERE id = ?", name):
        raise Refusal(
            403,
            f"Project '{name}' was used in a previously deleted project and cannot be reused.",
        )


def post_project(request: Request, state: State) -> Answer:
    """`POST /data/projects` with an `ID`."""
    name = request.parameters().raw("ID") or request.parameters().raw("id") or ""
    request.variables["P"] = name
    if state.items.project(name) is not None:
        raise Refusal(409)
    put_project(request, state)
    site = state.preferences["siteUrl"] or request.base
    url = f"{site}/data/projects/{name}"
    answer = Answer.text(url)
    answer.headers.append(("Location", url))
    return answer


def delete_project(request: Request, state: State) -> Answer:
    """Deletes a project with all that is in it; its ID stays used."""
    item = state.items.project(variable(request, "P"))
    if item is None:
        raise Refusal(404)
    need(request, state, "delete", item)
    remove_item(state, item, request.query.flag("removeFiles"))
    return Answer.text("")


def list_users(request: Request, state: State) -> Answer:
    """Who belongs to a project."""
    item = project_of(request, state)
    rows = []
    for login, role in state.users.members(item.id):
        user = state.users.get(login)
        if user is not None:
            rows.append(
                {
                    "GROUP_ID": f"{item.id}_{role}",
                    "displayname": f"{role.capitalize()}s",
                    "login": login,
                    "firstname": user.first_name,
                    "lastname": user.last_name,
                    "email": user.email,
                }
            )
    names = ("GROUP_ID", "displayname", "login", "firstname", "lastname", "email")
    return table(request, names, rows)


def change_user(request: Request, state: State) -> Answer:
    """Gives somebody a role in a project, or takes it back."""
    item = project_of(request, state)
    need(request, state, "manage", item)
    role = variable(request, "GROUP").rpartition("_")[2].lower().rstrip("s")
    try:
        state.users.set_role(
            item.id, variable(request, "U"), None if request.method == "DELETE" else role
        )
    except ValueError:
        raise Refusal(404) from None
    return list_users(request, state)


_P = "/data/projects/{P}"
ROUTES = [
    Route("GET", "/data/projects", list_projects),
    Route("POST", "/data/projects", post_project),
    Route("GET", _P, get_project),
    Route("PUT", _P, put_project),
    Route("DELETE", _P, delete_project),
    Route("GET", f"{_P}/users", list_users, archive=False),
    Route("PUT", f"{_P}/users/{{GROUP}}/{{U}}", change_user, archive=False),
    Route("DELETE", f"{_P}/users/{{GROUP}}/{{U}}", change_user, archive=False),
]
