"""Experiments and assessors (wire contract A 3.2, A 5)."""

from __future__ import annotations

from collections.abc import Iterator

from ..changes import LABEL, apply_asked, move, remove_item, rename
from ..documents import Asked, justify, read_asked
from ..render.items import answer_item
from ..state import Item, State
from ..state.rights import LOCKED
from ..types import is_a, knows
from ..wire import Answer, Refusal, Request
from . import Route
from .finding import listing, need, variable
from .places import (
    NO_EXPERIMENT,
    assessor_of,
    experiment_of,
    maybe_assessor,
    maybe_experiment,
    maybe_subject,
    project_of,
    subject_of,
)
from .scans import store_scan
from .subjects import (
    ONLY_SUBJECTS,
    delete_through,
    list_shares,
    new_subject,
    put_share,
    remove_share,
)

__all__ = ["ROUTES"]

_DEFAULT = "ID project date xsiType label insert_date"
_LISTED = _DEFAULT + " xnat:subjectassessordata/id"


def list_all(request: Request, state: State) -> Answer:
    """`/data/experiments`."""
    kind = request.query.raw("xsiType") or ""
    default = _DEFAULT
    if kind and is_a(kind, "xnat:subjectAssessorData"):
        default += " subject_ID subject_label"
    if kind and is_a(kind, "xnat:imageAssessorData"):
        default += " session_ID session_label"
    items = state.items.all("experiment", "assessor")
    return listing(
        request,
        state,
        "experiment",
        items,
        default,
        _extra(kind),
        title="Matching experiments",
    )


def _extra(kind: str) -> str:
    abstract = ("", "xnat:experimentData", "xnat:subjectAssessorData", "xnat:imageSessionData")
    return "ID xsiType project" if kind in abstract else "ID"


def list_of_project(request: Request, state: State) -> Answer:
    """The experiments of a project; its assessors are not among them."""
    project = project_of(request, state).id
    items = state.items.in_project(project, "experiment")
    kind = request.query.raw("xsiType") or ""
    if kind and is_a(kind, "xnat:imageAssessorData"):
        items = state.items.in_project(project, "assessor")
    return listing(
        request,
        state,
        "experiment",
        items,
        _LISTED,
        _extra(kind),
        project=project,
        unknown=200,
    )


def list_of_subject(request: Request, state: State) -> Answer:
    """The experiments of a subject."""
    project = project_of(request, state).id
    subject = subject_of(request, state)
    items = state.items.below(subject, "experiment")
    kind = request.query.raw("xsiType") or ""
    return listing(
        request, state, "experiment", items, _LISTED, _extra(kind), project=project, unknown=200
    )


def get_experiment(request: Request, state: State) -> Answer:
    """The document of an experiment; also what addresses below it without a route give (A 0.1)."""
    return answer_item(request, state, experiment_of(request, state))


def _asked(request: Request) -> Asked:
    asked = read_asked(request, "experiment")
    xsi_type = asked.xsi_type
    if xsi_type and not (knows(xsi_type) and is_a(xsi_type, "xnat:experimentData")):
        raise Refusal(422, ONLY_SUBJECTS)  # the sentence is the real server's, here as well
    return asked


def _new(
    request: Request, state: State, project: Item, above: Item, label: str, asked: Asked
) -> Item:
    if not asked.xsi_type:
        raise Refusal(417, f"Need {request.method} Contents")
    if not state.rights.may(request.user, "create", project.id):
        raise Refusal(403)
    justify(request, state, 500, text=False)
    if not LABEL.fullmatch(label):
        raise Refusal(500)
    item = Item(
        kind="assessor" if above.kind == "experiment" else "experiment",
        id=_free_id(state, asked.identity.pop("ID", "")),
        label=label,
        xsi_type=asked.xsi_type,
        project=project.id,
        parent=above.pk,
    )
    apply_asked(item, asked)
    state.items.add(item, request.user)
    _store_scans(request, state, item, asked)
    return item


def _free_id(state: State, wanted: str) -> str:
    """The ID asked for, or the next one."""
    if not wanted:
        return state.items.new_id("experiment", state.site_prefix())
    if not LABEL.fullmatch(wanted):
        raise Refusal(417, "Invalid character in experiment label.")
    if state.items.by_id(wanted, "experiment", "assessor", "subject") is not None:
        raise Refusal(409)
    return wanted


