from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import MeasurementError, TargetError
from aio_tuned.sweep.stack_watch import end_at_snapshot
from unit.devices.test_stack import LV, volume
from unit.devices.test_sysfs import Sys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    """A volume, 254:2, on a drive; it is not a snapshot's origin yet."""
    made = Sys(tmp_path / "sys")
    made.block("devices/nvme0n1", "259:0", size="1000")
    made.add("devices/nvme0n1/nvme0n1p2", {"partition": "2", "dev": "259:2"})
    made.link("dev/block/259:2", made.root / "devices/nvme0n1/nvme0n1p2")
    return made


class Sweep:
    """One that changes something after a moment, and goes on until it is cancelled."""

    def __init__(self, change: Callable[[], object], error: Exception | None = None) -> None:
        self.change = change
        self.error = error
        self.cleaned = False

    async def run(self) -> str:
        await asyncio.sleep(0.01)
        self.change()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)  # as a helper that ends
            self.cleaned = True
            if self.error:
                raise self.error
        return "measured"


def watched(sweep: Sweep, sys: Sys, tmp_path: Path, number: str = "254:9") -> str:
    return asyncio.run(end_at_snapshot(sweep.run(), number, sys.root, tmp_path / "proc", tmp_path / "dev"))


def test_a_snapshot_ends_the_sweep(sys: Sys, tmp_path: Path) -> None:
    """A volume that lies on the one that becomes an origin."""
    volume(sys, 9, "luks", "CRYPT-LUKS2-abc-luks", "dm-2")
    volume_below(sys)
    sweep = Sweep(lambda: becomes_origin(sys))
    with pytest.raises(TargetError, match=r"vg-data-real \(dm-0\) has a snapshot.*; the sweep was stopped"):
        watched(sweep, sys, tmp_path)
    assert sweep.cleaned


def volume_below(sys: Sys) -> None:
    volume(sys, 2, "vg-data", LV, "nvme0n1p2")


def becomes_origin(sys: Sys) -> None:
    """What `lvcreate -s` makes of the volume."""
    own = sys.root / "devices/virtual/block/dm-2"
    (own / "slaves/nvme0n1p2").unlink()
    (sys.root / "devices/nvme0n1/nvme0n1p2/holders/dm-2").unlink()
    volume(sys, 0, "vg-data-real", f"{LV}-real", "nvme0n1p2")
    (own / "slaves/dm-0").symlink_to(sys.root / "devices/virtual/block/dm-0")


def test_another_volume_on_the_drive_does_not(sys: Sys, tmp_path: Path) -> None:
    volume(sys, 9, "vg-mine", LV, "nvme0n1p2")

    async def run() -> str:
        await asyncio.sleep(0.01)
        volume(sys, 5, "vg-new", LV, "nvme0n1p2")
        await asyncio.sleep(0.3)
        return "measured"

    work = end_at_snapshot(run(), "254:9", sys.root, tmp_path / "proc", tmp_path / "dev")
    assert asyncio.run(work) == "measured"


def test_a_disk_is_not_watched(sys: Sys, tmp_path: Path) -> None:
    async def run() -> str:
        volume(sys, 1, "snap-cow", f"{LV}-cow", "nvme0n1p2")
        volume(sys, 3, "by-hand", "", "nvme0n1p2", "dm-1")
        await asyncio.sleep(0.3)
        return "measured"

    work = end_at_snapshot(run(), "259:2", sys.root, tmp_path / "proc", tmp_path / "dev")
    assert asyncio.run(work) == "measured"


def test_an_error_of_the_end_is_not_hidden(sys: Sys, tmp_path: Path) -> None:
    """As of a helper that hangs in the kernel."""
    volume(sys, 9, "luks", "CRYPT-LUKS2-abc-luks", "dm-2")
    volume_below(sys)
    sweep = Sweep(lambda: becomes_origin(sys), MeasurementError("stuck"))
    with pytest.raises(MeasurementError, match="stuck"):
        watched(sweep, sys, tmp_path)


def test_a_cancelled_sweep_cleans_up(sys: Sys, tmp_path: Path) -> None:
    volume(sys, 9, "vg-mine", LV, "nvme0n1p2")
    begun = asyncio.Event()
    sweep = Sweep(begun.set)

    async def cancelled() -> None:
        work = end_at_snapshot(sweep.run(), "254:9", sys.root, tmp_path / "proc", tmp_path / "dev")
        task = asyncio.ensure_future(work)
        await begun.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert sweep.cleaned
