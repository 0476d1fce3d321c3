"""Files asked for again: the quick answer is the long way's answer, and never an old one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from xnat_luigi.standin import Fault, StandIn
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


def test_a_client_that_goes_away(case: Case) -> None:
    big = os.urandom(8 << 20)
    (case.folder / "a.bin").write_bytes(big)
    for _ in range(3):
        answer = case.client.get(f"{case.server.url}{case.path}/a.bin", timeout=5, stream=True)
        next(answer.iter_content(1000))
        answer.close()
    assert case.get().content == big
