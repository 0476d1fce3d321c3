"""Official clients as strangers: scripts run in `.venv-peers`, where only they are installed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.standin.site import Site
from xnat_luigi.standin import StandIn

HERE = Path(__file__).parent
PEERS = HERE.parent.parent / ".venv-peers" / "bin" / "python"

Peer = Callable[..., dict[str, Any]]


@pytest.fixture
def site(standin: StandIn) -> Site:
    """A stand-in and the words to fill it."""
    return Site(standin)


@pytest.fixture
def peer(standin: StandIn, tmp_path: Path) -> Peer:
    """`peer("xnatpy", "journey", key=value)` runs a journey of `scripts/xnatpy_*.py`.

    The journey gets `url`, `user`, `password`, `folder` (empty) and the given facts, asserts what
    it sees and returns what the test wants to know.
    """
    if not PEERS.exists():
        reason = "the official clients are not installed; `make peers` does it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    home = tmp_path / "home"
    home.mkdir()

    def run(script: str, journey: str, **facts: Any) -> dict[str, Any]:
        folder = tmp_path / journey
        folder.mkdir()
        told = {
            "url": standin.url,
            "user": "admin",
            "password": "admin",
            "folder": str(folder),
            **facts,
        }
        done = subprocess.run(
            [str(PEERS), str(HERE / "scripts" / f"{script}.py"), journey],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            timeout=120,
            cwd=folder,
            env={**os.environ, "HOME": str(home), "NETRC": str(home / "none")},
        )
        if done.returncode:
            seen = [f"{r.method} {r.path}?{r.query} {r.status}" for r in standin.requests[-15:]]
            pytest.fail("\n".join([done.stdout, done.stderr[-6000:], *seen]), pytrace=False)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    return run
