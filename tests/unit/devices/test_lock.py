"""The locks of a sweep, on files in the place of nodes."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices.lock import lock_device
from aio_tuned.errors import BusyError
from unit.support.builders import device
from unit.support.host_disk import known_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aio_tuned.model.device import Device

NAMES = ("nvme0n1", "nvme0n2", "nvme0n3", "nvme9n1")
KNOWN = known_disk()

pytestmark = pytest.mark.skipif(not KNOWN, reason="this machine has no disk")


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """A folder of nodes."""
    for name in NAMES:
        (tmp_path / name).touch()
    return tmp_path


def namespace(dev: Path, name: str) -> Device:
    """One of the three namespaces of nvme0."""
    others = tuple(one for one in NAMES[:3] if one != name)
    return device(node=dev / name, sys_name=name, **KNOWN, neighbours=others)


@contextmanager
def held(node: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(node, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def can_be_locked(node: Path, kind: int) -> bool:
    try:
        with held(node, kind):
            return True
    except BlockingIOError:
        return False


@pytest.mark.parametrize(("first", "second"), [("nvme0n1", "nvme0n2"), ("nvme0n3", "nvme0n2"), ("nvme0n1", "nvme0n1")])
def test_two_sweeps_of_namespaces_of_one_drive_do_not_run_at_once(dev: Path, first: str, second: str) -> None:
    with lock_device(namespace(dev, first)):
        with (
            pytest.raises(BusyError, match=rf"locked by .+ \(process {os.getpid()}\); try again later"),
            lock_device(namespace(dev, second)),
        ):
            pass
        with lock_device(device(node=dev / "nvme9n1", **KNOWN)):
            pass
    with lock_device(namespace(dev, second)):
        pass


def test_udev_may_probe_the_other_namespaces_and_nobody_partitions_them(dev: Path) -> None:
    with lock_device(namespace(dev, "nvme0n2")):
        assert not can_be_locked(dev / "nvme0n2", fcntl.LOCK_SH)
        for name in ("nvme0n1", "nvme0n3"):
            assert can_be_locked(dev / name, fcntl.LOCK_SH)
            assert not can_be_locked(dev / name, fcntl.LOCK_EX)
        assert can_be_locked(dev / "nvme9n1", fcntl.LOCK_EX)


def test_a_drive_that_the_helper_locks_is_left_to_it(dev: Path) -> None:
    with lock_device(namespace(dev, "nvme0n2"), itself=False):
        assert can_be_locked(dev / "nvme0n2", fcntl.LOCK_EX)
        with pytest.raises(BusyError), lock_device(namespace(dev, "nvme0n1")):
            pass


def test_members_of_a_volume_are_locked_against_all(dev: Path) -> None:
    volume = device(node=dev / "nvme9n1", **KNOWN, members=("nvme0n1",), neighbours=NAMES[1:3])
    with lock_device(volume):
        assert not can_be_locked(dev / "nvme0n1", fcntl.LOCK_SH)
        with pytest.raises(BusyError), lock_device(namespace(dev, "nvme0n3")):
            pass
