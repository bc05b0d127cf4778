"""The daemon's loop at the boundary of its events: drives of a folder of the test's own, and no udev."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned import identity, lifecycle, location
from aio_tuned.config import Config
from aio_tuned.errors import AioTunedError, TargetError, UsageError
from aio_tuned.ledger import Ledger
from aio_tuned.lifecycle import Life, Stage
from aio_tuned.match import MatchRule
from aio_tuned.model import Unmeasured
from aio_tuned.mount_watch import MountWatch
from aio_tuned.notify import Notify
from aio_tuned.shelf import Shelf, load
from aio_tuned.snapshot import status
from aio_tuned.supervisor import Supervisor, ledger_path, tally_path
from aio_tuned.tally import Tally
from aio_tuned.udev_source import DeviceEvent
from unit.builders import evidence
from unit.builders import profile as known_profile
from unit.drives import Block, Host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_tuned.lifecycle import Event
    from aio_tuned.model import Profile
    from aio_tuned.status import DriveStatus

# No machine has so many, so that a real drive is never looked at.
FIRST = 9000


class Pipe:
    """An EventSource whose events the test makes up."""

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe()
        self._waiting: list[DeviceEvent] = []
        self.present: list[DeviceEvent] = []
        self.overrun = False

    def fileno(self) -> int:
        return self._reads

    def enumerate(self) -> list[DeviceEvent]:
        return list(self.present)

    def drain(self) -> list[DeviceEvent]:
        os.read(self._reads, 1 << 16)
        events, self._waiting = self._waiting, []
        return events

    def send(self, *events: DeviceEvent) -> None:
        self._waiting += events
        os.write(self._writes, b".")

    def close(self) -> None:
        os.close(self._reads)
        os.close(self._writes)


class Bay:
    """A namespace of an NVMe drive as /sys shows it."""

    def __init__(self, host: Host, number: int = FIRST, nsid: int = 1, name: str = "") -> None:
        self._host = host
        self.sys_name = name or f"nvme{number}n{nsid}"
        self.number = f"259:{number * 10 + nsid + 5 * bool(name)}"
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
            (self.block.directory / folder / name).write_text(f"{value}\n")

    def event(self, action: str = "add", **changes: Any) -> DeviceEvent:  # noqa: ANN401 - any field
        return replace(DeviceEvent(action=action, sys_name=self.sys_name, device_number=self.number), **changes)

    def vanish(self) -> None:
        """Gone from /sys, before anybody is told."""
        (self._host.sys / "dev/block" / self.number).unlink()
        (self._host.sys / "class/block" / self.sys_name).unlink()
        shutil.rmtree(self.block.directory)


class Desk:
    """A supervisor that runs, and what can be seen of it."""

    def __init__(self, root: Path, config: Config) -> None:
        self.host = Host(root)
        (self.host.proc / "self").mkdir()
        (self.host.proc / "self/mountinfo").write_text("")
        folders = {"profiles": root / "etc", "state": root / "state", "runtime": root / "run"}
        self.config = replace(config, **folders, metrics=root / "state/metrics.prom")  # type: ignore[arg-type]
        self.config.runtime.mkdir()
        self.source = Pipe()
        self.mount_watch = MountWatch()
        self.supervisor = Supervisor(
            self.config,
            load_config=lambda: self.config,
            source=self.source,
            mount_watch=self.mount_watch,
            notify=Notify({}),
            shelf=Shelf(self.config.profiles, self.config.state),
            ledger=Ledger.open(ledger_path(self.config.state)),
            tally=Tally.open(tally_path(self.config.state)),
            sys=self.host.sys,
            proc=self.host.proc,
        )

    async def send(self, *events: DeviceEvent) -> None:
        """Let the supervisor take in these events."""
        self.source.send(*events)
        for _ in range(3):
            await asyncio.sleep(0)

    def drives(self) -> dict[str, DriveStatus]:
        return {Path(drive.node).name: drive for drive in status(self.supervisor._snapshot()).drives}

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


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Drives do not settle in a test's time: none of them is ever looked at."""
    return Desk(tmp_path, Config(settle=60.0))


def test_drives_that_are_there_at_the_start(desk: Desk) -> None:
    bay = Bay(desk.host)
    desk.source.present = [bay.event()]

    async def scene() -> None:
        async with running(desk):
            assert desk.published() == ["nvme-Model_One_S9000_1.toml"]
            assert desk.drives()[bay.sys_name].stage == "settling"
            assert (desk.config.runtime / "status.json").exists()

    asyncio.run(scene())
    assert desk.published() == ["nvme-Model_One_S9000_1.toml"], "readers need no daemon"
    assert not (desk.config.runtime / "status.json").exists()


