"""The dispatcher of the command line: statuses, messages, lazy loading."""

from __future__ import annotations

import argparse
import subprocess
import sys
import types

import pytest

from xnat_luigi import cli
from xnat_luigi.exceptions import XNATConnectionError, XNATIntegrityError


def put_command(monkeypatch: pytest.MonkeyPatch, error: BaseException | int) -> None:
    module = types.ModuleType("xnat_luigi.cli.sample_command")

    def run(arguments: argparse.Namespace) -> int:
        if isinstance(error, int):
            return error
        raise error

    vars(module).update(
        NAME="sample-command", HELP="A sample.", add_arguments=lambda parser: None, run=run
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cli, "COMMANDS", ("sample_command",))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (0, 0),
        (10, 10),
        (XNATConnectionError("no answer from example"), 5),
        (XNATIntegrityError("bytes differ"), 7),
        (OSError("disk gone"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("oops"), 4),
    ],
)
def test_errors_become_statuses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException | int,
    status: int,
) -> None:
    put_command(monkeypatch, error)
    assert cli.main(["sample-command"]) == status
    said = capsys.readouterr().err
    assert "Traceback" not in said
    if isinstance(error, Exception):
        assert str(error) in said


def test_debug_shows_where_it_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    put_command(monkeypatch, XNATIntegrityError("bytes differ"))
    with pytest.raises(XNATIntegrityError):
        cli.main(["sample-command", "--debug"])
    with pytest.raises(XNATIntegrityError):
        cli.main(["--debug", "sample-command"])


@pytest.mark.parametrize(
    "words",
    [
        ["intake", "status", "--debug", "-v"],
        ["intake", "--debug", "-v", "status"],
        ["-v", "--debug", "intake", "status"],
        ["qc", "explain", "-v", "rules.toml", "--debug"],
    ],
)
def test_common_options_stand_anywhere(words: list[str]) -> None:
    arguments = cli.build_parser(words).parse_args(words)
    assert arguments.debug and arguments.verbose == 1


def test_a_missing_library_is_no_fault_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_command(monkeypatch, ModuleNotFoundError("No module named 'graphs'", name="graphs"))
    assert cli.main(["sample-command"]) == 2
    assert "graphs" in capsys.readouterr().err


def test_no_command_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == cli.USAGE
    assert "COMMAND" in capsys.readouterr().out


def test_every_command_has_help_that_begins_with_a_sentence() -> None:
    for name in cli.COMMANDS:
        command = cli._load(name)
        assert name.replace("_", "-") == command.NAME
        assert command.HELP.splitlines()[0].rstrip().endswith("."), name


def test_starting_a_command_loads_no_other() -> None:
    code = (
        "import sys; from xnat_luigi import cli; cli.build_parser(['run']);"
        "print([m for m in sys.modules if m.startswith('xnat_luigi.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['xnat_luigi.cli.run']"
