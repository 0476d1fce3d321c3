"""`xnat-luigi results`: how the results of processing steps stand, and why."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import luigi

    from ..tasks.condition import Result
    from ..tasks.step import Step

NAME = "results"
HELP = """Says of every result of a pipeline how it stands, and why, without making anything.

    xnat-luigi results --module pipelines.table table.ProjectTable --server URL --project P

Looks at the task and at all steps before it. One line for every result that is not current, with
the reason: absent, stale because an input, a parameter or the version changed, damaged, half,
foreign. Exit status: 0 when all are current, 10 when not.
"""

DRIFT = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The task's name and its parameters."""
    parser.add_argument(
        "--module", default="xnat_luigi.tasks", help="module that defines the task (importable)"
    )
    parser.add_argument("--all", action="store_true", help="also those that are current")
    parser.add_argument("task", help="name of the task, such as table.ProjectTable")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="the task's parameters")


def run(arguments: argparse.Namespace) -> int:
    """Looks, and says what it sees."""
    from ..connection.registry import close_all
    from ..tasks.condition import Condition
    from .run import load_module, make_task

    load_module(arguments.module)
    # The rest of the line is the task's, so that ours may also stand behind its name.
    options = [word for word in arguments.options if word != "--all"]
    everything = arguments.all or len(options) < len(arguments.options)
    counted: Counter[str] = Counter()
    try:
        for step in steps_of(make_task([arguments.task, *options])):
            found = look(step)
            counted[found.condition.name.lower()] += 1
            if everything or found.condition is not Condition.CURRENT:
                print(f"{step.task_family} of {step.describe_item()}: {found}")
    finally:
        close_all()
    told = ", ".join(f"{number} {name}" for name, number in sorted(counted.items()))
    print(f"{sum(counted.values())} results: {told or 'there is no step'}")
    return 0 if set(counted) <= {"current"} else DRIFT


def look(step: Step) -> Result:
    """How one result stands; the snapshot of its project answers where it can."""
    from ..tasks.condition import Condition, Result

    return Result(Condition.CURRENT) if step.glance() else step.look()


def steps_of(task: luigi.Task) -> Iterator[Step]:
    """All steps that a task needs, and itself if it is one, those before first."""
    from luigi.task import flatten

    from ..tasks.step import Step

    seen: set[str] = set()

    def walk(one: luigi.Task) -> Iterator[Step]:
        if one.task_id in seen:
            return
        seen.add(one.task_id)
        for before in flatten(one.requires()):  # type: ignore[no-untyped-call]
            yield from walk(before)
        if isinstance(one, Step):
            yield one

    return walk(task)
