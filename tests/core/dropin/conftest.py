"""The journeys of the official client's witness tests, run by ours under its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.peers.conftest import HERE, Peer
from tests.standin.site import Site
from xnat_luigi.standin import StandIn

SHIM = Path(__file__).with_name("shim")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def site(standin: StandIn) -> Site:
    """A stand-in and the words to fill it."""
    return Site(standin)


@pytest.fixture
def peer(standin: StandIn, tmp_path: Path) -> Peer:
    """`peer("xnatpy_read", "journey", key=value)`, with our client in place of the official one."""
    home = tmp_path / "home"
    home.mkdir()

    def run(script: str, journey: str, **facts: Any) -> dict[str, Any]:
        folder = tmp_path / journey
        folder.mkdir()
        told = {"url": standin.url, "user": "admin", "password": "admin"}
        told |= {"folder": str(folder), **facts}
        paths = os.pathsep.join([str(SHIM), str(ROOT)])
        done = subprocess.run(
            [sys.executable, str(HERE / "scripts" / f"{script}.py"), journey],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            timeout=120,
            cwd=folder,
            env={**os.environ, "HOME": str(home), "NETRC": str(home / "none"), "PYTHONPATH": paths},
        )
        if done.returncode:
            seen = [f"{r.method} {r.path}?{r.query} {r.status}" for r in standin.requests[-15:]]
            pytest.fail("\n".join([done.stdout, done.stderr[-6000:], *seen]), pytrace=False)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    return run
