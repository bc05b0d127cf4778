from __future__ import annotations

import mmap
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices import host, identity, resolve
from aio_tuned.errors import TargetError
from aio_tuned.model.host import Host
from aio_tuned.profiles.kept_settings import KeptSettings
from aio_tuned.sweep import checkpoint
from aio_tuned.sweep.planning import make_order
from aio_tuned.sweep.request import TuneRequest
from unit.support.builders import HELLO, device, scratch_target
from unit.support.drives import Host as Machine
from unit.support.drives import namespaces, nvme

if TYPE_CHECKING:
    from unit.support.drives import Block

EPYC = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7543\n"
GRAVITON = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n"
THP = "kernel/mm/transparent_hugepage/enabled"
PAGE = mmap.PAGESIZE


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    (made.proc / "cpuinfo").write_text(EPYC)
    put(made, "devices/system/cpu/present", "0-63\n")
    put(made, THP, "always [madvise] never\n")
    return made


def put(machine: Machine, name: str, text: str) -> None:
    path = machine.sys / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def attach(machine: Machine, number: int, *, mode: str = "", node: int | None = None) -> Block:
    """Make an NVMe drive on PCIe, in an IOMMU group of that mode and on that NUMA node."""
    made = nvme(machine, number)
    function = machine.sys / f"devices/pci0000:00/0000:0{number}:00.0"
    (function / f"nvme/nvme{number}/transport").write_text("pcie\n")
    if mode:
        put(machine, f"kernel/iommu_groups/{number}/type", f"{mode}\n")
        (function / "iommu_group").symlink_to(machine.sys / f"kernel/iommu_groups/{number}")
    if node is not None:
        (function / "numa_node").write_text(f"{node}\n")
    return made


def read(machine: Machine, number: str = "259:0") -> Host:
    return host.read(number, machine.sys, machine.proc)


def test_the_host_of_a_drive_on_pcie(machine: Machine) -> None:
    attach(machine, 0, mode="DMA-FQ", node=1)
    assert read(machine) == Host(
        cpu_model="AMD EPYC 7543", cpus=64, thp="madvise", page_bytes=PAGE, iommu="DMA-FQ", numa_node=1
    )


@pytest.mark.parametrize("page_bytes", [4096, 16384, 65536])
def test_the_size_of_a_page_is_a_fact_of_the_host(machine: Machine, page_bytes: int) -> None:
    attach(machine, 0)
    assert host.read("259:0", machine.sys, machine.proc, page_bytes).page_bytes == page_bytes


@pytest.mark.parametrize(
    ("text", "found"), [("2097152\n", 2 << 20), ("33554432\n", 32 << 20), ("536870912\n", 512 << 20), ("", 0), ("x", 0)]
)
def test_the_size_of_a_transparent_huge_page(machine: Machine, text: str, found: int) -> None:
    put(machine, "kernel/mm/transparent_hugepage/hpage_pmd_size", text)
    assert host.thp_bytes(machine.sys) == found
    assert host.thp_bytes(machine.proc) == 0


def test_what_the_host_does_not_tell_is_unknown(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    attach(machine, 0)
    assert read(machine) == Host(page_bytes=PAGE, iommu="none", numa_node=-1)


def test_the_mode_of_the_iommu_is_unknown_on_old_kernels(machine: Machine) -> None:
    attach(machine, 0, mode="DMA", node=-1)
    (machine.sys / "kernel/iommu_groups/0/type").unlink()
    found = read(machine)
    assert (found.iommu, found.numa_node) == (None, -1)


def test_a_device_that_has_gone(machine: Machine) -> None:
    with pytest.raises(TargetError, match=r"device 259:0: .* does not exist"):
        read(machine)


@pytest.mark.parametrize(
    ("present", "cpus"),
    [("0", 1), ("0-1", 2), ("0-3,8-11", 8), ("0,2-3", 3), ("", None), ("none", None), ("0-", None), ("0-1\n2", None)],
)
def test_the_processors_that_are_present(machine: Machine, present: str, cpus: int | None) -> None:
    attach(machine, 0)
    put(machine, "devices/system/cpu/present", f"{present}\n")
    assert read(machine).cpus == cpus


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        (EPYC, "AMD EPYC 7543"),
        (EPYC + EPYC.replace("7543", "9999"), "AMD EPYC 7543"),
        ("model name\t: x\x00y  \n", "x y"),
        (GRAVITON, "implementer 0x41, part 0xd0c"),
        ("processor\t: 0\nModel Name\t: Loongson-3A5000\n", "Loongson-3A5000"),
        ("processor\t: 0\nmodel name\t:\n", "Some Board"),
        ("", "Some Board"),
        (None, "Some Board"),
    ],
)
def test_the_model_of_the_processors(machine: Machine, cpuinfo: str | None, model: str) -> None:
    attach(machine, 0)
    put(machine, "firmware/devicetree/base/model", "Some Board\0")
    (machine.proc / "cpuinfo").unlink()
    if cpuinfo is not None:
        (machine.proc / "cpuinfo").write_text(cpuinfo)
    assert read(machine).cpu_model == model


