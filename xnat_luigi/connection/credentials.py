"""Who we are: argument, environment, netrc, in this order; else a guest.

The only module that reads netrc files. A file that others may read is refused, also one that was
named explicitly: Python's own check looks at the default file only (fault row A3).
"""

from __future__ import annotations

import netrc
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..config import ENVIRONMENT
from ..exceptions import XNATConfigError

__all__ = ["Credentials", "find_credentials", "netrc_path", "tell_nobody"]


@dataclass(frozen=True)
class Credentials:
    """User and password; the password is in no repr. `source` says where they come from."""

    user: str
    password: str = field(repr=False)
    source: str = "argument"

    def __reduce__(self) -> Any:
        raise TypeError("credentials are not pickled: each process finds its own")


def find_credentials(
    server: str,
    *,
    user: str | None = None,
    password: str | None = None,
    netrc_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Credentials | None:
    """Find user and password for a server, None for «no login at all».

    Parameters
    ----------
    server : str
        Its address; netrc knows it by `host:port` or by its host name.
    user, password : str, optional
        A user alone takes the password from the environment or from netrc, if they know this
        user.
    netrc_file : path, optional
        In place of `$NETRC` and `~/.netrc`. It must exist, and so must one that `$NETRC` names.
    environ : mapping, optional
        The environment. `XNAT_LUIGI_USER` and `XNAT_LUIGI_PASSWORD` count when `XNAT_LUIGI_SERVER`
        is not set or has the same origin as `server`: a password is never sent to another server
        than the one it is meant for.

    Raises
    ------
    XNATConfigError
        A password without a user, a user without a password, a netrc file that is missing,
        broken, or open to others.
    """
    source = os.environ if environ is None else environ
    if password is not None:
        if not user:
            raise XNATConfigError("a password without a user: give both")
        return Credentials(user, password)
    if netrc_file is None:
        found = _from_environ(server, user, source)
        if found is not None:
            return found
    found = _from_netrc(server, user, netrc_file, source)
    if found is None and user:
        raise XNATConfigError(
            f"no password for user {user!r} at {server}: put it into "
            f"{netrc_file or netrc_path(source)} (machine {urlsplit(server).hostname} login {user} "
            f"password ...) or set {ENVIRONMENT['password']}"
        )
    return found


def netrc_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the netrc file that counts when none is named: `$NETRC`, else `~/.netrc`."""
    source = os.environ if environ is None else environ
    named = source.get(ENVIRONMENT["netrc"])
    home = source.get("HOME") or os.path.expanduser("~")
    return Path(named).expanduser() if named else Path(home) / ".netrc"


def tell_nobody(server: str) -> str:
    """Say what to do where a login is wanted and nobody is named for a server."""
    return (
        f"give user and password, or put them into {netrc_path()}, where no entry is for this host "
        f"(machine {urlsplit(server).hostname} login ... password ...)"
    )


def _from_environ(server: str, user: str | None, environ: Mapping[str, str]) -> Credentials | None:
    name, password = environ.get(ENVIRONMENT["user"]), environ.get(ENVIRONMENT["password"])
    meant = environ.get(ENVIRONMENT["server"])
    if not name or not password or (user and user != name):
        return None
    if meant and _origin(meant) != _origin(server):
        return None
    return Credentials(name, password, "environment")


def _origin(server: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(server if "://" in server else f"https://{server}")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def _from_netrc(
    server: str,
    user: str | None,
    netrc_file: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
) -> Credentials | None:
    variable = environ.get(ENVIRONMENT["netrc"])
    path = Path(netrc_file).expanduser() if netrc_file else netrc_path(environ)
    if str(path) == os.devnull:
        return None
    if not path.exists():
        if netrc_file or variable:
            by = "" if netrc_file else f"; {ENVIRONMENT['netrc']} names it"
            raise XNATConfigError(f"there is no netrc file {path}{by}")
        return None
    _refuse_open(path)
    parts = urlsplit(server)
    host = parts.hostname or ""
    try:
        found = netrc.netrc(str(path))
        # The official client knows a server by host and port; such an entry comes first.
        named_with_port = f"{host}:{parts.port}"
        entry = found.authenticators(named_with_port if named_with_port in found.hosts else host)
    except netrc.NetrcParseError as error:
        # The parser's own words may quote the file, and with it a password.
        raise XNATConfigError(f"{path} cannot be read, line {error.lineno}: correct it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise XNATConfigError(f"{path} cannot be read: {type(error).__name__}") from None
    if entry is None or (user and entry[0] != user):
        return None
    if not entry[0] or not entry[2]:
        raise XNATConfigError(f"{path}: the entry for {host} needs login and password")
    return Credentials(entry[0], entry[2], str(path))


def _refuse_open(path: Path) -> None:
    status = path.stat()
    if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise XNATConfigError(
            f"{path} may be read by others (mode {stat.S_IMODE(status.st_mode):o}): "
            f"chmod 600 {path}"
        )
    if os.name == "posix" and status.st_uid not in (os.getuid(), 0):
        raise XNATConfigError(f"{path} belongs to somebody else: use a file of your own")
