"""The archive job: a prearchive row becomes an experiment (wire contract B 3).

Order inside the job: files linked into the archive, experiment saved, catalogs rewritten with their
checksums, prearchive files removed, row removed, tracking completed. So the experiment is visible
while the row is still `_ARCHIVING`, and a server killed in between leaves a row that can be reset.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .archive_checks import (
    ArchiveOrder,
    Existing,
    Finding,
    Labels,
    check,
    match_scan,
    resolve_labels,
    stopping,
)
from .archive_files import Undo, checksum_catalogs, enter_files, link_files
from .jobs import Closed
from .receiving import free_scan_id
from .state.catalog import Catalog
from .state.items import Item
from .state.prearchive import UNASSIGNED, Row, StatusRefused
from .state.resources import Resource

if TYPE_CHECKING:
    from .services import Services

__all__ = ["SAVED", "ArchiveFailed", "Archiver", "Failure"]

SAVED = "SAVED"
"""Hold point: the experiment is saved, the row is still `_ARCHIVING`."""


class ArchiveFailed(Exception):
    """The archive did not happen. `status` is the cause's own code, `row_status` what the row has.

    The queue turns every code into 500; only the old session importer shows it.
    """

    def __init__(self, message: str, status: int = 500, row_status: str = "ERROR") -> None:
        super().__init__(message)
        self.status = status
        self.row_status = row_status


@dataclass
class Failure:
    """A failure that a test orders for the next `times` archive jobs: `CONFLICT` or `ERROR`."""

    row_status: str = "ERROR"
    message: str = "The archive failed because a test said so."
    times: int = 1


@dataclass
class Knobs:
    """Delays in seconds of the stand-in's clock (wire contract B 14.5).

    :ivar archive_delay: the job stands at `_ARCHIVING` that long before it works.
    :ivar linger: the experiment is visible that long while the row is still `_ARCHIVING`.
    :ivar visibility_delay: the row is gone (and the answer out) that long before it is visible.
    :ivar failure: fails coming jobs.
    """

    archive_delay: float = 0.0
    linger: float = 0.0
    visibility_delay: float = 0.0
    failure: Failure | None = None


@dataclass
class _Plan:
    """A checked archive on its way into the store."""

    row: Row
    order: ArchiveOrder
    labels: Labels
    existing: Item | None
    scans: dict[str, str] = field(default_factory=dict)
    """Incoming scan ID -> ID in the archive."""


class Archiver:
    """Archives rows; the checks are in `archive_checks`, the rules of the queue in the route."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.knobs = Knobs()
        self._guard = threading.Lock()
        self._busy: set[tuple[str, str]] = set()
        self._subjects = threading.Lock()

    # the job ------------------------------------------------------------------------------------

    def archive(self, row: Row, order: ArchiveOrder) -> str:
        """Walks a row through `ARCHIVING` and `_ARCHIVING` into the archive.

        :returns: `/data/archive/projects/P/subjects/S/experiments/L`, labels, not IDs.
        :raises ArchiveFailed: the row is CONFLICT or ERROR and its log has the reason.
        :raises StatusRefused: the row is locked by another job or gone; it is left alone.
        """
        prearchive, jobs = self.services.prearchive, self.services.jobs
        prearchive.set_status(row, "ARCHIVING")
        jobs.pass_point("ARCHIVING")
        current = prearchive.by_pk(row.pk)
        if current is None:
            raise StatusRefused(f"{row.folder} not found.")
        row = current
        prearchive.set_status(row, "_ARCHIVING")
        self._note(row, order, f"Archiving {row.folder}")
        try:
            jobs.pass_point("_ARCHIVING")
            jobs.sleep(self.knobs.archive_delay)
            return self._work(row, order)
        except Closed:
            raise
        except Exception as error:
            failure = error if isinstance(error, ArchiveFailed) else ArchiveFailed(repr(error))
            self._fail(row, order, failure)
            raise failure from error

    def _fail(self, row: Row, order: ArchiveOrder, failure: ArchiveFailed) -> None:
        """Unlocks the row, sets its status and says why, in the log and in the tracking."""
        message = f"Operation Failed: {failure}"
        with suppress(StatusRefused):
            self.services.work.fail(row, failure.row_status, message)
        tracking = self.services.tracking
        key = order.tracking_key or row.key
        tracking.finish(order.user, key, False, f"Unable to archive {row.folder}: {message}")

    def _note(self, row: Row, order: ArchiveOrder, message: str) -> None:
        self.services.tracking.note(order.user, order.tracking_key or row.key, message)

    def findings(self, row: Row, order: ArchiveOrder) -> tuple[Labels, Item | None, list[Finding]]:
        """The labels, the experiment that has them already, and what there is to say."""
        labels = resolve_labels(row, order)
        existing = self.services.state.items.by_label(
            labels.project, labels.session, "experiment", "assessor"
        )
        found = check(
            row,
            labels,
            order,
            self._describe(existing) if existing else None,
            place=self.services.prearchive.place(row),
            cross_modality=bool(self.services.preferences.get("preventCrossModalityMerge", True)),
        )
        return labels, existing, found

    def _describe(self, session: Item) -> Existing:
        state = self.services.state
        subject = state.items.subject_of(session)
        scans: dict[str, tuple[str, Mapping[str, str]]] = {}
        for scan in state.items.below(session, "scan"):
            files = {
                f"{resource.label}/{entry.path}": entry.uid
                for resource in state.resources.of(scan)
                for entry in state.resources.catalog(resource).entries
            }
            scans[scan.id] = (str(scan.fields.get("UID", "")), files)
        workflow = state.workflows.open_one(session.id)
        return Existing(
            subject_label=subject.label if subject else "",
            subject_id=subject.id if subject else "",
            xsi_type=session.xsi_type,
            uid=str(session.fields.get("UID", "")),
            scans=scans,
            open_workflow=str(workflow["pipeline"]) if workflow else "",
        )

    def _work(self, row: Row, order: ArchiveOrder) -> str:
        if not row.built:
            raise ArchiveFailed("Unable to read the session document.")
        labels, existing, findings = self.findings(row, order)
        stop = stopping(findings)
        if stop is not None:
            status = 409 if stop.stops == "CONFLICT" else 400
            raise ArchiveFailed(stop.message, status, stop.stops)
        self._fail_as_ordered()
        key = (labels.project, labels.session)
        with self._guard:
            if key in self._busy:
                raise ArchiveFailed("Unable to lock session for archiving.", 423)
            self._busy.add(key)
        try:
            plan = _Plan(row, order, labels, existing)
            if self.knobs.visibility_delay > 0:
                self._save_later(plan)
            else:
                self._save(plan)
                self.services.jobs.pass_point(SAVED)
                self.services.jobs.sleep(self.knobs.linger)
                self._leave(plan)
        finally:
            with self._guard:
                self._busy.discard(key)
        return f"/data{self._address(labels)}"

    @staticmethod
    def _address(labels: Labels) -> str:
        return (
            f"/archive/projects/{labels.project}/subjects/{labels.subject}"
            f"/experiments/{labels.session}"
        )

    def _fail_as_ordered(self) -> None:
        failure = self.knobs.failure
        if failure is None:
            return
        failure.times -= 1
        if failure.times <= 0:
            self.knobs.failure = None
        status = 409 if failure.row_status == "CONFLICT" else 500
        raise ArchiveFailed(failure.message, status, failure.row_status)

    def _leave(self, plan: _Plan) -> None:
        """The prearchive forgets the row; then the tracking ends."""
        self.services.prearchive.delete(plan.row)
        key = plan.order.tracking_key or plan.row.key
        self.services.tracking.finish(plan.order.user, key, True, self._address(plan.labels))

    def _save_later(self, plan: _Plan) -> None:
        """The knob: row gone and answer out, the experiment follows."""
        delay = self.knobs.visibility_delay
        keep = self.services.prearchive.place(plan.row)
        aside = keep.with_name(f".{keep.name}.leaving")
        keep.rename(aside)
        self._leave(plan)

        def late() -> None:
            self.services.jobs.sleep(delay)
            self._save(plan, aside)
            self.services.remove_tree(aside)

        self.services.jobs.start("late-save", late)

    # saving -------------------------------------------------------------------------------------

    def _save(self, plan: _Plan, place: Path | None = None) -> Item:
        """Links the files and saves the experiment with everything below it, or nothing at all."""
        state = self.services.state
        place = place or self.services.prearchive.place(plan.row)
        touched: list[Resource] = []
        with ExitStack() as stack:
            undo = stack.enter_context(Undo())
            with state.store.writing():
                session = plan.existing or self._new_session(plan)
                self._fill(session, plan)
                for scan in plan.row.built["scans"]:
                    item = self._scan_item(session, scan, plan)
                    for resource in scan["resources"]:
                        source = place / "SCANS" / scan["id"] / resource["label"]
                        touched.append(self._take(item, resource, source, plan, undo))
                touched += self._take_session_resources(session, place, plan, undo)
                self._record(session, plan)
            undo.keep()
        checksum_catalogs(state, touched)
        return session

    def _new_session(self, plan: _Plan) -> Item:
        items = self.services.state.items
        session = Item(
            kind="experiment",
            id=items.new_id("experiment", str(self.services.preferences["siteId"])),
            label=plan.labels.session,
            xsi_type=str(plan.row.built["xsi_type"]),
            project=plan.labels.project,
            parent=self.subject(plan.labels, plan.order.user).pk,
        )
        return items.add(session, plan.order.user)

    def subject(self, labels: Labels, user: str) -> Item:
        """The subject by label (case does not matter), then by ID, else a new one (B 3.2)."""
        items = self.services.state.items
        with self._subjects:
            found = items.by_label(labels.project, labels.subject, "subject") or next(
                items.all(
                    "subject",
                    where="project = ? AND lower(label) = lower(?)",
                    values=(labels.project, labels.subject),
                ),
                None,
            )
            found = found or items.by_id(labels.subject, "subject")
            if found is not None:
                return found
            new = Item(
                kind="subject",
                id=items.new_id("subject", str(self.services.preferences["siteId"])),
                label=labels.subject,
                xsi_type="xnat:subjectData",
                project=labels.project,
            )
            project = items.project(labels.project)
            new.parent = project.pk if project else None
            return items.add(new, user)

    def _fill(self, session: Item, plan: _Plan) -> None:
        """Fields from the document and the call; a merge fills gaps, override replaces."""
        given = {
            key.split("/", 1)[1]: value
            for key, value in plan.order.fields.items()
            if "/" in key and not key.endswith("/label")
        }
        fresh = dict(plan.row.built["fields"])
        if plan.existing is not None and not plan.order.override:
            fresh = {key: value for key, value in fresh.items() if key not in session.fields}
        fields = {**session.fields, **fresh, **given}
        status = session.status
        quarantined = self.services.state.rights.code(session.project, "quarantine_code", "0")
        if plan.order.quarantine or quarantined == "1":
            status = "quarantine"
        if fields != session.fields or status != session.status:
            session.fields, session.status = fields, status
            self.services.state.items.save(session, plan.order.user)

    def _scan_item(self, session: Item, scan: Mapping[str, Any], plan: _Plan) -> Item:
        items = self.services.state.items
        known = {item.id: item for item in items.below(session, "scan")}
        number = str(scan["id"])
        if plan.existing is not None:
            uids = {
                key: (str(item.fields.get("UID", "")), dict[str, str]())
                for key, item in known.items()
            }
            here = Existing("", "", "", "", uids)
            kind = match_scan(scan, here)
            if kind == "same":
                return known[number]
            number = free_scan_id(number, str(scan["fields"].get("modality", "")), set(known))
        plan.scans[str(scan["id"])] = number
        return items.add(
            Item(
                kind="scan",
                id=number,
                xsi_type=str(scan["xsi_type"]),
                project=session.project,
                parent=session.pk,
                fields=dict(scan["fields"]),
            ),
            plan.order.user,
        )

    def _take(
        self, item: Item, resource: Mapping[str, Any], source: Path, plan: _Plan, undo: Undo
    ) -> Resource:
        """One resource of a scan: files linked, catalogued, counted."""
        state = self.services.state
        label = str(resource["label"])
        known = state.resources.find(item, label)
        made = known or state.resources.create(
            item, label, format=str(resource["format"]), content=str(resource["content"])
        )
        entries = {str(entry["path"]): entry for entry in resource["files"]}
        replace = plan.order.override or plan.order.replace_files
        undo.save(made.catalog_path)
        if known is None:  # a catalog that is there was left behind, and so were its files
            state.resources.write(made, Catalog())
        catalogued = {entry.path for entry in state.resources.catalog(made).entries}
        try:
            linked = link_files(
                source, made.folder, list(entries), undo, replace=replace, catalogued=catalogued
            )
        except FileExistsError as error:
            message = f"Session already exists with matching files. ({label}/{error})"
            raise ArchiveFailed(message, 409, "CONFLICT") from None
        enter_files(state, made, linked, entries, user=plan.order.user, uid=plan.row.tag)
        return made

    def _take_session_resources(
        self, session: Item, place: Path, plan: _Plan, undo: Undo
    ) -> list[Resource]:
        """What was put under `/resources` of the prearchive entry becomes the session's."""
        state = self.services.state
        made = []
        root = place / "RESOURCES"
        for folder in sorted(root.iterdir()) if root.is_dir() else []:
            paths = [
                path.relative_to(folder).as_posix()
                for path in sorted(folder.rglob("[!.]*"))
                if path.is_file() and not path.name.endswith("_catalog.xml")
            ]
            resource = state.resources.find(session, folder.name) or state.resources.create(
                session, folder.name
            )
            undo.save(resource.catalog_path)
            linked = link_files(folder, resource.folder, paths, undo, replace=True)
            enter_files(state, resource, linked, {}, user=plan.order.user)
            made.append(resource)
        return made

    def _record(self, session: Item, plan: _Plan) -> None:
        """The workflow rows of a finished archive."""
        names = ["Merged" if plan.existing is not None else "Transferred"]
        if plan.order.trigger_pipelines:
            names.append("AutoRun")
        for name in names:
            self.services.state.workflows.open(
                session.id,
                session.xsi_type,
                name,
                project=session.project,
                user=plan.order.user,
                status="Complete",
            )

    # by itself ----------------------------------------------------------------------------------

    def after_build(self, row: Row) -> None:
        """What follows READY in the idle rebuilder: auto-archive where flag or code say so.

        The row's own flag wins unless it is Manual; then the project's present code counts (B 2.7).
        """
        code = self.services.project_code(row.project)
        flagged = row.autoarchive not in {"", "Manual"}
        if row.project == UNASSIGNED or not (flagged or code >= 4):
            return
        replace = code == 5 or row.autoarchive == "AutoArchiveOverwrite"
        order = ArchiveOrder(
            user=row.uploader or "admin", replace_files=replace, tracking_key=row.key
        )
        with suppress(StatusRefused):
            self.queue(row, order)

    def queue(self, row: Row, order: ArchiveOrder, then: Callable[[], None] | None = None) -> None:
        """QUEUED_ARCHIVING now, the archive in a job of its own.

        :raises StatusRefused: the row is locked.
        """
        self.services.prearchive.set_status(row, "QUEUED_ARCHIVING")

        def work() -> str:
            self.services.jobs.pass_point("QUEUED_ARCHIVING")
            try:
                return self.archive(row, order)
            finally:
                if then is not None:
                    then()

        self.services.jobs.start("archive", work)
