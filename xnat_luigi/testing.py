"""Testing pipelines of your own, without XNAT: a stand-in server, Luigi in this process, counting.

Needs the extra `standin`. With pytest, the fixture `xnat_server` (`pytest_plugin.py`) does the
first two steps:

    with StandIn() as server, logged_in(server):
        server.add_session("P1", "S1", "S1_MR1", scans={"1": {"type": "T1w", "resources": ...}})
        with counted(server) as requests:
            run_task(MyStep(server=server.url, project="P1", ...)).check()
        assert requests.count <= 10

Nothing here is needed to run pipelines; it may import Luigi and the stand-in, no other module may.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import luigi
from luigi.configuration import get_config

from .config import ENVIRONMENT
from .connection.registry import close_all
from .standin import Fault, Faults, RequestRecord, StandIn
from .targets import snapshot
from .tasks.settings import apply_defaults

__all__ = [
    "Counted",
    "Fault",
    "Faults",
    "RequestRecord",
    "Run",
    "StandIn",
    "configured",
    "counted",
    "logged_in",
    "run_task",
]


@contextmanager
def logged_in(server: StandIn, user: str = "admin", password: str = "admin") -> Iterator[StandIn]:
    """Makes `user` the login of this process and its children for this server.

    The environment says who we are (`XNAT_LUIGI_USER` and so on), so that no netrc is read; it is
    as before afterwards, and the connections made meanwhile are closed.
    """
    values = {"server": server.url, "user": user, "password": password}
    before = {name: os.environ.get(ENVIRONMENT[name]) for name in values}
    os.environ.update({ENVIRONMENT[name]: value for name, value in values.items()})
    try:
        yield server
    finally:
        close_all()
        for name, value in before.items():
            if value is None:
                os.environ.pop(ENVIRONMENT[name], None)
            else:
                os.environ[ENVIRONMENT[name]] = value


@contextmanager
def configured(section: str, **options: str) -> Iterator[None]:
    """Luigi's configuration with other options in one section, as before afterwards."""
    config = get_config()  # type: ignore[no-untyped-call]
    before = {name: config.get(section, name, None) for name in options}
    for name, value in options.items():
        config.set(section, name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                config.remove_option(section, name)
            else:
                config.set(section, name, old)


@dataclass
class Counted:
    """The requests made while `counted()` was open (or so far, while it is)."""

    server: StandIn = field(repr=False)
    before: int = 0

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request, oldest first; of very many the last 20,000."""
        return self.server.requests[-self.count :] if self.count else []

    @property
    def count(self) -> int:
        """How many requests there were."""
        total: int = sum(self.server.log.counts.values())
        return total - self.before

    def by(self, method: str, path: str = "") -> int:
        """How many requests had this method and this text in their path."""
        return sum(r.method == method and path in r.path for r in self.requests)

    @property
    def bytes_out(self) -> int:
        """Bytes of the bodies that the server sent."""
        return sum(record.bytes_out for record in self.requests)

    @property
    def bytes_in(self) -> int:
        """Bytes of the bodies that the server got."""
        return sum(record.bytes_in for record in self.requests)


@contextmanager
def counted(server: StandIn) -> Iterator[Counted]:
    """Counts requests: assert «at most k requests for n sessions», «nothing is fetched twice»."""
    yield Counted(server, sum(server.log.counts.values()))


@dataclass(frozen=True)
class Run:
    """What came of `run_task()`.

    `status` is Luigi's word (`SUCCESS`, `FAILED` ...), `summary` its summary as text, `failures`
    the exceptions of tasks that failed, in order; with several workers they stay in the children
    and only the summary names the tasks.
    """

    status: str
    summary: str
    complete: bool
    failures: tuple[BaseException, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything ran without failure and the tasks asked for are complete."""
        return self.complete and self.status in ("SUCCESS", "SUCCESS_WITH_RETRY")

    def check(self) -> Run:
        """Itself, if it went well.

        Raises: the first failure as it was, or `AssertionError` with Luigi's summary.
        """
        if self.ok:
            return self
        if self.failures:
            raise self.failures[0]
        raise AssertionError(self.summary)


def run_task(
    *tasks: luigi.Task, workers: int = 1, environment: Mapping[str, str] | None = None
) -> Run:
    """Runs tasks with Luigi's local scheduler in this process.

    Parameters:
        tasks: what to run; requirements are run as always.
        workers: above 1 Luigi forks.
        environment: variables to set for the time of the run.

    Caches of task instances and of server listings are emptied first, so that a second run asks
    anew what is there, as a second process would.
    """
    luigi.Task.clear_instance_cache()  # type: ignore[no-untyped-call]
    snapshot.forget()
    apply_defaults()
    with _environ(environment or {}), _noting_failures() as failures:
        done = luigi.build(  # type: ignore[no-untyped-call]
            list(tasks),
            local_scheduler=True,
            workers=workers,
            detailed_summary=True,
            log_level="WARNING",
        )
        snapshot.forget()
        complete = _all_complete(tasks, failures) and done.scheduling_succeeded and not failures
    return Run(done.status.name, done.summary_text, complete, tuple(failures))


def _all_complete(tasks: Sequence[luigi.Task], failures: list[BaseException]) -> bool:
    try:
        return all(bool(task.complete()) for task in tasks)  # type: ignore[no-untyped-call]
    except Exception as error:
        # Of an error in `complete()` Luigi keeps only the text: here it is itself.
        failures.append(error)
        return False


@contextmanager
def _noting_failures() -> Iterator[list[BaseException]]:
    failures: list[BaseException] = []

    def note(task: luigi.Task, error: BaseException) -> None:
        failures.append(error)

    events = (luigi.Event.FAILURE, luigi.Event.BROKEN_TASK)
    for event in events:
        luigi.Task.event_handler(event)(note)  # type: ignore[no-untyped-call]
    try:
        yield failures
    finally:
        for event in events:
            luigi.Task.remove_event_handler(event, note)  # type: ignore[no-untyped-call]


@contextmanager
def _environ(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
