"""The facts of block devices in /sys, /proc/swaps and udev's database; nothing is written."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices.mountinfo import unescape
from aio_tuned.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aio_tuned.devices.pcie import Attachment
    from aio_tuned.model.device import Queue

SYS = Path("/sys")
_SECTOR = 512
_NUMBER = re.compile(r"[0-9]+:[0-9]+", re.ASCII)
# A namespace that has a node, not a hidden path (nvme0c0n1), a partition or a character device (ng0n1).
NAMESPACE = re.compile(r"nvme[0-9]+n[0-9]+", re.ASCII)
_CHANGEABLE = (
    "ro",
    "size",
    "metadata_bytes",
    "integrity/format",
    "device/firmware_rev",
    "device/rev",
    *(f"queue/{name}" for name in ("logical_block_size", "max_sectors_kb", "nr_requests", "scheduler")),
)
# Vendors of virtual machines, as in systemd-detect-virt(1), for processors without a flag for them.
_HYPERVISORS = ("QEMU", "KVM", "Amazon EC2", "Google", "Microsoft Corporation", "VMware", "Xen", "OpenStack", "Oracle")


def attribute(directory: Path, name: str) -> str:
    """Return one attribute's text without its line end; "" if it is missing.

    Bytes that are not UTF-8 become surrogates.
    """
    try:
        return (directory / name).read_bytes().decode("utf-8", "surrogateescape").rstrip("\n")
    except OSError:
        return ""


def selected(text: str) -> str:
    """Return the word in brackets, by which /sys marks the one in use; the whole text without brackets."""
    return text.partition("[")[2].partition("]")[0] if "[" in text else text


def device_number(path: Path) -> str:
    """Return the number ("259:0") of a block device node, through symbolic links; raise TargetError if it is none."""
    try:
        status = path.stat()
    except OSError as error:
        raise TargetError(f"{path}: {error.strerror}") from None
    if not stat.S_ISBLK(status.st_mode):
        raise TargetError(f"{path}: not a block device")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def directory(number: str, sys: Path = SYS) -> Path:
    """Return the /sys directory of a block device; raise TargetError if the kernel does not know the device."""
    if not _NUMBER.fullmatch(number):  # attribute() returns "" for a removed device, and dev/block itself exists
        raise TargetError(f"{number or 'device'}: no block device number; check that the drive is connected")
    link = sys / "dev/block" / number
    if not link.exists():
        raise TargetError(f"device {number}: {link} does not exist; check that the drive is connected")
    return link.resolve()


def whole_disk(number: str, sys: Path = SYS) -> str:
    """Return the number of a partition's disk; for any other device, its own."""
    found = directory(number, sys)
    return attribute(found.parent, "dev") if (found / "partition").exists() else number


def names(path: Path) -> tuple[str, ...]:
    """Return the sorted names in a folder; () if it is missing."""
    try:
        return tuple(sorted(entry.name for entry in path.iterdir()))
    except OSError:
        return ()


def partitions(number: str, sys: Path = SYS) -> Mapping[str, str]:
    """Return the names and numbers of a disk's partitions."""
    found = directory(number, sys)
    return {name: attribute(found / name, "dev") for name in names(found) if (found / name / "partition").exists()}


def holders(number: str, sys: Path = SYS) -> tuple[str, ...]:
    """Return the names of the devices (md, dm) that are built on this one."""
    return names(directory(number, sys) / "holders")


def members(number: str, sys: Path = SYS) -> tuple[str, ...]:
    """Return the names of the whole disks below a volume, down to the leaves; () for a disk."""

    def leaves(found: Path) -> Iterator[str]:
        below = names(found / "slaves")
        if not below:
            disk = found.parent if (found / "partition").exists() else found
            yield disk.name
        for name in below:
            yield from leaves((found / "slaves" / name).resolve())

    found = directory(number, sys)
    return tuple(dict.fromkeys(leaves(found))) if names(found / "slaves") else ()


def counting(disk: Path) -> tuple[Path, ...]:
    """Return the /sys directories with the disk's I/O counters: itself, or a multipath head's hidden paths.

    Before Linux 6.4 the head of an NVMe multipath counts nothing itself.
    """
    subsystem = (disk / "device").resolve()
    if not subsystem.name.startswith("nvme-subsys"):
        return (disk,)
    stem, _, namespace = disk.name.rpartition("n")
    return tuple(
        path
        for controller in sorted(subsystem.glob("nvme[0-9]*"))
        for path in sorted(controller.glob(f"{stem}c*n{namespace}"))
    )


