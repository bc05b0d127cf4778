from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices import arrays
from aio_tuned.devices.arrays import Array
from unit.support.drives import Block, Host, nvme

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.device import ArrayState

WHOLE = Array(name="md0")
DEGRADED = Array(name="md0", missing=1)
SYNCING = Array(name="md0", action="resync")
REBUILDING = Array(name="md0", missing=1, action="recover")
UNKNOWN = Array(name="vg-lv", known=False)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def attributes(block: Block, folder: str, **values: str) -> None:
    (block.directory / folder).mkdir(exist_ok=True)
    for name, value in values.items():
        (block.directory / folder / name).write_text(f"{value}\n")


def array(host: Host, name: str = "md0", number: str = "9:0", **values: str) -> Block:
    made = host.block(f"virtual/block/{name}", number)
    attributes(made, "md", **{"level": "raid5", "resync_start": "none", **values})
    return made


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"degraded": "0", "sync_action": "idle"}, WHOLE),
        ({"level": "raid0"}, WHOLE),
        ({"degraded": "1", "sync_action": "idle"}, DEGRADED),
        ({"degraded": "2", "sync_action": "frozen"}, Array(name="md0", missing=2)),
        ({"degraded": "0", "sync_action": "resync", "resync_start": "0"}, SYNCING),
        ({"degraded": "1", "sync_action": "recover"}, REBUILDING),
        ({"degraded": "0", "sync_action": "check"}, Array(name="md0", action="check")),
        ({"degraded": "0", "sync_action": "reshape"}, Array(name="md0", action="reshape")),
        # Not written since it was assembled: the resync begins with the first write.
        ({"degraded": "0", "sync_action": "idle", "resync_start": "4096"}, SYNCING),
    ],
)
def test_md(host: Host, values: dict[str, str], found: Array) -> None:
    array(host, **values)
    assert arrays.below("9:0", host.sys) == (found,)


def test_a_drive_has_no_array(host: Host) -> None:
    nvme(host)
    assert arrays.below("259:0", host.sys) == ()


def test_an_array_is_found_below_volumes_and_through_its_partition(host: Host) -> None:
    below = array(host, degraded="1", sync_action="idle")
    nvme(host).below(below)
    part = host.block("virtual/block/md0/md0p1", "259:9")
    (part.directory / "partition").write_text("1\n")
    crypt = host.block("virtual/block/dm-1", "253:1")
    part.below(crypt)
    volume = host.block("virtual/block/dm-0", "253:0")
    crypt.below(volume)
    assert arrays.below("253:0", host.sys) == (DEGRADED,)


def test_a_raid_of_lvm_that_cannot_be_read_is_unknown(host: Host) -> None:
    volume, part = host.block("virtual/block/dm-4", "253:4"), host.block("virtual/block/dm-1", "253:1")
    attributes(volume, "dm", name="vg-lv")
    attributes(part, "dm", name="vg-lv_rimage_0")
    nvme(host).below(part)
    part.below(volume)
    assert arrays.below("253:4", host.sys) == (UNKNOWN,)
    linear = host.block("virtual/block/dm-5", "253:5")
    attributes(linear, "dm", name="vg-other")
    assert arrays.below("253:5", host.sys) == ()


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("raid", "raid1 2 AA 131072/131072 idle 0 0 -", Array(name="v")),
        ("raid", "raid1 2 Aa 4096/131072 resync 0 0 -", Array(name="v", action="resync")),
        ("raid", "raid1 2 Aa 4096/131072 recover 0 0 -", Array(name="v", action="recover")),
        ("raid", "raid1 2 aa 4096/131072 idle 0 0 -", Array(name="v", action="resync")),
        ("raid", "raid5_ls 3 ADA 131072/131072 idle 0 0 -", Array(name="v", missing=1)),
        ("raid", "raid5_ls 3 A-D 131072/131072 idle 0", Array(name="v", missing=2)),
        ("raid", "raid1 2 AA 131072/131072 check 0 0 -", Array(name="v", action="check")),
        ("raid", "raid1 2", Array(name="v", known=False)),
        ("mirror", "2 253:1 253:2 128/128 1 AA 1 core", Array(name="v")),
        ("mirror", "2 253:1 253:2 12/128 1 AA 1 core", Array(name="v", action="resync")),
        ("mirror", "2 253:1 253:2 128/128 1 AD 3 disk 253:3 A", Array(name="v", missing=1)),
        ("mirror", "nonsense", Array(name="v", known=False)),
        ("linear", "", None),
        ("striped", "2 259:0 259:1 1 AA", None),
    ],
)
def test_device_mapper(kind: str, text: str, found: Array | None) -> None:
    assert arrays.from_status("v", kind, text) == found


@pytest.mark.parametrize(
    ("found", "state", "busy", "doubt"),
    [
        ((), "", "", ""),
        ((WHOLE,), "", "", ""),
        ((DEGRADED,), "degraded", "", "md0 is missing a member; figures"),
        ((SYNCING,), "syncing", "md0 is being resynced", "md0 is being resynced; figures"),
        (
            (REBUILDING,),
            "rebuilding",
            "md0 is being rebuilt",
            "md0 is missing a member, md0 is being rebuilt; figures",
        ),
        ((WHOLE, UNKNOWN), "unknown", "", "vg-lv: RAID state cannot be read"),
        ((UNKNOWN, DEGRADED), "degraded", "", "md0 is missing a member; figures"),
    ],
)
def test_what_follows(found: tuple[Array, ...], state: ArrayState, busy: str, doubt: str) -> None:
    assert (arrays.state(found), arrays.busy(found)) == (state, busy)
    said = arrays.doubt(found)
    assert said.startswith(doubt) and bool(said) == bool(doubt)  # noqa: PT018 - any text starts with ""
