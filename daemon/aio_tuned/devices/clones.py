"""Disks that are present at the same time and report the same id, so that their profiles cannot be told apart."""

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
    """Return whether two devices report the same identity.

    Serial numbers count too, because all drives of some models have the same wwid.
    """
    return (one.id, one.model, one.serial) == (other.id, other.model, other.serial)


def find_clones(device: Device, sys: Path = sysfs.SYS) -> tuple[str, ...]:
    """Return the kernel names of the other disks of the same driver that report the device's id, model and serial.

    Skip the hidden paths of a multipath namespace, which are that namespace, and dm volumes, whose uuids are unique.
    """
    if device.sys_name.startswith("dm-"):
        return ()
    found = set()
    for entry in (sys / "class/block").glob(f"{device.sys_name[:2]}*"):  # the driver's prefix: nv, sd, vd
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
    """Return the finding on disks that report the same id."""
    return (
        f"{' and '.join(names)} report the same id ({identifier}); the profile may belong to any of them; remove"
        " all but one, or give each a unique serial number"
    )
