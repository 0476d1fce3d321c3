"""`/data/services/archive` and `/data/services/validate-archive` (wire contract B 3)."""

from __future__ import annotations

from collections.abc import Callable

from ..archive_checks import ArchiveOrder
from ..archiver import ArchiveFailed
from ..jobs import Closed
from ..render.tables import table
from ..services import Services
from ..state import State
from ..state.prearchive import COLUMNS, UNASSIGNED, Row, StatusRefused
from ..wire import Answer, Params, Refusal, Request
from . import Route
from .prearchive import URI_LIST, may_edit_row

__all__ = ["ROUTES"]

_SCREEN = "/app/template/XDATScreen_prearchives.vm"
_LABELS = {"project", "subject", "session", "SUBJECT_ID", "EXPT_LABEL", "label"}


def _parameters(request: Request) -> Params:
    """Form and query; a form of unknown length is ignored (B 0)."""
    if request.body.declared is None and request.body.size:
        return request.query
    return request.parameters()


def _sources(parameters: Params) -> list[tuple[str, str, str]]:
    """The rows named by `src`, or by project, timestamp and folder.

    Raises: `Refusal` 400 malformed or in the archive, 404 none at all.
    """
    found = []
    for text in parameters.all("src"):
        parts = text.removeprefix("/data").removeprefix("/REST").strip("/").split("/")
        if parts[:2] != ["prearchive", "projects"] or len(parts) != 5:
            raise Refusal(400, f"Invalid src: {text}")
        found.append((parts[2], parts[3], parts[4]))
    if not found and "PREARC_SESSION_FOLDER" in parameters:
        names = ("project", "PREARC_TIMESTAMP", "PREARC_SESSION_FOLDER")
        project, stamp, folder = (parameters.get(name) for name in names)
        found.append((project, stamp, folder))
    if not found:
        raise Refusal(404, "Unknown prearchive session.")
    return found


def _rows(request: Request, state: State, sources: list[tuple[str, str, str]]) -> list[Row]:
    """The rows, which the caller may archive and nobody else has locked (B 3.4)."""
    prearchive = state.part(Services).prearchive
    rows = []
    for project, stamp, folder in sources:
        if project == UNASSIGNED:
            raise Refusal(400, "Sessions must be assigned to a project before they are archived.")
        if state.items.by_id(project, "project") is None:
            raise Refusal(500)
        if not may_edit_row(request, state, project):
            raise Refusal(403, "Invalid permissions for archiving into this project.")
        row = prearchive.get(project, stamp, folder)
        if row is None or not prearchive.place(row).is_dir():
            raise Refusal(404, f"{folder} not found.")
        if row.locked:
            raise Refusal(403, "Operation already in progress on this prearchive entry.")
        rows.append(row)
    return rows


def _order(request: Request, parameters: Params, row: Row, *, single: bool) -> ArchiveOrder:
    """The call as an order: one `src` merges always, several only with `overwrite` (B 3.3)."""
    overwrite = parameters.get("overwrite").lower()
    known = overwrite in {"append", "delete"}
    fields = {
        key: value
        for key, value in parameters.items()
        if "/" in key or key in _LABELS - {"project", "subject", "session"}
    }
    listener = parameters.get("http-session-listener")
    return ArchiveOrder(
        user=request.user,
        project=parameters.get("project"),
        subject=parameters.get("subject"),
        session=parameters.get("session"),
        fields=fields,
        override=known if single else overwrite == "delete",
        merge=True if single else known,
        replace_files=known if single else parameters.flag("overwrite_files"),
        quarantine=parameters.raw("quarantine") == "true",
        trigger_pipelines=parameters.flag("triggerPipelines", default=True),
        tracking_key=(listener if single else "") or row.key,
    )


