"""A processing step whose input and output are resources on the server.

A step is complete when its result is there, its files are what its record says, and the record's
inputs, parameters and code version are today's. Anything else has a name (`Condition`) and a
reason.
"""

from __future__ import annotations

import datetime
import inspect
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import luigi

from ..exceptions import XNATError, XNATIntegrityError, XNATUploadError, XNATValueError
from ..rest.files import download, removal
from ..targets.resource import ResourceTarget
from ..transfer.upload import Sending, make_sending, read_sendings, upload_files
from .base import XnatTask
from .ending import cleanly
from .programs import ProgramRun, run_program
from .record import (
    RECORD_NAME,
    InputRecord,
    OutputRecord,
    Record,
    describe_code,
    describe_machine,
    differences,
)
from .stage import stage_resource

if TYPE_CHECKING:
    from ..connection.login import Connection
    from ..uris import Address

__all__ = [
    "Condition",
    "InputChangedError",
    "Result",
    "StaleResultError",
    "Step",
    "StepOptions",
]

logger = logging.getLogger(__name__)

RECORD_LIMIT = 64 * 1024 * 1024
POLICIES = ("rerun", "keep", "fail")


class Condition(Enum):
    """How a result on the server stands to what would come out today."""

    ABSENT = "absent"
    HALF = "an upload was broken off"
    FOREIGN = "something this step did not make"
    DAMAGED = "files are not what the record says"
    STALE = "made from other inputs, parameters or code"
    CURRENT = "current"


@dataclass(frozen=True)
class Result:
    """A condition, and why."""

    condition: Condition
    reasons: tuple[str, ...] = ()
    record: Record | None = None

    def __str__(self) -> str:
        return ": ".join([self.condition.value, *(["; ".join(self.reasons)] * bool(self.reasons))])


class StaleResultError(XNATError):
    """A result is stale, and the policy says that a person decides."""

    exit_status = 10


class InputChangedError(XNATIntegrityError):
    """An input changed on the server while it was being processed; nothing was uploaded."""


class StepOptions(XnatTask):
    """Parameters that say where and how, not what."""

    stale: str = luigi.ChoiceParameter(
        choices=POLICIES, default="rerun", significant=False, description="what to do when stale"
    )
    stage: str = luigi.StrParameter(
        default="~/.cache/xnat-luigi/stage",
        significant=False,
        description="folder on this machine for the inputs, shared by all steps",
    )
    keep: bool = luigi.BoolParameter(
        significant=False, description="keep the working folder when the step fails"
    )


