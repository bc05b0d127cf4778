"""Bursts of events, many drives and many mounts: the cost of an event, and its delay."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices.udev_monitor import DeviceEvent
from aio_tuned.errors import TargetError
from aio_tuned.service.event_queue import EventQueue
from unit.support.desk import FIRST, MOST, Bay, Desk, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DRIVES = 60
MOUNTS = 600
EVENTS = 20_000

_opened: list[list[str]] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _opened and event == "subprocess.Popen":
        raise AssertionError(f"an event starts a process: {arguments[1]}")
    if _opened and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, os.PathLike)):
        for heard in _opened:
            heard.append(os.fspath(arguments[0]))


sys.addaudithook(_hear)


@contextmanager
def opened(root: Path) -> Iterator[list[str]]:
    """The files and folders below `root` that are read in the block, relative to it."""
    _opened.append([])
    found: list[str] = []
    try:
        yield found
    finally:
        heard = _opened.pop()  # contexts are nested
        found += [os.path.relpath(path, root) for path in heard if path.startswith(f"{root}/")]


def mounts(bays: list[Bay]) -> list[str]:
    """One filesystem on each drive, and a container host's other mounts."""
    own = [f"{bay.number} / /mnt/{bay.sys_name} rw - ext4 /dev/{bay.sys_name} rw" for bay in bays]
    return own + [f"0:{place} / /run/{place} rw - overlay overlay rw" for place in range(MOUNTS - len(own))]


@pytest.fixture
def desk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Desk:
    caplog.set_level(logging.CRITICAL, logger="aio_tuned")
    return Desk(tmp_path, Config(settle=600.0))


@pytest.fixture
def bays(desk: Desk) -> list[Bay]:
    made = [Bay(desk.host, FIRST + place) for place in range(DRIVES)]
    desk.source.present = [bay.event() for bay in made]
    return made


def strangers(paths: list[str], bay: Bay) -> list[str]:
    """Those of the paths that are of other drives."""
    return [path for path in paths if "nvme90" in path and bay.controller.name not in path]


def test_one_mount_reads_the_table_once_and_no_other_drive(desk: Desk, bays: list[Bay]) -> None:
    bay, lines = bays[7], mounts(bays)
    partition = bay.partition(1)

    async def scene() -> None:
        async with running(desk):
            await desk.mount(*lines)
            with opened(desk.host.proc) as proc:
                await desk.mount(*lines, "0:900 / /tmp/x rw - tmpfs tmpfs rw")
            assert proc.count("self/mountinfo") == 2, "written by the test, and read"
            with opened(desk.host.sys) as read:
                await desk.mount(*lines, "0:901 / /tmp/x rw - tmpfs tmpfs rw")
            assert read == []
            with opened(desk.host.sys) as read:
                await desk.mount(*lines, f"{partition} / /mnt/new rw - xfs /dev/x rw")
            assert desk.drives()[bay.sys_name].reason == "mounted"
            assert read
            assert strangers(read, bay) == []

    asyncio.run(scene())


def test_one_event_of_a_drive_reads_no_other(desk: Desk, bays: list[Bay]) -> None:
    bay = bays[7]

    async def scene() -> None:
        async with running(desk):
            await desk.mount(*mounts(bays))
            with opened(desk.host.sys) as read:
                bay.set(ro=1)
                await desk.send(bay.event("change"))
            assert desk.drives()[bay.sys_name].reason == "changed: read-only flag"
            assert read
            assert strangers(read, bay) == []

    asyncio.run(scene())


def test_a_burst_reads_each_drive_a_few_times_and_nobody_waits(desk: Desk, bays: list[Bay]) -> None:
    """The time is the processor's, of this thread: others may be busy."""
    gaps = [0.0]
    answers: list[float] = []

    async def watch() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            gaps.append(now - last)
            last = now

    async def ask() -> None:
        while True:
            asked = time.thread_time()
            with pytest.raises(TargetError):
                await desk.supervisor.answer({"do": "stop", "name": "none"})
            await asyncio.sleep(0)
            answers.append(time.thread_time() - asked)

    async def scene() -> None:
        async with running(desk):
            await desk.mount(*mounts(bays))
            events = [bays[place % DRIVES].event("change") for place in range(EVENTS - 1)]
            bays[0].set(size=1 << 22)
            tasks = [asyncio.ensure_future(work) for work in (watch(), ask())]
            with opened(desk.host.sys) as read:
                desk.source.send(*events, bays[1].event("remove"))
                await desk.settle(EVENTS // MOST + 2 * DRIVES)
            for task in tasks:
                task.cancel()
            assert desk.drives()[bays[0].sys_name].reason == "changed: size"
            assert len(desk.drives()) == DRIVES - 1
            sizes = [path for path in read if path.endswith("n1/size")]
            assert len(sizes) < EVENTS / 20

    asyncio.run(scene())
    assert max(answers) < 2.0
    assert max(gaps) < 2.0


def test_mounts_that_come_and_go_in_a_loop_are_read_now_and_then(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Config(settle=600.0), mounts_pause_s=0.3)
    bay = Bay(desk.host)
    desk.source.present = [bay.event()]
    line = f"{bay.number} / /mnt rw - ext4 /dev/x rw"

    async def scene() -> None:
        async with running(desk):
            with opened(desk.host.proc) as proc:
                for _ in range(50):
                    await desk.mount()
                await desk.mount(line)
                written = 51
                assert desk.drives()[bay.sys_name].reason == "drive found"
                await asyncio.sleep(0.4)
                await desk.settle()
                assert desk.drives()[bay.sys_name].reason == "mounted", "the last one counts"
            assert proc.count("self/mountinfo") - written < 10

    asyncio.run(scene())


# --- what still matters of a burst ---------------------------------------------------------------------------


def event(action: str, name: str = "nvme0n1", **changes: object) -> DeviceEvent:
    return DeviceEvent(action=action, sys_name=name, device_number="259:0", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("actions", "kept"),
    [
        (["change"] * 5, ["change"]),
        (["add", "change", "bind"], ["bind"]),
        (["change", "remove"], ["remove"]),
        (["remove", "add", "change"], ["remove", "change"]),
        (["remove", "add", "remove"], ["remove"]),
        (["add", "remove", "add"], ["remove", "add"]),
    ],
)
def test_the_last_event_counts_and_a_removal_before_it(actions: list[str], kept: list[str]) -> None:
    queue = EventQueue()
    queue.add(event(action) for action in actions)
    assert len(queue) == 1
    assert [each.action for each in queue.take()] == kept
    assert queue.take() == ()


def test_each_device_has_its_turn_in_the_order_of_its_first_event() -> None:
    queue = EventQueue()
    queue.add([event("add", "a"), event("add", "b"), event("change", "a")])
    queue.add([event("change", "c"), event("remove", "b")])
    assert [queue.take()[0].sys_name for _ in range(3)] == ["a", "b", "c"]


def test_what_udev_has_not_processed_does_not_hide_what_it_has() -> None:
    queue = EventQueue()
    queue.add([event("add", initialized=False)])
    assert len(queue) == 0
    queue.add([event("change"), event("change", initialized=False)])
    (kept,) = queue.take()
    assert kept.initialized
