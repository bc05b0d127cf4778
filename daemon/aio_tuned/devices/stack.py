"""The devices and files below a device or a filesystem, and the restrictions that follow from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import device_mapper, loop_file, mountinfo, sysfs
from aio_tuned.errors import TargetError
from aio_tuned.model.device import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.devices.device_mapper import Kind

# LUKS on LVM on RAID on partitions has six; a file below a loop device adds those of its filesystem.
_DEEPEST = 32
_IN_MEMORY = ("tmpfs", "ramfs")
# Drivers that allocate space when a block is first written.
_ALLOCATES = (
    (re.compile(r"zram[0-9]+"), "takes memory for new writes"),
    (re.compile(r"ram[0-9]+"), "takes memory for new writes"),
    (re.compile(r"zd[0-9]+"), "is a ZFS volume, which takes space from its pool for new writes"),
    (re.compile(r"rbd[0-9]+"), "is a Ceph image, which takes space from its pool for new writes"),
)
_REASONS: dict[Kind, str] = {
    "plain": "",
    "thin": "takes space from a pool for new writes",
    "origin": "has a snapshot, which takes space for every write",
    "snapshot": "is a snapshot",
    "unseen": "is a volume of an unknown type",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One device of a stack, its kind, and the reason for that, which completes a sentence after its name.

    `file` is the file behind a loop device.
    """

    name: str
    number: str
    kind: Kind
    why: str = ""
    file: Path | None = None


def judge(layers: Sequence[Layer]) -> Stack:
    """Return the restrictions of the layers, from top to bottom; the first layer of each kind gives the reason."""

    def first(kind: Kind) -> str:
        return next((f"{layer.name} {layer.why}" for layer in layers if layer.kind == kind), "")

    return Stack(thin=first("thin"), origin=first("origin"), snapshot=first("snapshot"), unseen=first("unseen"))


def read(number: str, sys: Path = sysfs.SYS, proc: Path = Path("/proc"), dev: Path = Path("/dev")) -> Stack:
    """Return the restrictions of the stack of a block device."""
    return judge(layers(number, sys, proc, dev))


def layers(
    number: str, sys: Path = sysfs.SYS, proc: Path = Path("/proc"), dev: Path = Path("/dev")
) -> tuple[Layer, ...]:
    """Return the layers from a block device down to the disks; devices that cannot be read are layers too."""
    found: dict[str, Layer] = {}
    waiting = [number]
    while waiting:
        at = waiting.pop(0)
        if at in found:
            continue
        if len(found) == _DEEPEST:
            found[at] = Layer(name=at, number=at, kind="unseen", why=f"is below {_DEEPEST} other devices")
            break
        try:
            found[at], below = _layer(at, sys, proc, dev)
        except (TargetError, OSError, ValueError) as error:
            missing = ":" not in at
            name, why = (at, "is missing") if missing else (f"device {at}", f"cannot be read ({error})")
            found[at] = Layer(name=name, number=at, kind="unseen", why=why)
            continue
        waiting += below
    return tuple(found.values())


def shape(number: str, sys: Path = sysfs.SYS) -> frozenset[object]:
    """Return the relations of the devices in a stack, from /sys alone; empty without a device-mapper volume.

    Making a snapshot of a volume always changes them. The file behind a loop device is not followed.
    """
    found: dict[str, object] = {}
    waiting, volumes = [number], False
    while waiting and len(found) < _DEEPEST:
        at = waiting.pop()
        directory = sys / "dev/block" / at
        volumes = volumes or (directory / "dm").exists()
        near = [tuple(sorted(path.name for path in (directory / name).glob("*"))) for name in ("slaves", "holders")]
        found[at] = (at, *near)
        below = _below(directory)
        if (directory / "partition").exists():
            below.append(sysfs.attribute(directory.resolve().parent, "dev"))
        waiting += [each for each in below if each not in found]
    return frozenset(found.values()) if volumes else frozenset()


def _layer(number: str, sys: Path, proc: Path, dev: Path) -> tuple[Layer, list[str]]:
    """Return one layer, and the numbers of the devices directly below it."""
    directory = sysfs.directory(number, sys)
    if (directory / "partition").exists():
        layer = _with_snapshots(directory, Layer(name=directory.name, number=number, kind="plain"), dev)
        return layer, [sysfs.attribute(directory.parent, "dev")]
    if (directory / "loop/backing_file").exists():
        return _loop(directory, number, sys, proc, dev)
    if (directory / "dm").exists():
        return _volume(directory, number, dev)
    why = next((words for pattern, words in _ALLOCATES if pattern.fullmatch(directory.name)), "")
    layer = Layer(name=directory.name, number=number, kind="thin" if why else "plain", why=why)
    return _with_snapshots(directory, layer, dev), _below(directory)


def _below(directory: Path) -> list[str]:
    """Return the numbers of the devices directly below; for one that was removed, its name."""
    return [sysfs.attribute(entry, "dev") or entry.name for entry in sorted((directory / "slaves").glob("*"))]


def _volume(directory: Path, number: str, dev: Path) -> tuple[Layer, list[str]]:
    name = f"{sysfs.attribute(directory, 'dm/name') or 'a volume'} ({directory.name})"
    kind = device_mapper.kind(number, sysfs.attribute(directory, "dm/uuid"), dev)
    layer = Layer(name=name, number=number, kind=kind, why=_REASONS[kind])
    if not (directory / "slaves").is_dir():
        return Layer(name=name, number=number, kind="unseen", why="does not show the devices below it"), []
    return _with_snapshots(directory, layer, dev), _below(directory)


def _with_snapshots(directory: Path, layer: Layer, dev: Path) -> Layer:
    """Return the layer as an origin if it has a snapshot that its own table does not show."""
    if layer.kind != "plain":
        return layer
    for holder in sorted((directory / "holders").glob("*")):
        if (holder / "dm").exists() and _is_snapshot(holder, dev):
            why = f"has a snapshot ({sysfs.attribute(holder, 'dm/name') or holder.name})"
            return Layer(name=layer.name, number=layer.number, kind="origin", why=why)
    return layer


def _is_snapshot(volume: Path, dev: Path) -> bool:
    """Return whether the volume is a snapshot, by its table or by a copy-on-write area below it."""
    uuids = [sysfs.attribute(entry, "dm/uuid") for entry in (volume / "slaves").glob("*")]
    kinds = {device_mapper.kind_of_uuid(uuid) for uuid in uuids}
    return "snapshot" in kinds or device_mapper.kind(sysfs.attribute(volume, "dev"), "", dev) == "snapshot"


def _loop(directory: Path, number: str, sys: Path, proc: Path, dev: Path) -> tuple[Layer, list[str]]:
    """Return a loop device's layer, and the number of the device below its file's filesystem."""
    text = sysfs.attribute(directory, "loop/backing_file")
    name = f"{directory.name} on {text}"

    def layer(kind: Kind, why: str) -> Layer:
        return Layer(name=name if why else directory.name, number=number, kind=kind, why=why, file=Path(text))

    try:
        table = mountinfo.read(proc)
        in_memory = mountinfo.find_mount(Path(text), table, proc).filesystem in _IN_MEMORY
        found = loop_file.read(dev / directory.name, text, in_memory=in_memory)
        below = [] if in_memory else [found.number or mountinfo.block_device_number(found.path, table, sys, proc)[0]]
    except (TargetError, OSError, ValueError) as error:
        return layer("unseen", f"cannot be read: {_reason(error)}"), []
    return layer("thin" if found.thin else "plain", found.thin), below


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
