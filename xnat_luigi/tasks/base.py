"""What all tasks share: a server, a project, strings for parameters and nothing alive."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TypeVar, cast

import luigi

from ..connection.registry import connection_for
from .status import StatusLine

if TYPE_CHECKING:
    from ..connection.login import Connection

__all__ = ["XnatTask", "command_for", "split"]

Task = TypeVar("Task", bound=luigi.Task)


class XnatTask(luigi.Task):
    """A task about one project of one server.

    Parameters name the server and never hold a secret: user and password come from the environment
    or from netrc, in the process that uses them. No object on a task survives a fork or needs to:
    connections belong to the registry and are asked for inside `complete()` and `run()`.
    """

    task_namespace = "xnat"

    server: str = luigi.StrParameter(
        description="address of the server, such as https://xnat.example.org"
    )
    project: str = luigi.StrParameter(description="project ID")

    #: One unit of `xnat` each; the limit is `[resources] xnat` of the scheduler, 4 if unset.
    resources: dict[str, int] = {"xnat": 1}

    def connect(self) -> Connection:
        """This process's connection; belongs to the registry, do not close it."""
        return connection_for(self.server)

    def derive(self, kind: type[Task]) -> Task:
        """A task of another kind with the parameters that both have."""
        return cast(Task, self.clone(kind))  # type: ignore[no-untyped-call]

    def status_line(self) -> StatusLine:
        """The voice of this run on the scheduler's page."""
        return StatusLine(self)


def split(text: str) -> tuple[str, ...]:
    """The words of a parameter that takes several, separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def command_for(task: luigi.Task, *more: str) -> str:
    """The command that runs one task alone, with further words at its end."""
    words = ["python", "-m", "luigi", "--module", task.task_module, task.task_family]
    texts = task.to_str_params(only_significant=True)  # type: ignore[no-untyped-call]
    kinds = dict(task.get_params())  # type: ignore[no-untyped-call]
    for name, text in texts.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(kinds[name], luigi.BoolParameter):
            words += [option] * (text == "True")
        elif text:
            words += [option, text]
    return shlex.join([*words, *more])
