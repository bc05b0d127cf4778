#!/usr/bin/env python3
"""Test the promises of the search on simulated drives: repeated sweeps, small budgets, and checks of siblings.

    search_promises.py [resweeps|budgets|checks]... [--seeds 8] [--models …] [--jobs 2] [--sweeps 10000]

`resweeps`: each drive is swept again with other noise, with the first sweep's settings to keep, and with settings that
are 4 to 6 % below the best. How often is each kept? `budgets`: sweeps with random times from 2 s and
random write budgets. How often is a setting published that was measured below the default, or is in truth more than
1 % below it? `checks`: another drive of the model is checked against a sweep's choice: as it is, and with the class of
the chosen setting (threads and block size) 5 % slower. How often is the first refused, and the second confirmed?
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before numpy is imported: with two threads a sweep takes ten times as long.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from aio_tuned.errors import AioTunedError
from aio_tuned.model.setting import DEFAULT_SETTING, Direction
from aio_tuned.sweep.run import run_sweep
from bench import search, trial
from bench.tables import BELOW, header, percent, row
from fakes.simulated.drive import Drive
from fakes.simulated.helper import SimulatedHelper
from fakes.simulated.models import NAMED
from fakes.simulated.truth import SETTINGS, TRANSFER_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.curve import Choice
    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.model.setting import Setting
    from aio_tuned.sweep.order import Order, SweepOutcome

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
KINDS = ("resweeps", "budgets", "checks")
_OTHER_NOISE = 1000
_WORSE = (0.04, 0.06)
_SLOWER = 0.05
_MIN_S, _MAX_S = 2, 90
_MIN_GIB, _MAX_GIB = 3, 24


class Resweep(NamedTuple):
    """A sweep with an earlier setting to keep, its own or a worse one: whether it was kept."""

    direction: Direction
    worse: bool
    kept: bool


class Small(NamedTuple):
    """A sweep with a small budget; `failed` if it published nothing."""

    direction: Direction
    seconds: float
    failed: bool
    measured_below: bool
    below_default: float


class Checked(NamedTuple):
    """A check of a sibling's setting, on a drive as it is and on one whose class is slower; what it cost."""

    direction: Direction
    confirmed: bool
    slower_confirmed: bool
    io_s: float
    gib: float


def _worse(name: str, direction: Direction, dice: random.Random) -> tuple[Setting, ...]:
    """A setting that is 4 to 6 % below the best in truth, if the drive has one."""
    model, size = NAMED[name], TRANSFER_BYTES
    fitting = [each for each in SETTINGS if _WORSE[0] < trial.shortfall(model, direction, each, size) < _WORSE[1]]
    return (dice.choice(fitting),) if fitting else ()


def resweeps(name: str, seeds: range) -> list[Resweep]:
    found = []
    for seed in seeds:
        first, _ = trial.run(name, trial.order(seed))
        own = {each.direction: (each.setting,) for each in first.found}
        dice = random.Random(f"{name}/{seed}")
        worse = {direction: chosen for direction in own if (chosen := _worse(name, direction, dice))}
        for is_worse, preferred in ((False, own), (True, worse)):
            again, _ = trial.run(name, replace(trial.order(seed + _OTHER_NOISE), preferred=preferred))
            found += [
                Resweep(each.direction, is_worse, each.setting in trial.aliases(was[0], each.transfer_bytes))
                for each in again.found
                if (was := preferred.get(each.direction))
            ]
    return found


def small_budgets(name: str, seeds: range) -> list[Small]:
    found = []
    for seed in seeds:
        dice = random.Random(f"{name}/{seed}")
        seconds = math.exp(dice.uniform(math.log(_MIN_S), math.log(_MAX_S)))
        budget = int(dice.uniform(_MIN_GIB, _MAX_GIB) * 2**30)
        given = replace(
            trial.order(seed), time_budget_ns=int(seconds * 1e9), write_budget_bytes=budget, usual_write_bytes=budget
        )
        done, _ = trial.run(name, given)
        if done.error:
            found.append(Small("read", seconds, failed=True, measured_below=False, below_default=0.0))
        for each in done.found:
            below = each.bytes_per_s < each.default_bytes_per_s
            found.append(
                Small(each.direction, seconds, failed=False, measured_below=below, below_default=each.below_default)
            )
    return found


