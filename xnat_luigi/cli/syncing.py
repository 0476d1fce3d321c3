"""What the commands around a sync share: options, the order, and its progress on a terminal."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..connection.login import Connection
    from ..sync.order import Order
    from ..sync.plan import Plan
    from ..sync.report import Report, SessionReport

SELECT = {
    "subjects": ("--subject", "labels or IDs of subjects"),
    "sessions": ("--session", "labels or IDs of sessions"),
    "types": ("--type", "types of sessions, xnat:mrSessionData"),
    "scans": ("--scan", "IDs or types of scans"),
    "qualities": ("--quality", "qualities of scans, usable"),
    "resources": ("--resource", "labels of resources, DICOM"),
    "custom": ("--custom", "NAME=VALUE of custom variables of sessions"),
}


def add_order(parser: argparse.ArgumentParser) -> None:
    """The file and all that can stand in it."""
    parser.add_argument("order", nargs="?", type=Path, metavar="FILE.toml", help="see the docs")
    parser.add_argument("--server", help="address of the server")
    parser.add_argument("--project", action="append", metavar="ID", help="may be repeated")
    parser.add_argument("--dest", metavar="DIR", help="where the files go")
    parser.add_argument(
        "--layout", help="documented, flat, or a template such as {session}/{scan_id}/{path}"
    )
    chosen = parser.add_argument_group("selection", "globs, several with commas or repeated")
    add_patterns(chosen, SELECT)
    chosen.add_argument("--since", metavar="DATE", help="first date of sessions, 2024-02-01")
    chosen.add_argument("--until", metavar="DATE", help="last date of sessions")
    chosen.add_argument(
        "--no-shared", action="store_true", help="only sessions that the project owns"
    )
    add_netrc(parser)


def add_patterns(parser: argparse._ActionsContainer, names: Iterable[str]) -> None:
    """Options for a selection, each under its singular and its plural name."""
    for name in names:
        option, text = SELECT[name]
        parser.add_argument(
            *dict.fromkeys((option, f"--{name}")),
            dest=f"select_{name}",
            action="append",
            default=[],
            metavar="PATTERN",
            help=text,
        )


def read_patterns(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, list[str]]:
    """What `add_patterns` was given: repeated, or with commas (not within `re:`)."""
    found = {}
    for name in names:
        texts: list[str] = getattr(arguments, f"select_{name}")
        words = [[one] if one.startswith("re:") else one.split(",") for one in texts]
        if words:
            found[name] = [word for some in words for word in some]
    return found


def add_netrc(parser: argparse._ActionsContainer) -> None:
    """The file with the logins, under both of its names."""
    parser.add_argument(
        "--netrc", "--netrc-file", metavar="FILE", help="netrc file in place of the usual one"
    )


NOTHING_FITS = 3
"""the status of a command for people whose patterns fit nothing"""


def say_nothing_fits(select: Mapping[str, object], project: str) -> int:
    """Say that patterns fit nothing, and return the status for that."""
    words = ", ".join(
        f"{SELECT[name][0]} {' '.join(some) if isinstance(some, (list, tuple)) else some}"
        for name, some in select.items()
        if some
    )
    print(f"xnat-luigi: nothing in {project} fits {words}", file=sys.stderr)
    return NOTHING_FITS


def read_order(arguments: argparse.Namespace) -> Order:
    """The order of a command line: the file, and the options over it."""
    from ..exceptions import XNATValueError
    from ..sync.order import Order, explain
    from ..sync.order import read_order as read_file

    values = read_file(arguments.order) if arguments.order else {}
    try:
        if arguments.order:
            Order.from_mapping({"server": "-", "projects": ["-"], "dest": "-", **values})
    except XNATValueError as error:
        raise explain(arguments.order, error) from None
    options = {
        "server": arguments.server,
        "projects": arguments.project,
        "dest": arguments.dest,
        "layout": arguments.layout,
        **{name: getattr(arguments, name, None) for name in ("workers", "cap", "digests", "deep")},
    }
    values |= {key: value for key, value in options.items() if value is not None}
    found = values.get("select")
    select = dict(found) if isinstance(found, dict) else {}
    select |= read_patterns(arguments, SELECT)
    for name in ("since", "until"):
        if getattr(arguments, name):
            select[name] = getattr(arguments, name)
    if arguments.no_shared:
        select["shared"] = False
    return Order.from_mapping({**values, "select": select})


DRIFT = 10


def worst(statuses: Iterable[int]) -> int:
    """The status of several projects: a failure counts more than `there is something to do`."""
    found = list(statuses)
    return max((one for one in found if one != DRIFT), default=0) or max(found, default=0)


def over_projects(
    order: Order,
    work: Callable[[Connection, str], int],
    failed: Callable[[str, Exception, int], None] | None = None,
    *,
    netrc: str | None = None,
    debug: bool = False,
) -> int:
    """Do something with one project after the other; one that fails does not stop the others.

    What concerns all of them does: no answer, or a refused login. The others then fail with it.

    Parameters
    ----------
    work : callable
        Called with the connection and the project's ID; returns its status.
    failed : callable, optional
        Called with project, error and status in place of what `work` would have told.
    netrc : str, optional
        A netrc file in place of the usual one.
    debug : bool
        Raise the first error.
    """
    from ..connection.registry import close_all, connection_for
    from ..exceptions import XNATAuthError, XNATConnectionError, XNATError, XNATUnavailableError

    statuses = []
    hopeless: Exception | None = None
    try:
        for project in order.projects:
            try:
                if hopeless is not None:
                    raise hopeless
                statuses.append(work(connection_for(order.server, netrc_file=netrc), project))
            except (XNATError, OSError) as error:
                if debug or isinstance(error, BrokenPipeError):
                    raise
                if isinstance(error, (XNATAuthError, XNATConnectionError, XNATUnavailableError)):
                    hopeless = error
                status = getattr(error, "exit_status", 1)
                where = f"{project}: " if len(order.projects) > 1 else ""
                print(f"xnat-luigi: {where}{error}", file=sys.stderr)
                if failed is not None:
                    failed(project, error, status)
                statuses.append(status)
    finally:
        close_all()
    return worst(statuses)


class Journal:
    """JSON lines for machines: one object a line, each with its time and kind."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def write(self, kind: str, facts: dict[str, object]) -> None:
        """Append a line; nothing without a file."""
        if self.path is None:
            return
        from ..staging.save import append_line

        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        append_line(
            self.path, json.dumps({"time": when, "kind": kind, **facts}, ensure_ascii=False)
        )


