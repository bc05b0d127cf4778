"""The checks of a drive, from facts to findings, and the readers of these facts from planted trees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices.arrays import Array
from aio_tuned.devices.pcie import Attachment, Link
from aio_tuned.launch.doctor import array, heat, io_limit, numa, pcie_link, request_queue
from aio_tuned.launch.doctor.finding import Finding
from aio_tuned.launch.doctor.io_limit import IoLimits, Limit
from aio_tuned.launch.doctor.need import Need
from aio_tuned.launch.doctor.numa import Gpu, NumaNodes
from aio_tuned.launch.doctor.pcie_link import DriveLink
from aio_tuned.launch.doctor.request_queue import RequestQueue
from aio_tuned.model.temperature import Temperature
from unit.launch.test_doctor_host import finding, unchecked
from unit.support.drives import Host, nvme

if TYPE_CHECKING:
    from pathlib import Path

NEED = Need(consumer="deepspeed", engine="libaio", request_bytes=1 << 20, queue_depth=16, threads=2)
QUEUE = RequestQueue(
    name="nvme0n1",
    schedulable=True,
    scheduler="none",
    nr_requests=1023,
    tags=1023,
    hardware_queues=8,
    max_sectors_kb=1280,
    max_hw_sectors_kb=2048,
)
GEN3X2, GEN3X4, GEN4X4 = (Link(gt_per_s=speed, lanes=lanes) for speed, lanes in ((8.0, 2), (8.0, 4), (16.0, 4)))


# --- the request queue -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "check", "said", "value"),
    [
        ({"scheduler": "mq-deadline"}, "scheduler", "the I/O scheduler is mq-deadline", "none"),
        ({"scheduler": "mq-deadline", "nr_requests": 2}, "scheduler", "is mq-deadline", "none"),
        ({"scheduler": "bfq"}, "scheduler", "the I/O scheduler is bfq", "none"),
        ({"max_sectors_kb": 128}, "max_sectors_kb", "is 128, below blocks of 1 MiB", "1024"),
        ({"max_sectors_kb": 128, "max_hw_sectors_kb": 512}, "max_sectors_kb", "is 128, below blocks of 1 MiB", "512"),
        ({"nr_requests": 4}, "nr_requests", "is 4, but the settings keep 16 requests of 1 MiB in flight", "16"),
        ({"nr_requests": 4, "tags": 8}, "nr_requests", "is 4, but", "8"),
        ({"nr_requests": 4, "swept_nr_requests": 1023}, "nr_requests", "is 4, but", "1023"),
        ({"nr_requests": 4, "tags": 512, "swept_nr_requests": 1023}, "nr_requests", "is 4, but", "512"),
        ({"max_sectors_kb": 64, "swept_max_sectors_kb": 1280}, "max_sectors_kb", "is 64, below", "1280"),
        ({"nr_requests": 31, "hardware_queues": 1}, "nr_requests", "keep 32 requests", "32"),
    ],
)
def test_a_queue_that_hinders_the_settings(changes: dict[str, object], check: str, said: str, value: str) -> None:
    found = finding(request_queue.check(replace(QUEUE, **changes), NEED))  # type: ignore[arg-type]  # any field
    assert (found.check, found.subject, found.costs) == (check, "nvme0n1", True)
    assert said in found.problem
    assert found.remedy == f"echo {value} > /sys/class/block/nvme0n1/queue/{check}"


@pytest.mark.parametrize(
    "facts",
    [
        QUEUE,
        replace(QUEUE, scheduler=""),
        replace(QUEUE, schedulable=False, scheduler="bfq"),  # of a disk with heads
        replace(QUEUE, max_sectors_kb=512, max_hw_sectors_kb=512),  # what the drive itself takes
        replace(QUEUE, nr_requests=16),
        replace(QUEUE, nr_requests=8, tags=8),  # what the drive itself has
        replace(QUEUE, nr_requests=1, tags=0, hardware_queues=0),  # of a volume, which has none of its own
        replace(QUEUE, nr_requests=0),  # unknown
    ],
)
def test_a_queue_that_does_not(facts: RequestQueue) -> None:
    assert list(request_queue.check(facts, NEED)) == []


def test_a_split_block_is_several_requests() -> None:
    small = replace(QUEUE, max_sectors_kb=128, max_hw_sectors_kb=128)
    assert list(request_queue.check(replace(small, nr_requests=128), NEED)) == []
    assert "keep 128 requests of 128 KiB" in finding(request_queue.check(replace(small, nr_requests=127), NEED)).problem


def test_nomerges_costs_only_blocks_of_several_bios() -> None:
    facts = replace(QUEUE, nomerges=2)
    small = finding(request_queue.check(facts, NEED))
    assert (small.check, small.costs) == ("nomerges", False)
    large = finding(request_queue.check(replace(facts, max_sectors_kb=2048), replace(NEED, request_bytes=2 << 20)))
    assert (large.check, large.costs) == ("nomerges", True)
    assert "blocks of 2 MiB reach the drive in parts of 1 MiB" in large.problem
    assert list(request_queue.check(replace(facts, hardware_queues=0), NEED)) == []


def test_a_queue_that_sys_hides_is_not_checked(tmp_path: Path) -> None:
    facts = request_queue.read(tmp_path / "nvme0n1")
    assert unchecked(request_queue.check(facts, NEED)).subject == "nvme0n1"


def test_a_queue_is_read_from_sys(tmp_path: Path) -> None:
    disk = tmp_path / "nvme3n1"
    (disk / "queue").mkdir(parents=True)
    for name, text in {
        "scheduler": "none [mq-deadline] kyber",
        "nomerges": "1",
        "nr_requests": "256",
        "max_sectors_kb": "128",
        "max_hw_sectors_kb": "256",
    }.items():
        (disk / "queue" / name).write_text(f"{text}\n")
    for number, tags in enumerate((1023, 255)):
        (disk / f"mq/{number}").mkdir(parents=True)
        (disk / f"mq/{number}/nr_tags").write_text(f"{tags}\n")
    assert request_queue.read(disk) == RequestQueue(
        name="nvme3n1",
        schedulable=True,
        scheduler="mq-deadline",
        nomerges=1,
        nr_requests=256,
        tags=255,
        hardware_queues=2,
        max_sectors_kb=128,
        max_hw_sectors_kb=256,
    )


# --- the link --------------------------------------------------------------------------------------------


def link(**changes: object) -> DriveLink:
    usual = Attachment(link=GEN4X4, drive=GEN4X4, slot=GEN4X4)
    return DriveLink(name="nvme0n1", attachment=replace(usual, **changes))  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (link(link=GEN3X4), "the drive's link runs at PCIe 3.0 x4, but the drive supports PCIe 4.0 x4"),
        (link(link=GEN3X2, drive=GEN3X4), "the drive's link runs at PCIe 3.0 x2"),
        (link(link=GEN3X4, slot=GEN3X4), "its slot's limit"),
    ],
)
def test_a_link_below_its_ends(facts: DriveLink, said: str) -> None:
    found = finding(pcie_link.check(facts))
    assert said in found.problem
    assert "slot" in found.remedy
    assert found.costs


def test_a_link_at_its_best_is_no_obstacle() -> None:
    assert list(pcie_link.check(link())) == []
    assert list(pcie_link.check(link(drive=GEN3X4, link=GEN3X4))) == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (link(real=False, link=GEN3X2), "virtual"),
        (link(drive=None), "best link of the drive"),
        (DriveLink(name="nvme0n1", attachment=None), "does not show its link"),
        (DriveLink(name="nvme0n1", attachment=None, paths=2), "several links"),
    ],
)
def test_a_link_that_cannot_be_seen_is_not_checked(facts: DriveLink, said: str) -> None:
    assert said in unchecked(pcie_link.check(facts)).reason


def test_a_link_below_the_slot_is_read_from_sys(tmp_path: Path) -> None:
    host = Host(tmp_path)
    drive = nvme(host)
    controller = host.sys / "devices/pci0000:00/0000:00:00.0/nvme/nvme0"
    (controller / "transport").write_text("pcie\n")
    for place, current, best in ((controller.parent.parent, "8.0", "16.0"), (controller.parents[2], "8.0", "16.0")):
        for name, text in {
            "current_link_speed": f"{current} GT/s PCIe",
            "current_link_width": "4",
            "max_link_speed": f"{best} GT/s PCIe",
            "max_link_width": "4",
            "vendor": "0x144d",
        }.items():
            (place / name).write_text(f"{text}\n")
    (host.proc / "cpuinfo").write_text("flags : fpu\n")
    facts = pcie_link.read(drive.directory, host.sys, host.proc)
    assert facts is not None
    assert "PCIe 3.0 x4" in finding(pcie_link.check(facts)).problem
    (controller / "transport").write_text("tcp\n")
    assert pcie_link.read(drive.directory, host.sys, host.proc) is None


# --- NUMA ------------------------------------------------------------------------------------------------


def nodes(drive: int | None, *gpus: int, host: int = 2) -> NumaNodes:
    made = tuple(Gpu(address=f"0000:{place:02x}:00.0", node=node) for place, node in enumerate(gpus))
    return NumaNodes(name="/dev/nvme0n1", drive_node=drive, gpus=made, host_nodes=host)


def test_a_drive_on_a_node_without_gpus_is_an_obstacle() -> None:
    found = finding(numa.check(nodes(0, 1, 1)))
    assert found.problem == "the drive is on NUMA node 0, but the GPUs are on node 1"
    assert "node 2 and 3" in finding(numa.check(nodes(0, 3, 2, host=4))).problem


@pytest.mark.parametrize(
    "facts", [nodes(0), nodes(0, 0), nodes(0, 1, 0), nodes(1, 0, 1), nodes(-1, 1, host=1), nodes(-1, -1, host=0)]
)
def test_a_drive_beside_a_gpu_or_without_one_is_not(facts: NumaNodes) -> None:
    assert list(numa.check(facts)) == []


@pytest.mark.parametrize(
    ("facts", "said"), [(nodes(-1, 1), "of the drive"), (nodes(None, 1), "of the drive"), (nodes(0, -1), "of the GPUs")]
)
def test_a_node_that_is_unknown_is_not_checked(facts: NumaNodes, said: str) -> None:
    assert said in unchecked(numa.check(facts)).reason


def test_gpus_are_found_and_the_console_of_a_server_is_none(tmp_path: Path) -> None:
    for address, kind, vendor, node in (
        ("0000:17:00.0", "0x030200", "0x10de", "1"),
        ("0000:03:00.0", "0x030000", "0x1a03", "0"),  # the management controller's
        ("0000:65:00.0", "0x120000", "0x1002", "-1"),
        ("0000:66:00.0", "0x010802", "0x144d", "0"),
    ):
        folder = tmp_path / "bus/pci/devices" / address
        folder.mkdir(parents=True)
        for name, text in (("class", kind), ("vendor", vendor), ("numa_node", node)):
            (folder / name).write_text(f"{text}\n")
    for name in ("node0", "node1", "possible"):
        (tmp_path / "devices/system/node" / name).mkdir(parents=True)
    assert numa.read_gpus(tmp_path) == (Gpu(address="0000:17:00.0", node=1), Gpu(address="0000:65:00.0", node=-1))
    assert numa.read_host_nodes(tmp_path) == 2
    assert numa.read_gpus(tmp_path / "none") == ()
    assert numa.read_host_nodes(tmp_path / "none") == 0


# --- limits of control groups ----------------------------------------------------------------------------

NODE = "/dev/nvme0n1"


def limits(*pairs: tuple[str, int], read: int | None = 6_000_000_000, write: int | None = 4_000_000_000) -> IoLimits:
    made = tuple(Limit(group="/system.slice/x.service", key=key, value=value) for key, value in pairs)
    return IoLimits(node=NODE, limits=made, read_bytes_per_s=read, write_bytes_per_s=write)


def test_a_limit_below_what_the_drive_gives_is_an_obstacle() -> None:
    found = finding(io_limit.check(limits(("rbps", 1_000_000_000), ("rbps", 9_000_000_000)), 1 << 20))
    assert found.problem == (
        "control group /system.slice/x.service limits reads to 1.00 GB/s; the drive gives 6.00 GB/s"
    )
    assert "IOReadBandwidthMax=" in found.remedy


def test_a_limit_of_requests_counts_with_their_size() -> None:
    facts = limits(("wiops", 1000))
    assert "limits writes to 1.05 GB/s" in finding(io_limit.check(facts, 1 << 20)).problem
    assert "IOWriteIOPSMax=" in finding(io_limit.check(facts, 1 << 20)).remedy
    assert list(io_limit.check(facts, 4 << 20)) == []


def test_a_limit_above_is_none_and_one_without_a_measurement_counts() -> None:
    assert list(io_limit.check(limits(("rbps", 7_000_000_000)), 1 << 20)) == []
    assert "limits reads" in finding(io_limit.check(limits(("rbps", 7_000_000_000), read=None), 1 << 20)).problem


def test_limits_that_cannot_be_seen_are_not_checked() -> None:
    facts = IoLimits(node=NODE, unseen="no control groups of version 2 are mounted")
    assert unchecked(io_limit.check(facts, 4096)).reason == facts.unseen


def test_limits_are_read_from_every_group_above(tmp_path: Path) -> None:
    sys, proc = tmp_path / "sys", tmp_path / "proc"
    assert io_limit.read({"259:0"}, sys, proc) == ((), "no control groups of version 2 are mounted")
    inner = sys / "fs/cgroup/a.slice/b.service"
    inner.mkdir(parents=True)
    (sys / "fs/cgroup/cgroup.controllers").write_text("io\n")
    assert io_limit.read({"259:0"}, sys, proc)[1] == "this process's control group is unknown"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("12:cpu:/x\n0::/a.slice/b.service\n")
    (inner / "io.max").write_text("8:0 rbps=1 wbps=1 riops=max wiops=max\n259:0 rbps=max wbps=5 riops=7 wiops=max\n")
    (inner.parent / "io.max").write_text("259:0 rbps=9 wbps=max riops=max wiops=max\n")
    found, unseen = io_limit.read({"259:0"}, sys, proc)
    assert unseen == ""
    assert found == (
        Limit(group="/a.slice/b.service", key="wbps", value=5),
        Limit(group="/a.slice/b.service", key="riops", value=7),
        Limit(group="/a.slice", key="rbps", value=9),
    )


# --- heat and arrays -------------------------------------------------------------------------------------


def test_a_drive_at_its_threshold_is_an_obstacle() -> None:
    hot = heat.Heat(node=NODE, temperatures=(Temperature(celsius=84.0, warning_celsius=83.0),))
    assert "84 °C" in finding(heat.check(hot)).problem


@pytest.mark.parametrize("limit", [None, 84.5])
def test_a_cool_drive_is_none(limit: float | None) -> None:
    cool = heat.Heat(node=NODE, temperatures=(Temperature(celsius=84.0, warning_celsius=limit),))
    assert list(heat.check(cool)) == []


def test_a_drive_without_a_sensor_is_not_checked(tmp_path: Path) -> None:
    host = Host(tmp_path)
    drive = nvme(host)
    assert "no sensor" in unchecked(heat.check(heat.read(NODE, "259:0", host.sys, host.proc))).reason
    drive.warm("device/hwmon0", temp1_input=90000, temp1_max=85000)
    assert isinstance(finding(heat.check(heat.read(NODE, "259:0", host.sys, host.proc))), Finding)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Array(name="md0", missing=1), "lacks 1 of its drives"),
        (Array(name="md0", missing=1, action="recover"), "lacks 1 of its drives"),
        (Array(name="md0", action="resync"), "resync in progress"),
    ],
)
def test_an_array_that_is_not_whole_or_busy_is_an_obstacle(found: Array, said: str) -> None:
    assert said in finding(array.check([found])).problem


def test_a_whole_array_is_none_and_an_unreadable_one_not_checked() -> None:
    assert list(array.check([Array(name="md0")])) == []
    assert unchecked(array.check([Array(name="md0", known=False)])).subject == "md0"
