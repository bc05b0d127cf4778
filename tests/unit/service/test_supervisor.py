"""The daemon's loop at the boundary of its events: drives of a folder of the test's own, and no udev."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.device_rules import MatchRule
from aio_tuned.config.load import Config
from aio_tuned.devices import identity, resolve
from aio_tuned.devices.udev_monitor import DeviceEvent
from aio_tuned.errors import AioTunedError, TargetError, UsageError
from aio_tuned.model.profile import Unmeasured
from aio_tuned.profiles.files import load_profile
from aio_tuned.service import state_machine
from aio_tuned.service.state_machine import DriveState, Stage
from aio_tuned.service.sweep_counter import SweepCounter, sweep_counts_path
from aio_tuned.service.worker import messages
from aio_tuned.service.write_ledger import Ledger, ledger_path
from aio_tuned.storage.layout import catalog_folder
from aio_tuned.storage.profile_store import ProfileStore
from unit.support.builders import evidence
from unit.support.builders import profile as known_profile
from unit.support.desk import FIRST, Bay, Desk, running

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile
    from aio_tuned.service.state_machine import Event


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
            profile = load_profile(desk.config.profiles / "nvme-Model_One_S9000_1.toml")
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
            assert desk.drives()[bay.sys_name].reason == "drive found"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("folder", "attribute", "value", "reason"),
    [
        ("", "size", 1 << 22, "size"),
        ("queue", "logical_block_size", 4096, "block format"),
        ("integrity", "format", "T10-DIF-TYPE1-CRC", "block format"),
        ("", "metadata_bytes", 8, "block format"),
        ("", "ro", 1, "read-only flag"),
        ("queue", "scheduler", "none [bfq]", "request queue limits"),
        ("queue", "max_sectors_kb", 64, "request queue limits"),
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
            assert desk.drives()[bay.sys_name].reason == "drive found"
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


def test_a_disk_without_a_size_is_none_yet(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Config(settle=60.0, match=(MatchRule(tune=True, name="loop9"),)))
    bay = Bay(desk.host, name="loop9")
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


def test_a_namespace_of_no_bytes_is_shown_with_the_reason(desk: Desk) -> None:
    bay = Bay(desk.host)
    bay.set(size=0)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            found = desk.drives()[bay.sys_name]
            assert (found.stage, found.published) == ("skipped", "")
            assert found.reason == "nvme9000n1 has 0 bytes: no space is allocated to this namespace"
            bay.set(size=1 << 21)
            await desk.send(bay.event("change"))
            assert desk.drives()[bay.sys_name].reason == "changed: size"

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
            assert desk.drives()[bay.sys_name].reason == "drive found"
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
            assert desk.published() == ["nvme-Model_One_S9000_1.toml"], "the head remains"

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
            assert desk.drives()[tenth.sys_name].reason == "partition nvme9000n10p1 added"
            assert desk.drives()[first.sys_name].reason == "drive found"

    asyncio.run(scene())


def clones(desk: Desk) -> tuple[Bay, Bay]:
    """Two drives that report the same id."""
    first, second = Bay(desk.host, FIRST), Bay(desk.host, FIRST + 1)
    (second.controller / "serial").write_text("S9000\n")
    return first, second


@pytest.mark.parametrize("goes", [0, 1])
def test_of_two_that_say_they_are_the_same_neither_is_trusted(desk: Desk, goes: int) -> None:
    bays = clones(desk)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bays[0].event())
            assert desk.published() == ["nvme-Model_One_S9000_1.toml"]
            await desk.send(bays[1].event())
            for bay, other in (bays, reversed(bays)):
                found = desk.drives()[bay.sys_name]
                assert found.stage == "skipped"
                assert found.reason.startswith(f"{other.sys_name} reports the same id (nvme-Model_One_S9000_1)")
            assert desk.published() == [], "nothing was measured that could be either's"
            await desk.send(bays[goes].event("remove"))
            assert desk.drives()[bays[1 - goes].sys_name].stage == "settling"
            assert desk.published() == ["nvme-Model_One_S9000_1.toml"]
            await desk.send(bays[goes].event())
            assert {drive.stage for drive in desk.drives().values()} == {"skipped"}

    asyncio.run(scene())


@pytest.mark.parametrize("held", [False, True])
def test_what_was_measured_on_one_of_two_with_the_same_id_is_stale_while_both_are_there(desk: Desk, held: bool) -> None:
    first, second = clones(desk)
    made = measured(desk, first)
    path = desk.config.profiles / f"{made.device.name}.toml"

    async def scene() -> None:
        async with running(desk):
            await desk.send(first.event())
            assert load_profile(path).state == "measured"
            if held:
                await desk.supervisor.answer({"do": "stop", "name": made.device.name})
            await desk.send(second.event())
            shown = load_profile(path)
            assert (shown.state, shown.read) == ("stale", made.read)
            assert shown.evidence.findings[-1].startswith(f"{first.sys_name} and {second.sys_name} report the same id")
            await desk.send(first.event("change"), second.event("change"))
            assert load_profile(path) == shown
            second.vanish()
            await desk.send(second.event("remove"))
            assert load_profile(path) == made

    asyncio.run(scene())


def namesakes(desk: Desk) -> tuple[Bay, Bay]:
    """Two drives of equal model, serial number and nsid, and different wwid."""
    bays = clones(desk)
    for number, bay in enumerate(bays):
        bay.set(wwid=f"eui.{number + 1}")
    return bays


NAMESAKES = ("nvme-Model_One_S9000_1", f"nvme-Model_One_S9000_1-{hashlib.sha256(b'eui.2').hexdigest()[:8]}")


def test_of_two_with_one_name_each_has_a_profile_now_and_after_a_boot(desk: Desk) -> None:
    first, second = namesakes(desk)

    async def scene(*present: Bay) -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in present))
            drives = desk.drives()
            assert (drives[first.sys_name].name, drives[second.sys_name].name) == NAMESAKES
            for bay, wwid, name in zip((first, second), ("eui.1", "eui.2"), NAMESAKES, strict=True):
                assert drives[bay.sys_name].stage == "settling"
                assert load_profile(desk.config.profiles / f"{name}.toml").device.id == wwid
            assert drives[first.sys_name].namesake == ""
            assert drives[second.sys_name].namesake == (
                f"name {NAMESAKES[0]} belongs to another drive (eui.1), and so do overrides of that name"
            )
            await desk.send(first.event("change"), second.event("change"))
            assert (drives[first.sys_name].name, drives[second.sys_name].name) == NAMESAKES

    asyncio.run(scene(first, second))
    desk.restart()
    asyncio.run(scene(second, first))


def test_an_override_is_the_owners_and_what_a_namesake_gave_is_its_own(desk: Desk) -> None:
    first, second = namesakes(desk)
    folder = desk.config.profiles / "override.d"
    folder.mkdir(parents=True)
    (folder / f"{NAMESAKES[0]}.toml").write_text("[read]\nqueue_depth = 3\n")

    async def scene() -> None:
        async with running(desk):
            await desk.send(first.event(), second.event())
            drives = desk.drives()
            assert (drives[first.sys_name].overridden, drives[second.sys_name].overridden) == (True, False)
            first.vanish()
            await desk.send(first.event("remove"))
            assert desk.published() == [f"{NAMESAKES[1]}.toml", "override.d"]
            assert not desk.drives()[second.sys_name].overridden
            second.vanish()
            await desk.send(second.event("remove"))
            assert desk.published() == ["override.d"]

    asyncio.run(scene())


def test_a_namesakes_profile_is_left_while_it_is_there_and_not_managed_yet(desk: Desk) -> None:
    first, second = namesakes(desk)
    desk.source.present = [first.event(), second.event()]

    async def scene() -> None:
        async with running(desk):
            assert desk.published() == sorted(f"{name}.toml" for name in NAMESAKES)

    asyncio.run(scene())
    desk.restart()
    desk.source.present = []
    first.vanish()  # its bare name is not the second one's
    asyncio.run(unmanaged(desk))


async def unmanaged(desk: Desk) -> None:
    async with running(desk):
        assert desk.published() == [f"{NAMESAKES[1]}.toml"]


def test_drives_with_one_wwid_and_serial_numbers_of_their_own_are_no_clones(desk: Desk) -> None:
    """All drives of some models have one wwid."""
    first, second = Bay(desk.host, FIRST), Bay(desk.host, FIRST + 1)
    first.set(wwid="eui.1")
    second.set(wwid="eui.1")

    async def scene() -> None:
        async with running(desk):
            await desk.send(first.event(), second.event())
            assert {drive.stage for drive in desk.drives().values()} == {"settling"}
            assert len(desk.published()) == 2

    asyncio.run(scene())


def test_a_clone_of_another_size_is_stale_once_it_is_alone(desk: Desk) -> None:
    first, second = clones(desk)
    made = measured(desk, first)
    second.set(size=1 << 22)

    async def scene() -> None:
        async with running(desk):
            await desk.send(first.event(), second.event())
            first.vanish()
            await desk.send(first.event("remove"))
            assert desk.drives()[second.sys_name].stage == "settling"
            shown = load_profile(desk.config.profiles / f"{made.device.name}.toml")
            assert (shown.state, shown.evidence.findings[-1]) == (
                "stale",
                "size changed from 1073741824 to 2147483648 bytes",
            )

    asyncio.run(scene())


def test_a_volume_that_has_grown_keeps_its_override(desk: Desk) -> None:
    bay = Bay(desk.host)
    made = measured(desk, bay)
    folder = desk.config.profiles / "override.d"
    folder.mkdir(parents=True)
    (folder / f"{made.device.name}.toml").write_text("[read]\nqueue_depth = 3\n")

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            bay.set(size=1 << 22)
            await desk.send(bay.event("change"))
            found = desk.drives()[bay.sys_name]
            assert (found.published, found.overridden, found.stage) == ("stale", True, "settling")

    asyncio.run(scene())


def test_a_disk_that_is_not_managed_can_be_the_other_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A rule names one of two virtual disks whose serial numbers were cut alike."""
    caplog.set_level(logging.INFO, logger="aio_tuned")
    desk = Desk(tmp_path, Config(settle=60.0, match=(MatchRule(tune=True, name="vdx1"),)))
    first = Bay(desk.host, FIRST, name="vdx1")
    (first.controller / "serial").write_text("cut\n")

    async def scene() -> None:
        async with running(desk):
            await desk.send(first.event())
            assert desk.drives()["vdx1"].stage == "settling"
            again = Bay(desk.host, FIRST + 1, name="vdx2")
            (again.controller / "serial").write_text("cut\n")
            await desk.send(again.event())
            assert list(desk.drives()) == ["vdx1"]
            assert "vdx2 reports the same id" in desk.drives()["vdx1"].reason
            caplog.clear()
            await desk.send(again.event("change"))
            assert not caplog.records, "nothing has changed"
            again.vanish()
            await desk.send(again.event("remove"))
            assert desk.drives()["vdx1"].stage == "settling"

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
            assert "excluded by [[match]]: " in desk.drives()[left.sys_name].reason
            assert "not tuned by default (NVMe, transport tcp)" in desk.drives()[other.sys_name].reason
            assert desk.published() == []

    asyncio.run(scene())


