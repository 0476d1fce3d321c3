"""Resources: listing, making, removing; their catalogs (wire contract A 6.1, A 6.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..documents import justify
from ..render.tables import table
from ..selecting import Chosen, Selection, select
from ..state import Item, Resource, State
from ..state.catalog import format_catalog
from ..wire import Answer, Refusal, Request
from . import Route
from .places import PARTIAL, WHOLE

__all__ = ["PLACES", "ROUTES", "WITHOUT_FILES", "make_resource", "placed", "usable_label"]

COLUMNS = (
    "xnat_abstractresource_id",
    "label",
    "element_name",
    "category",
    "cat_id",
    "cat_desc",
    "file_count",
    "file_size",
    "tags",
    "content",
    "format",
)
EXISTS = "Specified resource already exists."


def list_resources(request: Request, state: State) -> Answer:
    """The rows of `…/resources`: no URI, no ID (A 3.2)."""
    selection = select(request, state, files=False)
    if request.query.flag("cache_file_stats"):
        for chosen in selection.chosen:
            if chosen.resource.file_count is None:
                state.resources.update_stats(chosen.resource)
    rows = [_row(request, selection, chosen) for chosen in selection.chosen]
    return table(request, COLUMNS, rows, title="Resources")


def _row(request: Request, selection: Selection, chosen: Chosen) -> dict[str, object]:
    resource, item = chosen.resource, chosen.owner.item
    cat_id, cat_desc = item.id, ""
    if chosen.owner.category == "scans":
        cat_desc = str(item.fields.get("type") or "")
    elif chosen.owner.category == "resources":
        # With `all=true` a session's own rows name nothing, else the session (A 3.6).
        cat_id, cat_desc = ("", "") if request.query.flag("all") else (item.id, " ")
    return {
        "xnat_abstractresource_id": resource.pk,
        "label": resource.label,
        "element_name": resource.xsi_type,
        "category": chosen.owner.category,
        "cat_id": cat_id,
        "cat_desc": cat_desc,
        "file_count": resource.file_count,
        "file_size": resource.file_size,
        "tags": ",".join(resource.tags),
        "content": resource.content,
        "format": resource.format,
    }


def get_catalog(request: Request, state: State) -> Answer:
    """The catalog XML of one resource, whatever format was asked for (A 6.6)."""
    if request.remainder.strip("/"):
        raise Refusal(400)
    selection = select(request, state, files=False)
    if not selection.chosen:
        raise Refusal(404, "Unable to find the specified catalog.")
    resource = selection.chosen[0].resource
    extra = {}
    if request.query.flag("includeRootPath"):
        extra["CATALOG_LOCATION"] = str(resource.folder)
    content = format_catalog(state.resources.catalog(resource), extra)
    return Answer(body=content, content_type="text/xml", chunked=True)


def _owner_for_change(request: Request, state: State) -> tuple[Item, str]:
    names = request.variables
    saved = names.pop("R", None)
    try:
        owner = select(request, state, files=False).scope.owners[0]
    finally:
        if saved is not None:
            names["R"] = saved
    return owner.item, owner.direction


def make_resource(
    request: Request, state: State, item: Item, label: str, direction: str
) -> Resource:
    """A new resource with the attributes that the query gives."""
    content = request.query.get("content")
    if item.kind == "scan" and not content and item.fields.get("type"):
        content = "" if state.resources.of(item) else "RAW"  # a scan's first one (A 6.4)
    return state.resources.create(
        item,
        label,
        direction=direction,
        format=request.query.get("format"),
        content=content,
        description=request.query.get("description"),
        tags=[tag for text in request.query.all("tags") for tag in text.split(",") if tag],
    )


def usable_label(label: str) -> str:
    """A label that the server takes: anything that can be a folder name.

    Raises: `Refusal` 400; 500 for a quote, which its SQL guard refuses.
    """
    if not label or label in (".", "..") or "/" in label or "\0" in label:
        raise Refusal(400)
    if "'" in label:
        raise Refusal(500)
    return label


def _make_new(request: Request, state: State, item: Item, label: str, direction: str) -> Resource:
    with state.store.writing():  # of several who race, one makes it
        if state.resources.find(item, label, direction) is not None:
            raise Refusal(409, EXISTS)
        return make_resource(request, state, item, label, direction)


def put_resource(request: Request, state: State) -> Answer:
    """Makes a resource: 200 with no body; 409 when it is there."""
    if request.remainder.strip("/"):
        raise Refusal(404)
    item, direction = _owner_for_change(request, state)
    if not state.rights.may_item(request.user, "edit", item):
        raise Refusal(403)
    label = usable_label(request.variables["R"])
    _make_new(request, state, item, label, direction)
    return Answer.text("")


def post_resource(request: Request, state: State) -> Answer:
    """Makes a resource below the list; the body is its address with the numeric id."""
    item, direction = _owner_for_change(request, state)
    if not state.rights.may_item(request.user, "edit", item):
        raise Refusal(403)
    label = usable_label(request.parameters().get("label"))
    made = _make_new(request, state, item, label, direction)
    return Answer.text(f"{request.base}{request.path.rstrip('/')}/{made.pk}")


def delete_resource(request: Request, state: State) -> Answer:
    """Removes resources; one that is not there is no error (A 6.1)."""
    if request.remainder.strip("/"):
        raise Refusal(404)
    selection = select(request, state, files=False)
    refused = 0
    for chosen in selection.chosen:
        if not state.rights.may_item(request.user, "delete", chosen.owner.item):
            refused += 1
            continue
        justify(request, state, 403)
        state.resources.remove(chosen.resource)
    if refused and refused == len(selection.chosen):
        raise Refusal(403, "User account doesn't have permission to modify this session.")
    return Answer.text("", 207 if refused else 200)


# Where resources hang -----------------------------------------------------------------------------

Handler = Callable[[Request, State], Answer]


def _places() -> Iterator[tuple[str, str]]:
    """(template of an item, direction) for everything that has resources (A 0.1)."""
    yield "/data/projects/{P}", ""
    yield "/data/projects/{P}/subjects/{S}", ""
    yield "/data/subjects/{S}", ""
    for base in PARTIAL:
        yield base, ""
    for base in WHOLE:
        yield base, ""
        yield base + "/scans/{N}", ""
        for child in ("/assessors/{A}", "/reconstructions/{X}"):
            yield base + child, ""
            yield base + child + "/in", "in"
            yield base + child + "/out", "out"


PLACES = tuple(_places())
WITHOUT_FILES = PARTIAL
"""Places that have `…/resources/R/files` but no `…/files`."""


def placed(handler: Handler, direction: str) -> Handler:
    """The handler with the direction that the address names."""
    if not direction:
        return handler

    def with_direction(request: Request, state: State) -> Answer:
        request.variables["D"] = direction
        return handler(request, state)

    return with_direction


def _routes() -> Iterator[Route]:
    for base, direction in PLACES:
        many, one = f"{base}/resources", f"{base}/resources/{{R}}"
        yield Route("GET", many, placed(list_resources, direction))
        yield Route("PUT", many, placed(post_resource, direction))
        yield Route("POST", many, placed(post_resource, direction))
        yield Route("GET", one, placed(get_catalog, direction))
        yield Route("PUT", one, placed(put_resource, direction))
        yield Route("DELETE", one, placed(delete_resource, direction))


ROUTES = list(_routes())
