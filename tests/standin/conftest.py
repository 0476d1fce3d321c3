"""The server under test: `site` may be a lab's own, `own_site` is always a stand-in with knobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from xnat_luigi.standin import StandIn

from .site import Site, real_server


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server, a stand-in unless the environment names another."""
    here = Site(None if real_server() else request.getfixturevalue("standin"))
    yield here
    here.clean()


@pytest.fixture
def own_site(standin: StandIn) -> Iterator[Site]:
    """A stand-in whose clock, knobs, users and faults the test turns."""
    if real_server():
        pytest.skip("needs the stand-in's clock, users or knobs, which a real server does not have")
    here = Site(standin)
    yield here
    here.http.close()