def _store_scans(request: Request, state: State, item: Item, asked: Asked) -> None:
    """The scans of a session's document; with `allowDataDeletion` all others go."""
    if not asked.from_document or item.kind != "experiment":
        return
    named = set()
    for scan in asked.scans:
        number = scan.identity.pop("ID", "")
        named.add(number)
        store_scan(request, state, item, number, scan)
    if asked.replace:
        for one in state.items.below(item, "scan"):
            if one.id not in named:
                remove_item(state, one, False)


def _rename(request: Request, state: State, item: Item, label: str) -> Answer:
    work = state.workflows.open_one(item.id)
    if work is not None and label != item.label:
        name = work["pipeline"]
        raise Refusal(409, f"Specified session is being processed ({name}).")
    rename(state, item, label, request.user)
    return Answer.text("")


_ACTIONS = {
    "activate": "active",
    "quarantine": "quarantine",
    "_lock": LOCKED,
    "_obsolete": "obsolete",
}


def _change(request: Request, state: State, item: Item, asked: Asked) -> Answer:
    if item.status == LOCKED and request.query.flag("_unlock"):
        if not state.rights.may(request.user, "edit", item.project):
            raise Refusal(403)
        item.status = "active"
        state.items.save(item, request.user)
        return Answer.text(item.id)
    need(request, state, "edit", item)
    justify(request, state, 500, text=False)
    label = request.query.raw("label")
    if label:
        return _rename(request, state, item, label)
    changed = apply_asked(item, asked)
    for action, status in _ACTIONS.items():
        if request.query.flag(action):
            item.status, changed = status, True
    if changed:
        state.items.save(item, request.user)
    _store_scans(request, state, item, asked)
    target = request.query.raw("subject_ID")
    if target and item.kind == "experiment":
        _to_subject(request, state, item, target)
    return Answer.text(item.id)


def _to_subject(request: Request, state: State, item: Item, name: str) -> None:
    """`subject_ID=`: moves the experiment to a subject, which is made if it is missing (A 5.4)."""
    subject = state.items.subject(item.project, name)
    if subject is None:
        project = state.items.by_id(item.project, "project")
        if project is None:
            raise Refusal(404)
        subject = new_subject(request, state, project, name)
    if subject.pk != item.parent:
        move(state, item, request.user, parent=subject.pk)


def _is_in(state: State, item: Item, name: str) -> bool:
    project = state.items.project(name)
    if project is None:
        return False
    shares = {one for one, _ in state.items.shares(item)}
    return project.id == item.project or project.id in shares


def put_experiment(request: Request, state: State) -> Answer:
    """Makes an experiment (201), changes one (200), or renames it with `label=`."""
    item = maybe_experiment(request, state)
    asked = _asked(request)
    if item is not None:
        if "P" in request.variables and not _is_in(state, item, variable(request, "P")):
            raise Refusal(409, "Project must be modified through separate URI.")
        subject = maybe_subject(request, state) if "S" in request.variables else None
        if subject is not None and item.kind == "experiment" and subject.pk != item.parent:
            need(request, state, "edit", item)
            move(state, item, request.user, parent=subject.pk)  # silently, as the server does
        return _change(request, state, item, asked)
    if "P" not in request.variables:
        raise Refusal(404, NO_EXPERIMENT)
    project = project_of(request, state)
    if "S" not in request.variables:
        raise Refusal(422, "No subject in the address.")
    subject = maybe_subject(request, state) or new_subject(
        request, state, project, variable(request, "S")
    )
    made = _new(request, state, project, subject, variable(request, "E"), asked)
    return Answer.text(made.id, 201)


def post_experiment(request: Request, state: State) -> Answer:
    """A new experiment by `POST` to the list of a subject."""
    project = project_of(request, state)
    subject = subject_of(request, state)
    asked = _asked(request)
    label = request.parameters().raw("label") or asked.identity.get("label", "")
    if state.items.by_label(project.id, label, "experiment", "assessor") is not None:
        raise Refusal(409)
    asked.identity.pop("label", None)
    item = _new(request, state, project, subject, label, asked)
    site = state.preferences["siteUrl"] or request.base
    url = f"{site}/data/projects/{project.id}/subjects/{subject.id}/experiments/{item.id}"
    answer = Answer.text(url)
    answer.headers.append(("Location", url))
    return answer


