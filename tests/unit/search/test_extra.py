"""The small experiments after the choice: huge pages, new files, and several processes."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.measurement import Sample
from aio_tuned.search import huge_pages, new_file, processes
from aio_tuned.search.extra import Extra
from aio_tuned.search.processes import Split, divided, splits
from unit.support.builders import GIB, MIB, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aio_tuned.model.measurement import Request

    Ask = Callable[[Sequence[Sample]], tuple[Request, ...]]

EXTRA = Extra(
    purpose="memory",
    direction="read",
    setting=setting(depth=8, threads=2),
    bytes_per_s=5e9,
    max_transfer_bytes=128 * MIB,
    alignment_bytes=512,
    budget_ns=3 * 10**9,
    budget_bytes=0,
    measurements=12,
    seed=1,
)
WRITES = replace(EXTRA, direction="write", budget_bytes=400 * MIB)


class Answering:
    """A drive whose throughput is `rate` of a request, with noise; `tainted` of its answers are disturbed."""

    def __init__(self, rate: Callable[[Request], float], noise: float = 0.004, tainted: Sequence[int] = ()) -> None:
        self.rate = rate
        self.noise = noise
        self.tainted = tainted
        self.random = random.Random(3)

    def answer(self, asked: Request) -> Sample:
        each_ns = asked.transfer_bytes / self.rate(asked) * 1e9 * math.exp(self.random.gauss(0, self.noise))
        count = max(1, math.ceil(asked.min_ns / each_ns))
        if asked.max_bytes:
            count = max(1, min(count, asked.max_bytes // asked.transfer_bytes))
        times, total = (int(each_ns),) * count, count * asked.transfer_bytes
        written = total if asked.direction == "write" else 0
        return Sample(
            request=asked,
            transfers_ns=times,
            bytes=total,
            elapsed_ns=sum(times),
            wall_ns=sum(times) + 50_000,
            latency_p50_ns=500_000,
            latency_p99_ns=900_000,
            cache_verdict="device",
            cache_dropped=False,
            device_read_bytes=total - written + (total if asked.id in self.tainted else 0),
            device_write_bytes=written,
            groups_ns=tuple(sum(times) - 1000 * group for group in range(asked.groups)) if asked.groups > 1 else (),
        )


def run(ask: Ask, drive: Answering) -> list[Sample]:
    samples: list[Sample] = []
    while asked := ask(samples):
        samples += [drive.answer(one) for one in asked]
        assert len(samples) < 500
    return samples


# --- huge pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.0, 0.2, -0.05])
@pytest.mark.parametrize("extra", [EXTRA, WRITES], ids=["read", "write"])
def test_the_gain_is_found_with_its_interval(extra: Extra, gain: float) -> None:
    drive = Answering(lambda asked: 5e9 * (1 + gain * (asked.memory == "huge")))
    samples = run(lambda found: huge_pages.next_pair(extra, found), drive)
    found = huge_pages.gain(extra, samples)
    assert found is not None
    assert found.low - 0.005 < gain < found.high + 0.005
    assert found.high - found.low <= 0.05
    assert sum(one.wall_ns for one in samples) <= extra.budget_ns
    assert extra.direction == "read" or sum(one.bytes for one in samples) <= extra.budget_bytes
    first = [one.request.memory for one in samples[::2]]
    assert {None, "huge"} == {*first}, "the order alternates"


def test_noise_takes_more_pairs_and_the_budget_ends_them() -> None:
    calm, noisy = Answering(lambda _: 5e9), Answering(lambda _: 5e9, noise=0.1)
    few = run(lambda found: huge_pages.next_pair(EXTRA, found), calm)
    many = run(lambda found: huge_pages.next_pair(EXTRA, found), noisy)
    assert len(few) == 8
    assert len(many) > 20
    short = replace(EXTRA, budget_ns=100_000_000)
    assert sum(one.wall_ns for one in run(lambda found: huge_pages.next_pair(short, found), noisy)) <= 110_000_000


def test_fewer_than_four_pairs_say_nothing() -> None:
    samples = run(lambda found: huge_pages.next_pair(EXTRA, found), Answering(lambda _: 5e9))
    assert huge_pages.gain(EXTRA, samples[:6]) is None
    assert huge_pages.gain(replace(EXTRA, direction="write"), samples) is None


# --- new files ---------------------------------------------------------------------------------------------


def test_new_files_are_written_a_few_times() -> None:
    extra = replace(WRITES, purpose="new_file", measurements=4)
    samples = run(lambda found: new_file.next_round(extra, found), Answering(lambda _: 1e9, tainted=(2,)))
    assert all(one.request.new_file for one in samples)
    assert 0 < sum(one.bytes for one in samples) <= extra.budget_bytes
    rate = new_file.bytes_per_s(extra.clean(samples))
    assert rate == pytest.approx(1e9, rel=0.02)
    assert new_file.bytes_per_s([]) is None


# --- several processes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "threads", "divisor", "left"),
    [
        (32, 4, 1, (32, 4)),
        (32, 4, 8, (4, 4)),
        (4, 4, 8, (1, 2)),
        (1, 8, 4, (1, 2)),
        (3, 1, 2, (1, 1)),
        (1, 1, 8, (1, 1)),
        (8, 2, 16, (1, 1)),
    ],
)
def test_the_queue_depth_is_divided_first(depth: int, threads: int, divisor: int, left: tuple[int, int]) -> None:
    found = divided(setting(depth=depth, threads=threads), divisor)
    assert (found.queue_depth, found.io_parallelism) == left


def test_no_setting_is_measured_twice_and_none_has_too_many_threads() -> None:
    every = splits(setting(depth=2, threads=8), (1, 2, 4, 8, 16))
    assert len({(one.processes, each) for one, each in every.items()}) == len(every)
    assert all(one.processes * each.io_parallelism <= 64 for one, each in every.items())
    assert Split(8, 1) in every
    assert Split(16, 1) not in every
    assert Split(16, 4) in every


TOGETHER = replace(EXTRA, purpose="processes", setting=setting(depth=16, threads=1), max_transfer_bytes=256 * MIB)


def together(drive: Answering, extra: Extra = TOGETHER) -> dict[int, processes.Together]:
    samples = run(lambda found: processes.next_round(extra, (1, 2, 4, 8), found), drive)
    return {one.processes: one for one in processes.found(extra, (1, 2, 4, 8), samples)}


def test_the_largest_divisor_that_loses_nothing_is_found() -> None:
    """A drive that 16 requests saturate, and that loses with more than 32."""

    def rate(asked: Request) -> float:
        in_flight = asked.setting.concurrency * asked.groups
        return 5e9 * min(1.0, in_flight / 16) * (0.9 if in_flight > 32 else 1.0)

    found = together(Answering(rate))
    assert {number: one.divisor for number, one in found.items()} == {1: 1, 2: 2, 4: 4, 8: 8}
    assert all(one.bytes_per_s == pytest.approx(5e9, rel=0.02) for one in found.values())
    assert found[1].slowest_share == 1.0
    assert all(0.9 < found[number].slowest_share < 1.0 for number in (2, 4, 8))


def test_a_drive_that_needs_all_of_them_divides_nothing() -> None:
    found = together(Answering(lambda asked: 1e8 * asked.setting.concurrency * asked.groups))
    assert {one.divisor for one in found.values()} == {1}


def test_tainted_measurements_do_not_count_and_the_budget_ends_the_rounds() -> None:
    found = together(Answering(lambda _: 5e9, tainted=tuple(range(1, 11))))
    assert set(found) == {1, 2, 4, 8}
    writes = replace(TOGETHER, direction="write", budget_bytes=600 * MIB, measurements=10)
    samples = run(lambda found: processes.next_round(writes, (1, 2, 4, 8), found), Answering(lambda _: 5e9))
    assert len(samples) >= 10
    assert sum(one.bytes for one in samples) <= writes.budget_bytes
    assert not processes.next_round(writes, (), [])
    none = replace(writes, budget_bytes=GIB, budget_ns=0)
    assert not processes.next_round(none, (1, 2), [])
