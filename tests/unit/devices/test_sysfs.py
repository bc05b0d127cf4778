from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices import identity, sysfs
from aio_tuned.devices.pcie import Attachment, Link
from aio_tuned.errors import TargetError
from aio_tuned.model.device import Queue
from unit.support.drives import Host, namespaces, nvme

if TYPE_CHECKING:
    from collections.abc import Mapping


class Sys:
    """A small /sys: directories of attributes, and the links of dev/block."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "dev/block").mkdir(parents=True)

    def add(self, place: str, attributes: Mapping[str, str | bytes]) -> Path:
        directory = self.root / place
        directory.mkdir(parents=True, exist_ok=True)
        for name, value in attributes.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value if isinstance(value, bytes) else value.encode() + b"\n")
        return directory

    def block(self, place: str, number: str, **attributes: str) -> Path:
        directory = self.add(place, {"dev": number, **attributes})
        (self.root / "dev/block" / number).symlink_to(directory)
        return directory

    def link(self, place: str, target: Path) -> None:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


CONTROLLER = {
    "model": "Samsung SSD 980 PRO 1TB                 ",
    "serial": "S5GXNF0R123456      ",
    "firmware_rev": "5B2QGXA7",
    "transport": "pcie",
}
PCI = {"current_link_speed": "16.0 GT/s PCIe", "current_link_width": "4", "numa_node": "1"}
DISK = {"size": "1953525168", "ro": "0", "hidden": "0", "diskseq": "9", "wwid": "eui.0025385b21404e5f", "nsid": "1"}
QUEUE = {
    "queue/logical_block_size": "512",
    "queue/max_sectors_kb": "128",
    "queue/nr_requests": "1023",
    "queue/scheduler": "[none] mq-deadline kyber",
}


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    return Sys(tmp_path / "sys")


def plain_nvme(sys: Sys) -> None:
    """Without native multipath: the namespace is below its controller, which is below the PCI function."""
    pci = sys.add("devices/pci0000:00/0000:01:00.0", PCI)
    controller = sys.add("devices/pci0000:00/0000:01:00.0/nvme/nvme0", CONTROLLER)
    (controller / "device").symlink_to(pci)
    disk = sys.block("devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1", "259:0", **DISK)
    sys.add(str(disk.relative_to(sys.root)), QUEUE)
    (disk / "device").symlink_to(controller)
    for number in (1, 2):
        sys.block(f"{disk.relative_to(sys.root)}/nvme0n1p{number}", f"259:{number}", partition=str(number), size="2048")


def multipath_nvme(sys: Sys) -> None:
    """With it: the namespace's head is below the subsystem, whose controllers are links, each with a hidden path."""
    subsystem = sys.add(
        "devices/virtual/nvme-subsystem/nvme-subsys0",
        {key: CONTROLLER[key] for key in ("model", "serial", "firmware_rev")},
    )
    for number in (0, 1):
        pci = sys.add(f"devices/pci0000:00/0000:0{number}:00.0", PCI)
        controller = sys.add(f"devices/pci0000:00/0000:0{number}:00.0/nvme/nvme{number}", CONTROLLER)
        (controller / "device").symlink_to(pci)
        (subsystem / f"nvme{number}").symlink_to(controller)
        sys.add(f"{controller.relative_to(sys.root)}/nvme0c{number}n1", {"hidden": "1", "size": "1953525168"})
    disk = sys.block("devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "259:0", **DISK)
    sys.add(str(disk.relative_to(sys.root)), QUEUE)
    (disk / "device").symlink_to(subsystem)


EXPECTED = {
    "sys_name": "nvme0n1",
    "device_number": "259:0",
    "size": "1953525168",
    "ro": "0",
    "hidden": "0",
    "diskseq": "9",
    "logical_block_size": "512",
    "wwid": "eui.0025385b21404e5f",
    "nsid": "1",
    "model": "Samsung SSD 980 PRO 1TB                 ",
    "serial": "S5GXNF0R123456      ",
    "firmware": "5B2QGXA7",
    "transport": "pcie",
    "pcie_link": "16.0 GT/s x4",
    "numa_node": "1",
}


def test_facts_of_an_nvme_drive(sys: Sys) -> None:
    plain_nvme(sys)
    assert sysfs.facts("259:0", sys.root, proc=sys.root) == EXPECTED


def test_facts_of_an_nvme_drive_with_native_multipath(sys: Sys) -> None:
    multipath_nvme(sys)
    assert sysfs.facts("259:0", sys.root, proc=sys.root) == EXPECTED


def test_what_udev_knows_is_marked_as_such(sys: Sys) -> None:
    plain_nvme(sys)
    assert sysfs.facts("259:0", sys.root, {"ID_MODEL": "x"}, sys.root) == {**EXPECTED, "udev.ID_MODEL": "x"}


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({}, {}),
        ({"integrity/format": "none", "metadata_bytes": "0"}, {"metadata_bytes": "0"}),
        (
            {"integrity/format": "T10-DIF-TYPE1-CRC", "metadata_bytes": "8"},
            {"integrity_format": "T10-DIF-TYPE1-CRC", "metadata_bytes": "8"},
        ),
        ({"integrity/format": "T10-DIF-TYPE1-CRC"}, {"integrity_format": "T10-DIF-TYPE1-CRC"}),
    ],
)
def test_the_format_of_the_blocks(sys: Sys, attributes: dict[str, str], found: dict[str, str]) -> None:
    """The metadata's size is in /sys from Linux 6.8 on."""
    plain_nvme(sys)
    disk = sysfs.directory("259:0", sys.root)
    for name, text in attributes.items():
        (disk / name).parent.mkdir(exist_ok=True)
        (disk / name).write_text(f"{text}\n")
    assert sysfs.facts("259:0", sys.root, proc=sys.root) == {**EXPECTED, **found}


