"""Sockets: how long what is sent may lie unread, and how everything ends at once (D3)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xnat_luigi.config import Policy
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import XNATIOError, XNATTimeoutError, XNATUnclearError
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from .tls import tls
from .tried import Connect

__all__ = ["tls"]

JSON = {"format": "json"}
LARGE = 16 << 20
"""more than the kernel's buffers of two sockets take"""


@pytest.fixture
def lazy() -> Iterator[Callable[[float], str]]:
    """A server that answers small requests at once and begins to read large ones late."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve(one: socket.socket, late: float) -> None:
        with one:
            while head := one.recv(65536, socket.MSG_PEEK):
                if b"PUT" in head[:8]:
                    over.wait(late)
                left = LARGE if b"PUT" in head[:8] else 0
                start = one.recv(head.index(b"\r\n\r\n") + 4)
                assert start
                while left > 0 and (piece := one.recv(min(left, 1 << 20))):
                    left -= len(piece)
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def accept(late: float) -> None:
        while not over.is_set():
            try:
                one, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(one, late), daemon=True).start()

    def start(late: float) -> str:
        threading.Thread(target=accept, args=(late,), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    listener.close()


@pytest.mark.parametrize("used", [False, True])
def test_N2_a_server_that_reads_late_gets_the_gap_and_not_the_time_to_connect(
    lazy: Callable[[float], str], used: bool
) -> None:
    transport = Transport(lazy(0.5), policy=Policy(connect=0.1, gap=5.0))
    if used:
        reply = transport.send("GET", "/", wait=0.1)
        assert reply.read() == b"ok"
        reply.close()
    reply = transport.send("PUT", "/", body=b"x" * LARGE, wait=5.0)
    assert reply.read() == b"ok"
    transport.close()


@pytest.mark.parametrize("used", [False, True])
def test_N2_a_server_that_does_not_read_is_a_time_out(
    lazy: Callable[[float], str], used: bool
) -> None:
    transport = Transport(lazy(30.0), policy=Policy(connect=5.0, gap=0.2))
    if used:
        transport.send("GET", "/", wait=5.0).read()
    begin = time.monotonic()
    with pytest.raises(XNATTimeoutError, match="does not read"):
        transport.send("PUT", "/", body=b"x" * LARGE, wait=30.0)
    assert time.monotonic() - begin < 4
    transport.close()


def ended(conn: Connection, work: Callable[[], Any]) -> BaseException | None:
    """Do something in a thread, interrupt it, and return how it ended; it must end at once."""
    kept: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
            kept.append(None)
        except Exception as error:
            kept.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    begin = time.monotonic()
    conn.interrupt()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - begin < 1
    return kept[0]


def made(url: str, **kwargs: Any) -> Connection:
    return Connection(Transport(url, **kwargs), Credentials("admin", "admin"))


def test_D3_an_interrupt_ends_the_wait_for_a_first_byte(standin: StandIn) -> None:
    conn = made(standin.url)
    conn.logged_in()
    standin.faults.add(Fault(path="/data/projects", hang=True))
    error = ended(conn, lambda: conn.request("GET", "/data/projects", query=JSON))
    assert isinstance(error, XNATIOError)
    assert "stopped" in str(error)
    standin.faults.clear()
    conn.close()


def test_D3_an_interrupt_ends_a_wait_that_the_server_asked_for(standin: StandIn) -> None:
    conn = made(standin.url)
    conn.logged_in()
    standin.faults.add(Fault(path="/data/projects", status=503, headers={"Retry-After": "60"}))
    error = ended(conn, lambda: conn.request("GET", "/data/projects", query=JSON))
    assert isinstance(error, XNATIOError)
    conn.close()


@pytest.mark.parametrize("no_length", [False, True])
def test_D3_an_interrupt_ends_a_body_and_never_as_if_it_were_whole(
    standin: StandIn, no_length: bool
) -> None:
    conn = made(standin.url)
    conn.logged_in()
    standin.faults.add(
        Fault(path="/data/projects", stall=30.0, stall_after=20, no_length=no_length)
    )

    def read() -> None:
        with conn.stream("/data/projects", query=JSON) as stream:
            list(stream.chunks())

    assert isinstance(ended(conn, read), XNATIOError)
    standin.faults.clear()
    conn.close()


def test_D3_an_interrupt_ends_a_wait_over_tls(tls: str, standin: StandIn, tmp_path: Path) -> None:
    conn = made(tls, verify=str(tmp_path / "certificate.pem"))
    conn.logged_in()
    standin.faults.add(Fault(path="/data/projects", hang=True))
    error = ended(conn, lambda: conn.request("GET", "/data/projects", query=JSON))
    assert isinstance(error, XNATIOError)
    standin.faults.clear()
    conn.close()


def test_D3_what_must_not_be_repeated_is_unclear_after_an_interrupt(standin: StandIn) -> None:
    conn = made(standin.url)
    conn.logged_in()
    standin.faults.add(Fault(method="POST", hang=True))
    error = ended(conn, lambda: conn.request("POST", "/data/services/import"))
    assert isinstance(error, XNATUnclearError)
    standin.faults.clear()
    conn.close()


def test_D3_nothing_more_is_sent_until_it_is_resumed_and_the_logout_is(
    standin: StandIn, tried: Connect
) -> None:
    conn = tried().connection
    conn.logged_in()
    conn.interrupt()
    before = len(standin.requests)
    with pytest.raises(XNATIOError, match="stopped"):
        conn.request("GET", "/data/projects", query=JSON)
    assert len(standin.requests) == before
    conn.resume()
    assert conn.request("GET", "/data/projects", query=JSON).json()
    conn.interrupt()
    conn.close()
    assert standin.requests[-1].method == "DELETE"
