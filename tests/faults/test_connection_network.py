"""Fault rows N1, N2, N3, N5, N6, N7, N9, N10, N13, N14, N15: what a network does to a request."""

from __future__ import annotations

import socket
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from xnat_luigi.config import Policy
from xnat_luigi.exceptions import (
    XNATConnectionError,
    XNATIntegrityError,
    XNATPageError,
    XNATResponseError,
    XNATSSLError,
    XNATTimeoutError,
    XNATUnavailableError,
    XNATUnclearError,
)
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from ..connection.tried import Connect

PROJECTS = "/data/projects"
JSON = {"format": "json"}
QUICK = Policy(connect=0.3, listing=0.3, transfer=0.3, gap=0.3)


def count(standin: StandIn, method: str, path: str) -> int:
    return sum(one.method == method and one.path == path for one in standin.requests)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# N1


def test_N1_refused_is_tried_again_then_an_error_with_the_host(
    tried: Connect, closed_port: int
) -> None:
    one = tried(url=f"http://127.0.0.1:{closed_port}")
    with pytest.raises(XNATConnectionError, match=f"127.0.0.1:{closed_port}") as caught:
        one.connection.request("GET", PROJECTS)
    assert len(one.slept) == 4
    assert "host=" not in str(caught.value)


def test_N1_unknown_host_is_an_error_with_the_host(tried: Connect) -> None:
    one = tried(url="http://no-such-host.invalid")
    with pytest.raises(XNATConnectionError, match=r"no-such-host\.invalid") as caught:
        one.connection.request("GET", PROJECTS)
    assert len(one.slept) == 4
    assert "object at 0x" not in str(caught.value)


def test_N1_a_connect_that_hangs_ends(tried: Connect) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        full = [socket.socket() for _ in range(4)]
        for one in full:  # fill the queue, so that the kernel answers nobody
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        asked = tried(url=f"http://127.0.0.1:{listener.getsockname()[1]}", policy=QUICK)
        with pytest.raises(XNATConnectionError, match="no connection within"):
            asked.connection.request("GET", PROJECTS)
        assert len(asked.slept) == 4
        for one in full:
            one.close()


def test_N1_a_request_that_was_never_sent_may_be_a_post(tried: Connect, closed_port: int) -> None:
    one = tried(None, url=f"http://127.0.0.1:{closed_port}", session="A" * 32)
    with pytest.raises(XNATConnectionError):
        one.connection.request("POST", PROJECTS)
    assert len(one.slept) == 4


# N2


def test_N2_no_answer_ends_and_is_asked_again(standin: StandIn, tried: Connect) -> None:
    one = tried(policy=QUICK)
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, hang=True, times=1))
    assert one.connection.request("GET", PROJECTS, query=JSON).status == 200
    assert len(one.slept) == 1


def test_N2_no_answer_to_a_post_is_unclear_and_not_repeated(
    standin: StandIn, tried: Connect
) -> None:
    one = tried(policy=QUICK)
    one.connection.logged_in()
    rule = standin.faults.add(Fault(method="POST", hang=True))
    with pytest.raises(XNATUnclearError, match="look before"):
        one.connection.request("POST", "/data/services/import")
    assert rule.fired == 1
    assert one.slept == []


def test_N2_a_body_that_stalls_ends_by_the_gap(standin: StandIn, tried: Connect) -> None:
    one = tried(policy=QUICK)
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, stall=30.0, stall_after=5, times=1))
    begin = time.monotonic()
    assert one.connection.request("GET", PROJECTS, query=JSON).json()
    assert time.monotonic() - begin < 5
    assert len(one.slept) == 1


def test_N2_a_body_that_drips_ends_by_the_rate(standin: StandIn, tried: Connect) -> None:
    for number in range(40):
        standin.add_project(f"P{number:03}")
    one = tried(policy=Policy(gap=0.5, rate=1_000_000.0, attempts=2))
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, drip=2000))
    with pytest.raises(XNATTimeoutError, match="drips"):
        one.connection.request("GET", PROJECTS, query=JSON)
    assert len(one.slept) == 1


def test_N2_what_is_slow_and_steady_comes_through(standin: StandIn, tried: Connect) -> None:
    for number in range(20):
        standin.add_project(f"P{number:03}")
    one = tried(policy=Policy(gap=0.5, rate=100.0))
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, drip=4000))
    assert len(one.connection.request("GET", PROJECTS, query=JSON).json()["ResultSet"]["Result"])
    assert one.slept == []


# N3, the part of a request; files are in test_staging


@pytest.mark.parametrize("what", ["reset", "close", "drop", "cut", "cut_reset"])
def test_N3_an_answer_that_breaks_off_is_asked_for_again(
    standin: StandIn, tried: Connect, what: str
) -> None:
    one = tried()
    one.connection.logged_in()
    faults = {
        "reset": Fault(path=PROJECTS, reset=True, times=1),
        "close": Fault(path=PROJECTS, close=True, times=1),
        "drop": Fault(path=PROJECTS, drop=True, times=1),
        "cut": Fault(path=PROJECTS, cut=5, times=1),
        "cut_reset": Fault(path=PROJECTS, cut=5, cut_reset=True, times=1),
    }
    standin.faults.add(faults[what])
    assert one.connection.request("GET", PROJECTS, query=JSON).json()["ResultSet"]
    assert len(one.slept) == 1


