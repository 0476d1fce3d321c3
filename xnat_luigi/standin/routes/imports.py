"""`POST /data/services/import` (wire contract B 1, 7)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from ..importing import ImportCall, Upload, run_import
from ..services import Services
from ..state import State
from ..wire import Answer, Params, Part, Refusal, Request
from . import Route

__all__ = ["ROUTES"]

EXTENSIONS = {
    "application/zip": ".zip",
    "application/x-tar": ".tar",
    "application/x-gtar": ".tar.gz",
    "application/x-gzip": ".gzip",
    "application/octet-stream": "",
    "application/dicom": ".dcm",
}
_MIRC = {"application/x-mirc", "application/x-mirc-dicom"}
_GRADUAL = {"application/dicom", *_MIRC}


def post_import(request: Request, state: State) -> Answer:
    """Takes one upload (raw, multipart or from the user's cache) to its handler.

    Raises: `Refusal` as in wire contract B 1.1 and 1.4.
    """
    if request.user == "guest":
        raise Refusal(401)
    services = state.part(Services)
    part, fields = _find_upload(request)
    parameters = dict((fields + request.query).items())
    if parameters.get("http-session-listener") == "":
        raise Refusal(400, "http-session-listener must not be empty.")
    media = request.body.media_type
    if media in _GRADUAL:
        parameters.setdefault("import-handler", "gradual-DICOM")
    call = ImportCall(
        user=request.user,
        parameters=parameters,
        explicit_commit=parameters.get("action") == "commit",
        upload=None,
        session=request.session if "http-session-listener" in parameters else "",
    )
    if "src" in parameters:
        call.upload = _cached_upload(services, request.user, parameters["src"])
        if "http-session-listener" in parameters:
            return _run_later(services, call)
        return _answer(request, run_import(services, call))
    if part is None:
        return _answer(request, run_import(services, call))
    name = part.filename or _pseudo_name(request)
    folder = state.tmp
    path = part.file if part.offset == 0 and part.size == request.body.size else None
    copied = path or part.copy_to(folder / f"import-{id(part):x}-{request.session}")
    call.upload = Upload(copied, name)
    try:
        uris = run_import(services, call)
    finally:
        if path is None:
            copied.unlink(missing_ok=True)
    if media == "application/x-mirc":
        return Answer.text("OK")
    return _answer(request, uris)


def _find_upload(request: Request) -> tuple[Part | None, Params]:
    """The file part and the fields of the body (B 1.1)."""
    media = request.body.media_type
    if media == "application/x-www-form-urlencoded":
        raise Refusal(400, "Unable to identify upload format.")
    if request.is_multipart:
        if request.query.flag("inbody"):
            # Intended 406, in practice likely 500 (unverified in the wire contract).
            raise Refusal(500)
        return _multipart(request)
    if not request.query.flag("inbody") and media not in EXTENSIONS:
        if media in _MIRC:
            raise Refusal(500)
        return None, Params()
    if media != "application/zip" and not request.body.declared:
        raise Refusal(400, "Unable to identify the size of the upload.")
    if request.body.path is None or request.body.size == 0:
        raise Refusal(400, "Unable to identify upload format.")
    return Part(request.body.path, 0, request.body.size), Params()


def _multipart(request: Request) -> tuple[Part | None, Params]:
    fields: list[tuple[str, str]] = []
    files: list[Part] = []
    for part in request.parts():
        if part.filename is None:
            if part.name == "reference":
                raise Refusal(400, "Importer does not accept references.")
            fields.append((part.name, part.read().decode("utf-8", "replace")))
        else:
            files.append(part)
    if len(files) > 1:
        raise Refusal(400, "Importer is limited to one uploaded resource at a time.")
    return (files[0] if files else None), Params(fields)


def _pseudo_name(request: Request) -> str:
    """The name that tells the format: the path's last part, else `upload` + extension."""
    given = unquote(request.remainder).rpartition("/")[2]
    if given:
        return given
    media = request.body.media_type
    return "upload" + EXTENSIONS.get(media, ".unsupported")


def _cached_upload(services: Services, user: str, src: str) -> Upload:
    """A file that the user put into the cache before: `/user/cache/resources/X/files/F`."""
    parts = src.removeprefix("/data").strip("/").split("/")
    if len(parts) < 6 or parts[:3] != ["user", "cache", "resources"] or parts[4] != "files":
        raise Refusal(400, "src uri is invalid.")
    if any(part in {"..", ""} for part in parts):
        raise Refusal(400, "src uri is invalid.")
    path = services.user_cache / user / parts[3] / Path(*parts[5:])
    if not path.is_file():
        raise Refusal(404, "Unknown src file.")
    return Upload(path, path.name)


def _run_later(services: Services, call: ImportCall) -> Answer:
    """With a listener and `src` the answer comes at once, the work goes on in a thread."""
    services.tracking.open(call.user, call.listener, session=call.session)
    services.jobs.start("import", lambda: run_import(services, call))
    where = "archival" if call.get("dest").removeprefix("/data").startswith("/archive") else ""
    return Answer.text(f"Submitted for {where or 'prearchival'}")


def _answer(request: Request, uris: list[str]) -> Answer:
    """CRLF after every URI; `format=txt` with exactly one has none (B 1.4)."""
    if request.format == "txt" and len(uris) == 1:
        return Answer.text(uris[0])
    body = "".join(f"{uri}\r\n" for uri in uris)
    return Answer.text(body, content_type="text/uri-list")


def refuse_method(request: Request, state: State) -> Answer:
    """Everything but POST is 405."""
    raise Refusal(405)


ROUTES = [
    Route("POST", "/data/services/import", post_import, archive=False),
    Route("GET", "/data/services/import", refuse_method, archive=False),
    Route("PUT", "/data/services/import", refuse_method, archive=False),
    Route("DELETE", "/data/services/import", refuse_method, archive=False),
]
