from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.search import estimate, finalists, first_pass, grid
from aio_tuned.search.choose import cost
from aio_tuned.search.finalists import LADDER, MOST, Passed, ladder_place
from aio_tuned.search.posterior import posterior
from unit.support.builders import MIB, Drive, curve, phase, setting, stats
from unit.support.phases import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.model.setting import Direction, Setting

SETTINGS = grid.settings(Config().grid)
SMALL, LARGE = 16 * MIB, 256 * MIB


@lru_cache(maxsize=8)
def passed(direction: Direction = "read", *preferred: Setting, best_bytes_per_s: float = 6.5e9) -> Passed:
    """Return what a pass over the whole grid in small transfers leaves."""
    made = phase(
        direction=direction, points=grid.points(SETTINGS, SMALL), transfer_bytes=SMALL, visit_bytes=SMALL, visit_ns=1
    )
    model = Drive(noise=0.01, seed=1, best_bytes_per_s=best_bytes_per_s)
    found = Run(made, lambda samples: first_pass.next_round(made, samples), model)
    known = posterior(made, estimate.curve(made, found.samples))
    assert known is not None
    return Passed(settings=SETTINGS, known=known, preferred=preferred)


def chosen(
    left: Mapping[Direction, Passed], transfer_bytes: int = LARGE, read_weight: float = 0.5
) -> dict[Direction, tuple[Setting, ...]]:
    return finalists.finalists(left, DEFAULT_SETTING, transfer_bytes, read_weight)


# --- the ladder ------------------------------------------------------------------------------------------


def test_the_ladder_begins_with_the_cheapest() -> None:
    assert [cost(rung) for rung in LADDER] == sorted(cost(rung) for rung in LADDER)
    assert len(set(LADDER)) == len(LADDER)


def test_every_rung_is_in_the_default_grid() -> None:
    assert set(LADDER) <= set(SETTINGS)


def test_the_place_on_the_ladder_is_the_first_rungs() -> None:
    assert [ladder_place((rung,)) for rung in LADDER] == list(range(len(LADDER)))
    assert ladder_place((LADDER[3], setting(depth=99), LADDER[1])) == 1
    assert ladder_place((setting(depth=99),)) == ladder_place(()) == len(LADDER)


# --- who is a finalist -----------------------------------------------------------------------------------


@pytest.mark.parametrize("transfer_bytes", [SMALL, 64 * MIB, LARGE])
def test_there_are_so_many_at_most_and_all_are_different_programs(transfer_bytes: int) -> None:
    found = chosen({"read": passed(), "write": passed("write")}, transfer_bytes)
    assert set(found) == {"read", "write"}
    for settings in found.values():
        assert len(settings) == MOST
        assert len({grid.program(each, transfer_bytes) for each in settings}) == len(settings)


def test_the_default_comes_first_and_then_what_is_to_be_kept() -> None:
    """Neither need be in the grid: what is published now must be compared with the rest."""
    kept = setting(256 << 10, depth=17, threads=3)
    assert kept not in SETTINGS
    (found,) = chosen({"read": passed("read", kept, setting(depth=64, threads=8))}).values()
    assert found[:3] == (DEFAULT_SETTING, kept, setting(depth=64, threads=8))


def test_a_setting_to_keep_that_is_the_default_is_there_once() -> None:
    (found,) = chosen({"read": passed("read", DEFAULT_SETTING)}).values()
    assert found.count(DEFAULT_SETTING) == 1


def test_the_rungs_are_finalists_if_they_may_be_measured() -> None:
    left = passed()
    (found,) = chosen({"read": left}).values()
    assert set(LADDER) <= set(found)
    (few,) = chosen({"read": replace(left, settings=tuple(set(SETTINGS) - set(LADDER[2:])))}).values()
    assert set(few[:3]) == {DEFAULT_SETTING, *LADDER[:2]}


