"""Fixtures that every test may use: a stand-in server of its own, and a netrc that fits it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from xnat_luigi.standin import StandIn


def pytest_configure() -> None:
    """Ctrl-C works here and in child processes, also where a shell started us in the background.

    Such a shell has interrupts ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A fresh server in this process; users admin/admin (administrator) and reader/reader."""
    with StandIn(users={"admin": "admin", "reader": "reader"}) as server:
        yield server
        assert not server.errors, f"the stand-in itself failed: {server.errors}"


@pytest.fixture
def netrc(standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A netrc (mode 0600) with the stand-in's account; HOME and NETRC point to it."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    path = home / ".netrc"
    host = urlsplit(standin.url).hostname
    path.write_text(f"machine {host}\nlogin admin\npassword admin\n")
    path.chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(path))
    return path
