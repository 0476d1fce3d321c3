"""The progress bar of downloads (S-081, S-083)."""

from __future__ import annotations

import io
import sys

import pytest

from xnat_luigi.session import default_update_func


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [2000, None])
def test_S081_S083_a_bar_is_shown_on_a_terminal(
    total: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    update = default_update_func(total)
    update(1000, total, False)
    update(2000, total, False)
    update(2000, total, True)
    shown = screen.getvalue()
    assert "2.0" in shown
    assert ("/2.0" in shown) is (total is not None)


def test_S083_nothing_is_shown_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    update = default_update_func(None)
    update(1, None, False)
    update(1, None, True)
    assert capsys.readouterr() == ("", "")