def test_the_likeliest_best_fill_the_rest() -> None:
    left = passed()
    (found,) = chosen({"read": left}).values()
    rest = found[1 + len(LADDER) :]
    chances = left.known.best_chances()
    chance_of = {
        alias: float(chance)
        for point, chance in zip(left.known.points, chances.tolist(), strict=True)
        for alias in point.point.aliases
    }
    ranked = [chance_of[each] for each in rest]
    assert ranked == sorted(ranked, reverse=True)
    # No point that was left out is likelier than the last that was taken, whose twin may be the reference's.
    taken = {grid.program(each, SMALL) for each in found}
    left_out = [chance for each, chance in chance_of.items() if grid.program(each, SMALL) not in taken]
    assert max(left_out, default=0.0) <= ranked[-1]


def test_of_one_program_the_deepest_and_largest_two_are_taken() -> None:
    """In a small transfer no deep queue fills, and the likeliest best of the pass is five settings in a long one."""
    alike = [setting(depth=depth, threads=4) for depth in (4, 8, 16, 32, 64)]
    points = [stats(9e9, *alike, width=1e-4), *(stats(1e9 + n, setting(depth=n), width=1e-4) for n in range(1, 4))]
    known = posterior(phase(), curve(*points))
    assert known is not None
    (found,) = chosen({"read": Passed(settings=(*alike,), known=known)}).values()
    assert [each for each in found if each in alike] == [setting(depth=64, threads=4), setting(depth=32, threads=4)]
    (short,) = chosen({"read": Passed(settings=(*alike,), known=known)}, SMALL).values()
    assert [each for each in short if each in alike] == [setting(depth=64, threads=4)]


# --- for both directions ---------------------------------------------------------------------------------

READER, WRITER = setting(depth=32, threads=2), setting(256 << 10, depth=4, threads=2)
MIDDLE, DULL = setting(512 << 10, depth=16, threads=2), setting(depth=64, threads=2)


def two_sided(read_weight: float) -> dict[Direction, tuple[Setting, ...]]:
    """READER and WRITER are the best of one direction; MIDDLE is the second of both, and never the likeliest."""
    speeds: dict[Direction, dict[Setting, float]] = {
        "read": {READER: 10e9, MIDDLE: 9.7e9, WRITER: 9.0e9, DULL: 9.6e9},
        "write": {WRITER: 10e9, MIDDLE: 9.7e9, READER: 9.0e9, DULL: 9.2e9},
    }
    left: dict[Direction, Passed] = {}
    for direction, of_setting in speeds.items():
        points = [stats(rate, which, width=1e-3) for which, rate in of_setting.items()]
        known = posterior(phase(direction=direction), curve(*points, direction=direction))
        assert known is not None
        left[direction] = Passed(settings=tuple(of_setting), known=known)
    return finalists.finalists(left, DEFAULT_SETTING, LARGE, read_weight)


def test_the_best_of_both_directions_are_finalists_of_each() -> None:
    for settings in two_sided(0.5).values():
        assert settings[:2] == (DEFAULT_SETTING, MIDDLE)


def test_the_weight_of_reads_orders_them() -> None:
    assert two_sided(1.0)["write"][1] == READER
    assert two_sided(0.0)["read"][1] == WRITER


def test_one_direction_has_no_combined_finalists() -> None:
    left = passed()
    (alone,) = chosen({"read": left}).values()
    (again,) = chosen({"read": left}, read_weight=0.0).values()
    assert alone == again
    assert chosen({}) == {}


def test_the_best_of_a_pass_are_among_the_finalists() -> None:
    found = chosen({"read": passed(), "write": passed("write", best_bytes_per_s=2e9)})
    model = Drive(noise=0.0, seed=0)
    best = max(map(model.truth, SETTINGS))
    for settings in found.values():
        shares = [model.truth(each) / best for each in settings]
        assert max(shares) > 0.99
        assert sum(share > 0.95 for share in shares) > MOST / 3