def delete_experiment(request: Request, state: State) -> Answer:
    """Deletes an experiment with its assessors."""
    if "P" in request.variables and state.items.project(variable(request, "P")) is None:
        raise Refusal(400)
    return delete_through(request, state, experiment_of(request, state))


def get_status(request: Request, state: State) -> Answer:
    """`active` or `quarantine`."""
    return Answer.text(experiment_of(request, state).status)


def get_history(request: Request, state: State) -> Answer:
    """The changes of an item."""
    item = experiment_of(request, state)
    changes = [
        {"change_date": one["ended"], "username": one["changed_by"], "event_id": one["event"]}
        for one in state.items.history(item)
    ]
    return Answer.json({"changesets": changes})


# Assessors ---------------------------------------------------------------------------------------


def list_assessors(request: Request, state: State) -> Answer:
    """The assessors of a session."""
    session = experiment_of(request, state)
    return listing(
        request,
        state,
        "assessor",
        state.items.below(session, "assessor"),
        "ID project label date xsiType insert_date session_ID session_label "
        "xnat:imageassessordata/id",
        project=variable(request, "P"),
        filtered=False,
        paged=False,
        unknown=200,
    )


def put_assessor(request: Request, state: State) -> Answer:
    """Makes an assessor (201) or changes one (200)."""
    session = experiment_of(request, state)
    item = maybe_assessor(state, session, variable(request, "A"))
    asked = _asked(request)
    if item is not None:
        return _change(request, state, item, asked)
    project = state.items.by_id(session.project, "project")
    assert project is not None
    made = _new(request, state, project, session, variable(request, "A"), asked)
    return Answer.text(made.id, 201)


def post_assessor(request: Request, state: State) -> Answer:
    """A new assessor by `POST` to the list of a session."""
    session = experiment_of(request, state)
    asked = _asked(request)
    label = request.parameters().raw("label") or asked.identity.get("label", "")
    project = state.items.by_id(session.project, "project")
    if project is None or maybe_assessor(state, session, label) is not None:
        raise Refusal(409)
    asked.identity.pop("label", None)
    item = _new(request, state, project, session, label, asked)
    site = state.preferences["siteUrl"] or request.base
    url = f"{site}/data/experiments/{session.id}/assessors/{item.id}"
    answer = Answer.text(url)
    answer.headers.append(("Location", url))
    return answer


def _routes() -> Iterator[Route]:
    direct = "/data/experiments/{E}"
    in_project = "/data/projects/{P}/experiments/{E}"
    full = "/data/projects/{P}/subjects/{S}/experiments/{E}"
    yield Route("GET", "/data/experiments", list_all)
    yield Route("GET", "/data/projects/{P}/experiments", list_of_project)
    yield Route("GET", "/data/projects/{P}/subjects/{S}/experiments", list_of_subject)
    yield Route("POST", "/data/projects/{P}/subjects/{S}/experiments", post_experiment)
    for one in (direct, in_project, full):
        yield Route("GET", one, get_experiment)
        yield Route("PUT", one, put_experiment)
        yield Route("DELETE", one, delete_experiment)
        yield Route("GET", one + "/status", get_status)
        yield Route("GET", one + "/history", get_history)
        yield Route("GET", one + "/projects", lambda r, s: list_shares(r, s, experiment_of(r, s)))
        yield Route(
            "PUT", one + "/projects/{P2}", lambda r, s: put_share(r, s, experiment_of(r, s))
        )
        yield Route(
            "DELETE", one + "/projects/{P2}", lambda r, s: remove_share(r, s, experiment_of(r, s))
        )
    for one in (direct, full):
        below = one + "/assessors"
        yield Route("GET", below, list_assessors)
        yield Route("POST", below, post_assessor)
        yield Route("GET", below + "/{A}", lambda r, s: answer_item(r, s, assessor_of(r, s)))
        yield Route("PUT", below + "/{A}", put_assessor)
        yield Route("DELETE", below + "/{A}", lambda r, s: delete_through(r, s, assessor_of(r, s)))
        shares = below + "/{A}/projects"
        yield Route("GET", shares, lambda r, s: list_shares(r, s, assessor_of(r, s)))
        yield Route("PUT", shares + "/{P2}", lambda r, s: put_share(r, s, assessor_of(r, s)))
        yield Route("DELETE", shares + "/{P2}", lambda r, s: remove_share(r, s, assessor_of(r, s)))


ROUTES = list(_routes())
