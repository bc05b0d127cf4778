"""The capabilities of this process that the kernel honors for the whole host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs

if TYPE_CHECKING:
    from pathlib import Path

IPC_LOCK = 14
SYS_ADMIN = 21
# The map of the initial user namespace; root of another one, as in a rootless container, is an ordinary user here.
_INITIAL = ["0", "0", "4294967295"]


def has(number: int, proc: Path) -> bool:
    """Return whether this process has the capability in the initial user namespace; False if /proc does not tell."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", sysfs.attribute(proc / "self", "status"), re.MULTILINE)
    if effective is None or sysfs.attribute(proc / "self", "uid_map").split() != _INITIAL:
        return False
    return bool(int(effective[1], 16) >> number & 1)
