"""A snapshot of the daemon's state, from which the status file and the line for systemd are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model import confidence
from aio_tuned.model.profile import Result
from aio_tuned.profiles.siblings import find_siblings
from aio_tuned.service.state_machine import Stage
from aio_tuned.service.status import DriveStatus, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import Profile
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.state_machine import DriveState, SweepEnd
    from aio_tuned.service.status import ExportStatus, Sweeping
    from aio_tuned.service.sweep_counter import SweepCounter
    from aio_tuned.service.write_ledger import Ledger
    from aio_tuned.storage.profile_store import ProfileStore


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveSnapshot:
    """One drive that is present.

    `shown` is the profile to publish, and `published` the one that readers find, with the administrator's overrides;
    each is None if it is missing. `namesake` is the name without digits that another drive owns, and that drive's id.
    `siblings` are the siblings' profiles. `written_bytes` are the bytes that sweeps have written to the drive, `sweeps`
    the number of sweeps by outcome, and `page_cache_drops` the number of their page cache drops, kept over restarts.
    """

    device: Device
    state: DriveState
    since: str
    next_try: str = ""
    note: str = ""
    never_quiet: str = ""
    short_of_memory: str = ""
    shown: Profile | None = None
    published: Profile | None = None
    overridden: bool = False
    namesake: tuple[str, str] | None = None
    sweeping: Sweeping | None = None
    siblings: tuple[Profile, ...] = ()
    written_today_bytes: int = 0
    written_bytes: int = 0
    sweeps: Mapping[SweepEnd, int] = field(default_factory=dict)
    page_cache_drops: int = 0

    @property
    def progress(self) -> Sweeping | None:
        """Return the progress of the drive's sweep; None if none is running."""
        return self.sweeping if self.state.stage is Stage.SWEEPING else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The daemon's state; `swept` is the kernel's name of the drive that is swept, or "", and `since` is ISO 8601."""

    version: str
    pid: int
    since: str
    config: Config
    swept: str = ""
    drives: tuple[DriveSnapshot, ...] = ()
    exports: tuple[ExportStatus, ...] = ()
    troubles: tuple[str, ...] = ()


def of_drive(
    drive: Drive,
    catalog: tuple[Profile, ...],
    store: ProfileStore,
    ledger: Ledger,
    sweep_counter: SweepCounter,
    *,
    is_swept: bool,
) -> DriveSnapshot:
    """Return the state of one drive; `catalog` has the profiles of all drives that were measured on this host."""
    device, shown = drive.device, drive.shown
    if not is_swept or not drive.written_bytes:
        # During a sweep the ledger counts bytes before they are written, and later subtracts those that were not
        # written. The figure is not updated then, because Prometheus treats a decreasing counter as reset.
        drive.written_bytes = ledger.total(device.id)
    return DriveSnapshot(
        device=device,
        state=drive.state,
        since=drive.since,
        next_try=drive.next_try,
        note=drive.note,
        never_quiet=drive.never_quiet,
        short_of_memory=drive.short_of_memory,
        shown=shown,
        published=store.as_read(shown) if shown else None,
        overridden=device.name in store.overridden,
        namesake=store.register.namesake(device.name),
        sweeping=drive.sweeping,
        siblings=find_siblings(device, catalog),
        written_today_bytes=ledger.written_today(device.id),
        written_bytes=drive.written_bytes,
        sweeps=sweep_counter.counts(device.id),
        page_cache_drops=sweep_counter.page_cache_drops(device.id),
    )


def status(snapshot: Snapshot) -> Status:
    """Return the content of the status file."""
    return Status(
        version=snapshot.version,
        pid=snapshot.pid,
        since=snapshot.since,
        drives=tuple(_drive(seen, snapshot.config) for seen in snapshot.drives),
        exports=snapshot.exports,
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
        stage=seen.state.stage.value,
        reason=seen.state.reason,
        since=seen.since,
        published=published.state if published else "",
        confidence=(published and confidence.lowest(published)) or "",
        profile=str(config.profiles / f"{device.name}.toml") if published else "",
        overridden=seen.overridden,
        namesake=_namesake(*seen.namesake) if seen.namesake else "",
        measured_at=(shown.evidence.measured_at or "") if shown else "",
        read_bytes_per_s=_rate(figures.read) if figures else 0,
        write_bytes_per_s=_rate(figures.write) if figures else 0,
        written_today_bytes=seen.written_today_bytes,
        next_try=seen.next_try,
        note=seen.note,
        never_quiet=seen.never_quiet,
        short_of_memory=seen.short_of_memory,
        sweeping=seen.progress,
    )


def _namesake(bare: str, owner: str) -> str:
    return f"name {bare} belongs to another drive ({owner or 'unknown'}), and so do overrides of that name"


def _rate(section: object) -> int:
    return section.throughput_bytes_per_s if isinstance(section, Result) else 0


def headline(snapshot: Snapshot) -> str:
    """Return the line for `systemctl status`."""
    stages = [seen.state.stage for seen in snapshot.drives]
    counts = ", ".join(f"{stages.count(stage)} {stage.value}" for stage in Stage if stage in stages)
    at = next((seen.sweeping for seen in snapshot.drives if seen.device.sys_name == snapshot.swept), None)
    if at:
        left = f", at most {formatting.duration(at.left_s)} left" if at.left_s else ""
        doing = f"paused: {at.paused}" if at.paused else f"{at.doing}, {at.share:.0%}{left}"
        return f"{snapshot.swept}: {doing}; {counts}"
    return counts or "no tunable drives found"
