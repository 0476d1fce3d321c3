"""Fixtures for tests of your own pipelines; pytest finds this module by its entry point.

    def test_my_step(xnat_server, tmp_path):
        xnat_server.add_session("P1", "S1", "S1_MR1", scans={"1": "T1w"})
        run_task(MyStep(server=xnat_server.url, ...)).check()

Nothing heavy is imported before a test asks for a fixture: pytest starts as quickly as ever.
Needs the extra `standin`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .standin import StandIn

__all__ = ["xnat_server"]


@pytest.fixture
def xnat_server() -> Iterator[StandIn]:
    """A fresh, empty stand-in server for this test, and its administrator as the login.

    The environment of the test names server, user and password, so tasks and `connect()` need no
    netrc. The test fails at its end when the stand-in itself had an error.
    """
    try:
        from .testing import StandIn, logged_in
    except ImportError as error:
        pytest.fail(f"{error}: pip install 'xnat-luigi[standin]'", pytrace=False)

    with StandIn() as server, logged_in(server):
        yield server
    assert not server.errors, f"the stand-in itself failed: {server.errors}"
