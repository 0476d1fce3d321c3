"""What lies below a prearchive session: scans, resources, files (wire contract B 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..dicom_session import session_xml
from ..receiving import write_file
from ..render.tables import table
from ..services import Services
from ..state import State
from ..state.prearchive import UNASSIGNED, Row
from ..wire import Answer, Part, Refusal, Request
from . import Route
from .prearchive import row_of, zip_answer

__all__ = ["ROUTES"]

_MISSING = "Unable to locate prearc resource."


def _built_row(request: Request, state: State) -> Row:
    """The row, which must have its document.

    Raises: `Refusal` 404 not there or not built, 403 no right.
    """
    row = row_of(request, state)
    if row is None or not state.part(Services).prearchive.is_built(row):
        raise Refusal(404, _MISSING)
    return row


def _scan(request: Request, row: Row) -> Mapping[str, Any]:
    wanted = unquote(request.variables["SCAN"])
    for scan in row.built["scans"]:
        if scan["id"] == wanted:
            found: Mapping[str, Any] = scan
            return found
    raise Refusal(404, _MISSING)


def _stats(files: list[Mapping[str, Any]]) -> dict[str, str]:
    total = sum(int(entry["size"]) for entry in files)
    return {"file_count": str(len(files)), "file_size": str(total)}


# --- scans ------------------------------------------------------------------------------------


def list_scans(request: Request, state: State) -> Answer:
    """`ID`, `xsiType`, `series_description`."""
    row = _built_row(request, state)
    lines = [
        {
            "ID": scan["id"],
            "xsiType": scan["xsi_type"],
            "series_description": scan["fields"].get("series_description", ""),
        }
        for scan in row.built["scans"]
    ]
    return table(request, ("ID", "xsiType", "series_description"), lines)


def get_scan(request: Request, state: State) -> Answer:
    """Its files as a zip; no other format (400)."""
    row = _built_row(request, state)
    scan = _scan(request, row)
    if request.format != "zip":
        raise Refusal(400)
    folder = state.part(Services).prearchive.place(row) / "SCANS" / scan["id"]
    return zip_answer(folder, f"{row.folder}_{scan['id']}", f"{row.folder}/SCANS/{scan['id']}")


def delete_scan(request: Request, state: State) -> Answer:
    """Takes a scan out of the document and off the disk."""
    row = _built_row(request, state)
    scan = _scan(request, row)
    services = state.part(Services)
    left = [other for other in row.built["scans"] if other["id"] != scan["id"]]
    services.prearchive.update(row, built={**row.built, "scans": left})
    project = "" if row.project == UNASSIGNED else row.project
    xml = session_xml(row.built, project=project, subject=row.subject, label=row.name)
    write_file(services.prearchive.document(row), xml)
    services.remove_tree(services.prearchive.place(row) / "SCANS" / scan["id"])
    return Answer()


def list_scan_resources(request: Request, state: State) -> Answer:
    """`label`, `file_count`, `file_size`."""
    scan = _scan(request, _built_row(request, state))
    lines = [
        {"label": resource["label"], **_stats(resource["files"])} for resource in scan["resources"]
    ]
    return table(request, ("label", "file_count", "file_size"), lines)


def _scan_resource(request: Request, row: Row) -> tuple[Path, list[Mapping[str, Any]]]:
    scan = _scan(request, row)
    wanted = unquote(request.variables["RESOURCE"])
    for resource in scan["resources"]:
        if resource["label"] == wanted:
            return Path("SCANS", scan["id"], wanted), list(resource["files"])
    raise Refusal(404, _MISSING)


def list_scan_files(request: Request, state: State) -> Answer:
    """`Name`, `Size`, `URI` of the document's files, or one file's bytes."""
    row = _built_row(request, state)
    folder, files = _scan_resource(request, row)
    sizes = {str(entry["path"]): int(entry["size"]) for entry in files}
    return _files(request, state.part(Services).prearchive.place(row) / folder, sizes)


def _files(request: Request, folder: Path, sizes: Mapping[str, int]) -> Answer:
    wanted = unquote(request.remainder)
    if not wanted:
        return _file_table(request, sizes)
    if wanted not in sizes or not (folder / wanted).is_file():
        raise Refusal(404, "Unable to find file.")  # 404 or 500, unverified
    return Answer(body=folder / wanted, content_type="application/octet-stream")


def _file_table(request: Request, sizes: Mapping[str, int]) -> Answer:
    pretty = request.query.flag("prettyPrint")
    base = request.path.rstrip("/")
    lines = [
        {
            "Name": path.rpartition("/")[2],
            "Size": _human(size) if pretty else str(size),
            "URI": f"{base}/{path}",
        }
        for path, size in sizes.items()
    ]
    return table(request, ("Name", "Size", "URI"), lines)


def _human(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GB"


# --- resources of the session -------------------------------------------------------------------


def _own_folder(request: Request, state: State, row: Row) -> Path:
    label = unquote(request.variables["RESOURCE"])
    if not label or label in {".", ".."} or "/" in label:
        raise Refusal(404, _MISSING)
    return state.part(Services).prearchive.place(row) / "RESOURCES" / label


def _own_files(folder: Path) -> dict[str, int]:
    if not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def list_resources(request: Request, state: State) -> Answer:
    """`category`, `cat_id`, `label`, `file_count`, `file_size` of session and scans."""
    row = _built_row(request, state)
    root = state.part(Services).prearchive.place(row) / "RESOURCES"
    lines = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        files = _own_files(folder)
        lines.append(
            {
                "category": "resources",
                "cat_id": "",
                "label": folder.name,
                "file_count": str(len(files)),
                "file_size": str(sum(files.values())),
            }
        )
    for scan in row.built["scans"]:
        for resource in scan["resources"]:
            where = {"category": "scans", "cat_id": scan["id"], "label": resource["label"]}
            lines.append({**where, **_stats(resource["files"])})
    return table(request, ("category", "cat_id", "label", "file_count", "file_size"), lines)


def get_resource(request: Request, state: State) -> Answer:
    """A session resource as a zip."""
    row = _built_row(request, state)
    folder = _own_folder(request, state, row)
    if not folder.is_dir():
        raise Refusal(404, _MISSING)
    if request.format != "zip":
        raise Refusal(400)
    return zip_answer(folder, folder.name, f"{row.folder}/RESOURCES/{folder.name}")


def delete_resource(request: Request, state: State) -> Answer:
    """Removes a session resource."""
    row = _built_row(request, state)
    folder = _own_folder(request, state, row)
    if not folder.is_dir():
        raise Refusal(404, _MISSING)
    state.part(Services).remove_tree(folder)
    return Answer()


def list_resource_files(request: Request, state: State) -> Answer:
    """The listing of a session resource, or one file's bytes."""
    row = _built_row(request, state)
    folder = _own_folder(request, state, row)
    if not folder.is_dir():
        raise Refusal(404, _MISSING)
    return _files(request, folder, _own_files(folder))