def test_no_drive_at_the_start_is_fine(desk: Desk) -> None:
    async def scene() -> None:
        async with running(desk):
            assert desk.drives() == {}

    asyncio.run(scene())


def test_a_drive_comes_and_goes(desk: Desk) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            assert desk.drives()[bay.sys_name].published == "provisional"
            profile = load(desk.config.profiles / "nvme-Model_One_S9000_1.toml")
            assert (profile.state, profile.device.serial) == ("provisional", "S9000")
            bay.vanish()
            await desk.send(bay.event("remove"))
            assert desk.drives() == {}
            assert desk.published() == []

    asyncio.run(scene())


def test_an_event_that_comes_again_changes_nothing(desk: Desk) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event(), bay.event(), bay.event("change"))
            await desk.send(bay.event())
            assert list(desk.drives()) == [bay.sys_name]
            assert desk.drives()[bay.sys_name].reason == "it has just appeared"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("folder", "attribute", "value", "reason"),
    [
        ("", "size", 1 << 22, "size"),
        ("queue", "logical_block_size", 4096, "block format"),
        ("", "ro", 1, "read-only flag"),
        ("queue", "scheduler", "none [bfq]", "limits of the request queue"),
        ("queue", "max_sectors_kb", 64, "limits of the request queue"),
    ],
)
def test_a_change_counts_if_something_has_changed(
    desk: Desk, folder: str, attribute: str, value: object, reason: str
) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await desk.send(bay.event("change"))
            assert desk.drives()[bay.sys_name].reason == "it has just appeared"
            bay.set(folder, **{attribute: value})
            await desk.send(bay.event("change"))
            assert desk.drives()[bay.sys_name].reason == f"changed: {reason}"

    asyncio.run(scene())


def test_events_for_what_is_not_known_do_no_harm(desk: Desk) -> None:
    gone, there = Bay(desk.host, FIRST), Bay(desk.host, FIRST + 1)
    gone.vanish()

    async def scene() -> None:
        async with running(desk):
            await desk.send(
                gone.event("remove"),
                gone.event("change"),
                gone.event("add"),
                gone.event("bind"),
                DeviceEvent(action="add", sys_name="nvme9000n1p1", device_number="259:77", is_partition=True),
                DeviceEvent(action="remove", sys_name="sr0", device_number="0:0"),
                there.event(),
            )
            assert list(desk.drives()) == [there.sys_name]

    asyncio.run(scene())


def test_one_device_that_makes_no_sense_does_not_hide_the_others(desk: Desk) -> None:
    broken, there = Bay(desk.host, FIRST), Bay(desk.host, FIRST + 1)
    broken.set(size="a lot")

    async def scene() -> None:
        async with running(desk):
            await desk.send(broken.event(), there.event())
            assert list(desk.drives()) == [there.sys_name]

    asyncio.run(scene())


def test_a_drive_counts_when_udev_has_processed_it(desk: Desk) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event(initialized=False))
            assert desk.drives() == {}
            await desk.send(bay.event("change"))
            assert list(desk.drives()) == [bay.sys_name]

    asyncio.run(scene())


def test_a_disk_without_a_size_is_none_yet(desk: Desk) -> None:
    bay = Bay(desk.host)
    bay.set(size=0)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            assert desk.drives() == {}
            bay.set(size=4096)
            await desk.send(bay.event("change"))
            assert list(desk.drives()) == [bay.sys_name]
            bay.set(size=0)
            await desk.send(bay.event("change"))
            assert desk.drives() == {}
            assert desk.published() == []

    asyncio.run(scene())


@pytest.mark.parametrize("what", ["serial", "diskseq"])
def test_another_disk_under_the_same_name_is_another_drive(desk: Desk, what: str) -> None:
    """Its predecessor's "remove" was lost, or is on the way."""
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            bay.set(size=1 << 22, diskseq=77 if what == "diskseq" else 1_009_000)
            if what == "serial":
                (bay.controller / "serial").write_text("OTHER\n")
            await desk.send(bay.event("change"))
            assert desk.drives()[bay.sys_name].reason == "it has just appeared"
            name = "OTHER" if what == "serial" else "S9000"
            assert desk.published() == [f"nvme-Model_One_{name}_1.toml"]

    asyncio.run(scene())


