"""The comparison of a new profile with the existing profile of the drive."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from aio_tuned.model.confidence import rank
from aio_tuned.model.profile import Result
from aio_tuned.profiles.host_changes import HOST_KEYS, host_changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.model.profile import Fingerprint, Profile

# A sweep with less measured I/O than this share of the earlier sweep's was cut short.
_SHORT = 0.5

NO_CURVES = "curves: not measured in a check; run aio-tuned tune for this drive's own curves by request size"
EARLIER_CURVES = "curves: not measured in a check; those of this drive's last full sweep are kept"


def why_kept(new: Profile, old: Profile) -> str:
    """Return why the old profile is better and must be kept, or "" if the new one may replace it.

    An old profile is not better if it is stale, or if the drive or its environment has changed. Otherwise it is better
    if it covers more, or if it is more certain after more I/O.
    """
    same = new.device.id == old.device.id and new.device.size_bytes == old.device.size_bytes
    if not same or _without_host(old.fingerprint) != _without_host(new.fingerprint):
        return ""
    if host_changes(old.fingerprint, new.fingerprint):
        return ""
    if old.evidence.measured_at is None or old.state == "stale":
        return ""
    if lost := lost_by(new, old):
        return lost
    if new.evidence.grid_points < old.evidence.grid_points:
        return f"it covers {new.evidence.grid_points} settings instead of {old.evidence.grid_points}"
    if new.evidence.io_seconds < _SHORT * old.evidence.io_seconds and _less_sure(new, old):
        short = f"{new.evidence.io_seconds:.0f} s of I/O instead of {old.evidence.io_seconds:.0f} s"
        return f"its confidence is lower, based on {short}"
    return ""


def lost_by(new: Profile, old: Profile) -> str:
    """Return what the old profile of a drive has and the new one lacks, or ""."""
    for (direction, had), (_, has) in zip(old.sections(), new.sections(), strict=True):
        if isinstance(had, Result) and not isinstance(has, Result):
            return f"it has no {direction} figures"
    if new.state == "provisional" and old.state == "measured":
        return "it is provisional, but the existing profile is measured"
    return ""


def with_curves(new: Profile, old: Profile | None) -> Profile:
    """Return the new profile with what a check does not measure, if the old profile of the drive is valid and has it.

    The curves by request size do not depend on the settings, but the figures of several processes do.
    """
    if old is None or not new.evidence.checked_against or new.curves or not old.curves:
        return new
    pairs = zip(old.sections(), new.sections(), strict=True)
    same = all(getattr(had, "setting", None) == getattr(has, "setting", None) for (_, had), (_, has) in pairs)
    findings = tuple(EARLIER_CURVES if each == NO_CURVES else each for each in new.evidence.findings)
    return replace(
        new,
        curves=old.curves,
        concurrency=old.concurrency if same else None,
        evidence=replace(new.evidence, findings=findings),
    )


def _without_host(fingerprint: Fingerprint) -> Mapping[str, object]:
    """Return the parts of the fingerprint that must be equal: not the kernel, and not those of the host."""
    table = asdict(fingerprint)
    return {key: value for key, value in table.items() if key not in ("kernel", *HOST_KEYS)}


def _less_sure(new: Profile, old: Profile) -> bool:
    return any(
        isinstance(had, Result)
        and isinstance(has, Result)
        and had.confidence is not None
        and has.confidence is not None
        and rank(has.confidence) < rank(had.confidence)
        for (_, had), (_, has) in zip(old.sections(), new.sections(), strict=True)
    )
