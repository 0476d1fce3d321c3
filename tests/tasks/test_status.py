"""The status line is silent outside a run, and never talks too much inside one."""

from __future__ import annotations

from typing import Any

import luigi

from xnat_luigi.tasks.status import StatusLine


class Some(luigi.Task):
    name: str = luigi.StrParameter(default="x")


def spoken(task: Any) -> list[tuple[str, Any]]:
    said: list[tuple[str, Any]] = []
    task.set_status_message = lambda message: said.append(("message", message))
    task.set_progress_percentage = lambda percent: said.append(("percent", percent))
    return said


def test_outside_a_run_nothing_is_sent_and_nothing_breaks() -> None:
    task = Some(name="outside")
    assert task.set_status_message is None
    assert StatusLine(task).say("hello", done=0.5)


def test_messages_are_rate_limited_by_the_clock() -> None:
    now = [100.0]
    task = Some(name="limited")
    said = spoken(task)
    line = StatusLine(task, interval=2.0, clock=lambda: now[0])
    for tick in range(100):
        now[0] = 100.0 + tick / 10
        line.say(f"tick {tick}")
    assert [message for _, message in said] == [f"tick {t}" for t in (0, 20, 40, 60, 80)]


def test_the_last_word_is_always_sent_and_shares_are_bounded() -> None:
    task = Some(name="last")
    said = spoken(task)
    line = StatusLine(task, clock=lambda: 0.0)
    line.say("one", done=0.25)
    assert not line.say("two", done=0.5)
    assert line.say("three", done=7.0, final=True)
    assert said == [("message", "one"), ("percent", 25.0), ("message", "three"), ("percent", 100.0)]