@pytest.mark.parametrize("path_first", [True, False])
def test_hidden_paths_are_left_alone_and_the_head_is_tuned(desk: Desk, path_first: bool) -> None:
    head, path = Bay(desk.host), Bay(desk.host, name="nvme9000c0n1")
    path.set(hidden=1)
    events = [path.event(), head.event()]

    async def scene() -> None:
        async with running(desk):
            await desk.send(*(events if path_first else reversed(events)))
            assert desk.drives()[head.sys_name].stage == "settling"
            assert desk.published() == ["nvme-Model_One_S9000_1.toml"]
            await desk.send(path.event("remove"))
            assert desk.drives()[head.sys_name].stage == "settling"
            assert desk.published() == ["nvme-Model_One_S9000_1.toml"], "the head is there still"

    asyncio.run(scene())


def test_each_namespace_of_a_controller_is_a_drive(desk: Desk) -> None:
    first, second, tenth = (Bay(desk.host, nsid=nsid) for nsid in (1, 2, 10))

    async def scene() -> None:
        async with running(desk):
            await desk.send(first.event(), second.event(), tenth.event())
            assert desk.published() == [f"nvme-Model_One_S9000_{nsid}.toml" for nsid in (1, 10, 2)]
            await desk.send(second.event("remove"))
            assert desk.published() == [f"nvme-Model_One_S9000_{nsid}.toml" for nsid in (1, 10)]
            event = DeviceEvent(action="add", sys_name="nvme9000n10p1", device_number="259:1", is_partition=True)
            await desk.send(event)
            assert desk.drives()[tenth.sys_name].reason == "partition nvme9000n10p1: add"
            assert desk.drives()[first.sys_name].reason == "it has just appeared"

    asyncio.run(scene())


def test_of_two_that_say_they_are_the_same_one_is_tuned(desk: Desk) -> None:
    first, second = Bay(desk.host, FIRST), Bay(desk.host, FIRST + 1)
    (second.controller / "serial").write_text("S9000\n")

    async def scene() -> None:
        async with running(desk):
            desk.source.present = [first.event(), second.event()]
            await desk.send(first.event(), second.event())
            assert desk.drives()[second.sys_name].stage == "skipped"
            assert f"{first.sys_name} says that it is the same drive" in desk.drives()[second.sys_name].reason
            await desk.send(second.event("remove"))
            assert desk.published() == ["nvme-Model_One_S9000_1.toml"]
            await desk.send(second.event())
            assert desk.drives()[second.sys_name].stage == "skipped"
            await desk.send(first.event("remove"))
            assert desk.drives()[second.sys_name].stage == "settling"

    asyncio.run(scene())


def test_after_a_loss_of_events_all_are_looked_at(desk: Desk) -> None:
    bays = [Bay(desk.host, FIRST + place) for place in range(3)]

    async def scene() -> None:
        async with running(desk):
            await desk.send(bays[0].event(), bays[1].event())
            desk.source.overrun = True
            await desk.send(bays[1].event(), bays[2].event())
            desk.source.overrun = False
            assert set(desk.drives()) == {bays[1].sys_name, bays[2].sys_name}
            assert desk.published() == [f"nvme-Model_One_S{FIRST + place}_1.toml" for place in (1, 2)]

    asyncio.run(scene())


def test_rules_decide_what_is_tuned(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Config(settle=60.0, match=(MatchRule(tune=False, serial="S9000"),)))
    left, other = Bay(desk.host), Bay(desk.host, FIRST + 1)
    (other.controller / "transport").write_text("tcp\n")

    async def scene() -> None:
        async with running(desk):
            await desk.send(left.event(), other.event())
            assert "a [[match]] rule says so" in desk.drives()[left.sys_name].reason
            assert "not tuned unasked (NVMe, transport tcp)" in desk.drives()[other.sys_name].reason
            assert desk.published() == []

    asyncio.run(scene())


def test_a_drive_whose_node_is_not_there_has_failed_and_is_tried_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Config(settle=0.0, retry_first=3600))
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            for _ in range(500):
                if desk.drives()[bay.sys_name].stage == "failed":
                    break
                await asyncio.sleep(0.01)
            found = desk.drives()[bay.sys_name]
            assert found.stage == "failed"
            assert "/dev/nvme9000n1: No such file" in found.reason
            assert found.next_try
            assert found.published == "provisional"

    asyncio.run(scene())


