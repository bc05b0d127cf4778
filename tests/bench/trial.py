"""A sweep of a simulated drive compared with the truth; deterministic by model, seed and budgets."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

from aio_tuned.config.load import Config
from aio_tuned.errors import AioTunedError
from aio_tuned.model.setting import DEFAULT_SETTING, Setting
from aio_tuned.search import choose, effort, estimate, grid
from aio_tuned.search.posterior import posterior
from aio_tuned.search.taint import clean_samples, is_counted
from aio_tuned.sweep.order import Order
from aio_tuned.sweep.run import run_sweep
from fakes.simulated.drive import Drive
from fakes.simulated.helper import SimulatedHelper
from fakes.simulated.models import NAMED
from fakes.simulated.truth import SETTINGS, TRANSFER_BYTES, rows, truth

if TYPE_CHECKING:
    from aio_tuned.model.curve import Choice
    from aio_tuned.model.measurement import Phase
    from aio_tuned.model.setting import Direction
    from aio_tuned.sweep.order import PhaseOutcome, SweepOutcome
    from fakes.simulated.model import DriveModel

CONFIG = Config()
TOLERANCE = CONFIG.tolerance_percent / 100
FILL_BYTES = CONFIG.span_bytes
TB = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One direction: what was chosen and published, what it cost, and the truth of the chosen setting.

    `regret` is the true best over the true chosen throughput of a fresh drive, less one: at the transfer size of the
    phase that decided, and `regret_configured` at the configured one; `below_default` is how far the truth is below
    the default's, as a share, and `default_bytes_per_s` what the default was measured at. `regret95` is what was
    published. `level_bytes_per_s` is the truth with the median climate of the phase's counted visits,
    `fresh_bytes_per_s` that of a fresh drive. `behind_cliff` if any visit ended with the drive's fast store exhausted:
    there the truth is another.
    """

    direction: Direction
    transfer_bytes: int
    setting: Setting
    bytes_per_s: float
    low_bytes_per_s: float
    high_bytes_per_s: float
    default_bytes_per_s: float
    fresh_bytes_per_s: float
    level_bytes_per_s: float
    regret: float
    regret_configured: float
    below_default: float
    regret95: float
    kept: bool
    floored: bool
    raced: bool
    ties: int
    settled: bool
    ended: str
    io_s: float
    bytes: int
    visits: int
    tainted: int
    points: int
    planned: int
    noise: float
    drift: float
    behind_cliff: bool

    @property
    def shortfall(self) -> float:
        """How far the chosen setting is below the true best, as a share of it."""
        return 1 - 1 / (1 + self.regret)

    @property
    def share(self) -> float:
        """The chosen setting's share of the true best."""
        return 1 / (1 + self.regret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One sweep. Wall seconds are the drive's own, with the filling; `cpu_s` is what Python took.

    A sweep that ended with an error has no `found`, and says why.
    """

    model: str
    seed: int
    device_bytes: int
    found: tuple[Found, ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0
    written_bytes: int = 0
    error: str = ""

    def of(self, direction: Direction) -> Found | None:
        return next((found for found in self.found if found.direction == direction), None)


def order(seed: int, device_bytes: int = TB, max_transfer_ns: int | None = None) -> Order:
    """A sweep as `tune` orders it by default for a drive of that size, or the daemon, which limits a transfer."""
    usual = effort.extent("default", CONFIG.time_budget)
    budget = CONFIG.write_budget_bytes(device_bytes)
    return Order(
        settings={"read": SETTINGS, "write": SETTINGS},
        max_transfer_bytes=CONFIG.transfer_bytes,
        time_budget_ns=int(usual.time_budget_s * 1e9),
        pass_ns=int(usual.pass_s * 1e9),
        race_ns=int(usual.race_s * 1e9),
        usual_write_bytes=min(usual.usual_bytes or budget, budget),
        write_budget_bytes=budget,
        tolerance=TOLERANCE,
        seed=seed,
        max_transfer_ns=max_transfer_ns,
    )


@lru_cache(maxsize=4096)
def aliases(setting: Setting, transfer_bytes: int) -> frozenset[Setting]:
    """All settings of the grid that are the same program at that transfer size."""
    program = grid.program(setting, transfer_bytes)
    return frozenset(each for each in SETTINGS if grid.program(each, transfer_bytes) == program)


def regret(model: DriveModel, direction: Direction, setting: Setting, transfer_bytes: int) -> float:
    """True best over the setting's true throughput on a fresh drive, less one."""
    table = truth(model, direction, transfer_bytes)
    return table.best_bytes_per_s / table.of(setting) - 1


def shortfall(model: DriveModel, direction: Direction, setting: Setting, transfer_bytes: int) -> float:
    """How far the setting is below the best on a fresh drive, as a share of it."""
    return 1 - 1 / (1 + regret(model, direction, setting, transfer_bytes))


def level_bytes_per_s(drive: Drive, setting: Setting, outcome: SweepOutcome, phase: Phase) -> float:
    """The setting's truth at the median climate of the visits that count, as the drive's journal has it.

    Spells, tails, stalls and bursts are noise, and not in it.
    """
    counted = [sample.request.id for sample in outcome.samples if is_counted(sample, phase)]
    climate_log = median(drive.journal[number].climate_log for number in counted)
    row = rows(drive.model, phase.direction, SETTINGS, phase.transfer_bytes)[setting]
    return phase.transfer_bytes * 1e9 / row.transfer_ns * math.exp(row.strain * climate_log)


def chosen(outcome: SweepOutcome, one: PhaseOutcome) -> Choice:
    """What the sweep publishes for that direction."""
    known = posterior(one.phase, estimate.curve(one.phase, outcome.samples), one.preferred)
    assert known is not None
    return choose.choose(known, TOLERANCE, one.preferred, one.keep)


def _found(drive: Drive, outcome: SweepOutcome, one: PhaseOutcome) -> Found:
    phase, direction, transfer_bytes = one.phase, one.phase.direction, one.phase.transfer_bytes
    samples = [sample for sample in outcome.samples if sample.request.direction == direction]
    curve, choice = estimate.curve(phase, outcome.samples), chosen(outcome, one)
    setting, table = choice.setting, truth(drive.model, direction, transfer_bytes)
    return Found(
        direction=direction,
        transfer_bytes=transfer_bytes,
        setting=setting,
        bytes_per_s=choice.stats.bytes_per_s,
        low_bytes_per_s=choice.stats.low_bytes_per_s,
        high_bytes_per_s=choice.stats.high_bytes_per_s,
        default_bytes_per_s=curve.reference.bytes_per_s if curve.reference else 0.0,
        fresh_bytes_per_s=table.of(setting),
        level_bytes_per_s=level_bytes_per_s(drive, setting, outcome, phase),
        regret=regret(drive.model, direction, setting, transfer_bytes),
        regret_configured=regret(drive.model, direction, setting, TRANSFER_BYTES),
        below_default=1 - table.of(setting) / table.of(DEFAULT_SETTING),
        regret95=choice.regret95,
        kept=choice.kept,
        floored=choice.floored,
        raced=one.race is not None,
        ties=choice.ties,
        settled=one.settled,
        ended=one.ended,
        io_s=sum(sample.elapsed_ns for sample in samples) / 1e9,
        bytes=sum(sample.bytes for sample in samples),
        visits=len(samples),
        tainted=len(samples) - len(clean_samples(samples)),
        points=len(curve.points),
        planned=curve.planned,
        noise=curve.noise,
        drift=curve.drift,
        behind_cliff=any(drive.journal[sample.request.id].behind_cliff for sample in samples),
    )


def run(name: str, given: Order, device_bytes: int = TB) -> tuple[Trial, SweepOutcome | None]:
    """Sweep a fresh drive of that model; the outcome is None if the sweep failed."""
    drive = Drive(NAMED[name], given.seed)
    helper = SimulatedHelper(drive, fill_bytes=FILL_BYTES)
    started = time.process_time()
    trial = Trial(model=name, seed=given.seed, device_bytes=device_bytes)
    try:
        outcome = asyncio.run(run_sweep(helper.helper, given))
        found = tuple(_found(drive, outcome, one) for one in outcome.phases)
    except AioTunedError as error:
        return replace(trial, error=str(error)), None
    return replace(
        trial,
        found=found,
        wall_s=drive.now_s,
        cpu_s=time.process_time() - started,
        written_bytes=outcome.written_bytes,
    ), outcome


def parsed(record: dict[str, Any]) -> Trial:
    """A trial from its JSON."""
    found = tuple(Found(**{**each, "setting": Setting(**each["setting"])}) for each in record["found"])
    return Trial(**{**record, "found": found})
