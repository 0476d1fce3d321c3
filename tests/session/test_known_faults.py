"""What the published clients get wrong about connections, and the server's bugs behind it
(wire contract A 8). One regression test each."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.exceptions import XNATError, XNATLoginFailedError
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from .conftest import Connect

PROJECTS = "/data/projects"


@pytest.fixture
def file(standin: StandIn) -> str:
    """The address of a file on the server."""
    session = standin.add_session(
        "P1", "S1", "E1", scans={"1": {"resources": {"R": {"a": b"abc"}}}}
    )
    return f"/data/experiments/{session}/scans/1/resources/R/files/a"


def test_A8_1_a_login_page_is_never_saved_as_a_download(
    standin: StandIn, session: Any, file: str, tmp_path: Path
) -> None:
    # 0.3.27 compares the bytes of a stream with text, so its check never fires.
    standin.faults.add(Fault(path="/files/a", status=200, html=True))
    with pytest.raises(XNATError):
        session.download(file, tmp_path / "a", verbose=False)
    stream = io.BytesIO()
    with pytest.raises(XNATError):
        session.download_stream(file, stream)
    assert list(tmp_path.glob("*a*")) == []
    assert stream.getvalue() == b""


def test_A8_1_one_login_page_costs_nothing_but_a_login(
    standin: StandIn, session: Any, file: str, tmp_path: Path
) -> None:
    standin.faults.add(Fault(path="/files/a", status=200, html=True, times=1))
    session.download(file, tmp_path / "a", verbose=False)
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_A8_2_a_guest_s_session_is_no_login(standin: StandIn, connect: Connect) -> None:
    standin.faults.add(Fault(path="/data/auth", status=200, body="User 'guest' is logged in"))
    with pytest.raises(XNATLoginFailedError, match="admin"):
        connect()


def test_A8_3_a_session_that_ends_in_the_middle_is_renewed(standin: StandIn, session: Any) -> None:
    standin.add_project("P1")
    for _ in range(3):
        assert session.get_json(f"{PROJECTS}/P1")["items"]
        standin.clock.advance(3600)
    assert session.put(f"{PROJECTS}/P1/subjects/S1").status_code == 201


def test_A8_4_items_are_asked_for_as_json_by_format(standin: StandIn, session: Any) -> None:
    standin.add_project("P1")
    session.get_json(f"{PROJECTS}/P1")
    assert standin.requests[-1].query == "format=json"


def test_A8_5_a_resource_is_never_JSON_and_read_from_its_listing(session: Any, file: str) -> None:
    resource = file.partition("/files/")[0]
    assert session.get_json(resource)["items"][0]["data_fields"]["label"] == "R"


def test_A8_22_a_proxy_s_502_is_waited_for(standin: StandIn, session: Any) -> None:
    standin.faults.add(Fault(path=PROJECTS, status=502, times=1))
    assert session.get(PROJECTS, format="json").status_code == 200


def test_A8_23_versions_of_both_lines(standin: StandIn, connect: Connect) -> None:
    assert connect().xnat_version == "1.8.10"
    standin.faults.add(Fault(path="buildInfo", status=404))
    standin.faults.add(Fault(path="/data/version", status=200, body="1.6.5\n"))
    assert connect().xnat_version == "1.6.5"


def test_a_heartbeat_that_met_an_error_beats_on(standin: StandIn, connect: Connect) -> None:
    # The published thread ends with the first error, and the session a quarter of an hour later.
    session = connect()
    rule = standin.faults.add(Fault(method="GET", path="/data/JSESSION", reset=True, times=2))
    from xnat_luigi.session.heartbeat import Heartbeat

    heartbeat = Heartbeat(session.connection, session.logger, interval=0.01).start()
    deadline = time.monotonic() + 10
    while rule.matched < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rule.fired == 2
    assert rule.matched >= 4
    assert heartbeat.alive
    heartbeat.stop()


SCRIPT = """
import sys, xnat_luigi
session = xnat_luigi.connect(sys.argv[1], "admin", "admin", no_parse_model=True)
session.get("/data/projects", format="json")
if sys.argv[2] == "raise":
    raise SystemExit(3)
"""


@pytest.mark.parametrize(("how", "status"), [("end", 0), ("raise", 3)])
def test_a_script_that_forgets_to_disconnect_ends_at_once_and_leaves_no_login(
    standin: StandIn, how: str, status: int
) -> None:
    begin = time.monotonic()
    command = [sys.executable, "-c", SCRIPT, standin.url, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    assert time.monotonic() - begin < 30
    assert standin.state.users.count_sessions("admin") == 0


def test_a_script_that_ends_while_its_heartbeat_hangs_ends_at_once(standin: StandIn) -> None:
    standin.faults.add(Fault(method="GET", path="/data/JSESSION", hang=True))
    script = SCRIPT.replace("session.get(", "session.keepalive = 0.01; session.get(")
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", script, standin.url, "end"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert time.monotonic() - begin < 30
