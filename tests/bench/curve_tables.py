"""Markdown tables of the curves by request size against the truth."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, get_args

from aio_tuned.model.size_curve import CurveOp
from bench import scores
from bench.tables import GIB, header, percent, row
from fakes.simulated.models import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.curve_trial import CurveTrial, Judged

MAX_DOUBLINGS, MAX_OFF, MAX_P99_OFF = 1, 0.03, 0.2
MAX_MEASURED_S, MAX_WRITTEN_BYTES = 25.0, 4 * GIB
MAX_SWEEP_S, MAX_SWEEP_BYTES = 75.0, 24 * GIB
SEVEN_GB = (6.5e9, 7.5e9)
OTHER = "other physics"


def near(one: Judged) -> bool:
    return abs(one.doublings) <= MAX_DOUBLINGS


def exact(one: Judged) -> bool:
    return abs(one.throughput - 1) <= MAX_OFF


def right(one: Judged) -> bool:
    return near(one) and exact(one)


def share(judged: Iterable[Judged], is_so: Callable[[Judged], bool]) -> float:
    found = [is_so(one) for one in judged]
    return statistics.fmean(found) if found else math.nan


def groups_of(found: Sequence[CurveTrial]) -> dict[str, list[CurveTrial]]:
    """Return the trials of the drives whose physics the search was made for, and those of other physics."""
    usual = [each for each in found if NAMED[each.model].family != "other"]
    other = [each for each in found if NAMED[each.model].family == "other"]
    count = len({each.model for each in usual})
    return {name: trials for name, trials in ((f"{count} models", usual), (OTHER, other)) if trials}


def _judged(trials: Iterable[CurveTrial]) -> list[Judged]:
    return [one for each in trials for one in each.judged]


def _cells(judged: Sequence[Judged]) -> list[object]:
    level = [one for one in judged if not one.behind_cliff]
    p99 = [abs(one.p99 - 1) for one in level if one.p99 is not None]
    shares = [one.share for one in level]
    return [
        len(level),
        *(percent(share(level, test), 1) for test in (near, exact, right)),
        percent(scores.percentile([abs(one.throughput - 1) for one in level], 0.95), 1) if level else "",
        percent(statistics.fmean(shares), 1) if shares else "",
        percent(len(p99) / len(level), 1) if level else "",
        percent(statistics.fmean(off <= MAX_P99_OFF for off in p99), 1) if p99 else "",
        len(judged) - len(level),
    ]


_COLUMNS = (
    "sizes",
    "in flight within a doubling",
    "throughput within 3 %",
    "both",
    "throughput off: p95",
    "of the true best",
    "with a p99",
    "p99 within 20 %",
    "left out: behind a cliff",
)


def quality(of_group: dict[str, list[CurveTrial]]) -> None:
    header("models", "engine", "op", *_COLUMNS)
    for group, trials in of_group.items():
        judged = _judged(trials)
        for engine in sorted({one.engine for one in judged}):
            for op in get_args(CurveOp):
                row(group, engine, op, *_cells([one for one in judged if (one.engine, one.op) == (engine, op)]))
        row(group, "all", "all", *_cells(judged))


def by_size(of_group: dict[str, list[CurveTrial]]) -> None:
    header("models", "size, KiB", *_COLUMNS)
    for group, trials in of_group.items():
        judged = _judged(trials)
        for size in sorted({one.request_bytes for one in judged}):
            row(group, size >> 10, *_cells([one for one in judged if one.request_bytes == size]))


def cost(of_group: dict[str, list[CurveTrial]]) -> None:
    header(
        "models",
        *("measured s: mean", "p95", "most", "above 25 s"),
        *("GiB written: mean", "p95", "most", "above 4 GiB"),
        *("GiB read", "measurements", "sizes without", "Python ms"),
    )
    for group, trials in of_group.items():
        cells: list[object] = []
        for limit, value in (
            (MAX_MEASURED_S, [each.measured_s for each in trials]),
            (MAX_WRITTEN_BYTES / GIB, [each.written_bytes / GIB for each in trials]),
        ):
            cells += [f"{statistics.fmean(value):.2f}", f"{scores.percentile(value, 0.95):.2f}", f"{max(value):.2f}"]
            cells.append(f"{sum(each > limit for each in value)} of {len(value)}")
        row(
            group,
            *cells,
            f"{statistics.fmean(each.read_bytes for each in trials) / GIB:.1f}",
            f"{statistics.fmean(each.visits for each in trials):.0f}",
            sum(each.missing for each in trials),
            f"{statistics.fmean(each.cpu_s for each in trials) * 1e3:.0f}",
        )


def whole_sweep(found: Sequence[CurveTrial]) -> None:
    """Print the cost of a default sweep with its curves on drives that read about 7 GB/s."""
    header("drive", "sweep s: mean", "most", "above 75 s", "GiB written: mean", "most", "above 24 GiB")
    for name, trials in by_model(found).items():
        if not SEVEN_GB[0] <= NAMED[name].read.bytes_per_s <= SEVEN_GB[1]:
            continue
        cells: list[object] = []
        for limit, value in (
            (MAX_SWEEP_S, [each.sweep_s for each in trials]),
            (MAX_SWEEP_BYTES / GIB, [each.sweep_written_bytes / GIB for each in trials]),
        ):
            cells += [f"{statistics.fmean(value):.1f}", f"{max(value):.1f}"]
            cells.append(f"{sum(each > limit for each in value)} of {len(value)}")
        row(name, *cells)


def by_model(found: Iterable[CurveTrial]) -> dict[str, list[CurveTrial]]:
    of_model: dict[str, list[CurveTrial]] = {}
    for each in found:
        of_model.setdefault(each.model, []).append(each)
    return of_model


def each_model(found: Sequence[CurveTrial]) -> None:
    """Print each model's figures, the worst first."""
    header("model", *_COLUMNS, "measured s", "GiB written")
    for name, trials in sorted(by_model(found).items(), key=lambda item: share(_judged(item[1]), right)):
        seconds = statistics.fmean(each.measured_s for each in trials)
        written = statistics.fmean(each.written_bytes for each in trials) / GIB
        row(name, *_cells(_judged(trials)), f"{seconds:.1f}", f"{written:.2f}")


def worst(found: Sequence[CurveTrial], count: int) -> None:
    """Print the sizes that are farthest from the truth."""
    header("model", "seed", "engine", "op", "size, KiB", "in flight", "true", "throughput off", "p99 off", "visits")
    wrong = [(each, one) for each in found for one in each.judged if not right(one) and not one.behind_cliff]
    wrong.sort(key=lambda pair: -max(abs(pair[1].throughput - 1) / MAX_OFF, abs(pair[1].doublings)))
    for each, one in wrong[:count]:
        p99 = "" if one.p99 is None else f"{one.p99 - 1:+.1%}"
        row(
            *(each.model, each.seed, one.engine, one.op, one.request_bytes >> 10, one.in_flight, one.true_in_flight),
            *(f"{one.throughput - 1:+.1%}", p99, one.visits),
        )


def tables(found: Sequence[CurveTrial], *, each: bool, wrong: int) -> None:
    groups = groups_of(found)
    quality(groups)
    by_size(groups)
    cost(groups)
    whole_sweep(found)
    if each:
        each_model(found)
    if wrong:
        worst(found, wrong)
