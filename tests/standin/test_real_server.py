"""The contract tests can be pointed at a server of one's own, and leave nothing behind there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xnat_luigi.standin import StandIn

from .site import Site, real_server

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(bool(real_server()), reason="this is the real server's own run")


def test_contract_tests_against_an_address(standin: StandIn) -> None:
    standin.add_user("tester", "secret", admin=True)
    environ = {
        **os.environ,
        "XNAT_LUIGI_TEST_SERVER": standin.url,
        "XNAT_LUIGI_TEST_USER": "tester",
        "XNAT_LUIGI_TEST_PASSWORD": "secret",
    }
    modules = [str(HERE / name) for name in ("test_A03_inventory.py", "test_A06_resources.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", *modules],
        capture_output=True,
        text=True,
        env=environ,
        cwd=HERE.parents[1],
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "needs the stand-in's clock, users or knobs" in done.stdout
    assert {record.user for record in standin.requests} == {"tester"}
    assert len(standin.requests) > 100
    assert Site(standin).rows("/projects") == []
