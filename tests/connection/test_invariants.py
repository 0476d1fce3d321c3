"""Whatever a server does: what is not to be repeated is done once, and no answer is a wrong one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnat_luigi.config import Policy
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.exceptions import XNATError, XNATUnclearError
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault

KINDS: list[dict[str, Any]] = [
    {"status": 401},
    {"status": 404},
    {"status": 500},
    {"status": 502},
    {"status": 503, "headers": {"Retry-After": "1"}},
    {"status": 429, "headers": {"Retry-After": "999"}},
    {"status": 200, "html": True},
    {"redirect": "/app/template/Login.vm"},
    {"close": True},
    {"reset": True},
    {"drop": True},
    {"cut": 3},
    {"cut": 3, "cut_reset": True},
    {"rewrite_status": 504},
    {"replace": "<html>busy</html>"},
]
FAULTS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.sampled_from(["", "subjects", "/data/auth", "/services/auth"]),
        st.integers(1, 3),
        st.integers(0, 2),
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn(users={"admin": "admin"}) as server:
        server.preferences["maxFailedLogins"] = 10**9
        server.add_project("P1")
        yield server


def lists(conn: Connection) -> set[str]:
    answer = conn.request("GET", "/data/projects/P1/subjects", query={"format": "json"})
    return {row["label"] for row in answer.json()["ResultSet"]["Result"]}


@settings(max_examples=60, deadline=None)
@given(FAULTS, st.booleans())
def test_N6_A1_a_post_is_done_at_most_once_and_no_answer_is_wrong(
    server: StandIn, faults: list[tuple[dict[str, Any], str, int, int]], expire: bool
) -> None:
    server.faults.clear()
    server.log.clear()
    transport = Transport(server.url, policy=Policy(listing=5.0, gap=5.0))
    conn = Connection(transport, Credentials("admin", "admin"), sleep=lambda _: None)
    before = lists(conn)
    if expire:
        server.state.users.close_session(conn.session_id)
    for what, path, times, skip in faults:
        server.faults.add(Fault(path=path, times=times, skip=skip, **what))
    label = f"S{len(before)}"
    outcome: str | XNATError
    try:
        answer = conn.request("POST", "/data/projects/P1/subjects", query={"label": label})
        outcome = answer.text
    except XNATError as error:
        outcome = error
    with contextlib.suppress(XNATError):
        assert before <= lists(conn) <= before | {label}
    server.faults.clear()
    done = [
        one
        for one in server.requests
        if one.method == "POST" and one.path.endswith("/subjects") and one.user == "admin"
    ]
    with contextlib.suppress(XNATError):
        conn.close()
    after = lists(fresh := Connection(Transport(server.url), Credentials("admin", "admin")))
    fresh.close()
    made = label in after
    assert after - {label} == before
    assert len(done) <= 1, "a POST reached the server twice"
    if isinstance(outcome, str):
        assert made
    elif made:
        # It was done and we were not told so: then the error says that it may have been.
        assert isinstance(outcome, XNATUnclearError) or "login" in str(outcome), outcome