def test_N3_a_stream_that_breaks_off_later_raises(standin: StandIn, tried: Connect) -> None:
    for number in range(100):
        standin.add_project(f"P{number:03}")
    conn = tried().connection
    conn.logged_in()
    standin.faults.add(Fault(path=PROJECTS, cut=4000))
    with (
        conn.stream(PROJECTS, query=JSON) as stream,
        pytest.raises(XNATConnectionError, match="broke off"),
    ):
        for _ in stream.chunks(100):
            pass


# N5


def test_N5_an_idle_connection_that_was_closed_costs_one_quiet_retry(
    standin: StandIn, tried: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    one = tried()
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, close=True, times=1))
    with caplog.at_level("WARNING"):
        assert one.connection.request("GET", PROJECTS, query=JSON).status == 200
    assert len(one.slept) == 1
    assert caplog.text == ""


# N6


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_N6_a_burst_is_waited_for_and_the_waits_grow(
    standin: StandIn, tried: Connect, status: int
) -> None:
    one = tried()
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, status=status, times=4))
    assert one.connection.request("GET", PROJECTS, query=JSON).status == 200
    assert len(one.slept) == 4
    assert one.slept == sorted(one.slept)
    assert 0.375 <= one.slept[0] <= 0.625


def test_N6_after_five_tries_it_is_an_error(standin: StandIn, tried: Connect) -> None:
    one = tried()
    one.connection.logged_in()
    rule = standin.faults.add(Fault(path=PROJECTS, status=503))
    with pytest.raises(XNATUnavailableError, match="503") as caught:
        one.connection.request("GET", PROJECTS, query=JSON)
    assert rule.fired == 5
    assert caught.value.exit_status == 5


def test_N6_500_is_asked_once_more_and_get_only(standin: StandIn, tried: Connect) -> None:
    one = tried()
    one.connection.logged_in()
    rule = standin.faults.add(Fault(path=PROJECTS, status=500))
    with pytest.raises(XNATResponseError, match="500"):
        one.connection.request("GET", PROJECTS, query=JSON)
    assert rule.fired == 2
    with pytest.raises(XNATResponseError, match="500"):
        one.connection.request("PUT", f"{PROJECTS}/P1", repeatable=True)
    assert rule.fired == 3


@pytest.mark.parametrize("status", [502, 503, 504])
def test_N6_a_post_is_never_repeated(standin: StandIn, tried: Connect, status: int) -> None:
    one = tried()
    one.connection.logged_in()
    rule = standin.faults.add(Fault(method="POST", status=status))
    with pytest.raises(XNATUnclearError, match=str(status)) as caught:
        one.connection.request("POST", "/data/services/import")
    assert rule.fired == 1
    assert caught.value.status == status


def test_N7_a_post_that_a_proxy_held_back_is_sent_later(standin: StandIn, tried: Connect) -> None:
    one = tried()
    one.connection.logged_in()
    held = Fault(method="POST", status=429, headers={"Retry-After": "3"}, times=2)
    standin.faults.add(held)
    standin.add_project("P1")
    answer = one.connection.request("POST", f"{PROJECTS}/P1/subjects", query={"label": "S1"})
    assert answer.status == 200
    assert one.slept == [3.0, 3.0]


def test_N6_what_may_be_repeated_is(standin: StandIn, tried: Connect) -> None:
    one = tried()
    one.connection.logged_in()
    rule = standin.faults.add(Fault(method="PUT", path="P1$", status=504, times=2))
    one.connection.request("PUT", f"{PROJECTS}/P1", repeatable=True, accepted=(200, 201))
    assert (rule.fired, rule.matched, len(one.slept)) == (2, 3, 2)


def test_N6_the_login_waits_for_an_outage_too(standin: StandIn, tried: Connect) -> None:
    one = tried()
    standin.faults.add(Fault(path="/data/services/auth", status=502, times=2))
    assert one.connection.logged_in()
    assert len(one.slept) == 2


# N7


@pytest.mark.parametrize(
    ("value", "waits"),
    [("2", [2.0]), (formatdate(1_700_000_060, usegmt=True), [60.0]), ("120", [120.0])],
)
def test_N7_retry_after_is_obeyed(
    standin: StandIn, tried: Connect, value: str, waits: list[float]
) -> None:
    one = tried()
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, status=503, headers={"Retry-After": value}, times=1))
    assert one.connection.request("GET", PROJECTS, query=JSON).status == 200
    assert one.slept == waits


