"""The profile of a finished sweep, with its state and findings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aio_tuned.devices import identity
from aio_tuned.devices.names import clean_text
from aio_tuned.model.confidence import rank
from aio_tuned.model.profile import SHARE_ONE, CombinedResult, Evidence, Profile, Result, Skipped
from aio_tuned.profiles.codec import SCHEMA
from aio_tuned.profiles.kept_settings import KeptSettings
from aio_tuned.search import choose, steady_state
from aio_tuned.search import grid as search_grid
from aio_tuned.search.taint import clean_samples, of_choice
from aio_tuned.sweep import after_results, conditions, page_cache
from aio_tuned.sweep import findings as sweep_findings
from aio_tuned.sweep.decided import Decided, decide
from aio_tuned.sweep.measured_points import MeasuredPoint, measured_points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aio_tuned.config.load import Config
    from aio_tuned.model.curve import Curve
    from aio_tuned.model.device import Device
    from aio_tuned.model.measurement import DropCaches
    from aio_tuned.model.profile import Confidence
    from aio_tuned.model.setting import Direction, Setting
    from aio_tuned.model.target import Target
    from aio_tuned.sweep.order import PhaseOutcome, SweepOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Facts that the outcome of the sweep does not contain.

    `measured_at` is an ISO 8601 time. `kept` holds the profiles whose settings are kept if they are good enough.
    """

    measured_at: str
    seconds: float
    kernel: str
    tool_version: str
    seed: int
    temperature_peak_c: float | None = None
    paused_seconds: float | None = None
    kept: KeptSettings = KeptSettings()
    facts: sweep_findings.Facts = sweep_findings.Facts()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltProfile:
    """A profile, with the curves from which it was chosen, and the throughputs of all points by direction."""

    profile: Profile
    curves: tuple[Curve, ...]
    points: Mapping[Direction, tuple[MeasuredPoint, ...]]


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _confidence(phase: PhaseOutcome, regret95: float) -> Confidence:
    if regret95 > conditions.LOW_CONFIDENCE:
        return "low"
    return "settled" if phase.settled else "bounded"


def _result(found: Decided, tolerance: float, kept: KeptSettings) -> Result:
    """Return the section of one direction; the regret and confidence of a check are no better than its sibling's."""
    choice, phase, curve = found.choice, found.phase, found.curve
    stat, sustained = choice.stats, steady_state.found(found.samples)
    regret95, confidence = choice.regret95, _confidence(phase, choice.regret95)
    checked = kept.checked_part(phase.phase.direction)
    if checked is not None and checked.regret95_percent is not None and checked.confidence is not None:
        regret95 = max(regret95, checked.regret95_percent / 100)
        confidence = min(confidence, checked.confidence, key=rank)
    return Result(
        setting=choice.setting,
        throughput_bytes_per_s=round(stat.bytes_per_s),
        throughput_ci95_bytes_per_s=(round(stat.low_bytes_per_s), round(stat.high_bytes_per_s)),
        latency_p99_us=round(stat.latency_p99_us, 1),
        ties=choice.ties,
        default_throughput_bytes_per_s=round(curve.reference.bytes_per_s) if curve.reference else 0,
        transfer_bytes=curve.transfer_bytes,
        saturating_concurrency=choice.saturating_concurrency,
        confidence=confidence,
        regret95_percent=_percent(regret95),
        expected_shortfall_percent=_percent(choice.expected_shortfall),
        tolerance_percent=_percent(tolerance),
        probability_within_tolerance=round(choice.probability_within, 3),
        versus_default_percent=_percent(choice.versus_default) if curve.reference else None,
        versus_default_ci95_percent=(
            (_percent(choice.versus_default_ci95[0]), _percent(choice.versus_default_ci95[1]))
            if curve.reference
            else None
        ),
        stopped_because=clean_text(phase.ended),
        not_ruled_out=choice.rivals,
        kept_from=kept.origin(phase.phase.direction, choice.setting) if choice.kept else None,
        challengers=tuple(_challenger(setting, share) for setting, share in choice.challengers),
        sustained_throughput_bytes_per_s=round(sustained.bytes_per_s) if sustained else None,
    )


def _challenger(setting: Setting, share: float) -> tuple[int, int, int, int, int, int]:
    return (
        setting.block_size,
        setting.queue_depth,
        setting.io_parallelism,
        int(setting.overlap_events),
        int(setting.single_submit),
        max(1, round(share * SHARE_ONE)),
    )


def _combined(read: Decided, write: Decided, config: Config, preferred: Sequence[Setting]) -> CombinedResult:
    tolerance = config.tolerance_percent / 100
    choice = choose.combine(read.known, write.known, config.read_weight, tolerance, preferred)
    return CombinedResult(
        setting=choice.setting,
        read_throughput_bytes_per_s=round(choice.read.bytes_per_s),
        write_throughput_bytes_per_s=round(choice.write.bytes_per_s),
        read_share=round(choice.read_share, 4),
        write_share=round(choice.write_share, 4),
        ties=choice.ties,
    )


