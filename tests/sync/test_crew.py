"""Several processes at one plan: order, errors, bytes, and whoever ends whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xnat_luigi.connection.login import Connection
from xnat_luigi.standin import StandIn
from xnat_luigi.standin.faults import Fault
from xnat_luigi.sync import inventory, plan
from xnat_luigi.sync.apply import apply
from xnat_luigi.sync.crew import Crew, CrewError, Hand, count_processors, may_fork

from .conftest import fill, tree

HERE = Path(__file__).parents[2]
CLI = [sys.executable, "-m", "xnat_luigi.cli"]


def make_crew(
    work: Callable[[int, bool], object],
    *,
    processes: int = 2,
    threads: int = 4,
    stop: Callable[[], None] = lambda: None,
    begin: Callable[[Callable[[int], None]], None] = lambda pulse: None,
    told: list[int] | None = None,
) -> Crew[object]:
    heard = told if told is not None else []
    return Crew(
        Hand(work, begin, stop, lambda: None),
        processes=processes,
        threads=threads,
        lost=lambda number, reason: f"{number}: {reason}",
        pulse=heard.append,
    )


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def test_all_is_done_once_in_order_and_by_several_processes() -> None:
    def work(number: int, patient: bool) -> tuple[int, bool, int]:
        time.sleep(0.002 * (number % 5))
        return number, patient, os.getpid()

    with make_crew(work) as crew:
        first = list(crew.do(range(200), False))
        again = list(crew.do([7, 3], True))
    assert [number for number, _ in first] == list(range(200))
    assert [result[:2] for _, result in first] == [(n, False) for n in range(200)]  # type: ignore[index]
    pids = {result[2] for _, result in first}  # type: ignore[index]
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert [result[:2] for _, result in again] == [(7, True), (3, True)]  # type: ignore[index]
    assert not any(map(is_there, pids))


def test_threads_are_shared_out_among_the_processes() -> None:
    def work(number: int, patient: bool) -> tuple[int, str]:
        time.sleep(0.02)
        return os.getpid(), threading.current_thread().name

    with make_crew(work, processes=2, threads=3) as crew:
        found = {result for _, result in crew.do(range(40), False)}
    assert len(found) == 3


def test_what_the_work_raises_ends_it_and_says_what_and_where() -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__("five is odd")

    def work(number: int, patient: bool) -> int:
        if number == 5:
            raise Odd(1, 2)
        return number

    seen = []
    said = r"Odd: five is odd \(test_crew.py, line \d+\)"
    with pytest.raises(CrewError, match=said), make_crew(work) as crew:
        for number, _ in crew.do(range(8), False):
            seen.append(number)
    assert 5 not in seen


def test_a_child_that_somebody_kills_costs_only_what_it_was_doing() -> None:
    def work(number: int, patient: bool) -> int:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return number

    with make_crew(work, processes=2, threads=2) as crew:
        found = dict(crew.do(range(20), False))
    assert found[3] == "3: the process that fetched it was ended by signal 9"
    assert [found[number] for number in range(20) if number != 3] == [
        number for number in range(20) if number != 3
    ]


def test_without_any_child_left_the_rest_is_lost_with_a_reason() -> None:
    def work(number: int, patient: bool) -> int:
        os._exit(4)

    with make_crew(work, processes=2, threads=2) as crew:
        found = dict(crew.do(range(40), False))
    assert len(found) == 40
    reasons = {str(text).partition(": ")[2] for text in found.values()}
    assert reasons == {
        "the process that fetched it ended with status 4",
        "no process is left that could fetch it",
    }


def test_leaving_early_stops_the_children(tmp_path: Path) -> None:
    stopped = threading.Event()  # each child has a copy

    def work(number: int, patient: bool) -> int:
        if number:
            (tmp_path / f"began{number}").touch()
            assert stopped.wait(60)
            (tmp_path / f"stopped{number}").touch()
        return number

    with pytest.raises(KeyboardInterrupt), make_crew(work, stop=stopped.set) as crew:
        for number, _ in crew.do(range(4), False):
            assert number == 0
            wait_for(lambda: len(list(tmp_path.glob("began*"))) == 3)
            raise KeyboardInterrupt
    assert len(list(tmp_path.glob("stopped*"))) == 3


def test_what_is_refused_is_not_done_and_results_are_heard_as_they_come() -> None:
    heard: list[object] = []

    def work(number: int, patient: bool) -> object:
        return number

    crew: Crew[object] = Crew(
        Hand(work, lambda pulse: None, lambda: None, lambda: None),
        processes=2,
        threads=2,
        lost=lambda number, reason: reason,
        pulse=lambda count: None,
        refuse=lambda number: "refused" if len(heard) >= 3 else None,
        heard=heard.append,
    )
    with crew:
        found = [result for _, result in crew.do(range(50), False)]
    assert found[:3] == [0, 1, 2]
    assert found[-1] == "refused"
    assert set(map(str, found[6:])) == {"refused"}  # few were under way then
    assert len(heard) == 50


def test_nothing_waits_behind_a_slow_one() -> None:
    begin = time.monotonic()

    def work(number: int, patient: bool) -> float:
        if number == 0:
            time.sleep(2.0)
        return time.monotonic() - begin

    with make_crew(work, processes=2, threads=2) as crew:
        found = dict(crew.do(range(12), False))
    assert all(float(str(found[number])) < 1.9 for number in range(1, 12))


def test_a_child_killed_in_the_middle_of_a_message_is_only_lost() -> None:
    def work(number: int, patient: bool) -> object:
        if number == 0:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return b"x" * (64 << 20)
        time.sleep(0.02)
        return number

    with make_crew(work, processes=2, threads=2) as crew:
        results = crew.do([1, 0, 2, 3, 4, 5], False)
        first = next(results)
        time.sleep(1.0)  # meanwhile it fills the pipe, and is killed before it could end
        found = dict([first, *results])
    assert "signal 9" in str(found[0])
    assert [found[number] for number in range(1, 6)] == list(range(1, 6))


def test_a_result_that_cannot_travel_does_not_hang_the_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def work(number: int, patient: bool) -> object:
        return threading.Lock() if number == 2 else number

    with make_crew(work, processes=2, threads=4) as crew:
        found = dict(crew.do(range(12), False))
    assert "ended with status 1" in str(found[2])
    assert "cannot pickle" in capfd.readouterr().err


def test_a_fork_that_fails_leaves_the_sync_in_threads(
    standin: StandIn, conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise BlockingIOError(11, "no more processes")

    fill(standin, 6)
    monkeypatch.setattr("xnat_luigi.sync.apply.may_fork", lambda: True)
    monkeypatch.setattr(os, "fork", fail)
    report = apply(conn, plan.make(inventory.take(conn, "P1"), tmp_path), processes=2)
    assert (report.exit_status, report.files) == (0, 60)


@pytest.mark.usefixtures("two_processors", "netrc")
def test_N1_outages_are_counted_over_all_processes(
    standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other session fails: that is no outage, whatever child it falls to."""
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "1")
    fill(standin, 12)
    odd = Fault(path="E000(01|03|05|07|09|11)/resources.*all=true", redirect="", status=503)
    standin.faults.add(odd)
    run = sync(standin, tmp_path / "data", "--workers", "2")
    _, said = run.communicate(timeout=120)
    assert run.returncode == 5, said
    assert "not tried" not in said
    assert len(tree(tmp_path / "data")) == 60


