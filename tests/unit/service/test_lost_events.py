"""What no event has told: the minute's glance at /sys finds it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices import stack
from unit.service.test_bursts import opened
from unit.support.desk import FIRST, Bay, Desk, running

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, Config(settle=60.0))


def test_drives_that_came_and_went_unheard_are_found(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="aio_tuned")
    gone, stays = Bay(desk.host, FIRST), Bay(desk.host, FIRST + 1)
    desk.source.present = [gone.event(), stays.event()]

    async def scene() -> None:
        async with running(desk):
            come = [Bay(desk.host, FIRST + place) for place in range(2, 32)]
            gone.vanish()
            desk.source.present = [bay.event() for bay in (stays, *come)]
            caplog.clear()
            await desk.glance()
            assert set(desk.drives()) == {bay.sys_name for bay in (stays, *come)}
            assert f"nvme-Model_One_S{FIRST}_1.toml" not in desk.published()
            assert len(desk.published()) == 31
            assert sum("device events lost" in record.getMessage() for record in caplog.records) == 1
            caplog.clear()
            await desk.glance()
            assert not caplog.records

    asyncio.run(scene())


def test_another_disk_under_the_same_name_is_found(desk: Desk) -> None:
    bay = Bay(desk.host)
    desk.source.present = [bay.event()]

    async def scene() -> None:
        async with running(desk):
            (bay.controller / "serial").write_text("OTHER\n")
            bay.set(diskseq=2_000_000)
            await desk.glance()
            assert desk.published() == ["nvme-Model_One_OTHER_1.toml"]

    asyncio.run(scene())


def test_what_udev_never_processes_is_taken_at_the_second_glance(desk: Desk) -> None:
    """udevd and its sockets were away when it came."""
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            desk.source.present = [bay.event(initialized=False)]
            await desk.glance()
            assert desk.drives() == {}
            await desk.glance()
            assert list(desk.drives()) == [bay.sys_name]

    asyncio.run(scene())


def test_a_glance_at_disks_that_are_as_they_were_reads_two_attributes_of_each(desk: Desk) -> None:
    """Those that are not managed, such as loop devices without a file, and hidden paths, which have no events."""
    others = [Bay(desk.host, FIRST + place, name=f"loop{place}") for place in range(20)]
    for bay in others:
        bay.set(size=0)
    hidden = Bay(desk.host, FIRST + 30, name="nvme9030c0n1")
    desk.source.present = [bay.event() for bay in others]

    async def scene() -> None:
        async with running(desk):
            await desk.glance()
            desk.source.present = []  # it need not enumerate
            with opened(desk.host.sys) as read:
                await desk.glance()
            assert hidden.sys_name not in desk.drives()
            of_host = 2
            assert len(read) == 1 + 2 * 21 + of_host

    asyncio.run(scene())


def test_a_glance_at_drives_that_are_as_they_were_reads_a_few_attributes_of_each(desk: Desk) -> None:
    bays = [Bay(desk.host, FIRST + place) for place in range(10)]
    desk.source.present = [bay.event() for bay in bays]

    async def scene() -> None:
        async with running(desk):
            await desk.glance()
            with opened(desk.host.sys) as read:
                await desk.glance()
            assert len(read) < 15 * len(bays)

    asyncio.run(scene())


@pytest.mark.parametrize(("folder", "attribute"), [("queue", "nr_requests"), ("queue", "scheduler"), ("", "ro")])
def test_a_limit_that_was_written_by_hand_is_found(desk: Desk, folder: str, attribute: str) -> None:
    bay = Bay(desk.host)
    desk.source.present = [bay.event()]

    async def scene() -> None:
        async with running(desk):
            await desk.glance()
            assert desk.drives()[bay.sys_name].reason == "drive found"
            bay.set(folder, **{attribute: "1"})
            await desk.glance()
            assert desk.drives()[bay.sys_name].reason.startswith("changed: ")

    asyncio.run(scene())


def test_a_glance_that_sees_nothing_removes_nothing(desk: Desk) -> None:
    bay = Bay(desk.host)
    desk.source.present = [bay.event()]

    async def scene() -> None:
        async with running(desk):
            (desk.host.sys / "block").rename(desk.host.sys / "away")
            await desk.glance()
            assert list(desk.drives()) == [bay.sys_name]

    asyncio.run(scene())


def test_a_device_that_could_not_be_handled_is_tried_again(desk: Desk) -> None:
    bay = Bay(desk.host)
    bay.set(ro="0", size="a lot")
    desk.source.present = [bay.event()]

    async def scene() -> None:
        async with running(desk):
            assert desk.drives() == {}
            bay.set(size=1 << 21)
            await desk.glance()
            assert list(desk.drives()) == [bay.sys_name]

    asyncio.run(scene())


@pytest.mark.parametrize("forbids", [True, False])
def test_a_volume_is_looked_at_again_when_its_snapshot_was_removed(desk: Desk, forbids: bool) -> None:
    bay = Bay(desk.host, name="dm-9000")
    bay.set("dm", name="vg-data", uuid=f"LVM-{'x' * 64}")
    snapshot = desk.host.block("virtual/block/dm-9001", "254:9001")
    (bay.block.directory / "holders").mkdir()
    (bay.block.directory / "holders/dm-9001").symlink_to(snapshot.directory)
    desk.source.present = [bay.event()]
    drive_below = Bay(desk.host, FIRST + 1)
    drive_below.block.below(bay.block)

    async def scene() -> None:
        async with running(desk):
            drive = desk.supervisor._inventory.drives[bay.sys_name]
            # As its probe finds it, which needs a real device.
            drive.shape_below = stack.shape(bay.number, desk.host.sys) if forbids else None
            await desk.glance()
            assert drive.state.reason == "drive found"
            (bay.block.directory / "holders/dm-9001").unlink()
            await desk.glance()
            assert (drive.state.reason == "underlying device changed") is forbids

    asyncio.run(scene())
