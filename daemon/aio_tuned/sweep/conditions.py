"""Findings on the conditions of a sweep, those that make its profile provisional among them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.search import effort, steady_state, step
from aio_tuned.search import grid as search_grid
from aio_tuned.search.taint import clean_samples, of_choice
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
    from aio_tuned.sweep.order import PhaseOutcome, SweepOutcome

# A drift or a noise above this share is reported.
_NOTABLE = 0.05
# A larger correlation of successive measurements means that the drift was not removed completely.
_REMAINS = 0.3
# Shorter transfers cannot fill deep queues: 64 MiB give each of eight threads 8 MiB, which is eight blocks of 1 MiB.
_SHORT_TRANSFER_BYTES = 64 << 20
# Confidence is low if the setting may be further below the best than this share, with 95 % confidence.
LOW_CONFIDENCE = 0.1


def _budget_action(ended: str, config: Config) -> str:
    """Return the option that lets the next sweep measure more; `ended` is the reason why measuring ended."""
    if step.OTHER_PROCESSES in ended:
        return "tune again when the drive is idle"
    if config.effort == "quick":
        return "use --effort default"
    if step.WRITE_BUDGET_ENDED in ended:
        return "raise --write-budget"
    if step.TIME_BUDGET_ENDED in ended:
        return f"try --time-budget {math.ceil(2 * config.time_budget / 60)}m"
    return "tune again on an idle host" if config.effort == "thorough" else "try --effort thorough on an idle host"


def beside_others(facts: Facts, grid: Grid) -> tuple[str, bool]:
    """Return the finding on a drive that was measured beside other I/O, or "", and whether settings were left out."""
    most = facts.max_concurrency
    if not facts.never_quiet or most is None:
        return "", False
    cut = any(setting.concurrency > most for setting in search_grid.settings(grid))
    effect = f"settings with more than {most} requests in flight were not measured" if cut else "figures may be low"
    return (
        f"other I/O: the drive is never idle ({facts.never_quiet}) and was measured during that I/O; {effect};"
        " run aio-tuned tune when the drive is idle"
    ), cut


def doubts(target: Target, outcome: SweepOutcome, found: Sequence[Decided], facts: Facts, config: Config) -> list[str]:
    """Return the findings that make the profile provisional."""
    findings = [target.provisional] if target.provisional else []
    beside, cut = beside_others(facts, config.grid)
    if cut:
        findings.append(beside)
    if not outcome.hello.counters_live:
        findings.append(
            "counters: the drive does not count its I/O (queue/iostats is 0); the figures may come from a cache;"
            " write 1 to queue/iostats, then tune again"
        )
    elif any(sample.cache_verdict != "device" for sample in clean_samples(of_choice(outcome.samples))):
        findings.append(
            "counters: the drive's I/O counters do not cover every measurement; some figures may come from a cache;"
            " tune again"
        )
    if facts.array_became is not None:
        findings.append(
            f"array: became {facts.array_became or 'complete'} during the sweep; the figures mix both states;"
            " tune again when it is complete and idle"
        )
    findings += page_cache.doubts(target, outcome.samples, facts.nocow_bytes_per_s)
    for one in found:
        measured, planned, ended = len(one.screen.points), one.screen.planned, one.phase.passed or one.phase.ended
        if measured < planned:
            findings.append(
                f"{one.screen.direction}: {measured} of {planned} settings were measured ({ended}); the best may be"
                f" among the others; {_budget_action(ended, config)}"
            )
    return findings


def provenance(outcome: SweepOutcome, found: Sequence[Decided], grid: Grid, checked_against: str) -> list[str]:
    """Return how the profile differs from one that a single process has measured over the whole grid."""
    findings = []
    if outcome.resumed:
        times = "once" if outcome.resumed == 1 else f"{outcome.resumed} times"
        findings.append(f"resumed {times} after an interruption; measured by {outcome.resumed + 1} processes")
    if checked_against:
        of_grid = sum(len(search_grid.points(search_grid.settings(grid), one.curve.transfer_bytes)) for one in found)
        measured = sum(len(one.curve.points) for one in found)
        findings.append(f"checked against {checked_against}; measured {measured} of the grid's {of_grid} settings")
    return findings


def notes(device: Device, outcome: SweepOutcome, found: Sequence[Decided], facts: Facts, config: Config) -> list[str]:
    """Return the findings on conditions that do not make the profile provisional."""
    findings = []
    if config.buffer == "hugetlb" and "(hugetlb)" not in outcome.hello.buffer:
        kib = outcome.hello.reserved_page_bytes >> 10
        more = f"nr_hugepages in /sys/kernel/mm/hugepages/hugepages-{kib}kB" if kib else "vm.nr_hugepages"
        findings.append(
            'buffer: too few reserved huge pages were free for buffer = "hugetlb"; measured with the memory named in'
            f" evidence.buffer; raise {more}, then tune again"
        )
    if device.members:
        findings.append(
            "counters: I/O of other processes on the volume's member drives is not visible to the sweep; such I/O may"
            " have lowered the figures; tune while the members are idle"
        )
    for one in found:
        curve, choice = one.curve, one.choice
        if choice.floored and not one.phase.settled:
            findings.append(
                f"{curve.direction}: no other setting was shown to match the default ({one.phase.ended}); the default"
                f" is published; {_budget_action(one.phase.ended, config)}"
            )
        elif choice.regret95 > LOW_CONFIDENCE:
            findings.append(
                f"{curve.direction}: the setting may be up to {100 * choice.regret95:.0f} % below the best"
                f" (95 % confidence); {one.phase.ended}; {_budget_action(one.phase.ended, config)}"
            )
        findings += _changes(curve, one.screen, steady_state.found(one.samples))
        if curve.transfer_bytes < min(_SHORT_TRANSFER_BYTES, config.transfer_bytes):
            findings.append(_short_transfers(one.phase, curve.transfer_bytes, choice.stats.bytes_per_s, facts, config))
        if curve.noise > _NOTABLE:
            findings.append(
                f"{curve.direction}: measurements of one setting vary by {100 * curve.noise:.0f} % (standard"
                " deviation); intervals are wider; tune again on an idle host"
            )
    return findings


def _short_transfers(phase: PhaseOutcome, transfer_bytes: int, bytes_per_s: float, facts: Facts, config: Config) -> str:
    """Return the finding on transfers that are too short to fill deep queues, with the limit that kept them short."""
    direction, plan = phase.phase.direction, phase.phase
    longer_ns = 2 * transfer_bytes * 1e9 / bytes_per_s
    if facts.max_transfer_ns is not None and longer_ns > facts.max_transfer_ns:
        limit = f"the daemon's limit of {facts.max_transfer_ns / 1e6:.0f} ms for a transfer"
        action = "run aio-tuned tune, which has no such limit"
    elif direction == "write" and plan.write_budget_bytes < plan.time_budget_ns / 1e9 * bytes_per_s:
        limit, action = "the write budget", _budget_action(step.WRITE_BUDGET_ENDED, config)
    elif plan.time_budget_ns > 1e9 * effort.extent(config.effort, config.time_budget).race_s:
        limit, action = "the usual measuring time", _budget_action(step.USUAL_TIME_ENDED, config)
    else:
        limit, action = "the time budget", _budget_action(step.TIME_BUDGET_ENDED, config)
    return (
        f"{direction}: {limit} allowed only {transfer_bytes >> 20} MiB transfers; deep queues could not be compared;"
        f" {action}"
    )


def _changes(curve: Curve, screen: Curve, sustained: Steady | None) -> list[str]:
    """Return the findings on changes of the drive's speed during the sweep, a fall in the first pass included."""
    findings = []
    name = curve.direction
    if abs(curve.drift) > _NOTABLE:
        findings.append(
            f"{name}: throughput drifted by {100 * curve.drift:+.0f} %; the figures are corrected to its median; check"
            " the temperature and look for other I/O on the drive"
        )
    if curve.memory > _REMAINS:
        findings.append(
            f"{name}: throughput varies too fast to correct for (successive measurements correlate by"
            f" {curve.memory:.1f}); intervals are wider; look for other I/O on the drive"
        )
    cliff = curve.cliff or screen.cliff
    if cliff is not None:
        side = "before" if curve.cliff is not None and cliff.before_counts else "after"
        findings.append(
            f"{name}: after {formatting.size(cliff.after_bytes)}, throughput with the default setting fell from"
            f" {formatting.throughput(cliff.before_bytes_per_s)} to {formatting.throughput(cliff.behind_bytes_per_s)}"
            f" and stayed there (a full write cache or spent I/O credits); the figures are from {side} the fall"
            + ("; measure sustained writes with --effort thorough" if name == "write" and sustained is None else "")
        )
    if sustained is not None:
        findings.append(_sustained(name, sustained))
    return findings


def _sustained(name: str, sustained: Steady) -> str:
    """Return the finding on sustained writes."""
    written, end = formatting.size(sustained.written_bytes), formatting.throughput(sustained.bytes_per_s)
    if sustained.fell_after_bytes is None:
        measured = f"{written} of sustained writes with the chosen setting showed no drop; {end} at the end"
    else:
        measured = (
            f"sustained writes with the chosen setting fell from {formatting.throughput(sustained.first_bytes_per_s)}"
            f" to {end} after {formatting.size(sustained.fell_after_bytes)}"
        )
    return f"{name}: {measured}{'' if sustained.steady else '; not steady yet; raise --write-budget'}"
