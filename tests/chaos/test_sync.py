"""Five kills of the chaos program, always at the same moments."""

from __future__ import annotations

from .sync import chaos


def test_D2_killed_at_random_moments() -> None:
    said: list[str] = []
    rounds = chaos(4, 7, said.append, sessions=5, files=8)
    rounds += chaos(1, 8, said.append, sessions=5, files=8, digests=False)
    assert sum(one.kills for one in rounds) == 5
    assert len(said) == len(rounds)
