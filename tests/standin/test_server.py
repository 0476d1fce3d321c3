"""The server as a process citizen: old clients, other addresses, forks, starting and stopping."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from xnat_luigi.standin import Fault, StandIn

from .site import Site, real_server

pytestmark = pytest.mark.skipif(bool(real_server()), reason="about the stand-in itself")


def ask(server: StandIn, request: bytes, timeout: float = 5.0) -> bytes:
    """Sends bytes and reads until the server closes."""
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout) as conn:
        conn.sendall(request)
        found = b""
        while chunk := conn.recv(65536):
            found += chunk
        return found


@pytest.fixture
def open_server(standin: StandIn) -> StandIn:
    """No login, one file."""
    standin.preferences["requireLogin"] = False
    standin.add_project("P1", accessibility="public", resources={"R": {"a.txt": b"hello" * 1000}})
    return standin


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/data/projects?format=json", b"}}"),
        ("/data/projects/P1/resources/R/files?format=zip", None),
        ("/data/projects/P1/resources/R/files/a.txt", b"hello"),
        ("/data/JSESSION", None),
    ],
)
def test_http_1_0_gets_no_chunks(open_server: StandIn, path: str, end: bytes | None) -> None:
    """What an nginx in front speaks unless it is told otherwise."""
    answer = ask(open_server, f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0]
    assert b"chunked" not in head
    assert body
    if end is not None:
        assert body.endswith(end)
    if "zip" in path:
        assert body.startswith(b"PK\x03\x04")
        assert b"PK\x05\x06" in body[-40:]


def test_expect_100_continue(own_site: Site, standin: StandIn) -> None:
    standin.add_project("P1")
    session = own_site.get("/JSESSION").text
    head = (
        "PUT /data/projects/P1/resources/R/files/a?inbody=true HTTP/1.1\r\nHost: x\r\n"
        f"Cookie: JSESSIONID={session}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
        "Connection: close\r\n\r\n"
    )
    parts = urlsplit(standin.url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), 5) as conn:
        conn.sendall(head.encode())
        assert conn.recv(100).startswith(b"HTTP/1.1 100 Continue")
        conn.sendall(b"hello")
        assert b" 200 " in conn.recv(1000)
    assert len(own_site.rows("/projects/P1/resources/R/files")) == 1


@pytest.mark.parametrize(
    "request_",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
     b"GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"],
)  # fmt: skip
def test_nonsense_is_answered_and_forgotten(open_server: StandIn, request_: bytes) -> None:
    assert b"HTTP/1." in ask(open_server, request_)
    assert requests.get(f"{open_server.url}/data/projects", timeout=5).ok


def test_a_body_that_breaks_off_does_no_harm(own_site: Site, standin: StandIn) -> None:
    standin.add_project("P1")
    session = own_site.get("/JSESSION").text
    head = (
        "PUT /data/projects/P1/resources/R/files/a?inbody=true HTTP/1.1\r\nHost: x\r\n"
        f"Cookie: JSESSIONID={session}\r\nContent-Length: 500000\r\n\r\n"
    )
    parts = urlsplit(standin.url)
    assert parts.hostname is not None
    conn = socket.create_connection((parts.hostname, parts.port or 80), 5)
    conn.sendall(head.encode() + b"x" * 1000)
    conn.close()
    deadline = time.monotonic() + 5  # an empty folder alone could mean that it has not begun
    while not any(one.method == "PUT" for one in standin.requests) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list((standin.root / "tmp").iterdir()) == []
    assert own_site.rows("/projects/P1/resources") == []


def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        server = StandIn(host="::1").start()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    try:
        assert server.url.startswith("http://[::1]:")
        answer = requests.get(f"{server.url}/data/auth", auth=("admin", "admin"), timeout=5)
        assert answer.text == "User 'admin' is logged in"
    finally:
        server.stop()


def test_a_taken_port_is_an_error_at_once(standin: StandIn) -> None:
    other = StandIn(port=standin.port)
    with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
        other.start()
    other.stop()


def test_a_second_server_in_the_same_folder_is_an_error(standin: StandIn) -> None:
    with pytest.raises(OSError, match="another stand-in server works in this folder"):
        StandIn(standin.root)
    root = standin.root / "inner"
    for _ in range(2):  # one after the other is what a restart is
        with StandIn(root):
            pass


def test_stopping_twice_and_without_start() -> None:
    server = StandIn()
    root = server.root
    server.stop()
    assert not root.exists()
    with StandIn() as server:
        pass
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/data/JSESSION", timeout=2)


def test_stopping_with_clients_at_work() -> None:
    server = StandIn().start()
    server.add_project("P1", resources={"R": {"big": os.urandom(8 << 20)}})
    url = f"{server.url}/data/projects/P1/resources/R/files/big"
    client = requests.get(url, auth=("admin", "admin"), stream=True, timeout=5)
    next(client.iter_content(1000))
    server.faults.add(Fault(hang=True, path="/data/auth"))
    waiting = threading.Thread(target=lambda: _quietly(f"{server.url}/data/auth"), daemon=True)
    waiting.start()
    time.sleep(0.1)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 5
    client.close()


def test_stopping_leaves_no_task_behind(tmp_path: Path) -> None:
    """Requests that hang or stall are ended with the server, without a word from asyncio."""
    script = tmp_path / "stop.py"
    script.write_text(
        "import socket, time\n"
        "from urllib.parse import urlsplit\n"
        "from xnat_luigi.standin import Fault, StandIn\n"
        "conns = []\n"
        "with StandIn() as server:\n"
        "    server.faults.add(Fault(path='hang', hang=True))\n"
        "    server.faults.add(Fault(path='slow', delay=60))\n"
        "    server.faults.add(Fault(path='stall', status=200, body='x' * 99, stall=60))\n"
        "    port = urlsplit(server.url).port\n"
        "    for path in ('hang', 'slow', 'stall'):\n"
        "        conn = socket.create_connection(('127.0.0.1', port))\n"
        "        conn.sendall(f'GET /data/{path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'.encode())\n"
        "        conns.append(conn)\n"
        "    time.sleep(0.3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", str(script)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Task was destroyed" not in done.stderr
    assert "never retrieved" not in done.stderr


def _quietly(url: str) -> None:
    with contextlib.suppress(requests.RequestException):
        requests.get(url, auth=("admin", "admin"), timeout=10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("rule", [{"cut": 1000, "no_length": True}, {"close": True},
                                  {"reset": True}, {"drop": True}])  # fmt: skip
def test_a_forked_child_does_not_hold_connections(
    open_server: StandIn, rule: dict[str, object]
) -> None:
    """Luigi forks its workers: were a child to inherit the server's end of a connection, the
    client would wait for its end as long as the child lives."""
    parts = urlsplit(open_server.url)
    assert parts.hostname is not None
    path = "/data/projects/P1/resources/R/files/a.txt"
    with socket.create_connection((parts.hostname, parts.port or 80), 10) as conn:
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert conn.recv(10)
        time.sleep(0.1)
        child = os.fork()
        if child == 0:
            conn.close()
            time.sleep(20)
            os._exit(0)
        try:
            while len(conn.recv(65536)) == 65536:
                pass
            open_server.faults.add(Fault(**rule))  # type: ignore[arg-type]
            conn.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            begin = time.monotonic()
            conn.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                while conn.recv(65536):
                    pass
            assert time.monotonic() - begin < 4
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
    open_server.faults.clear()
    assert requests.get(open_server.url + "/data/projects", timeout=5).ok
