"""The facts of the host that a drive's figures depend on, from /sys and /proc; nothing is written."""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.devices.names import clean_text
from aio_tuned.model.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PRESENT = "devices/system/cpu/present"
_THP = "kernel/mm/transparent_hugepage/enabled"
_THP_BYTES = "kernel/mm/transparent_hugepage/hpage_pmd_size"
_RANGES = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*", re.ASCII)
# The first processor is described at the beginning; all of a large host take 400 KiB.
_FIRST_BYTES = 4096


def read(number: str, sys: Path = sysfs.SYS, proc: Path = Path("/proc"), page_bytes: int = mmap.PAGESIZE) -> Host:
    """Return the host's facts for a whole disk or volume; raise TargetError if the device does not exist."""
    ways = [_way_up(place, sys) for place in _places(number, sys)]
    modes, nodes = {_iommu(way) for way in ways}, {_numa_node(way) for way in ways}
    known = sorted(mode for mode in modes if mode is not None)
    return Host(
        cpu_model=_cpu_model(sys, proc),
        cpus=_cpus(sysfs.attribute(sys, _PRESENT)),
        thp=thp(sys) or None,
        page_bytes=page_bytes,
        iommu=", ".join(known) if known and None not in modes else None,
        numa_node=(nodes.pop() if len(nodes) == 1 else -1) if ways else None,
    )


def thp(sys: Path = sysfs.SYS) -> str:
    """Return the policy for transparent huge pages: "always", "madvise" or "never"; "" if the kernel has none."""
    return sysfs.selected(sysfs.attribute(sys, _THP))


def thp_bytes(sys: Path = sysfs.SYS) -> int:
    """Return the size of a transparent huge page: 2 MiB, or 32 or 512 MiB with larger pages; 0 if it is unknown."""
    text = sysfs.attribute(sys, _THP_BYTES)
    return int(text) if text.isdecimal() else 0


def changeable(sys: Path = sysfs.SYS) -> tuple[str, ...]:
    """Return the texts of the host's attributes that may change while it runs, without an event."""
    return tuple(sysfs.attribute(sys, name) for name in (_PRESENT, _THP))


def _cpus(present: str) -> int | None:
    """Return the number of processors in a list such as "0-63,128"; None if the text is no list."""
    if not _RANGES.fullmatch(present):
        return None
    ends = [part.partition("-") for part in present.split(",")]
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)


def _cpu_model(sys: Path, proc: Path) -> str | None:
    """Return the model of the first processor; None if the host does not name it.

    The processors of Arm have no name there, but the numbers of their maker and part.
    """
    try:
        with (proc / "cpuinfo").open("rb") as file:
            text = file.read(_FIRST_BYTES).decode("utf-8", "replace")
    except OSError:
        text = ""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, mark, value = line.partition(":")
        if mark:
            found.setdefault(key.strip().lower(), value.strip())
    maker, part = found.get("cpu implementer"), found.get("cpu part")
    name = found.get("model name") or (f"implementer {maker}, part {part}" if maker and part else "")
    # Others describe the whole board, in a text that ends with a null byte.
    name = name or sysfs.attribute(sys, "firmware/devicetree/base/model")
    return clean_text(name) or None


def _places(number: str, sys: Path) -> Iterator[Path]:
    """Yield the directories of the controllers of a disk, or of the disks below a volume; of the disk without any."""
    disk = sysfs.directory(number, sys)
    below = [(sys / "class/block" / name).resolve() for name in sysfs.members(number, sys)]
    for each in (path for path in below or [disk] if path.exists()):
        yield from sysfs.controllers_of(each) or [each]


def _way_up(place: Path, sys: Path) -> tuple[Path, ...]:
    """Return the directories of a device and of those above it in /sys, the nearest first."""
    root = sys.resolve()
    return tuple(at for at in (place, *place.parents) if root in at.parents)


def _iommu(way: Iterable[Path]) -> str | None:
    """Return the mode of the IOMMU domain of the nearest device that has one, "none" without one.

    Return None if the kernel does not tell the mode (Linux before 5.11).
    """
    for at in way:
        if (at / "iommu_group").exists():
            return sysfs.attribute(at, "iommu_group/type") or None
    return "none"


def _numa_node(way: Iterable[Path]) -> int:
    """Return the NUMA node of the nearest device that has one, -1 without."""
    found = (sysfs.attribute(at, "numa_node") for at in way)
    return next((int(text) for text in found if text.isdigit()), -1)
