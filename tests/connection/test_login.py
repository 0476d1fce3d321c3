"""The login: once, by cookie afterwards, anew when it is lost (wire contract A 1)."""

from __future__ import annotations

import threading
import time

import pytest

from xnat_luigi.exceptions import (
    XNATExpiredCredentialsError,
    XNATForbiddenError,
    XNATLoginFailedError,
    XNATNotConnectedError,
    XNATNotFoundError,
    XNATPageError,
    XNATResponseError,
)
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

from .tried import Connect

LOGIN = "/data/services/auth"


def paths(standin: StandIn) -> list[str]:
    return [f"{one.method} {one.path}" for one in standin.requests]


def test_S015_login_once_and_cookie_afterwards(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    for _ in range(3):
        conn.request("GET", "/data/projects", query={"format": "json"})
    assert paths(standin).count(f"PUT {LOGIN}") == 1
    assert {one.user for one in standin.requests} == {"admin"}
    assert conn.user == "admin"
    assert len(conn.session_id) == 32


def test_nothing_is_sent_before_the_first_request(standin: StandIn, tried: Connect) -> None:
    tried()
    assert standin.requests == []


def test_S012_A1_1_the_name_may_differ_from_the_one_asked_with(
    standin: StandIn, tried: Connect
) -> None:
    conn = tried("localdb/admin", "admin").connection
    conn.request("GET", "/data/projects", query={"format": "json"})
    assert conn.user == "admin"
    assert conn.logged_in()


def test_S010_the_provider_is_sent_with_the_login(standin: StandIn, tried: Connect) -> None:
    conn = tried(provider="nonesuch").connection
    with pytest.raises(XNATLoginFailedError, match="nonesuch"):
        conn.logged_in()
    assert tried(provider="localdb").connection.logged_in()


def test_S002_A1_2_a_guest_keeps_one_session(standin: StandIn, tried: Connect) -> None:
    standin.preferences["requireLogin"] = False
    conn = tried(None).connection
    conn.request("GET", "/data/projects", query={"format": "json"})
    conn.request("GET", "/data/projects", query={"format": "json"})
    assert conn.user == "guest"
    assert conn.logged_in()
    assert paths(standin).count("GET /data/JSESSION") == 1


def test_A1_3_a_guest_where_a_login_is_needed_is_told_so(standin: StandIn, tried: Connect) -> None:
    conn = tried(None).connection
    with pytest.raises(XNATLoginFailedError, match="netrc"):
        conn.request("GET", "/data/projects", query={"format": "json"})


def test_S014_an_expired_password_has_an_error_of_its_own(standin: StandIn, tried: Connect) -> None:
    standin.state.users.set("reader", expired=True)
    with pytest.raises(XNATExpiredCredentialsError, match="renew"):
        tried("reader").connection.logged_in()


def test_a_disabled_account_is_named(standin: StandIn, tried: Connect) -> None:
    conn = tried("reader").connection
    assert conn.logged_in()
    standin.state.users.set("reader", enabled=False)
    with pytest.raises(XNATLoginFailedError, match=r"reader.*disabled"):
        conn.request("GET", "/data/projects", query={"format": "json"})


def test_close_ends_the_session_on_the_server(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    session = conn.session_id
    conn.close()
    conn.close()
    assert paths(standin).count("DELETE /data/JSESSION") == 1
    assert standin.state.users.use_session(session) is None
    with pytest.raises(XNATNotConnectedError, match="closed"):
        conn.request("GET", "/data/projects")


def test_S052_close_may_leave_the_session_alive(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    session = conn.session_id
    conn.close(end_session=False)
    assert standin.state.users.use_session(session) == "admin"


def test_closing_what_was_never_used_sends_nothing(standin: StandIn, tried: Connect) -> None:
    tried().connection.close()
    assert standin.requests == []


def test_S048_a_session_may_be_borrowed(standin: StandIn, tried: Connect) -> None:
    owner = tried().connection
    guest = tried(None, session=owner.session_id).connection
    guest.request("GET", "/data/projects", query={"format": "json"})
    assert paths(standin).count(f"PUT {LOGIN}") == 1
    assert guest.logged_in()
    assert guest.user == "admin"
    assert guest.session_id == owner.session_id


def test_S050_S055_a_borrowed_session_that_ended_is_an_error(
    standin: StandIn, tried: Connect
) -> None:
    owner = tried().connection
    other = tried(None, session=owner.session_id).connection
    assert other.logged_in()
    owner.close()
    assert not other.logged_in()
    with pytest.raises(XNATLoginFailedError, match="no longer alive"):
        other.request("GET", "/data/projects", query={"format": "json"})


def test_single_flight_many_threads_make_one_login(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    problems: list[BaseException] = []

    def ask() -> None:
        try:
            conn.request("GET", "/data/projects", query={"format": "json"})
        except BaseException as error:
            problems.append(error)

    for _ in range(2):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        standin.state.users.close_session(conn.session_id)
    assert not problems
    assert paths(standin).count(f"PUT {LOGIN}") == 2


def test_keep_alive_says_whether_the_session_lives(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    assert conn.keep_alive()
    first = conn.session_id
    standin.state.users.close_session(first)
    assert not conn.keep_alive()
    assert conn.session_id != first


def test_S041_A1_2_the_expiration_cookie_is_read(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    assert conn.expiration is None
    conn.request("GET", "/data/projects", query={"format": "json"})
    assert conn.expiration is not None
    now, limit = conn.expiration
    assert limit == 900.0
    assert abs(now - standin.clock.time()) < 60


def test_statuses_have_their_classes(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    for status, kind in {
        400: XNATResponseError,
        403: XNATForbiddenError,
        404: XNATNotFoundError,
    }.items():
        standin.faults.clear()
        standin.faults.add(Fault(path="/data/projects", status=status, html=True))
        with pytest.raises(kind) as caught:
            conn.request("GET", "/data/projects", query={"format": "json", "note": "secret"})
        assert caught.value.status == status
        assert caught.value.path == "/data/projects"
        assert "secret" not in str(caught.value)
        assert len(caught.value.detail) <= 200


def test_accepted_statuses_are_returned_pages_and_all(standin: StandIn, tried: Connect) -> None:
    answer = tried().connection.request("GET", "/data/projects/NONE", accepted=(200, 404))
    assert answer.status == 404


def test_F06_a_page_where_data_was_due_is_an_error(standin: StandIn, tried: Connect) -> None:
    conn = tried().connection
    standin.faults.add(Fault(path="/data/projects", replace="<html><body><h3>Hm</h3></body>"))
    with pytest.raises(XNATPageError, match="Hm"):
        conn.request("GET", "/data/projects", query={"format": "json"})
    assert conn.request("GET", "/data/projects", html=True).content.startswith(b"<html>")


def test_the_repr_names_server_and_user_only(standin: StandIn, tried: Connect) -> None:
    conn = tried("admin").connection
    session = conn.session_id
    assert repr(conn) == f"Connection('{standin.url}', user='admin')"
    assert session not in repr(conn)


def test_a_load_balancer_s_cookie_is_sent_back(standin: StandIn, tried: Connect) -> None:
    # Without it each request may reach another node, which knows nothing of our session.
    conn = tried().connection
    standin.faults.add(Fault(path=LOGIN, headers={"Set-Cookie": "AWSALB=node-1; Path=/"}, times=1))
    first = conn.request("GET", "/data/projects", query={"format": "json"}).response
    assert "AWSALB=node-1" in first.request.headers["Cookie"]
    assert f"JSESSIONID={conn.session_id}" in first.request.headers["Cookie"]
    standin.faults.clear()
    standin.faults.add(Fault(headers={"Set-Cookie": "AWSALB=node-2; Path=/"}, times=1))
    conn.request("GET", "/data/projects", query={"format": "json"})
    second = conn.request("GET", "/data/projects", query={"format": "json"}).response
    assert "AWSALB=node-2" in second.request.headers["Cookie"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Your password has expired. Please renew it.", XNATExpiredCredentialsError),
        ("Site has not yet been configured.", XNATLoginFailedError),
    ],
)
def test_A1_3_a_403_at_the_login_says_why(
    standin: StandIn, tried: Connect, words: str, kind: type[Exception]
) -> None:
    standin.faults.add(Fault(path=LOGIN, status=403, body=f"<html><h3>{words}</h3></html>"))
    with pytest.raises(kind, match=r"expired|configured"):
        tried().connection.logged_in()


def test_A1_3_a_login_that_is_sent_to_https_names_the_address(
    standin: StandIn, tried: Connect
) -> None:
    target = "https://xnat.example.org/app/template/Index.vm;jsessionid=ABC?x=secret"
    standin.faults.add(Fault(path=LOGIN, redirect=target))
    with pytest.raises(XNATResponseError, match=r"use that address.*xnat\.example\.org") as caught:
        tried().connection.logged_in()
    assert "ABC" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_page_in_place_of_a_login_is_no_refusal_for_ever(
    standin: StandIn, tried: Connect
) -> None:
    conn = tried().connection
    standin.faults.add(Fault(path=LOGIN, status=200, body="<html>Back soon</html>", times=1))
    with pytest.raises(XNATLoginFailedError, match="no session"):
        conn.logged_in()
    assert conn.logged_in()


def test_a_get_that_must_not_be_repeated_is_sent_once_whatever_comes(
    standin: StandIn, tried: Connect
) -> None:
    one = tried()
    one.connection.logged_in()
    rule = standin.faults.add(Fault(path="/data/services/tokens/issue", status=500, times=1))
    with pytest.raises(XNATResponseError):
        one.connection.request("GET", "/data/services/tokens/issue", repeatable=False)
    assert rule.fired == 1
    assert one.slept == []
    assert sum(x.path == "/data/services/tokens/issue" for x in standin.requests) == 1


def test_A1_3_a_guest_s_page_is_none_of_ours_though_another_thread_logged_in_meanwhile(
    standin: StandIn, tried: Connect
) -> None:
    """The page was sent to the cookie of the request; whose the newest cookie is says nothing."""
    conn = tried().connection
    conn.logged_in()
    page = "<html>for guests" + " " * 2000
    rule = standin.faults.add(
        Fault(
            path="/data/projects",
            replace=page,
            rewrite_status=200,
            stall=0.4,
            stall_after=20,
            times=1,
        )
    )
    standin.state.users.close_session(conn.session_id)  # so the page is a guest's
    bodies: list[bytes] = []

    def read() -> None:
        with conn.stream("/data/projects", query={"format": "json"}) as stream:
            bodies.append(b"".join(stream.chunks()))

    thread = threading.Thread(target=read)
    thread.start()
    while not rule.fired and thread.is_alive():
        time.sleep(0.01)
    assert not conn.logged_in()
    assert conn.session_id
    assert not bodies
    thread.join()
    assert b"guests" not in bodies[0]
