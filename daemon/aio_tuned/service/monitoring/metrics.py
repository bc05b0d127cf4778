"""Every metric for Prometheus as a row: its name, kind, labels and help, and how its values are read.

docs/reference/metrics.md lists the same metrics. Names follow Prometheus' conventions: base units, and the unit at the
end of the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, get_args

from aio_tuned import formatting
from aio_tuned.model import confidence
from aio_tuned.model.profile import Result, Skipped, State
from aio_tuned.model.setting import Direction
from aio_tuned.service.state_machine import Stage
from aio_tuned.service.status import ExportState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aio_tuned.model.profile import Evidence, Profile
    from aio_tuned.model.setting import Setting
    from aio_tuned.model.size_curve import SizePoint
    from aio_tuned.service.monitoring.snapshot import DriveSnapshot, Snapshot

_Subject = TypeVar("_Subject")
# The number for each value of the label, or of all labels in their order.
ByLabel = Mapping[str | tuple[str, ...], float | None]

_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_SECTIONS = (*_DIRECTIONS, "combined")
# More sizes would make hundreds of series on a host with many drives.
_SIZES = (64 << 10, 256 << 10, 1 << 20)
_STATES: tuple[str, ...] = (*get_args(State), "none")
_EXPORT_STATES: tuple[str, ...] = get_args(ExportState)


@dataclass(frozen=True, slots=True)
class Metric(Generic[_Subject]):
    """One metric of a subject: the daemon, or a drive.

    `labels` are those besides DEVICE, which each metric of a drive has, and `text` is the help. `read` returns the
    number of a metric without labels, or the numbers by label; None means that the subject lacks the number.
    """

    name: str
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    text: str
    read: Callable[[_Subject], float | ByLabel | None]

    def values(self, subject: _Subject) -> Iterator[tuple[tuple[str, ...], float]]:
        """Yield the values of the labels and the number of each series that the subject has."""
        found = self.read(subject)
        for labels, number in found.items() if isinstance(found, Mapping) else [((), found)]:
            if number is not None:
                yield (labels,) if isinstance(labels, str) else labels, float(number)


def _timestamp(text: str) -> float | None:
    """Convert a time in ISO 8601 to seconds since the epoch; return None if the text is not such a time."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


# --- a drive's profile -----------------------------------------------------------------------------------


def _results(profile: Profile | None) -> Iterator[tuple[Direction, Result]]:
    """Yield each direction that was measured and is published without overrides."""
    for direction in _DIRECTIONS:
        if isinstance(section := getattr(profile, direction, None), Result):
            yield direction, section


def _settings(profile: Profile | None) -> Iterator[tuple[str, Setting]]:
    """Yield each section that has a setting."""
    for name in _SECTIONS:
        section = getattr(profile, name, None)
        if section is not None and not isinstance(section, Skipped):
            yield name, section.setting


def _sweeps(profile: Profile | None) -> Iterator[tuple[tuple[()], Evidence]]:
    """Yield the evidence of the profile's sweep, without labels; yield nothing if no sweep made the profile."""
    if profile and _timestamp(profile.evidence.measured_at or "") is not None:
        yield (), profile.evidence


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 9)


def _confidence(result: Result) -> float | None:
    return None if result.confidence is None else confidence.rank(result.confidence)


def _findings(profile: Profile | None) -> ByLabel:
    """Count the findings by the direction that they begin with; count all others for the drive."""
    if profile is None:
        return {}
    begins = [finding.partition(": ")[0] for finding in profile.evidence.findings]
    others = [word for word in begins if word not in _DIRECTIONS]
    return {**{direction: begins.count(direction) for direction in _DIRECTIONS}, "drive": len(others)}


def _saturated(profile: Profile | None) -> Iterator[tuple[tuple[str, ...], SizePoint]]:
    """Yield the fewest requests in flight that saturate each of a few sizes, by engine, direction and size."""
    for curve in profile.curves if profile else ():
        for size in (size for size in _SIZES if size in curve.sizes):
            yield (curve.engine, curve.op, formatting.size(size)), curve.saturated(size)


def _siblings(seen: DriveSnapshot) -> Iterator[tuple[Direction, float, list[int]]]:
    """Yield each direction with the drive's throughput and its siblings', in bytes/s.

    Yield nothing for a stale profile, because the drive has changed since its measurement.
    """
    own = seen.published
    if own is None or own.state == "stale":
        return
    alike = [dict(_results(one)) for one in seen.siblings if one.fingerprint.filesystem == own.fingerprint.filesystem]
    for direction, result in _results(own):
        if theirs := [results[direction].throughput_bytes_per_s for results in alike if direction in results]:
            yield direction, result.throughput_bytes_per_s, theirs


def _median(numbers: list[int]) -> float:
    """Return the median of one number or more, without `statistics`, whose import costs the daemon memory."""
    ordered, half = sorted(numbers), len(numbers) // 2
    return (ordered[half] + ordered[-1 - half]) / 2


