"""One full default sweep of a simulated drive, and what it found beside the truth. Deterministic by model and seed."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

from aio_tuned.config.load import Config
from aio_tuned.errors import AioTunedError
from aio_tuned.model.setting import Setting
from aio_tuned.search import choose, estimate, grid
from aio_tuned.search.taint import clean_samples, is_counted
from aio_tuned.sweep.order import Order
from aio_tuned.sweep.run import run_sweep
from fakes.simulated.drive import Drive
from fakes.simulated.helper import SimulatedHelper
from fakes.simulated.models import NAMED
from fakes.simulated.truth import SETTINGS, TRANSFER_BYTES, rows, truth

if TYPE_CHECKING:
    from aio_tuned.model.curve import Choice
    from aio_tuned.model.setting import Direction
    from aio_tuned.sweep.order import PhaseOutcome, SweepOutcome
    from fakes.simulated.model import DriveModel

CONFIG = Config()
TOLERANCE = CONFIG.tolerance_percent / 100
FILL_BYTES = CONFIG.span_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One direction: what was chosen and published, what it cost, and the truth of the chosen setting.

    `regret` is the true best over the true chosen throughput of a fresh drive, less one: at the phase's own transfer
    size, and `regret_configured` at the configured one; `regret_highest` is that of the point that is held for
    the best, which the choice may leave for a cheaper one. `level_bytes_per_s` is the truth with the median climate of
    the phase's counted visits, `fresh_bytes_per_s` that of a fresh drive. `behind_cliff` if any visit ended with the
    drive's fast store exhausted: there the truth is another.
    """

    direction: Direction
    transfer_bytes: int
    setting: Setting
    bytes_per_s: float
    low_bytes_per_s: float
    high_bytes_per_s: float
    fresh_bytes_per_s: float
    level_bytes_per_s: float
    regret: float
    regret_configured: float
    regret_highest: float
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
    found: tuple[Found, ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0
    written_bytes: int = 0
    error: str = ""

    def of(self, direction: Direction) -> Found | None:
        return next((found for found in self.found if found.direction == direction), None)


def order(seed: int, max_transfer_ns: int | None = None) -> Order:
    """A sweep as `tune` orders it by default, or the daemon, which limits what a transfer takes."""
    return Order(
        settings={"read": SETTINGS, "write": SETTINGS},
        max_transfer_bytes=CONFIG.transfer_bytes,
        time_budget_ns=int(CONFIG.time_budget * 1e9),
        write_budget_bytes=CONFIG.write_budget,
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


def level_bytes_per_s(drive: Drive, setting: Setting, phase: PhaseOutcome) -> float:
    """The setting's truth at the median climate of the visits that count, as the drive's journal has it.

    Spells, tails, stalls and bursts are noise, and not in it.
    """
    plan_ = phase.phase
    counted = [sample.request.id for sample in phase.samples if is_counted(sample, plan_)]
    climate_log = median(drive.journal[number].climate_log for number in counted)
    row = rows(drive.model, plan_.direction, SETTINGS, plan_.transfer_bytes)[setting]
    return plan_.transfer_bytes * 1e9 / row.transfer_ns * math.exp(row.strain * climate_log)


def _found(drive: Drive, outcome: PhaseOutcome) -> Found:
    phase, samples = outcome.phase, outcome.samples
    direction, transfer_bytes = phase.direction, phase.transfer_bytes
    curve = estimate.curve(phase, samples)
    choice: Choice = choose.choose(curve, TOLERANCE)
    chosen = choice.stats
    setting = chosen.point.setting
    return Found(
        direction=direction,
        transfer_bytes=transfer_bytes,
        setting=setting,
        bytes_per_s=chosen.bytes_per_s,
        low_bytes_per_s=chosen.low_bytes_per_s,
        high_bytes_per_s=chosen.high_bytes_per_s,
        fresh_bytes_per_s=truth(drive.model, direction, transfer_bytes).of(setting),
        level_bytes_per_s=level_bytes_per_s(drive, setting, outcome),
        regret=regret(drive.model, direction, setting, transfer_bytes),
        regret_configured=regret(drive.model, direction, setting, TRANSFER_BYTES),
        regret_highest=regret(drive.model, direction, choice.best.point.setting, transfer_bytes),
        ties=choice.ties,
        settled=outcome.settled,
        ended=outcome.ended,
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


def run(name: str, seed: int, max_transfer_ns: int | None = None) -> tuple[Trial, SweepOutcome | None]:
    """Sweep a fresh drive of that model; the outcome is None if the sweep failed."""
    drive = Drive(NAMED[name], seed)
    helper = SimulatedHelper(drive, fill_bytes=FILL_BYTES)
    started = time.process_time()
    try:
        outcome = asyncio.run(run_sweep(helper.helper, order(seed, max_transfer_ns)))
        found = tuple(_found(drive, phase) for phase in outcome.phases)
    except AioTunedError as error:
        return Trial(model=name, seed=seed, error=str(error)), None
    trial = Trial(
        model=name,
        seed=seed,
        found=found,
        wall_s=drive.now_s,
        cpu_s=time.process_time() - started,
        written_bytes=outcome.written_bytes,
    )
    return trial, outcome


def parsed(record: dict[str, Any]) -> Trial:
    """A trial from its JSON."""
    found = tuple(Found(**{**each, "setting": Setting(**each["setting"])}) for each in record["found"])
    return Trial(**{**record, "found": found})
