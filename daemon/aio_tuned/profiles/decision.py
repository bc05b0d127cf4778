"""The decision on a drive from the stored profiles: which profile to publish now, and whether to sweep."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from aio_tuned.devices.identity import info
from aio_tuned.devices.names import holds_after_boot
from aio_tuned.model.profile import CombinedResult, Evidence, Fingerprint, Profile, Result, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles.codec import SCHEMA
from aio_tuned.profiles.host_changes import HOST_KEYS, host_changes, is_same_host
from aio_tuned.profiles.siblings import is_sibling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aio_tuned.model.device import Device
    from aio_tuned.model.target import Target

_WORDS = {
    "pcie_link": "PCIe link",
    "logical_block_bytes": "logical block size",
    "integrity_format": "integrity format",
    "metadata_bytes": "metadata size",
    "array": "state of the array",
}
# The meaning of an empty value; an empty value of other keys is unknown.
_EMPTY = {"integrity_format": "none", "array": "whole"}
# These keys are compared only if known: an unmounted drive was not reformatted, a link may be down for a moment, and
# the size of the metadata is known from Linux 6.8 on.
_ONLY_IF_KNOWN = ("filesystem", "pcie_link", "metadata_bytes")

_SECTIONS = ("read", "write", "combined")

_DEFAULT: Unmeasured | Skipped = Unmeasured(setting=DEFAULT_SETTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The profile to publish now and the sweep to run, with the reason; a check confirms the profile `against`.

    `host_only` means that the sweep is due only because the host has changed. `for_fleet` means that the drive's own
    profile stays valid, and the sweep or check is for its fleet. A sweep may begin after `wait_s` seconds.
    """

    publish: Profile
    sweep: Literal["none", "check", "full"]
    stale: bool
    reason: str
    against: Profile | None = None
    host_only: bool = False
    for_fleet: bool = False
    wait_s: float = 0.0


def differences(was: Profile, now: Fingerprint, kernel_release: str, kernel_change: str) -> tuple[str, ...]:
    """Return a phrase for each part of the fingerprint that has changed since the profile was measured."""
    return (*_own_differences(was, now, kernel_release, kernel_change), *host_changes(was.fingerprint, now))


def _own_differences(was: Profile, now: Fingerprint, kernel_release: str, kernel_change: str) -> tuple[str, ...]:
    """Return the phrases of the parts that do not belong to the host."""
    found = []
    for item in (each for each in fields(now) if each.name not in HOST_KEYS):
        old, new = getattr(was.fingerprint, item.name), getattr(now, item.name)
        if item.name in _ONLY_IF_KNOWN and ({old, new} & {"", None}):
            continue
        if item.name == "array" and new in ("syncing", "unknown"):
            continue  # an array in a resync or a check is as fast as before when that ends
        if item.name == "kernel":
            if kernel_change == "never":
                continue
            if kernel_change == "exact":
                old, new = was.evidence.kernel, kernel_release
        if old != new:
            words = _WORDS.get(item.name, item.name)
            empty = _EMPTY.get(item.name, "unknown")
            found.append(f"{words} changed from {_shown(old, empty)} to {_shown(new, empty)}")
    return tuple(found)


def _shown(value: object, empty: str) -> str:
    return empty if value in ("", None) else str(value)


