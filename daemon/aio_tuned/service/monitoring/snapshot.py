"""What the daemon knows at one moment, and what its status file and systemd's line say of that. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import Result
from aio_tuned.service.state_machine import Stage
from aio_tuned.service.status import DriveStatus, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import Profile
    from aio_tuned.service.state_machine import DriveState, SweepEnd
    from aio_tuned.service.status import Sweeping


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveSnapshot:
    """One drive that is there.

    `shown` is the profile that readers are to find, `published` the one that they do find, with the administrator's
    overrides in it; None for none. `siblings` are profiles of the same model and firmware. `written_bytes` is what
    sweeps have written to it, and `sweeps` how they have ended, over restarts.
    """

    device: Device
    life: DriveState
    since: str
    next_try: str = ""
    shown: Profile | None = None
    published: Profile | None = None
    overridden: bool = False
    sweeping: Sweeping | None = None
    siblings: tuple[Profile, ...] = ()
    written_today_bytes: int = 0
    written_bytes: int = 0
    sweeps: Mapping[SweepEnd, int] = field(default_factory=dict)

    @property
    def progress(self) -> Sweeping | None:
        """How far its sweep is; None while there is none."""
        return self.sweeping if self.life.stage is Stage.SWEEPING else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All of it. `swept` is the kernel's name of the drive whose turn it is, or "". `since` is in ISO 8601."""

    version: str
    pid: int
    since: str
    config: Config
    swept: str = ""
    drives: tuple[DriveSnapshot, ...] = ()
    troubles: tuple[str, ...] = ()


def status(snapshot: Snapshot) -> Status:
    """What the status file says."""
    return Status(
        version=snapshot.version,
        pid=snapshot.pid,
        since=snapshot.since,
        drives=tuple(_drive(seen, snapshot.config) for seen in snapshot.drives),
        troubles=snapshot.troubles,
    )


def _drive(seen: DriveSnapshot, config: Config) -> DriveStatus:
    device, shown, published = seen.device, seen.shown, seen.published
    figures = shown if not seen.overridden else None
    return DriveStatus(
        name=device.name,
        node=str(device.node),
        model=device.model,
        serial=device.serial,
        size_bytes=device.size_bytes,
        stage=seen.life.stage.value,
        reason=seen.life.reason,
        since=seen.since,
        published=published.state if published else "",
        profile=str(config.profiles / f"{device.name}.toml") if published else "",
        overridden=seen.overridden,
        measured_at=(shown.evidence.measured_at or "") if shown else "",
        read_bytes_per_s=_rate(figures.read) if figures else 0,
        write_bytes_per_s=_rate(figures.write) if figures else 0,
        written_today_bytes=seen.written_today_bytes,
        next_try=seen.next_try,
        sweeping=seen.progress,
    )


def _rate(section: object) -> int:
    return section.throughput_bytes_per_s if isinstance(section, Result) else 0


def headline(snapshot: Snapshot) -> str:
    """One line for `systemctl status`."""
    stages = [seen.life.stage for seen in snapshot.drives]
    counts = ", ".join(f"{stages.count(stage)} {stage.value}" for stage in Stage if stage in stages)
    at = next((seen.sweeping for seen in snapshot.drives if seen.device.sys_name == snapshot.swept), None)
    if at:
        left = f", at most {formatting.duration(at.left_s)} left" if at.left_s else ""
        doing = f"paused: {at.paused}" if at.paused else f"{at.doing}, {at.share:.0%}{left}"
        return f"{snapshot.swept}: {doing}; {counts}"
    return counts or "no drive is there"