@pytest.mark.parametrize(("speed", "width"), [("Unknown", "0"), ("Unknown", "63"), ("16.0 GT/s PCIe", "0"), ("", "4")])
def test_a_link_that_sysfs_does_not_know_is_left_out(sys: Sys, speed: str, width: str) -> None:
    plain_nvme(sys)
    sys.add("devices/pci0000:00/0000:01:00.0", {"current_link_speed": speed, "current_link_width": width})
    assert "pcie_link" not in sysfs.facts("259:0", sys.root)


def test_the_boot_is_one_of_the_facts(sys: Sys) -> None:
    plain_nvme(sys)
    sys.add("sys/kernel/random", {"boot_id": "6ff02615-2f2d-4a56-905e-6babb01430aa"})
    assert sysfs.facts("259:0", sys.root, proc=sys.root)["boot_id"] == "6ff02615-2f2d-4a56-905e-6babb01430aa"
    assert sysfs.boot_id(sys.root / "none") == ""


def test_the_device_of_the_facts(sys: Sys) -> None:
    plain_nvme(sys)
    found = identity.device(sysfs.facts("259:0", sys.root), sysfs.queue("259:0", sys.root))
    assert found.name == "nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1"
    assert found.size_bytes == 1953525168 * 512
    assert found.queue == Queue(max_sectors_kb=128, nr_requests=1023, scheduler="none")


def test_an_nvme_drive_over_the_network_has_no_link(sys: Sys) -> None:
    controller = sys.add(
        "devices/virtual/nvme-fabrics/ctl/nvme2", {**CONTROLLER, "transport": "tcp", "numa_node": "-1"}
    )
    disk = sys.block("devices/virtual/nvme-fabrics/ctl/nvme2/nvme2n1", "259:7", **DISK)
    (disk / "device").symlink_to(controller)
    facts = sysfs.facts("259:7", sys.root)
    assert facts["transport"] == "tcp"
    assert "pcie_link" not in facts
    assert identity.device(facts, Queue()).numa_node is None


# --- how it is attached ----------------------------------------------------------------------------------

GEN4X4 = Link(gt_per_s=16.0, lanes=4)
FUNCTION = "devices/pci0000:00/0000:00:01.0/0000:01:00.0"
BARE = "processor\t: 0\nflags\t\t: fpu sse2 lm\n"
GUEST = "processor\t: 0\nflags\t\t: fpu sse2 hypervisor lm\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd\n"


