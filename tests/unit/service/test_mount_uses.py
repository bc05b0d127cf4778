"""The effects of mounts on a drive and its sweep; users choose the source names of their mounts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices import sysfs
from aio_tuned.service.state_machine import DriveState, Stage
from unit.support.desk import Bay, Desk, running


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, Config(settle=60.0))


def on(number: str, point: str, options: str = "rw", filesystem: str = "ext4", source: str = "/dev/x") -> str:
    return f"{number} / {point} {options} - {filesystem} {source} {options}"


def begin_sweep(desk: Desk, bay: Bay, folder: str | None) -> None:
    """A sweep with its scratch file in that folder, or of the raw device, as its worker tells."""
    drive = desk.supervisor._inventory.drives[bay.sys_name]
    drive.state = DriveState(stage=Stage.SWEEPING, reason="due")
    drive.scratch_folder = Path(folder) if folder else None


def stage(desk: Desk, bay: Bay) -> tuple[str, str]:
    found = desk.drives()[bay.sys_name]
    return found.stage, found.reason


@pytest.mark.parametrize("filesystem", ["fuse.sshfs", "fuse", "tmpfs", "nfs4"])
def test_a_mount_that_takes_the_drives_name_is_none_of_it(desk: Desk, filesystem: str) -> None:
    """Any user can mount a FUSE filesystem with fsname=/dev/...; its own device number is anonymous."""
    node = next((path for path in sorted(Path("/dev").iterdir()) if path.is_block_device()), None)
    if node is None:
        pytest.skip("no block device node to take the name of")
    bay = Bay(desk.host, device_number=sysfs.device_number(node))

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await desk.mount(on("0:77", "/home/user/mount", filesystem=filesystem, source=str(node)))
            assert stage(desk, bay) == ("settling", "drive found")
            begin_sweep(desk, bay, None)
            await desk.mount()
            await desk.mount(on("0:78", "/home/user/mount", filesystem=filesystem, source=str(node)))
            assert stage(desk, bay) == ("sweeping", "due")

    asyncio.run(scene())


@pytest.mark.parametrize("filesystem", ["fuseblk", "fuseblk.ntfs-3g"])
def test_a_drive_that_a_program_serves_is_not_in_use_for_a_sweep(desk: Desk, filesystem: str) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await desk.mount(on(bay.number, "/mnt", filesystem=filesystem))
            assert stage(desk, bay) == ("settling", "drive found")

    asyncio.run(scene())


def test_a_mount_beside_the_sweeps_own_waits_for_its_end(desk: Desk) -> None:
    bay = Bay(desk.host)
    first, second = bay.partition(1), bay.partition(2)
    own, other = on(first, "/mnt/own"), on(second, "/mnt/other", filesystem="xfs")

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await desk.mount(own)
            begin_sweep(desk, bay, "/mnt/own")
            await desk.mount(own, other)
            await desk.mount(own, on(first, "/mnt/bound"), other)
            await desk.mount(own)
            await desk.mount(on("0:5", "/tmp", filesystem="tmpfs"), own, other)
            await desk.glance()
            assert stage(desk, bay) == ("sweeping", "due")
            desk.supervisor._inventory.drives[bay.sys_name].state = DriveState(stage=Stage.PUBLISHED, reason="swept")
            await desk.glance()
            assert stage(desk, bay) == ("settling", "mounted")

    asyncio.run(scene())


@pytest.mark.parametrize(
    "after",
    [(), ("ro", "ext4"), ("rw", "xfs")],
    ids=["unmounted", "remounted read-only", "another filesystem"],
)
def test_a_change_of_its_own_mount_ends_a_sweep(desk: Desk, after: tuple[str, ...]) -> None:
    bay = Bay(desk.host)
    number = bay.partition(1)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await desk.mount(on(number, "/mnt/own"))
            begin_sweep(desk, bay, "/mnt/own")
            await desk.mount(*([on(number, "/mnt/own", *after)] if after else []))
            assert stage(desk, bay)[0] == "settling"

    asyncio.run(scene())


def test_a_raw_sweep_ends_when_there_is_a_place_for_a_scratch_file(desk: Desk) -> None:
    bay = Bay(desk.host)
    first, second = bay.partition(1), bay.partition(2)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            begin_sweep(desk, bay, None)
            await desk.mount(on(first, "/mnt/a", "ro"))
            assert stage(desk, bay) == ("sweeping", "due")
            await desk.mount(on(first, "/mnt/a", "ro"), on(second, "/mnt/b"))
            assert stage(desk, bay) == ("settling", "mounted")

    asyncio.run(scene())
