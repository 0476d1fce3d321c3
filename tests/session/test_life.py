"""The life of a session and of its login (S-035 to S-055), and what it offers."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import sys
import threading
import weakref
from datetime import datetime, timedelta, timezone
from multiprocessing.queues import Queue
from typing import Any

import pytest

import xnat_luigi as xnat
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import XNATLoginFailedError, XNATNotConnectedError, XNATResponseError
from xnat_luigi.session import BaseXNATSession, XNATSession
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from .conftest import Connect

PROJECTS = "/data/projects"
FORK = multiprocessing.get_context("fork")


def sessions(standin: StandIn) -> int:
    return standin.state.users.count_sessions("admin")


def beats() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "xnat-luigi heartbeat"]


def test_S035_S036_leaving_the_block_disconnects_also_by_an_exception(standin: StandIn) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        xnat.connect(standin.url, "admin", "admin", no_parse_model=True) as session,
    ):
        assert sessions(standin) == 1
        raise ZeroDivisionError
    assert sessions(standin) == 0
    with pytest.raises(XNATNotConnectedError):
        session.get(PROJECTS)


def test_S038_S039_after_disconnect_everything_says_that_it_is_closed(
    standin: StandIn, connect: Connect, tmp_path: Any
) -> None:
    standin.add_project("P1")
    session = connect(no_parse_model=False)
    project = session.projects["P1"]
    session.disconnect()
    session.disconnect()
    uses = [
        lambda: session.get(PROJECTS),
        lambda: session.put(f"{PROJECTS}/P1"),
        lambda: session.download(f"{PROJECTS}/P1", tmp_path / "x"),
        lambda: session.upload(f"{PROJECTS}/P1", b"x"),
        lambda: session.projects,
        lambda: session.scanners,
        lambda: session.users,
        lambda: session.JSESSION,
        lambda: session.scan_types,
        lambda: len(project.subjects),
    ]
    for use in uses:
        with pytest.raises(XNATNotConnectedError, match=r"closed|disconnected"):
            use()
    assert "disconnected" in repr(session)
    with pytest.raises(XNATNotConnectedError):
        session.connection.request("GET", PROJECTS)


def test_S040_a_heartbeat_runs_while_the_session_lives(connect: Connect) -> None:
    before = len(beats())
    session = connect()
    assert len(beats()) == before + 1
    assert all(one.daemon for one in beats())
    session.disconnect()
    assert len(beats()) == before


def test_S040_S041_the_heartbeat_keeps_the_login_alive(standin: StandIn, connect: Connect) -> None:
    session = connect()
    assert session.keepalive is None
    first = session.JSESSION
    session.keepalive = 0.02  # counts from the next beat on
    assert session.keepalive == 0.02
    session.disconnect()
    kept = BaseXNATSession(
        standin.url, session.logger, user="admin", password="admin", keepalive=0.02
    )
    assert first != kept.JSESSION
    kept.start_heartbeat()
    before = sum(one.path == "/data/JSESSION" for one in standin.requests)
    deadline = datetime.now() + timedelta(seconds=10)
    while datetime.now() < deadline:
        if sum(one.path == "/data/JSESSION" for one in standin.requests) >= before + 3:
            break
        threading.Event().wait(0.02)
    else:
        pytest.fail("no heartbeat came")
    kept.disconnect()


def test_S042_session_expiration_time(standin: StandIn, connect: Connect) -> None:
    standin.preferences["sessionTimeout"] = 600
    stamp, seconds = connect().session_expiration_time
    assert seconds == 600
    assert isinstance(stamp, datetime)
    assert abs(stamp - datetime.now(timezone.utc)) < timedelta(minutes=1)


def test_S043_it_is_None_where_the_cookie_is_absent_or_odd(standin: StandIn) -> None:
    unused = BaseXNATSession(standin.url, xnat_logger())
    assert unused.session_expiration_time is None
    transport = Transport(standin.url)
    reply = transport.send("GET", "/data/auth", wait=5.0)
    for odd in ("SESSION_EXPIRATION_TIME=soon", 'SESSION_EXPIRATION_TIME="1,"', "", "X=1,2"):
        reply.headers = {"Set-Cookie": odd}
        assert reply.expiration is None
    reply.headers = {"Set-Cookie": 'A=b, SESSION_EXPIRATION_TIME="1500,900000"; Path=/'}
    assert reply.expiration == (1.5, 900.0)
    reply.close()
    transport.close()


def xnat_logger() -> Any:
    import logging

    return logging.getLogger("xnat_luigi.tests")


def test_S044_connect_makes_the_session_classes(connect: Connect) -> None:
    assert type(connect()) is XNATSession
    assert type(connect(cli=True)) is BaseXNATSession


def test_S047_S048_S049_a_login_can_be_shared(standin: StandIn, connect: Connect) -> None:
    owner = connect()
    other = connect(user=None, jsession=owner.JSESSION)
    assert other.JSESSION == owner.JSESSION
    assert other.logged_in_user == "admin"
    assert sum(one.path == "/data/services/auth" for one in standin.requests) == 1
    assert other.get(PROJECTS, format="json").status_code == 200


def test_S050_a_dead_jsession_is_an_error_of_connect(standin: StandIn, connect: Connect) -> None:
    for dead in ("0" * 32, "rubbish"):
        with pytest.raises(XNATLoginFailedError, match="no longer alive") as caught:
            connect(user=None, jsession=dead)
        assert dead not in str(caught.value)


def test_S051_disconnect_ends_the_login_on_the_server(standin: StandIn, connect: Connect) -> None:
    session = connect()
    jsession = session.JSESSION
    session.disconnect()
    assert sessions(standin) == 0
    with pytest.raises(XNATLoginFailedError):
        connect(user=None, jsession=jsession)


def test_S052_S053_with_cli_the_login_lives_on_until_the_server_ends_it(
    standin: StandIn, connect: Connect
) -> None:
    session = connect(cli=True)
    jsession = session.JSESSION
    session.disconnect()
    assert sessions(standin) == 1
    connect(user=None, jsession=jsession, cli=True).disconnect()
    standin.clock.advance(16 * 60)
    with pytest.raises(XNATLoginFailedError):
        connect(user=None, jsession=jsession)


def test_S054_S055_who_ends_what(standin: StandIn, connect: Connect) -> None:
    owner = connect()
    sharing = connect(user=None, jsession=owner.JSESSION, cli=True)
    sharing.disconnect()
    assert owner.get(PROJECTS, format="json").status_code == 200
    again = connect(user=None, jsession=owner.JSESSION, cli=True)
    owner.disconnect()
    with pytest.raises(XNATLoginFailedError, match="no longer alive"):
        again.get(PROJECTS, format="json")


def test_S121_scanners_and_scan_types(standin: StandIn, connect: Connect) -> None:
    standin.add_project("P1")
    standin.add_session("P1", "S1", "E1", scans={"1": {"type": "T1w"}, "2": {"type": "FLAIR"}})
    session = connect()
    assert sorted(session.scan_types) == ["FLAIR", "T1w"]
    assert isinstance(session.scanners, list)


def test_users_services_and_prearchive_are_the_same_at_each_call(connect: Connect) -> None:
    session = connect()
    for name in ("users", "services", "prearchive", "projects", "subjects", "experiments"):
        assert getattr(session, name) is getattr(session, name)


def test_A6_a_child_has_an_own_login_and_leaves_the_parent_s_alone(
    standin: StandIn, connect: Connect
) -> None:
    standin.add_project("P1")
    session = connect()
    first = session.JSESSION
    assert session.interface.get(f"{session.server}{PROJECTS}?format=json").status_code == 200
    out: Queue[Any] = FORK.Queue()
    children = [FORK.Process(target=_in_a_child, args=(session, out)) for _ in range(3)]
    for child in children:
        child.start()
    for _ in range(30):
        assert session.get_json(f"{PROJECTS}/P1")["items"]
        found = session.interface.get(f"{session.server}{PROJECTS}?format=json")
        assert [row["ID"] for row in found.json()["ResultSet"]["Result"]] == ["P1"]
    others = [out.get(timeout=20) for _ in children]
    for child in children:
        child.join(20)
        assert child.exitcode == 0
    assert len({first, *others}) == 4
    assert first == session.JSESSION
    assert session.get(PROJECTS, format="json").status_code == 200
    assert sessions(standin) == 1


def _in_a_child(session: Any, out: Queue[Any]) -> None:
    with session:
        for _ in range(30):
            rows = session.get_json(PROJECTS)["ResultSet"]["Result"]
            assert [row["ID"] for row in rows] == ["P1"]
            found = session.interface.get(f"{session.server}{PROJECTS}/P1?format=json")
            assert found.json()["items"][0]["data_fields"]["ID"] == "P1"
        out.put(session.JSESSION)


FORKING = """
import os, sys, xnat_luigi
session = xnat_luigi.connect(sys.argv[1], "admin", "admin", no_parse_model=True)
session.keepalive = 0.01
before = session.JSESSION
for _ in range(20):
    child = os.fork()
    if child == 0:
        sys.exit(0)  # runs what is registered for the end of a process
    assert os.waitpid(child, 0)[1] == 0
