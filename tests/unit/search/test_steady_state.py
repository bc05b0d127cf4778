"""Writing on and on: how far it goes, and what the windows say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.search import steady_state
from aio_tuned.search.step import Spent, spent
from unit.support.builders import GIB, MIB, Drive, phase, sample, setting

if TYPE_CHECKING:
    from aio_tuned.model.curve import Steady
    from aio_tuned.model.measurement import Phase, Request, Sample

WHICH = setting(depth=32)
WINDOW = 256 * MIB


def windows(*speeds: float, size: int = WINDOW) -> list[Sample]:
    return [
        sample(WHICH, speed, direction="write", transfer_bytes=size, number=number, purpose="sustain")
        for number, speed in enumerate(speeds, start=1)
    ]


def found(*speeds: float) -> Steady:
    said = steady_state.found(windows(*speeds))
    assert said is not None
    return said


# --- what the windows say --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(5))
def test_fewer_than_five_windows_say_nothing(count: int) -> None:
    assert steady_state.found(windows(*[1e9] * count)) is None


def test_other_visits_are_no_windows() -> None:
    others = [sample(WHICH, 1e9, direction="write", number=number) for number in range(9)]
    assert steady_state.found(others) is None
    assert steady_state.found([*others, *windows(*[2e9] * 5)]) == steady_state.found(windows(*[2e9] * 5))


def test_what_is_steady_at_the_end_is_the_last_five() -> None:
    said = found(4e9, 4e9, 1e9, 1e9, 1e9, 1e9, 1e9)
    assert said.steady
    assert said.bytes_per_s == pytest.approx(1e9)
    assert said.first_bytes_per_s == pytest.approx(4e9)
    assert said.written_bytes == 7 * WINDOW


def test_the_throughput_is_all_bytes_over_all_time() -> None:
    """Two windows of half the speed take twice as long: the harmonic mean, not the arithmetic."""
    said = found(1e9, 1e9, 1e9, 0.5e9, 0.5e9)
    assert said.bytes_per_s == pytest.approx(5 / (3 / 1e9 + 2 / 0.5e9))


@pytest.mark.parametrize(
    ("speeds", "is_steady"),
    [
        ((1.0, 1.0, 1.0, 1.0, 1.0), True),
        ((1.09, 0.91, 1.0, 0.91, 1.09), True),
        ((1.11, 0.9, 1.0, 0.9, 1.11), False),  # 21 % of the average between highest and lowest
        ((1.045, 1.02, 1.0, 0.98, 0.955), True),  # the line falls by 9 %
        ((1.06, 1.03, 1.0, 0.97, 0.94), False),  # the line falls by 12 %
        ((0.94, 0.97, 1.0, 1.03, 1.06), False),
    ],
)
def test_steady_is_as_snia_says(speeds: tuple[float, ...], is_steady: bool) -> None:
    assert found(*(speed * 1e9 for speed in speeds)).steady is is_steady


@pytest.mark.parametrize("fast", [1, 3, 6])
def test_a_fall_is_found_after_the_bytes_that_were_fast(fast: int) -> None:
    assert found(*[4e9] * fast, *[1e9] * 6).fell_after_bytes == fast * WINDOW


@pytest.mark.parametrize(
    "speeds",
    [
        (4e9,) * 8,
        (4e9, 4e9, 3.1e9, 3.1e9, 3.1e9, 3.1e9),  # more than three quarters are left
        (4e9, 1e9, 1e9, 4e9, 4e9, 4e9, 4e9),  # it came back
        (1e9, 1e9, 4e9, 4e9, 4e9),  # it rose
    ],
)
def test_no_fall_where_it_does_not_last_or_is_none(speeds: tuple[float, ...]) -> None:
    assert found(*speeds).fell_after_bytes is None


# --- what is asked ---------------------------------------------------------------------------------------


def writing(sustain_bytes: int, transfer_bytes: int = 64 * MIB) -> Phase:
    return phase(
        direction="write",
        sustain_bytes=sustain_bytes,
        sustain_ns=10**12,
        transfer_bytes=transfer_bytes,
        visit_bytes=transfer_bytes,
        write_budget_bytes=100 * GIB,
    )


class Falling:
    """A drive with a cache of so many bytes; behind it it is at a quarter."""

    def __init__(self, cache_bytes: int) -> None:
        self.drive = Drive(noise=0.01, seed=1)
        self.cache_bytes = cache_bytes
        self.written_bytes = 0

    def answer(self, asked: Request) -> Sample:
        made = self.drive.answer(asked)
        behind = self.written_bytes >= self.cache_bytes
        self.written_bytes += made.bytes
        slower = made.elapsed_ns * 4
        return replace(made, elapsed_ns=slower, transfers_ns=(slower,), wall_ns=slower) if behind else made


def written_on(made: Phase, drive: Falling) -> list[Sample]:
    samples: list[Sample] = []
    while (asked := steady_state.next_request(made, samples, WHICH, len(samples) + 1)) is not None:
        assert asked.id == len(samples) + 1
        assert (asked.purpose, asked.direction, asked.setting) == ("sustain", "write", WHICH)
        samples.append(drive.answer(asked))
    return samples


@pytest.mark.parametrize("sustain_bytes", [0, 63 * MIB, 64 * MIB, 3 * GIB + 12345, 16 * GIB])
def test_never_a_byte_more_than_what_is_kept_for_it(sustain_bytes: int) -> None:
    samples = written_on(writing(sustain_bytes), Falling(1 << 60))
    written = sum(sample.bytes for sample in samples)
    assert written <= sustain_bytes
    # A window is a thirty-second of the bytes, and one transfer at least.
    assert sustain_bytes - written < max(64 * MIB, sustain_bytes // 32)
    assert bool(samples) is (sustain_bytes >= 64 * MIB)


def test_being_steady_does_not_end_it() -> None:
    """A cache that is not full yet is as steady."""
    samples = written_on(writing(16 * GIB), Falling(1 << 60))
    assert len(samples) == 32
    said = steady_state.found(samples)
    assert said is not None
    assert said.steady
    assert said.fell_after_bytes is None


@pytest.mark.parametrize("cache_gib", [2, 6, 12])
def test_steady_behind_a_fall_ends_it(cache_gib: int) -> None:
    samples = written_on(writing(16 * GIB), Falling(cache_gib * GIB))
    said = steady_state.found(samples)
    assert said is not None
    assert said.steady
    assert said.fell_after_bytes == cache_gib * GIB
    assert said.bytes_per_s == pytest.approx(said.first_bytes_per_s / 4, rel=0.05)
    assert len(samples) == cache_gib * 2 + 5


def test_it_goes_on_with_what_it_began_with() -> None:
    begun = windows(4e9, size=64 * MIB)
    asked = steady_state.next_request(writing(16 * GIB), begun, setting(depth=4), 9)
    assert asked is not None
    assert asked.setting == WHICH
    assert asked.id == 9


def test_the_time_for_sustained_writes_ends_them() -> None:
    made = replace(writing(16 * GIB), sustain_ns=10**9)
    begun = [replace(each, wall_ns=3 * 10**8) for each in windows(4e9, 4e9, 4e9)]
    assert steady_state.next_request(made, begun, WHICH, 9) is not None
    assert steady_state.next_request(made, [*begun, replace(begun[0], wall_ns=10**8)], WHICH, 9) is None


def test_what_they_take_is_nothing_to_the_race() -> None:
    made = replace(writing(2 * GIB), stage="race", write_budget_bytes=GIB)
    assert spent(made, windows(*[1e9] * 8)) == Spent()
