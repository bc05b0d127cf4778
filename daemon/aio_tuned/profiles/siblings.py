"""Siblings, which are drives of the same model, firmware and block format, and the comparison of their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import CombinedResult, Profile, Result
from aio_tuned.model.setting import DEFAULT_SETTING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aio_tuned.model.device import Device
    from aio_tuned.model.setting import Direction, Setting
    from aio_tuned.model.target import Target

# Two drives of one model may differ by this share, even if their intervals are narrower.
_MIN_MARGIN = 0.03

# A check tolerates a difference of 10 % in throughput, half of it for each drive, since drives of one model fill and
# wear differently.
_CHECK_MARGIN = 0.05

# An interval wider than this share of the throughput would agree even with a drive of half the speed.
_MAX_WIDTH = 0.4


def find_siblings(device: Device, others: Iterable[Profile]) -> tuple[Profile, ...]:
    """Return the completely measured profiles of the drive's siblings."""
    return tuple(other for other in others if is_sibling(device, other, None))


def is_sibling(device: Device, other: Profile, target: Target | None) -> bool:
    """Return whether the other drive is a sibling that was measured as reliably as this drive can be.

    New drives hold only zeros, so their profiles stay provisional. A provisional profile counts only if a profile of
    this drive would be provisional too.
    """
    evidence = other.evidence
    complete = evidence.measured_at is not None and evidence.points_measured == evidence.points_planned
    as_good = other.state == "provisional" and complete and target is not None and bool(target.provisional)
    return (
        (other.state == "measured" or as_good)
        and other.device.id != device.id
        and not device.members
        and not other.device.members
        and bool(device.model and device.firmware)
        and (other.device.model, other.device.firmware) == (device.model, device.firmware)
        and other.device.transport == device.transport
        and _same_format(device, other)
    )


def _same_format(device: Device, other: Profile) -> bool:
    """Return whether both drives have the same protection information and metadata, which are moved with each block.

    The sizes of the metadata are compared only if both are known.
    """
    theirs = other.fingerprint.metadata_bytes
    known = None not in (theirs, device.metadata_bytes)
    return other.fingerprint.integrity_format == device.integrity_format and (
        not known or theirs == device.metadata_bytes
    )


def check_settings(sibling: Profile, own: Profile | None = None) -> Mapping[Direction, tuple[Setting, ...]]:
    """Return the settings that a check measures in each direction in which the sibling was measured.

    They are the sibling's setting, its challengers (the best settings of other classes), the combined setting, the
    default, and the setting of the drive's own profile.
    """
    before = own_settings(own)
    found: dict[Direction, tuple[Setting, ...]] = {}
    for direction, part in sibling.sections():
        if isinstance(part, Result):
            others = [setting for setting, _ in part.challenger_shares()]
            if isinstance(sibling.combined, CombinedResult):
                others.append(sibling.combined.setting)
            others.append(DEFAULT_SETTING)
            if direction in before:
                others.append(before[direction])
            found[direction] = tuple(dict.fromkeys((part.setting, *others)))
    return found


def own_settings(own: Profile | None) -> Mapping[Direction, Setting]:
    """Return the settings that were measured on the drive, by direction."""
    sections = own.sections() if own else ()
    return {direction: part.setting for direction, part in sections if isinstance(part, Result)}


def check_shares(sibling: Profile) -> Mapping[Direction, Mapping[Setting, float]]:
    """Return the challengers of each direction and the default, with their throughputs relative to the setting's."""
    return {
        direction: {**_default_share(part), **dict(part.challenger_shares())}
        for direction, part in sibling.sections()
        if isinstance(part, Result)
    }


def _default_share(part: Result) -> dict[Setting, float]:
    gain = part.versus_default_percent
    return {} if gain is None else {DEFAULT_SETTING: 1 / (1 + gain / 100)}


def apart(here: Result, there: Sequence[Result], tolerance: float) -> bool:
    """Return whether a result is outside the range of the other results by more than their intervals and a margin."""
    margin = max(tolerance, _MIN_MARGIN)
    here_low, here_high = here.throughput_ci95_bytes_per_s
    there_low = min(one.throughput_ci95_bytes_per_s[0] for one in there)
    there_high = max(one.throughput_ci95_bytes_per_s[1] for one in there)
    return here_high * (1 + margin) < there_low * (1 - margin) or here_low * (1 - margin) > there_high * (1 + margin)


def check_agrees(sibling: Profile, checked: Profile, unsettled: Mapping[Direction, str]) -> str:
    """Return how a check differs from the sibling's profile, or "" if they agree.

    `unsettled` holds the reason for the end of each unsettled direction. The throughputs may differ by 10 %, since the
    published figures are those of this drive.
    """
    compared = False
    for (direction, there), (_, here) in zip(sibling.sections(), checked.sections(), strict=True):
        if not (isinstance(there, Result) and isinstance(here, Result)):
            continue
        compared = True
        if why := unsettled.get(direction, ""):
            return f"{direction}: {why}"
        # The default is chosen if it is no slower than the setting; a faster default is an unsettled direction.
        if here.setting not in (there.setting, DEFAULT_SETTING):
            return f"{direction}: the best setting on this drive is not that of {sibling.device.name}"
        low, high = here.throughput_ci95_bytes_per_s
        if high - low > _MAX_WIDTH * here.throughput_bytes_per_s:
            return (
                f"{direction}: the interval on this drive, {formatting.throughput(low)} to"
                f" {formatting.throughput(high)}, is too wide to confirm the setting"
            )
        if apart(here, [there], _CHECK_MARGIN):
            return (
                f"{direction}: {formatting.throughput(here.throughput_bytes_per_s)} on this drive, but"
                f" {formatting.throughput(there.throughput_bytes_per_s)} on {sibling.device.name}"
            )
    return "" if compared else f"no direction was measured both on this drive and on {sibling.device.name}"
