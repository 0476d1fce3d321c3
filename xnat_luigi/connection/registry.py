"""One connection for each process, server and user.

XNAT limits the sessions of a user, so one is opened where it is first needed and ended with the
process. A forked child inherits nothing: it drops its parent's connections without a word to the
server (ending them would log the parent out) and opens its own (fault row A6).
"""

from __future__ import annotations

import contextlib
import os
import threading
from multiprocessing.util import Finalize
from pathlib import Path

from ..config import Settings
from .address import check_server
from .credentials import Credentials, find_credentials
from .login import Connection
from .transport import Transport

__all__ = ["close_all", "connection_for"]

_Key = tuple[str, str | None, str | None]
_open: dict[_Key, Connection] = {}
"""by what was asked for"""
_logins: dict[tuple[str, Credentials | None], Connection] = {}
"""by what that came to: one login, however it was asked for"""
_lock = threading.Lock()
_ends_with: int | None = None


def connection_for(
    server: str,
    *,
    user: str | None = None,
    netrc_file: str | os.PathLike[str] | None = None,
) -> Connection:
    """This process's connection to a server; made when it is first asked for.

    It belongs to the registry, do not close it. Nothing is sent before the first request.

    Raises
    ------
    XNATConfigError
        The address or the netrc file cannot be used.
    """
    address = check_server(server)
    key = (address, user, str(Path(netrc_file).expanduser()) if netrc_file else None)
    with _lock:
        found = _open.get(key)
        if found is None:
            settings = Settings.from_environ()
            credentials = find_credentials(address, user=user, netrc_file=netrc_file)
            found = _logins.get((address, credentials))
            if found is None:
                transport = Transport(address, policy=settings.policy, verify=settings.verify)
                found = _logins[address, credentials] = Connection(transport, credentials)
                _end_with_process()
            _open[key] = found
        return found


def close_all() -> None:
    """End all sessions of this process; asking again opens new ones."""
    with _lock:
        connections = list(_logins.values())
        _open.clear()
        _logins.clear()
    for connection in connections:
        with contextlib.suppress(Exception):  # at the end of a process nothing can be mended
            connection.close()


def _end_with_process() -> None:
    """Close at the end of this process.

    `atexit` does not run in children that multiprocessing forks before Python 3.13, `Finalize`
    does everywhere.
    """
    global _ends_with
    if _ends_with != os.getpid():
        _ends_with = os.getpid()
        Finalize(None, close_all, exitpriority=10)


def _drop_after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for connection in _logins.values():
        connection.drop()
    _open.clear()
    _logins.clear()


os.register_at_fork(after_in_child=_drop_after_fork)
