"""`xnat-luigi serve`: the stand-in server, until it is told to stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..standin import StandIn

NAME = "serve"
HELP = """Starts the stand-in XNAT server: for trying out pipelines and clients without XNAT.

    xnat-luigi serve --sample
    xnat-luigi serve --port 8080 --root ~/standin

The first line on standard output is the address, once it answers. State lies under --root and
survives a restart; without it, in a temporary folder that is removed at the end. SIGTERM and Ctrl-C
end it. Knobs (fault rules, clock, preferences) are at /standin/; see docs/standin.md.
"""
DEFAULT = "admin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen, where to keep state, who may log in."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=0, help="port; 0, the default, takes a free one"
    )
    parser.add_argument("--root", type=Path, help="folder for the state (a temporary one)")
    parser.add_argument("--user", default=DEFAULT, help="login of the administrator (admin)")
    parser.add_argument(
        "--password",
        help="password of the administrator; $XNAT_LUIGI_STANDIN_PASSWORD, else admin, which "
        "only a server on the loopback address accepts",
    )
    parser.add_argument("--context", default="", help="path prefix such as /xnat")
    parser.add_argument("--sample", action="store_true", help="make a ready project, SAMPLE")
    parser.add_argument(
        "--control",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether /standin/ answers (only on the loopback address)",
    )


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM or Ctrl-C; 0 at a clean end."""
    try:
        from ..standin import StandIn
    except ImportError as error:
        from ..exceptions import XNATConfigError

        raise XNATConfigError(
            f"{error.name} is missing: pip install 'xnat-luigi[standin]'"
        ) from None
    password = _password(arguments)
    try:
        server = StandIn(
            arguments.root,
            arguments.port,
            {arguments.user: password},
            host=arguments.host,
            context=arguments.context,
            control=arguments.control,
        )
    except OSError as error:
        from ..exceptions import XNATConfigError

        where = f"--root {arguments.root}" if arguments.root else "the temporary folder"
        raise XNATConfigError(
            f"{where} cannot be used: {error.strerror or error}; take another folder"
        ) from None
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        _start(server, arguments)
        if arguments.sample:
            from ..standin.sample import fill

            name = fill(server, arguments.user, password)
            print(f"sample project: {server.url}/data/projects/{name}", file=sys.stderr)
        print(f"xnat-luigi stand-in: {server.url} (user {arguments.user})", flush=True)
        while not stop.wait(3600.0):
            pass
    finally:
        server.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _password(arguments: argparse.Namespace) -> str:
    """The administrator's password.

    Raises: `XNATConfigError` for the well-known one where others can reach the server.
    """
    given = arguments.password or os.environ.get("XNAT_LUIGI_STANDIN_PASSWORD")
    local = arguments.host in ("localhost", "::1") or arguments.host.startswith("127.")
    if not given and not local:
        from ..exceptions import XNATConfigError

        raise XNATConfigError(
            f"{arguments.host} can be reached by others: set XNAT_LUIGI_STANDIN_PASSWORD"
        )
    return given or DEFAULT


def _start(server: StandIn, arguments: argparse.Namespace) -> None:
    try:
        server.start()
    except OSError as error:
        from ..exceptions import XNATConfigError

        raise XNATConfigError(
            f"cannot listen on {arguments.host}:{arguments.port}: {error.strerror or error}; "
            "take another --port (0 finds a free one)"
        ) from None
