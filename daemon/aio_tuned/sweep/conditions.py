"""Findings on the conditions of a sweep: what makes its profile provisional, and what else a reader of it must know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.search import grid as search_grid
from aio_tuned.search import steady_state
from aio_tuned.search.taint import clean_samples
from aio_tuned.sweep import page_cache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.config.load import Config
    from aio_tuned.model.curve import Curve, Steady
    from aio_tuned.model.device import Device
    from aio_tuned.model.setting import Grid
    from aio_tuned.model.target import Target
    from aio_tuned.sweep.decided import Decided
    from aio_tuned.sweep.findings import Facts
    from aio_tuned.sweep.order import SweepOutcome

# A drift or a noise larger than this share is reported.
_NOTABLE = 0.05
# A larger correlation of successive measurements means that the drift could not be removed completely.
_REMAINS = 0.3
# Shorter transfers cannot fill deep queues: 64 MiB give each of eight threads 8 MiB, which is eight blocks of 1 MiB.
_SHORT_TRANSFER_BYTES = 64 << 20
# The choice is of low confidence if it may be further below the best than this share, with 95 %.
LOW_CONFIDENCE = 0.1
_HELPS = "a longer --time-budget, a larger --write-budget or a quiet host makes the next sweep surer"


def beside_others(facts: Facts, grid: Grid) -> tuple[str, bool]:
    """Return the finding on a drive that was measured beside others, or "", and whether points were left out for it."""
    most = facts.max_concurrency
    if not facts.never_quiet or most is None:
        return "", False
    cut = any(setting.concurrency > most for setting in search_grid.settings(grid))
    deeper = f", with at most {most} requests in flight; deeper points were not measured" if cut else ""
    return (
        f"the drive is never quiet ({facts.never_quiet}): measured beside other I/O{deeper}; tune by hand when it is"
        " quiet"
    ), cut


def doubts(target: Target, outcome: SweepOutcome, found: Sequence[Decided], facts: Facts, grid: Grid) -> list[str]:
    """Return the findings that make the profile provisional."""
    said = [target.provisional] if target.provisional else []
    beside, cut = beside_others(facts, grid)
    if cut:
        said.append(beside)
    if not outcome.hello.counters_live:
        said.append(
            "the device keeps no I/O counters (queue/iostats is 0), so nothing proves that it did the I/O; write 1 to"
            " queue/iostats, and tune again"
        )
    elif any(sample.cache_verdict != "device" for sample in clean_samples(outcome.samples)):
        said.append("the device's counters did not prove every visit")
    if facts.array_became is not None:
        said.append(
            f"the array became {facts.array_became or 'whole'} during the sweep; the figures are of both states;"
            " tune again when it is whole"
        )
    said += page_cache.doubts(target, outcome.samples, facts.nocow_bytes_per_s)
    said += [
        f"{one.screen.direction}: {len(one.screen.points)} of {one.screen.planned} points were measured"
        f" ({one.phase.passed or one.phase.ended})"
        for one in found
        if len(one.screen.points) < one.screen.planned
    ]
    return said


def provenance(outcome: SweepOutcome, found: Sequence[Decided], grid: Grid, checked_against: str) -> list[str]:
    """Return how the profile differs from one that a single process has measured over the whole grid."""
    said = []
    if outcome.resumed:
        times = "once" if outcome.resumed == 1 else f"{outcome.resumed} times"
        said.append(f"resumed {times} after an interruption: measured by {outcome.resumed + 1} processes")
    if checked_against:
        of_grid = sum(len(search_grid.points(search_grid.settings(grid), one.curve.transfer_bytes)) for one in found)
        measured = sum(len(one.curve.points) for one in found)
        said.append(f"checked against {checked_against}: {measured} of the grid's {of_grid} points were measured")
    return said


def notes(device: Device, outcome: SweepOutcome, found: Sequence[Decided], config: Config) -> list[str]:
    """Return the findings on conditions that do not make the profile provisional."""
    said = []
    if config.buffer == "hugetlb" and "(hugetlb)" not in outcome.hello.buffer:
        said.append(
            "buffer: too few reserved huge pages were free ([sweep] buffer); the figures are those of the memory that"
            " evidence.buffer names; raise vm.nr_hugepages, and tune again"
        )
    if device.members:
        said.append("what others did on the volume's members was not seen: the counters are the volume's own")
    for one in found:
        curve, choice = one.curve, one.choice
        if choice.floored and not one.phase.settled:
            said.append(f"{curve.direction}: no setting is surely as fast as the default, which is published; {_HELPS}")
        elif choice.regret95 > LOW_CONFIDENCE:
            said.append(
                f"{curve.direction}: the setting may be up to {choice.regret95:.0%} below the best (with 95 %"
                f" confidence; {one.phase.ended}); {_HELPS}"
            )
        said += _course(curve, one.screen, steady_state.found(one.samples))
        if curve.transfer_bytes < min(_SHORT_TRANSFER_BYTES, config.transfer_bytes):
            said.append(
                f"{curve.direction}: measured in bursts of {curve.transfer_bytes >> 20} MiB, all that the budgets pay"
                " for, or the daemon's limit of 50 ms allows: queues that such a transfer cannot fill could not be told"
                " apart"
            )
        if curve.noise > _NOTABLE:
            said.append(f"{curve.direction}: visits to one point differ by {curve.noise:.0%} (standard deviation)")
    return said


def _course(curve: Curve, screen: Curve, sustained: Steady | None) -> list[str]:
    """Return the findings on how the drive changed while it was measured, a fall in the pass included."""
    said = []
    name = curve.direction
    if abs(curve.drift) > _NOTABLE:
        said.append(
            f"{name}: the drive drifted by {curve.drift:+.0%} during the phase: removed, the figures are of its usual"
            " level"
        )
    if curve.memory > _REMAINS:
        said.append(
            f"{name}: the drive's speed swings faster than could be followed (visits close in time deviate alike,"
            f" correlation {curve.memory:.1f}): the intervals are wider for it"
        )
    cliff = curve.cliff or screen.cliff
    if cliff is not None:
        said.append(
            f"{name}: after {formatting.size(cliff.after_bytes)} the drive fell from"
            f" {formatting.throughput(cliff.before_bytes_per_s)}"
            f" to {formatting.throughput(cliff.behind_bytes_per_s)} (with the default setting) and stayed there: a"
            " cache was full, or credits were spent"
        )
    if sustained is not None:
        said.append(_sustained(name, sustained))
    return said


def _sustained(name: str, sustained: Steady) -> str:
    written, end = formatting.size(sustained.written_bytes), formatting.throughput(sustained.bytes_per_s)
    if sustained.fell_after_bytes is None:
        course = f"written on for {written} with the chosen setting: no cliff, {end} at the end"
    else:
        course = (
            f"written on with the chosen setting it fell after {formatting.size(sustained.fell_after_bytes)}, from"
            f" {formatting.throughput(sustained.first_bytes_per_s)} to {end}"
        )
    return f"{name}: {course}{'' if sustained.steady else ', and was not steady yet'}"
