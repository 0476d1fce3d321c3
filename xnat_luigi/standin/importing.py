"""The import handlers: archives and single objects into the prearchive and on (B 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .archive_checks import ArchiveOrder
from .archiver import ArchiveFailed
from .dicom_import import Unreadable, UnsupportedFormat, archive_entries
from .jobs import Closed
from .prearchive_work import WorkFailed
from .receiving import ConcurrentSend, Order
from .state.prearchive import Row, StatusRefused
from .wire import Refusal

if TYPE_CHECKING:
    from .services import Services

__all__ = ["Destination", "ImportCall", "Upload", "parse_destination", "run_import"]


@dataclass(frozen=True)
class Upload:
    """The one file of an import: where it lies and the name that tells its format."""

    path: Path
    name: str


@dataclass(frozen=True)
class Destination:
    """`dest`, taken apart: `kind` is `prearchive` or `archive`."""

    kind: str
    labels: dict[str, str] = field(default_factory=dict)
    place: tuple[str, str] | None = None


_PREARCHIVE = re.compile(r"/prearchive(?:/projects/([^/]+)(?:/([^/]+)(?:/([^/]+))?)?)?/?\Z")
_ARCHIVE = re.compile(
    r"/archive(?:/projects/([^/]+)(?:/subjects/([^/]+)(?:/experiments/([^/]+))?)?)?/?\Z"
)


def parse_destination(text: str) -> Destination:
    """Reads `dest`; a leading `/data` or `/REST` does not matter.

    :raises Refusal: 400, not an address of the prearchive or archive.
    """
    bare = re.sub(r"\A/(?:data|REST)(?=/)", "", text)
    found = _PREARCHIVE.match(bare)
    if found:
        project, stamp, folder = found.groups()
        place = (stamp, folder or "") if stamp else None
        return Destination("prearchive", _given(project=project), place)
    found = _ARCHIVE.match(bare)
    if found:
        project, subject, session = found.groups()
        return Destination("archive", _given(project=project, subject=subject, session=session))
    raise Refusal(400, f"Invalid destination URI: {text}")


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


@dataclass
class ImportCall:
    """One call of the service, its parameters already joined (fields, then query)."""

    user: str
    parameters: dict[str, str]
    explicit_commit: bool
    upload: Upload | None
    session: str = ""

    def get(self, *names: str) -> str:
        for name in names:
            if self.parameters.get(name):
                return self.parameters[name]
        return ""

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.parameters.get(name)
        return default if value is None else value.lower() not in {"false", "0"}

    @property
    def auto_archive(self) -> bool:
        return self.flag("AA") or self.flag("auto-archive")

    @property
    def listener(self) -> str:
        return self.get("http-session-listener", "transaction")


@dataclass
class _Run:
    """An import under way."""

    services: Services
    call: ImportCall
    destination: Destination | None
    order: Order
    touched: list[Row] = field(default_factory=list)

    @property
    def commits(self) -> bool:
        return self.destination is not None or self.call.get("action") == "commit"

    def touch(self, row: Row) -> None:
        if all(row.pk != other.pk for other in self.touched):
            self.touched.append(row)

    def note(self, message: str, status: str = "InProgress") -> None:
        if self.call.listener:
            self.services.tracking.note(self.call.user, self.call.listener, message, status=status)

    def finish(self, succeeded: bool, message: str) -> None:
        if self.call.listener:
            self.services.tracking.finish(self.call.user, self.call.listener, succeeded, message)


def run_import(services: Services, call: ImportCall) -> list[str]:
    """Runs the handler the call names and returns the URIs it answers with.

    :raises Refusal: with the status of the wire contract (B 1.4).
    """
    name = call.get("import-handler") or _default_handler(services)
    handlers = {
        "DICOM-zip": import_dicom_zip,
        "SI": import_session,
        "gradual-DICOM": import_gradual,
    }
    if name == "inbox":
        services.start_ticking()
        return [services.inbox.submit(call.user, call.parameters)]
    if name in {"XAR", "automation"}:
        raise Refusal(501, f"The stand-in does not have the import handler {name}.")
    if name not in handlers:
        raise Refusal(404, f"Unknown importer implementation specified: {name}")
    if call.upload is None:
        raise Refusal(400, "Unable to identify upload format.")
    services.start_ticking()
    run = _prepare(services, call, fresh=name == "SI")
    if call.listener:
        services.tracking.open(call.user, call.listener, session=call.session)
    try:
        return handlers[name](run)
    except Refusal as refusal:
        if run.commits or name == "SI":
            run.finish(False, refusal.message or "")
        raise


def _default_handler(services: Services) -> str:
    return str(services.preferences.get("uiDefaultCompressedUploaderImporter") or "DICOM-zip")


def _prepare(services: Services, call: ImportCall, *, fresh: bool) -> _Run:
    text = call.get("dest")
    destination = parse_destination(text) if text else None
    labels = dict(destination.labels) if destination else {}
    synonyms = {
        "project": ("PROJECT_ID", "project"),
        "subject": ("SUBJECT_ID", "subject"),
        "session": ("EXPT_LABEL", "session"),
    }
    parameters = dict(call.parameters)
    for short, (long, brief) in synonyms.items():
        value = call.get(brief) or labels.get(short, "") or call.get(long)
        parameters[short] = value
    order = Order(
        user=call.user,
        parameters=parameters,
        place=destination.place if destination else None,
        fresh=fresh and not (destination and destination.place and destination.place[1]),
    )
    return _Run(services, call, destination, order)


def overwriting(services: Services, call: ImportCall, project: str) -> tuple[bool, bool]:
    """(override, merge) of `overwrite` and `prearchive_code=1` (B 1.3).

    Every value but `delete` and `override` means append, `none` too; only absence means neither.
    """
    value = call.parameters.get("overwrite")
    if call.parameters.get("prearchive_code") == "1":
        if value is not None:
            raise Refusal(400, "prearchive_code and overwrite exclude each other.")
        if not services.state.items.project(project):
            raise Refusal(500)
        value = "delete" if services.project_code(project) == 5 else "append"
    if value is None:
        return False, False
    return value in {"delete", "override"}, True


# --- the handlers -----------------------------------------------------------------------------


def import_dicom_zip(run: _Run) -> list[str]:
    """Every entry goes through the gradual importer; a bad one ends the call, the rest stays."""
    call, services = run.call, run.services
    project = run.order.parameters["project"]
    override, merge = overwriting(services, call, project)
    direct = call.flag("Direct-Archive")
    if direct and run.commits:
        raise Refusal(400, "Unable to find a prearchive session for the direct archive.")
    skip = call.flag("Ignore-Unparsable", default=call.explicit_commit)
    uris, failures, stored = _receive_all(run, skip=skip, direct=direct)
    if failures and not stored:
        raise Refusal(400, f"unable to read DICOM object {failures[0]}")
    if not run.commits:
        return uris
    uris, tracked = [], []
    for row in run.touched:
        uris.append(_commit(run, row, override=override, merge=merge))
        tracked.append(uris[-1].removeprefix("/data"))
    where = "Archive" if any(uri.startswith("/data/archive") for uri in uris) else "Prearchive"
    run.finish(True, f"{where}:{';'.join(tracked)}")
    return uris


def _receive_all(run: _Run, *, skip: bool, direct: bool) -> tuple[list[str], list[str], int]:
    """Stores every readable entry; (URIs in order of first sight, unreadable names, stored)."""
    assert run.call.upload is not None
    uris: list[str] = []
    failures: list[str] = []
    stored = 0
    try:
        for name, data in archive_entries(run.call.upload.path, run.call.upload.name):
            try:
                uri = _receive_one(run, data, name, direct=direct)
            except Unreadable:
                if not skip:
                    raise Refusal(400, f"unable to read DICOM object {name}") from None
                failures.append(name)
                continue
            stored += 1
            if uri and uri not in uris:
                uris.append(uri)
    except UnsupportedFormat as error:
        raise Refusal(400, str(error)) from None
    return uris, failures, stored


def _receive_one(run: _Run, data: bytes, name: str, *, direct: bool) -> str:
    """The URI of what took the object, "" when the site's filter dropped it."""
    try:
        if direct:
            uri = run.services.direct.receive(run.order, data, name)
            if uri is not None:
                return uri
        row = run.services.receiver.receive(run.order, data, name)
    except ConcurrentSend as error:
        raise Refusal(400, str(error)) from None
    if row is None:
        return ""
    run.touch(row)
    run.note(f"Received {name}")
    return f"/data{row.url}"


