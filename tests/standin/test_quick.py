"""Files asked for again: the quick answer is the long way's answer, and never an old one."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.standin import Fault, StandIn
from xnat_luigi.standin.shortcut import plain_get
from xnat_luigi.standin.wire import Answer, Request

from .site import real_server

pytestmark = pytest.mark.skipif(bool(real_server()), reason="about the stand-in's own memory")
BODY = bytes(range(256)) * 2000


class Case:
    """A file that a logged-in client has asked for twice already."""

    def __init__(self, server: StandIn) -> None:
        self.server = server
        files = {"a.bin": BODY, "small.txt": b"small", "empty": b""}
        self.session = server.add_session("P1", "S1", "E1", resources={"R": files})
        server.state.users.set_role("P1", "reader", "collaborator")
        self.folder: Path = server.root / "archive/P1/arc001/E1/RESOURCES/R"
        self.path = f"/data/experiments/{self.session}/resources/R/files"
        self.client = self.login("reader")
        for name in files:
            for _ in range(2):
                assert self.get(name).content == files[name]

    def login(self, user: str) -> requests.Session:
        client = requests.Session()
        client.trust_env = False
        pair = {"username": user, "password": user}
        client.post(f"{self.server.url}/data/services/auth", data=pair, timeout=5)
        return client

    def get(self, name: str = "a.bin", **headers: str) -> requests.Response:
        return self.client.get(f"{self.server.url}{self.path}/{name}", headers=headers, timeout=5)

    def admin(self, method: str, path: str, body: bytes | None = None) -> None:
        answer = self.login("admin").request(method, self.server.url + path, data=body, timeout=5)
        assert answer.status_code == 200, answer.text


@pytest.fixture
def case(standin: StandIn) -> Case:
    return Case(standin)


def test_it_is_quick(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    work = case.server._app.work

    def counting(request: Request) -> Answer:
        asked.append(request.path)
        return work(request)

    monkeypatch.setattr(case.server._app, "work", counting)
    assert case.get().content == BODY
    assert asked == []


def test_same_headers_on_both_ways(case: Case) -> None:
    fresh = Case.__new__(Case)
    fresh.server, fresh.path = case.server, case.path
    case.server.state.store.generation += 1  # whatever was known is not believed
    long = case.get()
    quick = case.get()
    for name in set(long.headers) | set(quick.headers):
        if name not in ("Set-Cookie", "Date"):
            assert quick.headers.get(name) == long.headers.get(name), name
    assert "SESSION_EXPIRATION_TIME" in quick.headers["Set-Cookie"]


def test_the_connection_stays_and_other_requests_go_on(case: Case) -> None:
    for _ in range(3):
        assert case.get().content == BODY
        assert case.get("small.txt").content == b"small"
        assert case.get("empty").content == b""
        rows = case.client.get(case.server.url + case.path, timeout=5).json()
        assert len(rows["ResultSet"]["Result"]) == 3


CHANGES: dict[str, tuple[Callable[[Case], object], int, bytes | None]] = {
    "overwritten": (
        lambda c: c.admin("PUT", f"{c.path}/a.bin?inbody=true&overwrite=true", b"new"),
        200, b"new"),
    "removed": (lambda c: c.admin("DELETE", f"{c.path}/a.bin"), 404, None),
    "resource removed": (
        lambda c: c.admin("DELETE", c.path.removesuffix("/files")), 404, None),
    "session removed": (
        lambda c: c.admin("DELETE", f"/data/experiments/{c.session}"), 500, None),
    "no right any more": (
        lambda c: c.server.state.users.set_role("P1", "reader", None), 500, None),
    "logged out": (
        lambda c: c.server.state.users.close_sessions("reader"), 401, None),
    "expired": (lambda c: c.server.clock.advance(1000), 401, None),
    "account disabled": (
        lambda c: c.server.state.users.set("reader", enabled=False), 200, None),
    "gone from the disk": (lambda c: (c.folder / "a.bin").unlink(), 404, None),
    "changed on the disk": (
        lambda c: (c.folder / "a.bin").write_bytes(b"by hand"), 200, b"by hand"),
    "catalog changed on the disk": (
        lambda c: (c.folder / "R_catalog.xml").write_text(
            (c.folder / "R_catalog.xml").read_text().replace("a.bin", "b.bin")), 404, None),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_no_old_answer(case: Case, what: str) -> None:
    change, status, body = CHANGES[what]
    change(case)
    answer = case.get()
    assert answer.status_code == status
    assert answer.content != BODY
    if body is not None:
        assert answer.content == body


def test_somebody_elses_answer_is_not_mine(case: Case) -> None:
    case.server.add_user("stranger", "stranger")
    stranger = case.login("stranger")
    answer = stranger.get(f"{case.server.url}{case.path}/a.bin", timeout=5)
    assert answer.status_code == 500  # A 6.1: files of an experiment that is not there


def test_ranges_and_conditions_take_the_long_way(case: Case) -> None:
    assert case.get(Range="bytes=5-9").content == BODY[5:10]
    stamp = case.get().headers["Last-Modified"]
    assert case.get(**{"If-Modified-Since": stamp}).status_code == 304


def test_faults_meet_it_all_the_same(case: Case) -> None:
    case.server.faults.add(Fault(path="a.bin", flip=10, times=1))
    assert case.get().content != BODY
    assert case.get().content == BODY


def test_it_does_not_wait_for_those_who_write(case: Case) -> None:
    case.server.clock.advance(10)  # the session's time would be written down now
    with case.server.state.store.writing(counts=False):
        assert case.get().content == BODY
    case.server.clock.advance(10)
    assert case.get().content == BODY


def test_it_is_in_the_log(case: Case) -> None:
    case.get()
    record = case.server.requests[-1]
    assert (record.method, record.path, record.status) == ("GET", f"{case.path}/a.bin", 200)
    assert (record.bytes_out, record.user) == (len(BODY), "reader")


def head(case: Case, name: str, more: str = "") -> bytes:
    cookie = f"JSESSIONID={case.client.cookies['JSESSIONID']}"
    lines = f"GET {case.path}/{name} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n{more}\r\n"
    return lines.encode()


def answers(conn: socket.socket, count: int) -> list[bytes]:
    """The bodies of so many answers with a length."""
    found = b""
    bodies: list[bytes] = []
    while len(bodies) < count:
        before, mark, after = found.partition(b"\r\n\r\n")
        size = None
        if mark:
            size = next(int(line.split(b":")[1]) for line in before.lower().split(b"\r\n")
                        if line.startswith(b"content-length"))  # fmt: skip
        if size is not None and len(after) >= size:
            bodies.append(after[:size])
            found = after[size:]
            continue
        chunk = conn.recv(1 << 20)
        if not chunk:
            break
        found += chunk
    return bodies


@pytest.fixture
def conn(case: Case) -> Iterator[socket.socket]:
    parts = urlsplit(case.server.url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), 5) as found:
        yield found


def test_requests_in_pieces_and_several_at_once(case: Case, conn: socket.socket) -> None:
    one = head(case, "small.txt")
    for cut in (1, 3, len(one) // 2, len(one) - 2, len(one) - 1):
        conn.sendall(one[:cut])
        time.sleep(0.02)
        conn.sendall(one[cut:])
        assert answers(conn, 1) == [b"small"]
    conn.sendall(one)
    assert answers(conn, 1) == [b"small"]
    conn.sendall(one + head(case, "empty") + one)
    assert answers(conn, 3) == [b"small", b"", b"small"]


def test_a_body_that_looks_like_a_request_is_a_body(case: Case, conn: socket.socket) -> None:
    body = head(case, "small.txt")
    session = case.login("admin").cookies["JSESSIONID"]
    put = (
        f"PUT {case.path}/new.txt?inbody=true HTTP/1.1\r\nHost: x\r\n"
        f"Cookie: JSESSIONID={session}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    conn.sendall(put.encode())
    time.sleep(0.1)
    conn.sendall(body)
    assert answers(conn, 1) == [b""]
    assert (case.folder / "new.txt").read_bytes() == body


def test_what_arrives_while_a_large_file_is_on_its_way(case: Case, conn: socket.socket) -> None:
    big = os.urandom(12 << 20)
    (case.folder / "a.bin").write_bytes(big)
    conn.sendall(head(case, "a.bin"))
    time.sleep(0.2)  # nobody reads: the rest has to wait
    conn.sendall(head(case, "small.txt"))
    time.sleep(0.1)
    assert answers(conn, 2) == [big, b"small"]
    conn.sendall(head(case, "small.txt"))
    assert answers(conn, 1) == [b"small"]


def test_others_are_served_while_a_large_file_waits(case: Case, conn: socket.socket) -> None:
    (case.folder / "a.bin").write_bytes(os.urandom(64 << 20))
    conn.sendall(head(case, "a.bin"))
    time.sleep(0.1)
    assert case.get("small.txt").content == b"small"


@pytest.mark.parametrize(
    "more", ["Connection: close\r\n", "Connection: keep-alive\r\n", "X-Odd: \xe9\r\n"]
)
def test_other_headers(case: Case, conn: socket.socket, more: str) -> None:
    conn.sendall(head(case, "small.txt", more))
    assert answers(conn, 1) == [b"small"]
    if "close" in more:
        assert conn.recv(10) == b""


@given(st.binary(max_size=80))
def test_any_bytes_are_plain_or_not(data: bytes) -> None:
    assert plain_get(data) is None or data.startswith(b"GET ")
    whole = b"GET /a HTTP/1.1\r\nHost: x\r\n" + data + b"\r\n\r\n"
    found = plain_get(whole)
    assert found is None or found[0] == "/a"


@pytest.mark.parametrize(
    "field", ["Range: bytes=0-1", "Authorization: Basic x", "Content-Length: 0", "expect: x",
              "If-Modified-Since: x", "Transfer-Encoding: chunked", "Upgrade: x", " folded"],
)  # fmt: skip
def test_nothing_special_is_plain(field: str) -> None:
    assert plain_get(f"GET /a HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode()) is None
    assert plain_get(b"GET /a HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\n\r\n") == ("/a", " a=b")


def test_a_client_that_goes_away(case: Case) -> None:
    big = os.urandom(8 << 20)
    (case.folder / "a.bin").write_bytes(big)
    for _ in range(3):
        answer = case.client.get(f"{case.server.url}{case.path}/a.bin", timeout=5, stream=True)
        next(answer.iter_content(1000))
        answer.close()
    assert case.get().content == big
