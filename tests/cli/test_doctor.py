"""`xnat-luigi doctor`: each step, and what is said where one fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_luigi.cli import main
from xnat_luigi.connection.registry import close_all
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "1")
    yield
    close_all()


def doctor(standin: StandIn, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    status = main(["doctor", "--server", standin.url, *more])
    return status, capsys.readouterr().out


def test_all_is_well(standin: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standin.add_session("P1", "S1", "E1")
    status, shown = doctor(standin, capsys, "--project", "P1")
    assert status == 0
    for word in (
        f"user admin, from {netrc}",
        "as admin",
        "1.8.10",
        "after 15 min",
        "1 open for admin",
        "P1 can be read: 1 experiments",
        "may change it",
        "all is well",
    ):
        assert word in shown
    assert "NO: whoever listens" in shown
    assert standin.state.users.count_sessions("admin") == 0
    assert {one.method for one in standin.requests} <= {"GET", "PUT", "DELETE"}


def test_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--server", "http://127.0.0.1:1"]) == 5
    assert "is the server up" in capsys.readouterr().out


def test_no_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--server", "xnat.example.org"]) == 2
    assert "https://" in capsys.readouterr().out


def test_a_wrong_password(
    standin: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    netrc.write_text(netrc.read_text().replace("password admin", "password hush"))
    status, shown = doctor(standin, capsys)
    assert status == 6
    assert "wrong password" in shown
    assert str(netrc) in shown
    assert "hush" not in shown


def test_an_open_netrc(standin: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    netrc.chmod(0o644)
    status, shown = doctor(standin, capsys)
    assert status == 2
    assert f"chmod 600 {netrc}" in shown


def test_a_redirect_names_the_right_address(
    standin: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standin.faults.add(Fault(path="^/$", redirect="https://xnat.example.org/app/;jsessionid=AB"))
    status, shown = doctor(standin, capsys)
    assert status == 2
    assert "https://xnat.example.org/app/" in shown
    assert "AB" not in shown


def test_a_project_that_is_not_there(
    standin: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = doctor(standin, capsys, "--project", "NONE")
    assert status == 3
    assert "no project 'NONE'" in shown


def test_a_project_that_may_only_be_read(
    standin: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standin.add_project("P1")
    standin.add_user("ann", "a", P1="collaborator")
    netrc.write_text(
        netrc.read_text().replace("admin", "ann").replace("password ann", "password a")
    )
    status, shown = doctor(standin, capsys, "--project", "P1")
    assert status == 6
    assert "may not change project 'P1'" in shown


def test_clocks_that_differ_are_told(
    standin: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standin.clock.advance(3600)
    status, shown = doctor(standin, capsys)
    assert status == 0
    assert "+3600 s from ours" in shown or "+3599 s from ours" in shown


def test_a_guest(
    standin: StandIn,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    standin.preferences["requireLogin"] = False
    status, shown = doctor(standin, capsys)
    assert status == 0
    assert "as a guest" in shown


def test_the_netrc_file_in_question_is_named(
    standin: StandIn, netrc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    netrc.write_text("machine xnat.example.org login bob password b\n")
    status, shown = doctor(standin, capsys)
    assert status == 6
    assert f"{netrc} names nobody for this server" in shown
    assert f"put them into {netrc}, where no entry is for this host (machine 127.0.0.1" in shown
    netrc.unlink()
    status, shown = doctor(standin, capsys)
    assert status == 2
    assert f"there is no netrc file {netrc}; NETRC names it" in shown


def test_verbose_says_every_request(
    standin: StandIn, netrc: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("xnat_luigi")
    before = logger.level
    try:
        assert main(["doctor", "--server", standin.url, "-v"]) == 0
    finally:
        logger.setLevel(before)
    assert f"GET {standin.url}/xapi/siteConfig/buildInfo: 200" in caplog.text
    assert "password" not in caplog.text
