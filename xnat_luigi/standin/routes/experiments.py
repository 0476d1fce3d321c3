"""Experiments and assessors (wire contract A 3.2, A 5)."""

from __future__ import annotations

from collections.abc import Iterator

from ..changes import LABEL, apply_fields, asked_fields, asked_type, move, rename
from ..render.items import answer_item
from ..state import Item, State
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
from .subjects import delete_through, list_shares, new_subject, put_share, remove_share

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


def _new(request: Request, state: State, project: Item, above: Item, label: str) -> Item:
    xsi_type = asked_type(request)
    if not xsi_type:
        raise Refusal(417, f"Need {request.method} Contents")
    if not knows(xsi_type) or not is_a(xsi_type, "xnat:experimentData"):
        raise Refusal(422, "Only xnat:Experiment documents can be PUT to this address.")
    if not state.rights.may(request.user, "create", project.id):
        raise Refusal(403)
    if not LABEL.fullmatch(label):
        raise Refusal(500)
    item = Item(
        kind="assessor" if above.kind == "experiment" else "experiment",
        id=state.items.new_id("experiment", state.site_prefix()),
        label=label,
        xsi_type=xsi_type,
        project=project.id,
        parent=above.pk,
    )
    apply_fields(item, asked_fields(request, "experiment"))
    return state.items.add(item, request.user)


def _change(request: Request, state: State, item: Item) -> Answer:
    need(request, state, "edit", item)
    label = request.query.raw("label")
    if label:
        open_work = state.store.row(
            "SELECT pipeline FROM workflow WHERE item_id = ? AND status IN "
            "('Queued','Running','In Progress','Awaiting Action','Created')",
            item.id,
        )
        if open_work is not None and label != item.label:
            name = open_work["pipeline"]
            raise Refusal(409, f"Specified session is being processed ({name}).")
        rename(state, item, label, request.user)
        return Answer.text("")
    changed = apply_fields(item, asked_fields(request, "experiment"))
    for action, status in (("activate", "active"), ("quarantine", "quarantine")):
        if request.query.flag(action):
            item.status, changed = status, True
    if changed:
        state.items.save(item, request.user)
    target = request.query.raw("subject_ID")
    if target and item.kind == "experiment":
        subject = state.items.subject(item.project, target)
        if subject is not None and subject.pk != item.parent:
            move(state, item, request.user, parent=subject.pk)
    return Answer.text(item.id)


def put_experiment(request: Request, state: State) -> Answer:
    """Makes an experiment (201), changes one (200), or renames it with `label=`."""
    item = maybe_experiment(request, state)
    if item is not None:
        subject = maybe_subject(request, state) if "S" in request.variables else None
        if subject is not None and item.kind == "experiment" and subject.pk != item.parent:
            need(request, state, "edit", item)
            move(state, item, request.user, parent=subject.pk)  # silently, as the server does
        return _change(request, state, item)
    if "P" not in request.variables:
        raise Refusal(404, NO_EXPERIMENT)
    project = project_of(request, state)
    if "S" not in request.variables:
        raise Refusal(422, "No subject in the address.")
    subject = maybe_subject(request, state) or new_subject(
        request, state, project, variable(request, "S")
    )
    made = _new(request, state, project, subject, variable(request, "E"))
    return Answer.text(made.id, 201)


def post_experiment(request: Request, state: State) -> Answer:
    """A new experiment by `POST` to the list of a subject."""
    project = project_of(request, state)
    subject = subject_of(request, state)
    label = request.parameters().raw("label") or ""
    if state.items.by_label(project.id, label, "experiment", "assessor") is not None:
        raise Refusal(409)
    item = _new(request, state, project, subject, label)
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
    if item is not None:
        return _change(request, state, item)
    project = state.items.by_id(session.project, "project")
    assert project is not None
    made = _new(request, state, project, session, variable(request, "A"))
    return Answer.text(made.id, 201)


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
        yield Route("GET", below + "/{A}", lambda r, s: answer_item(r, s, assessor_of(r, s)))
        yield Route("PUT", below + "/{A}", put_assessor)
        yield Route("DELETE", below + "/{A}", lambda r, s: delete_through(r, s, assessor_of(r, s)))
        shares = below + "/{A}/projects"
        yield Route("GET", shares, lambda r, s: list_shares(r, s, assessor_of(r, s)))
        yield Route("PUT", shares + "/{P2}", lambda r, s: put_share(r, s, assessor_of(r, s)))


ROUTES = list(_routes())
