"""Snapshots of the daemon's state, made by tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aio_tuned.config.load import Config
from aio_tuned.service.monitoring.snapshot import DriveSnapshot, Snapshot
from aio_tuned.service.state_machine import DriveState, Stage
from aio_tuned.service.status import Sweeping
from unit.support.builders import device, device_info, evidence, profile, result

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile

SINCE = "2025-11-23T12:00:00+00:00"
SWEEPING = Sweeping(
    doing="read: 12/320 settings", share=0.25, left_s=95.0, best_bytes_per_s=6.51e9, written_bytes=3 << 30
)


def state(stage: str = "published", **changes: Any) -> DriveState:  # noqa: ANN401 - any field
    return replace(DriveState(stage=Stage(stage), reason="nothing has changed"), **changes)


def known(name: str = device().name, bytes_per_s: int = 6_512_000_000, **changes: Any) -> Profile:  # noqa: ANN401
    """Return a profile of the drive of that name, with that throughput in both directions."""
    rate = result(
        throughput_bytes_per_s=bytes_per_s, throughput_ci95_bytes_per_s=(bytes_per_s - 10**7, bytes_per_s + 10**7)
    )
    info = device_info(name=name, id=name)
    made = profile(device=info, read=rate, write=rate, evidence=evidence(temperature_peak_c=61.0))
    return replace(made, **changes)


def seen(name: str = device().name, *, shown: Profile | None = None, **changes: Any) -> DriveSnapshot:  # noqa: ANN401
    """Return a measured drive of that name; `shown` is its profile in place of the default one."""
    shown = shown or known(name)
    made = DriveSnapshot(
        device=device(name=name, id=name),
        state=state(),
        since=SINCE,
        shown=shown,
        published=shown,
        written_today_bytes=3 << 30,
        written_bytes=8 << 30,
        sweeps={"finished": 2, "failed": 1, "deferred": 0},
    )
    return replace(made, **changes)


def snapshot(*drives: DriveSnapshot, **changes: Any) -> Snapshot:  # noqa: ANN401 - any field
    made = Snapshot(version="0.1.0", pid=1234, since=SINCE, config=Config(), drives=drives)
    return replace(made, **changes)
