"""Disks that are present at the same time and report the same id, so that nothing tells their profiles apart."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.devices.names import clean_text, id_and_name
from aio_tuned.errors import TargetError

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.device import Device


def are_clones(one: Device, other: Device) -> bool:
    """Return whether two devices report the same identity: all drives of some models have one wwid, but serials."""
    return (one.id, one.model, one.serial) == (other.id, other.model, other.serial)


def find_clones(device: Device, sys: Path = sysfs.SYS) -> tuple[str, ...]:
    """Return the kernel's names of the other disks of this kind that report the device's id, model and serial.

    Hidden paths of a multipath namespace are that namespace. The kernel itself lets no two dm volumes have one uuid.
    """
    if device.sys_name.startswith("dm-"):
        return ()
    found = set()
    for entry in (sys / "class/block").glob(f"{device.sys_name[:2]}*"):  # of one driver
        if entry.name == device.sys_name or (entry / "partition").exists():
            continue
        number = sysfs.attribute(entry, "dev")
        with contextlib.suppress(TargetError, ValueError, OSError):
            if sysfs.attribute(entry, "hidden") != "1" and sysfs.size_bytes(number, sys):
                facts: dict[str, str] = sysfs.who(number, sys)
                if not entry.name.startswith("nvme"):
                    facts |= {f"udev.{key}": value for key, value in sysfs.udev_properties(number).items()}
                model, serial = (clean_text(facts.get(key, "")) for key in ("model", "serial"))
                if (id_and_name(facts)[0], model, serial) == (device.id, device.model, device.serial):
                    found.add(entry.name)
    return tuple(sorted(found))


def describe(names: tuple[str, ...], identifier: str) -> str:
    """Return the finding on disks that report one id."""
    return (
        f"{' and '.join(names)} report the same id ({identifier}): which of them was measured is not known; remove all"
        " but one, or give each a serial number of its own"
    )
