"""A simulated drive's curves by request size compared with the truth; deterministic by model, seed and budgets."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from aio_tuned.profiles.kept_settings import KeptSettings
from aio_tuned.search import size_curve
from aio_tuned.sweep.planning import make_order
from aio_tuned.sweep.request import TuneRequest
from aio_tuned.sweep.run import run_sweep
from bench.trial import CONFIG, FILL_BYTES, TB
from fakes.simulated.drive import Drive
from fakes.simulated.helper import SimulatedHelper
from fakes.simulated.models import NAMED
from fakes.simulated.size_truth import saturating, true_curve
from unit.support.builders import device, scratch_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Engine, Sample
    from aio_tuned.model.size_curve import CurveOp, SizeCurve
    from aio_tuned.sweep.order import Order
    from fakes.simulated.model import DriveModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One size of a curve as published, and the truth.

    `doublings` is the published number in flight over the true one, in powers of two. `throughput` and `p99` are the
    published figure over the true one of that number in flight with the median climate of the size's visits; `p99` is
    None if it is not published. `share` is what the published number gives of the size's true best.
    """

    engine: Engine
    op: CurveOp
    request_bytes: int
    in_flight: int
    true_in_flight: int
    doublings: int
    throughput: float
    p99: float | None
    share: float
    visits: int
    behind_cliff: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveTrial:
    """The curves of one drive: seconds are measured ones of the helper, `cpu_s` is what Python took.

    `missing` is how many sizes have no figure at all. `sweep_s` and `sweep_written_bytes` are those of the whole sweep,
    with the filling of its file and the experiments after the choice.
    """

    model: str
    seed: int
    judged: tuple[Judged, ...]
    missing: int
    measured_s: float
    written_bytes: int
    read_bytes: int
    visits: int
    sweep_s: float
    sweep_written_bytes: int
    cpu_s: float


def judge(drive: Drive, curve: SizeCurve, samples: Sequence[Sample]) -> list[Judged]:
    """Compare each size of a curve with the truth; `samples` are all of the curve's own."""
    of_size: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        of_size[sample.request.setting.block_size].append(sample)
    # Each size learns from its neighbours, so that all are elsewhere if one is behind a cliff.
    behind_cliff = any(drive.journal[sample.request.id].behind_cliff for sample in samples)
    found: list[Judged] = []
    for size in curve.sizes:
        published, moods = curve.saturated(size), [drive.journal[one.request.id] for one in of_size[size]]
        points = {one.in_flight: one for one in true_curve(drive.model, curve.engine, curve.op, size)}
        truth, best = points[published.in_flight], max(one.bytes_per_s for one in points.values())
        right = saturating(drive.model, curve.engine, curve.op, size)
        level = math.exp(truth.strain * median(mood.climate_log for mood in moods))
        found.append(
            Judged(
                engine=curve.engine,
                op=curve.op,
                request_bytes=size,
                in_flight=published.in_flight,
                true_in_flight=right.in_flight,
                doublings=published.in_flight.bit_length() - right.in_flight.bit_length(),
                throughput=published.throughput_bytes_per_s / (truth.bytes_per_s * level),
                p99=published.p99_us and published.p99_us / (truth.p99_us / level),
                share=truth.bytes_per_s / best,
                visits=len(of_size[size]),
                behind_cliff=behind_cliff,
            )
        )
    return found


def order(model: DriveModel, seed: int, device_bytes: int = TB) -> Order:
    """Return a default sweep with its experiments after the choice, as `tune` orders it for a drive of that size.

    As in /sys, the drive's queue shows at which length the model splits requests.
    """
    asked = TuneRequest(target=Path("/mnt/nvme"), config=CONFIG, seed=seed, helper=Path("aio-sweep"))
    drive = device(size_bytes=device_bytes)
    drive = replace(drive, queue=replace(drive.queue, max_sectors_kb=model.max_sectors_kb))
    return make_order(asked, drive, scratch_target(span_bytes=FILL_BYTES), KeptSettings())


def run(name: str, seed: int) -> CurveTrial:
    """Sweep a fresh drive of that model, and judge its curves."""
    drive, asked = Drive(NAMED[name], seed), order(NAMED[name], seed)
    helper = SimulatedHelper(drive, fill_bytes=FILL_BYTES)
    started = time.process_time()
    outcome = asyncio.run(run_sweep(helper.helper, asked))
    judged: list[Judged] = []
    samples: list[Sample] = []
    missing = 0
    for plan in outcome.after.curves:
        own = [sample for sample in outcome.samples if plan.is_of(sample)]
        curve = size_curve.curve(plan, own)
        samples += own
        missing += len(plan.sizes) - (len(curve.sizes) if curve else 0)
        if curve:
            judged += judge(drive, curve, own)
    return CurveTrial(
        model=name,
        seed=seed,
        judged=tuple(judged),
        missing=missing,
        measured_s=sum(one.elapsed_ns for one in samples) / 1e9,
        written_bytes=sum(one.written_bytes for one in samples),
        read_bytes=sum(one.bytes - one.written_bytes for one in samples),
        visits=len(samples),
        sweep_s=drive.now_s,
        sweep_written_bytes=outcome.written_bytes,
        cpu_s=time.process_time() - started,
    )
