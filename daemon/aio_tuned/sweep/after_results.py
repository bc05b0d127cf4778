"""The results of the experiments after the choice, as parts of a profile and as findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from aio_tuned import formatting
from aio_tuned.model.profile import Concurrency
from aio_tuned.profiles.replacement import NO_CURVES
from aio_tuned.search import huge_pages, new_file, processes, size_curve
from aio_tuned.search.taint import is_counted, taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aio_tuned.config.load import Config
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.size_curve import SizeCurve
    from aio_tuned.search.huge_pages import Gain
    from aio_tuned.search.processes import Together
    from aio_tuned.sweep.decided import Decided
    from aio_tuned.sweep.order import Experiments, SweepOutcome

# The engines are compared with requests of this size.
_COMPARED_BYTES = 128 << 10
# Huge pages are worth a finding if they add more than this share with 95 % confidence.
_NOTABLE_GAIN = 0.03
# New files are, if they are slower than this share of the chosen setting in an existing file.
_NOTABLY_SLOWER = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterResults:
    """The curves, the figures of several processes, fields of Evidence by their names, and the findings."""

    curves: tuple[SizeCurve, ...] = ()
    concurrency: Concurrency | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def collect(outcome: SweepOutcome, found: Iterable[Decided], config: Config, checked_against: str) -> AfterResults:
    """Return the results of all experiments after the choice of a sweep, empty without any.

    `checked_against` is the drive whose settings were only checked, or "".
    """
    after, samples, hello = outcome.after, outcome.samples, outcome.hello
    curves = [curve for plan in after.curves if (curve := size_curve.curve(plan, samples)) is not None]
    gains = {extra.direction: gain for extra in after.memory if (gain := huge_pages.gain(extra, samples)) is not None}
    evidence: dict[str, Any] = {
        "huge_share": round(hello.huge_share, 4),
        "mean_run_bytes": hello.mean_run_bytes,
        "thp": hello.thp_policy or None,
    }
    for direction, gain in gains.items():
        evidence[f"{direction}_huge_gain_percent"] = _percent(gain.gain)
        evidence[f"{direction}_huge_gain_ci95_percent"] = (_percent(gain.low), _percent(gain.high))
    rate = new_file.bytes_per_s(after.new_file.clean(samples)) if after.new_file else None
    if rate is not None:
        evidence["first_write_throughput_bytes_per_s"] = round(rate)
    chosen = {one.curve.direction: one for one in found}
    for direction, one in chosen.items():
        if (return_us := _return_us(one)) is not None:
            evidence[f"{direction}_return_us"] = return_us
    evidence |= _ratios(after, outcome)
    write = chosen.get("write")
    return AfterResults(
        curves=tuple(curves),
        concurrency=_concurrency(outcome),
        evidence=evidence,
        findings=(
            *_huge_findings(gains, hello.thp_policy),
            *(_new_file_findings(rate, write.choice.stats.bytes_per_s) if rate is not None and write else ()),
            *_engine_findings(after),
            *_failed_findings(after),
            *_missing(outcome, curves, config, checked_against),
        ),
    )


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _return_us(one: Decided) -> float | None:
    """Return the median of the chosen setting's times from the last completion to the caller; None if unknown."""
    phase, setting = one.phase.phase, one.choice.setting
    aliases = next((point.aliases for point in phase.points if setting in point.aliases), (setting,))
    times = [
        sample.return_ns
        for sample in one.samples
        if is_counted(sample, phase)
        and sample.return_ns
        and sample.request.setting in aliases
        and not taint_reason(sample)
    ]
    return round(median(times) / 1000, 1) if times else None


def _ratios(after: Experiments, outcome: SweepOutcome) -> dict[str, Any]:
    """Return how io_uring compares with psync, by the names of the fields."""
    plans = {(plan.engine, plan.op): plan for plan in after.curves}
    found: dict[str, Any] = {}
    for op in ("read", "write"):
        ring, threads = plans.get(("io_uring", op)), plans.get(("psync", op))
        if ring is None or threads is None:
            continue
        if (ratio := size_curve.ratio(ring, threads, outcome.samples, _COMPARED_BYTES)) is not None:
            found[f"io_uring_{op}_ratio"] = round(ratio.ratio, 4)
            found[f"io_uring_{op}_ratio_ci95"] = (round(ratio.low, 4), round(ratio.high, 4))
    return found


