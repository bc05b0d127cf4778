from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.search.spells import has_spells
from unit.support.builders import phase, sample, setting

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Sample

PASS = phase()
OTHER = setting(depth=4, threads=4)


def reference(*shares: float, noise: float = 0.002, seed: int = 1) -> list[Sample]:
    """Return measurements of the reference, each at that share of its usual throughput."""
    dice = random.Random(seed)
    return [
        sample(DEFAULT_SETTING, 4e9 * share * (1 + dice.gauss(0, noise)), purpose="reference", number=number)
        for number, share in enumerate(shares, start=1)
    ]


@pytest.mark.parametrize(
    ("shares", "spells"),
    [
        ([1.0] * 20, False),
        ([1.0] * 9 + [0.8, 0.8] + [1.0] * 9, True),
        ([1.0] * 9 + [1.2, 1.2] + [1.0] * 9, True),
        # A single one is a stall, and two that lie on different sides, or apart, are two.
        ([1.0] * 10 + [0.5] + [1.0] * 9, False),
        ([1.0] * 9 + [0.8, 1.2] + [1.0] * 9, False),
        ([1.0] * 5 + [0.8] + [1.0] * 5 + [0.8] + [1.0] * 5, False),
        # Less than 4 % is no matter.
        ([1.0] * 9 + [0.97, 0.97] + [1.0] * 9, False),
        ([1.0] * 9 + [0.94, 0.94] + [1.0] * 9, True),
        # It may last to the end, or from the beginning.
        ([1.0] * 15 + [0.8] * 4, True),
        ([0.8] * 4 + [1.0] * 15, True),
    ],
)
def test_a_spell_is_two_successive_measurements_off_the_median(shares: list[float], spells: bool) -> None:
    assert has_spells(PASS, reference(*shares)) is spells


def test_what_lies_between_does_not_matter() -> None:
    taken = reference(*[1.0] * 9, 0.8, 0.8, *[1.0] * 9)
    beside = [each for one in taken for each in (one, sample(OTHER, 1e9), sample(OTHER, 9e9, direction="write"))]
    assert has_spells(PASS, beside)
    calm = [each for one in reference(*[1.0] * 20) for each in (one, sample(OTHER, 1e9), sample(OTHER, 1e9))]
    assert not has_spells(PASS, calm)


def test_noise_is_no_spell() -> None:
    """Two of forty successive ones off by six deviations, on one side of the median: never by normal noise."""
    assert not any(has_spells(PASS, reference(*[1.0] * 40, noise=0.05, seed=seed)) for seed in range(50))


@pytest.mark.parametrize("count", range(6))
def test_fewer_than_six_measurements_show_none(count: int) -> None:
    assert not has_spells(PASS, reference(*[1.0] * max(0, count - 2), *[0.5] * min(count, 2), noise=0.0))


def test_tainted_measurements_and_other_stages_show_none() -> None:
    taken = reference(*[1.0] * 9, 0.8, 0.8, *[1.0] * 9)
    assert not has_spells(PASS, [replace(one, cache_verdict="cache") for one in taken])
    assert not has_spells(phase(stage="race"), taken)
    assert not has_spells(phase(direction="write"), taken)