def _commit(run: _Run, row: Row, *, override: bool, merge: bool) -> str:
    """Build, and archive where `dest` or `AA` says so; the project's code is not asked (B 1.5)."""
    services, call = run.services, run.call
    try:
        services.work.build(row)
    except StatusRefused:
        raise Refusal(400, "session document locked") from None
    except WorkFailed as error:
        raise Refusal(400, f"unable to build the Prearchive session: {error}") from None
    to_archive = run.destination is not None and run.destination.kind == "archive"
    if not to_archive and not call.auto_archive:
        return f"/data{row.url}"
    merge = merge or services.project_code(row.project) >= 4
    order = ArchiveOrder(
        user=call.user,
        override=override,
        merge=merge,
        replace_files=override or call.flag("overwrite_files"),
        tracking_key=call.listener or row.key,
    )
    if run.destination is not None:
        order.subject = run.destination.labels.get("subject", "")
        order.session = run.destination.labels.get("session", "")
    try:
        return services.archiver.archive(row, order)
    except (ArchiveFailed, StatusRefused):
        raise Refusal(400, "unable to archive for the Prearchive session") from None


def import_gradual(run: _Run) -> list[str]:
    """One object in the body; `application/x-mirc` is answered elsewhere with a plain `OK`."""
    assert run.call.upload is not None
    try:
        uri = _receive_one(
            run,
            run.call.upload.path.read_bytes(),
            "" if run.call.upload.name.startswith("upload.") else run.call.upload.name,
            direct=run.call.flag("Direct-Archive"),
        )
    except Unreadable:
        raise Refusal(400, f"unable to read DICOM object {run.call.upload.name}") from None
    return [uri] if uri else []