def test_the_operator_is_told_what_cannot_be(desk: Desk) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            name = desk.drives()[bay.sys_name].name
            for request in ({}, {"do": "stop"}, {"do": "stop", "name": ["x"]}, {"do": "stop", "name": "nothing"}):
                with pytest.raises(TargetError):
                    await desk.supervisor.answer(request)
            with pytest.raises(UsageError, match="dance"):
                await desk.supervisor.answer({"do": "dance", "name": name})
            assert "it is not swept until aio-tuned retune" in await desk.supervisor.answer(
                {"do": "stop", "name": name}
            )
            assert desk.drives()[bay.sys_name].stage == "skipped"
            bay.set(size=1 << 22)
            await desk.send(bay.event("change"))
            assert desk.drives()[bay.sys_name].stage == "skipped", "only the operator lets it go on"
            await desk.supervisor.answer({"do": "retune", "name": name})
            assert desk.drives()[bay.sys_name].stage == "settling"

    asyncio.run(scene())


# --- a day of hot-plug churn -----------------------------------------------------------------------------------


def holdings() -> tuple[int, int, int]:
    """What a leak would show in: descriptors, tasks, threads."""
    return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks()), threading.active_count()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("turns", [100, pytest.param(1250, marks=pytest.mark.long)])
def test_comings_and_goings_leave_nothing(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture, turns: int
) -> None:
    """Of four drives in each turn, each time others; some settle and are looked at, most are gone before."""
    caplog.set_level(logging.CRITICAL, logger="aio_tuned")
    root = tmp_path_factory.mktemp("churn")
    memory = Path("/dev/shm")
    if memory.is_dir():  # each profile is fsynced
        root = memory / f"aio-tuned-test-{os.getpid()}"
        root.mkdir()
    try:
        asyncio.run(churn(root, turns))
    finally:
        shutil.rmtree(root)