def neighbours(number: str, sys: Path = SYS) -> tuple[str, ...]:
    """Return the names of the other namespaces on the drive, or on the drives below a volume.

    Namespaces of one NVMe subsystem share the throughput of one drive, also if their controllers differ.
    """
    own = members(number, sys) or (directory(number, sys).name,)
    found = {name for disk in own for name in _namespaces((sys / "class/block" / disk).resolve(), sys)}
    return tuple(sorted(found.difference(own)))


def _namespaces(disk: Path, sys: Path) -> Iterator[str]:
    """Yield the names of all namespaces of a disk's NVMe subsystem; none for a disk that is not NVMe."""
    controllers = controllers_of(disk)
    if not controllers:
        return
    # The class has a link for each controller, even if the kernel makes no multipath heads.
    subsystems = [
        subsystem
        for subsystem in (sys / "class/nvme-subsystem").glob("nvme-subsys*")
        if any((subsystem / controller.name).exists() for controller in controllers)
    ]
    siblings = [link.resolve() for subsystem in subsystems for link in subsystem.glob("nvme[0-9]*")]
    for place in {_parent(disk), *controllers, *(path.resolve() for path in subsystems), *siblings}:
        yield from (name for name in names(place) if NAMESPACE.fullmatch(name) and (place / name / "dev").exists())


def queue(number: str, sys: Path = SYS) -> Queue:
    """Return the request queue's limits."""
    from aio_tuned.model.device import Queue  # deferred: the reader does not need it, and must load fast

    found = directory(number, sys) / "queue"
    return Queue(
        max_sectors_kb=int(attribute(found, "max_sectors_kb") or 0),
        nr_requests=int(attribute(found, "nr_requests") or 0),
        scheduler=selected(attribute(found, "scheduler")),
    )


def changeable(number: str, sys: Path = SYS) -> tuple[str, ...]:
    """Return the current attributes of a disk that may change without an event; those of volumes are incomplete."""
    found = directory(number, sys)
    return tuple(attribute(found, name) for name in _CHANGEABLE)


def zoned(number: str, sys: Path = SYS) -> str:
    """Return the zone model of a whole disk or volume, such as "host-managed"; "" if it has no zones."""
    model = attribute(directory(number, sys) / "queue", "zoned")
    return "" if model == "none" else model


def size_bytes(number: str, sys: Path = SYS) -> int:
    """Return the size of a disk or partition in bytes."""
    return int(attribute(directory(number, sys), "size") or 0) * _SECTOR


def diskseq(number: str, sys: Path = SYS) -> int | None:
    """Return the kernel's sequence number of this disk, which is never reused; None on kernels before 5.15."""
    text = attribute(directory(number, sys), "diskseq")
    return int(text) if text.isdigit() else None


