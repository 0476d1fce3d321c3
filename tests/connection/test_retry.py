"""Numbers in, waits out (examples to follow, section 4)."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.config import Policy
from xnat_luigi.connection.retry import RetryPolicy, read_retry_after

NOW = 1_700_000_000.0


def test_N6_waits_double_up_to_the_longest_and_end() -> None:
    policy = Policy(attempts=10, total_wait=1000.0)
    waits = RetryPolicy(policy, chance=lambda: 0.5)
    seen = [waits.next_wait() for _ in range(10)]
    assert seen == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, None]


def test_five_attempts_mean_four_waits() -> None:
    waits = RetryPolicy(Policy(), chance=lambda: 0.5)
    assert sum(waits.next_wait() is not None for _ in range(20)) == 4


def test_a_500_gets_one_more_try_whatever_came_before() -> None:
    waits = RetryPolicy(Policy())
    assert waits.next_wait() is not None  # a 503
    assert waits.next_wait(once=True) is not None
    assert waits.next_wait(once=True) is None


def test_no_wait_is_longer_than_the_longest() -> None:
    waits = RetryPolicy(Policy(attempts=10, total_wait=1000.0), chance=lambda: 1.0)
    assert max(wait for _ in range(9) if (wait := waits.next_wait())) == 30.0


@given(
    st.floats(0, 1),
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=12),
    st.integers(1, 9),
)
def test_no_more_waiting_than_allowed(
    chance: float, asked: list[float | None], attempts: int
) -> None:
    policy = Policy(attempts=attempts)
    waits = RetryPolicy(policy, chance=lambda: chance)
    given_ = [wait for one in asked if (wait := waits.next_wait(one)) is not None]
    assert len(given_) < attempts
    assert sum(given_) <= policy.total_wait + 1e-6
    assert all(wait >= 0 for wait in given_)


def test_N7_retry_after_is_obeyed_as_a_whole_or_not_at_all() -> None:
    waits = RetryPolicy(Policy())
    assert waits.next_wait(100.0) == 100.0
    assert waits.next_wait(30.0) is None  # together more than 120 s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2.0),
        (" 120 ", 120.0),
        (formatdate(NOW + 60, usegmt=True), 60.0),
        (formatdate(NOW - 60, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
        ("²", None),
    ],
)
def test_N7_retry_after_in_seconds_or_as_a_date(text: str | None, seconds: float | None) -> None:
    assert read_retry_after(text, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_read_without_an_error(text: str) -> None:
    found = read_retry_after(text, NOW)
    assert found is None or found >= 0