async def churn(root: Path, turns: int) -> None:
    idle = threading.active_count()
    desk = Desk(root, Config(settle=0.0))
    bays = [Bay(desk.host, FIRST + place) for place in range(4)]
    seen: list[tuple[tuple[int, int, int], int, int]] = []
    async with running(desk):
        for turn in range(turns):
            for bay in bays:
                (bay.controller / "serial").write_text(f"T{turn}-{bay.number}\n")
            await desk.send(*(bay.event() for bay in bays))
            assert len(desk.published()) == len(bays)
            if turn % 25 == 0:
                await asyncio.sleep(0.02)
            await desk.send(*(bay.event("remove") for bay in bays))
            if turn in (turns // 5, turns - 1):
                for _ in range(200):
                    await asyncio.sleep(0.01)
                    if threading.active_count() == idle:
                        break
                gc.collect()
                seen.append((holdings(), len(gc.get_objects()), resident_bytes()))
        assert desk.drives() == {}
        assert desk.published() == []
    (before, objects, resident), (after, more_objects, more_resident) = seen
    assert after == before
    # One object kept for each drive that came would be far more.
    assert more_objects - objects < turns
    assert more_resident - resident < 4 << 20


# --- what is known of a drive ----------------------------------------------------------------------------


def measured(desk: Desk, bay: Bay) -> Profile:
    """Of that drive as it is now, in the catalog."""
    drive = location.device_of(bay.number, desk.host.sys)
    fingerprint = identity.fingerprint(drive, "", os.uname().release)
    made = replace(
        known_profile(),
        device=identity.info(drive),
        evidence=evidence(kernel=os.uname().release),
        fingerprint=fingerprint,
    )
    assert Shelf(desk.config.profiles, desk.config.state).remember(made)
    return made


def test_a_drive_that_is_left_alone_goes_stale_all_the_same(desk: Desk) -> None:
    """Stopped, formatted with another block size: readers must not take the old figures for this drive's."""
    bay = Bay(desk.host)
    made = measured(desk, bay)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            assert desk.drives()[bay.sys_name].published == "measured"
            await desk.supervisor.answer({"do": "stop", "name": made.device.name})
            assert desk.drives()[bay.sys_name].stage == "skipped"
            bay.set("queue", logical_block_size=4096)
            await desk.send(bay.event("change"))
            assert desk.drives()[bay.sys_name].stage == "skipped"
            assert desk.drives()[bay.sys_name].published == "stale"
            assert load(desk.config.profiles / f"{made.device.name}.toml").state == "stale"

    asyncio.run(scene())


def test_other_programs_get_what_readers_get(desk: Desk) -> None:
    bay = Bay(desk.host)
    made = measured(desk, bay)
    twin = replace(made, device=replace(made.device, id="eui.1", name="nvme-twin"))
    assert Shelf(desk.config.profiles, desk.config.state).remember(twin)
    device = f'{{device="{made.device.name}"'
    metrics = desk.config.state / "metrics.prom"

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await asyncio.sleep(0.1)
            text = metrics.read_text()
            assert f'aio_tuned_profile_state{device},state="measured"}} 1.0' in text
            assert f'aio_tuned_setting_queue_depth{device},section="read"}} 16.0' in text
            assert f'aio_tuned_profile_twin_ratio{device},direction="read"}} 1.0' in text
            folder = desk.config.profiles / "override.d"
            folder.mkdir()
            (folder / f"{made.device.name}.toml").write_text("[read]\nqueue_depth = 3\n")
            desk.supervisor.reload()
            await asyncio.sleep(0.1)
            assert f'aio_tuned_setting_queue_depth{device},section="read"}} 3.0' in metrics.read_text()
            bay.vanish()
            await desk.send(bay.event("remove"))
            await asyncio.sleep(0.1)
            assert made.device.name not in metrics.read_text()

    asyncio.run(scene())
    assert "\naio_tuned_up 0.0\n" in metrics.read_text()


def test_how_sweeps_end_is_counted_and_kept(desk: Desk) -> None:
    bay = Bay(desk.host)
    ends: list[Event] = [
        lifecycle.Failed(reason="x"),
        lifecycle.Deferred(reason="x", seconds=60.0),
        lifecycle.Finished(reason="x"),
        lifecycle.Stopped(reason="called off"),
    ]

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            drive = desk.supervisor._drives[bay.sys_name]
            for end in ends:
                drive.life = Life(stage=Stage.SWEEPING, reason="due")
                desk.supervisor._feed(bay.sys_name, end)
                desk.supervisor._feed(bay.sys_name, end)  # too late: it is not swept any more
            (seen,) = desk.supervisor._snapshot().drives
            assert seen.sweeps == {"finished": 1, "failed": 1, "deferred": 1}

    asyncio.run(scene())
    drive = location.device_of(bay.number, desk.host.sys)
    assert Tally.open(tally_path(desk.config.state)).of(drive.id) == {"finished": 1, "failed": 1, "deferred": 1}


def test_the_bytes_written_never_become_fewer(desk: Desk) -> None:
    """A worker counts a visit's bytes before it, and takes back what then was not written."""
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            drive = desk.supervisor._drives[bay.sys_name].device.id
            worker = Ledger.open(ledger_path(desk.config.state))

            def written() -> int:
                (seen,) = desk.supervisor._snapshot().drives
                return seen.written_bytes

            worker.fill(drive, 1000)
            assert written() == 1000
            desk.supervisor._swept = bay.sys_name
            worker.reserve(drive, 500)
            assert written() == 1000
            worker.settle(drive, 500, 100)
            desk.supervisor._swept = ""
            assert written() == 1100

    asyncio.run(scene())


def test_an_override_holds_from_the_reload_on(desk: Desk) -> None:
    bay = Bay(desk.host)
    made = measured(desk, bay)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await desk.supervisor.answer({"do": "stop", "name": made.device.name})
            folder = desk.config.profiles / "override.d"
            folder.mkdir()
            (folder / f"{made.device.name}.toml").write_text("[read]\nqueue_depth = 3\n")
            desk.supervisor.reload()
            assert desk.drives()[bay.sys_name].overridden
            assert desk.drives()[bay.sys_name].read_bytes_per_s == 0
            part = load(desk.config.profiles / f"{made.device.name}.toml").read
            assert isinstance(part, Unmeasured)
            assert (part.setting.queue_depth, part.overridden) == (3, ("queue_depth",))

    asyncio.run(scene())


def test_a_source_that_is_of_no_use_any_more_ends_the_daemon(desk: Desk) -> None:
    def drain() -> list[DeviceEvent]:
        raise OSError(9, "Bad file descriptor")

    async def scene() -> None:
        run = asyncio.ensure_future(desk.supervisor.run())
        await asyncio.sleep(0)
        desk.source.drain = drain  # type: ignore[method-assign]  # the boundary of this test is the source
        desk.source.send()
        with pytest.raises(AioTunedError, match="events of devices cannot be received any more"):
            await asyncio.wait_for(run, 5)
        desk.source.close()
        desk.mount_watch.close()

    asyncio.run(scene())
