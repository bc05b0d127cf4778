"""The state of the RAID arrays below a device: md from /sys, those of LVM from the device mapper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.devices import device_mapper, sysfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from aio_tuned.model.device import ArrayState

# The actions of md and dm-raid whose internal I/O slows all other I/O.
_SYNCING = ("resync", "recover", "reshape", "check", "repair")
# LVM puts this into the names of the subvolumes that hold a RAID volume's data.
_LVM_PART = "_rimage_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """An array with `missing` members; `action` is the synchronization in progress, or "".

    `known` is false if the state of the array cannot be read.
    """

    name: str
    missing: int = 0
    action: str = ""
    known: bool = True


def below(number: str, sys: Path = sysfs.SYS, dev: Path | None = None) -> tuple[Array, ...]:
    """Return the arrays that a device is or is built on, at any depth; query the device mapper only with `dev`."""
    found: dict[str, Array] = {}
    for directory in _stack(sysfs.directory(number, sys)):
        array = _md(directory) if (directory / "md").is_dir() else _dm(directory, dev)
        if array:
            found.setdefault(array.name, array)
    return tuple(found.values())


def state(arrays: Iterable[Array]) -> ArrayState:
    """Return the combined state of the arrays; "" if all are complete and idle, or without any."""
    arrays = tuple(arrays)
    missing, syncing = any(array.missing for array in arrays), any(array.action for array in arrays)
    if missing:
        return "rebuilding" if syncing else "degraded"
    if syncing:
        return "syncing"
    return "" if all(array.known for array in arrays) else "unknown"


def busy(arrays: Iterable[Array]) -> str:
    """Return the reason to postpone a sweep, or "".

    A missing member is no reason, because waiting does not bring it back.
    """
    return ", ".join(f"{array.name} {_in_progress(array.action)}" for array in arrays if array.action)


def doubt(arrays: Sequence[Array]) -> str:
    """Return the finding on measurements that are made now, or "" if the arrays are complete and idle."""
    said = []
    for array in arrays:
        if array.missing:
            members = "a member" if array.missing == 1 else f"{array.missing} members"
            said.append(f"{array.name} is missing {members}")
        if array.action:
            said.append(f"{array.name} {_in_progress(array.action)}")
    if said:
        return f"{', '.join(said)}; figures are of an incomplete or busy array; tune again when it is complete and idle"
    unknown = [array.name for array in arrays if not array.known]
    if unknown:
        return (
            f"{', '.join(unknown)}: RAID state cannot be read without CAP_SYS_ADMIN; a member may be missing or"
            " resyncing; run `aio-tuned tune` as root"
        )
    return ""


def _in_progress(action: str) -> str:
    done = {"recover": "rebuilt", "resync": "resynced", "reshape": "reshaped", "check": "checked", "repair": "repaired"}
    return f"is being {done[action]}"


def _stack(directory: Path) -> Iterator[Path]:
    """Yield a device and all devices below it; the device below a partition is its disk."""
    yield directory
    if (directory / "partition").exists():
        yield from _stack(directory.parent)
    for slave in sysfs.names(directory / "slaves"):
        yield from _stack((directory / "slaves" / slave).resolve())


def _md(directory: Path) -> Array:
    """Return an md array; one without redundancy has neither attribute, because it does not run incomplete."""
    missing, action = (sysfs.attribute(directory, f"md/{name}") for name in ("degraded", "sync_action"))
    # The resync of an array that has not been written since its assembly begins with the first write.
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
