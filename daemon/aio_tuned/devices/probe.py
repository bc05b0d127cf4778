"""Adapter: all facts of a target, read afresh, and the decision that they lead to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import eligibility, resolve, sysfs
from aio_tuned.model.target import Policy, Target

if TYPE_CHECKING:
    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device, Mount, Usage
    from aio_tuned.model.target import Skip

# A survey reads some 3 MiB of the drive; one that takes longer than this does not answer.
PROBE_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """A target at one moment. `number` is the device of the filesystem, or of the raw node, that is to be swept."""

    device: Device
    usage: Usage
    decision: Target | Skip
    number: str
    mount: Mount | None


def probe(
    target: Path,
    config: Config,
    *,
    raw: bool = False,
    read_only: bool = False,
    sys: Path = sysfs.SYS,
    proc: Path = Path("/proc"),
) -> ProbeResult:
    """Read all facts and decide. TargetError if there is no such target. A drive that does not answer may block it."""
    place = resolve.resolve(target, sys, proc)
    device = resolve.device(place, sys)
    policy = Policy(raw=raw, read_only=read_only, raw_write=config.raw_write)
    # Filling the scratch file is written too: an eighth of the budget at most.
    max_span = config.write_budget_bytes(device.size_bytes) // 8
    span = max(policy.min_span_bytes, min(config.span_bytes, max_span))
    policy = replace(policy, span_bytes=span)
    usage = resolve.usage(place, device, span, raw=raw, sys=sys, proc=proc)
    decision = eligibility.decide(device, usage, policy, place.directory)
    on_filesystem = isinstance(decision, Target) and decision.kind == "scratch"
    return ProbeResult(
        device=device,
        usage=usage,
        decision=decision,
        number=place.mount_number if on_filesystem else place.node_number,
        mount=place.mount,
    )
