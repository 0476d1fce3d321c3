"""Fault rows A6 and A7: forks, and two servers at once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from xnat_luigi.connection.registry import close_all, connection_for
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


def _ask_often(url: str, path: str, times: int, out: Queue[Any]) -> None:
    """In a child: ask for one's own path, report answers that belong to somebody else."""
    conn = connection_for(url)
    wrong = 0
    for _ in range(times):
        answer = conn.request("GET", path, query={"format": "json"})
        wrong += answer.json()["items"][0]["data_fields"]["ID"] != path.rsplit("/", 1)[1]
    out.put((os.getpid(), wrong))


def test_A6_a_fork_with_an_open_session_gets_no_foreign_answers(
    standin: StandIn, netrc: Path
) -> None:
    for number in range(4):
        standin.add_project(f"P{number}")
    conn = connection_for(standin.url)
    assert len(names(conn)) == 4
    out: Queue[Any] = FORK.Queue()
    children = [
        FORK.Process(target=_ask_often, args=(standin.url, f"/data/projects/P{n}", 50, out))
        for n in range(3)
    ]
    for child in children:
        child.start()
    for _ in range(50):
        found = conn.request("GET", "/data/projects/P3", query={"format": "json"})
        assert found.json()["items"][0]["data_fields"]["ID"] == "P3"
    answers = [out.get(timeout=30) for _ in children]
    for child in children:
        child.join(30)
    assert [wrong for _, wrong in answers] == [0, 0, 0]
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert logins(standin) == 4  # one for each process, none shared
    assert conn.logged_in()  # the children closed their own sessions only
    assert standin.state.users.count_sessions("admin") == 1


def _inherited(conn: Any, out: Queue[Any]) -> None:
    from xnat_luigi.exceptions import XNATNotConnectedError

    try:
        conn.request("GET", "/data/projects")
    except XNATNotConnectedError:
        out.put("refused")


def test_A6_an_inherited_connection_of_the_registry_is_refused(
    standin: StandIn, netrc: Path
) -> None:
    conn = connection_for(standin.url)
    names(conn)
    out: Queue[Any] = FORK.Queue()
    child = FORK.Process(target=_inherited, args=(conn, out))
    child.start()
    assert out.get(timeout=10) == "refused"
    child.join(10)
    assert conn.logged_in()


def test_A7_two_servers_at_once_are_kept_apart(
    standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandIn(users={"ann": "a"}, host="127.0.0.2") as other:
        netrc = tmp_path / "netrc"
        netrc.write_text(
            f"machine {urlsplit(standin.url).hostname} login admin password admin\n"
            f"machine {urlsplit(other.url).hostname} login ann password a\n"
        )
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        standin.add_project("HERE")
        other.add_project("THERE")
        for _ in range(3):
            assert names(connection_for(standin.url)) == ["HERE"]
            assert names(connection_for(other.url)) == ["THERE"]
        assert connection_for(standin.url).user == "admin"
        assert connection_for(other.url).user == "ann"
        assert {one.user for one in other.requests} == {"ann"}
        close_all()
