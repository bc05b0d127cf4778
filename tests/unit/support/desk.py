"""A supervisor on drives in a test's own folder, without udev."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.devices.mount_monitor import MountWatch
from aio_tuned.devices.udev_monitor import DeviceEvent
from aio_tuned.service.monitoring.snapshot import status
from aio_tuned.service.sd_notify import Notify
from aio_tuned.service.supervisor import Supervisor
from aio_tuned.service.sweep_counter import SweepCounter, sweep_counts_path
from aio_tuned.service.waits import Waits, waits_path
from aio_tuned.service.write_ledger import Ledger, ledger_path
from aio_tuned.storage.profile_store import ProfileStore
from unit.support.drives import Block, Host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_tuned.config.load import Config
    from aio_tuned.service.status import DriveStatus

# Higher than the number of any real drive, so that no real drive is probed.
FIRST = 9000
# The events of one drain().
MOST = 256


class Pipe:
    """An EventSource whose events a test makes."""

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe()
        self._waiting: list[DeviceEvent] = []
        self.present: list[DeviceEvent] = []
        self.overrun = False
        self.trouble = ""

    def fileno(self) -> int:
        return self._reads

    def enumerate(self) -> list[DeviceEvent]:
        return list(self.present)

    def drain(self) -> list[DeviceEvent]:
        os.read(self._reads, 1 << 16)
        events, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        if self._waiting:
            os.write(self._writes, b".")
        return events

    def send(self, *events: DeviceEvent) -> None:
        self._waiting += events
        os.write(self._writes, b".")

    def close(self) -> None:
        os.close(self._reads)
        os.close(self._writes)


class Bell(MountWatch):
    """A MountWatch that a test triggers, because nothing is mounted in a test's folder."""

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._reads

    def ring(self) -> None:
        os.write(self._writes, b".")

    def changed(self) -> bool:
        try:
            return bool(os.read(self._reads, 1 << 16))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._reads)
        os.close(self._writes)


class Bay:
    """A namespace of an NVMe drive as it appears in /sys."""

    def __init__(self, host: Host, number: int = FIRST, nsid: int = 1, name: str = "", device_number: str = "") -> None:
        self._host = host
        self.sys_name = name or f"nvme{number}n{nsid}"
        self.number = device_number or f"259:{number * 10 + nsid + 5 * bool(name)}"
        place = f"pci0000:00/{number}/nvme/nvme{number}"
        self.controller = host.sys / "devices" / place
        self.block: Block = host.block(f"{place}/{self.sys_name}", self.number)
        self.block.device(self.controller)
        for attribute, text in {
            "model": "Model One",
            "serial": f"S{number}",
            "firmware_rev": "F1",
            "transport": "pcie",
        }.items():
            (self.controller / attribute).write_text(f"{text}\n")
        self.set(size=1 << 21, nsid=nsid, diskseq=1_000_000 + number, ro=0)
        self.set(logical_block_size=512, max_sectors_kb=128, nr_requests=64, scheduler="[none] bfq", folder="queue")

    def set(self, folder: str = "", **attributes: object) -> None:
        for name, value in attributes.items():
            (self.block.directory / folder).mkdir(exist_ok=True)
            (self.block.directory / folder / name).write_text(f"{value}\n")

    def partition(self, number: int) -> str:
        """Add a partition, and return its device number."""
        directory = self.block.directory / f"{self.sys_name}p{number}"
        directory.mkdir()
        own = f"260:{self.number.partition(':')[2]}{number}"
        (directory / "partition").write_text(f"{number}\n")
        (directory / "dev").write_text(f"{own}\n")
        (self._host.sys / "dev/block" / own).symlink_to(directory)
        return own

    def event(self, action: str = "add", **changes: Any) -> DeviceEvent:  # noqa: ANN401 - any field
        return replace(DeviceEvent(action=action, sys_name=self.sys_name, device_number=self.number), **changes)

    def vanish(self) -> None:
        """Remove the drive from /sys without an event."""
        (self._host.sys / "dev/block" / self.number).unlink()
        for folder in ("class/block", "block"):
            (self._host.sys / folder / self.sys_name).unlink()
        shutil.rmtree(self.block.directory)


class Desk:
    """A supervisor with its boundaries, and what a user can see of it."""

    def __init__(self, root: Path, config: Config, mounts_pause_s: float = 0.0) -> None:
        self._mounts_pause_s = mounts_pause_s
        self.host = Host(root)
        (self.host.proc / "self").mkdir()
        (self.host.proc / "self/mountinfo").write_text("")
        folders = {"profiles": root / "etc", "state": root / "state", "runtime": root / "run"}
        own = {"metrics": root / "state/metrics.prom", "export_folders": (root / "export",)}
        self.config = replace(config, **folders, **own)  # type: ignore[arg-type]
        self.config.runtime.mkdir()
        self.restart()

    def restart(self) -> None:
        """Make a new supervisor on the same folders, as a new process is; the old one must have ended."""
        self.source = Pipe()
        self.mount_watch = Bell()
        self.supervisor = Supervisor(
            self.config,
            load_config=lambda: self.config,
            source=self.source,
            mount_watch=self.mount_watch,
            notify=Notify({}),
            store=ProfileStore(self.config.profiles, self.config.state),
            ledger=Ledger.open(ledger_path(self.config.state)),
            sweep_counter=SweepCounter.open(sweep_counts_path(self.config.state)),
            waits=Waits.open(waits_path(self.config.state)),
            sys=self.host.sys,
            proc=self.host.proc,
            mounts_pause_s=self._mounts_pause_s,
        )

    async def send(self, *events: DeviceEvent) -> None:
        """Send these events, and let the supervisor process them."""
        self.source.send(*events)
        await self.settle(len(events))

    async def mount(self, *lines: str) -> None:
        """Replace the lines of mountinfo, given without the numbers of the mount and its parent."""
        text = "".join(f"{30 + place} 22 {line}\n" for place, line in enumerate(lines))
        (self.host.proc / "self/mountinfo").write_text(text)
        self.mount_watch.ring()
        await self.settle(len(self.drives()))

    async def glance(self) -> None:
        """Let the supervisor compare what changes without an event, as it does each minute."""
        self.supervisor._looks.want("system", self.supervisor._glance)
        await self.settle(2 * len(self.drives()) + 100)

    async def settle(self, looks: int = 1) -> None:
        """Let the supervisor make that many looks; each takes a turn of the loop, and waking up a few."""
        for _ in range(looks + 5):
            await asyncio.sleep(0)

    def drives(self) -> dict[str, DriveStatus]:
        return {Path(drive.node).name: drive for drive in status(self.supervisor.snapshot()).drives}

    def published(self) -> list[str]:
        return sorted(path.name for path in self.config.profiles.iterdir()) if self.config.profiles.exists() else []


@asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[Desk]:
    run = asyncio.ensure_future(desk.supervisor.run())
    await asyncio.sleep(0)
    try:
        yield desk
        assert not run.done(), "it has given up"
    finally:
        desk.supervisor.stop()
        await run
        desk.source.close()
        desk.mount_watch.close()
