"""Where a result came from: a JSON record that lies beside it, and a seal, written last.

A result whose record says «complete» is whole; inputs, parameters and code in the record tell
whether it is still what would come out today. The format is described in
`docs/record.schema.json`.

The seal is a small file whose content follows from what it stands for: inputs, parameters, version
and the files of the result. Who knows today's inputs knows which seal a current result must have,
so its MD5 in a listing proves the result without reading anything.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .._version import __version__
from ..exceptions import XNATIntegrityError
from ..rest.records import File
from ..targets.resource import OWN_NAMES, RECORD_NAME, SEAL_NAME, fingerprint

__all__ = [
    "OWN_NAMES",
    "RECORD_NAME",
    "SEAL_NAME",
    "InputRecord",
    "OutputRecord",
    "Record",
    "describe_code",
    "describe_machine",
    "differences",
    "seal_text",
]

FORMAT = 1


@dataclass(frozen=True)
class OutputRecord:
    """Files with size and MD5: (path, bytes, hex digest), sorted by path."""

    files: tuple[tuple[str, int | None, str], ...]

    @classmethod
    def of(cls, files: Iterable[File]) -> OutputRecord:
        """From a listing; record and seal are no part of it."""
        rows = ((f.path, f.size, f.md5) for f in files if f.path not in OWN_NAMES)
        return cls(tuple(sorted(rows)))


@dataclass(frozen=True)
class InputRecord:
    """A resource that went in.

    `uri` is its address by ids, `fingerprint` its files in one word (`targets.resource`);
    `has_record` says that a record lies beside it, which leads on to where it came from, `record`
    is that record's MD5 where the server knows one. `labels` holds names of people's making
    (subject, session), only where asked for.
    """

    name: str
    uri: str
    fingerprint: str
    files: tuple[tuple[str, int | None, str], ...]
    has_record: bool = False
    record: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        uri: str,
        files: Sequence[File],
        labels: Mapping[str, str] | None = None,
    ) -> InputRecord:
        """From a listing of the resource."""
        output = OutputRecord.of(files)
        beside = next((file for file in files if file.path == RECORD_NAME), None)
        return cls(
            name,
            uri,
            fingerprint(file for file in files if file.path not in OWN_NAMES),
            output.files,
            beside is not None,
            beside.md5 if beside is not None else "",
            dict(labels or {}),
        )


@dataclass(frozen=True)
class Record:
    """All that is known of how a result was made.

    `fields` are values that the step set on the item itself. `state` is `uploading` until all
    files are on the server, then `complete`.
    """

    task: str
    server: str
    uri: str
    inputs: tuple[InputRecord, ...]
    parameters: Mapping[str, str]
    code: Mapping[str, Any]
    machine: Mapping[str, str]
    started: str
    ended: str
    outputs: OutputRecord
    programs: tuple[Mapping[str, Any], ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    state: str = "complete"

    def to_json(self) -> str:
        """The text that lies beside the result; equal records give equal text."""
        document = {"format": FORMAT, "tool": f"xnat_luigi {__version__}", **asdict(self)}
        return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
        """Reads a record.

        Raises:
            XNATIntegrityError: the text is no record, or one of a newer format.
        """
        try:
            data = json.loads(text)
            version = data["format"]
            if version > FORMAT:
                raise XNATIntegrityError(
                    f"the record has format {version}, this version knows {FORMAT}: update "
                    "xnat_luigi"
                )
            inputs = tuple(
                InputRecord(**{**one, "files": _rows(one["files"])}) for one in data["inputs"]
            )
            return cls(
                task=str(data["task"]),
                server=str(data["server"]),
                uri=str(data["uri"]),
                inputs=inputs,
                parameters=dict(data["parameters"]),
                code=dict(data["code"]),
                machine=dict(data["machine"]),
                started=str(data["started"]),
                ended=str(data["ended"]),
                outputs=OutputRecord(_rows(data["outputs"]["files"])),
                programs=tuple(dict(one) for one in data["programs"]),
                fields={str(key): str(value) for key, value in data["fields"].items()},
                state=str(data["state"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise XNATIntegrityError(f"this is no record of a result: {error!r}") from None


def seal_text(
    task: str,
    *,
    inputs: Iterable[InputRecord],
    parameters: Mapping[str, str],
    version: str,
    outputs: str,
    values: Mapping[str, str] | None = None,
) -> str:
    """The content of the seal that a result must have if it is current.

    Args:
        inputs: today's, as listed on the server.
        outputs: fingerprint of the result's files as listed, the record with them, an older seal
            not.
        values: custom variables of an item that belongs to the step alone.
    """
    document = {
        "task": task,
        "version": version,
        "parameters": dict(parameters),
        "inputs": sorted((one.name, one.uri, one.fingerprint) for one in inputs),
        "outputs": outputs,
        "values": dict(values or {}),
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n"


def _rows(rows: Iterable[Sequence[Any]]) -> tuple[tuple[str, int | None, str], ...]:
    return tuple((str(path), size, str(digest)) for path, size, digest in rows)


def differences(
    record: Record,
    *,
    inputs: Sequence[InputRecord],
    parameters: Mapping[str, str],
    version: str,
) -> list[str]:
    """Why a result is not what would come out today, in sentences; empty when it is."""
    found = []
    then = {one.name: one for one in record.inputs}
    now = {one.name: one for one in inputs}
    for name in sorted(then.keys() | now.keys()):
        if name not in now:
            found.append(f"input {name} is not asked for any more")
        elif name not in then:
            found.append(f"input {name} is new")
        elif then[name].uri != now[name].uri:
            found.append(f"input {name} is another one: {now[name].uri}")
        elif then[name].fingerprint != now[name].fingerprint:
            found.append(f"input {name} has changed: {_changed(then[name], now[name])}")
    for key in sorted(record.parameters.keys() | parameters.keys()):
        old, new = record.parameters.get(key), parameters.get(key)
        if old != new:
            found.append(f"parameter {key} was {old!r} and is {new!r}")
    if record.code.get("version") != version:
        found.append(f"code version was {record.code.get('version')!r} and is {version!r}")
    return found


def _changed(then: InputRecord, now: InputRecord) -> str:
    old = {path: (size, digest) for path, size, digest in then.files}
    new = {path: (size, digest) for path, size, digest in now.files}
    names = [
        *(f"{path} is gone" for path in sorted(old.keys() - new.keys())),
        *(f"{path} is new" for path in sorted(new.keys() - old.keys())),
        *(f"{path} differs" for path in sorted(old.keys() & new.keys()) if old[path] != new[path]),
    ]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def describe_code(version: str, packages: Iterable[str], folder: Path | None) -> dict[str, Any]:
    """Version of the step, versions of packages, and the git commit of the code's folder.

    Args:
        version: what the step calls itself.
        packages: names of distributions; those that are not installed are left out.
        folder: where the step's source lies; None or no git checkout gives no commit.
    """
    found = {}
    for name in sorted(set(packages)):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    code: dict[str, Any] = {
        "version": version,
        "python": platform.python_version(),
        "packages": found,
    }
    commit = None if folder is None else _git(folder, "rev-parse", "HEAD")
    if folder is not None and commit:
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
        code["git"] = {"commit": commit, "clean": changes == ""}
    return code


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def describe_machine() -> dict[str, str]:
    """System and processor; no name of a host or user."""
    return {"system": platform.platform(), "processor": platform.machine()}