def in_swap(numbers: set[str], proc: Path = Path("/proc")) -> bool:
    """Return whether one of the devices holds a swap area in use."""
    try:
        lines = (proc / "swaps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()[1:]
    except OSError:
        return False
    for line in lines:
        try:
            if device_number(Path(unescape(line.split()[0]))) in numbers:
                return True
        except (TargetError, IndexError):
            continue  # a swap file
    return False


def udev_properties(number: str, run: Path = Path("/run")) -> dict[str, str]:
    """Return the device's properties in udev's database; {} if udev does not run or has none.

    Read the file itself, because pyudev starts ldconfig(8) at each call to find libudev.
    """
    try:
        lines = (run / "udev/data" / f"b{number}").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return {}
    return {key: value for key, mark, value in (line[2:].partition("=") for line in lines if line[:2] == "E:") if mark}


def _link(controller: Path) -> str:
    """Return the PCIe link of a controller as "16.0 GT/s x4"; "" if it is not on PCIe, or unknown."""
    from aio_tuned.devices import pcie  # deferred: the reader does not need it

    return pcie.known(attribute(controller, "current_link_speed"), attribute(controller, "current_link_width"))


def _parent(found: Path) -> Path:
    return (found / "device").resolve() if (found / "device").exists() else found


def controllers_of(found: Path) -> list[Path]:
    """Return the NVMe controllers of a disk: more than one only with native multipath."""
    parent = _parent(found)
    # With multipath the parent is the subsystem; its controllers are symbolic links in it.
    entries = sorted(parent.glob("nvme[0-9]*")) if parent.name.startswith("nvme-subsys") else [parent]
    return [entry.resolve() for entry in entries if (entry / "transport").exists()]


def attachment(number: str, sys: Path = SYS, proc: Path = Path("/proc")) -> Attachment | None:
    """Return the PCIe attachment of an NVMe drive.

    Return None if it is not on PCIe, or has several links, whose combined throughput is unknown.
    """
    from aio_tuned.devices import pcie  # deferred: the reader does not need it

    controllers = controllers_of(directory(number, sys))
    if len(controllers) != 1:
        return None
    function = (controllers[0] / "device").resolve()

    def link(end: Path, which: str) -> pcie.Link | None:
        return pcie.parse(attribute(end, f"{which}_link_speed"), attribute(end, f"{which}_link_width"))

    current = link(function, "current")
    if current is None:
        return None
    return pcie.Attachment(
        link=current,
        drive=link(function, "max"),
        slot=link(function.parent, "max"),
        real=not (pcie.emulated(attribute(function, "vendor")) or _virtual(sys, proc)),
    )


def _virtual(sys: Path, proc: Path) -> bool:
    """Return whether this is a virtual machine, by the processor's flag (x86) or by the system's vendor (others)."""
    for line in attribute(proc, "cpuinfo").splitlines():
        if line.startswith("flags"):
            return "hypervisor" in line.split()
    return attribute(sys, "class/dmi/id/sys_vendor").startswith(_HYPERVISORS)


def who(number: str, sys: Path = SYS) -> dict[str, str]:
    """Return the facts of a whole disk or volume for names.id_and_name(), as text; empty ones are left out."""
    found = directory(number, sys)
    parent = _parent(found)
    texts = {
        "sys_name": found.name,
        "size": attribute(found, "size"),
        "wwid": attribute(found, "wwid") or attribute(parent, "wwid"),
        "nsid": attribute(found, "nsid"),
        "model": attribute(parent, "model"),
        "serial": attribute(parent, "serial") or attribute(found, "serial"),
        "dm_name": attribute(found, "dm/name"),
        "dm_uuid": attribute(found, "dm/uuid"),
        "md_uuid": attribute(found, "md/uuid"),
        "loop_file": attribute(found, "loop/backing_file").removesuffix(" (deleted)"),
    }
    return {key: value for key, value in texts.items() if value}


def boot_id(proc: Path = Path("/proc")) -> str:
    """Return the random id of this boot; "" if it cannot be read."""
    return attribute(proc / "sys/kernel/random", "boot_id")


def facts(
    number: str, sys: Path = SYS, udev: Mapping[str, str] | None = None, proc: Path = Path("/proc")
) -> dict[str, str]:
    """Return all facts of a whole disk or volume for identity.device(), as text; empty ones are left out."""
    found = directory(number, sys)
    parent = _parent(found)
    controller = next(iter(controllers_of(found)), parent)
    pci = controller / "device"
    integrity_format = attribute(found, "integrity/format")
    texts = {
        "device_number": number,
        "ro": attribute(found, "ro"),
        "hidden": attribute(found, "hidden"),
        "diskseq": attribute(found, "diskseq"),
        "logical_block_size": attribute(found, "queue/logical_block_size"),
        "integrity_format": "" if integrity_format == "none" else integrity_format,
        "metadata_bytes": attribute(found, "metadata_bytes"),
        "firmware": attribute(parent, "firmware_rev") or attribute(parent, "rev"),
        "transport": attribute(controller, "transport"),
        "pcie_link": _link(pci),
        "numa_node": attribute(pci, "numa_node") or attribute(controller, "numa_node"),
        "members": " ".join(members(number, sys)),
        "boot_id": boot_id(proc),
    }
    for key, value in (udev or {}).items():
        texts[f"udev.{key}"] = value
    return {**who(number, sys), **{key: value for key, value in texts.items() if value}}
