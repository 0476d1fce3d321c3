"""Fault row D3 of a sync in this process: whatever its threads wait for, they end at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.staging.lock import slot, staged_lock
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.sync import inventory, plan
from xnat_luigi.sync.apply import Rules, apply
from xnat_luigi.sync.state import State

from ..sync.conftest import fill, tree
from .test_sync import wait_for


def stopped(conn: Connection, root: Path, rules: Rules, waiting: Callable[[], bool]) -> float:
    """Seconds that a sync of two sessions goes on after Ctrl-C, sent when one of them waits."""
    sent: list[float] = []

    def stop() -> None:
        wait_for(waiting)
        time.sleep(0.1)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    todo = plan.make(inventory.take(conn, "P1"), root)
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        apply(conn, todo, workers=2, rules=rules)
    took = time.monotonic() - sent[0]
    thread.join()
    return took


@pytest.mark.parametrize("what", ["lock", "place", "answer", "pause"])
def test_D3_ctrl_c_ends_a_sync_whatever_it_waits_for(
    standin: StandIn, tmp_path: Path, what: str
) -> None:
    first, second = fill(standin, 2)
    root = tmp_path / "data"
    conn = Connection(Transport(standin.url), Credentials("admin", "admin"))
    rules = Rules(cap=1 if what == "place" else 0, slots=tmp_path / "slots")
    waiting: Callable[[], bool]
    with ExitStack() as held:
        if what == "lock":
            held.enter_context(staged_lock(State(root, "P1").lock(second), owner="another"))
            seen = State(root, "P1").folder(first) / "session.json"
            waiting = seen.exists
        elif what == "place":
            held.enter_context(slot(conn.server, 1, folder=rules.slots))
            waiting = State(root, "P1").lock(second).exists
        else:
            late = {"Retry-After": "20"} if what == "pause" else {}
            status = 503 if what == "pause" else None
            fault = Fault(
                path=f"{second}/resources", hang=what == "answer", status=status, headers=late
            )
            standin.faults.add(fault)

            def waiting() -> bool:
                return fault.fired > 0

        assert stopped(conn, root, rules, waiting) < 3
    assert list(root.rglob("*.part")) == []
    standin.faults.clear()
    report = apply(conn, plan.make(inventory.take(conn, "P1"), root))  # the login is alive still
    assert report.exit_status == 0
    assert len(tree(root)) == 20
    conn.close()
