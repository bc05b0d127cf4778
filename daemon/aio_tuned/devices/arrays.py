"""Whether the RAID arrays below a device are whole: md by /sys, those of LVM by the device mapper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.devices import device_mapper, sysfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from aio_tuned.model.device import ArrayState

# What md and dm-raid call the I/O of their own that slows that of others.
_SYNCING = ("resync", "recover", "reshape", "check", "repair")
# LVM's names of the parts that hold a RAID volume's data.
_LVM_PART = "_rimage_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """One array: `missing` members, and the `action` that it is busy with, or "" if none.

    `known` is false if only its existence is known.
    """

    name: str
    missing: int = 0
    action: str = ""
    known: bool = True


def below(number: str, sys: Path = sysfs.SYS, dev: Path | None = None) -> tuple[Array, ...]:
    """Return the arrays that a device is or is built on, at any depth; without `dev` no device mapper is asked."""
    found: dict[str, Array] = {}
    for directory in _stack(sysfs.directory(number, sys)):
        array = _md(directory) if (directory / "md").is_dir() else _dm(directory, dev)
        if array:
            found.setdefault(array.name, array)
    return tuple(found.values())


def state(arrays: Iterable[Array]) -> ArrayState:
    """Return what all arrays come to: "" if they are whole and at rest, or if there are none."""
    arrays = tuple(arrays)
    missing, syncing = any(array.missing for array in arrays), any(array.action for array in arrays)
    if missing:
        return "rebuilding" if syncing else "degraded"
    if syncing:
        return "syncing"
    return "" if all(array.known for array in arrays) else "unknown"


def busy(arrays: Iterable[Array]) -> str:
    """Return why a sweep should wait for an array, or ""; what does not end by itself is no reason."""
    return ", ".join(f"{array.name} is busy with {_verb(array.action)}" for array in arrays if array.action)


def doubt(arrays: Sequence[Array]) -> str:
    """Return the finding on figures that are measured now, or "" if the arrays are whole and at rest."""
    said = []
    for array in arrays:
        if array.missing:
            members = "a member" if array.missing == 1 else f"{array.missing} members"
            said.append(f"{array.name} lacks {members}")
        if array.action:
            said.append(f"{array.name} is busy with {_verb(array.action)}")
    if said:
        return f"{', '.join(said)}; the figures are not those of the whole array; tune again when it is whole"
    unknown = [array.name for array in arrays if not array.known]
    if unknown:
        return (
            f"{', '.join(unknown)}: the RAID's state cannot be read without CAP_SYS_ADMIN; a member may be missing or"
            " in a resync; run `aio-tuned tune` as root"
        )
    return ""


def _verb(action: str) -> str:
    return {"recover": "a rebuild", "check": "a check", "repair": "a repair"}.get(action, f"a {action}")


def _stack(directory: Path) -> Iterator[Path]:
    """Yield a device and all below it; a partition stands for its disk, too."""
    yield directory
    if (directory / "partition").exists():
        yield from _stack(directory.parent)
    for slave in sysfs.names(directory / "slaves"):
        yield from _stack((directory / "slaves" / slave).resolve())


def _md(directory: Path) -> Array:
    """Return an md array; one without redundancy has neither attribute, and is whole or not there."""
    missing, action = (sysfs.attribute(directory, f"md/{name}") for name in ("degraded", "sync_action"))
    # An array that was not written yet since it was assembled begins its resync with the first write.
    pending = sysfs.attribute(directory, "md/resync_start").isdigit()
    return Array(
        name=directory.name,
        missing=int(missing) if missing.isdigit() else 0,
        action=action if action in _SYNCING else "resync" if pending else "",
    )


def _dm(directory: Path, dev: Path | None) -> Array | None:
    """Return the array that a device-mapper device is, or None."""
    name = sysfs.attribute(directory, "dm/name")
    if not name:
        return None
    try:
        found = device_mapper.targets(sysfs.attribute(directory, "dev"), dev, status=True) if dev else None
    except OSError:
        found = None
    for target in found or ():
        if array := from_status(name, target.type, target.text):
            return array
    parts = (sysfs.attribute(directory, f"slaves/{slave}/dm/name") for slave in sysfs.names(directory / "slaves"))
    if found is None and any(_LVM_PART in part for part in parts):
        return Array(name=name, known=False)
    return None


def from_status(name: str, kind: str, text: str) -> Array | None:
    """Return the array that a target's status line describes; None for a target of another type."""
    words = text.split()
    if kind == "raid":
        # raid1 2 Aa 4096/131072 resync 0: a letter for each member (A in sync, a not yet, D dead), progress, action.
        try:
            _, _, health, progress, action = words[:5]
        except ValueError:
            return Array(name=name, known=False)
        done, _, total = progress.partition("/")
        busy_with = action if action in _SYNCING else "resync" if done != total else ""
        return Array(name=name, missing=sum(letter in "D-" for letter in health), action=busy_with)
    if kind == "mirror":
        # 2 253:1 253:2 12/128 1 AA 1 core: members, their numbers, progress, one word of health.
        try:
            count = int(words[0])
            progress, health = words[count + 1], words[count + 3]
        except (ValueError, IndexError):
            return Array(name=name, known=False)
        done, _, total = progress.partition("/")
        missing = sum(letter != "A" for letter in health)
        return Array(name=name, missing=missing, action="resync" if done != total else "")
    return None
