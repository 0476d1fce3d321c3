"""A project onto another server: items as documents, files in streams, all of it proven.

Nothing is kept on the local disk, and no list of what is done: what the target shows counts. So a
copy that broke off goes on where it was, and a second one of an equal project sends nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from .. import uris
from ..exceptions import (
    XNATAuthError,
    XNATConflictError,
    XNATConnectionError,
    XNATError,
    XNATIntegrityError,
    XNATUnclearError,
    XNATUploadError,
    XNATValueError,
)
from ..rest.absence import find_experiment, find_subject, project_exists
from ..rest.contents import list_files, list_resources, list_session_files
from ..rest.documents import get_project
from ..rest.files.download import open_file
from ..rest.files.upload import check_file_path, create_resource, put_archive
from ..rest.listings import list_experiments, list_scans, list_subjects
from ..rest.portable import put_document, read_portable
from ..rest.records import Experiment, File, Resource, Subject
from ..staging.pack import pack_zip
from ..uris import Address
from .select import Selection
from .upload import missing_after

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["Copied", "copy_project"]

log = logging.getLogger(__name__)

ARCHIVE_LIMIT = 1 << 30
"""bytes of files in one request; a resource with more is sent in several"""
TRIES = 3
_AGAIN = (XNATConnectionError, XNATUnclearError, XNATIntegrityError)

Progress = Callable[[str], None]


@dataclass
class Copied:
    """What a copy did. `kept` files were there and equal already, `shared` are items of other
    projects that were left out, `failed` are places and reasons."""

    subjects: int = 0
    experiments: int = 0
    assessors: int = 0
    resources: int = 0
    files: int = 0
    bytes: int = 0
    kept: int = 0
    shared: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def copy_project(
    source: Connection,
    target: Connection,
    project: str,
    new_project: str | None = None,
    *,
    selection: Selection | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """Copy a project with subjects, experiments, assessors, scans, resources and files.

    Labels stay, IDs are those the target gives. Items shared into the project are left out and
    named. What fails is noted, and the rest goes on.

    Parameters
    ----------
    new_project : str, optional
        The ID of the project on the target; the same when missing. Made when it is not there.
    selection : Selection, optional
        Which experiments, scans' and other resources; all when missing.
    overwrite : bool
        Replace files of the target that hold something else. Otherwise they are left alone, and
        their resource is among what failed.
    progress : callable, optional
        Called with a text for every subject and experiment.

    Raises
    ------
    XNATValueError
        Source and target are the same project.
    XNATNotFoundError
        The project is not there, or hidden.
    XNATConnectionError, XNATAuthError
        A server does not answer any more, or does not take the login: start again later.
    XNATForbiddenError
        Our user may not create the project.
    """
    new = new_project or project
    if source.server == target.server and project == new:
        raise XNATValueError(f"{source.server}: project {project} cannot be copied onto itself")
    job = _Job(source, target, project, new, selection, progress, overwrite)
    job.run()
    return job.done


class _Job:
    def __init__(
        self,
        source: Connection,
        target: Connection,
        project: str,
        new_project: str,
        selection: Selection | None,
        progress: Progress | None,
        overwrite: bool,
    ) -> None:
        self.source = source
        self.target = target
        self.project = project
        self.new = uris.check_label(new_project, "project ID")
        self.selection = selection or Selection()
        self.everything = selection is None
        self.tell = progress or (lambda text: None)
        self.overwrite = overwrite
        self.broken: list[File] = []
        self.done = Copied()

    def run(self) -> None:
        get_project(self.source, self.project)
        if not project_exists(self.target, self.new):
            self._make_project()
        if self.everything:
            self._guarded(self.project, self._project_files)
        experiments = [
            one
            for one in list_experiments(self.source, self.project)
            if self.selection.takes_session(one)
        ]
        for subject in list_subjects(self.source, self.project):
            inside = [one for one in experiments if one.subject_id == subject.id]
            if inside or self.everything:
                self._guarded(subject.label, partial(self._subject, subject, inside))

    def _make_project(self) -> None:
        """Make the project; where its name is taken by another one it is called by its ID."""
        path = uris.project(self.project)
        document = read_portable(self.source, path, new_id=self.new)
        try:
            put_document(self.target, uris.project(self.new), document.content)
        except XNATConflictError:
            document = read_portable(self.source, path, new_id=self.new, renamed=True)
            put_document(self.target, uris.project(self.new), document.content)

    def _guarded(self, place: str, work: Callable[[], None]) -> None:
        """Do it; note what fails and go on, except when a server is lost."""
        try:
            work()
        except (XNATConnectionError, XNATAuthError):
            raise
        except XNATError as error:
            self._note(place, error)

    def _note(self, place: str, error: XNATError) -> None:
        log.error("%s: %s", place, error)
        self.done.failed.append((place, str(error)))

    def _project_files(self) -> None:
        here, there = Address(project=self.project), Address(project=self.new)
        resources = list_resources(self.source, here)
        files = list_files(self.source, here) if resources else []
        self._resources(resources, files, lambda one: there, list_files(self.target, there))

    def _subject(self, subject: Subject, experiments: Sequence[Experiment]) -> None:
        document = read_portable(self.source, uris.subject(subject.id))
        if document.project != self.project:
            self.done.shared.append(subject.label)
            return
        self.tell(f"subject {subject.label}")
        there = find_subject(self.target, self.new, subject.label)
        path = uris.subject(uris.check_label(subject.label), self.new)
        id_ = put_document(self.target, path, document.content)
        if there is not None and id_ != there.id:
            raise XNATUploadError(f"subject {subject.label}: the server answers {id_}")
        self.done.subjects += 1
        if self.everything:
            here = Address(project=self.project, subject=subject.id)
            to = Address(project=self.new, subject=id_)
            resources = list_resources(self.source, here)
            files = list_files(self.source, here) if resources else []
            self._resources(resources, files, lambda one: to, list_files(self.target, to))
        for one in experiments:
            place = f"{subject.label}/{one.label}"
            self._guarded(place, partial(self._experiment, subject, id_, one))

    def _experiment(self, subject: Subject, subject_id: str, experiment: Experiment) -> None:
        document = read_portable(self.source, uris.experiment(experiment.id))
        if document.project != self.project:
            self.done.shared.append(experiment.label)
            return
        self.tell(f"experiment {subject.label}/{experiment.label}")
        there = find_experiment(self.target, self.new, experiment.label)
        if there is not None and there.subject_id not in ("", subject_id):
            raise XNATUploadError(
                f"experiment {experiment.label} is there already, with another subject "
                f"({there.subject_id}); it is left alone"
            )
        path = uris.experiment(uris.check_label(experiment.label), self.new, subject_id)
        id_ = put_document(self.target, path, document.content)
        self.done.experiments += 1
        assessors: dict[str, str] = {}
        for assessor, label in document.assessors:
            inner = read_portable(self.source, uris.assessor(experiment.id, assessor))
            to = uris.assessor(id_, uris.check_label(label))
            assessors[assessor] = put_document(self.target, to, inner.content)
            self.done.assessors += 1
        self._experiment_files(experiment, id_, assessors)

    def _experiment_files(
        self, experiment: Experiment, id_: str, assessors: Mapping[str, str]
    ) -> None:
        here = Address(experiment=experiment.id)
        choice = self.selection
        scans = list_scans(self.source, experiment.id) if choice.needs_scans else ()
        resources = [
            one
            for one in list_resources(self.source, here, everything=True)
            if choice.takes_resource(one, scans)
        ]
        files = list_session_files(self.source, experiment.id) if resources else []
        there = list_session_files(self.target, id_) if resources else []

        def place(resource: Resource) -> Address:
            to = Address(experiment=id_)
            if resource.category == "scans":
                return replace(to, scan=resource.cat_id)
            if resource.category == "assessors":
                if resource.cat_id not in assessors:
                    raise XNATUploadError(
                        f"assessor {resource.cat_id} of {experiment.label} came while we copied: "
                        "copy again"
                    )
                return replace(to, assessor=assessors[resource.cat_id])
            if resource.category == "reconstructions":
                return replace(to, reconstruction=resource.cat_id)
            return to

        self._resources(resources, files, place, there)

    def _resources(
        self,
        resources: Iterable[Resource],
        files: Sequence[File],
        place: Callable[[Resource], Address],
        there: Sequence[File],
    ) -> None:
        """Copy resources with their files; one that fails does not keep the others back."""
        for resource in resources:
            try:
                to = place(resource)
            except XNATUploadError as error:
                self._note(f"{resource.cat_id} {resource.label}", error)
                continue
            mine = [file for file in files if file.resource_id == resource.id]
            self._guarded(
                f"{to.path()} {resource.label}",
                partial(self._resource, resource, to, mine, there),
            )

    def _resource(
        self, resource: Resource, to: Address, files: Sequence[File], there: Sequence[File]
    ) -> None:
        label = resource.label
        for file in files:
            check_file_path(file.path, archived=True)
        create_resource(
            self.target,
            to,
            label,
            format=resource.format or None,
            content=resource.content or None,
            tags=[resource.tags] if resource.tags else (),
        )
        self.done.resources += 1
        known = {file.path: file for file in there if _is_in(file, to, label)}
        missing, other = [], []
        for file in files:
            there_now = known.get(file.path)
            if there_now is None or not self._same(there_now, file):
                missing.append(file)
                if there_now is not None:
                    other.append(file.path)
        if other and not self.overwrite:
            raise XNATUploadError(
                f"the target holds something else at {', '.join(other[:5])}"
                + (f" and {len(other) - 5} more" if len(other) > 5 else "")
                + "; overwrite replaces it"
            )
        self.done.kept += len(files) - len(missing)
        passed: dict[str, tuple[int, str]] = {}
        for batch in _batches(missing):
            self._send(to, label, batch, known, passed)
        sent = [file for file in missing if file.path in passed]
        if sent:
            self._prove(to, label, sent, passed)
            self.done.files += len(sent)
            self.done.bytes += sum(passed[file.path][0] for file in sent)

    def _same(self, there: File, here: File) -> bool:
        """Say whether a file of the target is that of the source; without digests both are read."""
        if None not in (there.size, here.size) and there.size != here.size:
            return False
        if there.md5 and here.md5:
            return there.md5 == here.md5
        read: list[dict[str, tuple[int, str]]] = [{}, {}]
        for conn, file, found in ((self.target, there, read[0]), (self.source, here, read[1])):
            for _ in _pass(conn, file, found):
                pass
        return read[0] == read[1]

    def _send(
        self,
        to: Address,
        label: str,
        batch: Sequence[File],
        known: Mapping[str, File],
        passed: dict[str, tuple[int, str]],
    ) -> None:
        """Send files as one zip that is made while they are downloaded.

        A file that the source does not hand out whole, twice, is noted and left out: it does not
        keep the others back.
        """
        overwrite = any(file.path in known for file in batch)
        left = list(batch)
        tries = 0
        counts: Counter[str] = Counter()
        while left:
            self.broken.clear()
            try:
                body = pack_zip((file.path, self._read(file, passed)) for file in left)
                put_archive(self.target, to, label, body, overwrite=overwrite)
                return
            except XNATError as error:
                bad = self.broken[-1] if self.broken else None
                if bad is None:
                    tries += 1
                    if isinstance(error, XNATUnclearError):
                        left = self._not_arrived(to, label, left, passed)
                        if not left:
                            return
                    if tries == TRIES or not isinstance(error, _AGAIN):
                        raise
                else:
                    counts[bad.path] += 1
                    if counts[bad.path] == TRIES - 1:
                        left.remove(bad)
                        passed.pop(bad.path, None)
                        self._note(f"{to.path()} {label}/{bad.path}", error)
                log.warning("%s %s: %s; once more", to.path(), label, error)
                overwrite = True

    def _not_arrived(
        self,
        to: Address,
        label: str,
        batch: list[File],
        passed: Mapping[str, tuple[int, str]],
    ) -> list[File]:
        """Look what came of a zip whose answer was lost; all of it where it was not sent whole."""
        sums = {file.path: passed[file.path] for file in batch if file.path in passed}
        if len(sums) < len(batch):
            return batch
        missing = missing_after(self.target, to, label, sums)
        return [file for file in batch if file.path in missing]

    def _read(self, file: File, passed: dict[str, tuple[int, str]]) -> Iterator[bytes]:
        """Yield a file of the source, counted and hashed, and compared with its listing."""
        try:
            yield from _pass(self.source, file, passed)
            size, md5 = passed[file.path]
            if file.size not in (None, size) or file.md5 not in ("", md5):
                raise XNATIntegrityError(
                    f"{file.uri}: {size} bytes with MD5 {md5} came, the listing says {file.size} "
                    f"with {file.digest or 'none'}"
                )
        except XNATError:
            self.broken.append(file)  # so it is the source's fault, whatever the upload makes of it
            raise

    def _prove(
        self,
        to: Address,
        label: str,
        files: Iterable[File],
        passed: Mapping[str, tuple[int, str]],
    ) -> None:
        """Compare the target's listing with what passed; read back what has no digest there."""
        there = {file.path: file for file in list_files(self.target, to, label)}
        for file in files:
            size, md5 = passed[file.path]
            found = there.get(file.path)
            if found is None:
                raise XNATUploadError(
                    f"{to.path()}: resource {label!r} does not show {file.path!r}; may our user "
                    "edit there?"
                )
            if found.size == size and found.digest == md5:
                continue
            read: dict[str, tuple[int, str]] = {}
            for _ in _pass(self.target, found, read):
                pass
            if read[file.path] != (size, md5):
                raise XNATIntegrityError(
                    f"{found.uri}: {read[file.path]} on the target, but {(size, md5)} was sent"
                )


def _pass(conn: Connection, file: File, passed: dict[str, tuple[int, str]]) -> Iterator[bytes]:
    """Yield a file as it comes; its size and MD5 are noted at the end."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with open_file(conn, file.uri) as stream:
        for chunk in stream.chunks():
            size += len(chunk)
            digest.update(chunk)
            yield chunk
    passed[file.path] = (size, digest.hexdigest())


def _is_in(file: File, to: Address, label: str) -> bool:
    """Say whether a row of the target's listing belongs to this resource."""
    if file.resource_label != label:
        return False
    parts = file.uri.partition("/resources/")[0].split("/")
    inner = to.scan or to.assessor or to.reconstruction
    if inner is not None:
        return inner in parts
    return not {"scans", "assessors", "reconstructions"} & set(parts)


def _batches(files: Sequence[File]) -> Iterator[list[File]]:
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and size + (file.size or 0) > ARCHIVE_LIMIT:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size or 0
    if batch:
        yield batch
