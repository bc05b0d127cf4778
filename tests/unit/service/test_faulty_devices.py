"""A device with which something goes wrong, whatever that is: it is named, and the others have their events."""

from __future__ import annotations

import asyncio
import logging
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.load import Config
from aio_tuned.service.monitoring.snapshot import status
from unit.support.desk import FIRST, Bay, Desk, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, Config(settle=60.0))


def no_sense(bay: Bay) -> None:
    bay.set(size="a lot")


def below_itself(bay: Bay) -> None:
    """An error that nobody expects: RecursionError."""
    (bay.block.directory / "slaves").mkdir()
    (bay.block.directory / "slaves/itself").symlink_to(bay.block.directory)


def troubles(desk: Desk) -> list[str]:
    return list(status(desk.supervisor.snapshot()).troubles)


@pytest.mark.parametrize("breaks", [no_sense, below_itself])
def test_it_keeps_neither_the_daemon_from_starting_nor_the_others(
    desk: Desk, breaks: Callable[[Bay], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="aio_tuned")
    broken, there, late = (Bay(desk.host, FIRST + place) for place in range(3))
    breaks(broken)
    desk.source.present = [broken.event(), there.event()]

    async def scene() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with running(desk):
            assert list(desk.drives()) == [there.sys_name]
            await desk.send(broken.event("change"), late.event(), broken.event("change"))
            assert list(desk.drives()) == [there.sys_name, late.sys_name]
            (trouble,) = troubles(desk)
            assert trouble.startswith(f"{broken.sys_name}: cannot be updated: ")
        assert complaints == []

    asyncio.run(scene())
    assert [record.getMessage().startswith(f"{broken.sys_name}: ") for record in caplog.records] == [True]


def test_it_is_handled_once_it_makes_sense(desk: Desk) -> None:
    bay = Bay(desk.host)
    bay.set(size="a lot")

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            bay.set(size=1 << 21)
            await desk.send(bay.event("change"))
            assert list(desk.drives()) == [bay.sys_name]
            assert troubles(desk) == []

    asyncio.run(scene())


def test_a_drive_that_is_known_stays_until_it_is_removed(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="aio_tuned")
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            bay.set(size="a lot")
            caplog.clear()
            await desk.send(bay.event("change"))
            for _ in range(3):
                desk.source.present = [bay.event()]
                await desk.glance()
                assert list(desk.drives()) == [bay.sys_name]
                assert len(troubles(desk)) == 1
            assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"], "named, and found unhandled"
            bay.vanish()
            await desk.send(bay.event("remove"))
            assert (desk.drives(), troubles(desk)) == ({}, [])

    asyncio.run(scene())


def test_a_device_that_was_removed_is_no_trouble(desk: Desk) -> None:
    bay, other = Bay(desk.host, FIRST), Bay(desk.host, FIRST + 1)
    desk.source.present = [other.event()]

    async def scene() -> None:
        async with running(desk):
            bay.vanish()
            other.vanish()
            await desk.send(bay.event())
            # For a moment its name remains.
            (desk.host.sys / "block" / other.sys_name).mkdir()
            await desk.glance()
            await desk.mount(f"{other.number} / /mnt rw - ext4 /dev/x rw")
            assert troubles(desk) == []

    asyncio.run(scene())


def test_a_volume_without_one_of_its_members_is_shown_and_skipped(desk: Desk) -> None:
    """dm-crypt, LVM and RAID 0 keep the link to a member that was pulled."""
    first, second = Bay(desk.host, FIRST), Bay(desk.host, FIRST + 1)
    volume = desk.host.block("virtual/block/dm-9000", "254:9000")
    for name, text in (("size", "2097152"), ("dm/name", "vg-data"), ("dm/uuid", f"LVM-{'x' * 64}")):
        (volume.directory / name).parent.mkdir(exist_ok=True)
        (volume.directory / name).write_text(f"{text}\n")
    for bay in (first, second):
        bay.block.below(volume)
    second.vanish()
    desk.source.present = [
        first.event(),
        first.event(sys_name="dm-9000", device_number="254:9000"),
    ]

    async def scene() -> None:
        async with running(desk):
            found = desk.drives()
            assert list(found) == [first.sys_name, "dm-9000"]
            assert found["dm-9000"].stage == "skipped"
            assert found["dm-9000"].reason.startswith("its member nvme9001n1 is missing")
            assert troubles(desk) == []
            shutil.rmtree(volume.directory / "slaves")
            await desk.send(first.event("change", sys_name="dm-9000", device_number="254:9000"))
            assert list(desk.drives()) == [first.sys_name, "dm-9000"]

    asyncio.run(scene())
