"""The settings of one direction, from a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.errors import NoProfileError
from aio_tuned.reader.types import Direction, DriveSettings, FoundProfile, Settings, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.model.profile import CombinedResult, Profile, Result, Skipped, Unmeasured
    from aio_tuned.model.setting import Setting


def make_settings(
    setting: Setting, direction: Direction, throughput_bytes_per_s: int | None, concurrency: int, source: Source
) -> Settings:
    """Make the settings that a reader gets from a profile's five parameters."""
    return Settings(
        block_size=setting.block_size,
        queue_depth=setting.queue_depth,
        io_parallelism=setting.io_parallelism,
        overlap_events=setting.overlap_events,
        single_submit=setting.single_submit,
        direction=direction,
        throughput_bytes_per_s=throughput_bytes_per_s,
        saturating_concurrency=concurrency,
        source=source,
    )


def drive_settings(found: FoundProfile) -> DriveSettings:
    """Return the settings of every direction; raise NoProfileError if the profile has none at all."""
    return DriveSettings(
        read=section(found, "read", lenient=True),
        write=section(found, "write", lenient=True),
        combined=section(found, "combined", lenient=True),
        curves=found.profile.curves,
        concurrency=found.profile.concurrency,
        verified=found.profile.verified,
    )


def section(found: FoundProfile, direction: Direction, *, lenient: bool = False) -> Settings:
    """Return a direction's settings from a profile; raise NoProfileError if it has none.

    "combined", and with `lenient` any direction, falls back to another direction's settings.
    """
    others: Iterable[Direction] = ()
    if direction == "combined" or lenient:
        others = [other for other in ("read", "write") if other != direction]
    part = _part(found.profile, direction)
    taken: Direction = direction
    for other in others:
        if isinstance(part, str) and not isinstance(_part(found.profile, other), str):
            taken = other
            break
    why = part if isinstance(part, str) else ""
    part = _part(found.profile, taken)
    if isinstance(part, str):
        raise NoProfileError(f"{found.path}: no settings for {direction}: {part}")
    notes = [f"the settings of [{taken}], because [{direction}] has none: {why}"] if why else []
    return _settings_from(found, part, direction, taken, notes)


def _part(profile: Profile, direction: Direction) -> Result | CombinedResult | Unmeasured | str:
    """Return a section of the profile, or the reason why it was skipped."""
    part: Result | CombinedResult | Unmeasured | Skipped = getattr(profile, direction)
    skipped: str | None = getattr(part, "skipped", None)
    return part if skipped is None else skipped  # type: ignore[return-value]  # Skipped alone has that field


def _settings_from(
    found: FoundProfile,
    part: Result | CombinedResult | Unmeasured,
    direction: Direction,
    taken: Direction,
    notes: list[str],
) -> Settings:
    if overridden := getattr(part, "overridden", ()):
        notes = [*notes, f"{', '.join(overridden)} set by the administrator"]
    throughput: int | None = getattr(part, "throughput_bytes_per_s", None)
    note = "; ".join([*([found.note] if found.note else []), *notes])
    source = Source(found.profile.state, str(found.path), found.profile.device.name, taken, note)
    return make_settings(part.setting, direction, throughput, _saturating(found.profile, part), source)


def _saturating(profile: Profile, part: Result | CombinedResult | Unmeasured) -> int:
    """Return the number of requests in flight, over all threads, that saturates the drive.

    For the combined setting, return the larger number of the two directions if both were measured with blocks that are
    no larger. Otherwise, and for settings that were not measured, return the number that the setting keeps in flight.
    """
    setting = part.setting
    measured: int | None = getattr(part, "saturating_concurrency", None)
    if measured or not hasattr(part, "read_share"):
        return measured or setting.concurrency
    needed = 0
    for _, each in profile.sections():
        of_each = getattr(each, "saturating_concurrency", None)
        if not of_each or each.setting.block_size > setting.block_size:  # type: ignore[union-attr]  # a Result
            return setting.concurrency
        needed = max(needed, of_each)
    return min(setting.concurrency, needed)
