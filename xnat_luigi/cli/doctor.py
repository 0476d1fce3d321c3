"""`xnat-luigi doctor`: whether everything between here and a server is as it should be."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..connection.login import Connection

NAME = "doctor"
HELP = """Looks at the way to a server, step by step, and says what to do where one fails.

    xnat-luigi doctor --server https://xnat.example.org
    xnat-luigi doctor --server https://xnat.example.org --project P1

Address, certificate, redirects, where the login comes from, whether it is taken, version, clocks,
open sessions; with --project whether it can be read and written. Changes nothing on the server.
The status is that of the first step that failed (5 no answer, 6 login, 3 no such project).
"""

MANY_SESSIONS = 50
CLOCKS_APART = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A server, and a project if one is to be looked at."""
    parser.add_argument("--server", required=True, help="address of the server")
    parser.add_argument("--project", help="ID of a project that is to be read and written")
    parser.add_argument("--netrc-file", "--netrc", help="in place of $NETRC and ~/.netrc")


def run(arguments: argparse.Namespace) -> int:
    """Goes through the steps until one fails."""
    from ..connection.registry import close_all
    from ..exceptions import XNATError

    try:
        for what, found in steps(arguments.server, arguments.project, arguments.netrc_file):
            print(f"  {what:<12} {found}", flush=True)
    except XNATError as error:
        print(f"  failed       {error}")
        return error.exit_status
    finally:
        close_all()
    print("all is well")
    return 0


def steps(
    server: str,
    project: str | None,
    netrc_file: str | None = None,
    today: Callable[[], float] = time.time,
) -> Iterator[tuple[str, str]]:
    """What each step found, one after the other.

    Raises
    ------
    XNATError
        A step failed; the message says what to do.
    """
    from .. import uris
    from ..connection.address import check_server
    from ..connection.credentials import find_credentials, netrc_path
    from ..connection.registry import connection_for
    from ..rest import site

    address = check_server(server)
    yield "address", address
    yield from _reach(address)
    credentials = find_credentials(address, netrc_file=netrc_file)
    if credentials is None:
        file = netrc_file or netrc_path()
        yield "login", f"{file} names nobody for this server: asking as a guest"
    else:
        yield "login", f"user {credentials.user}, from {credentials.source}"
    connection = connection_for(address, netrc_file=netrc_file)
    begin = time.perf_counter()
    assert connection.session_id
    yield "logged in", f"as {connection.user}, in {time.perf_counter() - begin:.2f} s"
    if credentials is None:  # a session is given to everybody, data perhaps not
        connection.request("GET", uris.PROJECTS, query={"format": "json"})
    yield "version", site.get_build_info(connection)["version"]
    yield from _session(connection, today)
    if project is not None:
        yield from _project(connection, project)


def _reach(address: str) -> Iterator[tuple[str, str]]:
    from ..config import Settings
    from ..connection.address import shown
    from ..connection.transport import Transport
    from ..exceptions import XNATConfigError

    settings = Settings.from_environ()
    transport = Transport(address, policy=settings.policy, verify=settings.verify)
    begin = time.perf_counter()
    try:
        reply = transport.send("GET", "/", wait=settings.policy.connect)
        seconds = time.perf_counter() - begin
        location = reply.headers.get("Location", "")
        reply.close()
    finally:
        transport.close()
    yield "answers", f"in {seconds:.2f} s"
    if reply.status in (301, 302, 303, 307, 308):
        inside = location.startswith(("/", address + "/"))
        if not inside:
            raise XNATConfigError(
                f"{address} sends us on to {shown(location)}: give that server's address instead, "
                "the tasks follow nobody with your login"
            )
        yield "redirect", f"to {shown(location)}, on the same server"
    if settings.verify is False and address.startswith("https:"):
        yield "certificate", "NOT checked (XNAT_LUIGI_VERIFY)"
    elif address.startswith("https:"):
        yield "certificate", "trusted"
    else:
        yield "encrypted", "NO: whoever listens can read the password (http, not https)"


def _session(connection: Connection, today: Callable[[], float]) -> Iterator[tuple[str, str]]:
    from .. import uris
    from ..exceptions import XNATResponseError

    if connection.expiration is not None:
        stamp, limit = connection.expiration
        yield "timeout", f"the server ends a silent session after {limit / 60:.0f} min"
        apart = stamp - today()
        if abs(apart) > CLOCKS_APART:
            yield "clocks", f"the server's is {apart:+.0f} s from ours; only its own is relied on"
    try:
        answer = connection.request("GET", uris.user_sessions(connection.user))
        count = int(answer.json().get(connection.user, 0))
    except (XNATResponseError, ValueError, AttributeError):
        return  # an older server, or a guest: nobody needs to know
    hint = "; end some, XNAT allows a user only so many" if count > MANY_SESSIONS else ""
    yield "sessions", f"{count} open for {connection.user}{hint}"


def _project(connection: Connection, project: str) -> Iterator[tuple[str, str]]:
    from .. import uris
    from ..exceptions import XNATForbiddenError
    from ..rest import documents, listings
    from ..rest.answers import read_table

    documents.get_project(connection, project)
    sessions = listings.list_experiments(connection, project)
    yield "project", f"{project} can be read: {len(sessions)} experiments"
    query = {"format": "json", "restrict": "edit"}
    rows = read_table(connection.request("GET", uris.PROJECTS, query=query))
    if project not in {row.get("id", row.get("ID", "")) for row in rows}:
        raise XNATForbiddenError(
            f"{connection.user} may not change project {project!r}: sync works, importing and "
            "archiving do not; ask an owner of the project for the role of a member",
            status=403,
            method="GET",
            path=uris.PROJECTS,
        )
    yield "rights", f"{connection.user} may change it"
