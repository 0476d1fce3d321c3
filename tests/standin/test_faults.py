"""Fault rules: which requests they meet and what becomes of the answers, seen on the socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from xnat_luigi.standin import Fault, StandIn

from .site import Site, real_server

BODY = bytes(range(256)) * 40
FILE = "/data/projects/P1/resources/R/files/a.bin"

pytestmark = pytest.mark.skipif(bool(real_server()), reason="a real server has no fault rules")


@pytest.fixture
def server(standin: StandIn) -> StandIn:
    """With one file, and an open site: raw requests need no login."""
    standin.preferences["requireLogin"] = False
    standin.add_project("P1", accessibility="public", resources={"R": {"a.bin": BODY}})
    return standin


def raw(server: StandIn, path: str = FILE, *, headers: str = "", timeout: float = 5.0) -> bytes:
    """Everything that comes back on a socket, up to its end.

    Raises: `ConnectionResetError`; `TimeoutError` when the server says nothing more.
    """
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout) as conn:
        conn.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode()
        )
        found = b""
        while chunk := conn.recv(65536):
            found += chunk
        return found


def split(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    """(status line, headers in lower case, body)"""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines[1:])
    return lines[0], {name.lower(): value for name, value in pairs}, body


def statuses(server: StandIn, count: int, path: str = "/data/projects") -> list[int]:
    return [requests.get(server.url + path, timeout=5).status_code for _ in range(count)]


# Which requests ---------------------------------------------------------------------------------


def test_method_and_path(server: StandIn) -> None:
    server.faults.add(Fault(method="PUT|DELETE", path=r"/projects/P\d$", status=503))
    url = f"{server.url}/data/projects/P1"
    assert requests.get(f"{url}?format=json", timeout=5).status_code == 200
    assert requests.put(url, timeout=5).status_code == 503
    assert requests.delete(url, timeout=5).status_code == 503
    assert requests.put(f"{url}/subjects/S1", timeout=5).status_code != 503


def test_the_query_can_be_matched(server: StandIn) -> None:
    server.faults.add(Fault(path=r"\?.*format=csv", status=503))
    assert statuses(server, 1, "/data/projects?format=csv") == [503]
    assert statuses(server, 1, "/data/projects?format=json") == [200]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"nth": 2}, [200, 503, 200, 200]),
        ({"times": 2}, [503, 503, 200, 200]),
        ({"skip": 1}, [200, 503, 503, 503]),
        ({"skip": 1, "times": 1}, [200, 503, 200, 200]),
        ({}, [503, 503, 503, 503]),
    ],
)
def test_how_often(server: StandIn, rule: dict[str, Any], expected: list[int]) -> None:
    fault = server.faults.add(Fault(status=503, **rule))
    assert statuses(server, 4) == expected
    assert fault.matched == 4
    assert fault.fired == expected.count(503)


def test_probability_with_a_seed(server: StandIn) -> None:
    def run() -> list[int]:
        server.faults.clear()
        server.faults.add(Fault(status=503, probability=0.5, seed=7))
        return statuses(server, 20)

    first = run()
    assert run() == first
    assert {200, 503} == set(first)


def test_the_first_rule_that_fits_wins(server: StandIn) -> None:
    server.faults.add(Fault(path="/nowhere", status=500))
    server.faults.add(Fault(path="/projects", status=503))
    server.faults.add(Fault(path="/projects", status=504))
    assert statuses(server, 1) == [503]


def test_removed_rules(server: StandIn) -> None:
    fault = server.faults.add(Fault(status=503))
    assert server.faults.remove(fault.id)
    assert not server.faults.remove(fault.id)
    assert statuses(server, 1) == [200]


def test_unknown_fields_are_named() -> None:
    with pytest.raises(ValueError, match="typo"):
        Fault.from_dict({"status": 500, "typo": 1})


# Instead of the work ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 404, 429, 500, 502, 503, 504])
def test_status_with_headers(server: StandIn, status: int) -> None:
    server.faults.add(Fault(status=status, headers={"Retry-After": "2"}))
    line, headers, body = split(raw(server))
    assert line.split()[1] == str(status)
    assert headers["retry-after"] == "2"
    assert b"Status page" in body


def test_the_work_is_not_done(own_site: Site, server: StandIn) -> None:
    server.faults.add(Fault(method="PUT", status=503))
    assert own_site.put("/projects/P2").status_code == 503
    server.faults.clear()
    assert own_site.get("/projects/P2?format=json").status_code == 404


def test_body_and_type_of_my_own(server: StandIn) -> None:
    server.faults.add(Fault(status=200, body='{"a":1}', headers={"Content-Type": "text/plain"}))
    _, headers, body = split(raw(server))
    assert (headers["content-type"], body) == ("text/plain", b'{"a":1}')


def test_login_page_with_200(server: StandIn) -> None:
    server.faults.add(Fault(status=200, html=True))
    line, headers, body = split(raw(server))
    assert line.split()[1] == "200"
    assert headers["content-type"].startswith("text/html")
    assert b"<!-- BEGIN xnat-templates/screens/Login.vm -->" in body


@pytest.mark.parametrize(
    ("rule", "status", "location"),
    [
        ({"redirect": "https://elsewhere.example/x"}, "302", "https://elsewhere.example/x"),
        ({"redirect": "/data/projects", "status": 301}, "301", "/data/projects"),
        ({"redirect": "", "status": 303}, "303", None),
    ],
)
def test_redirect(server: StandIn, rule: dict[str, Any], status: str, location: str | None) -> None:
    server.faults.add(Fault(**rule))
    line, headers, _ = split(raw(server))
    assert line.split()[1] == status
    assert headers.get("location") == location


def test_delay(server: StandIn) -> None:
    server.faults.add(Fault(delay=0.3))
    begin = time.monotonic()
    assert split(raw(server))[2] == BODY
    assert time.monotonic() - begin >= 0.3


def test_hang(server: StandIn) -> None:
    server.faults.add(Fault(hang=True))
    with pytest.raises(TimeoutError):
        raw(server, timeout=0.3)


def test_silent_close(server: StandIn) -> None:
    server.faults.add(Fault(close=True))
    assert raw(server) == b""


def test_reset(server: StandIn) -> None:
    server.faults.add(Fault(reset=True))
    with pytest.raises(ConnectionResetError):
        raw(server)


# Round the true answer --------------------------------------------------------------------------


def test_headers_are_added_to_the_true_answer(server: StandIn) -> None:
    server.faults.add(Fault(headers={"X-Proxy": "yes"}))
    line, headers, body = split(raw(server))
    assert (line.split()[1], headers["x-proxy"], body) == ("200", "yes", BODY)


def test_cut_with_length(server: StandIn) -> None:
    server.faults.add(Fault(cut=1000))
    _, headers, body = split(raw(server))
    assert (headers["content-length"], body) == (str(len(BODY)), BODY[:1000])


def test_cut_without_length(server: StandIn) -> None:
    server.faults.add(Fault(cut=1000, no_length=True))
    _, headers, body = split(raw(server))
    assert not {"content-length", "transfer-encoding"} & set(headers)
    assert body == BODY[:1000]


def test_whole_without_length(server: StandIn) -> None:
    server.faults.add(Fault(no_length=True))
    _, headers, body = split(raw(server))
    assert "content-length" not in headers
    assert body == BODY


def test_cut_in_chunks(server: StandIn) -> None:
    server.faults.add(Fault(cut=20))
    _, headers, body = split(raw(server, "/data/projects?format=json"))
    assert headers["transfer-encoding"] == "chunked"
    assert not body.endswith(b"0\r\n\r\n")


def test_cut_by_a_reset(server: StandIn) -> None:
    server.faults.add(Fault(cut=1000, cut_reset=True))
    with pytest.raises(ConnectionResetError):
        raw(server)


def test_stall_in_the_middle(server: StandIn) -> None:
    server.faults.add(Fault(stall=0.4, stall_after=1000))
    begin = time.monotonic()
    assert split(raw(server))[2] == BODY
    assert time.monotonic() - begin >= 0.4
    server.faults.clear()
    server.faults.add(Fault(stall=30, stall_after=1000))
    with pytest.raises(TimeoutError):
        raw(server, timeout=0.3)


def test_drip(server: StandIn) -> None:
    server.faults.add(Fault(drip=len(BODY) * 3))
    begin = time.monotonic()
    assert split(raw(server))[2] == BODY
    assert time.monotonic() - begin >= 0.25


def test_extra_bytes(server: StandIn) -> None:
    server.faults.add(Fault(extra="more"))
    _, headers, body = split(raw(server))
    assert (headers["content-length"], body) == (str(len(BODY)), BODY + b"more")
    server.faults.clear()
    server.faults.add(Fault(extra="more", no_length=True))
    assert split(raw(server))[2] == BODY + b"more"


@pytest.mark.parametrize("place", [0, 5000, -1])
def test_flipped_byte(server: StandIn, place: int) -> None:
    server.faults.add(Fault(flip=place))
    _, headers, body = split(raw(server))
    assert headers["content-length"] == str(len(BODY))
    wrong = [i for i, (a, b) in enumerate(zip(BODY, body, strict=True)) if a != b]
    assert wrong == [place % len(BODY)]


@pytest.mark.parametrize("place", [200, -1])
def test_flipped_byte_of_a_zip(server: StandIn, place: int) -> None:
    path = "/data/projects/P1/resources/R/files?format=zip"
    whole = requests.get(server.url + path, timeout=5).content
    server.faults.add(Fault(path="format=zip", flip=place))
    bent = requests.get(server.url + path, timeout=5).content
    assert [i for i, (a, b) in enumerate(zip(whole, bent, strict=True)) if a != b] == [
        place % len(whole)
    ]


RANGE = "Range: bytes=1000-1999\r\n"


def test_range_is_ignored(server: StandIn) -> None:
    server.faults.add(Fault(ignore_range=True))
    line, headers, body = split(raw(server, headers=RANGE))
    assert (line.split()[1], body) == ("200", BODY)
    assert "content-range" not in headers


def test_wrong_range(server: StandIn) -> None:
    server.faults.add(Fault(wrong_range=True))
    line, headers, body = split(raw(server, headers=RANGE))
    assert line.split()[1] == "206"
    assert headers["content-range"] == f"bytes 0-999/{len(BODY)}"
    assert body == BODY[:1000]


def test_range_and_cut(server: StandIn) -> None:
    server.faults.add(Fault(cut=100))
    line, headers, body = split(raw(server, headers=RANGE))
    assert (line.split()[1], headers["content-length"]) == ("206", "1000")
    assert headers["content-range"] == f"bytes 1000-1999/{len(BODY)}"
    assert body == BODY[1000:1100]


def test_replaced_body(server: StandIn) -> None:
    server.faults.add(Fault(replace="<html>gateway</html>"))
    line, headers, body = split(raw(server))
    assert (line.split()[1], body) == ("200", b"<html>gateway</html>")
    assert headers["content-length"] == "20"


def test_true_answer_under_another_status(server: StandIn) -> None:
    server.faults.add(Fault(rewrite_status=404))
    line, _, body = split(raw(server))
    assert (line.split()[1], body) == ("404", BODY)


@pytest.mark.parametrize("rule", [{"drop": True}, {"answer_delay": 0.3}])
def test_work_done_and_then(own_site: Site, server: StandIn, rule: dict[str, Any]) -> None:
    server.faults.add(Fault(method="PUT", **rule))
    begin = time.monotonic()

    def put() -> None:
        own_site.put("/projects/P2")

    if "drop" in rule:
        with pytest.raises(requests.ConnectionError):
            put()
    else:
        put()
        assert time.monotonic() - begin >= 0.3
    assert own_site.get("/projects/P2?format=json").status_code == 200


LATER: dict[str, Callable[[StandIn], object]] = {
    "cut": lambda s: s.faults.add(Fault(cut=10, times=1)),
    "close": lambda s: s.faults.add(Fault(close=True, times=1)),
    "reset": lambda s: s.faults.add(Fault(reset=True, times=1)),
}


@pytest.mark.parametrize("what", LATER)
def test_the_server_is_well_afterwards(own_site: Site, server: StandIn, what: str) -> None:
    own_site.get("/projects")
    LATER[what](server)
    with pytest.raises(requests.RequestException):
        own_site.get(FILE)
    assert own_site.get(FILE).content == BODY


def test_faults_are_in_the_request_log(server: StandIn) -> None:
    server.faults.add(Fault(cut=1000, times=1))
    raw(server)
    record = server.requests[-1]
    assert (record.method, record.path, record.bytes_out) == ("GET", FILE, 1000)
    server.faults.add(Fault(drop=True, times=1))
    raw(server)
    assert server.requests[-1].bytes_out == 0
