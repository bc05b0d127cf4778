from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices import device_mapper, stack
from aio_tuned.devices.stack import Layer
from unit.devices.test_sysfs import Sys

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.devices.device_mapper import Kind

LV = "LVM-" + "Kg2Rc9Ww" * 8


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    made = Sys(tmp_path / "sys")
    made.block("devices/nvme0n1", "259:0", size="1000")
    made.add("devices/nvme0n1/nvme0n1p2", {"partition": "2", "dev": "259:2"})
    made.link("dev/block/259:2", made.root / "devices/nvme0n1/nvme0n1p2")
    return made


def volume(sys: Sys, minor: int, name: str, uuid: str, *below: str) -> None:
    """A device-mapper volume on the named ones."""
    place = f"devices/virtual/block/dm-{minor}"
    own = sys.block(place, f"254:{minor}", **{"dm/name": name, "dm/uuid": uuid})
    (own / "slaves").mkdir()
    for member in below:
        where = sys.root / ("devices/nvme0n1/nvme0n1p2" if member == "nvme0n1p2" else f"devices/virtual/block/{member}")
        (own / "slaves" / member).symlink_to(where)
        sys.link(f"{where.relative_to(sys.root)}/holders/dm-{minor}", own)


def read(sys: Sys, tmp_path: Path, number: str) -> dict[str, str]:
    """What is forbidden, where no table can be read."""
    found = stack.read(number, sys.root, tmp_path / "proc", tmp_path / "dev")
    return {kind: text for kind in ("thin", "origin", "snapshot", "unseen") if (text := getattr(found, kind))}


# --- LVM, as the daemon sees it without CAP_SYS_ADMIN ---------------------------------------------------------


def test_a_linear_or_encrypted_volume_forbids_nothing(sys: Sys, tmp_path: Path) -> None:
    volume(sys, 0, "vg-data", LV, "nvme0n1p2")
    volume(sys, 1, "luks", "CRYPT-LUKS2-abc-luks", "dm-0")
    assert read(sys, tmp_path, "259:0") == read(sys, tmp_path, "259:2") == {}
    assert read(sys, tmp_path, "254:0") == read(sys, tmp_path, "254:1") == {}


def test_a_thin_volume_is_known_by_its_pool_also_below_encryption(sys: Sys, tmp_path: Path) -> None:
    volume(sys, 0, "vg-pool_tdata", f"{LV}-tdata", "nvme0n1p2")
    volume(sys, 1, "vg-pool-tpool", f"{LV}-tpool", "dm-0")
    volume(sys, 2, "vg-thin", LV, "dm-1")
    volume(sys, 3, "luks", "CRYPT-LUKS2-abc-luks", "dm-2")
    said = {"thin": "vg-pool-tpool (dm-1) takes space from a pool for new writes"}
    assert read(sys, tmp_path, "254:2") == read(sys, tmp_path, "254:3") == said


def test_a_vdo_volume_is_thin(sys: Sys, tmp_path: Path) -> None:
    volume(sys, 0, "vg-vdo_vdata", f"{LV}-vdata", "nvme0n1p2")
    volume(sys, 1, "vg-vdo-vpool", f"{LV}-vpool", "dm-0")
    volume(sys, 2, "vg-vdo", LV, "dm-1")
    assert "thin" in read(sys, tmp_path, "254:2")


def snapshot_of_a_volume(sys: Sys) -> None:
    volume(sys, 0, "vg-data-real", f"{LV}-real", "nvme0n1p2")
    volume(sys, 1, "vg-snap-cow", f"{LV}-cow", "nvme0n1p2")
    volume(sys, 2, "vg-data", LV, "dm-0")
    volume(sys, 3, "vg-snap", LV, "dm-0", "dm-1")
    volume(sys, 4, "vg-other", LV, "nvme0n1p2")


def test_an_origin_has_a_snapshot_and_another_volume_of_the_group_has_none(sys: Sys, tmp_path: Path) -> None:
    snapshot_of_a_volume(sys)
    assert read(sys, tmp_path, "254:2") == {
        "origin": "vg-data-real (dm-0) has a snapshot, which takes space for every write"
    }
    assert "snapshot" in read(sys, tmp_path, "254:3")
    assert read(sys, tmp_path, "254:4") == {}


