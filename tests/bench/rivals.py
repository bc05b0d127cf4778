"""Other search methods on the same drive model and transfer size, each with a fresh drive, for comparison with ours.

Every one fills the scratch file, then searches the reads, then the writes, as our sweep does.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aio_tuned.model.measurement import Request
from aio_tuned.model.setting import Setting
from aio_tuned.search import grid
from aio_tuned.search.taint import taint_reason
from bench.trial import FILL_BYTES, regret
from fakes.simulated.drive import Drive
from fakes.simulated.models import NAMED
from fakes.simulated.truth import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.setting import Direction
    from bench.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a rival chose for one direction, its regret there (see trial.Found), and what it had cost by then."""

    rival: str
    model: str
    seed: int
    direction: Direction
    transfer_bytes: int
    setting: Setting
    regret: float
    io_s: float
    bytes: int
    behind_cliff: bool


class _Bench:
    """One direction of a drive, and what visiting it has cost."""

    def __init__(self, drive: Drive, seed: int, direction: Direction, transfer_bytes: int) -> None:
        self._drive = drive
        self._seed = seed
        self._direction = direction
        self._transfer_bytes = transfer_bytes
        self.visits = 0
        self.io_s = 0.0
        self.bytes = 0
        self.behind_cliff = False
        self.dice = random.Random(f"{seed}/{direction}")

    def visit(self, setting: Setting, transfers: int = 1) -> Sample:
        self.visits += 1
        sample = self._drive.visit(
            Request(
                id=self.visits,
                direction=self._direction,
                setting=setting,
                transfer_bytes=self._transfer_bytes,
                min_ns=0,
                min_transfers=transfers,
            )
        )
        self.io_s += sample.elapsed_ns / 1e9
        self.bytes += sample.bytes
        self.behind_cliff |= self._drive.journal[self.visits].behind_cliff
        return sample

    def played(self, rival: str, setting: Setting) -> Played:
        model = self._drive.model
        return Played(
            rival=rival,
            model=model.name,
            seed=self._seed,
            direction=self._direction,
            transfer_bytes=self._transfer_bytes,
            setting=setting,
            regret=regret(model, self._direction, setting, self._transfer_bytes),
            io_s=self.io_s,
            bytes=self.bytes,
            behind_cliff=self.behind_cliff,
        )


class _Means:
    """The mean of the logarithms of what each setting gave; a tainted visit does not count."""

    def __init__(self) -> None:
        self._sums: dict[Setting, tuple[float, int]] = {}

    def add(self, sample: Sample) -> None:
        if not taint_reason(sample):
            total, count = self._sums.get(sample.request.setting, (0.0, 0))
            self._sums[sample.request.setting] = (total + math.log(sample.bytes_per_s), count + 1)

    def of(self, setting: Setting) -> float:
        """Minus infinity without a visit."""
        total, count = self._sums.get(setting, (-math.inf, 1))
        return total / count

    def best(self) -> Setting:
        return max(self._sums, key=self.of)


# --- DeepSpeed: each setting once, in the grid's order, the highest figure wins --------------------------------


def deepspeed_rates(visit: Callable[[Setting, int], Sample]) -> dict[Setting, float]:
    """Bytes per second of each setting by one transfer after one that warms up, as ds_nvme_tune takes them."""
    return {
        setting: sample.request.transfer_bytes * 1e9 / sample.transfers_ns[-1]
        for setting in SETTINGS
        for sample in (visit(setting, 2),)
    }


def highest_sum(read: Mapping[Setting, float], write: Mapping[Setting, float]) -> Setting:
    """The one setting that ds_nvme_tune prints for both directions."""
    return max(read, key=lambda setting: read[setting] + write[setting])


# --- sequential halving (Karnin, Koren & Somekh 2013; successive halving of Jamieson & Talwalkar 2016) ---------


def halving(
    arms: Sequence[Setting],
    pull: Callable[[Setting], float],
    budget: float,
    dice: random.Random,
    mean: Callable[[Setting], float],
) -> Setting:
    """The last of `arms`, of which each round keeps the better half by `mean`; a quarter if halves are not paid for.

    `pull` visits an arm and answers what that cost of `budget`. Every round may spend an equal part, in whole passes
    over what is left, in an order drawn anew for each, and at least one; what a round leaves, the next may use.
    """

    def visit_all(left: list[Setting]) -> float:
        dice.shuffle(left)
        return math.fsum(pull(arm) for arm in left)

    left = list(arms)
    cost = spent = visit_all(left)
    # One pass a round over ever fewer is two passes in all with halves, and four thirds of one with quarters.
    shrink = 2 if 2 * cost <= budget else 4
    rounds = 1
    while shrink**rounds < len(arms):
        rounds += 1
    for number in range(1, rounds + 1):
        if number > 1:
            cost = visit_all(left)
            spent += cost
        while spent + cost <= budget * number / rounds:
            cost = visit_all(left)
            spent += cost
        left = sorted(left, key=mean, reverse=True)[: math.ceil(len(left) / shrink)]
    return left[0]


# --- all of them -----------------------------------------------------------------------------------------------


def _benches(trial: Trial) -> dict[Direction, _Bench]:
    """A fresh drive, as the trial's was."""
    drive = Drive(NAMED[trial.model], trial.seed)
    drive.fill(FILL_BYTES)
    return {found.direction: _Bench(drive, trial.seed, found.direction, found.transfer_bytes) for found in trial.found}


def _deepspeed(trial: Trial) -> Iterator[Played]:
    benches = _benches(trial)
    rates = {direction: deepspeed_rates(bench.visit) for direction, bench in benches.items()}
    both = highest_sum(rates["read"], rates["write"])
    for direction, bench in benches.items():
        of_direction = rates[direction]
        yield bench.played("DeepSpeed, each direction", max(of_direction, key=lambda setting: of_direction[setting]))
        yield bench.played("DeepSpeed, one for both", both)


def _halving(trial: Trial) -> Iterator[Played]:
    """With what our sweep spent: the seconds of its reads, the bytes of its writes."""
    benches = _benches(trial)
    for found in trial.found:
        bench, means = benches[found.direction], _Means()

        def pull(setting: Setting, bench: _Bench = bench, means: _Means = means) -> float:
            sample = bench.visit(setting)
            means.add(sample)
            return sample.elapsed_ns / 1e9 if sample.request.direction == "read" else sample.bytes

        arms = [point.setting for point in grid.points(SETTINGS, found.transfer_bytes)]
        budget = found.io_s if found.direction == "read" else found.bytes
        yield bench.played("sequential halving", halving(arms, pull, budget, bench.dice, means.of))


def contest(trial: Trial) -> list[Played]:
    """Return the result of every rival on the trial's drive, at the transfer sizes of its comparisons."""
    return [*_deepspeed(trial), *_halving(trial)]


def parsed(record: dict[str, Any]) -> Played:
    """What was played, from its JSON."""
    return Played(**{**record, "setting": Setting(**record["setting"])})