def import_session(run: _Run) -> list[str]:
    """The old session importer: always a new row, built at once (B 1.5, "SI differs")."""
    services, call = run.services, run.call
    kind = call.get("prearc-importer") or "DICOM"
    if kind == "ECAT":
        raise Refusal(501, "The stand-in reads no ECAT.")
    if kind != "DICOM":
        raise Refusal(404, f"Unknown prearchive importer: {kind}")
    override, merge = overwriting(services, call, run.order.parameters["project"])
    _receive_all(run, skip=True, direct=False)
    if not run.touched:
        raise Refusal(400, "No parsable files were found in the upload.")
    to_archive = run.destination is not None and run.destination.kind == "archive"
    if to_archive and len(run.touched) > 1:
        raise Refusal(400, "Upload included files for multiple imaging sessions.")
    for row in run.touched:
        try:
            services.work.build(row)
        except (StatusRefused, WorkFailed) as error:
            raise Refusal(500, str(error)) from None
    uris = []
    for row in run.touched:
        if to_archive or call.auto_archive or services.project_code(row.project) >= 4:
            uris.append(_archive_session(run, row, override=override, merge=merge))
        else:
            uris.append(f"/data{row.url}")
    where = "Archive" if any(uri.startswith("/data/archive") for uri in uris) else "Prearchive"
    run.finish(True, f"{where}:{';'.join(uri.removeprefix('/data') for uri in uris)}")
    return uris


def _archive_session(run: _Run, row: Row, *, override: bool, merge: bool) -> str:
    call = run.call
    labels: Mapping[str, Any] = run.destination.labels if run.destination else {}
    order = ArchiveOrder(
        user=call.user,
        subject=str(labels.get("subject", "")),
        session=str(labels.get("session", "")),
        fields={key: value for key, value in call.parameters.items() if "/" in key},
        override=override,
        merge=merge or run.services.project_code(row.project) >= 4,
        replace_files=override or call.flag("overwrite_files"),
        quarantine=call.flag("quarantine"),
        trigger_pipelines=call.flag("triggerPipelines", default=True),
        tracking_key=call.listener or row.key,
    )
    try:
        return run.services.archiver.archive(row, order)
    except ArchiveFailed as error:
        raise Refusal(error.status, str(error)) from None
    except StatusRefused as error:
        raise Refusal(423, str(error)) from None
    except Closed:
        raise Refusal(500) from None
