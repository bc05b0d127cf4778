"""Finished sweeps of simulated drives as the archive stores them, small and quick to make."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.config.load import Config
from aio_tuned.model.device import Queue
from aio_tuned.search import effort
from aio_tuned.search import grid as search_grid
from aio_tuned.storage.sweep_archive import StoredSweep
from aio_tuned.sweep import profile_builder
from aio_tuned.sweep.order import Order
from aio_tuned.sweep.run import run_sweep
from fakes.simulated.drive import Drive
from fakes.simulated.helper import SimulatedHelper
from fakes.simulated.models import NAMED
from unit.support.builders import GIB, MIB, SMALL_GRID, device, scratch_target

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.profile import Effort
    from aio_tuned.model.setting import Grid
    from aio_tuned.sweep.order import SweepOutcome

BEGUN_S = 1_764_000_000.0
FULL_GRID = Config().grid


@lru_cache(maxsize=32)
def swept(
    name: str = "970-evo-plus",
    *,
    seed: int = 1,
    grid: Grid = SMALL_GRID,
    how: Effort = "default",
    time_budget_s: float = 6.0,
    write_budget_bytes: int = 8 * GIB,
    read_only: bool = False,
) -> SweepOutcome:
    """Return the outcome of a sweep of that model."""
    extent = effort.extent(how, time_budget_s)
    chosen = search_grid.settings(grid)
    budget_bytes = int(write_budget_bytes * extent.write_share)
    order = Order(
        settings={"read": chosen} if read_only else {"read": chosen, "write": chosen},
        max_transfer_bytes=128 * MIB,
        time_budget_ns=int(extent.time_budget_s * 1e9),
        pass_ns=int(extent.pass_s * 1e9),
        race_ns=int(extent.race_s * 1e9),
        usual_write_bytes=min(extent.usual_bytes or budget_bytes, budget_bytes),
        write_budget_bytes=budget_bytes,
        tolerance=0.02,
        seed=seed,
        fraction=extent.fraction,
        sustain_share=extent.sustain_share,
    )
    return asyncio.run(run_sweep(SimulatedHelper(Drive(NAMED[name], seed)).helper, order))


def timed(samples: tuple[Sample, ...], *, pause_s: float = 0.0) -> tuple[Sample, ...]:
    """Return the samples with their end times, a pause after a quarter of them, and a rising temperature."""
    found, now_s = [], BEGUN_S
    for number, sample in enumerate(samples):
        now_s += sample.wall_ns / 1e9 + (pause_s if number == len(samples) // 4 else 0.0)
        found.append(replace(sample, at_s=now_s, celsius=38.0 + 20.0 * number / len(samples)))
    return tuple(found)


@lru_cache(maxsize=32)
def stored(
    name: str = "970-evo-plus",
    *,
    grid: Grid = SMALL_GRID,
    how: Effort = "default",
    pause_s: float = 0.0,
    model: str = "",
    measured_at: str = "2025-11-24T16:00:00+00:00",
    with_times: bool = True,
    **order: Any,  # noqa: ANN401 - of swept()
) -> StoredSweep:
    """Return the sweep as the archive has it."""
    outcome = swept(name, grid=grid, how=how, **order)
    built = profile_builder.build_profile(
        device(model=model or name.upper(), name=name, queue=Queue(max_sectors_kb=512, nr_requests=1023)),
        replace(scratch_target(), no_write="asked for reads only" if order.get("read_only") else ""),
        Config(grid=grid, effort=how),
        outcome,
        profile_builder.Circumstances(
            measured_at=measured_at,
            seconds=sum(sample.wall_ns for sample in outcome.samples) / 1e9,
            kernel="6.8.0-45-generic",
            tool_version="0.1.0",
            seed=order.get("seed", 1),
            temperature_peak_c=58.0,
            paused_seconds=pause_s,
        ),
        "auto",
    )
    samples = timed(outcome.samples, pause_s=pause_s) if with_times else outcome.samples
    return StoredSweep(profile=built.profile, samples=samples, path=Path(f"/nowhere/{name}.toml"))
