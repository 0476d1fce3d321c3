"""`xnat-luigi run`: a Luigi task with the shipped settings and an honest exit status."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import luigi

NAME = "run"
HELP = """Runs a Luigi task; the status says what became of it.

    xnat-luigi run xnat.SyncProject --server URL --project P --dest DIR --workers 2

Everything after the task's name goes to Luigi. A local scheduler is used unless
--scheduler-host is given. Exit status: 0 done, 1 a task failed, 2 no such task or parameter,
3 external data missing, 4 internal, 5 scheduling failed, 8 not run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The task's name and Luigi's own options."""
    parser.add_argument(
        "--module", default="xnat_luigi.tasks", help="module that defines the task (importable)"
    )
    parser.add_argument("task", help="name of the task, such as xnat.SyncProject")
    parser.add_argument(
        "options", nargs=argparse.REMAINDER, help="the task's parameters and Luigi's options"
    )


def load_module(name: str) -> None:
    """Imports the module with the tasks, also one that lies in this folder.

    Raises XNATValueError when there is none of that name.
    """
    import importlib
    import os
    import sys

    from ..exceptions import XNATValueError
    from ..tasks.settings import apply_defaults

    sys.path.append(os.getcwd())  # as with `python -m`
    apply_defaults()  # also for a module that knows nothing of ours
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise XNATValueError(
            f"there is no module {name}: is it installed, or its folder in PYTHONPATH?"
        ) from None


def make_task(words: Sequence[str]) -> luigi.Task:
    """The task that is named by a task's name and its parameters, as Luigi reads them.

    Raises XNATValueError for a task or a parameter that is not there, is missing, or cannot be
    read.
    """
    import re

    from luigi.cmdline_parser import CmdlineParser
    from luigi.parameter import MissingParameterException, ParameterException
    from luigi.task_register import TaskClassException

    from ..exceptions import XNATError, XNATValueError

    try:
        with CmdlineParser.global_instance(list(words)) as parser:
            task: luigi.Task = parser.get_task_obj()
            return task
    except XNATError:
        raise
    except MissingParameterException as error:
        found = re.search(r"requires the '(\w+)' parameter", str(error))
        name = f"--{found[1].replace('_', '-')}" if found else str(error)
        raise XNATValueError(
            f"{words[0]} needs {name}; `{words[0]} --help` lists all parameters"
        ) from error
    except (TaskClassException, ParameterException, ValueError) as error:
        raise XNATValueError(f"{words[0]}: {' '.join(str(error).split())}") from error


def run(arguments: argparse.Namespace) -> int:
    """Runs the task through Luigi's own command line."""
    import logging

    from luigi.retcodes import run_with_retcodes

    load_module(arguments.module)
    logging.getLogger("luigi-interface").propagate = False  # Luigi prints its lines itself
    words = [arguments.task, "--module", arguments.module, *arguments.options]
    make_task(words)  # what cannot be read is one sentence, not Luigi's traceback
    if "--scheduler-host" not in words and "--scheduler-url" not in words:
        words.append("--local-scheduler")
    try:
        run_with_retcodes(words)  # type: ignore[no-untyped-call]
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
