"""One request over HTTP: what is sent, what is not, and how answers end."""

from __future__ import annotations

import gc
import io
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.config import Policy
from xnat_luigi.connection.address import check_server, origin_of
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import (
    XNATConfigError,
    XNATConnectionError,
    XNATIntegrityError,
    XNATIOError,
)
from xnat_luigi.standin import StandIn

Wire = Callable[[bytes], tuple[str, list[bytes]]]


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A server of one answer that keeps what it was sent: what goes over the wire, as it is."""
    listeners: list[socket.socket] = []

    def serve(answer: bytes) -> tuple[str, list[bytes]]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        kept: list[bytes] = []

        def run() -> None:
            while True:
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                with one:
                    one.settimeout(0.3)
                    data = b""
                    try:
                        while piece := one.recv(65536):
                            data += piece
                            if b"\r\n\r\n" in data and _whole(data):
                                break
                    except OSError:
                        pass
                    kept.append(data)
                    one.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}", kept

    yield serve
    for listener in listeners:
        listener.close()


def _whole(data: bytes) -> bool:
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
        if line.startswith(b"transfer-encoding:"):
            return body.endswith(b"0\r\n\r\n")
    return True


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def send(url: str, method: str = "PUT", **kwargs: object) -> bytes:
    transport = Transport(url, policy=Policy(gap=2.0))
    reply = transport.send(method, "/data/x", wait=2.0, **kwargs)  # type: ignore[arg-type]
    try:
        return reply.read()
    finally:
        reply.close()
        transport.close()


@pytest.mark.parametrize("good", ["http://a", "https://a.b:8080/xnat/", "http://[::1]:80"])
def test_S001_addresses_with_a_scheme(good: str) -> None:
    assert check_server(good) == good.rstrip("/")


NONE = ["a.b", "ftp://a", "http://", "", "http://a?x=1", "http://a#b", "http://a:99999"]
ODD = ["http://[::1", "http://a:b", "http://a b", "http://a\r\nX: y", "http://a\\b", "https://:443"]


@pytest.mark.parametrize("bad", [*NONE, *ODD])
def test_addresses_that_are_none(bad: str) -> None:
    with pytest.raises(XNATConfigError):
        check_server(bad)


@given(st.text(max_size=30), st.sampled_from(["", "http://", "https://a:", "http://a/", "//"]))
def test_any_address_is_taken_or_refused(text: str, start: str) -> None:
    try:
        address = check_server(start + text)
    except XNATConfigError:
        return
    scheme, host, port = origin_of(address)
    assert scheme in ("http", "https")
    assert host
    assert port is None or 0 < port < 65536
    assert not address.endswith("/")


def test_a_file_of_certificates_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(XNATConfigError, match="nowhere"):
        Transport("https://a", verify=str(tmp_path / "nowhere"))


def test_a_header_that_is_none_is_our_error(wire: Wire) -> None:
    url, kept = wire(OK)
    with pytest.raises(XNATConfigError, match="header"):
        send(url, "GET", headers={"X-Bad": "a\r\nX-More: b"})
    assert kept == []


def test_A4_a_login_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(XNATConfigError) as caught:
        check_server("https://ann:hush@xnat.example.org")
    assert "hush" not in str(caught.value)


def test_S016_S017_headers_are_ours_and_netrc_is_left_alone(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login ann password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    url, kept = wire(OK)
    assert send(url, "GET") == b"ok"
    head = kept[0].decode().lower()
    assert "authorization" not in head
    assert "user-agent: xnat-luigi/" in head
    assert "python-requests/" in head
    assert "accept-encoding: identity" in head
    for browser in ("msie", "mozilla", "applewebkit", "opera"):
        assert browser not in head


def test_a_body_of_known_length_is_sent_with_it(wire: Wire) -> None:
    url, kept = wire(OK)
    send(url, body=iter([b"abc", b"de"]), headers={"Content-Length": "5"})
    send(url, body=io.BytesIO(b"abcde"))
    for one in kept:
        assert b"Content-Length: 5\r\n" in one
        assert b"Transfer-Encoding" not in one
        assert one.endswith(b"\r\n\r\nabcde")


def test_A6_4_an_empty_file_has_length_0_and_no_chunks(wire: Wire) -> None:
    url, kept = wire(OK)
    send(url, body=io.BytesIO(b""))
    assert b"Content-Length: 0\r\n" in kept[0]
    assert b"Transfer-Encoding" not in kept[0]


def test_a_file_is_sent_from_where_it_stands(wire: Wire) -> None:
    url, kept = wire(OK)
    file = io.BytesIO(b"abcdefg")
    file.seek(3)
    send(url, body=file)
    assert kept[0].endswith(b"\r\n\r\ndefg")


def test_a_body_without_length_is_sent_in_chunks(wire: Wire) -> None:
    url, kept = wire(OK)
    send(url, body=iter([b"abc", b"de"]))
    assert b"Transfer-Encoding: chunked" in kept[0]


@pytest.mark.parametrize(("said", "word"), [("4", "more than"), ("9", "less than")])
def test_a_body_that_is_not_as_long_as_announced_is_our_error(
    wire: Wire, said: str, word: str
) -> None:
    url, _ = wire(OK)
    with pytest.raises(XNATIOError, match=word):
        send(url, body=iter([b"abc", b"de"]), headers={"Content-Length": said})


def test_a_body_that_cannot_be_read_is_no_fault_of_the_network(wire: Wire) -> None:
    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise OSError(5, "Input/output error")

    url, _ = wire(OK)
    with pytest.raises(XNATIOError, match="Input/output error"):
        send(url, body=broken(), headers={"Content-Length": "9"})


def test_N10_compressed_all_the_same_is_understood(wire: Wire) -> None:
    import gzip

    packed = gzip.compress(b"x" * 10_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(packed)}\r\nContent-Encoding: gzip\r\n\r\n"
    url, _ = wire(head.encode() + packed)
    transport = Transport(url)
    reply = transport.send("GET", "/data/x", wait=2.0)
    assert reply.length is None
    assert reply.read() == b"x" * 10_000
    transport.close()


def test_N3_short_of_its_length_is_an_error(wire: Wire) -> None:
    url, _ = wire(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
    with pytest.raises(XNATConnectionError, match="broke off"):
        send(url, "GET")


def test_N3_a_cut_chunk_is_an_error(wire: Wire) -> None:
    url, _ = wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    with pytest.raises(XNATConnectionError, match="broke off"):
        send(url, "GET")


def test_N3_chunks_without_their_end_are_an_error(wire: Wire) -> None:
    url, _ = wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    with pytest.raises(XNATConnectionError, match="broke off"):
        send(url, "GET")


def test_N15_an_answer_beyond_the_bound_is_an_error(wire: Wire) -> None:
    url, _ = wire(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    transport = Transport(url, policy=Policy(largest_answer=1000))
    reply = transport.send("GET", "/data/x", wait=2.0)
    with pytest.raises(XNATIntegrityError, match="more than 1000"):
        reply.read()
    transport.close()


def test_A4_errors_show_no_query(wire: Wire) -> None:
    url, _ = wire(b"rubbish\r\n\r\n")
    with pytest.raises(XNATConnectionError) as caught:
        send(url, "GET", query={"token": "hush"})
    assert "hush" not in str(caught.value)


def test_cookies_of_a_server_are_not_kept(wire: Wire) -> None:
    url, kept = wire(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: X=1; Path=/\r\n\r\n"))
    transport = Transport(url)
    for _ in range(2):
        transport.send("GET", "/data/x", wait=2.0).read()
    transport.close()
    assert b"cookie" not in kept[1].lower()


def test_S019_an_unchecked_certificate_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        transport = Transport("https://localhost:1", verify=False, policy=Policy(connect=0.2))
        for _ in range(3):
            with pytest.raises(XNATConnectionError):
                transport.send("GET", "/", wait=0.2)
    assert caplog.text.count("certificates of") == 1


def test_the_sockets_of_a_thread_are_closed_with_it(standin: StandIn) -> None:
    transport = Transport(standin.url)
    before = len(os.listdir("/proc/self/fd"))

    def ask() -> None:
        transport.send("GET", "/data/auth", wait=5.0).read()

    for _ in range(20):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    gc.collect()
    assert len(transport._sessions) <= 1
    deadline = time.monotonic() + 5
    while len(os.listdir("/proc/self/fd")) > before + 4 and time.monotonic() < deadline:
        time.sleep(0.01)  # the server's half
    assert len(os.listdir("/proc/self/fd")) <= before + 4
    transport.close()


def test_a_body_without_length_that_cannot_be_read_is_no_fault_of_the_network(wire: Wire) -> None:
    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise OSError(5, "Input/output error")

    url, _ = wire(OK)
    with pytest.raises(XNATIOError, match=r"what was to be sent.*Input/output"):
        send(url, body=broken())


def test_N2_a_reader_that_takes_its_time_is_not_a_server_that_drips(wire: Wire) -> None:
    size = 1 << 20
    url, _ = wire(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    now = [0.0]
    transport = Transport(url, clock=lambda: now[0])
    reply = transport.send("GET", "/data/x", wait=2.0)
    count = 0
    for piece in reply.chunks(1000):
        count += len(piece)
        now[0] += 600.0
    assert count == size
    transport.close()


def test_a_header_without_a_value_is_left_out_and_time_is_told(wire: Wire) -> None:
    url, kept = wire(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    ticks = iter(range(0, 1000, 3))
    transport = Transport(url, clock=lambda: float(next(ticks)))
    headers: Any = {"X-One": "1", "X-None": None}
    reply = transport.send("GET", "/data", headers=headers, wait=5)
    response = reply.as_response(reply.read())
    transport.close()
    assert b"X-One: 1" in kept[0]
    assert b"X-None" not in kept[0]
    assert response.elapsed.total_seconds() == 3
