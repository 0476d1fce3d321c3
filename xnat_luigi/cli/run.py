"""`xnat-luigi run`: a Luigi task with the shipped settings and an honest exit status."""

from __future__ import annotations

import argparse

NAME = "run"
HELP = """Runs a Luigi task; the status says what became of it.

    xnat-luigi run xnat.SyncProject --server URL --project P --dest DIR --workers 2

Everything after the task's name goes to Luigi. A local scheduler is used unless
--scheduler-host is given. Exit status: 0 done, 1 a task failed, 3 external data missing,
4 internal, 5 scheduling failed, 8 not run.
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


def run(arguments: argparse.Namespace) -> int:
    """Runs the task through Luigi's own command line."""
    import importlib
    import logging
    import os
    import sys

    from luigi.retcodes import run_with_retcodes

    from ..exceptions import XNATValueError
    from ..tasks.settings import apply_defaults

    sys.path.append(os.getcwd())  # a module of one's own in this folder, as with `python -m`
    apply_defaults()  # also for a module that knows nothing of ours
    logging.getLogger("luigi-interface").propagate = False  # Luigi prints its lines itself
    try:
        importlib.import_module(arguments.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{arguments.module}.".startswith(f"{error.name}."):
            raise
        raise XNATValueError(
            f"there is no module {arguments.module}: is it installed, or its folder in PYTHONPATH?"
        ) from None
    words = [arguments.task, "--module", arguments.module, *arguments.options]
    if "--scheduler-host" not in words and "--scheduler-url" not in words:
        words.append("--local-scheduler")
    try:
        run_with_retcodes(words)  # type: ignore[no-untyped-call]
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