@pytest.mark.usefixtures("two_processors", "netrc")
def test_N1_a_server_that_is_gone_is_not_asked_for_every_session(
    standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAT_LUIGI_ATTEMPTS", "1")
    fill(standin, 20)
    standin.faults.add(Fault(path="/resources", status=503))
    run = sync(standin, tmp_path / "data", "--workers", "2")
    _, said = run.communicate(timeout=120)
    assert run.returncode == 5, said
    assert said.count("failed: ") == 20
    assert said.count("not tried, since: ") >= 20 - 3 - 2  # three, and what was under way then


@pytest.mark.usefixtures("two_processors", "netrc")
def test_closed_standard_streams_are_no_reason_to_fail(standin: StandIn, tmp_path: Path) -> None:
    fill(standin, 8)
    dest = str(tmp_path / "data")
    words = [*CLI, "sync", "--server", standin.url, "--project", "P1", "--dest", dest]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "-", *words], cwd=HERE, timeout=60)
    assert done.returncode == 0
    assert len(tree(tmp_path / "data")) == 80


def test_all_bytes_are_told_of() -> None:
    pulses: list[Callable[[int], None]] = []

    def work(number: int, patient: bool) -> int:
        for _ in range(100):
            pulses[0](number)
        return number

    told: list[int] = []
    with make_crew(work, begin=pulses.append, told=told) as crew:
        list(crew.do(range(50), False))
    assert sum(told) == 100 * sum(range(50))
    assert len(told) <= 60  # not one message for every piece


