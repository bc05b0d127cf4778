"""Events of real block devices. Only the kernel's source can be heard everywhere: that of udev is for the guest."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import select
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage
from aio_tuned.devices.udev_monitor import DeviceEvent, UdevSource
from processes import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aio_tuned.devices.udev_monitor import EventSource

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
LOOP_CTL_ADD = 0x4C80
LOOP_CTL_REMOVE = 0x4C81
# Far above those that losetup takes, and of this test run only: real devices that come and go at our word.
OURS = 100_000 + os.getpid() % 100_000
NAME = f"loop{OURS}"


def control(request: int, number: int = OURS) -> None:
    descriptor = os.open("/dev/loop-control", os.O_RDWR)
    try:
        fcntl.ioctl(descriptor, request, number)
    finally:
        os.close(descriptor)


@contextmanager
def drive() -> Iterator[Path]:
    control(LOOP_CTL_ADD)
    try:
        yield Path("/sys/block") / NAME
    finally:
        assert until(removed), f"somebody holds {NAME}"


def removed() -> bool:
    """Whether the drive could be removed: udevd, where it runs, may be looking at it."""
    try:
        control(LOOP_CTL_REMOVE)
    except OSError:
        return not (Path("/sys/block") / NAME).exists()
    return True


def poke(folder: Path, action: str = "change") -> None:
    (folder / "uevent").write_text(action)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[UdevSource]:
    made = UdevSource(tmp_path / "no-udev")
    yield made
    with suppress(AttributeError):  # closed already
        made.close()


def ours(events: list[DeviceEvent], name: str = NAME) -> list[DeviceEvent]:
    return [event for event in events if event.sys_name == name]


def come_and_go(events: list[DeviceEvent]) -> list[DeviceEvent]:
    """Return those of the events that nobody else makes: `udevadm trigger` makes changes, of our drive too."""
    return [event for event in events if event.action != "change"]


def collect(source: EventSource, count: int, name: str = NAME) -> list[DeviceEvent]:
    """So many events of the device, as they come."""
    found: list[DeviceEvent] = []
    end = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < end:
        select.select([source.fileno()], [], [], 0.1)
        found += ours(source.drain(), name)
    return found


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_drive_comes_changes_and_goes(source: UdevSource) -> None:
    with drive() as folder:
        number = (folder / "dev").read_text().strip()
        diskseq = int((folder / "diskseq").read_text())
        poke(folder)
    with drive() as folder:
        again = int((folder / "diskseq").read_text())
    expected = [
        DeviceEvent(action=action, sys_name=NAME, device_number=number, diskseq=which)
        for action, which in (("add", diskseq), ("remove", diskseq), ("add", again), ("remove", again))
    ]
    found: list[DeviceEvent] = []

    def all_heard() -> bool:
        found.extend(ours(source.drain()))
        return len(come_and_go(found)) >= len(expected)

    until(all_heard)
    assert come_and_go(found) == expected
    assert replace(expected[0], action="change") in found[1 : found.index(expected[1])]
    assert again > diskseq
    assert not source.overrun


@pytest.mark.timeout(60)
def test_without_events_there_is_nothing_to_wait_for(source: UdevSource) -> None:
    assert ours(source.drain()) == []


def test_partitions_are_told_from_disks(source: UdevSource, partition: Callable[[], tuple[object, Path]]) -> None:
    _, node = partition()
    # Another test's partition may have had this name until now.
    event = collect(source, 1, node.name)[0]
    while event.action != "add":
        event = collect(source, 1, node.name)[0]
    assert event.is_partition
    assert event.device_number == Path(f"/sys/class/block/{node.name}/dev").read_text().strip()
    assert node.name not in {found.sys_name for found in source.enumerate()}
    assert node.name.rpartition("p")[0] in {found.sys_name for found in source.enumerate()}


def test_all_disks_present_are_enumerated(source: UdevSource) -> None:
    with drive() as folder:
        event = DeviceEvent(
            action="add",
            sys_name=NAME,
            device_number=(folder / "dev").read_text().strip(),
            diskseq=int((folder / "diskseq").read_text()),
        )
        found = source.enumerate()
        assert ours(found) == [event]
        # Others come and go at this moment: disks of loop devices and of volumes.
        disks = {path.name for path in Path("/sys/block").iterdir() if not path.name.startswith(("loop", "dm-", "md"))}
        assert disks <= {each.sys_name for each in found}
        assert all(each.action == "add" and not each.is_partition for each in found)
    assert ours(source.enumerate()) == []


def test_what_comes_before_the_first_look_is_not_missed(source: UdevSource) -> None:
    with drive():
        assert len(ours(source.enumerate())) == 1
        assert collect(source, 1)[0].action == "add"


def test_drives_that_go_while_they_are_enumerated_do_no_harm(source: UdevSource) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            with drive():
                pass

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(100):
            assert all(event.device_number != "0:0" for event in source.enumerate())
            source.drain()
    finally:
        stop.set()
        thread.join()


def test_what_udev_has_not_processed_is_not_initialized(tmp_path: Path, source: UdevSource) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as udevd, drive():
        udevd.bind(str(tmp_path / "control"))
        udevd.listen()
        if storage.UDEV_CONTROL.exists():
            pytest.skip("udev runs here: it may be quicker than we are")
        waiting = UdevSource(tmp_path / "control")
        assert (waiting.source, source.source) == ("udev", "kernel")
        assert [event.initialized for event in ours(waiting.enumerate())] == [False]
        assert [event.initialized for event in ours(source.enumerate())] == [True]
        waiting.close()


def test_lost_events_lead_to_a_new_look_at_everything(tmp_path: Path) -> None:
    source = UdevSource(tmp_path / "no-udev", buffer_bytes=1)
    try:
        with drive() as folder:
            source.drain()
            for _ in range(100):
                poke(folder)
            found = source.drain()
            assert source.overrun
            assert [event.action for event in ours(found)] == ["add"]
            assert {event.action for event in found} == {"add"}
            # The socket hears again, and the old loss is told once. Others may be so loud that there is a new one.
            assert until(lambda: ours(source.drain()) == [] and not source.overrun)
            assert until(lambda: hears(source, folder)), "it hears nothing any more"
    finally:
        source.close()


def hears(source: UdevSource, folder: Path) -> bool:
    """Whether one change of the drive comes as one event."""
    poke(folder)
    return [event.action for event in ours(source.drain())] == ["change"] and not source.overrun


def test_the_event_loop_sleeps_until_something_happens(source: UdevSource) -> None:
    async def main() -> tuple[int, list[DeviceEvent]]:
        loop = asyncio.get_running_loop()
        wakes = 0
        found: list[DeviceEvent] = []
        both = asyncio.Event()

        def wake() -> None:
            nonlocal wakes
            wakes += 1
            found.extend(source.drain())
            if len(come_and_go(ours(found))) >= 2:
                both.set()

        loop.add_reader(source.fileno(), wake)
        with drive():
            pass
        await asyncio.wait_for(both.wait(), PATIENCE_S)
        await asyncio.sleep(0.2)
        loop.remove_reader(source.fileno())
        return wakes, found

    wakes, found = asyncio.run(main())
    assert [event.action for event in come_and_go(ours(found))] == ["add", "remove"]
    assert wakes <= 2 * len(found) + 10  # others have events too; a loop that never sleeps wakes up thousands of times


def test_a_receive_buffer_that_may_not_grow_is_no_reason_to_fail() -> None:
    program = "from aio_tuned.devices.udev_monitor import UdevSource\nprint(len(UdevSource().enumerate()) > 0)"
    done = subprocess.run(
        ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "daemon")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_closing_gives_the_descriptor_back(tmp_path: Path) -> None:
    before = descriptors()
    for _ in range(10):
        source = UdevSource(tmp_path / "no-udev")
        assert descriptors() == before + 1
        source.enumerate()
        source.close()
        assert descriptors() == before


def test_churn_leaks_neither_descriptors_nor_memory(source: UdevSource, tmp_path: Path) -> None:
    """Disks attached and detached, drives added and removed, and a storm of changes."""
    backing = tmp_path / "disk"
    backing.touch()
    os.truncate(backing, MIB)

    def attach() -> None:
        node = storage.run("losetup", "-f", "--show", backing)
        storage.run("losetup", "--detach", node)
        source.drain()

    def churn(drives: int, changes: int) -> int:
        heard = 0
        for _ in range(drives):
            with drive() as folder:
                for _ in range(changes):
                    poke(folder)
            heard += len(ours(source.drain()))
        gc.collect()
        return heard

    def attach_and_churn(attached: int, drives: int, changes: int) -> int:
        for _ in range(attached):
            attach()
        source.enumerate()
        return churn(drives, changes)

    attach_and_churn(10, 10, 98)
    opened, resident = descriptors(), resident_bytes()
    assert attach_and_churn(50, 50, 98) >= 5000
    assert descriptors() == opened
    assert resident_bytes() - resident < 2 * MIB  # libudev's memory; a single KiB lost per event would be 5 MiB
    tracemalloc.start()
    try:
        attach_and_churn(5, 5, 98)
        allocated = tracemalloc.get_traced_memory()[0]
        attach_and_churn(5, 20, 98)
        assert tracemalloc.get_traced_memory()[0] - allocated < 50_000  # 25 bytes an event
    finally:
        tracemalloc.stop()
