"""The step to derive from: from resources of a scan or session to a resource of the same.

class CountFiles(DerivedTask):
    inputs = {"dicom": "DICOM"}
    result = "COUNT"

    def process(self, inputs, workdir):
        number = len(list(inputs["dicom"].rglob("*.dcm")))
        (workdir / "count.txt").write_text(f"{number}\n")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import luigi

from ..exceptions import XNATValueError
from ..targets import snapshot
from ..targets.resource import ResourceTarget
from ..transfer.select import fits
from .base import XnatTask, split
from .step import Step, StepOptions

__all__ = ["DerivedTask", "EveryScan", "EverySession", "ResourceReady"]


class ResourceReady(luigi.ExternalTask, XnatTask):
    """Somebody else makes the resource; this task only says whether it is there."""

    resource: str = luigi.StrParameter(description="label of the resource")
    experiment: str = luigi.StrParameter(description="ID or label of the experiment")
    scan: str = luigi.StrParameter(default="", description="ID of the scan")

    def output(self) -> ResourceTarget:
        return ResourceTarget(
            self.server, self.project, self.resource, experiment=self.experiment, scan=self.scan
        )


class DerivedTask(Step):
    """Derive from this, set `inputs` and `result`, write `process()`.

    Everything that `process()` leaves in its working folder becomes the resource `result` of the
    same scan or session, with a record of where it came from.

    Class attributes:
        inputs: name of an input to label of its resource. `("DICOM", "")` in place of a label
            takes it from the session itself also when the step is about a scan, `("DICOM", "4")`
            from another scan.
        result: label of the resource the step makes.
    """

    inputs: ClassVar[Mapping[str, str | tuple[str, str]]] = {}
    result: ClassVar[str] = ""

    experiment: str = luigi.StrParameter(description="ID or label of the experiment")
    scan: str = luigi.StrParameter(default="", description="ID of the scan, empty for the session")

    def sources(self) -> Sequence[tuple[str, ResourceTarget]]:
        return [(name, self._place(label, scan)) for name, label, scan in self._places()]

    def requires(self) -> Any:
        """The inputs, as things that somebody else makes; override to name the task that does."""
        return [
            ResourceReady(
                server=self.server,
                project=self.project,
                resource=label,
                experiment=self.experiment,
                scan=scan,
            )
            for _, label, scan in self._places()
        ]

    def output(self) -> ResourceTarget:
        if not self.result:
            raise XNATValueError(f"{self.task_family} does not name its `result`")
        return self._place(self.result, self.scan)

    def describe_item(self) -> str:
        where = f"scan {self.scan} of " if self.scan else ""
        return f"{where}{self.experiment} ({self.project})"

    def _place(self, label: str, scan: str) -> ResourceTarget:
        return ResourceTarget(
            self.server, self.project, label, experiment=self.experiment, scan=scan
        )

    def _places(self) -> Iterator[tuple[str, str, str]]:
        for name, place in self.inputs.items():
            if isinstance(place, tuple):
                yield name, place[0], place[1]
            else:
                yield name, place, self.scan


class EverySession(StepOptions, luigi.WrapperTask):
    """A step for every session of a project that has a resource of its own.

    Class attributes:
        step: the step; parameters that this class has too are handed on to it.
        having: label of the resource that makes a session one of those that are meant.
    """

    step: ClassVar[type[DerivedTask]]
    having: ClassVar[str] = "DICOM"

    sessions: str = luigi.StrParameter(
        default="", description="labels or IDs of sessions, globs with commas; all if empty"
    )

    def requires(self) -> list[DerivedTask]:
        seen = self.look_around()
        return [
            self.make_step(experiment, "")
            for experiment in seen.sessions_with(self.having)
            if self.takes_session(seen, experiment)
        ]

    def takes_session(self, seen: snapshot.Snapshot, experiment: str) -> bool:
        """Whether a session is meant."""
        return fits(split(self.sessions), *seen.names.get(experiment, (experiment,)))

    def assessor_types(self) -> tuple[str, ...]:
        xsi_type = getattr(self.step, "xsi_type", "")
        return (xsi_type,) if xsi_type else ()

    def make_step(self, experiment: str, scan: str) -> DerivedTask:
        """The step for one place, with the parameters that both have."""
        return cast(
            DerivedTask,
            self.clone(self.step, experiment=experiment, scan=scan),  # type: ignore[no-untyped-call]
        )


class EveryScan(EverySession):
    """A step for every scan of a project that has a resource, or for some of them."""

    scans: str = luigi.StrParameter(
        default="", description="IDs or types of scans, globs with commas; all if empty"
    )
    qualities: str = luigi.StrParameter(
        default="", description="qualities of scans, such as usable; all if empty"
    )

    def requires(self) -> list[DerivedTask]:
        seen = self.look_around()
        return [
            self.make_step(experiment, scan)
            for experiment, scan in seen.scans_with(self.having)
            if self.takes_session(seen, experiment) and self.takes_scan(experiment, scan)
        ]

    def takes_scan(self, experiment: str, scan: str) -> bool:
        """Whether a scan is meant; types and qualities of all scans are asked for at once."""
        if not (self.scans or self.qualities):
            return True
        facts = snapshot.scan_facts(self.connect(), self.project)
        kind, quality = facts.get((experiment, scan), ("", ""))
        return fits(split(self.scans), scan, kind) and fits(split(self.qualities), quality)
