"""`connect`: from an address to a session, in named steps (section 1.4.1)."""

from __future__ import annotations

import atexit
import contextlib
import getpass
import logging
import os
import re
import weakref
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from .config import Policy, Settings
from .connection.address import check_server, origin_of
from .connection.credentials import Credentials, find_credentials
from .connection.login import Connection
from .connection.transport import Transport
from .exceptions import XNATConfigError, XNATLoginFailedError, XNATNotFoundError
from .rest import site
from .schema.loading import load_model
from .session import BaseXNATSession, XNATSession
from .session.verbs import Timeout

__all__ = ["connect"]

_SMALL = 64 * 1024
_MOST_REDIRECTS = 5
_open: weakref.WeakSet[BaseXNATSession] = weakref.WeakSet()
_BASE = re.compile(r"(.*/)(?:app|data)/")


def connect(
    server: str,
    user: str | None = None,
    password: str | None = None,
    verify: bool | str = True,
    netrc_file: str | os.PathLike[str] | None = None,
    debug: bool = False,
    extension_types: bool = True,
    loglevel: int | str | None = None,
    logger: logging.Logger | None = None,
    detect_redirect: bool = True,
    no_parse_model: bool = False,
    default_timeout: Timeout = 300,
    auth_provider: str | None = None,
    jsession: str | None = None,
    cli: bool = False,
) -> XNATSession | BaseXNATSession:
    """Log in to a server and return the session, with classes made from the server's schemas.

    Parameters
    ----------
    server : str
        Its address, with `http://` or `https://`, and with its context path if it has one.
    user, password : str, optional
        The login. A user alone is asked for the password on the console, and where there is none,
        the environment and the netrc file are looked into. Without a user the
        environment and the netrc file are looked into (`connection.credentials`); when they know
        nothing, the session is a guest's.
    verify : bool or str
        False leaves the server's certificate unchecked (the connection is still encrypted); a
        string names a file of certificates to trust. True follows `XNAT_LUIGI_VERIFY`, if set.
    netrc_file : path, optional
        A netrc file to use in place of the default one.
    debug : bool
        Log the client's own internals.
    extension_types : bool
        Whether classes are made for the types of plugins as well.
    loglevel : int or str, optional
        The level of the session's logger; `"DEBUG"` shows each request.
    logger : logging.Logger, optional
        A logger to use in place of an own one.
    detect_redirect : bool
        Notice where the server sends us on (301, 302), and ask there from then on. An explicit
        password never goes to another host that way.
    no_parse_model : bool
        Log in only: no schemas are read, and what needs classes fails.
    default_timeout : float or (float, float)
        Seconds in which something has to be received, or (to connect, to receive).
    auth_provider : str, optional
        The authentication provider of the server to log in with.
    jsession : str, optional
        A login session that exists already (`session.JSESSION`), in place of a login.
    cli : bool
        Leave the login session alive on the server when this session is disconnected.

    Returns
    -------
    XNATSession
        To be used in a `with` statement, or ended by `disconnect()`; a `BaseXNATSession` with
        `cli=True`.

    Raises
    ------
    XNATConnectionError
        The server does not answer in time.
    XNATLoginFailedError
        User, password or `jsession` are not taken.
    XNATExpiredCredentialsError
        The password must be renewed on the server's web page.
    XNATConfigError
        The address or the netrc file cannot be used.
    """
    given = check_server(server)
    if verify is True:
        verify = Settings.from_environ().verify
    log = _make_logger(logger, loglevel, debug)
    policy = _make_policy(default_timeout)
    transport = Transport(given, policy=policy, verify=verify)
    if detect_redirect:
        transport = _follow(transport, verify, explicit=password is not None or bool(jsession))
    credentials = None if jsession else _find_login(transport.server, user, password, netrc_file)
    connection = Connection(
        transport, credentials, provider=auth_provider, session=jsession or None, logger=log
    )
    kind = BaseXNATSession if cli else XNATSession
    session = kind(
        transport.server,
        log,
        connection,
        debug=debug,
        original_uri=given if given != transport.server else None,
        default_timeout=default_timeout,
    )
    try:
        _enter(session, jsession)
        if not no_parse_model:
            _load(session, extension_types)
    except BaseException:
        with contextlib.suppress(Exception):
            session.disconnect() if jsession is None else connection.close(end_session=False)
        raise
    session.start_heartbeat()
    _open.add(session)
    return session


# --- the steps --------------------------------------------------------------------------------


