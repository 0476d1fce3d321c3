"""Sessions with the stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import xnat_luigi as xnat
from xnat_luigi.standin import StandIn

from ..connection.tls import tls

__all__ = ["Connect", "tls"]

Connect = Callable[..., Any]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No netrc, no cache and no settings of whoever runs the tests."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XNAT_LUIGI_CACHE", str(tmp_path / "cache"))
    for name in ("NETRC", "XNAT_LUIGI_USER", "XNAT_LUIGI_PASSWORD", "XNAT_LUIGI_SERVER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def connect(standin: StandIn) -> Iterator[Connect]:
    """Connect to the stand-in as admin, without a model unless one is asked for."""
    made: list[Any] = []

    def call(server: str = "", user: str | None = "admin", **options: Any) -> Any:
        if user is not None:
            options.setdefault("password", user)
        options.setdefault("no_parse_model", True)
        session = xnat.connect(server or standin.url, user, **options)
        made.append(session)
        return session

    yield call
    standin.faults.clear()
    for session in made:
        session.disconnect()


@pytest.fixture
def session(connect: Connect) -> Any:
    """A session of admin without a model."""
    return connect()