def test_a_drive_excluded_at_a_reload_is_skipped_at_once_and_stays_so(desk: Desk) -> None:
    bay = Bay(desk.host)
    number = bay.number

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            assert desk.drives()[bay.sys_name].stage == "settling"
            desk.config = replace(desk.config, match=(MatchRule(tune=False, serial="S9000"),))
            desk.supervisor.reload()
            await desk.settle(5)
            for mounts in ((), (f"{number} / /mnt rw - ext4 /dev/x rw",), ()):
                await desk.mount(*mounts)
                found = desk.drives()[bay.sys_name]
                assert found.stage == "skipped"
                assert found.reason.startswith("excluded by [[match]]: ")
                assert desk.published() == []
            desk.config = replace(desk.config, match=())
            desk.supervisor.reload()
            await desk.settle(5)
            found = desk.drives()[bay.sys_name]
            assert (found.stage, found.reason) == ("settling", "configuration reloaded")

    asyncio.run(scene())


def test_a_drive_that_the_operator_has_stopped_keeps_its_profile_over_reloads(desk: Desk) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            published = desk.published()
            await desk.supervisor.answer({"do": "stop", "name": desk.drives()[bay.sys_name].name})
            for match in ((MatchRule(tune=False, serial="S9000"),), ()):
                desk.config = replace(desk.config, match=match)
                desk.supervisor.reload()
                await desk.settle(5)
                assert desk.drives()[bay.sys_name].reason.startswith("stopped by the operator")
            assert desk.published() == published != []

    asyncio.run(scene())


