"""Subjects (wire contract A 3.2, A 5)."""

from __future__ import annotations

from ..changes import LABEL, apply_asked, move, remove_item, rename
from ..documents import Asked, justify, read_asked
from ..render.items import answer_item
from ..render.tables import table
from ..state import Item, State
from ..types import is_a
from ..wire import Answer, Refusal, Request
from . import Route
from .finding import listing, need, variable
from .places import NO_SUBJECT, maybe_subject, project_of, subject_of

__all__ = [
    "ONLY_SUBJECTS",
    "ROUTES",
    "delete_through",
    "list_shares",
    "new_subject",
    "put_share",
    "remove_share",
]


SUBJECT = "xnat:subjectData"
ONLY_SUBJECTS = "Only xnat:Subject documents can be PUT to this address."


def list_subjects(request: Request, state: State) -> Answer:
    """The subjects of a project, or all that can be read."""
    default = "ID project label insert_date insert_user"
    if "P" in request.variables:
        project = project_of(request, state).id
        items = state.items.in_project(project, "subject")
        return listing(request, state, "subject", items, default, project=project)
    projects = state.rights.readable_projects(request.user)
    if projects is not None and not projects:
        raise Refusal(500)
    return listing(request, state, "subject", state.items.all("subject"), default)


def get_subject(request: Request, state: State) -> Answer:
    """The subject's document."""
    return answer_item(request, state, subject_of(request, state))


def new_subject(request: Request, state: State, project: Item, label: str) -> Item:
    """Makes a subject."""
    if not state.rights.may(request.user, "create", project.id):
        raise Refusal(403)
    if not LABEL.fullmatch(label):
        raise Refusal(500)
    item = Item(
        kind="subject",
        id=state.items.new_id("subject", state.site_prefix()),
        label=label,
        xsi_type="xnat:subjectData",
        project=project.id,
        parent=project.pk,
    )
    return state.items.add(item, request.user)


def _asked(request: Request) -> Asked:
    asked = read_asked(request, "subject", SUBJECT)
    if not is_a(asked.xsi_type, SUBJECT):
        raise Refusal(422, ONLY_SUBJECTS)
    return asked


def put_subject(request: Request, state: State) -> Answer:
    """Makes a subject (201), changes one (200), or renames it with `label=`."""
    item = maybe_subject(request, state)
    asked = _asked(request)
    if item is None:
        if "P" not in request.variables:
            raise Refusal(404, NO_SUBJECT)
        project = project_of(request, state)
        justify(request, state, 500, text=False)
        name = request.query.raw("label") or variable(request, "S")
        item = new_subject(request, state, project, name)
        if apply_asked(item, asked):
            state.items.save(item, request.user)
        return Answer.text(item.id, 201)
    need(request, state, "edit", item)
    justify(request, state, 500, text=False)
    label = request.query.raw("label")
    if label:
        rename(state, item, label, request.user)
        return Answer.text("")
    if apply_asked(item, asked):
        state.items.save(item, request.user)
    return Answer.text(item.id)


def post_subject(request: Request, state: State) -> Answer:
    """A new subject by `POST` to the list."""
    project = project_of(request, state)
    asked = _asked(request)
    label = request.parameters().raw("label") or asked.identity.get("label", "")
    if state.items.by_label(project.id, label, "subject") is not None:
        raise Refusal(409)
    justify(request, state, 500, text=False)
    item = new_subject(request, state, project, label)
    asked.identity.clear()
    if apply_asked(item, asked):
        state.items.save(item, request.user)
    site = state.preferences["siteUrl"] or request.base
    url = f"{site}/data/projects/{project.id}/subjects/{item.id}"
    answer = Answer.text(url)
    answer.headers.append(("Location", url))
    return answer


def delete_through(request: Request, state: State, item: Item) -> Answer:
    """Deletes an item, or takes back its share where the project has only that (A 5.4, 5.6)."""
    if state.preferences["preventDataDeletion"]:
        raise Refusal(403, "User account cannot delete experiments")
    project = variable(request, "P")
    if project and project != item.project:
        _unshare(state, item, project)
        return Answer.text("")
    need(request, state, "delete", item)
    justify(request, state, 403)
    remove_item(state, item, request.query.flag("removeFiles"))
    return Answer.text("")


def delete_subject(request: Request, state: State) -> Answer:
    """Deletes a subject with its experiments."""
    if "P" in request.variables and state.items.project(variable(request, "P")) is None:
        raise Refusal(400)
    return delete_through(request, state, subject_of(request, state))


# Sharing -----------------------------------------------------------------------------------------


def list_shares(request: Request, state: State, item: Item) -> Answer:
    """The projects an item is in."""
    rows = []
    for project, label in [(item.project, item.label), *state.items.shares(item)]:
        found = state.items.by_id(project, "project")
        if found is not None and state.rights.may(request.user, "read", project):
            rows.append(
                {
                    "label": label or item.label,
                    "ID": project,
                    "Secondary_ID": found.fields.get("secondary_ID"),
                    "Name": found.fields.get("name"),
                }
            )
    return table(request, ("label", "ID", "Secondary_ID", "Name"), rows)


def put_share(request: Request, state: State, item: Item) -> Answer:
    """Shares an item into a project, or moves it there with `primary=true`."""
    name = variable(request, "P2")
    project = state.items.project(name)
    if project is None or not state.rights.may(request.user, "read", project.id):
        raise Refusal(404, f"Unable to identify project: {name}")
    if not state.rights.may(request.user, "create", project.id):
        raise Refusal(403)
    label = request.query.raw("label") or ""
    if request.query.flag("primary"):
        need(request, state, "edit", item)
        move(state, item, request.user, project=project.id)
        return Answer.text("")
    taken = project.id == item.project or any(p == project.id for p, _ in state.items.shares(item))
    if taken:
        raise Refusal(409, f"Already assigned to project:{project.id}")
    kinds = ("subject",) if item.kind == "subject" else ("experiment", "assessor")
    if state.items.by_label(project.id, label or item.label, *kinds) is not None:
        raise Refusal(409, f"Label already in use:{label or item.label}")
    justify(request, state, 500, text=False)
    state.items.share(item, project.id, label)
    return Answer.text("")


def remove_share(request: Request, state: State, item: Item) -> Answer:
    """Takes a share back."""
    project = variable(request, "P2")
    if not state.rights.may(request.user, "edit", project):
        raise Refusal(403)
    if not _unshare(state, item, project):
        raise Refusal(404)
    return Answer.text("")


def _unshare(state: State, item: Item, project: str) -> bool:
    """Takes a share back; refused while something of that project hangs below (A 5.4)."""
    if any(one.project == project for one in state.items.below(item, "experiment", "assessor")):
        raise Refusal(403, f"Items of project {project} hang below this one.")
    return state.items.unshare(item, project)


_S = "/data/projects/{P}/subjects"
ROUTES = [
    Route("GET", _S, list_subjects),
    Route("POST", _S, post_subject),
    Route("GET", "/data/subjects", list_subjects),
]
for _one in (_S + "/{S}", "/data/subjects/{S}"):
    ROUTES += [
        Route("GET", _one, get_subject),
        Route("PUT", _one, put_subject),
        Route("DELETE", _one, delete_subject),
        Route("GET", _one + "/projects", lambda r, s: list_shares(r, s, subject_of(r, s))),
        Route("PUT", _one + "/projects/{P2}", lambda r, s: put_share(r, s, subject_of(r, s))),
        Route("DELETE", _one + "/projects/{P2}", lambda r, s: remove_share(r, s, subject_of(r, s))),
    ]