class _SlowerDrive(Drive):
    """A drive on which one class of settings is slower than on the others of its model."""

    def __init__(self, name: str, seed: int, slower: Setting | None) -> None:
        super().__init__(NAMED[name], seed)
        self._slower = slower

    def visit(self, request: Request) -> Sample:
        sample = super().visit(request)
        own, slower = request.setting, self._slower
        if slower is None or (own.io_parallelism, own.block_size) != (slower.io_parallelism, slower.block_size):
            return sample
        lost_ns = int(sample.elapsed_ns * _SLOWER)
        return replace(sample, elapsed_ns=sample.elapsed_ns + lost_ns, wall_ns=sample.wall_ns + lost_ns)


def _check(name: str, seed: int, direction: Direction, choice: Choice, *, slower: bool) -> tuple[bool, SweepOutcome]:
    """Check the choice on another drive; return whether it is confirmed, as siblings.check_settings asks for it."""
    drive = _SlowerDrive(name, seed, choice.setting if slower else None)
    settings = tuple(dict.fromkeys((choice.setting, *(one for one, _ in choice.challengers), DEFAULT_SETTING)))
    given: Order = replace(
        trial.order(seed),
        settings={direction: settings},
        check=True,
        shares={direction: {DEFAULT_SETTING: 1 / (1 + choice.versus_default), **dict(choice.challengers)}},
        preferred={direction: (choice.setting,)},
    )
    outcome = asyncio.run(run_sweep(SimulatedHelper(drive, fill_bytes=trial.FILL_BYTES).helper, given))
    (one,) = outcome.phases
    return one.settled and trial.chosen(outcome, one).setting in (choice.setting, DEFAULT_SETTING), outcome


def checks(name: str, seeds: range) -> list[Checked]:
    found = []
    for seed in seeds:
        _, outcome = trial.run(name, trial.order(seed))
        if outcome is None:
            continue
        for one in outcome.phases:
            direction, choice = one.phase.direction, trial.chosen(outcome, one)
            try:
                good, checked = _check(name, seed + _OTHER_NOISE, direction, choice, slower=False)
                bad, _ = _check(name, seed + _OTHER_NOISE, direction, choice, slower=True)
            except AioTunedError:
                continue
            io_s = sum(sample.elapsed_ns for sample in checked.samples) / 1e9
            gib = sum(sample.bytes for sample in checked.samples) / 2**30
            found.append(Checked(direction, good, bad, io_s, gib))
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def show_resweeps(found: list[Resweep]) -> None:
    header("direction", "sweeps", "kept its own setting", "sweeps", "kept one 4 to 6 % below the best")
    for direction in DIRECTIONS:
        own = [each.kept for each in found if each.direction == direction and not each.worse]
        worse = [each.kept for each in found if each.direction == direction and each.worse]
        row(direction, len(own), percent(_mean(own), 1), len(worse), percent(_mean(worse), 1))


def show_budgets(found: list[Small]) -> None:
    header(
        "direction", "sweeps", "published nothing", "measured below the default", "in truth more than 1 % below", "most"
    )
    for direction in DIRECTIONS:
        own = [each for each in found if each.direction == direction]
        row(
            direction,
            len(own),
            sum(each.failed for each in own),
            sum(each.measured_below for each in own),
            sum(each.below_default > BELOW for each in own),
            percent(max((each.below_default for each in own), default=math.nan)),
        )


def show_checks(found: list[Checked]) -> None:
    header("direction", "checks", "refused as it is", "confirmed though 5 % slower", "I/O s", "GiB")
    for direction in DIRECTIONS:
        own = [each for each in found if each.direction == direction]
        row(
            direction,
            len(own),
            percent(_mean([not each.confirmed for each in own]), 1),
            percent(_mean([each.slower_confirmed for each in own]), 1),
            f"{_mean([each.io_s for each in own]):.1f}",
            f"{_mean([each.gib for each in own]):.1f}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help="resweeps, budgets, checks (default: all)")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--models", nargs="+", default=["all"], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sweeps", type=int, default=10_000, help="of small budgets")
    asked = parser.parse_args()
    chosen, what = search.names(asked.models), asked.what or KINDS
    if unknown := set(what) - set(KINDS):
        sys.exit(f"no such experiment: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    for kind, seeds, play, show in (
        ("resweeps", asked.seeds, resweeps, show_resweeps),
        ("budgets", math.ceil(asked.sweeps / len(chosen)), small_budgets, show_budgets),
        ("checks", asked.seeds, checks, show_checks),
    ):
        if kind in what:
            tasks = [partial(play, name, some) for name in chosen for some in search.chunks(seeds, 4)]
            print(f"\n## {kind}")
            show(search.run(tasks, asked.jobs))


if __name__ == "__main__":
    main()