def test_a_drive_whose_node_is_not_there_has_failed_and_is_tried_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Config(settle=0.0, min_retry=3600))
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            # The worker is nice: on a busy machine it takes a fraction of its processor.
            for _ in range(6000):
                if desk.drives()[bay.sys_name].stage == "failed":
                    break
                await asyncio.sleep(0.01)
            found = desk.drives()[bay.sys_name]
            assert found.stage == "failed"
            assert "/dev/nvme9000n1: no such file" in found.reason
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
            assert "stopped until aio-tuned retune" in await desk.supervisor.answer({"do": "stop", "name": name})
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


# --- the state of a drive --------------------------------------------------------------------------------


def measured(desk: Desk, bay: Bay) -> Profile:
    """Of that drive as it is now, in the catalog."""
    drive = resolve.read_device(bay.number, desk.host.sys)
    fingerprint = identity.fingerprint(drive, "", os.uname().release)
    made = replace(
        known_profile(),
        device=identity.info(drive),
        evidence=evidence(kernel=os.uname().release),
        fingerprint=fingerprint,
    )
    assert ProfileStore(desk.config.profiles, desk.config.state).save(made)
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
            assert load_profile(desk.config.profiles / f"{made.device.name}.toml").state == "stale"

    asyncio.run(scene())


