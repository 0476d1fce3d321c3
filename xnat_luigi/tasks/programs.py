"""External programs: run without a shell, with a time limit, their words and version kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..exceptions import XNATError

__all__ = ["ProgramError", "ProgramRun", "find_version", "run_program"]

TAIL = 20
LONGEST = 64 * 1024 * 1024
"""Bytes of output that are kept of one program; what it says beyond is cut in the middle."""


@dataclass(frozen=True)
class ProgramRun:
    """One run of a program: command, version, exit status, seconds, and what it said."""

    command: tuple[str, ...]
    version: str
    status: int
    seconds: float
    output: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The part that belongs into a record: everything but the output."""
        facts = asdict(self)
        del facts["output"]
        facts["command"] = list(self.command)
        return facts

    @property
    def tail(self) -> str:
        """The last lines of its output."""
        return "\n".join(self.output.splitlines()[-TAIL:])


class ProgramError(XNATError):
    """A program failed, was not there, or took too long; `run` holds what is known of it."""

    def __init__(self, message: str, run: ProgramRun | None = None) -> None:
        super().__init__(message)
        self.run = run


def run_program(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    timeout: float = 3600.0,
    environ: Mapping[str, str] | None = None,
    version: Sequence[str] = ("--version",),
    accepted: Sequence[int] = (0,),
) -> ProgramRun:
    """Runs a program and waits for it.

    Args:
        command: the program and its arguments, as they are: no shell reads them.
        cwd: folder in which it runs.
        timeout: seconds after which it and all its children are killed.
        environ: its environment; that of this process when not given.
        version: arguments with which it tells its version; empty if it cannot.
        accepted: exit statuses that count as success.

    Raises:
        ProgramError: it could not be started, ended with another status, or took too long. The
            message has the command, the folder and the last lines of what it said.
    """
    words = [os.fspath(word) for word in command]
    known = find_version([words[0], *version]) if version else ""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=dict(environ) if environ is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramError(
                f"{words[0]} cannot be started: {error}; is it installed and on the PATH?"
            ) from error
        late = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            _end(process)
        run = ProgramRun(
            tuple(words), known, process.returncode, round(time.monotonic() - begin, 3), _read(said)
        )
    if late:
        raise ProgramError(f"{_where(run, cwd)} was stopped after {timeout:g} s{_last(run)}", run)
    if run.status not in accepted:
        raise ProgramError(f"{_where(run, cwd)} ended with status {run.status}{_last(run)}", run)
    return run


def find_version(command: Sequence[str]) -> str:
    """The first non-empty line a program says about itself, empty when it says none."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    return next((line.strip()[:200] for line in text.splitlines() if line.strip()), "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of the program's process group, its children too."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(0)
    if size <= LONGEST:
        return said.read().decode(errors="replace")
    head = said.read(LONGEST // 2)
    said.seek(size - LONGEST // 2)
    cut = f"\n[... {size - LONGEST} bytes left out ...]\n".encode()
    return (head + cut + said.read()).decode(errors="replace")


def _where(run: ProgramRun, cwd: Path) -> str:
    return f"{' '.join(run.command)} (in {cwd})"


def _last(run: ProgramRun) -> str:
    return f"; its last lines:\n{run.tail}" if run.output.strip() else "; it said nothing"
