"""A class result as the profile of one more sibling, whose settings are checked on a drive before it takes them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned import __version__
from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import wire
from aio_tuned.model.profile import SHARE_ONE, CombinedResult, DeviceInfo, Evidence, Profile, Result, Skipped
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles.codec import SCHEMA

if TYPE_CHECKING:
    from typing import Literal

    from aio_tuned.fleet.consensus import ClassDirection, ClassResult
    from aio_tuned.fleet.report import Share
    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import Fingerprint
    from aio_tuned.model.setting import Grid

MOST_CONTRIBUTORS = 16
_ID = "class:"

# As of a sweep: a setting that may be so far below the best has a low confidence.
_LOW_CONFIDENCE_PERCENT = 10.0
_SKIPPED = Skipped(skipped="the class has no result for it")


class Provenance(NamedTuple):
    """The fields of a profile's evidence that tell which class result its settings are from."""

    fleet_class: str
    fleet_generation: int
    fleet_contributors: tuple[str, ...]


def name_of(result: ClassResult) -> str:
    """Return the name of a class result, for profiles and sentences."""
    return f"class {result.hardware_class} generation {result.generation}"


def provenance(result: ClassResult) -> Provenance:
    """Return where the settings are from; the contributors as NODE/DRIVE, 16 at most."""
    contributors = tuple(f"{node}/{drive}" for node, drive in result.contributors[:MOST_CONTRIBUTORS])
    return Provenance(result.hardware_class, result.generation, contributors)


def is_of_class(sibling: Profile) -> bool:
    """Return whether the profile is a class result's own, and not that of a drive that has its settings."""
    return sibling.device.id.startswith(_ID)


def check_usable(result: ClassResult) -> None:
    """Raise FleetDataError if the sweeps of the result disagree, or if a setting is not of its grid.

    Such a result is not for drives to take. DeepSpeed's default setting is of every grid, since each sweep measures it.
    """
    if result.disagreement:
        raise FleetDataError(f"{name_of(result)}: its sweeps disagree: {result.disagreement}; it is ignored")
    challengers = [each.setting for _, part in result.directions() if part for each in part.challengers]
    for setting in filter(None, (*result.settings(), *challengers)):
        outside = [key for key in SETTING_KEYS if getattr(setting, key) not in getattr(result.grid, key)]
        if outside and setting != DEFAULT_SETTING:
            raise FleetDataError(f"{name_of(result)}: a setting is not of its grid: {outside[0]}; it is ignored")


def class_profile(result: ClassResult, device: Device, fingerprint: Fingerprint) -> Profile:
    """Return the class result as the profile of a sibling of the drive, which has this fingerprint now.

    The class's key is made of the fingerprint's facts, so the result is one for these circumstances. Its figures are
    those of the class, and its confidence is never better than what the least drive of the class supports.
    """
    read, write = (_result(part) if part else _SKIPPED for part in (result.read, result.write))
    points = _points(result.grid)
    directions = [part for _, part in result.directions() if part]
    return Profile(
        schema=SCHEMA,
        state="measured",
        device=_device(result, device),
        read=read,
        write=write,
        combined=_combined(result),
        evidence=replace(
            Evidence.unmeasured(__version__),
            measured_at=datetime.fromtimestamp(result.made_at_s, timezone.utc).isoformat(timespec="seconds"),
            kernel=fingerprint.kernel,
            grid_points=points,
            points_planned=points * len(directions),
            points_measured=points * len(directions),
            **provenance(result)._asdict(),
        ),
        fingerprint=fingerprint,
    )


def _device(result: ClassResult, device: Device) -> DeviceInfo:
    """Return the identity of the class: what siblings have in common with the drive, and a name of its own."""
    return DeviceInfo(
        id=f"{_ID}{result.hardware_class}:{result.generation}",
        name=name_of(result),
        model=device.model,
        serial="",
        firmware=device.firmware,
        nsid=None,
        size_bytes=device.size_bytes,
        logical_block_bytes=device.logical_block_bytes,
        transport=device.transport,
        pcie_link=device.pcie_link,
        numa_node=device.numa_node,
        members=device.member_names,
    )


def _points(grid: Grid) -> int:
    return math.prod(len(getattr(grid, key)) for key in SETTING_KEYS)


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _result(part: ClassDirection) -> Result:
    # The setting is so far below the best point of the drive of the class that it suits least.
    shortfall_percent = _percent(1 - part.share / SHARE_ONE)
    confidence: Literal["low", "bounded"] = "low" if shortfall_percent > _LOW_CONFIDENCE_PERCENT else "bounded"
    return Result(
        setting=part.setting,
        throughput_bytes_per_s=part.rate.bytes_per_s,
        throughput_ci95_bytes_per_s=(part.rate.low_bytes_per_s, part.rate.high_bytes_per_s),
        latency_p99_us=part.latency_p99_us,
        ties=1,
        default_throughput_bytes_per_s=part.default_bytes_per_s,
        transfer_bytes=part.transfer_bytes,
        confidence=confidence,
        regret95_percent=shortfall_percent,
        expected_shortfall_percent=shortfall_percent,
        versus_default_percent=_percent(part.rate.bytes_per_s / part.default_bytes_per_s - 1),
        challengers=tuple(_challenger(each) for each in part.challengers),
    )


def _challenger(found: Share) -> tuple[int, int, int, int, int, int]:
    block, depth, threads, overlap, single = wire.setting_row(found.setting)
    return block, depth, threads, overlap, single, found.share


def _combined(result: ClassResult) -> CombinedResult | Skipped:
    read, write, both = result.read, result.write, result.combined
    if not (read and write and both):
        return _SKIPPED
    read_share, write_share = both.read_share / SHARE_ONE, both.write_share / SHARE_ONE
    return CombinedResult(
        setting=both.setting,
        read_throughput_bytes_per_s=round(read.rate.bytes_per_s * read_share),
        write_throughput_bytes_per_s=round(write.rate.bytes_per_s * write_share),
        read_share=read_share,
        write_share=write_share,
        ties=1,
    )
