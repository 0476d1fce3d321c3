"""The prearchive's addresses (wire contract B 2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

from ..archive_checks import ArchiveOrder
from ..archiver import ArchiveFailed
from ..prearchive_work import WorkFailed
from ..render.tables import table
from ..services import Services
from ..state import State
from ..state.prearchive import COLUMNS, STATUSES, UNASSIGNED, Row, StatusRefused, parse_stamp
from ..wire import Answer, Params, Refusal, Request
from . import Route

__all__ = ["ROUTES", "all_parameters", "may_edit_row", "row_of"]

URI_LIST = "text/uri-list"


def all_parameters(request: Request) -> Params:
    """Form fields or a JSON body, then the query."""
    if request.body.media_type == "application/json" and request.body.size:
        try:
            document = json.loads(request.body.read())
        except ValueError:
            raise Refusal(400) from None
        if isinstance(document, dict):
            pairs = [(str(key), str(value)) for key, value in document.items()]
            return Params(pairs) + request.query
    return request.parameters()


def may_edit_row(request: Request, state: State, project: str) -> bool:
    """Whether the caller may edit a project's rows; `Unassigned` is for administrators."""
    if project == UNASSIGNED:
        return _sees_unassigned(state, request.user)
    return state.rights.may(request.user, "edit", project)


def _sees_unassigned(state: State, login: str) -> bool:
    user = state.users.get(login)
    return user is not None and (user.admin or user.data_access == "all")


# --- listings ---------------------------------------------------------------------------------


def list_rows(request: Request, state: State) -> Answer:
    """All rows of the projects the caller can edit, or of the named ones he can read (B 2.1)."""
    prearchive = state.part(Services).prearchive
    project = unquote(request.variables.get("PROJECT", ""))
    everything = _sees_unassigned(state, request.user)
    if "tag" in request.query and not state.rights.sees_all(request.user):
        raise Refusal(404)  # a 403 thrown in the constructor, which becomes 404 (unverified)
    rows = prearchive.all()
    if project:
        names = project.split(",")
        if not state.rights.sees_all(request.user) and not _may_read(request, state, project):
            raise Refusal(404)
        rows = [r for r in rows if r.project in names or (everything and r.project == UNASSIGNED)]
    else:
        editable = state.rights.editable_projects(request.user)
        rows = [
            r
            for r in rows
            if (
                everything if r.project == UNASSIGNED else editable is None or r.project in editable
            )
        ]
    tag = request.query.raw("tag")
    if tag is not None:
        rows = [row for row in rows if row.tag == tag]
    return _rows_table(request, rows)


def _may_read(request: Request, state: State, project: str) -> bool:
    known = state.items.by_id(project, "project") is not None
    return known and state.rights.may(request.user, "read", project)


def _rows_table(request: Request, rows: list[Row]) -> Answer:
    return table(request, COLUMNS, [row.cells() for row in rows])


def rescan(request: Request, state: State) -> Answer:
    """`PUT` on a listing: the file system becomes the truth; administrators only (B 2.1)."""
    if not state.rights.is_admin(request.user):
        raise Refusal(404)
    services = state.part(Services)
    named = unquote(request.variables.get("PROJECT", ""))
    known = [project.id for project in state.items.all("project")]
    services.prearchive.rescan([named] if named else [*known, UNASSIGNED])
    return list_rows(request, state)


def list_recent(request: Request, state: State) -> Answer:
    """`/prearchive/experiments?recent=true|N`: rows of the last N (10) days."""
    asked = request.query.raw("recent")
    if asked is None:
        raise Refusal(400)
    days = 10 if asked == "true" else int(asked) if asked.isdigit() else 0
    if days <= 0:
        raise Refusal(404)
    editable = state.rights.editable_projects(request.user)
    since = state.clock.now() - timedelta(days=days)
    rows = [
        row
        for row in state.part(Services).prearchive.all()
        if parse_stamp(row.lastmod) >= since and (editable is None or row.project in editable)
    ]
    return _rows_table(request, rows)


# --- one row ----------------------------------------------------------------------------------


def row_of(request: Request, state: State) -> Row | None:
    """The row of the address, whose project must exist and be editable.

    Raises: `Refusal` 500 unknown project, 403 no right (B 2.2).
    """
    project, stamp, folder = _address(request)
    if project != UNASSIGNED and state.items.by_id(project, "project") is None:
        raise Refusal(500)
    if not may_edit_row(request, state, project):
        raise Refusal(403)
    return state.part(Services).prearchive.get(project, stamp, folder)


def _address(request: Request) -> tuple[str, str, str]:
    names = ("PROJECT", "TIMESTAMP", "FOLDER")
    project, stamp, folder = (unquote(request.variables[name]) for name in names)
    return project, stamp, folder


