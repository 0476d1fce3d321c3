"""What the commands that choose sessions have in common: names of options, and fitting nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnat_luigi.cli import main
from xnat_luigi.standin import StandIn

from ..sync.conftest import fill, tree


@pytest.fixture
def server(standin: StandIn, netrc: Path) -> StandIn:
    fill(standin, 3)
    return standin


def words(server: StandIn, command: str, folder: Path) -> list[str]:
    """The command with server, project and where to."""
    there = {"integrity": [], "copy-project": ["--dest-project", "P2"]}
    more = there.get(command, ["--dest", str(folder)])
    return [command, "--server", server.url, "--project", "P1", *more]


@pytest.mark.parametrize("command", ["download", "integrity", "copy-project"])
@pytest.mark.parametrize("chosen", [("--sessions", "Z*"), ("--session", "E9,E8")])
def test_patterns_that_fit_nothing_are_no_success(
    server: StandIn,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    chosen: tuple[str, str],
) -> None:
    assert main([*words(server, command, tmp_path), *chosen]) == 3
    assert "nothing in P1 fits --session" in capsys.readouterr().err


def test_a_sync_says_that_nothing_fits_tonight(
    server: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main([*words(server, "sync", tmp_path), "--sessions", "Z*"]) == 0
    assert "P1: none of its 3 sessions fits the selection" in caplog.text


@pytest.mark.parametrize("end", ["", "s"])
@pytest.mark.parametrize("command", ["sync", "download"])
def test_options_have_one_name_and_its_plural_everywhere(
    server: StandIn, tmp_path: Path, command: str, end: str
) -> None:
    chosen = [f"--session{end}", "E0,E1", f"--session{end}", "re:E[2]{1,1}", f"--scan{end}", "1"]
    chosen += [f"--subject{end}", "S0", f"--resource{end}", "DICOM"]
    assert main([*words(server, command, tmp_path / "data"), *chosen]) == 0
    assert {path.split("/")[2] for path in tree(tmp_path / "data")} == {"E0", "E2"}


@pytest.mark.parametrize("option", ["--netrc", "--netrc-file"])
@pytest.mark.parametrize("command", ["sync", "plan", "repair", "prune", "download", "integrity"])
def test_the_netrc_file_has_one_name_everywhere(
    server: StandIn, netrc: Path, tmp_path: Path, command: str, option: str
) -> None:
    other = netrc.rename(tmp_path / "other")
    folder = tmp_path / "data"
    assert main([*words(server, command, folder), option, str(other)]) == 0
    assert main(words(server, command, folder)) != 0