session.get("/data/projects", format="json")
print(session.JSESSION == before)
"""


def test_A6_a_child_that_ends_does_not_end_the_parent_s_login(standin: StandIn) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, standin.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "True\n", done.stderr
    assert sum(one.path == "/data/services/auth" for one in standin.requests) == 1


def test_a_session_that_is_dropped_is_collected(standin: StandIn) -> None:
    session = xnat.connect(standin.url, "admin", "admin", no_parse_model=True, cli=True)
    connection = weakref.ref(session.connection)
    seen = weakref.ref(session)
    session.disconnect()
    del session
    gc.collect()
    assert seen() is None
    assert connection() is None


def test_a_server_that_ends_while_we_disconnect_is_no_error(connect: Connect) -> None:
    with StandIn(users={"admin": "admin"}) as server:
        session = connect(server.url)
    session.disconnect()
    with pytest.raises(XNATNotConnectedError):
        session.get(PROJECTS)


def test_F06_a_logout_that_fails_is_no_error(standin: StandIn, connect: Connect) -> None:
    session = connect()
    standin.faults.add(Fault(method="DELETE", status=500))
    session.disconnect()
    assert "disconnected" in repr(session)


def test_clearcache_forgets_the_listings(standin: StandIn, connect: Connect) -> None:
    session = connect(no_parse_model=False)
    assert list(session.projects) == []
    standin.add_project("P1")
    assert list(session.projects) == []
    session.clearcache()
    assert list(session.projects) == ["P1"]
    session.caching = False
    standin.add_project("P2")
    assert list(session.projects) == ["P1", "P2"]


def test_create_object_names_what_is_not_there(connect: Connect) -> None:
    with pytest.raises(XNATResponseError, match="NONE"):
        connect(no_parse_model=False).create_object(f"{PROJECTS}/NONE")