def _info(seen: DriveSnapshot) -> ByLabel:
    device = seen.device
    labels = (str(device.node), device.model, device.serial, device.firmware, device.transport, device.pcie_link)
    return {labels: 1}


# --- the tables ------------------------------------------------------------------------------------------

DEVICE = ("device",)
_DIRECTION = ("direction",)
_CURVE = ("engine", "direction", "size")
_SECTION = ("section",)

UP: Metric[bool] = Metric(
    "aio_tuned_up", "gauge", (),
    "1 while the daemon is running; 0 once it has stopped.",
    lambda up: up,
)  # fmt: skip
WRITTEN: Metric[float] = Metric(
    "aio_tuned_metrics_write_timestamp_seconds", "gauge", (),
    "Time at which this file was written; a running daemon writes it at least every 5 minutes.",
    lambda now_s: now_s,
)  # fmt: skip
BUILD: Metric[str] = Metric(
    "aio_tuned_build_info", "gauge", ("version",),
    "Always 1; the version of aio-tuned is a label.",
    lambda version: {version: 1},
)  # fmt: skip
OF_DAEMON: tuple[Metric[Snapshot], ...] = (
    Metric("aio_tuned_start_time_seconds", "gauge", (),
           "Time at which the daemon was started.",
           lambda snapshot: _timestamp(snapshot.since)),
    Metric("aio_tuned_troubles", "gauge", (),
           "Problems that need the administrator; aio-tuned status lists them.",
           lambda snapshot: len(snapshot.troubles)),
    Metric("aio_tuned_export_state", "gauge", ("consumer", "path", "file", "state"),
           "1 for what the file of an [[export]] rule has: a drive's settings, none, or not what it must have; else 0.",
           lambda snapshot: {(each.consumer, each.path, each.file, state): state == each.state
                             for each in snapshot.exports for state in _EXPORT_STATES}),
)  # fmt: skip
OF_DRIVE: tuple[Metric[DriveSnapshot], ...] = (
    Metric("aio_tuned_drive_info", "gauge", ("node", "model", "serial", "firmware", "transport", "pcie_link"),
           "Always 1; the labels identify the drive.",
           _info),
    Metric("aio_tuned_drive_size_bytes", "gauge", (),
           "Size of the drive.",
           lambda seen: seen.device.size_bytes),
    Metric("aio_tuned_drive_stage", "gauge", ("stage",),
           "1 for the drive's present stage, 0 for the others.",
           lambda seen: {stage.value: stage is seen.state.stage for stage in Stage}),
    Metric("aio_tuned_drive_consecutive_failures", "gauge", (),
           "Consecutive failures to sweep or to read the drive.",
           lambda seen: seen.state.failures),
    Metric("aio_tuned_drive_next_try_timestamp_seconds", "gauge", (),
           "Time of the next attempt, if the drive has failed or its sweep is deferred.",
           lambda seen: _timestamp(seen.next_try)),
    Metric("aio_tuned_drive_never_quiet", "gauge", (),
           "1 if other processes have delayed the drive's sweep for longer than [throttle] patience, or a day.",
           lambda seen: bool(seen.never_quiet)),
    Metric("aio_tuned_sweep_progress_ratio", "gauge", (),
           "Completed share of the running sweep.",
           lambda seen: seen.progress.share if seen.progress else None),
    Metric("aio_tuned_sweep_paused", "gauge", (),
           "1 while the running sweep is paused for other processes or for the drive to cool, else 0.",
           lambda seen: bool(seen.progress.paused) if seen.progress else None),
    Metric("aio_tuned_sweeps_total", "counter", ("outcome",),
           "Sweeps of the drive by outcome; kept over restarts.",
           lambda seen: {(outcome,): count for outcome, count in seen.sweeps.items()}),
    Metric("aio_tuned_sweep_written_bytes_total", "counter", (),
           "Bytes that sweeps have written to the drive; kept over restarts.",
           lambda seen: seen.written_bytes),
    Metric("aio_tuned_page_cache_drops_total", "counter", (),
           "Drops of the host's page cache by sweeps of the drive; kept over restarts.",
           lambda seen: seen.page_cache_drops),
    Metric("aio_tuned_profile_state", "gauge", ("state",),
           "1 for the state of the published profile, 0 for the others; none: no profile is published.",
           lambda seen: {state: state == (seen.published.state if seen.published else "none") for state in _STATES}),
    Metric("aio_tuned_profile_overridden", "gauge", (),
           "1 if the administrator has changed settings of the profile, else 0.",
           lambda seen: seen.overridden if seen.published else None),
    Metric("aio_tuned_profile_measured_timestamp_seconds", "gauge", (),
           "Time at which the sweep of the profile ended.",
           lambda seen: {key: _timestamp(sweep.measured_at or "") for key, sweep in _sweeps(seen.published)}),
    Metric("aio_tuned_profile_sweep_seconds", "gauge", (),
           "Duration of the sweep of the profile.",
           lambda seen: {key: sweep.seconds for key, sweep in _sweeps(seen.published)}),
    Metric("aio_tuned_profile_sweep_io_seconds", "gauge", (),
           "Time that this sweep spent on measured I/O.",
           lambda seen: {key: sweep.io_seconds for key, sweep in _sweeps(seen.published)}),
    Metric("aio_tuned_profile_temperature_peak_celsius", "gauge", (),
           "Highest temperature of the drive during the sweep, if it has a sensor.",
           lambda seen: {key: sweep.temperature_peak_c for key, sweep in _sweeps(seen.published)}),
    Metric("aio_tuned_profile_findings", "gauge", ("about",),
           "Findings of the profile by subject; aio-tuned show lists them.",
           lambda seen: _findings(seen.published)),
    Metric("aio_tuned_profile_throughput_bytes_per_second", "gauge", _DIRECTION,
           "Throughput of the chosen setting in the sweep.",
           lambda seen: {key: result.throughput_bytes_per_s for key, result in _results(seen.published)}),
    Metric("aio_tuned_profile_throughput_low_bytes_per_second", "gauge", _DIRECTION,
           "Lower end of the 95 % confidence interval of the throughput.",
           lambda seen: {key: result.throughput_ci95_bytes_per_s[0] for key, result in _results(seen.published)}),
    Metric("aio_tuned_profile_throughput_high_bytes_per_second", "gauge", _DIRECTION,
           "Upper end of the 95 % confidence interval of the throughput.",
           lambda seen: {key: result.throughput_ci95_bytes_per_s[1] for key, result in _results(seen.published)}),
    Metric("aio_tuned_profile_default_throughput_bytes_per_second", "gauge", _DIRECTION,
           "Throughput of DeepSpeed's default setting in the same sweep.",
           lambda seen: {key: found.default_throughput_bytes_per_s or None for key, found in _results(seen.published)}),
    Metric("aio_tuned_profile_sustained_throughput_bytes_per_second", "gauge", _DIRECTION,
           "Throughput of the chosen setting under sustained load; from thorough sweeps only.",
           lambda seen: {key: result.sustained_throughput_bytes_per_s for key, result in _results(seen.published)}),
    Metric("aio_tuned_profile_regret95_ratio", "gauge", _DIRECTION,
           "Share by which the chosen setting may be below the best one, with 95 % confidence.",
           lambda seen: {key: _ratio(result.regret95_percent) for key, result in _results(seen.published)}),
    Metric("aio_tuned_profile_versus_default_ratio", "gauge", _DIRECTION,
           "Share by which the chosen setting exceeds DeepSpeed's default setting.",
           lambda seen: {key: _ratio(result.versus_default_percent) for key, result in _results(seen.published)}),
    Metric("aio_tuned_profile_confidence", "gauge", _DIRECTION,
           "Confidence of the choice: 2 settled (within the tolerance of the best), 1 bounded, 0 low.",
           lambda seen: {key: _confidence(result) for key, result in _results(seen.published)}),
    Metric("aio_tuned_profile_sibling_ratio", "gauge", _DIRECTION,
           "Throughput as a share of the median of the drive's siblings: the same model, firmware and filesystem.",
           lambda seen: {key: own / middle for key, own, theirs in _siblings(seen) if (middle := _median(theirs))}),
    Metric("aio_tuned_profile_siblings", "gauge", _DIRECTION,
           "Number of siblings with such a throughput.",
           lambda seen: {key: len(theirs) for key, _, theirs in _siblings(seen)}),
    Metric("aio_tuned_setting_block_size_bytes", "gauge", _SECTION,
           "Bytes of one request, overrides included.",
           lambda seen: {key: setting.block_size for key, setting in _settings(seen.published)}),
    Metric("aio_tuned_setting_queue_depth", "gauge", _SECTION,
           "Requests in flight per thread.",
           lambda seen: {key: setting.queue_depth for key, setting in _settings(seen.published)}),
    Metric("aio_tuned_setting_io_parallelism", "gauge", _SECTION,
           "Number of threads.",
           lambda seen: {key: setting.io_parallelism for key, setting in _settings(seen.published)}),
    Metric("aio_tuned_setting_overlap_events", "gauge", _SECTION,
           "1 if requests are refilled as they complete, 0 if the whole queue must complete first.",
           lambda seen: {key: setting.overlap_events for key, setting in _settings(seen.published)}),
    Metric("aio_tuned_setting_single_submit", "gauge", _SECTION,
           "1 if requests are submitted one by one, 0 if in batches.",
           lambda seen: {key: setting.single_submit for key, setting in _settings(seen.published)}),
    Metric("aio_tuned_curve_in_flight", "gauge", _CURVE,
           "Fewest requests in flight, over all threads, that give 95 % of the most throughput with that size.",
           lambda seen: {key: point.in_flight for key, point in _saturated(seen.published)}),
    Metric("aio_tuned_curve_throughput_bytes_per_second", "gauge", _CURVE,
           "Throughput of requests of that size at random places with that many in flight.",
           lambda seen: {key: point.throughput_bytes_per_s for key, point in _saturated(seen.published)}),
)  # fmt: skip