def _concurrency(outcome: SweepOutcome) -> Concurrency | None:
    """Return the section on several processes; None if no number of them was measured in all directions."""
    after = outcome.after
    found = {
        extra.direction: {one.processes: one for one in processes.found(extra, after.numbers, outcome.samples)}
        for extra in after.processes
    }
    found = {direction: of_number for direction, of_number in found.items() if of_number}
    numbers = tuple(number for number in after.numbers if all(number in of_number for of_number in found.values()))
    if not found or not numbers:
        return None
    arrays: dict[str, Any] = {}
    for direction, of_number in found.items():
        arrays |= _arrays(direction, [of_number[number] for number in numbers])
    return Concurrency(processes=numbers, **arrays)


def _arrays(direction: str, every: Sequence[Together]) -> dict[str, Any]:
    return {
        f"{direction}_throughput_bytes_per_s": tuple(round(one.bytes_per_s) for one in every),
        f"{direction}_p99_us": tuple(0.0 if one.p99_us is None else max(0.1, round(one.p99_us, 1)) for one in every),
        f"{direction}_slowest_share": tuple(round(one.slowest_share, 3) for one in every),
        f"{direction}_divisor": tuple(one.divisor for one in every),
    }


def _huge_findings(gains: Mapping[Direction, Gain], policy: str) -> Iterable[str]:
    notable = {direction: gain for direction, gain in gains.items() if gain.low > _NOTABLE_GAIN}
    if not notable:
        return
    added = " and ".join(
        f"{100 * gain.gain:.0f} % to {direction}s ({100 * gain.low:.0f} to {100 * gain.high:.0f} %)"
        for direction, gain in notable.items()
    )
    if policy == "always":
        action = "the kernel found too few of them; free memory, or reserve some (vm.nr_hugepages)"
    else:
        action = (
            "`echo always > /sys/kernel/mm/transparent_hugepage/enabled` gives them to consumers that allocate as"
            " DeepSpeed does"
        )
    yield f"memory: huge pages would add {added}; the figures are for the memory that this host gives; {action}"


def _new_file_findings(bytes_per_s: float, usual_bytes_per_s: float) -> Iterable[str]:
    share = bytes_per_s / usual_bytes_per_s
    if share < _NOTABLY_SLOWER:
        yield (
            f"write: a new file takes {formatting.throughput(bytes_per_s)}, {100 * (1 - share):.0f} % less than an"
            " existing one, since each write extends it; preallocate new files with fallocate, or reuse existing ones"
        )


def _engine_findings(after: Experiments) -> Iterable[str]:
    for engine, why in after.absent:
        yield f"engines: {engine} cannot be used on this host ({why}); the profile has no curves for it"


def _failed_findings(after: Experiments) -> Iterable[str]:
    if after.failed:
        yield (
            f"{after.failed.activity}: not measured ({after.failed.message}); this experiment and those that would have"
            " followed are left out of the profile; run aio-tuned tune again"
        )


def _missing(outcome: SweepOutcome, curves: Sequence[SizeCurve], config: Config, checked_against: str) -> Iterable[str]:
    """Yield why curves are missing, or which of their sizes are."""
    if not config.curves:
        return
    if checked_against:
        yield NO_CURVES
    elif config.effort == "quick":
        yield "curves: not measured in a quick sweep; use --effort default for curves by request size"
    elif outcome.after.curves and not outcome.after.failed:
        measured = sum(len(curve.sizes) for curve in curves)
        planned = sum(len(plan.sizes) for plan in outcome.after.curves)
        if measured < planned:
            yield (
                f"curves: {measured} of {planned} request sizes were measured before the budgets ended; raise"
                " --time-budget or --write-budget"
            )