def test_other_programs_get_what_readers_get(desk: Desk) -> None:
    bay = Bay(desk.host)
    made = measured(desk, bay)
    sibling = replace(made, device=replace(made.device, id="eui.1", name="nvme-sibling"))
    assert ProfileStore(desk.config.profiles, desk.config.state).save(sibling)
    device = f'{{device="{made.device.name}"'
    metrics = desk.config.state / "metrics.prom"

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await asyncio.sleep(0.1)
            text = metrics.read_text()
            assert f'aio_tuned_profile_state{device},state="measured"}} 1.0' in text
            assert f'aio_tuned_setting_queue_depth{device},section="read"}} 16.0' in text
            assert f'aio_tuned_profile_sibling_ratio{device},direction="read"}} 1.0' in text
            folder = desk.config.profiles / "override.d"
            folder.mkdir()
            (folder / f"{made.device.name}.toml").write_text("[read]\nqueue_depth = 3\n")
            desk.supervisor.reload()
            await desk.settle(3)
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
        state_machine.Failed(reason="x"),
        state_machine.Deferred(reason="x", seconds=60.0),
        state_machine.Finished(reason="x"),
        state_machine.Stopped(reason="called off"),
    ]

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            drive = desk.supervisor._inventory.drives[bay.sys_name]
            for end in ends:
                drive.state = DriveState(stage=Stage.SWEEPING, reason="due")
                desk.supervisor.emit(drive, end)
                desk.supervisor.emit(drive, end)  # too late: it is not swept any more
            (seen,) = desk.supervisor.snapshot().drives
            assert seen.sweeps == {"finished": 1, "failed": 1, "deferred": 1}

    asyncio.run(scene())
    drive = resolve.read_device(bay.number, desk.host.sys)
    assert SweepCounter.open(sweep_counts_path(desk.config.state)).counts(drive.id) == {
        "finished": 1,
        "failed": 1,
        "deferred": 1,
    }


def test_what_a_worker_cannot_note_counts_after_its_end(desk: Desk) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            managed = desk.supervisor._inventory.drives[bay.sys_name]
            hour = int(time.time() // 3600)
            desk.supervisor._scheduler.receive(managed, messages.Unrecorded(hour=hour, count=1000))
            (seen,) = desk.supervisor.snapshot().drives
            assert seen.written_today_bytes == 1000

    asyncio.run(scene())


def test_a_measured_profile_is_not_replaced_where_the_catalog_is_lost(desk: Desk) -> None:
    bay = Bay(desk.host)
    made = measured(desk, bay)
    store = ProfileStore(desk.config.profiles, desk.config.state)
    store.publish(made)
    (catalog_folder(desk.config.state) / f"{made.device.name}.toml").unlink()

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            assert desk.drives()[bay.sys_name].published == "measured"
            assert store.load(made.device.name) == made

    asyncio.run(scene())


def test_the_bytes_written_never_become_fewer(desk: Desk) -> None:
    """A worker counts a measurement's bytes before it, and later subtracts those that were not written."""
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            managed = desk.supervisor._inventory.drives[bay.sys_name]
            drive = managed.device.id
            worker = Ledger.open(ledger_path(desk.config.state))

            def written() -> int:
                (seen,) = desk.supervisor.snapshot().drives
                return seen.written_bytes

            worker.reserve(drive, 1000)
            assert written() == 1000
            desk.supervisor._scheduler.current = managed
            worker.reserve(drive, 500)
            assert written() == 1000
            worker.settle(drive, 500, 100)
            desk.supervisor._scheduler.current = None
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
            await desk.settle(3)
            assert desk.drives()[bay.sys_name].overridden
            assert desk.drives()[bay.sys_name].read_bytes_per_s == 0
            part = load_profile(desk.config.profiles / f"{made.device.name}.toml").read
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
        with pytest.raises(AioTunedError, match="device events cannot be received"):
            await asyncio.wait_for(run, 5)
        desk.source.close()
        desk.mount_watch.close()

    asyncio.run(scene())