@pytest.mark.parametrize(
    ("text", "thp"), [("[always] madvise never\n", "always"), ("always madvise [never]\n", "never"), ("", None)]
)
def test_the_policy_for_huge_pages(machine: Machine, text: str, thp: str | None) -> None:
    attach(machine, 0)
    put(machine, THP, text)
    assert read(machine).thp == thp


@pytest.mark.parametrize(
    ("modes", "nodes", "iommu", "node"),
    [
        (("DMA", "DMA"), (0, 0), "DMA", 0),
        (("identity", "DMA"), (0, 1), "DMA, identity", -1),
        (("DMA", ""), (1, 1), "DMA, none", 1),
    ],
)
def test_a_volume_has_the_host_of_its_members(
    machine: Machine, modes: tuple[str, str], nodes: tuple[int, int], iommu: str, node: int
) -> None:
    volume = machine.block("virtual/block/md0", "9:0")
    for number in (0, 1):
        attach(machine, number, mode=modes[number], node=nodes[number]).below(volume)
    found = read(machine, "9:0")
    assert (found.iommu, found.numa_node, found.cpus) == (iommu, node, 64)


def test_a_member_that_was_removed_changes_nothing(machine: Machine) -> None:
    volume = machine.block("virtual/block/md0", "9:0")
    for number in (0, 1):
        attach(machine, number, mode="DMA", node=0).below(volume)
    whole = read(machine, "9:0")
    (machine.sys / "class/block/nvme1n1").unlink()
    assert read(machine, "9:0") == whole


def test_a_volume_without_members_is_not_on_a_node(machine: Machine) -> None:
    machine.block("virtual/block/loop0", "7:0")
    found = read(machine, "7:0")
    assert (found.iommu, found.numa_node) == ("none", -1)


def test_the_drive_is_found_through_its_controllers(machine: Machine) -> None:
    """With native multipath the disk is below the subsystem, away from PCI."""
    namespaces(machine, 1)
    function = machine.sys / "devices/pci0000:00/0000:00:00.0"
    (function / "numa_node").write_text("3\n")
    head = machine.block("virtual/nvme-subsystem/nvme-subsys0/nvme7n1", "259:70")
    head.device(head.directory.parent)
    (head.directory.parent / "nvme0").symlink_to(function / "nvme/nvme0")
    assert read(machine, "259:70").numa_node == 3


def test_what_changes_without_an_event_is_seen(machine: Machine) -> None:
    attach(machine, 0)
    before = host.changeable(machine.sys)
    assert host.changeable(machine.sys) == before
    put(machine, THP, "[always] madvise never\n")
    between = host.changeable(machine.sys)
    put(machine, "devices/system/cpu/present", "0-31\n")
    assert len({before, between, host.changeable(machine.sys)}) == 3


def test_the_host_joins_the_fingerprint(machine: Machine) -> None:
    attach(machine, 0, mode="DMA", node=0)
    found = resolve.read_device("259:0", machine.sys, machine.proc)
    fingerprint = asdict(identity.fingerprint(found, "ext4", "6.8.0"))
    expected = {"cpu_model": "AMD EPYC 7543", "cpus": 64, "thp": "madvise", "iommu": "DMA", "numa_node": 0}
    assert fingerprint.items() >= expected.items()
    unknown = asdict(identity.fingerprint(device(), "ext4", "6.8.0"))
    assert {unknown[key] for key in expected} == {None}


def test_a_sweep_does_not_resume_on_another_host() -> None:
    request = TuneRequest(target=Path("/mnt/nvme"), config=Config(), seed=1, helper=Path("aio-sweep"))

    def header(on: Host) -> dict[str, Any]:
        return checkpoint.header(make_order(request, device(host=on), scratch_target(), KeptSettings()), HELLO)

    before = header(Host(cpus=64, thp="madvise"))
    entries = [checkpoint.first_entry(before, 0.0), checkpoint.resumed_entry()]
    assert checkpoint.read(entries, before, 0.0).resumed == 2
    assert checkpoint.read(entries, header(Host(cpus=64, thp="always")), 0.0).resumed == 0


def test_this_host_tells_its_processors() -> None:
    """The facts of the machine that runs the tests, which has processors."""
    found = host._cpus(Path("/sys/devices/system/cpu/present").read_text().strip())
    assert found is not None
    assert found >= len(os.sched_getaffinity(0))