class Step(StepOptions):
    """What all processing steps share; `DerivedTask` is the one to derive from for most.

    A step says where its inputs are (`sources`), where its result goes (`output`) and how the one
    becomes the other (`process`). Further Luigi parameters are parameters of the step: another
    value makes the result stale.

    Class attributes:
        version: raise it when the code gives other results than before.
        packages: distributions whose versions belong into the record.
        limit: most bytes the step may leave; more is an error.
        own: names of parameters that say where and how, not what; no part of the record.
    """

    version: ClassVar[str] = "1"
    packages: ClassVar[tuple[str, ...]] = ("xnat-luigi",)
    limit: ClassVar[int] = 20 * 1024**3
    own: ClassVar[frozenset[str]] = frozenset(
        {"server", "project", "experiment", "scan", "stale", "stage", "keep"}
    )

    def sources(self) -> Sequence[tuple[str, ResourceTarget]]:
        """The inputs: a name and a resource each. Names are unique."""
        raise NotImplementedError

    def output(self) -> ResourceTarget:
        """The resource with the result."""
        raise NotImplementedError

    def describe_item(self) -> str:
        """The place on the server in words, for messages."""
        return self.project

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> None:
        """Makes the result.

        Args:
            inputs: a read-only folder for every name in `inputs`.
            workdir: an empty folder; all that lies in it at the end is the result.
        """
        raise NotImplementedError

    # --- for process() ------------------------------------------------------------------------

    def call(self, *command: str | Path, timeout: float = 3600.0, **options: Any) -> ProgramRun:
        """Runs an external program; command, version and status go into the record.

        Options are those of `programs.run_program`; `cwd` is a scratch folder unless given.
        """
        scratch = options.pop("cwd", None)
        with tempfile.TemporaryDirectory(prefix="xnat-luigi-") as folder:
            run = run_program(command, cwd=scratch or Path(folder), timeout=timeout, **options)
        vars(self).setdefault("_programs", []).append(run.to_dict())
        return run

    # --- what Luigi asks ----------------------------------------------------------------------

    def complete(self) -> bool:
        """Whether nothing is to be done; `stale` decides about stale results."""
        found = self.look()
        if found.condition is not Condition.STALE or self.stale == "rerun":
            return found.condition is Condition.CURRENT
        if self.stale == "fail":
            raise StaleResultError(
                f"{self}: {found}; run it again with --stale rerun, or keep it with --stale keep"
            )
        logger.warning("%s: kept though %s", self.task_id, found)
        return True

    @cleanly
    def run(self) -> None:
        """Stages the inputs, processes them, uploads what came out, the record last."""
        target = self.output()
        before = self.look()
        if before.condition is Condition.FOREIGN:
            raise XNATUploadError(
                f"{self}: resource {target.resource} holds {before}; choose another label, or "
                "remove it"
            )
        status = self.status_line()
        status.say(f"making it, because it is {before}", final=True)
        started = _now()
        inputs = self._read_inputs()
        staged = {
            one.name: stage_resource(target, Path(self.stage).expanduser())
            for one, target in inputs
        }
        vars(self)["_programs"] = []
        with self._workdir() as workdir:
            status.say("processing", final=True)
            self.process(staged, workdir)
            sendings = self._results(workdir)
            today = self._read_inputs()
            self._refuse_changes(inputs, today)
            record = self._record([one for one, _ in inputs], sendings, started)
            status.say(f"uploading {len(sendings)} files", final=True)
            self._upload(sendings, record, workdir)
        status.say("done", done=1.0, final=True)

    # --- the result as it is ------------------------------------------------------------------

    def look(self) -> Result:
        """How the result on the server stands, with reasons."""
        target = self.output()
        files = target.list()
        if files is None or not files:
            return Result(Condition.ABSENT)
        row = next((file for file in files if file.path == RECORD_NAME), None)
        if row is None:
            names = ", ".join(file.path for file in files[:3])
            return Result(Condition.FOREIGN, (f"{names}, without a record",))
        try:
            record = Record.from_json(
                download.read_file(self.connect(), row.uri, limit=RECORD_LIMIT)
            )
        except XNATIntegrityError as error:
            return Result(Condition.FOREIGN, (str(error),))
        if record.task != self.task_family:
            return Result(Condition.FOREIGN, (f"a result of {record.task}",), record)
        if record.state != "complete":
            return Result(Condition.HALF, (), record)
        damage = _damage(record.outputs, OutputRecord.of(files))
        if damage:
            return Result(Condition.DAMAGED, tuple(damage), record)
        reasons = differences(
            record,
            inputs=[one for one, _ in self._read_inputs(missing_ok=True)],
            parameters=self._parameters(),
            version=self.version,
        )
        return Result(Condition.STALE if reasons else Condition.CURRENT, tuple(reasons), record)

    # --- parts of it --------------------------------------------------------------------------

    def _read_inputs(self, *, missing_ok: bool = False) -> list[tuple[InputRecord, ResourceTarget]]:
        found = []
        for name, target in self.sources():
            files = target.list() if missing_ok else target.files()
            if files is None:
                continue
            place = target.address(self.connect())
            assert place is not None
            uri = place.resource(target.resource)
            found.append((InputRecord.of(name, uri, target.resource, files), target))
        return found

    def _parameters(self) -> dict[str, str]:
        return {
            name: parameter.serialize(getattr(self, name))
            for name, parameter in self.get_params()  # type: ignore[no-untyped-call]
            if name not in self.own and parameter.significant
        }

    def _workdir(self) -> _Workdir:
        return _Workdir(self.task_id, self.keep)

    def _results(self, workdir: Path) -> list[Sending]:
        if not any(path.is_file() for path in workdir.rglob("*")):
            raise XNATIntegrityError(f"{self}: the step left no file, nothing is uploaded")
        sendings = read_sendings(workdir)
        if any(sending.path == RECORD_NAME for sending in sendings):
            raise XNATValueError(
                f"{self}: {RECORD_NAME} is the record's name; name yours otherwise"
            )
        size = sum(sending.size for sending in sendings)
        if size > self.limit:
            raise XNATIntegrityError(
                f"{self}: the step left {size} bytes, {self.limit} are allowed (`limit`)"
            )
        return sendings

    def _refuse_changes(
        self,
        before: Sequence[tuple[InputRecord, ResourceTarget]],
        after: Sequence[tuple[InputRecord, ResourceTarget]],
    ) -> None:
        now = {one.name: one for one, _ in after}
        changed = [one.name for one, _ in before if now.get(one.name) != one]
        if changed:
            raise InputChangedError(
                f"{self}: {', '.join(changed)} changed on the server while it was processed; "
                "nothing was uploaded, run it again"
            )

    def _record(
        self, inputs: Sequence[InputRecord], sendings: Sequence[Sending], started: str
    ) -> Record:
        place = self.output().address(self.connect())
        assert place is not None
        source = inspect.getsourcefile(type(self))
        rows = tuple(sorted((one.path, one.size, one.md5) for one in sendings))
        return Record(
            task=self.task_family,
            server=self.server,
            uri=place.resource(self.output().resource),
            inputs=tuple(inputs),
            parameters=self._parameters(),
            code=describe_code(
                self.version, self.packages, Path(source).parent if source else None
            ),
            machine=describe_machine(),
            started=started,
            ended=_now(),
            outputs=OutputRecord(rows),
            programs=tuple(vars(self).get("_programs", ())),
        )

    def _upload(self, sendings: Sequence[Sending], record: Record, workdir: Path) -> None:
        """The record first as a claim, then the files, then the record for good.

        So a broken upload is known as ours and is completed by the next run. Files of an older
        result that are not made any more are removed before the last step; XNAT cannot exchange a
        resource as a whole, so in between a reader sees a resource whose record says «uploading».
        """
        connection = self.connect()
        target = self.output()
        place = target.address(connection)
        assert place is not None
        self._put_record(connection, place, replace(record, state="uploading"))
        upload_files(connection, place, self.output().resource, sendings, overwrite=True)
        wanted = {sending.path for sending in sendings} | {RECORD_NAME}
        for file in target.files():
            if file.path not in wanted:
                removal.delete_file(connection, place, self.output().resource, file.path)
        self._put_record(connection, place, record)

    def _put_record(self, connection: Connection, place: Address, record: Record) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(record.to_json().encode())
            file.flush()
            sending = make_sending(RECORD_NAME, Path(file.name))
            upload_files(connection, place, self.output().resource, [sending], overwrite=True)


class _Workdir:
    """A working folder that is removed at the end, also on failure unless `keep` is set."""

    def __init__(self, name: str, keep: bool) -> None:
        self._keep = keep
        self._path = Path(tempfile.mkdtemp(prefix=f"{name[:40]}-"))

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and self._keep:
            logger.warning("the working folder is kept: %s", self._path)
            return
        shutil.rmtree(self._path, ignore_errors=True)


def _damage(wanted: OutputRecord, found: OutputRecord) -> list[str]:
    there = {path: (size, digest) for path, size, digest in found.files}
    reasons = []
    for path, size, digest in wanted.files:
        if path not in there:
            reasons.append(f"{path} is missing")
            continue
        its_size, its_digest = there.pop(path)
        if size != its_size or (its_digest and its_digest != digest):
            reasons.append(f"{path} differs")
    return reasons + [f"{path} is not of this step" for path in sorted(there)]


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