def test_a_process_with_threads_does_not_fork(
    standin: StandIn, conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(standin, 6)
    assert not may_fork()  # the stand-in runs in threads of this process
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    report = apply(conn, plan.make(inventory.take(conn, "P1"), tmp_path), processes=2)
    assert (report.exit_status, report.files) == (0, 60)


def sync(server: StandIn, root: Path, *more: str) -> subprocess.Popen[str]:
    words = ["sync", "--server", server.url, "--project", "P1", "--dest", str(root), "--cap", "0"]
    return subprocess.Popen(
        [*CLI, *words, "--workers", "4", *more],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def two_processors() -> None:
    if count_processors() < 2:
        pytest.skip("one processor only: a sync does not fork there")


def children_of(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def ends(server: StandIn) -> tuple[int, int]:
    """How many logins and logouts the server has seen."""
    logins = sum(one.path == "/data/services/auth" for one in server.requests)
    return logins, sum(one.method == "DELETE" for one in server.requests)


@pytest.mark.usefixtures("two_processors", "netrc")
def test_the_command_line_uses_several_processes_and_one_login(
    standin: StandIn, tmp_path: Path
) -> None:
    fill(standin, 8)
    fault = standin.faults.add(Fault(path="format=zip", delay=0.5, times=1))
    run = sync(standin, tmp_path / "data")
    wait_for(lambda: fault.fired)
    assert len(children_of(run.pid)) >= 2
    out, said = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert "8 new" in out
    assert len(tree(tmp_path / "data")) == 80
    assert ends(standin) == (1, 1)


@pytest.mark.usefixtures("two_processors", "netrc")
def test_A1_a_lost_login_is_renewed_in_each_process_and_ended(
    standin: StandIn, tmp_path: Path
) -> None:
    fill(standin, 8)
    slow = standin.faults.add(Fault(path="format=zip", delay=1.0, times=4))
    run = sync(standin, tmp_path / "data")
    wait_for(lambda: slow.fired == 4)  # all threads wait, then all logins are too old
    standin.clock.advance(16 * 60)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert len(tree(tmp_path / "data")) == 80
    opened, ended = ends(standin)
    processes = 1 + min(4, count_processors())
    assert 2 <= opened <= 1 + processes  # the first one, and one in each that asked after its end
    assert ended >= opened - 1  # the first one had ended by itself


@pytest.mark.usefixtures("two_processors", "netrc")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["to all", "to the parent"])
def test_D3_a_stopped_sync_of_several_processes_gives_everything_back(
    standin: StandIn, tmp_path: Path, send: Callable[[int, int], None], name: str
) -> None:
    fill(standin, 8)
    root = tmp_path / "data"
    standin.faults.add(Fault(path="format=zip", drip=500))
    run = sync(standin, root)
    wait_for(lambda: list(root.rglob("*.part")))
    pids = children_of(run.pid)
    assert pids
    send(run.pid, getattr(signal, name))  # a terminal and a service manager send it to all
    _, said = run.communicate(timeout=60)
    assert run.returncode in (130, 143), said
    assert "Traceback" not in said
    assert list(root.rglob("*.part")) == []
    assert not any(map(is_there, pids))
    assert ends(standin) == (1, 1)
    standin.faults.clear()
    again = sync(standin, root)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert len(tree(root)) == 80


@pytest.mark.usefixtures("two_processors", "netrc")
def test_D2_a_killed_parent_takes_its_children_along(standin: StandIn, tmp_path: Path) -> None:
    fill(standin, 8)
    root = tmp_path / "data"
    standin.faults.add(Fault(path="format=zip", drip=500))
    run = sync(standin, root)
    wait_for(lambda: list(root.rglob("*.part")))
    pids = children_of(run.pid)
    assert pids
    run.kill()
    run.communicate(timeout=30)
    wait_for(lambda: not any(map(is_there, pids)))
    standin.faults.clear()
    again = sync(standin, root)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert len(tree(root)) == 80
    assert list(root.rglob("*.part")) == []


@pytest.mark.usefixtures("two_processors", "netrc")
def test_D2_a_killed_child_costs_its_sessions_only(standin: StandIn, tmp_path: Path) -> None:
    fill(standin, 8)
    root = tmp_path / "data"
    fault = standin.faults.add(Fault(path="E00002/resources/.*format=zip", hang=True, times=1))
    run = sync(standin, root)
    wait_for(lambda: fault.fired)
    wait_for(lambda: len(list(root.rglob("*.dcm"))) == 56)  # all names of seven sessions
    for pid in children_of(run.pid):
        os.kill(pid, signal.SIGKILL)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "E1: new, failed: the process that fetched it was ended by signal 9" in said
    again = sync(standin, root)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert len(tree(root)) == 80


@pytest.mark.usefixtures("two_processors", "netrc")
def test_one_session_that_fails_does_not_stop_the_others(standin: StandIn, tmp_path: Path) -> None:
    fill(standin, 8)
    standin.faults.add(Fault(path="E00003/resources.*all=true", status=404))
    run = sync(standin, tmp_path / "data")
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1, said
    assert said.count("failed: ") == 1
    assert len(tree(tmp_path / "data")) == 70
