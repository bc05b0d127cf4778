"""The explanation of a path's settings: its drive, the chosen settings, their evidence, and why they are stale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aio_tuned import formatting
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles import codec
from aio_tuned.report import sentences
from aio_tuned.report.terminal import consumers
from aio_tuned.report.terminal.summary import setting_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.device import Device, Mount
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Setting

_STATES = {
    "measured": "every planned setting was measured on this drive, and its I/O counters confirm it",
    "provisional": "usable, but not completely measured on this drive",
    "stale": "measured under conditions that have changed since",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The device of a path; `mount` is None for a device node, `node_name` is the kernel's name for the path."""

    path: str
    device: Device
    node_name: str
    mount: Mount | None = None


def setting_text(setting: Setting) -> str:
    """Return the five parameters as a phrase."""
    block, depth, threads, events, submit = setting_words(setting)
    plural = "" if setting.io_parallelism == 1 else "s"
    return f"blocks of {block}, depth {depth}, {threads} thread{plural}, {events}, {submit} submit"


def _way(way: Way, file: str) -> list[str]:
    device, mount = way.device, way.mount
    lines = []
    if mount:
        at = f"mounted at {mount.point}" + (f" (from {mount.root})" if mount.root != "/" else "")
        lines.append(("filesystem", f"{mount.filesystem}, {at}, device {mount.device_number}"))
    if way.node_name != device.sys_name:
        lines.append(("partition", way.node_name))
    words = (device.model, device.serial and f"serial {device.serial}", f"id {device.id}")
    lines.append(("drive", f"{device.name} ({device.sys_name}): {', '.join(word for word in words if word)}"))
    if device.member_names:
        lines.append(("members", ", ".join(device.member_names)))
    lines.append(("profile", file))
    return [way.path, *(f"  {label + ':':<12}{text}" for label, text in lines)]


def _result(part: Result, points: str) -> list[str]:
    low, high = part.throughput_ci95_bytes_per_s
    interval = f"{formatting.throughput(low)} to {formatting.throughput(high)}"
    gain = sentences.gain(part)
    if gain and part.setting != DEFAULT_SETTING:
        gain += f": {formatting.throughput(part.default_throughput_bytes_per_s)}"
    lines = [
        f"{formatting.throughput(part.throughput_bytes_per_s)} ({interval}, 95 % confidence)",
        sentences.shortfall(part),
        sentences.ended(part),
        f"{sentences.others(part)}{points}",
        gain,
        sentences.kept(part),
        *(
            f"best with other threads or blocks: {setting_text(setting)}, {100 * share:.1f} % of this throughput"
            for setting, share in part.challenger_shares()
        ),
        f"{part.saturating_concurrency} requests in flight saturate the drive" if part.saturating_concurrency else "",
    ]
    return [line for line in lines if line]


def _section(name: str, part: Result | CombinedResult | Unmeasured | Skipped, points: str) -> list[str]:
    if isinstance(part, Skipped):
        return [f"{name}: no settings: {part.skipped}"]
    head = f"{name}: {setting_text(part.setting)}"
    if isinstance(part, Result):
        return [head, *(f"  {line}" for line in _result(part, points))]
    if isinstance(part, CombinedResult):
        shares = f"{100 * part.read_share:.0f} % of the best read, {100 * part.write_share:.0f} % of the best write"
        return [head, f"  {shares}, one of {part.ties} equivalent settings" if part.ties > 1 else f"  {shares}"]
    if part.overridden:
        return [head, f"  {', '.join(part.overridden)} set by the administrator; not measured with these values"]
    return [head, "  not measured on this drive"]


def describe(way: Way, profile: Profile, file: str, changed: Sequence[str]) -> str:
    """Return the explanation as text; `changed` are the phrases of decision.differences()."""
    evidence = profile.evidence
    points = f", of {evidence.points_measured} measured settings" if evidence.points_measured else ""
    when = f" (swept at {evidence.measured_at})" if evidence.measured_at else ""
    state = f"{profile.state}{when}: {_STATES[profile.state]}"
    lines = [*_way(way, file), "", state, *sentences.origin(evidence), ""]
    for name, part in (*profile.sections(), ("combined", profile.combined)):
        lines += _section(name, part, points)
    lines += consumers.lines(profile)
    if changed:
        lines += ["", *(f"! stale: {phrase}" for phrase in changed)]
    if evidence.findings:
        lines += ["", *(f"! {finding}" for finding in evidence.findings)]
    return "\n".join(lines)


def to_document(way: Way, profile: Profile, file: str, changed: Sequence[str]) -> dict[str, Any]:
    """Return the explanation in JSON's types; arguments as in describe()."""
    device, mount = way.device, way.mount
    return {
        "path": way.path,
        "filesystem": mount
        and {
            "type": mount.filesystem,
            "mount_point": str(mount.point),
            "root": mount.root,
            "device_number": mount.device_number,
        },
        "partition": way.node_name if way.node_name != device.sys_name else None,
        "drive": {
            "name": device.name,
            "kernel_name": device.sys_name,
            "model": device.model,
            "serial": device.serial,
            "id": device.id,
            "members": list(device.member_names),
        },
        "file": file,
        "stale_because": list(changed),
        "profile": codec.to_table(profile),
    }
