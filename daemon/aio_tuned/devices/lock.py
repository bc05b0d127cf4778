"""The lock on a whole device for the duration of a sweep."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.devices.lock_holder import find_holder
from aio_tuned.errors import BusyError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aio_tuned.model.device import Device


_TRIES = 10
_PAUSE_S = 0.1


def check_same(device: Device) -> None:
    """Raise TargetError if the disk's sequence number has changed, which means that another disk has its name."""
    if sysfs.diskseq(device.device_number) != device.diskseq:
        raise TargetError(
            f"{device.node}: replaced by another drive since the sweep began; nothing was published; run the sweep"
            " again"
        )


@contextmanager
def lock_device(device: Device, *, itself: bool = True) -> Iterator[None]:
    """Hold flock(LOCK_EX) on the device node, as systemd's BLOCK_DEVICE_LOCKING requires.

    The lock keeps other sweeps and partitioning tools away, and udev from probing; it ends with the process. Lock the
    members of a volume too, because sweeps of two volumes on one drive disturb each other. Take LOCK_SH on the other
    namespaces of the drive, which keeps away only their sweeps and partitioning tools. Without `itself`, leave the lock
    on the device to another process. Raise BusyError if another process holds one of the locks, TargetError if the
    device was replaced.
    """
    folder = device.node.parent
    wanted = {folder / name: fcntl.LOCK_SH for name in device.neighbours}
    wanted |= {folder / name: fcntl.LOCK_EX for name in device.members}
    if itself:
        wanted[device.node] = fcntl.LOCK_EX
    with ExitStack() as held:
        # All sweeps lock in this order, so that of two that begin at once one gets all of its locks.
        for node, kind in sorted(wanted.items()):
            held.enter_context(_lock(node, kind))
        check_same(device)
        yield


@contextmanager
def _lock(node: Path, kind: int) -> Iterator[None]:
    """Hold the lock of one node.

    Continue without it if the node is missing or may not be opened, as without root or in a container.
    """
    try:
        descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (PermissionError, FileNotFoundError):
        yield
        return
    except OSError as error:
        raise TargetError(f"{node}: {error.strerror}") from None
    try:
        # udev locks a disk for a moment while probing it.
        for attempt in range(_TRIES):
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _TRIES - 1:
                    holder = find_holder(descriptor) or "another sweep or a partitioning tool"
                    raise BusyError(f"{node}: locked by {holder}; try again later") from None
                time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(descriptor)
