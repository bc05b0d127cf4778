"""Pauses after failures."""

from __future__ import annotations

import pytest

from aio_tuned.fleet.backoff import Backoff
from unit.support.fleet import NOW_S


def longest(low: float, high: float) -> float:
    assert low == high / 2
    return high


def test_pauses_double_up_to_a_limit() -> None:
    pauses = Backoff(30, 600, longest)
    assert pauses.is_due(NOW_S)
    now_s: float = NOW_S
    for expected in (30, 60, 120, 240, 480, 600, *[600] * 20):
        pauses.fail(now_s)
        assert not pauses.is_due(now_s + expected - 1)
        assert pauses.is_due(now_s + expected)
        now_s += expected
    assert (pauses.fails, pauses.since_s) == (True, NOW_S)
    pauses.succeed()
    assert pauses.is_due(NOW_S)
    assert not pauses.fails
    pauses.fail(now_s)
    assert pauses.is_due(now_s + 30)
    assert pauses.since_s == now_s


def test_a_given_pause_is_kept() -> None:
    pauses = Backoff(30, 600, longest)
    pauses.fail(NOW_S, 20)
    assert not pauses.is_due(NOW_S + 19)
    assert pauses.is_due(NOW_S + 20)


@pytest.mark.parametrize("hour_s", [-3600, 3600])
def test_a_clock_that_was_set_does_not_make_a_pause_longer(hour_s: int) -> None:
    pauses = Backoff(30, 600, longest)
    pauses.fail(NOW_S)
    assert pauses.is_due(NOW_S + hour_s)
