"""The profile of a finished sweep, with its state and its findings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.devices import identity
from aio_tuned.devices.names import clean_text
from aio_tuned.model.profile import CombinedResult, Evidence, Profile, Result, Skipped
from aio_tuned.profiles.codec import SCHEMA
from aio_tuned.search import choose, estimate, steady_state
from aio_tuned.search import grid as search_grid
from aio_tuned.search.taint import clean_samples
from aio_tuned.sweep import findings as sweep_findings
from aio_tuned.sweep import page_cache

if TYPE_CHECKING:
    from aio_tuned.config.load import Config
    from aio_tuned.model.curve import Curve, Steady
    from aio_tuned.model.device import Device
    from aio_tuned.model.measurement import DropCaches
    from aio_tuned.model.profile import Unmeasured
    from aio_tuned.model.setting import Direction, Grid, Setting
    from aio_tuned.model.target import Target
    from aio_tuned.sweep.order import PhaseOutcome, SweepOutcome

# A drift or a noise larger than this share is reported.
_NOTABLE = 0.05
# A larger correlation of successive measurements means that the drift could not be removed completely.
_REMAINS = 0.3
# Shorter transfers cannot fill deep queues: 64 MiB give each of eight threads 8 MiB, which is eight blocks of 1 MiB.
_SHORT_TRANSFER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Facts that the sweep's outcome does not have; the times are ISO 8601 and seconds.

    `checked_against` is the sibling's profile if the sweep was a check; its settings are kept if they tie.
    """

    measured_at: str
    seconds: float
    kernel: str
    tool_version: str
    seed: int
    temperature_peak_c: float | None = None
    paused_seconds: float | None = None
    checked_against: Profile | None = None
    facts: sweep_findings.Facts = sweep_findings.Facts()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltProfile:
    """A profile, with the curves that it was chosen from."""

    profile: Profile
    curves: tuple[Curve, ...]


def curves(outcome: SweepOutcome) -> tuple[Curve, ...]:
    """Return the curve of each phase."""
    return tuple(estimate.curve(phase.phase, phase.samples) for phase in outcome.phases)


def _kept(sibling: Profile | None, section: str) -> Setting | None:
    """Return the sibling's setting of that section; None if there is none."""
    part: Result | CombinedResult | Unmeasured | Skipped | None = getattr(sibling, section, None)
    return None if part is None or isinstance(part, Skipped) else part.setting


def _result(phase: PhaseOutcome, curve: Curve, tolerance: float, preferred: Setting | None) -> Result:
    choice = choose.choose(curve, tolerance, preferred)
    stat, sustained = choice.stats, steady_state.found(phase.samples)
    return Result(
        setting=preferred if preferred and preferred in stat.point.aliases else stat.point.setting,
        throughput_bytes_per_s=round(stat.bytes_per_s),
        throughput_ci95_bytes_per_s=(round(stat.low_bytes_per_s), round(stat.high_bytes_per_s)),
        latency_p99_us=round(stat.latency_p99_us, 1),
        ties=choice.ties,
        default_throughput_bytes_per_s=round(curve.reference.bytes_per_s) if curve.reference else 0,
        transfer_bytes=curve.transfer_bytes,
        saturating_concurrency=choice.saturating_concurrency,
        within_percent=round(choice.within * 100, 2),
        sustained_throughput_bytes_per_s=round(sustained.bytes_per_s) if sustained else None,
    )


def _combined(read: Curve, write: Curve, config: Config, preferred: Setting | None) -> CombinedResult:
    choice = choose.combine(read, write, config.read_weight, config.tolerance_percent / 100, preferred)
    return CombinedResult(
        setting=choice.setting,
        read_throughput_bytes_per_s=round(choice.read.bytes_per_s),
        write_throughput_bytes_per_s=round(choice.write.bytes_per_s),
        read_share=round(choice.read_share, 4),
        write_share=round(choice.write_share, 4),
        ties=choice.ties,
    )


def _beside_others(facts: sweep_findings.Facts, grid: Grid) -> tuple[str, bool]:
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


