"""The verbs of a session: what is sent, accepted and raised (S-056 to S-075)."""

from __future__ import annotations

import io
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests

from xnat_luigi.exceptions import (
    XNATConnectionError,
    XNATPageError,
    XNATResponseError,
    XNATTimeoutError,
    XNATUnclearError,
    XNATValueError,
)
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from .conftest import Connect

PROJECTS = "/data/projects"


@pytest.fixture
def resource(standin: StandIn) -> str:
    """A resource of a project, by its address."""
    standin.add_project("P1")
    return f"{PROJECTS}/P1/resources/R"


def files(session: Any, resource: str) -> dict[str, str]:
    rows = session.get_json(f"{resource}/files")["ResultSet"]["Result"]
    return {row["Name"]: row["Size"] for row in rows}


class Echo(BaseHTTPRequestHandler):
    """Answers what it was asked, so that a test sees the wire."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = b"{}"
        if self.path == "/data/auth":
            answer = b"User 'ann' is logged in"
        else:
            Echo.seen.append((self.command, self.path, dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def echo() -> Any:
    """A session that shares a login with a server that echoes."""
    from xnat_luigi.connection.login import Connection
    from xnat_luigi.connection.transport import Transport
    from xnat_luigi.session import XNATSession

    Echo.seen = []
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        import logging

        connection = Connection(Transport(url), session="A" * 32)
        session = XNATSession(url, logging.getLogger("echo"), connection)
        yield session
        connection.close(end_session=False)
        server.shutdown()


def sent() -> tuple[str, str, dict[str, str], bytes]:
    return Echo.seen[-1]


def test_S056_S057_the_verbs_return_responses(session: Any, resource: str) -> None:
    made = session.put(f"{PROJECTS}/P1/subjects/S1")
    assert isinstance(made, requests.Response)
    assert made.status_code == 201
    assert session.get(f"{PROJECTS}/P1/subjects/S1", format="json").json()["items"]
    assert session.head(f"{PROJECTS}", accepted_status=[200]).content == b""
    assert session.post(
        "/data/services/refresh/catalog", query={"resource": "/archive/projects/P1"}
    )
    assert session.delete(f"{PROJECTS}/P1/subjects/S1").status_code == 200
    assert session.get(PROJECTS, format="json").url.startswith(session.server)


def test_S059_a_full_uri_of_the_server(session: Any) -> None:
    assert session.get(f"{session.server}{PROJECTS}?format=json").json()["ResultSet"]
    with pytest.raises(XNATValueError, match="no address at"):
        session.get("https://other.example.org/data/projects")


def test_S060_other_statuses_are_errors_with_the_server_s_words(session: Any) -> None:
    with pytest.raises(XNATResponseError, match="Unable to find") as caught:
        session.get(f"{PROJECTS}/NONE", format="json")
    assert caught.value.status == 404
    assert f"{session.server}{PROJECTS}/NONE" in str(caught.value)


def test_S061_which_statuses_are_accepted(standin: StandIn, session: Any) -> None:
    assert session.accepted_status_get == [200]
    assert session.accepted_status_delete == [200]
    assert session.accepted_status_put == [200, 201]
    assert session.accepted_status_post == [200, 201]
    assert session.get(f"{PROJECTS}/NONE", accepted_status=[404]).status_code == 404
    assert session.put(f"{PROJECTS}/P1").status_code == 200
    with pytest.raises(XNATResponseError):
        session.put(f"{PROJECTS}/P1", accepted_status=[201])
    standin.faults.add(Fault(path=PROJECTS, rewrite_status=201))
    for refused in (session.get, session.head, session.delete):
        with pytest.raises(XNATResponseError, match="201"):
            refused(f"{PROJECTS}/P1")


def test_S062_F07_the_checks_can_be_changed_and_skipped(standin: StandIn, session: Any) -> None:
    session.accepted_status_get = [200, 404]
    assert session.get(f"{PROJECTS}/NONE").status_code == 404
    session.accepted_status_get = [200]
    session.skip_response_check = True
    assert session.get(f"{PROJECTS}/NONE").status_code == 404
    session.skip_response_check = False
    standin.faults.add(Fault(path=PROJECTS, replace="<html>page</html>"))
    with pytest.raises(XNATPageError):
        session.get(PROJECTS)
    session.skip_response_content_check = True
    assert session.get(PROJECTS).text == "<html>page</html>"


def test_S063_S064_format_and_query(echo: Any) -> None:
    echo.get("/data/x?a=1", format="json", query={"b": [2, 3], "c": "ä &", "d": None, "e": True})
    assert sent()[1] == "/data/x?a=1&b=2&b=3&c=%C3%A4+%26&e=true&format=json"


def test_S064_names_in_a_path_are_encoded_once(echo: Any) -> None:
    echo.get("/data/x/a b%20c%/#")
    assert sent()[1] == "/data/x/a%20b%20c%25/%23"


def test_S065_headers_are_sent(echo: Any) -> None:
    for verb in (echo.get, echo.head, echo.put, echo.post, echo.delete):
        verb("/data/x", headers={"X-Test": "yes"})
        assert sent()[2]["X-Test"] == "yes"
        assert sent()[2]["Cookie"] == "JSESSIONID=" + "A" * 32


@pytest.mark.parametrize("verb", ["put", "post"])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        ({"a": 1, "b": ["x", "y"]}, b"a=1&b=x&b=y"),
        (b"bytes", b"bytes"),
        ("täxt", "täxt".encode()),
        (io.BytesIO(b"file"), b"file"),
    ],
    ids=["form", "bytes", "text", "file"],
)
def test_S066_data_may_be_a_form_bytes_or_a_file(
    echo: Any, verb: str, data: Any, body: bytes
) -> None:
    if hasattr(data, "seek"):
        data.seek(0)
    getattr(echo, verb)("/data/x", data=data)
    assert sent()[0] == verb.upper()
    assert sent()[3] == body
    assert "Transfer-Encoding" not in sent()[2]


@pytest.mark.parametrize("verb", ["put", "post"])
def test_S067_json_is_sent_as_json(echo: Any, verb: str) -> None:
    getattr(echo, verb)("/data/x", json={"a": [1, None]})
    assert sent()[3] == b'{"a": [1, null]}'
    assert sent()[2]["Content-Type"] == "application/json"


def test_S068_files_make_a_multipart_upload(echo: Any) -> None:
    echo.put(
        "/data/x",
        files={
            "one": io.BytesIO(b"111"),
            "two": ("b.txt", io.BytesIO(b"222")),
            "three": ("c.bin", io.BytesIO(b"333"), "image/x"),
            "four": ("d.bin", io.BytesIO(b"444"), "image/y", {"X-Part": "4"}),
        },
        data={"note": "n"},
    )
    _, _, headers, body = sent()
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    for part in (b"111", b"222", b"333", b"444", b'filename="b.txt"', b"image/x", b"X-Part: 4"):
        assert part in body
    assert b'name="note"' in body


def test_S068_a_multipart_upload_reaches_the_server(session: Any, resource: str) -> None:
    session.put(f"{resource}/files/a.txt", files={"file": ("a.txt", io.BytesIO(b"12345"))})
    assert files(session, resource) == {"a.txt": "5"}


def test_S069_head_follows_redirects_when_told_to(standin: StandIn, session: Any) -> None:
    standin.faults.add(Fault(path="/data/old", redirect=f"{PROJECTS}?format=json"))
    with pytest.raises(XNATResponseError, match="302"):
        session.head("/data/old")
    assert session.head("/data/old", allow_redirects=True).status_code == 200
    assert standin.requests[-1].query == "format=json"


@pytest.mark.parametrize("target", ["http://127.0.0.9:1/x", "", "//other.invalid/x"])
def test_S069_N13_a_redirect_to_elsewhere_is_never_followed(
    standin: StandIn, session: Any, target: str
) -> None:
    standin.faults.add(Fault(path="/data/old", redirect=target))
    with pytest.raises(XNATResponseError, match="not followed"):
        session.head("/data/old", allow_redirects=True)
    with pytest.raises(XNATResponseError, match="not followed"):
        session.get("/data/old")


def test_a_redirect_in_circles_ends(standin: StandIn, session: Any) -> None:
    rule = standin.faults.add(Fault(path="/data/old", redirect="/data/old"))
    with pytest.raises(XNATResponseError, match="more than 5"):
        session.get("/data/old")
    assert rule.fired == 6


def test_S070_timeout_is_in_seconds_for_one_request(
    standin: StandIn, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "1")
    session = connect()
    standin.faults.add(Fault(path=PROJECTS, hang=True, times=3))
    for timeout in (0.2, (5, 0.2)):
        begin = time.monotonic()
        with pytest.raises(XNATTimeoutError):
            session.get(PROJECTS, format="json", timeout=timeout)
        assert time.monotonic() - begin < 3
    with pytest.raises(XNATUnclearError):
        session.put(f"{PROJECTS}/P1", timeout=0.2)
    assert session.get(PROJECTS, format="json").status_code == 200


def test_S071_the_default_timeout_is_300_and_can_be_changed(
    standin: StandIn, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "1")
    session = connect()
    assert session.request_timeout == 300
    assert session.connection.policy.listing == 300
    assert connect(default_timeout=(3, 7)).connection.policy.listing == 7
    standin.faults.add(Fault(path=PROJECTS, hang=True, times=1))
    session.request_timeout = 0.2
    with pytest.raises(XNATConnectionError):
        session.get(PROJECTS, format="json")


def test_S072_the_timeout_counts_silence_and_not_the_whole(
    standin: StandIn, connect: Connect
) -> None:
    for number in range(30):
        standin.add_project(f"P{number:02}")
    session = connect()
    standin.faults.add(Fault(path=PROJECTS, drip=4000))
    begin = time.monotonic()
    rows = session.get(PROJECTS, format="json", timeout=0.6).json()["ResultSet"]["Result"]
    assert len(rows) == 30
    assert time.monotonic() - begin > 0.7  # longer than the timeout, and no error


def test_S073_get_json(session: Any, resource: str) -> None:
    found = session.get_json(PROJECTS, query={"columns": "ID"})
    assert found["ResultSet"]["Result"][0]["ID"] == "P1"
    with pytest.raises(XNATResponseError):
        session.get_json(f"{PROJECTS}/NONE")


def test_S074_get_json_of_a_resource_has_the_form_of_an_item(session: Any, resource: str) -> None:
    session.put(resource, query={"format": "NIFTI"})
    for address in (resource, f"{session.server}{resource}"):
        (item,) = session.get_json(address)["items"]
        assert item["meta"]["xsi:type"] == "xnat:resourceCatalog"
        assert item["data_fields"]["label"] == "R"
        assert item["data_fields"]["format"] == "NIFTI"
    by_number = item["data_fields"]["xnat_abstractresource_id"]
    found = session.get_json(f"{PROJECTS}/P1/resources/{by_number}")
    assert found["items"][0]["data_fields"]["label"] == "R"
    with pytest.raises(XNATResponseError, match="NONE") as caught:
        session.get_json(f"{PROJECTS}/P1/resources/NONE")
    assert caught.value.status == 404


def test_S075_the_interface_is_logged_in_and_unchecked(standin: StandIn, session: Any) -> None:
    assert isinstance(session.interface, requests.Session)
    assert session.interface is session.interface
    found = session.interface.get(f"{session.server}{PROJECTS}/NONE")
    assert found.status_code == 404
    standin.clock.advance(3600)
    session.get(PROJECTS, format="json")  # a new login
    assert session.interface.get(f"{session.server}{PROJECTS}?format=json").status_code == 200


def test_S075_A4_the_interface_sends_the_login_to_our_server_only(
    standin: StandIn, session: Any
) -> None:
    with StandIn(users={"x": "x"}) as other:
        response = session.interface.get(other.url + "/data/projects")
        assert "Cookie" not in response.request.headers
        standin.faults.add(Fault(path="/data/away", redirect=f"{other.url}/data/projects"))
        response = session.interface.get(f"{session.server}/data/away")
        assert response.url.startswith(other.url)
        assert "Cookie" not in response.request.headers
        response.close()
        session.interface.close()
