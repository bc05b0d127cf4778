"""The metrics for Prometheus, and what each is of what the daemon knows at one moment. Pure.

docs/monitoring/README.md has them all too. Names follow Prometheus' conventions: base units, and the unit at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, get_args

from aio_tuned.model.profile import Result, Skipped, State
from aio_tuned.model.setting import Direction
from aio_tuned.service.state_machine import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Setting
    from aio_tuned.service.monitoring.snapshot import DriveSnapshot, Snapshot

# The values of the labels that its name has no room for, and the metric's own.
Value = tuple[tuple[str, ...], float]
_Of = TypeVar("_Of")

_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_SECTIONS = (*_DIRECTIONS, "combined")
_STATES: tuple[str, ...] = (*get_args(State), "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Generic[_Of]):
    """One metric: `text` is its help, `values` what it is of its subject: the daemon, or a drive.

    `labels` are those besides DEVICE, which each metric of a drive has.
    """

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    labels: tuple[str, ...] = ()
    values: Callable[[_Of], Iterable[Value]]


def _bare(read: Callable[[_Of], float | None]) -> Callable[[_Of], Iterable[Value]]:
    """The only value, without labels; none where it is None."""

    def values(of: _Of) -> Iterator[Value]:
        if (found := read(of)) is not None:
            yield (), float(found)

    return values


def _one_hot(read: Callable[[_Of], str], words: Iterable[str]) -> Callable[[_Of], Iterable[Value]]:
    """A value for each word: 1 for the one that holds, 0 for the others."""
    return lambda of: [((word,), float(word == read(of))) for word in words]


def _timestamp(text: str) -> float | None:
    """Seconds since the epoch of a time in ISO 8601; None if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


# --- of a drive's profile --------------------------------------------------------------------------------


def _of_results(read: Callable[[Result], float | None]) -> Callable[[DriveSnapshot], Iterable[Value]]:
    """A value for each direction that was measured and is as it was measured."""

    def values(seen: DriveSnapshot) -> Iterator[Value]:
        for direction in _DIRECTIONS:
            if (result := _result(seen.published, direction)) and (found := read(result)) is not None:
                yield (direction,), float(found)

    return values


def _result(profile: Profile | None, direction: Direction) -> Result | None:
    part = getattr(profile, direction, None)
    return part if isinstance(part, Result) else None


def _of_settings(read: Callable[[Setting], float]) -> Callable[[DriveSnapshot], Iterable[Value]]:
    """A value for each section that has a setting."""

    def values(seen: DriveSnapshot) -> Iterator[Value]:
        for section in _SECTIONS:
            part = getattr(seen.published, section, None)
            if part is not None and not isinstance(part, Skipped):
                yield (section,), float(read(part.setting))

    return values


def _measured_at(seen: DriveSnapshot) -> float | None:
    return _timestamp(seen.published.evidence.measured_at or "") if seen.published else None


def _of_sweep(read: Callable[[Profile], float | None]) -> Callable[[DriveSnapshot], Iterable[Value]]:
    """The only value, if the profile comes from a sweep."""
    return _bare(lambda seen: read(seen.published) if seen.published and _measured_at(seen) is not None else None)


def _findings(seen: DriveSnapshot) -> Iterator[Value]:
    """How many sentences begin with the direction that they are about, and how many are about the whole."""
    if seen.published:
        said = [finding.partition(": ")[0] for finding in seen.published.evidence.findings]
        counts = {direction: said.count(direction) for direction in _DIRECTIONS}
        yield from (((direction,), float(count)) for direction, count in counts.items())
        yield ("drive",), float(len(said) - sum(counts.values()))


def _sibling_rates(seen: DriveSnapshot) -> Iterator[tuple[Direction, float, list[float]]]:
    """Each direction with the drive's throughput and its siblings'; a stale one is of a drive that was another then."""
    own = seen.published
    if own is None or own.state == "stale":
        return
    alike = [sibling for sibling in seen.siblings if sibling.fingerprint.filesystem == own.fingerprint.filesystem]
    for direction in _DIRECTIONS:
        theirs = [float(found.throughput_bytes_per_s) for sibling in alike if (found := _result(sibling, direction))]
        if (result := _result(own, direction)) and theirs:
            yield direction, float(result.throughput_bytes_per_s), theirs


def _sibling_ratio(seen: DriveSnapshot) -> Iterator[Value]:
    for direction, own, theirs in _sibling_rates(seen):
        if middle := _median(theirs):
            yield (direction,), own / middle