class Display:
    """What goes on, while it goes on: bars on a terminal, a quiet line now and then elsewhere."""

    def __init__(
        self,
        journal: Journal,
        project: str,
        total: int,
        say: Callable[[str], None],
        *,
        failures: bool = False,
        start: Callable[[], None] | None = None,
    ):
        self.failures = failures
        self._start = start
        self.journal = journal
        self.project = project
        self.total = total
        self.say = say
        self.done = 0
        self.bytes = 0
        self._lock = threading.Lock()

    def watch(self, one: SessionReport) -> None:
        """A session has ended; `failures` leaves all others to be told at the end."""
        with self._lock:
            self._begin()
        self.done += 1
        self.journal.write("session", {"project": self.project, **asdict(one)})
        remarks = one.removed or one.drifted or one.displaced
        if one.failed or (remarks and not self.failures):
            self.say(one.to_text())

    def pulse(self, count: int) -> None:
        """Bytes have come; called from several threads."""
        with self._lock:
            self._begin()
            self.bytes += count

    def _begin(self) -> None:
        """Show something; not before there is something to show, as that takes a thread."""
        start, self._start = self._start, None
        if start is not None:
            start()


@contextmanager
def display(
    journal: Journal, project: str, total: int, *, bars: bool, failures: bool = False
) -> Iterator[Display]:
    """A display for the length of a block; `failures` tells of sessions only if they failed."""

    def plain(text: str) -> None:
        print(text, file=sys.stderr)

    if not (bars and total and sys.stderr is not None and sys.stderr.isatty()):
        yield Display(journal, project, total, plain, failures=failures)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("sessions, {task.fields[amount]}"),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console)
    task = progress.add_task(project, total=total, amount="0 MB")
    begin = time.monotonic()
    stop = threading.Event()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def refresh() -> None:
        megabytes = shown.bytes / 1e6
        rate = megabytes / max(time.monotonic() - begin, 1e-3)
        progress.update(task, completed=shown.done, amount=f"{megabytes:,.0f} MB, {rate:.0f} MB/s")

    def tick() -> None:
        while not stop.wait(0.25):
            refresh()

    def start() -> None:
        stack.callback(progress.stop)
        progress.start()
        stack.callback(refresh)
        ticker.start()
        stack.callback(ticker.join)

    shown = Display(journal, project, total, say, failures=failures, start=start)
    ticker = threading.Thread(target=tick, daemon=True)
    with ExitStack() as stack:
        try:
            yield shown
        finally:
            stop.set()


def carry_out(conn: Connection, order: Order, todo: Plan, shown: Display) -> Report:
    """Fetch what a plan says, as an order wants it, by as many processes as pay off."""
    from ..sync.apply import Rules, apply
    from ..sync.crew import count_processors

    return apply(
        conn,
        todo,
        workers=order.workers,
        processes=min(order.workers, count_processors()),
        rules=Rules(digests=order.digests, cap=order.cap),
        watch=shown.watch,
        pulse=shown.pulse,
    )