def _doubts(
    target: Target, outcome: SweepOutcome, found: tuple[Curve, ...], facts: sweep_findings.Facts, grid: Grid
) -> list[str]:
    """Return the findings that make the profile provisional."""
    doubts = [target.provisional] if target.provisional else []
    beside, cut = _beside_others(facts, grid)
    if cut:
        doubts.append(beside)
    if not outcome.hello.counters_live:
        doubts.append(
            "the device keeps no I/O counters (queue/iostats is 0), so nothing proves that it did the I/O; write 1 to"
            " queue/iostats, and tune again"
        )
    elif any(sample.cache_verdict != "device" for sample in clean_samples(outcome.samples)):
        doubts.append("the device's counters did not prove every visit")
    if facts.array_became is not None:
        doubts.append(
            f"the array became {facts.array_became or 'whole'} during the sweep; the figures are of both states;"
            " tune again when it is whole"
        )
    doubts += page_cache.doubts(target, outcome.samples, facts.nocow_bytes_per_s)
    doubts += [
        f"{curve.direction}: {len(curve.points)} of {curve.planned} points were measured ({phase.ended})"
        for curve, phase in zip(found, outcome.phases, strict=True)
        if len(curve.points) < curve.planned
    ]
    return doubts


def _provenance(outcome: SweepOutcome, found: tuple[Curve, ...], grid: Grid, checked_against: str) -> list[str]:
    """Return how the profile differs from one that a single process has measured over the whole grid."""
    notes = []
    if outcome.resumed:
        times = "once" if outcome.resumed == 1 else f"{outcome.resumed} times"
        notes.append(f"resumed {times} after an interruption: measured by {outcome.resumed + 1} processes")
    if checked_against:
        of_grid = sum(len(search_grid.points(search_grid.settings(grid), curve.transfer_bytes)) for curve in found)
        measured = sum(len(curve.points) for curve in found)
        notes.append(f"checked against {checked_against}: {measured} of the grid's {of_grid} points were measured")
    return notes


def _notes(device: Device, outcome: SweepOutcome, found: tuple[Curve, ...], config: Config) -> list[str]:
    """Return the findings on conditions that do not make the profile provisional."""
    notes = []
    if config.buffer == "hugetlb" and "(hugetlb)" not in outcome.hello.buffer:
        notes.append(
            "buffer: too few reserved huge pages were free ([sweep] buffer); the figures are those of the memory that"
            " evidence.buffer names; raise vm.nr_hugepages, and tune again"
        )
    if device.members:
        notes.append("what others did on the volume's members was not seen: the counters are the volume's own")
    for curve, phase in zip(found, outcome.phases, strict=True):
        if len(curve.points) == curve.planned and not phase.settled:
            notes.append(f"{curve.direction}: {phase.ended} before the best points were known to the tolerance")
        notes += _course(curve, steady_state.found(phase.samples))
        if curve.transfer_bytes < min(_SHORT_TRANSFER_BYTES, config.transfer_bytes):
            notes.append(
                f"{curve.direction}: measured in bursts of {curve.transfer_bytes >> 20} MiB, all that the budgets pay"
                " for, or the daemon's limit of 50 ms allows: queues that such a transfer cannot fill could not be told"
                " apart"
            )
        if curve.noise > _NOTABLE:
            notes.append(f"{curve.direction}: visits to one point differ by {curve.noise:.0%} (standard deviation)")
    return notes


def _course(curve: Curve, sustained: Steady | None) -> list[str]:
    """Return the findings on how the drive changed while it was measured."""
    notes = []
    name = curve.direction
    if abs(curve.drift) > _NOTABLE:
        notes.append(
            f"{name}: the drive drifted by {curve.drift:+.0%} during the phase: removed, the figures are of its usual"
            " level"
        )
    if curve.memory > _REMAINS:
        notes.append(
            f"{name}: the drive's speed swings faster than could be followed (visits close in time deviate alike,"
            f" correlation {curve.memory:.1f}): the intervals are wider for it"
        )
    if curve.cliff is not None:
        cliff = curve.cliff
        notes.append(
            f"{name}: after {formatting.size(cliff.after_bytes)} the drive fell from"
            f" {formatting.throughput(cliff.before_bytes_per_s)}"
            f" to {formatting.throughput(cliff.behind_bytes_per_s)} (with the default setting) and stayed there: a"
            " cache was full, or credits were spent"
        )
    if sustained is not None:
        notes.append(_sustained(name, sustained))
    return notes


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


