"""The model of a server: from the cache where its build is known, else from its schemas."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import XNATNotFoundError, XNATResponseError
from ..rest import site
from . import cache
from .records import Model

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["CORE_SCHEMAS", "load_model"]

CORE_SCHEMAS = ("xdat", "xnat")
"""the schemas of the default types (S-258, F-05)"""

_LOG = logging.getLogger("xnat_luigi.schema")
_USER_CACHE = Path("~")
_MOST_HELD = 4
_models: dict[tuple[str, Path | None], Model] = {}


def load_model(
    conn: Connection,
    build: Mapping[str, str],
    *,
    extension_types: bool = True,
    folder: Path | None = _USER_CACHE,
    logger: logging.Logger | None = None,
) -> Model:
    """The model of the server behind a connection.

    One request where the build is known (the list of schemas, which changes with the plugins),
    else one more for each schema.

    Parameters
    ----------
    conn : Connection
        A connection that is logged in.
    build : mapping
        What `rest.site.get_build_info` gave.
    extension_types : bool
        Whether types of plugins are wanted too (S-257, S-258).
    folder : pathlib.Path or None
        The folder of the cache; None for no cache, left out for the user's.
    logger : logging.Logger
        Where types that cannot be built are reported.

    Raises
    ------
    XNATIntegrityError
        XNAT's own schema cannot be read.
    XNATResponseError
        The server does not give its schemas.
    """
    log = logger or _LOG
    try:
        names = site.list_schemas(conn)
    except XNATNotFoundError:
        # XNAT 1.6 has no such list, but the schemas themselves (F-04).
        names = list(CORE_SCHEMAS)
    if not extension_types:
        names = [name for name in names if name in CORE_SCHEMAS]
    if folder == _USER_CACHE:
        folder = cache.folder_from(os.environ)
    key = cache.key_of(conn.server, build, names)
    model = _held(key, folder)
    if model is None:
        model = cache.load(folder, key)
        if model is None:
            model = _read(conn, names)
            cache.store(folder, key, model)
        _hold(key, folder, model)
    for name, why in model.problems.items():
        log.warning("no class for %s: %s", name, why)
    return model


def _held(key: str, folder: Path | None) -> Model | None:
    return _models.get((key, folder))


def _hold(key: str, folder: Path | None, model: Model) -> None:
    """Keep it for the next session of this process: records are never changed, so sessions share
    them, and a process that connects a thousand times does not hold a thousand."""
    if folder is None:
        return
    for oldest in list(_models)[: max(0, len(_models) - _MOST_HELD + 1)]:
        _models.pop(oldest, None)
    _models[key, folder] = model


def _read(conn: Connection, names: list[str]) -> Model:
    # The reader costs lxml, which a process that finds its model in the cache never imports.
    from .reader import VITAL, read_schemas

    documents: dict[str, bytes] = {}
    for name in names:
        try:
            documents[name] = site.read_schema(conn, name)
        except XNATResponseError as error:
            # A schema that is listed and not served (a plugin half installed) costs its own types.
            if name in VITAL or (error.status or 500) >= 500:
                raise
            documents[name] = b""
    return read_schemas(documents)
