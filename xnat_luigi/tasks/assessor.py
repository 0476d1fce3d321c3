"""A step whose result is an assessor: values that XNAT can search, and files beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..exceptions import XNATNotFoundError, XNATUploadError, XNATValueError
from ..rest import absence
from ..rest.documents import get_item
from ..rest.items import create_assessor
from ..targets import snapshot
from ..targets.resource import ResourceTarget
from .derived import DerivedTask
from .fields import custom_variables

if TYPE_CHECKING:
    from ..uris import Address

__all__ = ["DerivedAssessor"]


class DerivedAssessor(DerivedTask):
    """Derive from this when the result is values: `process()` returns them, by name.

        class Volume(DerivedAssessor):
            inputs = {"nifti": "NIFTI"}
            result = "VOLUME"

            def process(self, inputs, workdir):
                ...
                return {"custom.volume": 12.5}

    The assessor is called `SESSION_SCAN_RESULT`, so there is one for every scan, made or updated
    as often as the step runs. What `process()` leaves in its working folder becomes the assessor's
    `out` resource `result`, with the record; the values become fields of the assessor. It is
    complete by the same rule as every step, and values edited by hand make it «damaged».

    Class attributes:
        xsi_type: type of the assessor.
        suffix: end of its label; `result` when empty.
    """

    xsi_type: ClassVar[str] = "xnat:qcAssessmentData"
    suffix: ClassVar[str] = ""

    def output(self) -> ResourceTarget:
        if not self.result:
            raise XNATValueError(f"{self.task_family} does not name its `result`")
        return ResourceTarget(
            self.server,
            self.project,
            self.result,
            experiment=self.experiment,
            assessor=self.label(),
        )

    def label(self) -> str:
        """The assessor's label; `{session}` stands for the session's, which the server knows."""
        suffix = self.suffix or self.result
        parts = ["{session}", *([self.scan] if self.scan else []), suffix]
        return "_".join(part if part == "{session}" else _plain(part) for part in parts)

    def assessor_types(self) -> tuple[str, ...]:
        return (self.xsi_type,)

    def prepare(self) -> Address:
        """Makes the assessor where it is missing; 403 comes before the work, not after it."""
        connection = self.connect()
        target = self.output()
        found = absence.find_experiment(connection, self.project, self.experiment)
        if found is None:
            raise XNATNotFoundError(f"{self.describe_item()} is not on {self.server}")
        place = target.address(connection)
        if place is None:
            label = target.assessor_label(found.label)
            create_assessor(connection, found.id, label, self.xsi_type)
            place = target.address(connection)
            if place is None:
                raise XNATUploadError(
                    f"{self}: the server made assessor {label} and does not list it"
                )
        item = get_item(connection, place.item())
        if item.xsi_type != self.xsi_type:
            raise XNATUploadError(
                f"{self}: assessor {item.text('label')} is a {item.xsi_type}, not a "
                f"{self.xsi_type}; nothing of other people's is overwritten"
            )
        return place

    def read_values(self, place: Address) -> Mapping[str, str]:
        return custom_variables(get_item(self.connect(), place.item()))

    def glance_values(self, seen: snapshot.Snapshot) -> Mapping[str, str] | None:
        return seen.values(self.output())


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