def _median(numbers: list[float]) -> float:
    """Of one number at least. The module statistics, with decimals and random numbers, would stay in the daemon."""
    ordered, half = sorted(numbers), len(numbers) // 2
    return (ordered[half] + ordered[-1 - half]) / 2


def _siblings(seen: DriveSnapshot) -> Iterator[Value]:
    for direction, _, theirs in _sibling_rates(seen):
        yield (direction,), float(len(theirs))


def _info(seen: DriveSnapshot) -> Iterator[Value]:
    device = seen.device
    words = (str(device.node), device.model, device.serial, device.firmware, device.transport, device.pcie_link)
    yield words, 1.0


# --- the tables ------------------------------------------------------------------------------------------

UP: Metric[bool] = Metric(
    name="aio_tuned_up",
    kind="gauge",
    text="1 while the daemon runs; 0 is what it leaves behind when it is stopped.",
    values=_bare(float),
)
WRITTEN: Metric[float] = Metric(
    name="aio_tuned_metrics_write_timestamp_seconds",
    kind="gauge",
    text="When this file was written; a daemon that runs writes it every 5 minutes at least.",
    values=_bare(float),
)
BUILD: Metric[str] = Metric(
    name="aio_tuned_build_info",
    kind="gauge",
    text="Always 1; the version of aio-tuned is a label.",
    labels=("version",),
    values=lambda version: [((version,), 1.0)],
)
OF_DAEMON: tuple[Metric[Snapshot], ...] = (
    Metric(
        name="aio_tuned_start_time_seconds",
        kind="gauge",
        text="When the daemon was started.",
        values=_bare(lambda snapshot: _timestamp(snapshot.since)),
    ),
    Metric(
        name="aio_tuned_troubles",
        kind="gauge",
        text="Things that the administrator should look after; aio-tuned status says which.",
        values=_bare(lambda snapshot: len(snapshot.troubles)),
    ),
)
DEVICE = ("device",)
OF_DRIVE: tuple[Metric[DriveSnapshot], ...] = (
    Metric(
        name="aio_tuned_drive_info",
        kind="gauge",
        text="Always 1; what the drive is.",
        labels=("node", "model", "serial", "firmware", "transport", "pcie_link"),
        values=_info,
    ),
    Metric(
        name="aio_tuned_drive_size_bytes",
        kind="gauge",
        text="Size of the drive.",
        values=_bare(lambda seen: seen.device.size_bytes),
    ),
    Metric(
        name="aio_tuned_drive_stage",
        kind="gauge",
        text="1 for the stage that the drive is in, 0 for the others.",
        labels=("stage",),
        values=_one_hot(lambda seen: seen.state.stage.value, [stage.value for stage in Stage]),
    ),
    Metric(
        name="aio_tuned_drive_consecutive_failures",
        kind="gauge",
        text="How often in a row the drive could not be swept, or not even be looked at.",
        values=_bare(lambda seen: seen.state.failures),
    ),
    Metric(
        name="aio_tuned_drive_next_try_timestamp_seconds",
        kind="gauge",
        text="When the drive is looked at again, if it has failed or has given way.",
        values=_bare(lambda seen: _timestamp(seen.next_try)),
    ),
    Metric(
        name="aio_tuned_sweep_progress_ratio",
        kind="gauge",
        text="How much of the sweep that goes on is done.",
        values=_bare(lambda seen: seen.progress.share if seen.progress else None),
    ),
    Metric(
        name="aio_tuned_sweep_paused",
        kind="gauge",
        text="1 while the sweep that goes on gives way to others, or waits for the drive to cool; else 0.",
        values=_bare(lambda seen: bool(seen.progress.paused) if seen.progress else None),
    ),
    Metric(
        name="aio_tuned_sweeps_total",
        kind="counter",
        text="Sweeps of the drive by how they ended; kept over restarts.",
        labels=("outcome",),
        values=lambda seen: [((outcome,), float(count)) for outcome, count in seen.sweeps.items()],
    ),
    Metric(
        name="aio_tuned_sweep_written_bytes_total",
        kind="counter",
        text="Bytes that sweeps have written to the drive; kept over restarts.",
        values=_bare(lambda seen: seen.written_bytes),
    ),
    Metric(
        name="aio_tuned_profile_state",
        kind="gauge",
        text="1 for the state of the profile that readers find, 0 for the others; none: they find none.",
        labels=("state",),
        values=_one_hot(lambda seen: seen.published.state if seen.published else "none", _STATES),
    ),
    Metric(
        name="aio_tuned_profile_overridden",
        kind="gauge",
        text="1 if the administrator has changed settings of the profile, else 0.",
        values=_bare(lambda seen: seen.overridden if seen.published else None),
    ),
    Metric(
        name="aio_tuned_profile_measured_timestamp_seconds",
        kind="gauge",
        text="When the sweep of the profile ended.",
        values=_bare(_measured_at),
    ),
    Metric(
        name="aio_tuned_profile_sweep_seconds",
        kind="gauge",
        text="How long the sweep of the profile took.",
        values=_of_sweep(lambda profile: profile.evidence.seconds),
    ),
    Metric(
        name="aio_tuned_profile_sweep_io_seconds",
        kind="gauge",
        text="How much of that was measured I/O.",
        values=_of_sweep(lambda profile: profile.evidence.io_seconds),
    ),
    Metric(
        name="aio_tuned_profile_temperature_peak_celsius",
        kind="gauge",
        text="The hottest that the drive was in the sweep, if it has a sensor.",
        values=_of_sweep(lambda profile: profile.evidence.temperature_peak_c),
    ),
    Metric(
        name="aio_tuned_profile_findings",
        kind="gauge",
        text="Findings of the profile by what they are about; aio-tuned show says which.",
        labels=("about",),
        values=_findings,
    ),
    Metric(
        name="aio_tuned_profile_throughput_bytes_per_second",
        kind="gauge",
        text="What the settings gave in the sweep.",
        labels=("direction",),
        values=_of_results(lambda result: result.throughput_bytes_per_s),
    ),
    Metric(
        name="aio_tuned_profile_throughput_low_bytes_per_second",
        kind="gauge",
        text="Lower end of the 95 % confidence interval of that.",
        labels=("direction",),
        values=_of_results(lambda result: result.throughput_ci95_bytes_per_s[0]),
    ),
    Metric(
        name="aio_tuned_profile_throughput_high_bytes_per_second",
        kind="gauge",
        text="Upper end of the 95 % confidence interval of that.",
        labels=("direction",),
        values=_of_results(lambda result: result.throughput_ci95_bytes_per_s[1]),
    ),
    Metric(
        name="aio_tuned_profile_default_throughput_bytes_per_second",
        kind="gauge",
        text="What DeepSpeed's default settings gave in the same sweep.",
        labels=("direction",),
        values=_of_results(lambda result: result.default_throughput_bytes_per_s or None),
    ),
    Metric(
        name="aio_tuned_profile_sustained_throughput_bytes_per_second",
        kind="gauge",
        text="What the settings give when they go on and on; from thorough sweeps only.",
        labels=("direction",),
        values=_of_results(lambda result: result.sustained_throughput_bytes_per_s),
    ),
    Metric(
        name="aio_tuned_profile_within_ratio",
        kind="gauge",
        text="How far below the best setting the chosen one can be, as a share of it, with 95 % confidence.",
        labels=("direction",),
        values=_of_results(
            lambda result: None if result.within_percent is None else round(result.within_percent / 100, 9)
        ),
    ),
    Metric(
        name="aio_tuned_profile_sibling_ratio",
        kind="gauge",
        text="Throughput as a share of the median of the drive's siblings: the same model, firmware and filesystem.",
        labels=("direction",),
        values=_sibling_ratio,
    ),
    Metric(
        name="aio_tuned_profile_siblings",
        kind="gauge",
        text="How many siblings that median is of.",
        labels=("direction",),
        values=_siblings,
    ),
    Metric(
        name="aio_tuned_setting_block_size_bytes",
        kind="gauge",
        text="Bytes of one request, as readers of the profile get it.",
        labels=("section",),
        values=_of_settings(lambda setting: setting.block_size),
    ),
    Metric(
        name="aio_tuned_setting_queue_depth",
        kind="gauge",
        text="Requests in flight per thread.",
        labels=("section",),
        values=_of_settings(lambda setting: setting.queue_depth),
    ),
    Metric(
        name="aio_tuned_setting_io_parallelism",
        kind="gauge",
        text="Threads.",
        labels=("section",),
        values=_of_settings(lambda setting: setting.io_parallelism),
    ),
    Metric(
        name="aio_tuned_setting_overlap_events",
        kind="gauge",
        text="1 if the queue is refilled as requests complete, 0 if each queue is waited for as a whole.",
        labels=("section",),
        values=_of_settings(lambda setting: setting.overlap_events),
    ),
    Metric(
        name="aio_tuned_setting_single_submit",
        kind="gauge",
        text="1 if requests are submitted one by one, 0 if all that are ready go together.",
        labels=("section",),
        values=_of_settings(lambda setting: setting.single_submit),
    ),
)