def get_row(request: Request, state: State) -> Answer:
    """The session document, the one-row table (`format=json`) or all files (`format=zip`)."""
    services = state.part(Services)
    row = row_of(request, state)
    if request.format in {"json", "csv", "html"}:
        return _rows_table(request, [row] if row else [])
    if row is None or (request.format != "zip" and not services.prearchive.is_built(row)):
        raise Refusal(404, "The session document is not available in the prearchive.")
    if request.format == "zip":
        return zip_answer(services.prearchive.place(row), row.folder, row.folder)
    return Answer(body=services.prearchive.document(row).read_bytes(), content_type="text/xml")


def zip_answer(folder: Path, name: str, prefix: str) -> Answer:
    """Every file below a folder as a chunked zip without a length."""
    from ..zipping import zip_chunks

    files = [
        (f"{prefix}/{path.relative_to(folder).as_posix()}", path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    return Answer(
        body=zip_chunks(files),
        content_type="application/zip",
        headers=[("Content-Disposition", f'attachment; filename="{name}.zip";')],
        chunked=True,
    )


def delete_row(request: Request, state: State) -> Answer:
    """Synchronous; 200 even if absent, and 200 but not deleted if locked (B 2.5)."""
    row = row_of(request, state)
    if row is not None:
        with suppress(StatusRefused):
            state.part(Services).work.delete(row)
    return Answer()


def post_row(request: Request, state: State) -> Answer:
    """`action=build|reset-status|move|commit|set-status`; anything else is 400 (B 2.5)."""
    parameters = all_parameters(request)
    actions = {
        "build": _build,
        "reset-status": _reset,
        "move": _move,
        "commit": _commit,
        "set-status": _set_status,
    }
    action = actions.get(parameters.get("action"))
    if action is None:
        raise Refusal(400, f"Unknown action: {parameters.get('action') or 'none'}")
    row = row_of(request, state)
    return action(request, state, row, parameters)


def _uri(path: str, status: int = 200) -> Answer:
    return Answer.text(path, status, content_type=URI_LIST)


def _build(request: Request, state: State, row: Row | None, _parameters: Params) -> Answer:
    if row is None:
        raise Refusal(500)
    try:
        state.part(Services).work.build(row)
    except StatusRefused:
        raise Refusal(409, "session document locked") from None
    except WorkFailed as error:
        raise Refusal(500, str(error)) from None
    return _uri(f"/data{row.url}")


def _reset(request: Request, state: State, row: Row | None, _parameters: Params) -> Answer:
    services = state.part(Services)
    if row is None:
        # On an absent triple the source seems to insert a RECEIVING row (unverified).
        project, stamp, folder = _address(request)
        tag = request.query.get("tag")
        row = services.prearchive.add(Row(project, stamp, folder, folder, tag=tag))
    services.work.reset(row)
    return _uri(f"/data{row.url}")


def _move(request: Request, state: State, row: Row | None, _parameters: Params) -> Answer:
    """301 without Location; `newProject` is read from the query only; locked: 200 and nothing."""
    target = request.query.raw("newProject") or ""
    if not target:
        raise Refusal(400, "newProject is missing.")
    _check_target(request, state, target)
    if row is None:
        raise Refusal(404)
    try:
        moved = state.part(Services).work.move(row, target)
    except StatusRefused:
        return Answer()
    except WorkFailed as error:
        raise Refusal(500, str(error)) from None
    return _uri(f"/data{moved.url}", 301)


def _check_target(request: Request, state: State, project: str) -> None:
    if not state.rights.may(request.user, "edit", project):
        raise Refusal(403)
    if state.items.by_id(project, "project") is None:
        raise Refusal(404, f"Unknown project: {project}")


def _commit(request: Request, state: State, row: Row | None, parameters: Params) -> Answer:
    """Builds, and archives where the row's flag, `AA` or the project's code says so."""
    services = state.part(Services)
    if row is None:
        raise Refusal(404)
    if "TIMEZONE" in parameters:
        services.prearchive.update(row, timezone=parameters.get("TIMEZONE"))
    try:
        services.work.build(row)
    except StatusRefused:
        raise Refusal(409, "session document locked") from None
    except WorkFailed as error:
        raise Refusal(500, str(error)) from None
    if not _archives(services, row, parameters):
        return _uri(f"/data{row.url}")
    listener = parameters.get("http-session-listener")
    order = ArchiveOrder(user=request.user, tracking_key=listener or row.key)
    if listener:
        services.tracking.open(request.user, listener, session=request.session, restart=True)
        services.archiver.queue(row, order)
        return Answer.text("Archival initiated")
    try:
        return _uri(services.archiver.archive(row, order), 301)
    except (ArchiveFailed, StatusRefused) as error:
        raise Refusal(500, str(error)) from None


def _archives(services: Services, row: Row, parameters: Params) -> bool:
    if row.autoarchive.startswith("AutoArchive"):
        return True
    for name in ("AA", "auto-archive"):
        if name in parameters:
            return parameters.flag(name)
    return services.project_code(row.project) >= 4


def _set_status(request: Request, state: State, row: Row | None, parameters: Params) -> Answer:
    status = parameters.get("status")
    if row is None or status not in STATUSES or status.startswith("_"):
        raise Refusal(400)
    with suppress(StatusRefused):
        state.part(Services).prearchive.set_status(row, status)
    return Answer()


# --- batches (B 2.6) --------------------------------------------------------------------------


def batch(request: Request, state: State) -> Answer:
    """`/services/prearchive/{rebuild|move|delete}`: queued, answered with the rows as they are."""
    operation = request.variables["OPERATION"]
    if operation not in {"rebuild", "move", "delete"}:
        raise Refusal(404)
    if request.body.declared is None and request.body.size:
        parameters = request.query  # a form of unknown length is ignored
    else:
        parameters = request.parameters()
    sources = [_source(text) for text in parameters.all("src")]
    denied = [p for p, _, _ in sources if not may_edit_row(request, state, p)]
    if denied:
        message = (
            f"Invalid permissions for user {request.user} to delete prearchive sessions"
            f" in one or more projects: {', '.join(sorted(set(denied)))}"
        )
        raise Refusal(403, message)
    services = state.part(Services)
    rows = [services.prearchive.get(*source) for source in sources]
    target = parameters.raw("newProject") or ""
    if operation == "move":
        _check_target(request, state, target)
    found: list[Row] = []
    for row in rows:
        if row is None:
            raise Refusal(404 if operation == "move" else 500)
        _queue(services, operation, row, target)
        found.append(row)
    now = (services.prearchive.by_pk(row.pk) for row in found)
    return _rows_table(request, [row for row in now if row is not None])


def _source(text: str) -> tuple[str, str, str]:
    bare = text.removeprefix("/data").removeprefix("/REST").strip("/").split("/")
    if len(bare) != 5 or bare[:2] != ["prearchive", "projects"]:
        raise Refusal(500)
    return bare[2], bare[3], bare[4]


def _queue(services: Services, operation: str, row: Row, target: str) -> None:
    """Queues one operation; a locked row is silently skipped, `overrideLock` or not."""
    try:
        if operation == "rebuild":
            services.work.queue_build(row)  # without `then`: this build does not auto-archive
        elif operation == "move":
            services.work.queue(row, "QUEUED_MOVING", lambda: services.work.move(row, target))
        else:
            services.work.queue(row, "QUEUED_DELETING", lambda: services.work.delete(row))
    except StatusRefused:
        return


# --- logs -------------------------------------------------------------------------------------


def list_logs(request: Request, state: State) -> Answer:
    """`id`, `date`, `entry`; any `template` but `details` leaves `id` alone. Works without XML."""
    row = row_of(request, state)
    logs = state.part(Services).prearchive.logs(row) if row else []
    lines = [
        {"id": str(number), "date": date, "entry": entry}
        for number, (date, entry) in enumerate(logs)
    ]
    brief = request.query.raw("template") not in (None, "details")
    return table(request, ("id",) if brief else ("id", "date", "entry"), lines)


def get_log(request: Request, state: State) -> Answer:
    """The text of one entry; by number it begins with its time."""
    row = row_of(request, state)
    logs = state.part(Services).prearchive.logs(row) if row else []
    name = unquote(request.variables["LOG"])
    if name == "last":
        if not logs:
            return Answer()
        return Answer.text(logs[-1][1])
    if not name.isdigit() or int(name) >= len(logs):
        raise Refusal(404)
    date, entry = logs[int(name)]
    moment = parse_stamp(date).strftime("%m/%d/%Y %H:%M:%S")
    return Answer.text(f"{moment}:{entry}")


def _both(template: str) -> Iterator[Route]:
    yield Route("GET", template, list_rows, archive=False)
    yield Route("PUT", template, rescan, archive=False)


_ROW = "/data/prearchive/projects/{PROJECT}/{TIMESTAMP}/{FOLDER}"
ROUTES = [
    *_both("/data/prearchive"),
    *_both("/data/prearchive/projects"),
    *_both("/data/prearchive/projects/{PROJECT}"),
    Route("GET", "/data/prearchive/experiments", list_recent, archive=False),
    Route("GET", _ROW, get_row, archive=False),
    Route("POST", _ROW, post_row, archive=False),
    Route("DELETE", _ROW, delete_row, archive=False),
    Route("GET", _ROW + "/logs", list_logs, archive=False),
    Route("GET", _ROW + "/logs/{LOG}", get_log, archive=False),
    Route("POST", "/data/services/prearchive/{OPERATION}", batch, archive=False),
]
