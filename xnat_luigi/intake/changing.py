"""Changing data sets on their way, for instance to anonymise them. Off unless a hook is given.

A hook gets a pydicom data set and changes it in place (or returns another). It runs twice on every
file: once on the header alone, because the study's identity may change, and once on the whole file
while it is sent. It must therefore be repeatable: the same data set in, the same identifiers out.
That is checked, a file whose identifiers differ the second time stops the upload.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..dicom import Header, read_head
from ..exceptions import XNATConfigError, XNATError, XNATIntegrityError
from .studies import Studies, Study, group

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Hook = Callable[["Dataset"], Any]
_CHUNK = 1 << 20


def find_hook(target: str) -> Hook:
    """The hook behind `package.module:function`. Raises XNATConfigError."""
    module, _, name = target.partition(":")
    try:
        hook = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise XNATConfigError(f"hook {target!r} cannot be loaded: {error}") from None
    if not callable(hook):
        raise XNATConfigError(f"hook {target!r} is no function")
    found: Hook = hook
    return found


def change_studies(studies: Studies, hook: Hook) -> Studies:
    """The same files as they will be after the hook: other identities, other groups perhaps.

    Files keep their paths and sizes on disk. Problems of the folder stay as they are.
    """
    headers = [change_header(header, hook) for study in studies for header in study.files]
    changed = group(studies.root, headers)
    known = {problem.path: problem for study in studies for problem in study.problems}
    return Studies(
        studies.root, changed.studies, (*studies.problems, *known.values(), *changed.problems)
    )


def change_study(study: Study, hook: Hook) -> Study:
    """One study after the hook. Raises XNATIntegrityError when the hook makes several of it."""
    changed = group("", [change_header(header, hook) for header in study.files])
    if len(changed.studies) != 1 or changed.problems:
        raise XNATIntegrityError(
            f"the hook makes {len(changed.studies)} studies of study {study.uid}: its "
            "identifiers must "
            "depend on the study alone"
        )
    return replace(changed.studies[0], problems=(*study.problems, *changed.studies[0].problems))


def change_header(header: Header, hook: Hook) -> Header:
    """A header with the values it will have; path and size stay those of the file on disk."""
    from pydicom import dcmread

    dataset = _apply(dcmread(header.path, stop_before_pixels=True), hook, header.path)
    raw = _encode(dataset)
    values = dict(read_head(raw, len(raw), path=header.path, fields=header.asked).values)
    return replace(header, values=values)


def _apply(dataset: Dataset, hook: Hook, path: str) -> Dataset:
    try:
        changed = hook(dataset)
    except XNATError:
        raise
    except Exception as error:
        raise XNATConfigError(f"{path}: the hook fails: {type(error).__name__}: {error}") from error
    result: Any = dataset if changed is None else changed
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    found: Dataset = result
    return found


def _encode(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@dataclass(frozen=True)
class Change:
    """Reads a file whole, applies the hook and gives the bytes to send; one file in memory at a
    time.
    """

    hook: Hook

    def chunks(self, path: str, sop_uid: str, study_uid: str) -> Iterator[bytes]:
        """The changed file. Raises XNATIntegrityError when its identifiers are not the expected
        ones.
        """
        from pydicom import dcmread

        dataset: Any = _apply(dcmread(path), self.hook, path)
        if (str(dataset.SOPInstanceUID), str(dataset.StudyInstanceUID)) != (sop_uid, study_uid):
            raise XNATIntegrityError(
                f"{path}: the hook gives other identifiers than before; it must be repeatable"
            )
        raw = _encode(dataset)
        for at in range(0, len(raw), _CHUNK):
            yield raw[at : at + _CHUNK]
