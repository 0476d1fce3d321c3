"""How a result on the server stands, and the errors of processing steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..exceptions import XNATError, XNATIntegrityError
from .record import OutputRecord, Record

__all__ = [
    "Condition",
    "InputChangedError",
    "Result",
    "StaleResultError",
    "StepFailedError",
    "find_damage",
]


class Condition(Enum):
    """How a result on the server stands to what would come out today."""

    ABSENT = "absent"
    HALF = "an upload was broken off"
    FOREIGN = "something this step did not make"
    DAMAGED = "not what the record says"
    STALE = "made from other inputs, parameters or code"
    UNSEALED = "whole, only its seal is missing"
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


class StepFailedError(XNATError):
    """What a step's `process()` does went wrong: where, why, and how to run it alone."""


def find_damage(wanted: OutputRecord, found: OutputRecord) -> list[str]:
    """Files that are missing, differ, or do not belong to the result, in sentences."""
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
