"""The reports of this host's drives to their fleet, from profiles and from the messages of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aio_tuned import formatting
from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.fleet import profile_report, wire
from aio_tuned.fleet.class_profile import is_of_class
from aio_tuned.fleet.report import DIRECTIONS, Rate
from aio_tuned.profiles import codec
from aio_tuned.service.worker.messages import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aio_tuned.fleet.profile_report import Source
    from aio_tuned.fleet.report import Basis, DriveReport
    from aio_tuned.model.profile import Fingerprint
    from aio_tuned.model.setting import Direction, Grid, Setting
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.worker.messages import Disagreed, Job, Points

# The rates follow the five parameters in a row.
_RATES = len(SETTING_KEYS)


class Outcome(NamedTuple):
    """A full sweep, or the check of a generation of a class; `report` is None if it tells the fleet nothing."""

    basis: Basis
    hardware_class: str
    generation: int
    report: DriveReport | None


def presence(source: Source, drive: Drive, key: str, now: Fingerprint, grid: Grid, now_s: float) -> DriveReport:
    """Return the report that the drive is there, with the generation of its class that its profile has."""
    shown = drive.shown
    of_class = shown is not None and shown.state == "measured" and shown.evidence.fleet_class == key
    device = drive.device
    facts = (device.model, now.firmware, formatting.amount(device.size_bytes), now.filesystem or "raw device")
    return profile_report.presence(
        source=source,
        profile=shown,
        hardware_class=key,
        grid=grid,
        about=", ".join(fact for fact in facts if fact),
        drive=device.name,
        generation=(shown.evidence.fleet_generation or 0) if shown and of_class else 0,
        now_s=round(now_s),
    )


def result(source: Source, job: Job, final: Done | Disagreed, class_of: Callable[[Fingerprint], str]) -> Outcome | None:
    """Return the outcome of a full sweep, or of the check of a class result; None for a check against a sibling.

    A sibling whose settings are from a class result may have kept the default in place of one of them.

    A sweep whose profile is provisional has no vote: it is incomplete, or the counters do not prove its I/O.
    """
    if not (final.text and final.points):
        return None
    profile = codec.parse(final.text)
    if job.against is None:
        own = class_of(profile.fingerprint)
        has_vote = own and profile.state == "measured"
        best = dict(_points(final.points)) if has_vote else {}
        report = profile_report.sweep(source, profile, own, job.config.grid, best) if has_vote else None
        return Outcome("sweep", own, 0, report)
    checked = unknown(job)
    if checked is None:
        return None
    confirms, before = isinstance(final, Done), _before(job, final.points)
    _, key, generation, _ = checked
    report = profile_report.check(source, profile, key, job.config.grid, generation, confirms, before)
    return checked._replace(report=report)


def unknown(job: Job) -> Outcome | None:
    """Return the outcome of a check of a class result that has no figures; None if the job is no such check."""
    if job.against is None or not is_of_class(job.against):
        return None
    generation, key = job.against.evidence.fleet_generation, job.against.evidence.fleet_class
    return Outcome("check", key, generation, None) if generation and key else None


def _points(points: Points) -> Iterator[tuple[Direction, list[tuple[Setting, float]]]]:
    for direction in DIRECTIONS:
        if direction in points:
            yield direction, [(wire.setting(row[:_RATES]), float(row[_RATES])) for row in points[direction]]


def _before(job: Job, points: Points) -> dict[Direction, Rate]:
    """Return what the drive's own settings gave in the check, where they were measured."""
    found: dict[Direction, Rate] = {}
    for direction, setting in job.before.items():
        for row in points.get(direction, []):
            if row[:_RATES] == wire.setting_row(setting):
                # A very wide interval may begin at 0, which no report may have.
                found[direction] = Rate(*(max(1, rate) for rate in row[_RATES:]))
    return found
