"""A few kills of a processing run, always the same ones; `make chaos-derived` does more."""

from __future__ import annotations

import pytest

from .derived import chaos


@pytest.mark.slow
def test_K_a_killed_processing_run_is_completed_with_the_same_results() -> None:
    said: list[str] = []
    rounds = chaos(2, 3, said.append, sessions=2)
    assert sum(one.kills for one in rounds) == 2
