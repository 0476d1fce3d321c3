"""What the server has, as it is asked."""

from __future__ import annotations

import pytest

from xnat_luigi.connection.login import Connection
from xnat_luigi.exceptions import XNATNotFoundError
from xnat_luigi.standin import StandIn
from xnat_luigi.sync import inventory
from xnat_luigi.transfer.select import Selection

from .conftest import fill


def taken(conn: Connection, **select: object) -> list[str]:
    found = inventory.take(conn, "P1", Selection.from_mapping(select))
    return [one.label for one in found.sessions]


@pytest.fixture
def mixed(standin: StandIn) -> StandIn:
    kinds = ("mr", "ct", "mr", "pet")
    for number, kind in enumerate(kinds):
        standin.add_session(
            "P1",
            f"S{number % 2}",
            f"E{number}",
            xsi_type=f"xnat:{kind}SessionData",
            date=f"2024-0{number + 1}-15",
            custom={"cohort": "AB"[number % 2], "site": str(number)},
        )
    return standin


def test_sessions_come_in_order_with_the_stamps_of_their_subjects(
    mixed: StandIn, conn: Connection
) -> None:
    found = inventory.take(conn, "P1")
    assert [one.label for one in found.sessions] == ["E0", "E1", "E2", "E3"]
    assert all(found.stamp(one) for one in found.sessions)
    assert len(found.ids) == 4
    closer = found.look_closer(found.sessions)
    assert closer.keys() == found.ids


def test_what_can_be_selected_by(mixed: StandIn, conn: Connection) -> None:
    assert taken(conn, custom=["cohort=A"]) == ["E0", "E2"]
    assert taken(conn, custom=["COHORT=?", "site=[12]"]) == ["E1", "E2"]
    assert taken(conn, types=["xnat:mr*"]) == ["E0", "E2"]
    assert taken(conn, since="2024-02-15", until="2024-03-15") == ["E1", "E2"]
    assert taken(conn, subjects="S1", custom=["cohort=A"]) == []


def test_A0_2_values_that_are_listed_escaped_are_found_as_they_are(
    standin: StandIn, conn: Connection
) -> None:
    for label, value in (("E0", "A&B"), ("E1", "<1>"), ("E2", "A")):
        standin.add_session("P1", "S0", label, custom={"cohort": value})
    assert taken(conn, custom=["cohort=A&B"]) == ["E0"]
    assert taken(conn, custom=["cohort=<1>"]) == ["E1"]


def test_A3_5_shared_sessions_in_or_out(mixed: StandIn, conn: Connection) -> None:
    other = mixed.add_session("P2", "T0", "X0")
    address = f"/data/projects/P2/subjects/T0/experiments/{other}/projects/P1"
    conn.request("PUT", address, accepted=(200, 201))
    assert "X0" in taken(conn)
    assert taken(conn, shared=False) == ["E0", "E1", "E2", "E3"]
    found = inventory.take(conn, "P1", Selection(shared=False))
    assert other in found.ids  # left out, not deleted


def test_A3_7_abstract_types_are_never_asked_for_stamps(standin: StandIn, conn: Connection) -> None:
    fill(standin, 1)
    found = inventory.take(conn, "P1")
    (one,) = found.sessions
    standin.log.clear()
    strange = type(one)(one.id, one.label, "xnat:imageSessionData", subject_id=one.subject_id)
    assert found.look_closer([strange]) == {}
    assert standin.requests == []


def test_a_project_that_is_not_there_is_an_error(standin: StandIn, conn: Connection) -> None:
    with pytest.raises(XNATNotFoundError):
        inventory.take(conn, "NONE")
