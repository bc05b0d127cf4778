"""The reports of a drive to its fleet, made of its profile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned import __version__
from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.fleet.report import BEST_POINTS, DirectionReport, DriveReport, Rate, Share
from aio_tuned.model.profile import SHARE_ONE, Result
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles.decision import measured_when

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aio_tuned.fleet.report import Basis
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction, Grid, Setting

# The limits of a report: 100 characters, which are bytes here, so that none needs four.
_LONGEST_ABOUT_BYTES = 100
_LONGEST_VERSION = 32


class Source(NamedTuple):
    """The node of a report, and its rack, "" if unknown."""

    node: str
    domain: str


def presence(
    source: Source,
    profile: Profile | None,
    hardware_class: str,
    grid: Grid,
    about: str,
    drive: str,
    generation: int,
    now_s: int,
) -> DriveReport:
    """Return the report that the drive is there, in the state of its profile, which has that generation.

    A drive without a profile is as one whose profile is provisional.
    """
    return DriveReport(
        node=source.node,
        drive=drive,
        domain=source.domain,
        hardware_class=hardware_class,
        state=profile.state if profile else "provisional",
        basis="presence",
        generation=generation,
        confirms=None,
        grid=grid,
        read=None,
        write=None,
        tool_version=_version(profile.evidence.tool_version if profile else __version__),
        helper_version=_version(profile.evidence.helper_version if profile else ""),
        at_s=now_s,
        about=_printable(about).encode()[:_LONGEST_ABOUT_BYTES].decode(errors="ignore"),
    )


def sweep(
    source: Source,
    profile: Profile,
    hardware_class: str,
    grid: Grid,
    best: Mapping[Direction, Sequence[tuple[Setting, float]]],
) -> DriveReport | None:
    """Return the report of a full sweep, None if the profile is none of one.

    `best` has the throughputs of each direction's points in bytes per second, in any order.
    """
    if profile.evidence.checked_against:
        return None
    shares = {direction: _shares(points, grid) for direction, points in best.items()}
    # A direction without points has no vote.
    parts = {
        direction: _direction(part, best=shares[direction])
        for direction, part in _measured(profile)
        if shares.get(direction)
    }
    return _report(source, profile, hardware_class, grid, parts, "sweep")


def check(
    source: Source,
    profile: Profile,
    hardware_class: str,
    grid: Grid,
    generation: int,
    confirms: bool,
    before: Mapping[Direction, Rate],
) -> DriveReport | None:
    """Return the report of a check of a generation, None if the profile has no direction that was measured.

    `before` has what the settings of the generation before gave in the same check, in the directions that have it.
    """
    parts = {direction: _direction(part, before=before.get(direction)) for direction, part in _measured(profile)}
    return _report(source, profile, hardware_class, grid, parts, "check", generation=generation, confirms=confirms)


def _report(
    source: Source,
    profile: Profile,
    hardware_class: str,
    grid: Grid,
    parts: Mapping[Direction, DirectionReport],
    basis: Basis,
    *,
    generation: int = 0,
    confirms: bool | None = None,
) -> DriveReport | None:
    at_s = math.floor(measured_when(profile).timestamp())
    if not parts or at_s < 0:
        return None
    return DriveReport(
        node=source.node,
        drive=profile.device.name,
        domain=source.domain,
        hardware_class=hardware_class,
        state=profile.state,
        basis=basis,
        generation=generation,
        confirms=confirms,
        grid=grid,
        read=parts.get("read"),
        write=parts.get("write"),
        tool_version=_version(profile.evidence.tool_version),
        helper_version=_version(profile.evidence.helper_version),
        at_s=at_s,
    )


def _measured(profile: Profile) -> Iterator[tuple[Direction, Result]]:
    """Yield the directions that were measured beside the default, which all drives of a class have in common."""
    for direction, part in profile.sections():
        if isinstance(part, Result) and part.default_throughput_bytes_per_s > 0:
            yield direction, part


def _direction(part: Result, best: tuple[Share, ...] = (), before: Rate | None = None) -> DirectionReport:
    low, high = part.throughput_ci95_bytes_per_s
    middle = part.throughput_bytes_per_s
    return DirectionReport(
        setting=part.setting,
        rate=Rate(middle, max(1, min(low, middle)), max(high, middle)),
        default_bytes_per_s=part.default_throughput_bytes_per_s,
        latency_p99_us=part.latency_p99_us,
        transfer_bytes=part.transfer_bytes,
        best=best,
        before=before,
    )


def _shares(points: Sequence[tuple[Setting, float]], grid: Grid) -> tuple[Share, ...]:
    """Return the best points of the grid, fastest first, in parts of the fastest; what is no throughput is left out."""
    found: dict[Setting, float] = {}
    for setting, bytes_per_s in points:
        if math.isfinite(bytes_per_s) and bytes_per_s > 0 and _is_of_grid(setting, grid):
            found[setting] = max(bytes_per_s, found.get(setting, 0.0))
    ranked = sorted(found.items(), key=lambda item: -item[1])[:BEST_POINTS]
    return tuple(
        Share(setting, max(1, round(SHARE_ONE * (bytes_per_s / ranked[0][1])))) for setting, bytes_per_s in ranked
    )


def _is_of_grid(setting: Setting, grid: Grid) -> bool:
    """Return whether a report can name the point, which is of the grid, or DeepSpeed's default."""
    return setting == DEFAULT_SETTING or all(getattr(setting, key) in getattr(grid, key) for key in SETTING_KEYS)


def _version(text: str) -> str:
    return _printable(text)[:_LONGEST_VERSION]


def _printable(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
