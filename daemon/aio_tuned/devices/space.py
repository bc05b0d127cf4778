"""The space that a thin pool or a sparse file takes below a filesystem, and whether a sweep has returned it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import device_mapper, stack, sysfs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.devices.stack import Layer

_SECTOR = 512
_MIB = 1 << 20
# A pool frees whole chunks only, and other processes write to it too, so up to 1/8 of the file is not reported.
_NOTABLE = 8


def read(number: str, sys: Path = sysfs.SYS, proc: Path = Path("/proc"), dev: Path = Path("/dev")) -> Mapping[str, int]:
    """Return the bytes in use of each pool and sparse file below a device, by name; leave out unreadable ones."""
    found = ((layer.name, _used_bytes(layer, dev)) for layer in stack.layers(number, sys, proc, dev))
    return {name: used for name, used in found if used is not None}


def _used_bytes(layer: Layer, dev: Path) -> int | None:
    if layer.kind != "thin":
        return None
    try:
        if layer.file is not None:
            return layer.file.stat().st_blocks * _SECTOR
        return device_mapper.used_bytes(layer.number, dev)
    except OSError:
        return None


def finding(before: Mapping[str, int], after: Mapping[str, int], scratch_bytes: int, mount: Path) -> str:
    """Return the finding on space that is still in use after a sweep with a scratch file of that size, or ""."""
    compared = before.keys() & after.keys()
    if not compared:
        return (
            "space: usage below the filesystem cannot be read; the scratch file's space may still be allocated; check"
            f" the pool, and run fstrim {mount}"
        )
    name, kept = max(((name, after[name] - before[name]) for name in compared), key=lambda item: item[1])
    if kept <= scratch_bytes // _NOTABLE:
        return ""
    return (
        f"space: {name} has {kept // _MIB} MiB more in use than before the sweep; unless other processes wrote, the"
        f" scratch file's space is still allocated; run fstrim {mount}"
    )
