"""What is known of a drive before it is swept: what to publish at once, and whether a sweep is due. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from aio_tuned import plan, units
from aio_tuned.identity import info
from aio_tuned.model import (
    DEFAULT_SETTING,
    CombinedResult,
    Evidence,
    Profile,
    Result,
    Setting,
    Skipped,
    Unmeasured,
)
from aio_tuned.profile import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aio_tuned.model import Device, Direction, Fingerprint, Grid, Target

# Two drives of one model are no nearer to each other than this, whatever the confidence in each.
_LEAST_MARGIN = 0.03
# An interval wider than this part of the figure agrees with a drive of half the speed.
_MOST_WIDTH = 0.4
_WORDS = {"pcie_link": "PCIe link", "logical_block_bytes": "logical block size"}
_SECTIONS = ("read", "write", "combined")
_DEFAULT: Unmeasured | Skipped = Unmeasured(setting=DEFAULT_SETTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to publish now and what to sweep, and why. `against` is the profile that a check is to confirm."""

    publish: Profile
    sweep: Literal["none", "check", "full"]
    stale: bool
    reason: str
    against: Profile | None = None


def differences(was: Profile, now: Fingerprint, kernel_release: str, kernel_change: str) -> tuple[str, ...]:
    """What the profile's numbers depend on and is otherwise now, a phrase each.

    The filesystem counts only if both are known: a drive that is not mounted now was not reformatted.
    """
    found = []
    for item in fields(now):
        old, new = getattr(was.fingerprint, item.name), getattr(now, item.name)
        if item.name == "filesystem" and not (old and new):
            continue
        if item.name == "kernel":
            if kernel_change == "never":
                continue
            if kernel_change == "exact":
                old, new = was.evidence.kernel, kernel_release
        if old != new:
            words = _WORDS.get(item.name, item.name)
            found.append(f"{words} changed from {_shown(old)} to {_shown(new)}")
    return tuple(found)


def _shown(value: object) -> str:
    return str(value) or "unknown"


def _when(profile: Profile) -> datetime:
    try:
        found = datetime.fromisoformat(profile.evidence.measured_at or "")
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def judge(  # noqa: PLR0913 - the facts, the history and the policy
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
) -> Verdict:
    """What is to be done about the drive. `own` is its last profile, `others` are all that are known on this host.

    `target` is None, and the filesystem of `now` "", while nobody has looked yet what the drive is used for: then the
    verdict on the sweep is preliminary.
    """
    # Another volume may have the name now, and another drive the serial number.
    if own and own.device.id == device.id and own.evidence.measured_at is not None:
        changed = differences(own, now, kernel_release, kernel_change)
        if own.device.members != device.member_names:
            changed = ("the volume's members have changed", *changed)
        if own.device.size_bytes != device.size_bytes:
            changed = (f"size changed from {own.device.size_bytes} to {device.size_bytes} bytes", *changed)
        return _of_own(own, changed, target)

    def checkable(other: Profile) -> bool:
        return not differences(other, now, kernel_release, kernel_change) and _has_numbers(other, now, target)

    def worth(other: Profile) -> tuple[bool, bool, datetime, str]:
        """What can be checked before what cannot; what a full sweep found before what a check confirmed; the newest."""
        return checkable(other), other.evidence.checked_against is None, _when(other), other.device.name

    best = max((other for other in others if _is_sibling(device, other, target)), key=worth, default=None)
    never = "it was never measured"
    if best is None:
        finding = "nothing was measured yet: these are DeepSpeed's defaults"
        publish = _provisional(device, now, made_by, finding, dict.fromkeys(_SECTIONS, _DEFAULT))
        return Verdict(publish=publish, sweep="full", stale=False, reason=never)
    twin = f"{best.device.name}, the same model and firmware"
    finding = f"settings of {twin}, measured at {best.evidence.measured_at}: not yet confirmed here"
    borrowed = {section: _borrowed(getattr(best, section)) for section in _SECTIONS}
    publish = _provisional(device, now, made_by, finding, borrowed)
    if siblings != "check" or not checkable(best):
        return Verdict(publish=publish, sweep="full", stale=False, reason=never)
    reason = f"{never}; the settings of {twin}, are to be confirmed"
    return Verdict(publish=publish, sweep="check", stale=False, reason=reason, against=best)


def _of_own(own: Profile, changed: tuple[str, ...], target: Target | None) -> Verdict:
    """The verdict on a drive that was measured before."""
    if changed:
        findings = dict.fromkeys((*own.evidence.findings, *changed))  # never the same twice
        stale = replace(own, state="stale", evidence=replace(own.evidence, findings=tuple(findings)))
        return Verdict(publish=stale, sweep="full", stale=True, reason=", ".join(changed))
    if own.state == "stale":
        return Verdict(publish=own, sweep="full", stale=True, reason="it was stale before")
    may_write = target is not None and target.kind == "scratch" and not target.no_write
    if isinstance(own.write, Skipped) and may_write:
        return Verdict(publish=own, sweep="full", stale=False, reason="mounted now: writes can be measured")
    reason = f"nothing has changed since it was measured at {own.evidence.measured_at}"
    return Verdict(publish=own, sweep="none", stale=False, reason=reason)


