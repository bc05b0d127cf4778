"""A drive whose bandwidth is limited, with a filesystem mounted: one full sweep, looked at from all sides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vm.guest import is_limit
from vm.rig.machine import SUITE

if TYPE_CHECKING:
    from vm.guest import Guest, Tuned
    from vm.rig.bays import Drive

READ_BYTES_PER_S = 100e6
WRITE_BYTES_PER_S = 60e6
# QEMU lets a tenth of a second's worth through at once after a pause, so a visit should be of seconds.
WORDS = (
    *("--grid", "block_size=256K,1M", "--grid", "queue_depth=8", "--grid", "io_parallelism=1,2"),
    *("--grid", "overlap_events=true", "--grid", "single_submit=false", "--time-budget", "60s", "--seed", "7"),
)
POINT = "/mnt/x"
# Linux 6.5 and later has cachestat(2); Debian 12's kernel is 6.1.
RESIDENCY = "mincore" if SUITE == "bookworm" else "cachestat"


@pytest.fixture(scope="module")
def drive(guest_of_module: Guest) -> Drive:
    drive = guest_of_module.hotplug("SER0001", "1G", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    guest_of_module.mount(drive.dev, POINT)
    return drive


def drops(guest: Guest) -> int:
    """How often anyone has dropped the page cache since boot."""
    return int(guest.sh("awk '$1 == \"drop_pagecache\" { print $2 }' /proc/vmstat"))


@pytest.fixture(scope="module")
def tuned_and_drops(guest_of_module: Guest, drive: Drive) -> tuple[Tuned, int]:
    assert drive.dev
    before = drops(guest_of_module)
    return guest_of_module.tune(POINT, WORDS), drops(guest_of_module) - before


@pytest.fixture(scope="module")
def tuned(tuned_and_drops: tuple[Tuned, int]) -> Tuned:
    return tuned_and_drops[0]


def test_every_point_was_measured(tuned: Tuned) -> None:
    assert tuned.profile["state"] == "measured"
    assert tuned.profile["evidence"]["points_measured"] == tuned.profile["evidence"]["points_planned"] == 8


@pytest.mark.parametrize(("direction", "limit"), [("read", READ_BYTES_PER_S), ("write", WRITE_BYTES_PER_S)])
def test_the_throughput_is_the_drives_limit(tuned: Tuned, direction: str, limit: float) -> None:
    assert is_limit(tuned.profile[direction]["throughput_bytes_per_s"], limit, 0.3)
    low, high = tuned.profile[direction]["throughput_ci95_bytes_per_s"]
    assert low <= tuned.profile[direction]["throughput_bytes_per_s"] <= high


@pytest.mark.long
@pytest.mark.parametrize("direction", ["read", "write", "combined"])
def test_settings_that_the_limit_makes_equal_tie_and_the_cheapest_wins(tuned: Tuned, direction: str) -> None:
    chosen = tuned.profile[direction]
    assert chosen["ties"] >= 3
    assert (chosen["io_parallelism"], chosen["block_size"], chosen["queue_depth"]) == (1, 1 << 20, 8)


def test_the_devices_own_counters_prove_every_visit(tuned: Tuned) -> None:
    assert tuned.profile["evidence"]["cache_verdict"] == "device"
    assert {sample["cache_verdict"] for sample in tuned.samples} == {"device"}
    for sample in tuned.samples:
        assert sample["device_read_bytes"] + sample["device_write_bytes"] >= sample["bytes"] > 0
        if not sample["request"].get("read_percent"):
            assert sample[f"device_{sample['request']['direction']}_bytes"] >= sample["bytes"]


def test_the_drive_is_named_as_udev_names_it(guest_of_module: Guest, drive: Drive, tuned: Tuned) -> None:
    assert tuned.profile["device"]["name"] == "nvme-QEMU_NVMe_Ctrl_SER0001_1"
    assert tuned.profile["device"]["name"] in guest_of_module.by_id_names(drive.dev)


def test_the_drive_is_described_as_the_kernel_sees_it(guest_of_module: Guest, drive: Drive, tuned: Tuned) -> None:
    device = tuned.profile["device"]
    assert device["id"] == guest_of_module.attribute(drive, "wwid")
    assert device["model"] == guest_of_module.attribute(drive, "device/model") == "QEMU NVMe Ctrl"
    assert device["serial"] == "SER0001"
    assert device["firmware"] == guest_of_module.attribute(drive, "device/firmware_rev")
    assert device["nsid"] == int(guest_of_module.attribute(drive, "nsid"))
    assert device["size_bytes"] == drive.size_bytes
    assert device["transport"] == "pcie"
    assert device["members"] == []


def test_the_fingerprint_is_what_the_kernel_shows(guest_of_module: Guest, drive: Drive, tuned: Tuned) -> None:
    print_ = tuned.profile["fingerprint"]
    assert print_["firmware"] == guest_of_module.attribute(drive, "device/firmware_rev")
    speed = guest_of_module.attribute(drive, "device/device/current_link_speed").removesuffix(" PCIe")
    assert print_["pcie_link"] == f"{speed} x{guest_of_module.attribute(drive, 'device/device/current_link_width')}"
    assert print_["logical_block_bytes"] == int(guest_of_module.attribute(drive, "queue/logical_block_size")) == 512
    assert print_["max_sectors_kb"] == int(guest_of_module.attribute(drive, "queue/max_sectors_kb"))
    assert print_["nr_requests"] == int(guest_of_module.attribute(drive, "queue/nr_requests"))
    assert f"[{print_['scheduler']}]" in guest_of_module.attribute(drive, "queue/scheduler")
    assert print_["filesystem"] == "ext4"
    assert guest_of_module.sh("uname -r").startswith(print_["kernel"] + ".")


def test_show_finds_it_by_directory_node_and_name(guest_of_module: Guest, drive: Drive, tuned: Tuned) -> None:
    for target in (POINT, drive.dev, tuned.profile["device"]["name"]):
        shown = json.loads(guest_of_module.sh(f"aio-tuned show --json {target}"))
        assert shown == [{"file": tuned.file, "profile": tuned.profile}]


def test_nothing_is_left_on_the_filesystem(guest_of_module: Guest, tuned: Tuned) -> None:
    assert tuned.profile["evidence"]["bytes_written"] > 0
    assert guest_of_module.sh(f"ls -A {POINT}").split() == ["lost+found"]
    assert guest_of_module.sh(f"df --output=used -BM {POINT} | tail -1").strip() == "1M"
    assert not guest_of_module.helper_runs()


# --- the page cache on a kernel without cachestat(2) -----------------------------------------------------


def test_auto_drops_the_cache_once_a_sweep(tuned_and_drops: tuple[Tuned, int]) -> None:
    tuned, dropped = tuned_and_drops
    assert tuned.profile["evidence"]["drop_caches"] == "auto"
    assert tuned.profile["evidence"]["caches_dropped"] == dropped == 1


@pytest.mark.usefixtures("tuned")
def test_pages_in_the_page_cache_are_evicted_without_another_drop(guest_of_module: Guest) -> None:
    """The helper by hand: between two points somebody reads the file through the cache."""
    ask = "point id=%d op=read block_size=1048576 queue_depth=4 io_parallelism=1 overlap_events=1 single_submit=0"
    said = guest_of_module.sh(
        f"""
        cd {POINT} && head -c 32M /dev/urandom > file && sync
        coproc HELPER {{ aio-sweep --file=file --span-bytes=33554432 --max-transfer-bytes=16777216; }}
        answer() {{
            while read -r line <&${{HELPER[0]}}; do
                case $line in *'"tick"'*) ;; *) echo "$line"; return ;; esac
            done
        }}
        answer
        for id in 1 2 3 4; do
            [ $id != 3 ] || cat file > /dev/null
            printf '{ask} transfer_bytes=16777216\\n' $id >&${{HELPER[1]}}
            answer
        done
        rm file
        """
    )
    hello, *points = (json.loads(line) for line in said.splitlines())
    assert hello["page_cache"] == {"policy": "auto", "drop_caches": True, "residency": RESIDENCY, "reason": ""}
    caches = [point["cache"] for point in points]
    assert [cache["dropped"] for cache in caches] == [True, False, False, False]
    assert [cache["verdict"] for cache in caches] == ["device"] * 4
    assert caches[1]["resident_bytes"] == 0
    assert caches[2]["resident_bytes"] == 32 << 20
    assert caches[3]["resident_bytes"] == 0