@pytest.mark.parametrize("value", ["86400", formatdate(1_700_086_400, usegmt=True), "121"])
def test_N7_a_day_fails_at_once_and_says_how_long(
    standin: StandIn, tried: Connect, value: str
) -> None:
    one = tried()
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, status=429, headers={"Retry-After": value}))
    with pytest.raises(XNATUnavailableError, match=r"asks to wait (86400|121) s"):
        one.connection.request("GET", PROJECTS, query=JSON)
    assert one.slept == []


# N9, the part of a request


def test_N9_a_login_page_means_one_new_login(standin: StandIn, tried: Connect) -> None:
    one = tried()
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, status=200, html=True, times=1))
    assert one.connection.request("GET", PROJECTS, query=JSON).json()["ResultSet"]
    assert count(standin, "PUT", "/data/services/auth") == 2


def test_N9_a_login_page_again_and_again_is_an_error(standin: StandIn, tried: Connect) -> None:
    one = tried()
    one.connection.logged_in()
    standin.faults.add(Fault(path=PROJECTS, status=200, html=True))
    with pytest.raises(XNATPageError, match="web page"):
        one.connection.request("GET", PROJECTS, query=JSON)
    assert count(standin, "PUT", "/data/services/auth") == 2


def test_N9_an_error_page_with_status_200_is_an_error(standin: StandIn, tried: Connect) -> None:
    one = tried()
    one.connection.logged_in()
    page = "<!DOCTYPE html><html><h3>Out of order</h3></html>"
    standin.faults.add(Fault(path=PROJECTS, replace=page))
    with pytest.raises(XNATPageError, match="Out of order"):
        one.connection.request("GET", PROJECTS, query=JSON)


def test_N9_a_stream_never_hands_on_a_login_page(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    conn.logged_in()
    standin.faults.add(Fault(path=PROJECTS, status=200, html=True, times=1))
    with conn.stream(PROJECTS, query=JSON) as stream:
        assert b"".join(stream.chunks()).startswith(b'{"ResultSet"')


def test_N9_a_stream_of_a_real_web_page_is_handed_on(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    page = "<html><body>" + "a report" * 3000 + "</body></html>"
    conn.logged_in()
    standin.faults.add(Fault(path=PROJECTS, replace=page))
    with conn.stream(PROJECTS) as stream:
        assert b"".join(stream.chunks()) == page.encode()


# N10


def test_N10_identity_is_asked_for(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    answer = conn.request("GET", PROJECTS, query=JSON)
    assert "Content-Encoding" not in answer.headers
    assert answer.response.request.headers["Accept-Encoding"] == "identity"


# N13


@pytest.mark.parametrize(
    "target", ["http://127.0.0.3:1/steal", "https://evil.invalid/", "ftp://x/", "/elsewhere", ""]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_N13_a_redirect_is_not_followed(
    standin: StandIn, tried: Connect, target: str, status: int
) -> None:
    conn = tried().connection
    conn.logged_in()
    rule = standin.faults.add(Fault(path=PROJECTS, redirect=target, status=status))
    with pytest.raises(XNATResponseError, match=f"{status}.*not followed") as caught:
        conn.request("GET", PROJECTS, query=JSON)
    assert caught.value.status == status
    assert rule.fired == 1


def test_N13_credentials_never_leave(standin: StandIn, tried: Connect) -> None:
    with StandIn(users={"admin": "admin"}) as other:
        standin.faults.add(Fault(path="/data/services/auth", redirect=other.url + "/data/auth"))
        with pytest.raises(XNATResponseError):
            tried().connection.logged_in()
        assert other.requests == []


def test_N13_the_documented_ones_come_back_when_accepted(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    conn.logged_in()
    standin.faults.add(Fault(path=PROJECTS, redirect="/data/x", status=301))
    answer = conn.request("GET", PROJECTS, accepted=(200, 301))
    assert (answer.status, answer.headers["location"]) == (301, "/data/x")


# N14


def test_N14_a_bad_certificate_is_an_error_that_says_what_to_do(tried: Connect, tls: str) -> None:
    one = tried(url=tls)
    with pytest.raises(XNATSSLError, match="XNAT_LUIGI_VERIFY"):
        one.connection.logged_in()


def test_N14_verify_false_warns_once_and_works(
    tried: Connect, tls: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        one = tried(url=tls, verify=False)
        assert one.connection.logged_in()
        assert one.connection.request("GET", PROJECTS, query=JSON).status == 200
        one.connection.close()
    assert caplog.text.count("certificates of") == 1


def test_N14_a_named_certificate_is_trusted(tried: Connect, tls: str, tmp_path: Path) -> None:
    one = tried(url=tls, verify=str(tmp_path / "certificate.pem"))
    assert one.connection.logged_in()
    one.connection.close()


# N15


def test_N15_a_listing_beyond_all_bounds_is_an_error(standin: StandIn, tried: Connect) -> None:
    for number in range(100):
        standin.add_project(f"P{number:03}")
    conn = tried(policy=Policy(largest_answer=5000)).connection
    with pytest.raises(XNATIntegrityError, match="5000"):
        conn.request("GET", PROJECTS, query=JSON)