def put_file(request: Request, state: State) -> Answer:
    """Stores files of a session resource; replaces silently, 200 empty, no digest yet."""
    row = _built_row(request, state)
    folder = _own_folder(request, state, row)
    wanted = unquote(request.remainder)
    if ".." in Path(wanted).parts:
        raise Refusal(400)
    for name, part in _uploads(request, wanted):
        write_file(folder / name, part.chunks())
    return Answer()


def _uploads(request: Request, wanted: str) -> list[tuple[str, Part]]:
    if request.is_multipart:
        files = [part for part in request.parts() if part.filename is not None]
        if not files:
            raise Refusal(400)
        return [(wanted or str(part.filename), part) for part in files]
    body = request.body
    if body.path is None or not body.size or not wanted:
        raise Refusal(400)
    return [(wanted, Part(body.path, 0, body.size))]


def delete_file(request: Request, state: State) -> Answer:
    """Deletes one file; with the last one the resource goes too."""
    row = _built_row(request, state)
    folder = _own_folder(request, state, row)
    wanted = unquote(request.remainder)
    if wanted not in _own_files(folder):
        raise Refusal(404, _MISSING)
    (folder / wanted).unlink()
    if not _own_files(folder):
        state.part(Services).remove_tree(folder)
    return Answer()


_ROW = "/data/prearchive/projects/{PROJECT}/{TIMESTAMP}/{FOLDER}"
_SCAN = _ROW + "/scans/{SCAN}"
_RESOURCE = _ROW + "/resources/{RESOURCE}"
ROUTES = [
    Route("GET", _ROW + "/scans", list_scans, archive=False),
    Route("GET", _SCAN, get_scan, archive=False),
    Route("DELETE", _SCAN, delete_scan, archive=False),
    Route("GET", _SCAN + "/resources", list_scan_resources, archive=False),
    Route("GET", _SCAN + "/resources/{RESOURCE}/files", list_scan_files, archive=False),
    Route("GET", _ROW + "/resources", list_resources, archive=False),
    Route("GET", _RESOURCE, get_resource, archive=False),
    Route("DELETE", _RESOURCE, delete_resource, archive=False),
    Route("GET", _RESOURCE + "/files", list_resource_files, archive=False),
    Route("PUT", _RESOURCE + "/files", put_file, archive=False),
    Route("DELETE", _RESOURCE + "/files", delete_file, archive=False),
]
