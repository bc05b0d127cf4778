"""The explanation of a path's settings: how its drive was found, what was chosen, and what is stale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.report import sentences
from aio_tuned.report.terminal.summary import setting_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.device import Device, Mount
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Setting

_STATES = {
    "measured": "every planned point was measured on this drive, and its own counters prove it",
    "provisional": "usable, but not wholly measured on this drive as it stands",
    "stale": "something that the numbers depend on has changed since",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the path leads to the device; `mount` is None for a device node, `node_name` is the kernel's name."""

    path: str
    device: Device
    node_name: str
    mount: Mount | None = None


def setting_text(setting: Setting) -> str:
    """Return the five parameters in a few words."""
    block, depth, threads, events, submit = setting_words(setting)
    plural = "" if setting.io_parallelism == 1 else "s"
    return f"blocks of {block}, depth {depth}, {threads} thread{plural}, {events}, {submit} submit"


def _way(way: Way) -> list[str]:
    device = way.device
    lines = [way.path]
    if way.mount:
        at = f"mounted at {way.mount.point}" + (f" (from {way.mount.root})" if way.mount.root != "/" else "")
        lines.append(f"is on {way.mount.filesystem} {at}, device {way.mount.device_number}")
    if way.node_name != device.sys_name:
        lines.append(f"which is {way.node_name}, a partition of {device.sys_name}")
    words = (device.model, device.serial and f"serial {device.serial}", f"id {device.id}")
    lines.append(f"which is {device.node} now: {', '.join(word for word in words if word)}")
    if device.member_names:
        lines.append(f"a volume over {', '.join(device.member_names)}")
    return lines


def _result(part: Result, points: str) -> list[str]:
    low, high = part.throughput_ci95_bytes_per_s
    interval = f"{formatting.throughput(low)} to {formatting.throughput(high)}"
    gain = sentences.gain(part)
    if gain and part.setting != DEFAULT_SETTING:
        gain += f", which gives {formatting.throughput(part.default_throughput_bytes_per_s)}"
    lines = [
        f"{formatting.throughput(part.throughput_bytes_per_s)} ({interval}, 95 % confidence)",
        sentences.shortfall(part),
        sentences.ended(part),
        f"{sentences.others(part)}{points}",
        gain,
        sentences.kept(part),
        *(
            f"of other classes, {setting_text(setting)} gives {share:.1%} of it"
            for setting, share in part.challenger_shares()
        ),
        f"it takes at least {part.saturating_concurrency} requests in flight" if part.saturating_concurrency else "",
    ]
    return [line for line in lines if line]


def _section(name: str, part: Result | CombinedResult | Unmeasured | Skipped, points: str) -> list[str]:
    if isinstance(part, Skipped):
        return [f"{name}: no settings: {part.skipped}"]
    head = f"{name}: {setting_text(part.setting)}"
    if isinstance(part, Result):
        return [head, *(f"  {line}" for line in _result(part, points))]
    if isinstance(part, CombinedResult):
        shares = f"{part.read_share:.0%} of the best read, {part.write_share:.0%} of the best write"
        return [head, f"  {shares}, one of {part.ties} that tie" if part.ties > 1 else f"  {shares}"]
    if part.overridden:
        return [head, f"  {', '.join(part.overridden)} set by the administrator; not measured like this"]
    return [head, "  not measured on this drive"]


def describe(way: Way, profile: Profile, file: str, changed: Sequence[str]) -> str:
    """Return the whole explanation as text; `changed` are the phrases of decision.differences()."""
    evidence = profile.evidence
    points = f", of {evidence.points_measured} points measured in all" if evidence.points_measured else ""
    when = f" (swept at {evidence.measured_at})" if evidence.measured_at else ""
    first, *steps = _way(way)
    lines = [first, *(f"  {step}" for step in steps), f"  whose profile is {file}"]
    lines += ["", f"{profile.state}{when}: {_STATES[profile.state]}", ""]
    for name, part in (*profile.sections(), ("combined", profile.combined)):
        lines += _section(name, part, points)
    if changed:
        lines += ["", *(f"! stale: {phrase}" for phrase in changed)]
    if evidence.findings:
        lines += ["", *(f"! {finding}" for finding in evidence.findings)]
    return "\n".join(lines)