def post_archive(request: Request, state: State) -> Answer:
    """Archives one row and waits, or several in the background (B 3.3).

    Raises: `Refusal` as in wire contract B 3.4; everything raised inside the job is 500.
    """
    services = state.part(Services)
    parameters = _parameters(request)
    rows = _rows(request, state, _sources(parameters))
    if len(rows) > 1:
        for row in rows:
            order = _order(request, parameters, row, single=False)
            services.prearchive.set_status(row, "ARCHIVING")
            services.jobs.start("archive", _job(services, row, order))
        return table(request, COLUMNS, [row.cells() for row in rows])
    row = rows[0]
    order = _order(request, parameters, row, single=True)
    if services.project_code(row.project) == 5:
        order.replace_files = True
    listener = parameters.get("http-session-listener")
    session = request.session if listener else ""
    services.tracking.open(request.user, order.tracking_key, session=session, restart=True)
    try:
        services.prearchive.set_status(row, "ARCHIVING")
    except StatusRefused:
        message = "Operation already in progress on this prearchive entry."
        raise Refusal(403, message) from None
    job = services.jobs.start("archive", _job(services, row, order))
    if listener:
        return Answer(303, headers=[("Location", _site(request, state) + _SCREEN)])
    if not services.jobs.wait(job, _timeout(state)):
        raise Refusal(
            500,
            f"The session {row.project}/{row.timestamp}/{row.folder} did not complete within"
            " the configured timeout interval.",
        )
    if job.error is not None:
        raise _refusal(state, row, job.error)
    return _success(request, state, row, parameters, str(job.result))


def _job(services: Services, row: Row, order: ArchiveOrder) -> Callable[[], str]:
    return lambda: services.archiver.archive(row, order)


def _site(request: Request, state: State) -> str:
    return str(state.preferences["siteUrl"] or request.base).rstrip("/")


def _timeout(state: State) -> float:
    """Seconds of the stand-in's clock that a request waits for its job."""
    return float(state.preferences["sessionArchiveTimeoutInterval"])


def _refusal(state: State, row: Row, error: Exception) -> Refusal:
    """The answer to a failed job: 500, unless the site imitates an older server's codes.

    `archiveConflictStatus` (ours) is what a conflict answers: 500 (queue), 409 (up to 1.7) or 400.
    """
    if isinstance(error, Closed):
        return Refusal(503)
    status = 500
    if isinstance(error, ArchiveFailed) and error.row_status == "CONFLICT":
        status = int(state.preferences.get("archiveConflictStatus", 500))
    return Refusal(status, f"FAILED: Unable to archive {row.folder}: Operation Failed: {error}")


def _success(request: Request, state: State, row: Row, parameters: Params, uri: str) -> Answer:
    """200 with the URI, or 303: `redirect=true`, or a project that archives by itself."""
    services = state.part(Services)
    chosen = [parameters.flag(name) for name in ("auto-archive", "AA") if name in parameters]
    by_itself = chosen[0] if chosen else services.project_code(row.project) >= 4
    if parameters.raw("redirect") == "true" or by_itself:
        return Answer(303, headers=[("Location", _site(request, state) + uri)])
    return Answer.text(f"{uri}\r\n", content_type=URI_LIST)


def validate(request: Request, state: State) -> Answer:
    """The dry run of one row: a table of findings, empty when it is clean (B 3.5)."""
    parameters = _parameters(request)
    sources = _sources(parameters)
    if len(sources) > 1:
        raise Refusal(400)
    row = _rows(request, state, sources)[0]
    services = state.part(Services)
    order = _order(request, parameters, row, single=True)
    if not row.built:
        raise Refusal(404, "Unable to read the session document.")
    _, _, findings = services.archiver.findings(row, order)
    lines = [{"code": str(f.code), "type": f.kind, "message": f.message} for f in findings]
    return table(request, ("code", "type", "message"), lines)


ROUTES = [
    Route("POST", "/data/services/archive", post_archive, archive=False),
    Route("POST", "/data/services/validate-archive", validate, archive=False),
]
