"""Six studies through the chaos, with a fixed seed."""

from __future__ import annotations

from .intake import chaos


def test_six_studies_are_archived_once_or_held() -> None:
    said: list[str] = []
    outcome = chaos(6, 11, said.append, longest=120.0)
    assert (outcome.archived, outcome.held) == (4, 2), said
