"""Fault rows A1, A2, A4, A5: what happens to a login. A3, A6 and A7 are in tests/connection."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from xnat_luigi.config import Policy
from xnat_luigi.connection.login import Connection
from xnat_luigi.exceptions import (
    XNATError,
    XNATExpiredCredentialsError,
    XNATLoginFailedError,
    XNATNotFoundError,
)
from xnat_luigi.session.heartbeat import DEFAULT_INTERVAL, Heartbeat, interval_for
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from ..connection.tried import Connect

PROJECTS = "/data/projects"
JSON = {"format": "json"}
LOGIN = "/data/services/auth"
MINUTES = 60.0


def logins(standin: StandIn) -> int:
    return sum(one.path == LOGIN for one in standin.requests)


def rows(conn: Connection, path: str = PROJECTS) -> list[str]:
    found = conn.request("GET", path, query=JSON).json()["ResultSet"]["Result"]
    return sorted(row["ID"] for row in found)


# A1


def test_A1_401_one_new_login_and_asked_again(standin: StandIn, tried: Connect) -> None:
    standin.add_project("P1")
    conn = tried().connection
    assert rows(conn) == ["P1"]
    standin.clock.advance(16 * MINUTES)
    assert rows(conn) == ["P1"]
    assert logins(standin) == 2


def test_A1_404_of_an_open_site_is_the_guest_s_one(standin: StandIn, tried: Connect) -> None:
    standin.preferences["requireLogin"] = False
    standin.add_project("P1")
    conn = tried().connection
    assert conn.request("GET", f"{PROJECTS}/P1", query=JSON).status == 200
    standin.clock.advance(16 * MINUTES)
    assert conn.request("GET", f"{PROJECTS}/P1", query=JSON).status == 200
    assert logins(standin) == 2


def test_A1_404_of_a_living_login_is_one(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    with pytest.raises(XNATNotFoundError):
        conn.request("GET", f"{PROJECTS}/NONE", query=JSON)
    assert logins(standin) == 1
    before = len(standin.requests)
    assert conn.logged_in()  # just asked, so not asked again
    assert len(standin.requests) == before
    assert conn.logged_in()
    assert len(standin.requests) == before + 1


def test_A1_a_file_of_an_open_site_is_not_absent_to_us(standin: StandIn, tried: Connect) -> None:
    standin.preferences["requireLogin"] = False
    scans = {"1": {"resources": {"R": {"a": b"abc"}}}}
    session = standin.add_session("P1", "S1", "E1", scans=scans)
    conn = tried().connection
    assert conn.logged_in()
    standin.clock.advance(16 * MINUTES)
    with conn.stream(f"/data/experiments/{session}/scans/1/resources/R/files/a") as stream:
        assert b"".join(stream.chunks()) == b"abc"
    assert logins(standin) == 2


def test_A1_an_empty_list_of_an_open_site_is_doubted(standin: StandIn, tried: Connect) -> None:
    standin.preferences["requireLogin"] = False
    standin.add_project("P1")
    one = tried()
    assert rows(one.connection) == ["P1"]
    standin.clock.advance(16 * MINUTES)
    one.now += 16 * MINUTES
    assert rows(one.connection) == ["P1"]
    assert logins(standin) == 2


def test_A1_a_shorter_list_of_an_open_site_is_doubted(standin: StandIn, tried: Connect) -> None:
    standin.preferences["requireLogin"] = False
    standin.add_project("P1")
    standin.add_project("PUBLIC", accessibility="public")
    conn = tried().connection
    assert rows(conn) == ["P1", "PUBLIC"]
    standin.clock.advance(16 * MINUTES)  # the stamps of the answers show it
    assert rows(conn) == ["P1", "PUBLIC"]
    assert logins(standin) == 2


def test_A1_a_shorter_list_after_an_early_end_is_doubted_after_a_minute(
    standin: StandIn, tried: Connect
) -> None:
    standin.preferences["requireLogin"] = False
    standin.add_project("P1")
    standin.add_project("PUBLIC", accessibility="public")
    one = tried()
    assert rows(one.connection) == ["P1", "PUBLIC"]
    standin.state.users.close_session(one.connection.session_id)
    one.now += 61
    assert rows(one.connection) == ["P1", "PUBLIC"]
    assert logins(standin) == 2


def test_A1_no_thread_takes_the_shorter_list(standin: StandIn, tried: Connect) -> None:
    standin.preferences["requireLogin"] = False
    standin.add_project("P1")
    standin.add_project("PUBLIC", accessibility="public")
    one = tried()
    assert len(rows(one.connection)) == 2
    seen: list[int] = []
    for _ in range(3):
        standin.clock.advance(16 * MINUTES)
        threads = [
            threading.Thread(target=lambda: seen.append(len(rows(one.connection))))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [2] * 36
    assert logins(standin) == 4


def test_A1_doubt_costs_one_request_in_a_minute(standin: StandIn, tried: Connect) -> None:
    standin.add_project("P1")
    one = tried()
    for _ in range(30):
        one.now += 10
        rows(one.connection)
    assert sum(request.path == "/data/auth" for request in standin.requests) <= 1 + 5


def test_A1_an_empty_list_of_a_living_login_is_one(standin: StandIn, tried: Connect) -> None:
    one = tried()
    assert rows(one.connection) == []
    one.now += 60
    assert rows(one.connection) == []
    assert logins(standin) == 1


def test_A1_a_post_that_met_a_lost_login_is_sent_again(standin: StandIn, tried: Connect) -> None:
    standin.add_project("P1")
    conn = tried().connection
    assert rows(conn) == ["P1"]
    standin.clock.advance(16 * MINUTES)
    answer = conn.request("PUT", f"{PROJECTS}/P1/subjects/S1", accepted=(201,))
    assert answer.status == 201
    assert logins(standin) == 2


def test_A1_what_cannot_be_sent_again_is_preceded_by_a_question(
    standin: StandIn, tried: Connect
) -> None:
    standin.add_project("P1")
    standin.add_session("P1", "S1", "E1")
    one = tried()
    assert rows(one.connection) == ["P1"]
    standin.clock.advance(16 * MINUTES)
    one.now += 16 * MINUTES
    one.connection.request(
        "PUT",
        f"{PROJECTS}/P1/resources/R/files/a.txt",
        body=iter([b"abc"]),
        headers={"Content-Length": "3"},
        query={"inbody": "true"},
        accepted=(200, 201),
    )
    files = one.connection.request("GET", f"{PROJECTS}/P1/resources/R/files", query=JSON).json()
    assert [row["Size"] for row in files["ResultSet"]["Result"]] == ["3"]
    assert logins(standin) == 2


def test_A1_refused_again_after_a_new_login_is_an_error(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    conn.logged_in()
    standin.faults.add(Fault(path=PROJECTS, status=401))
    with pytest.raises(XNATLoginFailedError, match="asked twice"):
        rows(conn)
    assert logins(standin) == 2


def test_A1_many_threads_and_one_expiry_make_one_new_login(
    standin: StandIn, tried: Connect
) -> None:
    standin.add_project("P1")
    conn = tried().connection
    assert rows(conn) == ["P1"]
    standin.clock.advance(16 * MINUTES)
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.append(rows(conn))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["P1"]] * 8
    assert logins(standin) == 2


# A2


def test_A2_a_wrong_password_is_tried_once(standin: StandIn, tried: Connect) -> None:
    conn = tried("admin", "wrong").connection
    for _ in range(3):
        with pytest.raises(XNATLoginFailedError, match="wrong password") as caught:
            rows(conn)
    assert logins(standin) == 1
    assert "'admin'" in str(caught.value)
    assert caught.value.exit_status == 6


def test_A2_an_expired_password_has_its_own_error_and_is_tried_once(
    standin: StandIn, tried: Connect
) -> None:
    standin.state.users.set("reader", expired=True)
    conn = tried("reader").connection
    with pytest.raises(XNATExpiredCredentialsError, match="renew"):
        rows(conn)
    assert logins(standin) == 1


def test_A2_a_password_that_expires_meanwhile_too(standin: StandIn, tried: Connect) -> None:
    conn = tried("reader").connection
    rows(conn)
    standin.state.users.set("reader", expired=True)
    with pytest.raises(XNATExpiredCredentialsError, match="renew"):
        rows(conn)


def test_A2_too_many_sessions_are_named(standin: StandIn, tried: Connect) -> None:
    standin.preferences["concurrentMaxSessions"] = 1
    first, second = tried().connection, tried().connection
    rows(first)
    with pytest.raises(XNATLoginFailedError, match="too many open sessions"):
        rows(second)


# A4


PASSWORD = "hush-hush-4711"
TOKEN = "secret-of-a-token"


def _deeds(conn: Connection) -> Iterator[object]:
    """Requests in all ways, and what comes of them."""
    calls = [
        ("GET", PROJECTS),
        ("GET", f"{PROJECTS}/NONE"),
        ("GET", f"/data/services/tokens/validate/{TOKEN}/{TOKEN}"),
        ("POST", f"/data/services/tokens/invalidate/{TOKEN}/{TOKEN}"),
        ("POST", "/data/services/import"),
    ]
    for method, path in calls:
        try:
            answer = conn.request(method, path, query={"secret": TOKEN}, form=[("x", TOKEN)])
            answer.json()
            yield answer
        except XNATError as error:
            yield error
            yield vars(error)
    try:
        with conn.stream(PROJECTS) as stream:
            yield from (vars(stream) and () for _ in stream.chunks())
    except XNATError as error:
        yield error


FAULTS = {
    "none": {},
    "401": {"status": 401},
    "403": {"status": 403},
    "500": {"status": 500},
    "503": {"status": 503},
    "login page": {"status": 200, "html": True},
    "closed": {"close": True},
    "reset": {"reset": True},
    "cut": {"cut": 3},
    "redirect": {"redirect": "http://127.0.0.3:1/"},
    "page": {"replace": "<html><h3>What?</h3></html>"},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "where", ["", "/data/projects|tokens", "/data/auth", "/data/services/auth"]
)
@pytest.mark.parametrize("password", [PASSWORD, f"{PASSWORD}x"], ids=["right", "wrong"])
def test_A4_secrets_are_in_no_log_repr_or_traceback(
    standin: StandIn,
    tried: Connect,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    where: str,
    password: str,
) -> None:
    standin.add_user("ann", PASSWORD, P1="owner")
    caplog.set_level(logging.DEBUG)
    conn = tried("ann", password, policy=Policy(attempts=2)).connection
    if where == "/projects|/tokens" and password == PASSWORD:
        assert conn.logged_in()
    cookie = conn._cookie
    standin.faults.add(Fault(path=where, **FAULTS[fault]))
    words = [repr(conn), str(conn)]
    for result in _deeds(conn):
        words += [repr(result), str(result)]
        if isinstance(result, BaseException):
            words.append("".join(traceback.format_exception(result)))
    words += [one.getMessage() for one in caplog.records if one.name.startswith("xnat_luigi")]
    for word in words:
        assert PASSWORD not in word
        assert TOKEN not in word
    assert PASSWORD not in caplog.text
    assert cookie is None or cookie not in caplog.text + "".join(words)


# A5


class Beats:
    """Waits of a heartbeat that end when the test says so."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.waited: list[float] = []
        self.done = threading.Event()

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if len(self.waited) > self.times:
            self.done.set()
            return True
        return False


