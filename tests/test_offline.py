"""The page "Test your pipeline offline" is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import requests

from xnat_luigi.standin import StandIn

PAGE = Path(__file__).resolve().parents[1] / "docs" / "offline.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.M | re.S)


def test_the_page_passes_its_own_tests(tmp_path: Path) -> None:
    for block in blocks("python"):
        match = re.match(r"# file: (\S+)\n", block)
        assert match, f"a block of code without a file name: {block[:60]!r}"
        (tmp_path / match[1]).write_text(block)
    # People have logins of their own at home, also for this very machine.
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login admin password admin\n")
    netrc.chmod(0o600)
    environment = {key: value for key, value in os.environ.items() if key != "NETRC"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path)},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


def test_the_curl_lines_mean_something(standin: StandIn) -> None:
    text = next(block for block in blocks("sh") if "curl" in block)
    calls = re.findall(r"curl -s (?:-X (\w+) )?http://[^/]+(/\S+)(?: -d '([^']*)')?", text)
    assert len(calls) == 4
    for method, path, data in calls:
        answer = requests.request(method or "GET", standin.url + path, data=data, timeout=10)
        assert answer.status_code == 200, (path, answer.text)


def test_a_server_starts_within_a_tenth_of_a_second() -> None:
    """The best of some: what a fixture of function scope costs when the machine has time for it."""
    with StandIn():
        pass  # the schemas are read once per process
    times: list[float] = []
    while len(times) < 20 and min(times, default=1.0) >= 0.1:
        begin = time.perf_counter()
        with StandIn() as server:
            times.append(time.perf_counter() - begin)
            assert requests.get(f"{server.url}/data/JSESSION", timeout=5).ok
    assert min(times) < 0.1, times
