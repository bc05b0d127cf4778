"""Pairs in random order, of both directions in turn, until the intervals are narrow or a budget ends."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.errors import MeasurementError
from aio_tuned.launch.verify.comparison import Comparison, Limits, compare, least_write_bytes
from aio_tuned.launch.verify.ratio import PILOT
from aio_tuned.launch.verify.sides import Side, Sides

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.launch.verify.sides import Name

SIZE = 100_000_000
SIDES = Sides(
    default=Side(values={}, asked={}), ours=Side(values={}, asked={}), driver="deepspeed", transfer_bytes=SIZE
)


class Drive:
    """Two drivers that answer with planted rates, noise and drift, and a clock that moves with them."""

    def __init__(self, rates: Mapping[str, float], noise: float, drift: float = 0.0) -> None:
        self.rates, self.noise, self.drift = rates, noise, drift
        self.dice = random.Random(5)
        self.clock = 0.0
        self.asked: list[tuple[str, str]] = []
        self.written = 0
        self.paused = 0

    def mover(self, name: Name) -> Any:  # noqa: ANN401 - a Mover
        drive = self

        class Mover:
            async def ask(self, do: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
                assert do == "run"
                direction = arguments["direction"]
                drive.asked.append((direction, name))
                rate = drive.rates[f"{name} {direction}"] * drive.dice.lognormvariate(0, drive.noise)
                seconds = SIZE / rate * (1 + drive.drift * drive.clock)
                drive.clock += seconds
                return {"bytes": SIZE, "seconds": seconds}

        return Mover()

    def wrote(self, count: int) -> None:
        self.written += count

    async def pause(self) -> None:
        self.paused += 1
        self.clock += 100

    def compare(self, seconds: float = 1e6, write_bytes: int = 10**12, *, pauses: bool = False) -> Comparison:
        async def nothing() -> None:
            pass

        return asyncio.run(
            compare(
                {"default": self.mover("default"), "ours": self.mover("ours")},
                SIDES,
                Limits(seconds=seconds, write_bytes=write_bytes),
                before=self.pause if pauses else nothing,
                writes=self.wrote,
                dice=random.Random(6),
                now=lambda: self.clock,
            )
        )


RATES = {"default read": 2e9, "ours read": 3e9, "default write": 1e9, "ours write": 1.1e9}


def test_the_ratios_are_those_of_the_planted_drive() -> None:
    found = Drive(RATES, noise=0.02).compare()
    read, write = found.by_direction["read"], found.by_direction["write"]
    assert read.ratio.ratio == pytest.approx(1.5, rel=0.03)
    assert write.ratio.ratio == pytest.approx(1.1, rel=0.03)
    assert read.ours_bytes_per_s / read.default_bytes_per_s == pytest.approx(read.ratio.ratio)
    assert found.both.ratio == pytest.approx((1.5 * 1.1) ** 0.5, rel=0.02)
    assert found.both.precise
    assert found.better
    assert found.decided


def test_a_drift_of_the_drive_cancels_in_the_pairs() -> None:
    found = Drive(dict.fromkeys(RATES, 1e9), noise=0.01, drift=0.05).compare()
    assert found.both.ratio == pytest.approx(1, abs=0.03)
    assert not found.better
    assert found.decided


def test_each_pair_has_both_sides_in_random_order() -> None:
    drive = Drive(RATES, noise=0.02)
    drive.compare()
    pairs = [drive.asked[at : at + 2] for at in range(0, len(drive.asked), 2)]
    assert all({name for _, name in pair} == {"default", "ours"} for pair in pairs)
    assert all(len({direction for direction, _ in pair}) == 1 for pair in pairs)
    assert {pair[0][1] for pair in pairs} == {"default", "ours"}
    # A quiet drive needs no more than the pilot.
    assert len(pairs) == 2 * PILOT


def test_a_noisy_drive_gets_more_pairs_and_writes_stay_within_the_budget() -> None:
    drive = Drive(RATES, noise=0.1)
    limits = Limits(seconds=1e6, write_bytes=41 * SIZE)
    found = drive.compare(write_bytes=limits.write_bytes)
    assert found.by_direction["read"].ratio.pairs > 40
    assert found.by_direction["read"].ratio.precise
    assert found.by_direction["write"].ratio.pairs == 20 == limits.write_pairs(SIZE)
    assert drive.written == 40 * SIZE
    assert least_write_bytes(SIZE) == 23 * SIZE


def test_the_time_budget_does_not_count_pauses() -> None:
    drive = Drive(RATES, noise=0.01)
    found = drive.compare(seconds=30, pauses=True)
    assert drive.paused == 2 * PILOT
    assert found.decided


def test_too_few_pairs_are_no_result() -> None:
    with pytest.raises(MeasurementError, match="read: only 1 pairs"):
        Drive(RATES, noise=0.01).compare(seconds=0.2)


def test_a_wide_interval_around_1_decides_nothing_and_one_beside_it_does() -> None:
    same = dict.fromkeys(RATES, 1e9)
    assert not Drive(same, noise=0.3).compare(seconds=2).decided
    slower = {**same, "ours read": 0.2e9, "ours write": 0.2e9}
    found = Drive(slower, noise=0.2).compare(seconds=6)
    assert not found.both.precise
    assert found.decided
    assert not found.better


@pytest.mark.parametrize("worse", ["read", "write"])
def test_a_gain_in_one_direction_does_not_pay_for_a_loss_in_the_other(worse: str) -> None:
    """The consumer may do nothing but what became slower; the sweep too chooses nothing below the default in either."""
    rates = {**RATES, "ours read": 4e9, "ours write": 2e9, f"ours {worse}": 0.9 * RATES[f"default {worse}"]}
    found = Drive(rates, noise=0.02).compare()
    assert found.both.ci95[0] > 1
    assert found.slower == (worse,)
    assert found.decided
    assert not found.better


def test_a_sure_loss_decides_although_the_mean_is_not_known() -> None:
    rates = {**RATES, "ours read": 8e9, "ours write": 0.2e9}
    found = Drive(rates, noise=0.3).compare(seconds=8)
    low, high = found.both.ci95
    assert low < 1 < high
    assert not found.both.precise
    assert found.decided
    assert not found.better
