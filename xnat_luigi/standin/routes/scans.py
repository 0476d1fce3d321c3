"""Scans and reconstructions (wire contract A 3.2, A 5)."""

from __future__ import annotations

from ..changes import LABEL, apply_asked, remove_item
from ..documents import Asked, justify, read_asked
from ..render.items import answer_item
from ..render.tables import table
from ..state import Item, State
from ..types import is_a
from ..wire import Answer, Refusal, Request
from . import Route
from .finding import listing, need, variable
from .places import experiment_of, reconstruction_of, scan_of
from .subjects import put_share

__all__ = ["ROUTES", "store_scan"]

SCAN = "xnat:imageScanData"


def list_scans(request: Request, state: State) -> Answer:
    """The scans of a session; a missing session is a null pointer of the server (A 3.5)."""
    session = experiment_of(request, state, 500 if "P" not in request.variables else 404)
    asked = [one for one in (request.query.raw("columns") or "").split(",") if one]
    if asked and "ID" not in asked and asked != ["DEFAULT"]:
        raise Refusal(500)
    return listing(
        request,
        state,
        "scan",
        state.items.below(session, "scan"),
        "xnat_imagescandata_id ID type quality xsiType note series_description",
        "xnat_imagescandata_id",
        filtered=False,
        paged=False,
    )


def get_scan(request: Request, state: State) -> Answer:
    """The document of a scan."""
    return answer_item(request, state, scan_of(request, state))


def put_scan(request: Request, state: State) -> Answer:
    """Makes a scan or changes one: 200 with no body either way."""
    session = experiment_of(request, state)
    asked = read_asked(request, "scan")
    need(request, state, "edit", session)
    justify(request, state, 500, text=False)
    given = request.query.raw("xsiType")
    item = state.items.scan(session, variable(request, "N"))
    if item is not None and given and given != item.xsi_type:
        raise Refusal(409, "Specified xsiType differs from existing xsiType")
    store_scan(request, state, session, variable(request, "N"), asked)
    return Answer.text("")


def store_scan(request: Request, state: State, session: Item, number: str, asked: Asked) -> None:
    """Makes or changes one scan.

    Raises: `Refusal` 400 no scan document or a plain one, 417 nothing given, 500 a bad ID.
    """
    item = state.items.scan(session, number)
    asked.replace = False  # scans only take additions (A 5.2)
    if item is not None:
        if apply_asked(item, asked):
            state.items.save(item, request.user)
        return
    if not asked.xsi_type:
        raise Refusal(417, f"Need {request.method} Contents")
    if not is_a(asked.xsi_type, SCAN):
        raise Refusal(400, "Only xnat:imageScanData documents can be PUT to this address.")
    if asked.xsi_type == SCAN:
        raise Refusal(
            400, "Multiple scan modalities can be associated here. Please retry with an xsiType."
        )
    if not LABEL.fullmatch(number):
        raise Refusal(500)
    item = Item(
        kind="scan", id=number, xsi_type=asked.xsi_type, project=session.project, parent=session.pk
    )
    apply_asked(item, asked)
    state.items.add(item, request.user)


def delete_scan(request: Request, state: State) -> Answer:
    """Deletes a scan."""
    item = scan_of(request, state)
    need(request, state, "delete", item)
    justify(request, state, 403)
    remove_item(state, item, request.query.flag("removeFiles"))
    return Answer.text("")


def share_scan(request: Request, state: State) -> Answer:
    """Sharing a scan shares its session, where that is not in the project yet (A 5.4)."""
    scan_of(request, state)
    session = experiment_of(request, state)
    project = state.items.project(variable(request, "P2"))
    if project is not None and any(p == project.id for p, _ in state.items.shares(session)):
        return Answer.text("")
    return put_share(request, state, session)


def list_reconstructions(request: Request, state: State) -> Answer:
    """The reconstructions of a session."""
    session = experiment_of(request, state)
    rows = [
        {
            "xnat_reconstructedimagedata_id": one.pk,
            "ID": one.id,
            "type": one.fields.get("type"),
            "baseScanType": one.fields.get("baseScanType"),
            "URI": f"/data/experiments/{session.id}/reconstructions/{one.id}",
        }
        for one in state.items.below(session, "reconstruction")
    ]
    names = ("xnat_reconstructedimagedata_id", "ID", "type", "baseScanType", "URI")
    return table(request, names, rows)


def _reconstruction(request: Request, state: State) -> Item | None:
    session = experiment_of(request, state)
    wanted = variable(request, "X")
    return next((x for x in state.items.below(session, "reconstruction") if x.id == wanted), None)


def get_reconstruction(request: Request, state: State) -> Answer:
    """The document of a reconstruction."""
    return answer_item(request, state, reconstruction_of(request, state))


def put_reconstruction(request: Request, state: State) -> Answer:
    """Makes a reconstruction or changes one."""
    session = experiment_of(request, state)
    item = _reconstruction(request, state)
    need(request, state, "edit", session)
    asked = read_asked(request, "reconstruction", "xnat:reconstructedImageData")
    asked.replace = False
    if item is None:
        name = variable(request, "X")
        if not LABEL.fullmatch(name):
            raise Refusal(500)
        item = Item(
            kind="reconstruction",
            id=name,
            xsi_type="xnat:reconstructedImageData",
            project=session.project,
            parent=session.pk,
        )
        apply_asked(item, asked)
        state.items.add(item, request.user)
    elif apply_asked(item, asked):
        state.items.save(item, request.user)
    return Answer.text("")


def delete_reconstruction(request: Request, state: State) -> Answer:
    """Deletes a reconstruction."""
    item = reconstruction_of(request, state)
    need(request, state, "delete", item)
    justify(request, state, 403)
    remove_item(state, item, request.query.flag("removeFiles"))
    return Answer.text("")


ROUTES = []
for _one in ("/data/experiments/{E}", "/data/projects/{P}/subjects/{S}/experiments/{E}"):
    ROUTES += [
        Route("GET", _one + "/scans", list_scans),
        Route("GET", _one + "/scans/{N}", get_scan),
        Route("PUT", _one + "/scans/{N}", put_scan),
        Route("DELETE", _one + "/scans/{N}", delete_scan),
        Route("PUT", _one + "/scans/{N}/projects/{P2}", share_scan),
        Route("GET", _one + "/reconstructions", list_reconstructions),
        Route("GET", _one + "/reconstructions/{X}", get_reconstruction),
        Route("PUT", _one + "/reconstructions/{X}", put_reconstruction),
        Route("DELETE", _one + "/reconstructions/{X}", delete_reconstruction),
    ]
