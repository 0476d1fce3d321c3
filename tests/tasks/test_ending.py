"""A signal in a running task lets it put away what it had begun, however many follow."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal, sys, time
from xnat_luigi.tasks.ending import cleanly

first, second = int(sys.argv[1]), int(sys.argv[2])

@cleanly
def work():
    try:
        os.kill(os.getpid(), first)
        time.sleep(5)
        print("no signal arrived")
    finally:
        if second:
            os.kill(os.getpid(), second)
            time.sleep(0.05)
        print("put away", flush=True)

try:
    work()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(3)
print("went on")
"""


@pytest.mark.parametrize(
    ("first", "second", "said", "status"),
    [
        (signal.SIGTERM, 0, "put away", -signal.SIGTERM),
        (signal.SIGINT, 0, "put away\ninterrupted", 3),
        (signal.SIGINT, signal.SIGTERM, "put away", -signal.SIGTERM),
        (signal.SIGTERM, signal.SIGINT, "put away", -signal.SIGTERM),
    ],
)
def test_D3_everything_is_put_away(first: int, second: int, said: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(int(first)), str(int(second))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == said, done.stderr
    assert done.returncode == status