def attached(sys: Sys, *, vendor: str = "0x144d", cpuinfo: str = BARE) -> Path:
    """An NVMe drive in a slot whose port can do more; the folder that stands for /proc."""
    sys.add("devices/pci0000:00/0000:00:01.0", {"max_link_speed": "32.0 GT/s PCIe", "max_link_width": "8"})
    most = {"max_link_speed": "16.0 GT/s PCIe", "max_link_width": "4", "vendor": vendor}
    function = sys.add(FUNCTION, {**PCI, **most})
    controller = sys.add(f"{FUNCTION}/nvme/nvme0", CONTROLLER)
    (controller / "device").symlink_to(function)
    disk = sys.block(f"{FUNCTION}/nvme/nvme0/nvme0n1", "259:0", **DISK)
    (disk / "device").symlink_to(controller)
    proc = sys.root.parent / "proc"
    proc.mkdir()
    (proc / "cpuinfo").write_text(cpuinfo)
    return proc


def test_the_link_of_an_nvme_drive_and_what_both_ends_could_do(sys: Sys) -> None:
    proc = attached(sys)
    assert sysfs.attachment("259:0", sys.root, proc) == Attachment(
        link=GEN4X4, drive=GEN4X4, slot=Link(gt_per_s=32.0, lanes=8), real=True
    )


def test_what_is_not_there_is_not_known(sys: Sys) -> None:
    """On the root bus there is no port, and old kernels have no max_link_speed."""
    plain_nvme(sys)
    assert sysfs.attachment("259:0", sys.root, sys.root) == Attachment(link=GEN4X4)


@pytest.mark.parametrize(
    ("vendor", "cpuinfo", "maker", "real"),
    [
        ("0x144d", BARE, "Dell Inc.", True),
        ("0x144d", BARE, "QEMU", True),
        ("0x144d", GUEST, "", False),
        ("0x1b36", BARE, "", False),
        ("0x1d0f", BARE, "", False),
        ("0x144d", ARM, "NVIDIA", True),
        ("0x144d", ARM, "", True),
        ("0x144d", ARM, "QEMU", False),
        ("0x144d", ARM, "Amazon EC2", False),
        ("0x144d", "", "Microsoft Corporation", False),
    ],
)
def test_the_link_in_a_virtual_machine_is_not_real(sys: Sys, vendor: str, cpuinfo: str, maker: str, real: bool) -> None:
    proc = attached(sys, vendor=vendor, cpuinfo=cpuinfo)
    sys.add("class/dmi/id", {"sys_vendor": maker})
    found = sysfs.attachment("259:0", sys.root, proc)
    assert found is not None
    assert found.real is real


def test_a_drive_with_several_links_has_no_single_one(sys: Sys) -> None:
    multipath_nvme(sys)
    assert sysfs.attachment("259:0", sys.root, sys.root) is None


def test_a_subsystem_of_one_controller_has_its_link(sys: Sys) -> None:
    multipath_nvme(sys)
    (sys.root / "devices/virtual/nvme-subsystem/nvme-subsys0/nvme1").unlink()
    assert sysfs.attachment("259:0", sys.root, sys.root) == Attachment(link=GEN4X4)


def test_a_link_that_is_down_or_none_is_none(sys: Sys) -> None:
    proc = attached(sys)
    sys.add(FUNCTION, {"current_link_width": "0"})
    assert sysfs.attachment("259:0", sys.root, proc) is None
    sys.block("devices/virtual/block/md0", "9:0", size="1")
    assert sysfs.attachment("9:0", sys.root, proc) is None


# --- partitions and whole disks --------------------------------------------------------------------------


def test_partitions_lead_to_their_disk_and_back(sys: Sys) -> None:
    plain_nvme(sys)
    assert sysfs.whole_disk("259:2", sys.root) == "259:0"
    assert sysfs.whole_disk("259:0", sys.root) == "259:0"
    assert dict(sysfs.partitions("259:0", sys.root)) == {"nvme0n1p1": "259:1", "nvme0n1p2": "259:2"}
    assert dict(sysfs.partitions("259:1", sys.root)) == {}
    assert sysfs.size_bytes("259:1", sys.root) == 1 << 20


def test_a_device_that_has_gone(sys: Sys) -> None:
    for ask in (
        sysfs.directory,
        sysfs.whole_disk,
        sysfs.partitions,
        sysfs.queue,
        sysfs.facts,
        sysfs.diskseq,
        sysfs.attachment,
    ):
        with pytest.raises(TargetError, match=r"device 259:9: .* does not exist; check that the drive is connected"):
            ask("259:9", sys.root)


@pytest.mark.parametrize(("text", "number"), [("17", 17), ("", None), ("x", None)])
def test_diskseq(sys: Sys, text: str, number: int | None) -> None:
    sys.block("devices/x/sda", "8:0", diskseq=text)
    assert sysfs.diskseq("8:0", sys.root) == number


