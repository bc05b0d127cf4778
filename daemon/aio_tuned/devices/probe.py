"""The facts of a target at one moment, and the decision that follows from them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import arrays, eligibility, resolve, sysfs
from aio_tuned.errors import TargetError
from aio_tuned.model.target import Policy, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device, Mount, Usage
    from aio_tuned.model.target import Skip

# A probe reads about 3 MiB of the drive; a drive that takes longer than this does not answer.
PROBE_LIMIT_S = 120.0
NO_ANSWER = f"the drive has not responded for {PROBE_LIMIT_S:.0f} s; see the kernel log"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """A target at one moment; `number` is that of the device to sweep, below the filesystem or the raw node.

    `busy` is the reason to postpone a sweep that no user has requested, or "".
    """

    device: Device
    usage: Usage
    decision: Target | Skip
    number: str
    mount: Mount | None
    busy: str = ""


def probe(
    target: Path,
    config: Config,
    *,
    raw: bool = False,
    read_only: bool = False,
    thin_writes: bool = False,
    sys: Path = sysfs.SYS,
    proc: Path = Path("/proc"),
) -> ProbeResult:
    """Read all facts of the target and decide where to sweep it.

    With `thin_writes` the target counts as a member of the configuration's list of that name. Raise TargetError if the
    target does not exist, MeasurementError if the drive cannot be read. Block until the drive answers.
    """
    place = resolve.resolve(target, sys, proc)
    device = resolve.device(place, sys, proc)
    policy = Policy(
        raw=raw,
        read_only=read_only,
        raw_write=config.raw_write,
        thin_writes=thin_writes or _is_named(place, config.thin_writes),
        btrfs=config.btrfs,
        min_free_bytes=config.min_free,
    )
    # Filling the scratch file counts as writes too, so it takes an eighth of the budget at most.
    max_span = config.write_budget_bytes(device.size_bytes) // 8
    span = max(policy.min_span_bytes, min(config.span_bytes, max_span))
    policy = replace(policy, span_bytes=span)
    usage = resolve.usage(place, device, policy, sys, proc)
    decision = eligibility.decide(device, usage, policy, place.directory)
    below = resolve.arrays_below(place.disk_number, sys)
    if isinstance(decision, Target):
        doubts = (decision.provisional, _incomplete(device, sys), arrays.doubt(below))
        decision = replace(decision, provisional="; ".join(filter(None, doubts)))
    on_filesystem = isinstance(decision, Target) and decision.kind == "scratch"
    return ProbeResult(
        device=device,
        usage=usage,
        decision=decision,
        number=place.mount_number if on_filesystem else place.node_number,
        mount=place.mount,
        busy=arrays.busy(below),
    )


def _incomplete(device: Device, sys: Path) -> str:
    """Return the finding on a volume with members that were removed, or ""."""
    missing = resolve.missing_members(device, sys)
    if not missing:
        return ""
    return (
        f"{device.sys_name} is missing its member {', '.join(missing)}; figures are not those of the complete volume;"
        " tune again once it is complete"
    )


def _is_named(place: resolve.Location, nodes: Sequence[Path]) -> bool:
    """Return whether one of the nodes is the target's device; ignore nodes that do not exist."""
    numbers = {place.disk_number, place.node_number, place.mount_number}
    for node in nodes:
        with contextlib.suppress(TargetError):
            if sysfs.device_number(node) in numbers:
                return True
    return False