def _tenths(number: float | None) -> float | None:
    return None if number is None else round(number, 1)


def _fleet(checked: Profile | None) -> dict[str, Any]:
    """Return from which class result of a fleet the checked settings are."""
    if checked is None:
        return {}
    keys = ("fleet_class", "fleet_generation", "fleet_contributors")
    return {key: getattr(checked.evidence, key) for key in keys}


def build_profile(
    device: Device,
    target: Target,
    config: Config,
    outcome: SweepOutcome,
    circumstances: Circumstances,
    drop_caches: DropCaches,
) -> BuiltProfile:
    """Return the profile of a finished sweep.

    Its state is `measured` if every planned point was measured and the counters prove the I/O, else `provisional`.
    Raise MeasurementError if the samples do not support a profile.
    """
    tolerance = config.tolerance_percent / 100
    kept = circumstances.kept
    found = tuple(decide(outcome, phase, tolerance) for phase in outcome.phases)
    of_direction: dict[Direction, Decided] = {one.curve.direction: one for one in found}
    # A mount point in the reason may contain bytes that are not valid text.
    skipped = Skipped(skipped=clean_text(target.no_write) or "not swept")
    read, write = of_direction.get("read"), of_direction.get("write")
    doubts = conditions.doubts(target, outcome, found, circumstances.facts, config)
    beside, cut = conditions.beside_others(circumstances.facts, config.grid)
    checked_against = kept.checked.device.name if kept.checked else ""
    provenance = conditions.provenance(outcome, found, config.grid, checked_against)
    results = {one.curve.direction: _result(one, tolerance, kept) for one in found}
    chosen = [sweep_findings.DirectionResult(curve=one.curve, result=results[one.curve.direction]) for one in found]
    # Doubtful figures say nothing about the siblings.
    facts = replace(circumstances.facts, others=()) if doubts else circumstances.facts
    judged = sweep_findings.collect(device, target.filesystem, chosen, facts, tolerance)
    notes = [
        *page_cache.notes(target),
        *page_cache.evictions(drop_caches, outcome.hello, facts.keep_cache),
        *conditions.notes(device, outcome, found, facts, config),
    ]
    after = after_results.collect(outcome, found, config, checked_against)
    findings = [*doubts, *provenance, *([beside] if beside and not cut else []), *notes, *judged, *after.findings]
    samples = outcome.samples
    verdicts = {sample.cache_verdict for sample in clean_samples(of_choice(samples))}
    return BuiltProfile(
        curves=tuple(one.screen for one in found),
        points={one.curve.direction: measured_points(one) for one in found},
        profile=Profile(
            schema=SCHEMA,
            state="provisional" if doubts else "measured",
            device=identity.info(device),
            read=results.get("read", skipped),
            write=results.get("write", skipped),
            combined=_combined(read, write, config, kept.settings("combined")) if read and write else skipped,
            evidence=Evidence(
                measured_at=circumstances.measured_at,
                tool_version=circumstances.tool_version,
                helper_version=outcome.hello.version,
                kernel=circumstances.kernel,
                target=f"scratch file on {target.filesystem}" if target.kind == "scratch" else "raw device",
                seed=circumstances.seed,
                grid_points=len(search_grid.settings(config.grid)),
                points_planned=sum(one.screen.planned for one in found),
                points_measured=sum(len(one.screen.points) for one in found),
                visits=len(samples),
                tainted_visits=len(samples) - len(clean_samples(samples)),
                seconds=round(circumstances.seconds, 1),
                io_seconds=round(sum(sample.elapsed_ns for sample in samples) / 1e9, 1),
                bytes_read=sum(sample.read_bytes for sample in samples),
                bytes_written=outcome.written_bytes,
                read_noise=round(read.curve.noise, 5) if read else None,
                write_noise=round(write.curve.noise, 5) if write else None,
                read_drift=round(read.curve.drift, 5) if read else None,
                write_drift=round(write.curve.drift, 5) if write else None,
                drop_caches=drop_caches,
                caches_dropped=sum(sample.cache_dropped for sample in samples),
                cache_verdict="device" if verdicts == {"device"} else "unknown",
                buffer=outcome.hello.buffer,
                **after.evidence,
                temperature_peak_c=_tenths(circumstances.temperature_peak_c),
                paused_seconds=_tenths(circumstances.paused_seconds),
                resumed=outcome.resumed or None,
                checked_against=checked_against or None,
                **_fleet(kept.checked),
                effort=None if checked_against else config.effort,
                findings=tuple(clean_text(finding) for finding in findings),
            ),
            fingerprint=identity.fingerprint(device, target.filesystem, circumstances.kernel),
            concurrency=after.concurrency,
            curves=after.curves,
        ),
    )
