"""One login per process, server and user; forks are in tests/faults."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.connection.registry import close_all, connection_for
from xnat_luigi.exceptions import XNATConfigError
from xnat_luigi.standin import StandIn

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_all()


def logins(standin: StandIn) -> int:
    return sum(one.path == "/data/services/auth" for one in standin.requests)


def names(conn: Any) -> list[str]:
    answer = conn.request("GET", "/data/projects", query={"format": "json"})
    return sorted(row["ID"] for row in answer.json()["ResultSet"]["Result"])


def test_one_for_each_server_and_user(standin: StandIn, netrc: Path) -> None:
    first = connection_for(standin.url)
    assert connection_for(standin.url + "/") is first
    assert connection_for(standin.url, user="admin") is first
    assert connection_for(standin.url, netrc_file=netrc) is first
    names(first)
    names(connection_for(standin.url))
    assert logins(standin) == 1


def test_nothing_is_sent_when_it_is_made(standin: StandIn, netrc: Path) -> None:
    connection_for(standin.url)
    assert standin.requests == []


def test_another_user_has_another_login(standin: StandIn, netrc: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(netrc.read_text().replace("admin", "reader"))
    other.chmod(0o600)
    names(connection_for(standin.url))
    names(connection_for(standin.url, netrc_file=other))
    assert connection_for(standin.url).user == "admin"
    assert connection_for(standin.url, netrc_file=other).user == "reader"
    assert logins(standin) == 2


def test_a_bad_address_is_refused() -> None:
    with pytest.raises(XNATConfigError):
        connection_for("xnat.example.org")


def test_close_all_ends_the_sessions_and_new_ones_are_opened(standin: StandIn, netrc: Path) -> None:
    names(connection_for(standin.url))
    close_all()
    assert standin.state.users.count_sessions("admin") == 0
    names(connection_for(standin.url))
    assert logins(standin) == 2
