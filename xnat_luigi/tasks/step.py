"""A processing step whose input and output lie on the server.

A step is complete when its result is there, its files are what its record says, the record's
inputs, parameters and code version are today's, and the steps before it are complete too. Anything
else has a name (`Condition`) and a reason.
"""

from __future__ import annotations

import datetime
import hashlib
import inspect
import logging
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import luigi
from luigi.task import flatten

from ..exceptions import (
    XNATError,
    XNATIntegrityError,
    XNATNotFoundError,
    XNATUploadError,
    XNATValueError,
)
from ..rest import absence, contents
from ..rest.documents import get_item
from ..rest.files import download, removal
from ..rest.files.upload import create_resource
from ..rest.items import field_query, set_fields, shows
from ..rest.records import File
from ..targets import snapshot
from ..targets.resource import ResourceTarget
from ..transfer.upload import Sending, Uploaded, read_sendings, send_text, upload_files
from .base import XnatTask, command_for
from .condition import (
    Condition,
    InputChangedError,
    Result,
    StaleResultError,
    StepFailedError,
    find_damage,
)
from .ending import cleanly
from .fields import full_paths
from .programs import ProgramError, ProgramRun, run_program
from .record import (
    OWN_NAMES,
    RECORD_NAME,
    SEAL_NAME,
    InputRecord,
    OutputRecord,
    Record,
    describe_code,
    describe_machine,
    differences,
    seal_text,
)
from .stage import stage_resource
from .workdir import Workdir

if TYPE_CHECKING:
    from ..uris import Address

__all__ = ["Step", "StepOptions"]

logger = logging.getLogger(__name__)

RECORD_LIMIT = 64 * 1024 * 1024
POLICIES = ("rerun", "keep", "fail")


class _Input(NamedTuple):
    """An input as the server lists it."""

    record: InputRecord
    place: Address
    label: str
    files: tuple[File, ...]


