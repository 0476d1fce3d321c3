"""Models on disk, one file per server build: connecting again reads no schema.

A file is a line with the digest of the rest, a line of JSON with the names, and one more for each
class, read when the class is first asked for. Whatever is odd about one (cut, changed,
written by another version) means that there is none. Files are written under names of their own
and renamed, so any number of processes share a folder; nothing in a file is ever executed.

Schemas change only with a restart of the server (wire contract A 2), so a file is named after
everything that says which build is running: the address, the build information and the list of
schemas.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..exceptions import XNATError
from ..staging import save
from .records import ClassRecord, Model, Property

__all__ = ["ENVIRONMENT", "MOST_DAYS", "folder_from", "key_of", "load", "store"]

ENVIRONMENT = "XNAT_LUIGI_CACHE"
"""the environment variable that names the folder; ``off`` switches the cache off"""

MOST_DAYS = 30
"""files older than that are read anew: a server may have been changed without a new build"""

_FORMAT = 2
_LARGEST = 64 * 1024 * 1024
_LOG = logging.getLogger("xnat_luigi.schema")


def folder_from(environ: Mapping[str, str]) -> Path | None:
    """The folder of the cache: what the environment names, else the user's cache folder.

    None means that no cache is used.
    """
    named = environ.get(ENVIRONMENT, "")
    if named.strip().lower() in ("off", "0", "false", "no"):
        return None
    if named:
        return Path(named)
    base = environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "xnat-luigi"
    try:
        return Path.home() / ".cache" / "xnat-luigi"
    except RuntimeError:
        return None


def key_of(server: str, build: Mapping[str, object], names: Iterable[str]) -> str:
    """The name of a model: 32 hex digits that differ with server, build and list of schemas."""
    facts = [_FORMAT, server, sorted((str(k), str(v)) for k, v in build.items()), sorted(names)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _path(folder: Path, key: str) -> Path:
    return folder / f"model-{key}.json"


def load(folder: Path | None, key: str, *, now: float | None = None) -> Model | None:
    """The model of this name, or None where there is none that can be used.

    Parameters
    ----------
    folder : pathlib.Path or None
        The folder of the cache.
    key : str
        The name, see `key_of`.
    now : float
        Seconds since 1970, for tests.
    """
    if folder is None:
        return None
    path = _path(folder, key)
    try:
        status = path.stat()
        age = (time.time() if now is None else now) - status.st_mtime
        if age > MOST_DAYS * 86400 or status.st_size > _LARGEST:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    digest, _, body = content.partition(b"\n")
    if digest.decode("ascii", "replace") != _digest(body):
        return None
    try:
        return _model(body.split(b"\n"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def store(folder: Path | None, key: str, model: Model) -> bool:
    """Keep a model; whether that worked.

    The cache only saves time: a folder that cannot be written is logged and is no error.
    """
    if folder is None:
        return False
    body = _body(model)
    try:
        save.save_text(_path(folder, key), f"{_digest(body.encode())}\n{body}")
    except XNATError as error:
        _LOG.warning("the schema cache was not written: %s", error)
        return False
    return True


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _body(model: Model) -> str:
    head = {
        "names": [(record.name, record.xsi_type) for record in model],
        "elements": dict(model.elements),
        "aliases": dict(model.aliases),
        "problems": dict(model.problems),
    }
    return "\n".join(json.dumps(one, separators=(",", ":")) for one in (head, *model))


def _model(lines: list[bytes]) -> Model:
    head = json.loads(lines[0])
    names = {str(name): str(xsi_type) for name, xsi_type in head["names"]}
    if len(names) != len(lines) - 1:
        raise ValueError("classes are missing")
    return Model(
        classes=_Records(dict(zip(names.values(), lines[1:], strict=True))),
        elements=dict(head["elements"]),
        aliases=dict(head["aliases"]),
        problems=dict(head["problems"]),
        known=names,
    )


class _Records(Mapping[str, ClassRecord]):
    """The records of a file by xsi type; one is read when it is first asked for."""

    def __init__(self, lines: dict[str, bytes]) -> None:
        self._lines = lines
        self._read: dict[str, ClassRecord] = {}

    def __getitem__(self, xsi_type: str) -> ClassRecord:
        found = self._read.get(xsi_type)
        if found is None:
            *fields, properties = json.loads(self._lines[xsi_type])
            found = ClassRecord._make([*fields, tuple(Property(*one) for one in properties)])
            self._read[xsi_type] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]
