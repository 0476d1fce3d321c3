"""Fault rows L2 and L3: holders that are killed or hang, and file systems without locks."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from xnat_luigi.exceptions import XNATLockError
from xnat_luigi.staging.lock import staged_lock

HOLD = """
    import sys, time
    from pathlib import Path
    from xnat_luigi.staging.lock import staged_lock
    with staged_lock(Path(sys.argv[1]), owner="the night's sync"):
        print("held", flush=True)
        time.sleep(60)
"""


def _holder(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_L2_a_killed_holder_frees_the_lock_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with _holder(path) as child:
        with pytest.raises(XNATLockError), staged_lock(path, timeout=0):
            pytest.fail("held twice")
        child.send_signal(signal.SIGKILL)
        child.wait()
        begin = time.monotonic()
        with staged_lock(path, timeout=5):
            assert time.monotonic() - begin < 1


def test_L2_a_hanging_holder_is_named_when_the_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with _holder(path) as child:
        child.send_signal(signal.SIGSTOP)
        said = rf"locked by process {child.pid} on \S+ since \S+ \(the night's sync\)"
        with pytest.raises(XNATLockError, match=said) as caught, staged_lock(path, timeout=0.2):
            pytest.fail("held twice")
        assert caught.value.exit_status == 9
        child.kill()


WRITE = """
    import sys, time
    from pathlib import Path
    from xnat_luigi.staging.save import Want, publish, write_part
    target = Path(sys.argv[1])
    data = [bytes([n]) * 50_000 for n in range(40)]
    for _ in range(10):
        publish([write_part(Want(target), data)], durable=False)
"""


def test_L3_without_any_lock_the_result_is_right_all_the_same(tmp_path: Path) -> None:
    """What a no-op lock amounts to: many write one file, at every moment it is whole or absent."""
    target = tmp_path / "x"
    command = [sys.executable, "-c", textwrap.dedent(WRITE), str(target)]
    writers = [subprocess.Popen(command) for _ in range(4)]
    whole = hashlib.md5(b"".join(bytes([n]) * 50_000 for n in range(40))).hexdigest()
    while any(writer.poll() is None for writer in writers):
        if target.exists():
            assert hashlib.md5(target.read_bytes()).hexdigest() == whole
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert os.listdir(tmp_path) == ["x"]
