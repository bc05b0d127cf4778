"""The NUMA node of a drive, against those of the host's GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.launch.doctor.finding import Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHECK = "numa"
# PCI classes: VGA and 3D controllers, other displays and accelerators (AMD Instinct); and the vendors that make GPUs,
# since the console of a server's management controller is a VGA controller too.
_CLASSES = ("0x0300", "0x0302", "0x0380", "0x1200")
_VENDORS = frozenset(("0x10de", "0x1002", "0x8086"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU by its PCI address, and its NUMA node, -1 if the platform does not tell."""

    address: str
    node: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NumaNodes:
    """The node of a drive (None: unknown, -1: none, or several), the GPUs, and the number of the host's nodes."""

    name: str
    drive_node: int | None
    gpus: tuple[Gpu, ...]
    host_nodes: int


def read_gpus(sys: Path) -> tuple[Gpu, ...]:
    """Return the GPUs that are visible in /sys."""
    found = []
    for address in sysfs.names(sys / "bus/pci/devices"):
        function = sys / "bus/pci/devices" / address
        kind, vendor = sysfs.attribute(function, "class"), sysfs.attribute(function, "vendor")
        if kind.startswith(_CLASSES) and vendor in _VENDORS:
            node = sysfs.attribute(function, "numa_node")
            found.append(Gpu(address=address, node=int(node) if node.isdecimal() else -1))
    return tuple(found)


def read_host_nodes(sys: Path) -> int:
    """Return the number of the host's NUMA nodes; 0 if the kernel does not show them."""
    return sum(name.startswith("node") and name[4:].isdecimal() for name in sysfs.names(sys / "devices/system/node"))


def check(facts: NumaNodes) -> Iterator[Outcome]:
    """Report a drive on whose node there is no GPU."""
    if not facts.gpus or facts.host_nodes <= 1:
        return
    nodes = sorted({gpu.node for gpu in facts.gpus} - {-1})
    if facts.drive_node is None or facts.drive_node < 0 or not nodes:
        missing = "the GPUs" if not nodes else "the drive"
        yield Unchecked(
            check=CHECK, subject=facts.name, reason=f"the platform does not tell the NUMA node of {missing}"
        )
    elif facts.drive_node not in nodes:
        others = " and ".join(map(str, nodes))
        yield Finding(
            check=CHECK,
            subject=facts.name,
            problem=f"the drive is on NUMA node {facts.drive_node}, but the GPUs are on node {others}",
            remedy=f"move the drive to a slot of node {others}, or use a drive that is on it",
        )