# --- volumes ---------------------------------------------------------------------------------------------


def stack(sys: Sys) -> None:
    """dm-0 over md0 over a partition of each of two NVMe drives."""
    plain_nvme(sys)
    second = sys.block("devices/pci/nvme/nvme1/nvme1n1", "259:5", size="1953525168")
    sys.block("devices/pci/nvme/nvme1/nvme1n1/nvme1n1p1", "259:6", partition="1")
    first = sys.root / "devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1"
    raid = sys.block("devices/virtual/block/md0", "9:0", size="1")
    sys.add("devices/virtual/block/md0", {"md/uuid": "1:2:3:4"})
    crypt = sys.block("devices/virtual/block/dm-0", "253:0", size="1")
    sys.add("devices/virtual/block/dm-0", {"dm/name": "models", "dm/uuid": "CRYPT-LUKS2-x"})
    for part in (first / "nvme0n1p2", second / "nvme1n1p1"):
        sys.link(f"devices/virtual/block/md0/slaves/{part.name}", part)
        sys.link(f"{part.relative_to(sys.root)}/holders/md0", raid)
    sys.link("devices/virtual/block/dm-0/slaves/md0", raid)
    sys.link("devices/virtual/block/md0/holders/dm-0", crypt)


def test_members_are_the_whole_disks_at_the_bottom(sys: Sys) -> None:
    stack(sys)
    assert sysfs.members("253:0", sys.root) == ("nvme0n1", "nvme1n1")
    assert sysfs.members("9:0", sys.root) == ("nvme0n1", "nvme1n1")
    assert sysfs.members("259:0", sys.root) == ()


def test_two_members_on_one_disk_are_one(sys: Sys) -> None:
    plain_nvme(sys)
    sys.block("devices/virtual/block/md1", "9:1")
    for number in (1, 2):
        part = sys.root / f"devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p{number}"
        sys.link(f"devices/virtual/block/md1/slaves/{part.name}", part)
    assert sysfs.members("9:1", sys.root) == ("nvme0n1",)


def test_holders(sys: Sys) -> None:
    stack(sys)
    assert sysfs.holders("9:0", sys.root) == ("dm-0",)
    assert sysfs.holders("259:2", sys.root) == ("md0",)
    assert sysfs.holders("259:0", sys.root) == ()


def test_volumes_are_known_by_their_own_names(sys: Sys) -> None:
    stack(sys)
    found = identity.device(sysfs.facts("253:0", sys.root), Queue())
    assert (found.id, found.name) == ("dm-uuid-CRYPT-LUKS2-x", "dm-name-models")
    assert found.members == ("nvme0n1", "nvme1n1")
    raid = identity.device(sysfs.facts("9:0", sys.root), Queue())
    assert (raid.id, raid.name) == ("md-uuid-1:2:3:4", "md-uuid-1:2:3:4")


def test_loop_and_virtio(sys: Sys) -> None:
    sys.block("devices/virtual/block/loop0", "7:0", size="2048")
    sys.add("devices/virtual/block/loop0", {"loop/backing_file": "/var/disk.img"})
    assert sysfs.facts("7:0", sys.root)["loop_file"] == "/var/disk.img"
    virtio = sys.add("devices/pci/virtio0", {})
    disk = sys.block("devices/pci/virtio0/block/vda", "254:0", size="2048", serial="disk0")
    (disk / "device").symlink_to(virtio)
    facts = sysfs.facts("254:0", sys.root)
    assert (facts["serial"], facts["sys_name"]) == ("disk0", "vda")
    assert identity.device(facts, Queue()).name == "disk-disk0"


# --- attributes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"x\n", "x"), (b"", ""), (b"a b  \n", "a b  "), (b"\xff\n", "\udcff"), (b"nul\x00\n", "nul\x00")],
)
def test_an_attribute_is_text_without_its_line_end(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "x").write_bytes(content)
    assert sysfs.attribute(tmp_path, "x") == text
    assert sysfs.attribute(tmp_path, "missing") == ""
    assert sysfs.attribute(tmp_path.parent, tmp_path.name) == ""