def _tenths(number: float | None) -> float | None:
    return None if number is None else round(number, 1)


def build_profile(
    device: Device,
    target: Target,
    config: Config,
    outcome: SweepOutcome,
    circumstances: Circumstances,
    drop_caches: DropCaches,
) -> BuiltProfile:
    """Return the profile of a finished sweep; raise MeasurementError if the samples do not support one.

    Its state is `measured` only if every planned point was measured and the counters prove the I/O, else `provisional`.
    """
    found = curves(outcome)
    of_direction: dict[Direction, Curve] = {curve.direction: curve for curve in found}
    tolerance = config.tolerance_percent / 100
    # Names of mount points may contain bytes that are not text.
    skipped = Skipped(skipped=clean_text(target.no_write) or "not swept")
    read, write = of_direction.get("read"), of_direction.get("write")
    doubts = _doubts(target, outcome, found, circumstances.facts, config.grid)
    beside, cut = _beside_others(circumstances.facts, config.grid)
    sibling = circumstances.checked_against
    checked_against = sibling.device.name if sibling else ""
    provenance = _provenance(outcome, found, config.grid, checked_against)
    results = {
        curve.direction: _result(phase, curve, tolerance, _kept(sibling, curve.direction))
        for phase, curve in zip(outcome.phases, found, strict=True)
    }
    chosen = [sweep_findings.DirectionResult(curve=curve, result=results[curve.direction]) for curve in found]
    # Figures in doubt are not compared with the siblings'.
    facts = replace(circumstances.facts, others=()) if doubts else circumstances.facts
    judged = sweep_findings.collect(device, target.filesystem, chosen, facts, tolerance)
    notes = [
        *page_cache.notes(target),
        *page_cache.evictions(drop_caches, outcome.hello, facts.keep_cache),
        *_notes(device, outcome, found, config),
    ]
    findings = [*doubts, *provenance, *([beside] if beside and not cut else []), *notes, *judged]
    samples = outcome.samples
    verdicts = {sample.cache_verdict for sample in clean_samples(samples)}
    return BuiltProfile(
        curves=found,
        profile=Profile(
            schema=SCHEMA,
            state="provisional" if doubts else "measured",
            device=identity.info(device),
            read=results.get("read", skipped),
            write=results.get("write", skipped),
            combined=_combined(read, write, config, _kept(sibling, "combined")) if read and write else skipped,
            evidence=Evidence(
                measured_at=circumstances.measured_at,
                tool_version=circumstances.tool_version,
                helper_version=outcome.hello.version,
                kernel=circumstances.kernel,
                target=f"scratch file on {target.filesystem}" if target.kind == "scratch" else "raw device",
                seed=circumstances.seed,
                grid_points=len(search_grid.settings(config.grid)),
                points_planned=sum(curve.planned for curve in found),
                points_measured=sum(len(curve.points) for curve in found),
                visits=len(samples),
                tainted_visits=len(samples) - len(clean_samples(samples)),
                seconds=round(circumstances.seconds, 1),
                io_seconds=round(sum(sample.elapsed_ns for sample in samples) / 1e9, 1),
                bytes_read=sum(sample.bytes for sample in samples if sample.request.direction == "read"),
                bytes_written=outcome.written_bytes,
                read_noise=round(read.noise, 5) if read else None,
                write_noise=round(write.noise, 5) if write else None,
                read_drift=round(read.drift, 5) if read else None,
                write_drift=round(write.drift, 5) if write else None,
                drop_caches=drop_caches,
                caches_dropped=sum(sample.cache_dropped for sample in samples),
                cache_verdict="device" if verdicts == {"device"} else "unknown",
                buffer=outcome.hello.buffer,
                temperature_peak_c=_tenths(circumstances.temperature_peak_c),
                paused_seconds=_tenths(circumstances.paused_seconds),
                resumed=outcome.resumed or None,
                checked_against=checked_against or None,
                effort=None if sibling else config.effort,
                findings=tuple(clean_text(finding) for finding in findings),
            ),
            fingerprint=identity.fingerprint(device, target.filesystem, circumstances.kernel),
        ),
    )
