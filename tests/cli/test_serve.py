"""`xnat-luigi serve`: a process of its own, from start line to clean end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from xnat_luigi import cli


@contextmanager
def serving(*words: str, **environ: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(address, process) of a server that answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xnat_luigi.cli", "serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, process.stderr.read() if process.stderr else ""
        yield "http://" + line.split("http://")[1].split()[0], process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_address_then_a_clean_end(number: int, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with serving(TMPDIR=str(temporary)) as (url, process):
        answer = requests.get(f"{url}/data/auth", auth=("admin", "admin"), timeout=10)
        assert answer.text == "User 'admin' is logged in"
        assert list(temporary.iterdir())
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []


def test_state_survives_a_restart(tmp_path: Path) -> None:
    words = ("--root", str(tmp_path / "root"), "--user", "ann", "--password", "secret")
    with serving(*words) as (url, process):
        ann = ("ann", "secret")
        assert requests.put(f"{url}/data/projects/P1", auth=ann, timeout=10).status_code == 200
        process.terminate()
        process.wait(30)
    with serving(*words) as (url, process):
        rows = requests.get(f"{url}/data/projects", auth=ann, timeout=10).json()
        assert [row["ID"] for row in rows["ResultSet"]["Result"]] == ["P1"]


def test_sample() -> None:
    with serving("--sample") as (url, _):
        path = f"{url}/data/projects/SAMPLE/experiments"
        rows = requests.get(path, auth=("admin", "admin"), timeout=10).json()
        assert len(rows["ResultSet"]["Result"]) == 3
        waiting = requests.get(
            f"{url}/data/prearchive/projects/SAMPLE", auth=("admin", "admin"), timeout=10
        ).json()
        assert [row["status"] for row in waiting["ResultSet"]["Result"]] == ["READY"]
        assert requests.get(f"{url}/standin/errors", timeout=10).json() == []


def test_taken_port_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (url, _):
        port = url.rpartition(":")[2]
        assert cli.main(["serve", "--port", port]) == 2
    said = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--port" in said
    assert "Traceback" not in said


def test_a_folder_serves_one_server_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving("--root", str(tmp_path)) as (_, process):
        assert cli.main(["serve", "--root", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert f"--root {tmp_path} cannot be used: another stand-in" in said
        process.kill()
        process.wait(30)
    with serving("--root", str(tmp_path)) as (url, _):
        assert requests.get(f"{url}/data/auth", auth=("admin", "admin"), timeout=10).ok


def test_a_port_beyond_all_ports_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["serve", "--port", "80808"])
    assert end.value.code == 2
    assert "80808 is no port: 0 to 65535" in capsys.readouterr().err


def test_others_need_a_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XNAT_LUIGI_STANDIN_PASSWORD", raising=False)
    assert cli.main(["serve", "--host", "0.0.0.0"]) == 2
    assert "XNAT_LUIGI_STANDIN_PASSWORD" in capsys.readouterr().err


def test_control_is_for_this_machine_only() -> None:
    with serving("--host", "0.0.0.0", XNAT_LUIGI_STANDIN_PASSWORD="secret") as (url, _):
        here = url.replace("0.0.0.0", "127.0.0.1")
        assert requests.get(f"{here}/standin/", timeout=10).status_code == 404
        assert requests.get(f"{here}/data/auth", auth=("admin", "secret"), timeout=10).ok


def test_a_start_that_fails_leaves_signals_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status = cli.main(["serve", "--port", str(taken.getsockname()[1])])
    assert status == 2
    assert "take another --port" in capsys.readouterr().err
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