def test_A5_a_heartbeat_that_fails_is_logged_and_lives(
    standin: StandIn, tried: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    conn = tried().connection
    conn.logged_in()
    rule = standin.faults.add(Fault(path="/data/JSESSION", status=503, times=2))
    beats = Beats(4)
    with caplog.at_level("WARNING"):
        Heartbeat(conn, logging.getLogger("beats"), wait=beats).start()
        assert beats.done.wait(10)
    assert rule.fired == 2
    assert sum("heartbeat: GET" in one.getMessage() for one in caplog.records) == 2
    assert sum(one.path == "/data/JSESSION" for one in standin.requests) == 4
    assert beats.waited == [430.0] * 5  # half of 15 minutes, less 20 seconds


def test_A5_a_lost_session_is_logged_and_found_again(
    standin: StandIn, tried: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    conn = tried().connection
    standin.state.users.close_session(conn.session_id)
    beats = Beats(2)
    with caplog.at_level("WARNING"):
        Heartbeat(conn, logging.getLogger("beats"), wait=beats).start()
        assert beats.done.wait(10)
    assert "does not know our session" in caplog.text
    assert logins(standin) == 2


def test_A5_a_heartbeat_that_hangs_blocks_neither_requests_nor_the_end(
    standin: StandIn, tried: Connect
) -> None:
    conn = tried(policy=Policy(listing=60.0)).connection
    conn.logged_in()
    rule = standin.faults.add(Fault(method="GET", path="/data/JSESSION", hang=True))
    heartbeat = Heartbeat(conn, logging.getLogger("beats"), interval=0.01).start()
    deadline = time.monotonic() + 10
    while not rule.fired and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rule.fired
    begin = time.monotonic()
    assert rows(conn) == []
    heartbeat.stop()
    conn.close()
    assert time.monotonic() - begin < 3


def test_A5_the_thread_ends_with_its_connection(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    heartbeat = Heartbeat(conn, logging.getLogger("beats"), interval=30.0).start()
    assert heartbeat.alive
    heartbeat.stop()
    assert not heartbeat.alive


@pytest.mark.parametrize(
    ("expiration", "seconds"),
    [(None, DEFAULT_INTERVAL), ((0.0, 900.0), 430.0), ((0.0, 50.0), 10.0), ((0.0, 0.0), 10.0)],
)
def test_S040_S041_the_interval_follows_the_cookie(
    expiration: tuple[float, float] | None, seconds: float
) -> None:
    assert interval_for(expiration) == seconds
