"""From files into the prearchive, exactly once, whatever answers are lost.

The one call that changes anything is the import without `dest` (wire contract B 13): before
archiving it may be repeated, since the same study, project and label always end in the same row;
after archiving it must not be. Which of the two holds is looked at before every call.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..dicom import Header
from ..exceptions import (
    XNATConflictError,
    XNATError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATResponseError,
    XNATUnclearError,
    XNATUploadError,
)
from ..rest import prearchive, services, states
from ..rest.records import Experiment, PrearchiveRow
from ..staging.pack import pack_zip
from . import ledger
from .ahead import Background, read_ahead
from .arrivals import Arrival, Image, in_row, list_row_files, make_images, refuse_changed
from .changing import Change
from .keys import StudyHeldError, StudyKey, StudyLostError
from .pace import Pace, Watch
from .recovery import Action, Archived, RowState, Sight, decide, look

if TYPE_CHECKING:
    from ..connection.login import Connection

SENDS = 3
log = logging.getLogger(__name__)
LATER = 1 << 30
"""bytes of a study up to which its files are read twice, the second time from memory"""
_CHUNK = 256 << 10


class Note(Protocol):
    """Where the history goes: a ledger's journal, or nowhere."""

    def __call__(self, stage: str, detail: str = "", **facts: Any) -> None: ...


@dataclass(frozen=True)
class Brought:
    """Where a study is after `bring_in`: in a built row, or archived already.

    `sent` maps the names of the images to their MD5, "" where this call did not read them or they
    were changed since.
    """

    key: StudyKey
    row: PrearchiveRow | None
    experiment: Experiment | None
    sent: Mapping[str, str]
    uploads: int = 0
    arrival: Arrival | None = None


@dataclass
class Sending:
    """A study's zip as a stream: no temporary file, flat memory.

    The MD5 of what was sent is taken while the server works on it, from the files again: each must
    still have the CRC of its bytes in the zip. What is larger than the memory is likely to hold
    still, or is changed on the way, is hashed as it passes. A context that ends that work.
    """

    images: tuple[Image, ...]
    study_uid: str = ""
    change: Change | None = None
    progress: Callable[[int, int], None] | None = None
    done: int = 0
    _sent: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    _md5: dict[str, str] = field(default_factory=dict, repr=False)
    _later: Background[dict[str, str]] | None = field(default=None, repr=False)

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *error: object) -> None:
        if self._later is not None:
            self._later.stop()

    @property
    def size(self) -> int:
        """Bytes of all images; the zip is a little larger."""
        return sum(image.size for image in self.images)

    @property
    def md5(self) -> dict[str, str]:
        """MD5 by name of all images; waits for it.

        "" where it is not known: the file was changed or removed since it was sent, or the server
        answered before it had taken all of the zip. What was sent of it is proven by its CRC only.
        """
        if self._later is None and self._sent and not self._md5:
            self._later = Background(self._hash_again)
        known = self._md5 if self._later is None else self._later.result()
        return {image.name: known.get(image.name, "") for image in self.images}

    def stream(self) -> Iterator[bytes]:
        """The zip. Raises XNATIntegrityError when a file changes while it is read."""
        later = self.change is None and self.size <= LATER
        read = self._read if later else self._hashed
        entries = ((image.name, self._chunks(image, read)) for image in self.images)
        yield from read_ahead(pack_zip(entries, told=self._note))
        if later:
            self._later = Background(self._hash_again)

    def _note(self, name: str, crc: int, size: int) -> None:
        self._sent[name] = crc, size

    def _chunks(self, image: Image, read: Callable[[Image], Iterator[bytes]]) -> Iterator[bytes]:
        count = 0
        for chunk in read(image):
            count += len(chunk)
            yield chunk
        if self.change is None and count != image.size:
            raise XNATIntegrityError(
                f"{image.path} changed while it was sent: read the folder again"
            )
        self.done += image.size
        if self.progress is not None:
            self.progress(self.done, self.size)

    def _hashed(self, image: Image) -> Iterator[bytes]:
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self._read(image):
            digest.update(chunk)
            yield chunk
        self._md5[image.name] = digest.hexdigest()

    def _hash_again(self, over: Callable[[], bool]) -> dict[str, str]:
        found: dict[str, str] = {}
        for image in self.images:
            digest = hashlib.md5(usedforsecurity=False)
            crc = size = 0
            try:
                for chunk in self._read(image):
                    digest.update(chunk)
                    crc = zlib.crc32(chunk, crc)
                    size += len(chunk)
                    if over():
                        return found
            except OSError as error:
                log.warning("%s was sent and cannot be read again: %s", image.path, error)
                continue
            if (crc, size) == self._sent.get(image.name):
                found[image.name] = digest.hexdigest()
            else:
                log.warning("%s is not what was sent any more: its digest is not known", image.path)
        return found

    def _read(self, image: Image) -> Iterator[bytes]:
        if self.change is not None:
            yield from self.change.chunks(image.path, image.sop_uid, self.study_uid)
            return
        with Path(image.path).open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def bring_in(
    conn: Connection,
    key: StudyKey,
    files: Iterable[Header],
    *,
    pace: Pace | None = None,
    journal: Note = ledger.no_journal,
    parameters: Mapping[str, str] | None = None,
    change: Change | None = None,
    progress: Callable[[int, int], None] | None = None,
    past: str = "",
    more: bool = False,
) -> Brought:
    """Bring a study's files into the prearchive and build its session; safe to call again after
    anything.

    Looks first: what is archived already is not sent, what a row holds completely is not sent
    again. After an upload the row is always built and compared with what was sent, since a file
    that comes during a build is missing from it (B 2.4).

    files: whole files of one study, see `studies.Study.files`. parameters: further parameters of
    the import (B 1.3), for instance SOURCE. change: a hook over data sets; `files` are then
    those of `changing.change_study`. progress: called with bytes sent and bytes in all.
    past: what an earlier run is known to have done, see `past_of`: a study that was sent before
    and is not seen now may become visible late, so it gets its grace before it is sent again.
    more: send the files although the study is archived, for a user who wants them appended.

    Raises StudyHeldError when a human must decide, StudyTimeoutError when the server does not come
    to an end, XNATUploadError when the server does not show what was sent after several uploads,
    XNATIntegrityError when files change meanwhile; whatever the connection raises for an outage.
    """
    images = make_images(files)
    course = _Course(conn, key, images, pace or Pace(), journal)
    course.parameters, course.change, course.progress = parameters or {}, change, progress
    course.past, course.more = past, more
    while True:
        brought = course.step()
        if brought is not None:
            return brought