@pytest.mark.parametrize(
    ("scheduler", "active"),
    [("[none] mq-deadline", "none"), ("none [mq-deadline] kyber", "mq-deadline"), ("none", "none"), ("", "")],
)
def test_the_scheduler_is_the_one_in_brackets(sys: Sys, scheduler: str, active: str) -> None:
    disk = sys.block("devices/x/sda", "8:0")
    sys.add(str(disk.relative_to(sys.root)), {"queue/scheduler": scheduler})
    assert sysfs.queue("8:0", sys.root) == Queue(scheduler=active)


def test_a_path_that_is_no_block_device(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=": not a block device"):
        sysfs.device_number(tmp_path)
    with pytest.raises(TargetError, match="No such file"):
        sysfs.device_number(tmp_path / "missing")


def test_swap(tmp_path: Path) -> None:
    assert not sysfs.in_swap({"259:1"}, tmp_path)
    (tmp_path / "swaps").write_text(
        "Filename\tType\tSize\tUsed\tPriority\n/swapfile file 1 0 -2\n\n/no/dev partition 1\n"
    )
    assert not sysfs.in_swap({"259:1"}, tmp_path)
    node = next((path for path in sorted(Path("/dev").iterdir()) if path.is_block_device()), None)
    if node is None:
        pytest.skip("no block device node to stand for a swap area")
    (tmp_path / "swaps").write_text(f"Filename\tType\n{node}\tpartition\t1\t0\t-2\n")
    assert sysfs.in_swap({sysfs.device_number(node)}, tmp_path)
    assert not sysfs.in_swap({"1:99"}, tmp_path)


def test_swap_on_a_node_whose_name_has_a_blank(tmp_path: Path) -> None:
    """The kernel writes /proc/swaps with seq_path() too, so with octal escapes."""
    node = next((path for path in sorted(Path("/dev").iterdir()) if path.is_block_device()), None)
    if node is None:
        pytest.skip("no block device node to stand for a swap area")
    (tmp_path / "my swap").symlink_to(node)
    escaped = str(tmp_path / "my swap").replace(" ", "\\040")
    (tmp_path / "swaps").write_text(f"Filename\tType\n{escaped}\tpartition\t1\t0\t-2\n")
    assert sysfs.in_swap({sysfs.device_number(node)}, tmp_path)


def test_the_counters_of_a_multipath_head_are_its_hidden_paths(tmp_path: Path) -> None:
    subsystem = tmp_path / "nvme-subsystem/nvme-subsys0"
    for controller, path in (("nvme0", "nvme0c0n1"), ("nvme1", "nvme0c1n1"), ("nvme1", "nvme0c1n2")):
        (tmp_path / controller / path).mkdir(parents=True)
    subsystem.mkdir(parents=True)
    for controller in ("nvme0", "nvme1"):
        (subsystem / controller).symlink_to(tmp_path / controller)
    head = tmp_path / "nvme0n1"
    head.mkdir()
    (head / "device").symlink_to(subsystem)
    assert [path.name for path in sysfs.counting(head)] == ["nvme0c0n1", "nvme0c1n1"]


def test_any_other_disk_counts_itself(tmp_path: Path) -> None:
    controller = tmp_path / "nvme0"
    controller.mkdir()
    disk = tmp_path / "nvme0n1"
    disk.mkdir()
    (disk / "device").symlink_to(controller)
    assert sysfs.counting(disk) == (disk,)
    assert sysfs.counting(tmp_path / "dm-0") == (tmp_path / "dm-0",)


def test_namespaces_of_one_subsystem_are_neighbours_by_whichever_controller(tmp_path: Path) -> None:
    host = Host(tmp_path)
    namespaces(host, 1, 2)
    other = nvme(host, 7)
    subsystem = host.sys / "class/nvme-subsystem/nvme-subsys0"
    subsystem.mkdir(parents=True)
    (subsystem / "nvme0").symlink_to(host.sys / "devices/pci0000:00/0000:00:00.0/nvme/nvme0")
    assert sysfs.neighbours("259:2", host.sys) == ("nvme0n1",)
    controller = (other.directory / "device").resolve()
    (controller / "transport").write_text("pcie\n")
    (subsystem / "nvme7").symlink_to(controller)
    assert sysfs.neighbours("259:2", host.sys) == ("nvme0n1", "nvme7n1")
    assert sysfs.neighbours("259:7", host.sys) == ("nvme0n1", "nvme0n2")


def test_a_disk_that_is_no_nvme_drive_has_no_neighbours(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.block("virtual/block/loop0", "7:0")
    assert sysfs.neighbours("7:0", host.sys) == ()
