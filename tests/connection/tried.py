"""Connections to the stand-in whose waits are counted and not slept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from xnat_luigi.config import Policy
from xnat_luigi.connection.credentials import Credentials
from xnat_luigi.connection.login import Connection
from xnat_luigi.connection.transport import Transport
from xnat_luigi.standin import StandIn

Connect = Callable[..., "Tried"]


class Tried:
    """A connection with the waits it asked for, and a clock that a test moves."""

    def __init__(self, url: str, credentials: Credentials | None, options: dict[str, Any]) -> None:
        self.slept: list[float] = []
        self.now = 1000.0
        policy = options.pop("policy", Policy(connect=2.0, listing=5.0, gap=5.0))
        verify = options.pop("verify", True)
        options.setdefault("today", lambda: 1_700_000_000.0)
        self.connection = Connection(
            Transport(url, policy=policy, verify=verify),
            credentials,
            sleep=self.slept.append,
            clock=lambda: self.now,
            **options,
        )


@pytest.fixture
def tried(standin: StandIn) -> Iterator[Connect]:
    """Make connections to the stand-in (or another address); all are closed afterwards."""
    made: list[Tried] = []

    def make(user: str | None = "admin", password: str = "", *, url: str = "", **kw: Any) -> Tried:
        credentials = Credentials(user, password or user) if user else None
        made.append(Tried(url or standin.url, credentials, kw))
        return made[-1]

    yield make
    standin.faults.clear()
    for one in made:
        one.connection.close()
