"""Adapter: a lock on the whole device for as long as a sweep lasts."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aio_tuned import sysfs
from aio_tuned.errors import BusyError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model import Device


def check_same(device: Device) -> None:
    """TargetError if the kernel's number of the disk has changed: it was pulled, and another took its name."""
    if sysfs.diskseq(device.device_number) != device.diskseq:
        raise TargetError(
            f"{device.node} is not the disk any more that it was when the sweep began: nothing is published"
        )


@contextmanager
def claim(device: Device) -> Iterator[None]:
    """Hold flock(LOCK_EX) on the device node, as systemd's BLOCK_DEVICE_LOCKING asks of whoever is busy with a disk.

    It keeps a second sweep and partitioning tools away, and udev from probing; it goes with the process. BusyError if
    somebody holds it. Where the node may not be opened (no root) the sweep goes on without.
    """
    try:
        descriptor = os.open(device.node, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError:
        yield
        return
    except OSError as error:
        raise TargetError(f"{device.node}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"{device.node} is locked: another sweep or a partitioning tool is busy with it; try again later"
            ) from None
        check_same(device)
        yield
    finally:
        os.close(descriptor)