def test_a_disk_below_a_snapshot_by_hand_is_an_origin(sys: Sys, tmp_path: Path) -> None:
    """Its copy-on-write area has LVM's mark; the disk is mounted past the snapshot."""
    volume(sys, 1, "snap-cow", f"{LV}-cow", "nvme0n1p2")
    volume(sys, 3, "by-hand", "", "nvme0n1p2", "dm-1")
    assert read(sys, tmp_path, "259:2") == {"origin": "nvme0n1p2 has a snapshot (by-hand)"}


# --- what cannot be seen --------------------------------------------------------------------------------------


@pytest.mark.parametrize("uuid", ["", "LVM-short", f"{LV}-newrole", "stratis-1-private-abc-thin-fs-def", "DOCKER-1"])
def test_a_volume_of_no_known_kind_is_unseen(sys: Sys, tmp_path: Path, uuid: str) -> None:
    volume(sys, 0, "strange", uuid, "nvme0n1p2")
    assert read(sys, tmp_path, "254:0") == {"unseen": "strange (dm-0) is a volume of an unknown type"}


def test_a_volume_that_does_not_show_its_members_is_unseen(sys: Sys, tmp_path: Path) -> None:
    sys.block("devices/virtual/block/dm-0", "254:0", **{"dm/name": "vg-data", "dm/uuid": LV})
    assert read(sys, tmp_path, "254:0") == {"unseen": "vg-data (dm-0) does not show the devices below it"}


def test_a_device_that_has_gone_is_unseen(sys: Sys, tmp_path: Path) -> None:
    assert "device 8:0 cannot be read" in read(sys, tmp_path, "8:0")["unseen"]


def test_a_loop_device_without_its_node_is_unseen(sys: Sys, tmp_path: Path) -> None:
    sys.block("devices/virtual/block/loop7", "7:7", **{"loop/backing_file": "/srv/image"})
    assert "loop7 on /srv/image cannot be read" in read(sys, tmp_path, "7:7")["unseen"]


def test_a_stack_that_does_not_end_is_unseen(sys: Sys, tmp_path: Path) -> None:
    volume(sys, 0, "vg-0", LV, "nvme0n1p2")
    for minor in range(1, 40):
        volume(sys, minor, f"vg-{minor}", LV, f"dm-{minor - 1}")
    assert "is below 32 other devices" in read(sys, tmp_path, "254:39")["unseen"]
    assert read(sys, tmp_path, "254:20") == {}


@pytest.mark.parametrize("name", ["zram0", "ram1", "zd16", "rbd0"])
def test_a_device_that_takes_space_when_it_is_written_is_thin(sys: Sys, tmp_path: Path, name: str) -> None:
    sys.block(f"devices/virtual/block/{name}", "252:0")
    assert read(sys, tmp_path, "252:0")["thin"].startswith(f"{name} ")


# --- tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        (("linear", "striped", "crypt"), "plain"),
        (("raid",), "plain"),
        (("thin",), "thin"),
        (("thin-pool",), "thin"),
        (("vdo",), "thin"),
        (("linear", "thin"), "thin"),
        (("snapshot-origin",), "origin"),
        (("snapshot",), "snapshot"),
        (("snapshot-merge",), "snapshot"),
        (("linear", "snapshot"), "snapshot"),
        (("thin", "newer-than-this"), "unseen"),
        (("newer-than-this",), "unseen"),
        ((), "unseen"),
    ],
)
def test_a_table_tells_by_its_targets(types: tuple[str, ...], kind: Kind) -> None:
    assert device_mapper.kind_of_types(frozenset(types)) == kind


def test_the_first_layer_of_a_kind_gives_the_reason() -> None:
    found = stack.judge(
        [
            Layer(name="a", number="1:0", kind="plain"),
            Layer(name="b", number="1:1", kind="thin", why="is thin"),
            Layer(name="c", number="1:2", kind="thin", why="is a pool"),
            Layer(name="d", number="1:3", kind="unseen", why="is dark"),
        ]
    )
    assert (found.thin, found.unseen, found.origin, found.snapshot) == ("b is thin", "d is dark", "", "")
