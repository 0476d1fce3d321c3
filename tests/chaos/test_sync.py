"""Five kills of the chaos program, always at the same moments."""

from __future__ import annotations

from .sync import chaos


def test_D2_killed_at_random_moments() -> None:
    said: list[str] = []
    rounds = chaos(5, 7, said.append, sessions=5, files=8)
    assert sum(one.kills for one in rounds) == 5
    assert len(said) == len(rounds)
