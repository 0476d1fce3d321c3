"""The command line `xnat-luigi`: one module per command, loaded only when it is asked for.

A command is a module of this package with `NAME`, `HELP`, `add_arguments(parser)` and
`run(arguments) -> int`. Its name is the module's with dashes for underscores. Add yours to
`COMMANDS`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

from .. import __version__

__all__ = ["COMMANDS", "Command", "main"]

COMMANDS: tuple[str, ...] = (
    "doctor",
    "sync",
    "plan",
    "verify",
    "repair",
    "prune",
    "clean",
    "integrity",
    "copy_project",
    "download",
    "intake",
    "qc",
    "run",
    "provenance",
    "results",
    "new_pipeline",
    "serve",
)
"""Modules of this package that are commands, in the order the help shows them."""

DONE, FAILED, USAGE, INTERNAL, INTERRUPTED, TERMINATED = 0, 1, 2, 4, 130, 143


class Command(Protocol):
    """What a command's module offers."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declares the command's own options."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Does the work and returns the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    Every error of the package carries its own status (`exceptions.py`); it is written to standard
    error as one message: what, where, what to do. A traceback appears only with `--debug`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(words)
    arguments = parser.parse_args(words)
    if arguments.command is None:
        parser.print_help()
        return USAGE
    _set_up_logging(arguments)
    command = _load(arguments.command.replace("-", "_"))
    try:
        with _leaving_on_sigterm(), _collecting_seldom():
            return command.run(arguments)
    except KeyboardInterrupt:
        print("xnat-luigi: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) went away: not our failure, and no traceback at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if arguments.debug:
            raise
        return _report(error)


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser; only the command named in `words` is imported, all of them when none is named."""
    parser = argparse.ArgumentParser(
        prog="xnat-luigi",
        description="XNAT imaging archives: sync, intake with QC, processing, a stand-in server.",
    )
    parser.add_argument("--version", action="version", version=f"xnat-luigi {__version__}")
    _add_common(parser, default=True)
    names = {module.replace("_", "-"): module for module in COMMANDS}
    wanted = next((word for word in words if word in names), None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, module in names.items():
        if wanted is not None and name != wanted:
            commands.add_parser(name)
            continue
        command = _load(module)
        inner = commands.add_parser(
            name,
            help=command.HELP.splitlines()[0],
            description=command.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_common(inner, default=False)
        command.add_arguments(inner)
        for verb in _verbs(inner):
            _add_common(verb, default=False)
    return parser


def _verbs(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers of a command's verbs, such as `intake run`."""
    groups = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return [verb for group in groups for verb in group.choices.values()]


def _add_common(parser: argparse.ArgumentParser, *, default: bool) -> None:
    """Options that may stand before or after the command's name, and after its verb."""
    missing = None if default else argparse.SUPPRESS
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0 if default else missing,
        help="say every request; twice: what the libraries say as well",
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        default=False if default else missing,
        help="show the traceback of an error",
    )


def _load(module: str) -> Command:
    return cast(Command, importlib.import_module(f"{__name__}.{module}"))


def _set_up_logging(arguments: argparse.Namespace) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(arguments.verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    if arguments.verbose:
        logging.getLogger("xnat_luigi").setLevel(logging.DEBUG)


@contextlib.contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """SIGTERM becomes an ordinary exit, so that part files, locks and the login are given back."""

    def leave(signum: int, frame: object) -> None:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield  # somebody calls main() from a thread of theirs: leave signals alone
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for cyclic garbage every now and then only: loading modules makes none, but looks like
    it, and took a twentieth of a short command's time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _report(error: Exception) -> int:
    status = getattr(error, "exit_status", None)
    if isinstance(status, int):
        print(f"xnat-luigi: {error}", file=sys.stderr)
        return status
    if isinstance(error, OSError):
        print(f"xnat-luigi: {error}", file=sys.stderr)
        return FAILED
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("xnat_luigi"):
        print(f"xnat-luigi: {error}: install it where xnat-luigi is", file=sys.stderr)
        return USAGE
    print(
        f"xnat-luigi: {type(error).__name__}: {error}\n"
        "This is a fault of the program; run it again with --debug and report what it says.",
        file=sys.stderr,
    )
    return INTERNAL
