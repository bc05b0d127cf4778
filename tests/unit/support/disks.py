"""Disks as the reader finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.reader.types import Disk
from unit.support.builders import profile

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile


def disk_of(known: Profile | None = None) -> Disk:
    """Return the disk that a profile is of."""
    device = (known or profile()).device
    return Disk(
        id=device.id,
        name=device.name,
        model=device.model,
        serial=device.serial,
        size_bytes=device.size_bytes,
        node="/dev/nvme0n1",
        number="259:0",
    )