class _SessionLogger(logging.Logger):
    """A logger that no registry knows: what the library remembers of levels would grow old."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  (the library's name)
        return not self.disabled and level >= max(
            self.getEffectiveLevel(), self.manager.disable + 1
        )


def _make_logger(
    logger: logging.Logger | None, loglevel: int | str | None, debug: bool
) -> logging.Logger:
    """The given logger, or one of our own with the level asked for (S-026 to S-028)."""
    if logger is None:
        # Not registered by name, so that two sessions may have two levels.
        logger = _SessionLogger("xnat_luigi.session", logging.NOTSET)
        logger.parent = logging.getLogger("xnat_luigi")
        if (loglevel is not None or debug) and not logger.hasHandlers():
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            logger.addHandler(handler)
            logger.propagate = False
    if loglevel is not None:
        logger.setLevel(loglevel)
    elif debug:
        logger.setLevel(logging.DEBUG)
    if debug:
        logging.getLogger("xnat_luigi").setLevel(logging.DEBUG)
    return logger


def _make_policy(default_timeout: Timeout) -> Policy:
    """The house's policy, with the timeout of the session (S-071)."""
    policy = Settings.from_environ().policy
    if default_timeout is None:
        return policy
    connect, silence = (
        default_timeout if isinstance(default_timeout, tuple) else (None, default_timeout)
    )
    if silence is not None:
        policy = replace(
            policy, listing=silence, transfer=max(silence, policy.transfer), gap=silence
        )
    return replace(policy, connect=connect or policy.connect)


def _follow(transport: Transport, verify: bool | str, *, explicit: bool) -> Transport:
    """The transport to where the server sends us on; nothing of the login is sent yet (S-020).

    Raises
    ------
    XNATConfigError
        An explicit login would go to another host, or a redirect leads from https to http.
    """
    begin = transport.server
    address = begin + "/"
    for _ in range(_MOST_REDIRECTS):
        path = address[len(transport.server) :]
        reply = transport.send("GET", path, wait=transport.policy.listing)
        status, named = reply.status, reply.headers.get("Location", "")
        if reply.length is not None and reply.length <= _SMALL:
            reply.read()  # a body that was read leaves its socket to the next request
        reply.close()
        if status not in (301, 302, 303, 307, 308) or not named:
            break
        address = urljoin(address, named)
        server = _base_of(address, transport.server)
        _check_move(begin, server, explicit=explicit)
        if server != transport.server:
            transport.close()
            transport = Transport(server, policy=transport.policy, verify=verify)
        if not address.startswith(transport.server + "/") or _BASE.match(address):
            break  # a page of the application: its folder is the server's address
    return transport


def _base_of(address: str, before: str) -> str:
    """The server's address behind a page of it: what stands before `app/` or `data/` (A 1.3)."""
    bare = address.partition("?")[0].partition("#")[0]
    found = _BASE.match(bare)
    if found:
        return check_server(found[1])
    if bare.startswith(before + "/"):
        return before
    return check_server(bare)


def _check_move(begin: str, server: str, *, explicit: bool) -> None:
    old, new = urlsplit(begin), urlsplit(server)
    if old.scheme == "https" and new.scheme != "https":
        raise XNATConfigError(
            f"{begin} redirects to {server}, which is not encrypted: refused. If that is right, "
            "connect to it directly"
        )
    same = origin_of(begin) == origin_of(server)
    upgraded = old.hostname == new.hostname and new.scheme == "https"
    if explicit and not same and not upgraded:
        raise XNATConfigError(
            f"{begin} redirects to {server}, another server, and your login was meant for the "
            "first: refused. If that is right, connect to it directly"
        )


def _find_login(
    server: str,
    user: str | None,
    password: str | None,
    netrc_file: str | os.PathLike[str] | None,
) -> Credentials | None:
    if user and password is None:
        # Where nobody can be asked (cron, a notebook's worker), the files may know.
        with contextlib.suppress(EOFError):
            return Credentials(user, getpass.getpass(f"Password of {user} at {server}: "), "prompt")
    return find_credentials(server, user=user, password=password, netrc_file=netrc_file)


def _enter(session: BaseXNATSession, jsession: str | None) -> None:
    """Log in now, so that a login that is not taken is an error of `connect`."""
    connection = session.connection
    if jsession is not None and not connection.logged_in():
        raise XNATLoginFailedError(
            f"{session.server}: the login session that was given is no longer alive"
        )
    session.logger.info("logged in to %s as %s", session.server, session.logged_in_user)
    assert connection.session_id


def _load(session: BaseXNATSession, extension_types: bool) -> None:
    """Read the schemas, or what is kept of them on disk, and hand the session its model."""
    try:
        build = site.get_build_info(session.connection)
    except XNATNotFoundError:  # XNAT 1.6 (F-04)
        build = {"version": session.xnat_version}
    model = load_model(
        session.connection, build, extension_types=extension_types, logger=session.logger
    )
    session.use_model(model, build["version"])


@atexit.register
def _end_what_was_left_open() -> None:
    """A script that forgot `disconnect` leaves no login behind: a user may have only so many."""
    for session in list(_open):
        with contextlib.suppress(Exception):  # at the end of a process nothing can be mended
            session.disconnect()
