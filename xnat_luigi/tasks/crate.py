"""A result's way as an RO-Crate: the form in which other tools read where data came from.

Follows the profile «Process Run Crate»: every record on the way becomes a `CreateAction` with its
inputs, its results, the step as its instrument and the parameters it had. Files are named by their
address on the server, with size and digest; none is copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import XNATError, XNATValueError
from ..uris import quote_path
from .lineage import Node, trace
from .record import Record

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["write_crate"]

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
LICENCE = "Data stay under the terms of the archive they lie in."

Files = Iterable[tuple[str, int | None, str]]


def write_crate(connection: Connection, uri: str, folder: Path) -> Path:
    """Writes `ro-crate-metadata.json` about a result into a folder and returns its path.

    Args:
        uri: address of the result's resource, from `/data/` on.
        folder: must be empty or not there.

    Raises:
        XNATNotFoundError: the result is absent.
        XNATValueError: the folder is not empty, or the resource has no record.
        XNATError: the library is not installed.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise XNATError("RO-Crate needs its library: pip install 'xnat-luigi[pipelines]'") from None
    if folder.exists() and any(folder.iterdir()):
        raise XNATValueError(f"{folder} is not empty; name another folder for the crate")
    node = trace(connection, uri)
    if node.record is None:
        raise XNATValueError(f"{connection.server}{uri} has no record, there is nothing to tell")
    crate = ROCrate()
    crate.name = f"{node.record.task} of {uri}"
    crate.description = f"Where {connection.server}{uri} came from, up to the raw data."
    crate.license = LICENCE
    writer = _Writer(crate, connection.server)
    for one in node.walk():
        writer.add(one)
    writer.finish(node)
    crate.write(str(folder))
    return folder / "ro-crate-metadata.json"


class _Writer:
    """Fills a crate; entities appear once, however often they are named."""

    def __init__(self, crate: Any, server: str) -> None:
        from rocrate.model.contextentity import ContextEntity

        self._crate = crate
        self._server = server
        self._entity = ContextEntity
        self._actions: list[Any] = []
        self._known: dict[str, Any] = {}

    def add(self, node: Node) -> None:
        """A resource, and how it was made if that is known."""
        if node.record is None:
            files: Files = node.used.files if node.used else ()
            self._resource(node.uri, files, node.problem)
            return
        record = node.record
        result = self._resource(node.uri, record.outputs.files, node.problem)
        inputs = [self._resource(one.uri, one.files, "") for one in record.inputs]
        tools = [self._step(record), *(self._program(one) for one in record.programs)]
        action = self._context(
            f"#action-{_short(node.uri + record.ended)}",
            {
                "@type": "CreateAction",
                "name": f"{record.task} of {node.uri}",
                "startTime": record.started,
                "endTime": record.ended,
                "actionStatus": "http://schema.org/CompletedActionStatus",
            },
        )
        action["instrument"] = tools
        action["object"] = [*inputs, *self._parameters(record)]
        action["result"] = [result]
        self._actions.append(action)

    def finish(self, node: Node) -> None:
        """The root: the profile it follows, what it is about, what was done."""
        root = self._crate.root_dataset
        profile = self._context(PROFILE, {"@type": "CreativeWork", "name": "Process Run Crate"})
        root["conformsTo"] = [profile]
        root["mentions"] = self._actions
        root["mainEntity"] = self._known[self._server + node.uri]

    def _context(self, name: str, values: dict[str, Any]) -> Any:
        if name not in self._known:
            entity = self._entity(self._crate, name, properties=values)
            self._known[name] = self._crate.add(entity)
        return self._known[name]

    def _resource(self, uri: str, files: Files, problem: str) -> Any:
        address = self._server + uri
        if address in self._known:
            return self._known[address]
        entity = self._crate.add_dataset(address, properties={"name": uri.removeprefix("/data/")})
        self._known[address] = entity
        if problem:
            entity["description"] = problem
        entity["hasPart"] = [
            self._crate.add_file(
                f"{address}/files/{quote_path(path)}",
                properties={
                    "name": path,
                    **({"contentSize": str(size)} if size is not None else {}),
                    **({"md5": digest} if digest else {}),
                },
            )
            for path, size, digest in files
        ]
        return entity

    def _step(self, record: Record) -> Any:
        code = record.code
        git = code.get("git", {})
        version = str(code.get("version", ""))
        values = {
            "@type": "SoftwareApplication",
            "name": record.task,
            "softwareVersion": version + (f" ({git['commit']})" if git else ""),
            "softwareRequirements": [
                f"{name} {number}" for name, number in sorted(code.get("packages", {}).items())
            ],
        }
        return self._context(f"#step-{_short(record.task + str(values))}", values)

    def _program(self, program: Any) -> Any:
        command = [str(word) for word in program.get("command", ())]
        name = Path(command[0]).name if command else "program"
        version = str(program.get("version", ""))
        return self._context(
            f"#program-{_short(name + version)}",
            {"@type": "SoftwareApplication", "name": name, "softwareVersion": version},
        )

    def _parameters(self, record: Record) -> list[Any]:
        return [
            self._context(
                f"#parameter-{_short(record.task + key + value)}",
                {"@type": "PropertyValue", "name": key, "value": value},
            )
            for key, value in sorted(record.parameters.items())
        ]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