class StepOptions(XnatTask):
    """Parameters that say where and how, not what; none of them makes a result stale."""

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
    failures: str = luigi.StrParameter(
        default="",
        significant=False,
        description="label of a resource that takes what a failing program said; none if empty",
    )
    names: bool = luigi.BoolParameter(
        significant=False, description="note labels of subject and session in the record"
    )

    def assessor_types(self) -> tuple[str, ...]:
        """Types of assessors that a snapshot must know to tell what is there."""
        return ()

    def look_around(self) -> snapshot.Snapshot:
        """The project as it was less than a minute ago, or now."""
        known = snapshot.current(self.server, self.project)
        wanted = set(self.assessor_types())
        if known is not None and wanted <= known.types:
            return known
        types = sorted(wanted | (known.types if known else set()))
        return snapshot.take(self.connect(), self.project, types=types)


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
        {
            "server",
            "project",
            "experiment",
            "scan",
            *("stale", "stage", "keep", "failures", "names"),
        }
    )

    def sources(self) -> Sequence[tuple[str, ResourceTarget]]:
        """The inputs: a name and a resource each. Names are unique."""
        raise NotImplementedError

    def output(self) -> ResourceTarget:
        """The resource with the result."""
        raise NotImplementedError

    def process(self, inputs: Mapping[str, Path], workdir: Path) -> Mapping[str, Any] | None:
        """Makes the result.

        Args:
            inputs: a read-only folder for every name of `sources`.
            workdir: an empty folder; all that lies in it at the end is the result.

        Returns:
            Fields to set on the item that holds the result, such as `{"quality": "usable"}` for a
            scan or `{"custom.volume": 12.5}` for a custom variable; None for none.
        """
        raise NotImplementedError

    def describe_item(self) -> str:
        """The place on the server in words, for messages."""
        return self.project

    # --- for kinds whose result is more than a resource ---------------------------------------

    def prepare(self) -> Address:
        """The place of the result, made where it is missing and ours to write.

        An upload without the right to edit is answered with 200 (wire contract A 6.4), the making
        of a resource with 403: so it is made, empty, before the work and not after it.
        """
        place = self.output().address(self.connect())
        if place is None:
            raise XNATUploadError(f"{self}: {self.describe_item()} is not there to take a result")
        return place

    def read_values(self, place: Address) -> Mapping[str, str]:
        """Values on the server that belong to the result alone, as they are now."""
        return {}

    def glance_values(self, seen: snapshot.Snapshot) -> Mapping[str, str] | None:
        """The same from a snapshot; None when it cannot tell."""
        return {}

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
        """Whether nothing is to be done here or in the steps before; `stale` decides about stale
        results."""
        if not all(bool(task.complete()) for task in self._upstream()):  # type: ignore[no-untyped-call]
            return False
        if self.glance():
            return True
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
        """Stages the inputs, processes them, uploads what came out, record and seal last."""
        snapshot.forget(self.server, self.project)
        before = self.look()
        status = self.status_line()
        if before.condition is Condition.CURRENT:
            status.say("nothing to do: the steps before made the same again", done=1.0, final=True)
            return
        if before.condition is Condition.UNSEALED:
            self._seal([one.record for one in self._read_inputs()], self.prepare())
            return
        if before.condition is Condition.FOREIGN:
            raise XNATUploadError(
                f"{self}: resource {self.output().resource} of {self.describe_item()} holds "
                f"{before}; choose another label, or remove it"
            )
        status.say(f"making it, because it is {before}", final=True)
        self._make(status.say)
        status.say("done", done=1.0, final=True)

    def _make(self, say: Any) -> None:
        started = _now()
        inputs = self._read_inputs()
        place = self.prepare()
        label = self.output().resource
        if absence.find_resource(self.connect(), place, label) is None:
            create_resource(self.connect(), place, label)
        root = Path(self.stage).expanduser()
        staged = {
            one.record.name: stage_resource(self.connect(), one.place, one.label, one.files, root)
            for one in inputs
        }
        vars(self)["_programs"] = []
        with Workdir(self.task_id, self.keep) as workdir:
            say(f"processing {self.describe_item()}", final=True)
            self.status_line().point_to(f"{self.connect().server}{place.item()}?format=html")
            try:
                fields = self._full_fields(self.process(staged, workdir) or {}, place)
            except Exception as error:
                raise self._failure(error, workdir) from error
            sendings = self._results(workdir)
            records = [one.record for one in inputs]
            self._refuse_changes(records, [one.record for one in self._read_inputs()])
            record = self._record(records, sendings, started, fields, place)
            say(f"uploading {len(sendings)} files", final=True)
            self._upload(sendings, record, fields, place)

    # --- the result as it is ------------------------------------------------------------------

    def glance(self) -> bool:
        """Whether the project's snapshot, if there is a young one, proves the result current."""
        seen = snapshot.current(self.server, self.project)
        if seen is None:
            return False
        inputs = []
        for name, target in self.sources():
            there = seen.find(target)
            if there is None:
                return False
            uri = there[0].resource(target.resource)
            inputs.append(InputRecord(name, uri, there[1].content, ()))
        found = seen.find(self.output())
        if found is not None:
            result = found[1]
        elif seen.covers(self.output()):
            return False
        else:
            result = snapshot.Summary.of(self.output().list() or ())
        if result.seal is None or not result.seal[1]:
            return False  # a seal keeps its size when a parameter or an input changes
        values = self.glance_values(seen)
        return values is not None and self._is_sealed(inputs, result, values)

    def look(self) -> Result:
        """How the result on the server stands, with reasons; always asks the server."""
        there = self.output().read()
        if there is None or not there[1]:
            return Result(Condition.ABSENT)
        place, files = there
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
        damage = find_damage(record.outputs, OutputRecord.of(files))
        damage += self._lost_fields(record, place)
        if damage:
            return Result(Condition.DAMAGED, tuple(damage), record)
        inputs = [one.record for one in self._read_inputs(missing_ok=True)]
        reasons = differences(
            record, inputs=inputs, parameters=self._parameters(), version=self.version
        )
        if reasons:
            return Result(Condition.STALE, tuple(reasons), record)
        sealed = self._is_sealed(inputs, snapshot.Summary.of(files), self.read_values(place))
        return Result(Condition.CURRENT if sealed else Condition.UNSEALED, (), record)

    def _upstream(self) -> list[luigi.Task]:
        """The steps before; what others make is seen by looking at the inputs."""
        tasks = flatten(self.requires())  # type: ignore[no-untyped-call]
        return [task for task in tasks if not isinstance(task, luigi.ExternalTask)]

    def _is_sealed(
        self,
        inputs: Iterable[InputRecord],
        result: snapshot.Summary,
        values: Mapping[str, str],
    ) -> bool:
        wanted = self._seal_for(inputs, result, values).encode()
        if result.seal is None:
            return False
        size, digest = result.seal
        return size in (None, len(wanted)) and digest.lower() in ("", _md5(wanted))

    def _seal_for(
        self,
        inputs: Iterable[InputRecord],
        result: snapshot.Summary,
        values: Mapping[str, str],
    ) -> str:
        return seal_text(
            self.task_family,
            inputs=inputs,
            parameters=self._parameters(),
            version=self.version,
            outputs=result.outputs,
            values=values,
        )

    def _lost_fields(self, record: Record, place: Address) -> list[str]:
        if not record.fields:
            return []
        item = get_item(self.connect(), place.item())
        return [
            f"field {key} is not {value!r} any more"
            for key, value in record.fields.items()
            if not shows(item, key, value)
        ]

    # --- parts of it --------------------------------------------------------------------------

    def _read_inputs(self, *, missing_ok: bool = False) -> list[_Input]:
        inputs = []
        for name, target in self.sources():
            found = target.read()
            if found is not None:
                place, files = found
                labels = self._labels(target) if self.names else None
                record = InputRecord.of(name, place.resource(target.resource), files, labels)
                inputs.append(_Input(record, place, target.resource, files))
            elif not missing_ok:
                raise XNATNotFoundError(
                    f"{self}: input {name} is not there: resource {target.resource} of "
                    f"{self.describe_item()} on {self.server}"
                )
        return inputs

    def _full_fields(self, fields: Mapping[str, Any], place: Address) -> dict[str, Any]:
        if not fields:
            return {}
        return full_paths(get_item(self.connect(), place.item()).xsi_type, fields)

    def _labels(self, target: ResourceTarget) -> dict[str, str]:
        connection = self.connect()
        found = absence.find_experiment(connection, self.project, target.experiment)
        if found is None:
            return {}
        subject = absence.find_subject(connection, self.project, found.subject_id)
        return {"session": found.label, **({"subject": subject.label} if subject else {})}

    def _parameters(self) -> dict[str, str]:
        return {
            name: parameter.serialize(getattr(self, name))
            for name, parameter in self.get_params()  # type: ignore[no-untyped-call]
            if name not in self.own and parameter.significant
        }

    def _results(self, workdir: Path) -> list[Sending]:
        if not any(path.is_file() for path in workdir.rglob("*")):
            raise XNATIntegrityError(f"{self}: the step left no file, nothing is uploaded")
        sendings = read_sendings(workdir)
        taken = sorted(OWN_NAMES & {sending.path for sending in sendings})
        if taken:
            raise XNATValueError(
                f"{self}: {taken[0]} is a name of the record; name yours otherwise"
            )
        size = sum(sending.size for sending in sendings)
        if size > self.limit:
            raise XNATIntegrityError(
                f"{self}: the step left {size} bytes, {self.limit} are allowed (`limit`)"
            )
        return sendings

    def _refuse_changes(self, before: list[InputRecord], after: list[InputRecord]) -> None:
        if before != after:
            changed = [one.name for one in before if one not in after]
            raise InputChangedError(
                f"{self}: {', '.join(changed) or 'the list of inputs'} changed on the server while "
                "it was processed; nothing was uploaded, run it again"
            )

    def _record(
        self,
        inputs: Sequence[InputRecord],
        sendings: Sequence[Sending],
        started: str,
        fields: Mapping[str, Any],
        place: Address,
    ) -> Record:
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
            fields=field_query(fields),
        )

    def _upload(
        self,
        sendings: Sequence[Sending],
        record: Record,
        fields: Mapping[str, Any],
        place: Address,
    ) -> None:
        """The record first as a claim, then the files, then the record for good, then the seal.

        So a broken upload is known as ours and is completed by the next run. Files of an older
        result that are not made any more are removed before the last step; XNAT cannot exchange a
        resource as a whole, so in between a reader sees a resource whose record says «uploading».
        """
        connection = self.connect()
        label = self.output().resource
        claim = replace(record, state="uploading").to_json()
        if self._put(place, RECORD_NAME, claim).stale:
            # Digests are off and the older files keep theirs (A 6.2): with them the new files
            # would look damaged for ever. Only new entries are without.
            removal.delete_resource(connection, place, label)
            create_resource(connection, place, label)
            self._put(place, RECORD_NAME, claim)
        upload_files(connection, place, label, sendings, overwrite=True)
        wanted = {sending.path for sending in sendings} | OWN_NAMES
        for file in contents.list_files(connection, place, label):
            if file.path not in wanted:
                removal.delete_file(connection, place, label, file.path)
        set_fields(connection, place.item(), fields)
        self._put(place, RECORD_NAME, record.to_json())
        self._seal(record.inputs, place)

    def _seal(self, inputs: Iterable[InputRecord], place: Address) -> None:
        files = contents.list_files(self.connect(), place, self.output().resource)
        result = snapshot.Summary.of(files)
        text = self._seal_for(inputs, result, self.read_values(place))
        if self._put(place, SEAL_NAME, text).stale:
            removal.delete_file(self.connect(), place, self.output().resource, SEAL_NAME)
            self._put(place, SEAL_NAME, text)
        snapshot.forget(self.server, self.project)

    def _put(self, place: Address, name: str, text: str, label: str = "") -> Uploaded:
        return send_text(self.connect(), place, label or self.output().resource, name, text)

    # --- when it goes wrong -------------------------------------------------------------------

    def command(self) -> str:
        """The command that runs this one task alone."""
        return command_for(self, "--keep", "--local-scheduler")

    def _failure(self, error: Exception, workdir: Path) -> XNATError:
        said = str(error) or type(error).__name__
        kept = f" The working folder is kept: {workdir}." if self.keep else ""
        if self.failures and isinstance(error, ProgramError) and error.run is not None:
            self._leave_words(error.run)
        return StepFailedError(
            f"{self.task_family} failed for {self.describe_item()}: {said}\n"
            f"Nothing was uploaded.{kept} To run it alone: {self.command()}"
        )

    def _leave_words(self, run: ProgramRun) -> None:
        """What a failing program said, as a file on the server; the failure itself goes first."""
        name = f"{self.task_family}.{hashlib.sha256(_now().encode()).hexdigest()[:8]}.txt"
        text = f"{shlex.join(run.command)}\nstatus {run.status}\n\n{run.output or '(nothing)'}"
        try:
            self._put(self.prepare(), name, text, self.failures)
        except XNATError as error:
            logger.warning("%s: the program's output could not be kept: %s", self, error)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