def twins(device: Device, others: Iterable[Profile]) -> tuple[Profile, ...]:
    """The drives of the same model and firmware among the others that were measured in full."""
    return tuple(other for other in others if _is_sibling(device, other, None))


def _is_sibling(device: Device, other: Profile, target: Target | None) -> bool:
    """Whether the other drive is of the same kind, and was measured as soundly as this one can be.

    New drives hold only zeros, and what is measured on them stays provisional: they are each other's siblings.
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
    )


def _has_numbers(sibling: Profile, now: Fingerprint, target: Target | None) -> bool:
    """Whether the sibling was measured in the same place, and in all directions that can be measured here."""
    if target is None:
        return isinstance(sibling.read, Result)
    parts = (sibling.read,) if target.no_write else (sibling.read, sibling.write)
    return sibling.fingerprint.filesystem == now.filesystem and all(isinstance(part, Result) for part in parts)


def _borrowed(part: Result | CombinedResult | Unmeasured | Skipped) -> Unmeasured | Skipped:
    return Skipped(skipped="not measured yet") if isinstance(part, Skipped) else Unmeasured(setting=part.setting)


def _provisional(
    device: Device, now: Fingerprint, made_by: str, finding: str, parts: Mapping[str, Unmeasured | Skipped]
) -> Profile:
    """A profile of a drive that was never measured."""
    return Profile(
        schema=SCHEMA,
        state="provisional",
        device=info(device),
        read=parts["read"],
        write=parts["write"],
        combined=parts["combined"],
        evidence=Evidence(
            tool_version=made_by,
            helper_version="",
            kernel="",
            target="",
            seed=0,
            grid_points=0,
            points_planned=0,
            points_measured=0,
            visits=0,
            tainted_visits=0,
            seconds=0.0,
            io_seconds=0.0,
            bytes_read=0,
            bytes_written=0,
            drop_caches="",
            caches_dropped=0,
            cache_verdict="",
            buffer="",
            findings=(finding,),
        ),
        fingerprint=now,
    )


# --- the check of a sibling's settings -------------------------------------------------------------------


def check_settings(sibling: Profile, grid: Grid) -> Mapping[Direction, tuple[Setting, ...]]:
    """What a check measures in each direction that the sibling has numbers for.

    That is the sibling's setting for the direction, the combined one, and their neighbours in the grid.
    """
    found: dict[Direction, tuple[Setting, ...]] = {}
    parts: tuple[tuple[Direction, object], ...] = (("read", sibling.read), ("write", sibling.write))
    for direction, part in parts:
        if isinstance(part, Result):
            centres = [part.setting]
            if isinstance(sibling.combined, CombinedResult):
                centres.append(sibling.combined.setting)
            found[direction] = tuple(
                dict.fromkeys(setting for centre in centres for setting in (centre, *plan.beside(centre, grid)))
            )
    return found


def apart(here: Result, there: Sequence[Result], tolerance: float) -> bool:
    """Whether a result lies outside the range of all the others, by more than the intervals and a margin."""
    margin = max(tolerance, _LEAST_MARGIN)
    here_low, here_high = here.throughput_ci95_bytes_per_s
    there_low = min(one.throughput_ci95_bytes_per_s[0] for one in there)
    there_high = max(one.throughput_ci95_bytes_per_s[1] for one in there)
    return here_high * (1 + margin) < there_low * (1 - margin) or here_low * (1 - margin) > there_high * (1 + margin)


def check_agrees(sibling: Profile, checked: Profile, tolerance: float) -> str:
    """A sentence that says where the checked drive does not give what the sibling gave; "" if it does.

    The best of the check may be another setting than the sibling's: the check has chosen among neighbours, and what
    counts is that its throughput is the sibling's, up to the intervals and a margin.
    """
    compared = False
    for direction, there, here in (("read", sibling.read, checked.read), ("write", sibling.write, checked.write)):
        if not (isinstance(there, Result) and isinstance(here, Result)):
            continue
        compared = True
        low, high = here.throughput_ci95_bytes_per_s
        if high - low > _MOST_WIDTH * here.throughput_bytes_per_s:
            return (
                f"{direction}: {units.throughput(low)} to {units.throughput(high)} here, too uncertain to confirm"
                " anything"
            )
        if apart(here, [there], tolerance):
            return (
                f"{direction}: {units.throughput(here.throughput_bytes_per_s)} here, but"
                f" {units.throughput(there.throughput_bytes_per_s)} on {sibling.device.name}"
            )
    return "" if compared else f"nothing was measured both here and on {sibling.device.name}"
