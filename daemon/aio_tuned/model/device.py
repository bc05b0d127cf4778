"""A drive or volume, its mounts, and its use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aio_tuned.model.host import Host

if TYPE_CHECKING:
    from pathlib import Path


# The state of the RAID arrays that a device is or is built on: whole and idle (""), a member missing, busy with a
# resync, both, or unreadable.
ArrayState = Literal["", "degraded", "syncing", "rebuilding", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The limits and the policy of the block layer's request queue (/sys/block/X/queue); 0 or "" if unknown."""

    max_sectors_kb: int = 0
    nr_requests: int = 0
    scheduler: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A whole disk or a volume, identified by facts that survive reboots.

    `sys_name`, `device_number` and `members` (the kernel names of the disks below a volume) are valid in this boot
    only; `member_names` are the lasting names of the members. `neighbours` are the kernel names of the other namespaces
    of the same NVMe drives, which share their speed. `boot_id` identifies this boot if the id is only a kernel name,
    else it is "". `integrity_format` is the kernel's name for the protection information of the blocks, "" for none.
    `metadata_bytes` is the size of each block's metadata, None if unknown (Linux before 6.8).
    """

    id: str
    name: str
    sys_name: str
    node: Path
    device_number: str
    size_bytes: int
    logical_block_bytes: int
    integrity_format: str = ""
    metadata_bytes: int | None = None
    read_only: bool = False
    hidden: bool = False
    diskseq: int | None = None
    model: str = ""
    serial: str = ""
    firmware: str = ""
    nsid: int | None = None
    transport: str = ""
    pcie_link: str = ""
    numa_node: int | None = None
    members: tuple[str, ...] = ()
    member_names: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    array: ArrayState = ""
    boot_id: str = ""
    queue: Queue = field(default_factory=Queue)
    host: Host = Host()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mounted filesystem, as in a line of /proc/self/mountinfo."""

    id: int
    device_number: str
    root: str
    point: Path
    read_only: bool
    filesystem: str
    source: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The layers below a filesystem or device that forbid writes; each field names its layer and the reason, or is "".

    `thin`: writes take shared space. `origin`: each write fills the space of a snapshot. `snapshot`: the layer is a
    snapshot. `unseen`: the layer cannot be examined.
    """

    thin: str = ""
    origin: str = ""
    snapshot: str = ""
    unseen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The current use of a device, which decides where a sweep may write.

    `boot` holds the mount points of boot partitions if nothing else of the device is mounted. `nocow` is true if new
    files in the directory of the scratch file have no copy-on-write (btrfs). `no_trim` is why freed space of the mount
    cannot be returned to the layers below, or "". `zoned` is the zone model, or "". `zero_share` is the share of
    sampled blocks in the span to be read that hold only zeros: 1.0 on a blank drive. `blank` is true only if neither
    the kernel nor blkid knows any use and every sampled byte is zero.
    """

    mount: Mount | None = None
    mounted_at: tuple[str, ...] = ()
    boot: tuple[str, ...] = ()
    free_bytes: int = 0
    filesystem_bytes: int = 0
    nocow: bool = False
    partitions: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    swap: bool = False
    stack: Stack = Stack()
    zoned: str = ""
    no_trim: str = ""
    raw_node: Path | None = None
    raw_size_bytes: int = 0
    raw_offset_bytes: int = 0
    zero_share: float = 0.0
    blank: bool = False