class _Course:
    """One call of `bring_in`: what it has done so far."""

    def __init__(
        self,
        conn: Connection,
        key: StudyKey,
        images: tuple[Image, ...],
        pace: Pace,
        journal: Note,
    ) -> None:
        self.conn = conn
        self.key = key
        self.images = images
        self.watch: Watch = pace.watch(key)
        self.journal = journal
        self.parameters: Mapping[str, str] = {}
        self.change: Change | None = None
        self.progress: Callable[[int, int], None] | None = None
        self.past = ""
        self.more = False
        self.sends = 0
        self.must_build = False
        self.sent = {image.name: "" for image in images}

    def step(self) -> Brought | None:
        """Look, decide, act once. None: look again."""
        sight = look(self.conn, self.key)
        case = decide(sight)
        if case.action is Action.DONE and self.more and not self.sends:
            self._send(sight)
            return None
        if case.action is Action.DONE:
            return Brought(self.key, None, sight.experiment, self.sent, self.sends)
        if case.action is Action.STOP:
            raise StudyHeldError(self.key, f"{case.meaning} ({sight})")
        if sight.row is None:
            self._send_anew(sight)
            return None
        if sight.row_state is RowState.IN_FLIGHT and not _receiving(sight.row):
            self.watch.wait(f"row {sight.row.status}")
            return None
        return self._with_row(sight, sight.row)

    def _with_row(self, sight: Sight, row: PrearchiveRow) -> Brought | None:
        if (
            sight.archived is Archived.SAME and not self.more
        ):  # sent again after archiving: `archive` compares them
            return Brought(self.key, row, sight.experiment, self.sent, self.sends)
        if self.must_build or row.status != "READY":
            built = self._build(row)
            if built is None:
                return None
            row = built
        arrival = self._compare(row)
        if arrival is None:
            return None
        if arrival.complete:
            self.journal(ledger.BUILT, f"{row.url}: {arrival}")
            return Brought(self.key, row, None, self.sent, self.sends, arrival)
        if self.sends >= SENDS:
            raise XNATUploadError(
                f"{self.key}: after {self.sends} uploads the server shows {arrival}; look at the "
                f"prearchive row {row.url} before sending again"
            )
        self._send(sight)
        return None

    def _send_anew(self, sight: Sight) -> None:
        """There is neither row nor experiment."""
        if (self.sends or self.past) and self.watch.missing():
            return  # the answer was lost, the row or the experiment is late: look again (B 13.1)
        if self.past == ledger.ARCHIVED:
            raise StudyLostError(
                self.key, "it was archived before and is gone: it is not sent anew by itself"
            )
        if self.sends >= SENDS:
            raise StudyLostError(self.key, f"{self.sends} uploads left no row in the prearchive")
        if sight.others:
            label = sight.others[0].name
            raise StudyHeldError(
                self.key, f"the study lies in the prearchive as {label!r} ({sight.others[0].url})"
            )
        refuse_elsewhere(self.conn, self.key)
        self._send(sight)

    def _send(self, sight: Sight) -> None:
        """One upload (matrix: repeatable before archiving, which was just looked at)."""
        refuse_changed(self.images)
        self.sends += 1
        self.must_build = True
        with Sending(self.images, self.key.study_uid, self.change, self.progress) as sending:
            count = f"{len(self.images)} files, {sending.size} bytes"
            self.journal(ledger.SENDING, f"upload {self.sends}: {count}")
            try:
                self._import(sending)
            except XNATUnclearError as error:
                self.journal(ledger.SENDING, f"the answer was lost: {error}")
                self.watch.missing()
                return
            except XNATResponseError as error:
                self._refused(sight, error)
                return
            self.sent = dict(sending.md5)
        self.journal(ledger.SENT, count, sent=self.sent)

    def _import(self, sending: Sending) -> None:
        try:
            services.import_archive(
                self.conn,
                sending.stream(),
                project=self.key.project,
                subject=self.key.subject,
                session=self.key.session,
                parameters=self.parameters,
            )
        finally:
            self.watch.expect()  # an upload may take hours; the server's time begins now

    def _refused(self, sight: Sight, error: XNATResponseError) -> None:
        """The server said no, or nothing of use; what it stored before that stays (B 1.5)."""
        if error.status == 400 and "oncurrent" in f"{error} {error.detail}":
            self.watch.wait("another upload of the same study")
            return
        if error.status == 200 and "stored it elsewhere" in str(error):
            raise StudyHeldError(self.key, str(error)) from error
        if error.status == 200 and self.sends < SENDS:
            # An empty answer (B 1.4): everything was rejected, or a proxy lost the words. Look.
            self.journal(ledger.SENDING, f"the answer says nothing: {error}")
            return
        if error.status == 500 and self.sends < SENDS:
            self.journal(ledger.SENDING, f"the server failed: {error}")
            self.watch.wait("status 500 of the import")
            return
        if error.status == 400 and sight.row is None:
            self._clean_up()
        raise error

    def _clean_up(self) -> None:
        """Remove the part of a refused upload: a project that archives by itself would take it.

        Only what came from us: a row that holds anything else stays, somebody sends to it as well.
        """
        row = look(self.conn, self.key).row
        if row is None or not _receiving(row):
            return
        try:
            built = prearchive.build(self.conn, row)
            held = list_row_files(self.conn, built)
        except XNATError as error:
            self.journal(ledger.SENDING, f"the part of a refused upload stays: {error}")
            return
        strange = {name for files in held.values() for name, _ in files} - set(self.sent)
        if strange:
            self.journal(ledger.SENDING, f"{row.url} stays, it holds what others sent")
            return
        prearchive.delete_row(self.conn, built)
        self.journal(ledger.SENDING, f"removed the part of a refused upload, {row.url}")

    def _build(self, row: PrearchiveRow) -> PrearchiveRow | None:
        """Build (matrix: repeatable while the row is not locked). None: look again."""
        try:
            built = prearchive.build(self.conn, row)
        except (XNATConflictError, XNATUnclearError) as error:
            self.watch.wait(f"row {row.status}, {type(error).__name__} from its build")
            return None
        except XNATNotFoundError:
            return None
        except XNATResponseError as error:
            now = look(self.conn, self.key).row
            if now is None or now.status != "ERROR":
                self.watch.wait(f"status {error.status} of the build")
                return None
            log = prearchive.read_last_log(self.conn, now)
            raise StudyHeldError(self.key, "the server cannot build the session", log) from error
        self.must_build = False
        if states.in_flight(built.status):
            self.must_build = _receiving(built)  # a file came meanwhile
            self.watch.wait(f"row {built.status} after its build")
            return None
        if built.status != "READY":
            log = prearchive.read_last_log(self.conn, built)
            raise StudyHeldError(self.key, f"the row is {built.status} after its build", log)
        return built

    def _compare(self, row: PrearchiveRow) -> Arrival | None:
        try:
            return in_row(self.conn, row, [image.name for image in self.images])
        except XNATNotFoundError:
            self.must_build = True  # not built, or gone: the next look tells
            self.watch.wait(f"row {row.status} without a session document")
            return None


def past_of(entry: ledger.Entry | None) -> str:
    """What the ledger knows of earlier runs: "" never sent, `SENDING`, or `ARCHIVED`."""
    if entry is None:
        return ""
    if entry.passed(ledger.ARCHIVED):
        return ledger.ARCHIVED
    return ledger.SENDING if entry.passed(ledger.SENDING) else ""


def _receiving(row: PrearchiveRow) -> bool:
    return states.phase(row.status) is states.Phase.RECEIVING


def refuse_elsewhere(conn: Connection, key: StudyKey) -> None:
    """Raises StudyHeldError when the study lies in another project's prearchive.

    The contract's «search other projects and `Unassigned`» (B 13.1): a study that was moved, or
    that the server routed elsewhere, must not be sent a second time.
    """
    for row in prearchive.list_rows(conn):
        if row.tag == key.study_uid and row.project != key.project:
            raise StudyHeldError(
                key, f"the study lies in the prearchive of {row.project}: move or delete {row.url}"
            )