def measured_when(profile: Profile) -> datetime:
    """Return the time of the measurement; datetime.min if it is missing or invalid."""
    try:
        found = datetime.fromisoformat(profile.evidence.measured_at or "")
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def decide(  # noqa: PLR0913 - the facts, the history and the policy
    device: Device,
    now: Fingerprint,
    kernel_release: str,
    target: Target | None,
    own: Profile | None,
    others: Sequence[Profile],
    *,
    siblings: str,
    kernel_change: str,
    made_by: str,
) -> Decision:
    """Decide which profile to publish for the drive and which sweep to run.

    `own` is the drive's last profile, and `others` are all profiles known on this host. Before the use of the drive has
    been probed, `target` is None and the filesystem of `now` is ""; the decision on the sweep is preliminary then.
    """

    def checkable(other: Profile) -> bool:
        return not differences(other, now, kernel_release, kernel_change) and is_checkable(other, now, target)

    def worth(other: Profile) -> tuple[bool, bool, datetime, str]:
        """Return a sort key: checkable siblings rank highest, then those with a full sweep, then the newest."""
        return checkable(other), other.evidence.checked_against is None, measured_when(other), other.device.name

    relatives = [other for other in others if is_sibling(device, other, target)]
    # A profile of this name may belong to another volume, or to another drive with the same serial number.
    if own and own.device.id == device.id and own.evidence.measured_at is not None:
        changed = _own_differences(own, now, kernel_release, kernel_change)
        if own.device.members != device.member_names:
            changed = ("the volume's members have changed", *changed)
        if own.device.transport != device.transport:
            was, now_ = (each.transport or "unknown" for each in (own.device, device))
            changed = (f"transport changed from {was} to {now_}", *changed)
        if own.device.size_bytes != device.size_bytes:
            changed = (f"size changed from {own.device.size_bytes} to {device.size_bytes} bytes", *changed)
        if not holds_after_boot(device.id, own.device.boot_id, device.boot_id):
            why = "the drive has only a kernel name, which may have belonged to another drive before the last boot"
            changed = (why, *changed)
        found = _decide_by_own(own, changed, host_changes(own.fingerprint, now), target)
        if not found.host_only or siblings != "check":
            return found
        # A sibling can only replace the sweep on this host if it was measured on this host as it is now.
        here = [other for other in relatives if checkable(other) and is_same_host(other.fingerprint, now)]
        return _checked(found, max(here, key=worth)) if here else found

    best = max(relatives, key=worth, default=None)
    never = "not measured yet"
    if best is None:
        finding = "not measured yet; these are DeepSpeed's defaults"
        publish = _provisional(device, now, made_by, finding, dict.fromkeys(_SECTIONS, _DEFAULT))
        return Decision(publish=publish, sweep="full", stale=False, reason=never)
    sibling = best.device.name
    finding = (
        f"not measured yet; these are the settings of {sibling} (same model and firmware, measured at"
        f" {best.evidence.measured_at}), not confirmed on this drive"
    )
    borrowed = {section: _borrowed(getattr(best, section)) for section in _SECTIONS}
    publish = _provisional(device, now, made_by, finding, borrowed)
    found = Decision(publish=publish, sweep="full", stale=False, reason=never)
    return _checked(found, best) if siblings == "check" and checkable(best) else found


def _checked(found: Decision, sibling: Profile) -> Decision:
    """Return the decision with a check of the sibling's settings in place of the full sweep."""
    reason = f"{found.reason}; checking the settings of {sibling.device.name} (same model and firmware)"
    return replace(found, sweep="check", reason=reason, against=sibling)


def _decide_by_own(own: Profile, changed: tuple[str, ...], host: tuple[str, ...], target: Target | None) -> Decision:
    """Decide on a drive that was measured before; `changed` and `host` list the differences since then."""
    may_write = target is not None and target.kind == "scratch" and not target.no_write
    writes_due = isinstance(own.write, Skipped) and may_write
    if changed or host:
        return Decision(
            publish=own.doubted(*changed, *host),
            sweep="full",
            stale=True,
            reason=", ".join((*changed, *host)),
            host_only=not (changed or own.state == "stale" or writes_due),
        )
    if own.state == "stale":
        return Decision(publish=own, sweep="full", stale=True, reason="the profile is stale")
    if writes_due:
        return Decision(publish=own, sweep="full", stale=False, reason="now mounted, so writes can be measured")
    reason = f"unchanged since the measurement at {own.evidence.measured_at}"
    return Decision(publish=own, sweep="none", stale=False, reason=reason)


def is_checkable(sibling: Profile, now: Fingerprint, target: Target | None) -> bool:
    """Return whether the sibling was measured on the same filesystem and in all directions that this drive allows.

    Its challengers must be known, since a check compares them to find out whether another class of settings wins.
    """
    if target is None:
        return _checkable(sibling.read)
    parts = (sibling.read,) if target.no_write else (sibling.read, sibling.write)
    return sibling.fingerprint.filesystem == now.filesystem and all(_checkable(part) for part in parts)


def _checkable(part: Result | Unmeasured | Skipped) -> bool:
    return isinstance(part, Result) and part.challengers is not None


def _borrowed(part: Result | CombinedResult | Unmeasured | Skipped) -> Unmeasured | Skipped:
    return Skipped(skipped="not measured yet") if isinstance(part, Skipped) else Unmeasured(setting=part.setting)


def _provisional(
    device: Device, now: Fingerprint, made_by: str, finding: str, parts: Mapping[str, Unmeasured | Skipped]
) -> Profile:
    """Return a profile for a drive that was never measured."""
    return Profile(
        schema=SCHEMA,
        state="provisional",
        device=info(device),
        read=parts["read"],
        write=parts["write"],
        combined=parts["combined"],
        evidence=replace(Evidence.unmeasured(made_by), findings=(finding,)),
        fingerprint=now,
    )
