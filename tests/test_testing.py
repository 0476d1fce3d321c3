"""`xnat_luigi.testing`: what people's own tests lean on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import luigi
import pytest
from luigi.configuration import get_config

from xnat_luigi.connection.registry import connection_for
from xnat_luigi.standin import StandIn
from xnat_luigi.tasks import ExperimentReady
from xnat_luigi.testing import configured, counted, logged_in, run_task


class Write(luigi.Task):
    """Writes its file; fails when told to."""

    path: str = luigi.StrParameter()
    fail: bool = luigi.BoolParameter(default=False)

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(self.path)  # type: ignore[no-untyped-call]

    def run(self) -> None:
        if self.fail:
            raise ZeroDivisionError("told to")
        Path(self.path).write_text("done")


class Forgetful(Write):
    """Says it is done and leaves nothing."""

    def run(self) -> None:
        pass


def test_logged_in_is_the_login_and_only_meanwhile(
    standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAT_LUIGI_USER", "somebody")
    monkeypatch.delenv("XNAT_LUIGI_SERVER", raising=False)
    standin.add_user("ann", "secret")
    with logged_in(standin, "ann", "secret"):
        connection = connection_for(standin.url)
        assert connection.request("GET", "/data/auth").text == "User 'ann' is logged in"
        assert standin.state.users.count_sessions("ann") == 1
    assert os.environ["XNAT_LUIGI_USER"] == "somebody"
    assert "XNAT_LUIGI_SERVER" not in os.environ
    assert standin.state.users.count_sessions("ann") == 0


def test_counted(standin: StandIn) -> None:
    with logged_in(standin):
        connection = connection_for(standin.url)
        connection.request("GET", "/data/projects")
        with counted(standin) as requests:
            connection.request("PUT", "/data/projects/P1")
            connection.request("PUT", "/data/projects/P1/subjects/S1", accepted=(201,))
            connection.request("GET", "/data/projects/P1/subjects")
        assert requests.count == 3
        assert requests.by("PUT") == 2
        assert requests.by("PUT", "/subjects") == 1
        assert requests.bytes_out > 50
        assert [record.method for record in requests.requests] == ["PUT", "PUT", "GET"]


def test_run_task_that_works(tmp_path: Path) -> None:
    run = run_task(Write(path=str(tmp_path / "a"))).check()
    assert run.ok
    assert run.failures == ()


@pytest.mark.parametrize("workers", [1, 2])
def test_run_task_that_fails(tmp_path: Path, workers: int) -> None:
    run = run_task(Write(path=str(tmp_path / "a"), fail=True), workers=workers)
    assert not run.ok
    assert "failed" in run.summary
    with pytest.raises((ZeroDivisionError, AssertionError)) as caught:
        run.check()
    if workers == 1:
        assert isinstance(caught.value, ZeroDivisionError)
        assert run.failures == (caught.value,)


def test_run_task_that_leaves_nothing_has_failed(tmp_path: Path) -> None:
    assert not run_task(Forgetful(path=str(tmp_path / "a"))).ok


def test_errors_of_one_run_are_not_those_of_the_next(tmp_path: Path) -> None:
    assert run_task(Write(path=str(tmp_path / "a"), fail=True)).failures
    assert run_task(Write(path=str(tmp_path / "b"))).failures == ()


def test_outage_while_asking_is_a_failure(xnat_server: StandIn) -> None:
    from xnat_luigi.testing import Fault

    xnat_server.faults.add(Fault(status=500))
    task = ExperimentReady(server=xnat_server.url, project="P1", experiment="E1")
    run = run_task(task, environment={"XNAT_LUIGI_ATTEMPTS": "1"})
    assert not run.ok
    assert "500" in str(run.failures[0])
    assert "XNAT_LUIGI_ATTEMPTS" not in os.environ


def test_a_second_run_asks_anew(xnat_server: StandIn) -> None:
    task = ExperimentReady(server=xnat_server.url, project="P1", experiment="E1")
    xnat_server.add_project("P1")
    assert not run_task(task).ok
    xnat_server.add_session("P1", "S1", "E1")
    assert run_task(task).ok


def test_configured() -> None:
    config = get_config()  # type: ignore[no-untyped-call]
    before = config.get("worker", "keep_alive", None)
    with configured("worker", keep_alive="true", my_own="1"):
        assert config.get("worker", "keep_alive") == "true"
        assert config.get("worker", "my_own") == "1"
    assert config.get("worker", "keep_alive", None) == before
    assert config.get("worker", "my_own", None) is None


def test_the_fixture_is_empty_and_logged_in(xnat_server: StandIn) -> None:
    connection = connection_for(xnat_server.url)
    assert connection.user == "admin"
    answer = connection.request("GET", "/data/projects", query={"format": "json"})
    assert answer.json()["ResultSet"]["Result"] == []


def test_without_the_extra_the_fixture_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(xnat_server):\n    pass\n")
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['aiohttp'] = None\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install 'xnat-luigi[standin]'" in done.stdout


def test_the_plugin_is_cheap_to_load() -> None:
    code = (
        "import sys, xnat_luigi.pytest_plugin\n"
        "print(sorted({'aiohttp', 'luigi', 'requests', 'pydicom'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
