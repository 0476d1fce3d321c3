"""`StandIn`: the server in a thread of its own, with its knobs as attributes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from . import filling, filling_rows
from .app import App, RequestRecord
from .clock import Clock
from .faults import Faults
from .preferences import Preferences
from .router import Router
from .routes import all_routes, set_up
from .routes.control import Control
from .services import Services
from .shortcut import ShortcutServer
from .state import State

__all__ = ["RequestRecord", "StandIn"]


class StandIn:
    """A stand-in XNAT server on a loopback port.

    Parameters:
        root: folder for its state; a temporary one, removed at the end, by default. One server at a
            time works in a folder, a second one raises `OSError`.
        port: 0 takes a free one.
        users: login -> password; the first one becomes site administrator.
        context: path prefix such as `/xnat`.
        host: address to listen on.
        clock: the clock to go by; its own by default.
        control: whether the control addresses below `/standin/` answer; by default where only this
            machine can reach the server.

    It starts with the `with` block (or `start()`) and ends with it (or `stop()`).
    """

    def __init__(
        self,
        root: str | Path | None = None,
        port: int = 0,
        users: Mapping[str, str] | None = None,
        *,
        host: str = "127.0.0.1",
        context: str = "",
        clock: Clock | None = None,
        control: bool | None = None,
    ) -> None:
        self._temporary = root is None
        self.root = Path(tempfile.mkdtemp(prefix="standin-") if root is None else root)
        self.root.mkdir(parents=True, exist_ok=True)
        self._hold = _hold(self.root)
        self.host = host
        self.port = port
        self.context = context.rstrip("/")
        self.state = State(self.root, clock)
        for number, (login, password) in enumerate((users or {"admin": "admin"}).items()):
            known = self.state.users.get(login)
            self.state.users.add(login, password, admin=number == 0 if not known else known.admin)
        self._first_user = next(iter(users or {"admin": "admin"}))
        set_up(self.state)
        self._app = App(self.state, _router(), context=self.context)
        self.state.part(Control).app = self._app
        local = host in ("localhost", "::1") or host.startswith("127.")
        self.state.part(Control).enabled = local if control is None else control
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._http: web.Server | None = None
        self._accepting: asyncio.Server | None = None

    # knobs --------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The server's address, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.context}"

    @property
    def clock(self) -> Clock:
        """The server's clock; `clock.advance(seconds)`."""
        return self.state.clock

    @property
    def preferences(self) -> Preferences:
        """Site preferences; `server.preferences["checksums"] = False`."""
        return self.state.preferences

    @property
    def faults(self) -> Faults:
        """Fault rules; `server.faults.add(Fault(...))`."""
        return self._app.faults

    @property
    def services(self) -> Services:
        """Import, prearchive and archive with their knobs: `services.jobs.hold("_ARCHIVING")`,
        `services.archiver.knobs`, `services.rebuilder.run()` (docs/standin-services.md)."""
        return self.state.part(Services)

    @property
    def requests(self) -> list[RequestRecord]:
        """The last requests, oldest first (control addresses are not among them)."""
        self._settle()
        return self._app.log.snapshot()

    @property
    def log(self) -> Any:
        """The request log with its totals (`counts`, `bytes_in`, `bytes_out`, `clear()`)."""
        self._settle()
        return self._app.log

    @property
    def errors(self) -> list[BaseException]:
        """Unexpected exceptions of handlers, answered with 500: faults of the stand-in itself."""
        return list(self._app.errors)

    def _settle(self) -> None:
        """Lets requests whose answers were read already get into the log."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        settled = threading.Event()
        with contextlib.suppress(RuntimeError):  # it ends just now
            loop.call_soon_threadsafe(loop.call_soon, settled.set)
            settled.wait(1.0)

    # filling ------------------------------------------------------------------------------------

    def add_project(self, project: str, **facts: Any) -> str:
        """See `filling.add_project`."""
        return filling.add_project(self.state, project, user=self._first_user, **facts)

    def add_subject(self, project: str, label: str, **facts: Any) -> str:
        """See `filling.add_subject`; returns the ID."""
        return filling.add_subject(self.state, project, label, user=self._first_user, **facts)

    def add_session(self, project: str, subject: str, label: str, **facts: Any) -> str:
        """See `filling.add_session`; returns the ID."""
        return filling.add_session(
            self.state, project, subject, label, user=self._first_user, **facts
        )

    def add_assessor(self, project: str, session: str, label: str, **facts: Any) -> str:
        """See `filling.add_assessor`; returns the ID."""
        return filling.add_assessor(
            self.state, project, session, label, user=self._first_user, **facts
        )

    def add_row(self, project: str, subject: str, session: str, **facts: Any) -> str:
        """A study in the prearchive, in any state; see `filling_rows.add_row`; returns its url."""
        facts = {"user": self._first_user, **facts}
        return filling_rows.add_row(self.state, project, subject, session, **facts)

    def add_user(self, login: str, password: str, *, admin: bool = False, **roles: str) -> None:
        """An account; `roles` are `PROJECT="owner"|"member"|"collaborator"`."""
        self.state.users.add(login, password, admin=admin)
        for project, role in roles.items():
            self.state.users.set_role(project, login, role)

    # running ------------------------------------------------------------------------------------

    def start(self) -> StandIn:
        """Listens; returns when the first request can be answered.

        Raises: `OSError` when the port is taken.
        """
        # Bound here, so that a taken port is the caller's error and not a dead thread.
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=256)
        self.port = listener.getsockname()[1]
        self.preferences.preset("siteUrl", self.url)
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listener, ready), name="standin", daemon=True
        )
        self._thread.start()
        ready.wait()
        _RUNNING.add(self)
        return self

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            self._loop = loop
            loop.run_until_complete(self._serve(listener, ready))
            loop.run_until_complete(self._end_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())

    @staticmethod
    async def _end_tasks() -> None:
        """Ends requests that hang or stall."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        self._stopping = asyncio.Event()
        server = ShortcutServer(
            self._app,
            access_log=None,
            keepalive_timeout=75.0,
            max_line_size=16380,
            max_field_size=16380,
        )
        loop = asyncio.get_running_loop()
        accepting = await loop.create_server(server, sock=listener, backlog=256)
        self._http, self._accepting = server, accepting
        ready.set()
        await self._stopping.wait()
        accepting.close()
        server.pre_shutdown()
        await server.shutdown(0.02)
        await accepting.wait_closed()

    def stop(self) -> None:
        """Ends open connections, worker threads and the store; removes a temporary root."""
        _RUNNING.discard(self)
        if self._loop is not None and self._stopping is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._loop = None
        self.state.end_work()
        self._app.pool.shutdown(wait=True)
        self.state.close()
        self._hold.close()
        if self._temporary:
            shutil.rmtree(self.root, ignore_errors=True)

    def wait(self) -> None:
        """Blocks until the server is stopped from another thread."""
        if self._thread is not None:
            self._thread.join()

    def _leave_to_parent(self) -> None:
        """In a forked child: lets go of the sockets, which the parent's thread serves.

        Otherwise a connection that the server closes would stay open until the child ends, and so
        would the port.
        """
        sockets = list(self._accepting.sockets) if self._accepting is not None else []
        for connection in self._http.connections if self._http is not None else ():
            if connection.transport is not None:
                sockets.append(connection.transport.get_extra_info("socket"))
        for one in sockets:
            getattr(one, "_sock", one).close()

    def __enter__(self) -> StandIn:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _hold(root: Path) -> sqlite3.Connection:
    """Keeps the folder for one server until it is closed; a killed process gives it back.

    SQLite's own locks serve: they are on every system, and forked children do not inherit them.

    Raises: `OSError` when another server has it.
    """
    hold = sqlite3.connect(
        root / "standin.lock", timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        hold.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        hold.close()
        text = "another stand-in server works in this folder"
        raise OSError(errno.EBUSY, text, str(root)) from None
    return hold


@functools.lru_cache(maxsize=1)
def _router() -> Router:
    """The same for every server of a process: it is never changed."""
    return Router(all_routes())


_RUNNING: weakref.WeakSet[StandIn] = weakref.WeakSet()


def _after_fork() -> None:
    for server in list(_RUNNING):
        server._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
