"""The record of a raw write: the drive, the range of bytes that a helper overwrites, and the key in those sectors.

The record is durable before the first byte is written, and removed once the helper has zeroed the range again. If the
helper is killed, a later sweep finds the range by the record, and zeroes only sectors with the key.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.errors import BusyError, PublishError
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model.device import Device
    from aio_tuned.model.target import Target

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawWriteRecord:
    """One raw write; `pid` is the helper's, 0 until it runs, and `started` its start in ticks since the boot."""

    device_id: str
    serial: str
    size_bytes: int
    offset_bytes: int
    span_bytes: int
    key: str
    pid: int = 0
    started: int = 0
    boot_id: str = ""

    def is_of(self, device: Device) -> bool:
        """Return whether the device is the one that was written, by id (wwid), serial number and size."""
        return (self.device_id, self.serial, self.size_bytes) == (device.id, device.serial, device.size_bytes)

    def written_by(self, pid: int, proc: Path = _PROC) -> RawWriteRecord:
        """Return the record with the helper's pid, start and boot, which together identify it."""
        return replace(self, pid=pid, started=_started(pid, proc), boot_id=sysfs.boot_id(proc))

    def is_written(self, proc: Path = _PROC) -> bool:
        """Return whether the helper is still running."""
        return self.pid > 0 and self.boot_id == sysfs.boot_id(proc) and self.started == _started(self.pid, proc)


def new(device: Device, target: Target) -> RawWriteRecord:
    """Return a record for a new raw write, with a new random key."""
    return RawWriteRecord(
        device_id=device.id,
        serial=device.serial,
        size_bytes=device.size_bytes,
        offset_bytes=target.offset_bytes,
        span_bytes=target.span_bytes,
        key=secrets.token_hex(16),
    )


def _started(pid: int, proc: Path) -> int:
    """Return the start of a process in ticks since the boot, -1 if it has ended; a pid alone may be reused."""
    try:
        words = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return -1 if words[0] in "ZX" else int(words[19])
    except (OSError, ValueError, IndexError):
        return -1


def _path(state: Path, device_id: str) -> Path:
    return state / "raw-writes" / f"{hashlib.sha256(device_id.encode()).hexdigest()[:32]}.json"


def _make_folder(state: Path) -> None:
    """Create the folder of records, durably, if it is missing; raise PublishError if that fails."""
    folder = _path(state, "").parent
    if folder.is_dir():
        return
    atomic_file.make_folder(folder)
    try:
        atomic_file.sync_folder(state)
    except OSError as error:
        raise PublishError(f"{state}: cannot be written: {error.strerror}") from None


def save(state: Path, record: RawWriteRecord) -> None:
    """Make the record durable; raise PublishError if that fails, in which case the drive must not be written."""
    _make_folder(state)
    atomic_file.publish(_path(state, record.device_id), json.dumps(asdict(record)), mode=0o600)


def claim(state: Path, record: RawWriteRecord) -> RawWriteRecord:
    """Save the record of a raw write that this process begins, and return it with the process as its writer.

    Raise BusyError if another process writes to the drive, PublishError as save() does.
    """
    mine = record.written_by(os.getpid())
    _make_folder(state)
    with _locked(state):
        known = load(state, record.device_id)
        if known and known.is_written():
            raise BusyError(f"drive in use: process {known.pid} is already writing to it; try again later")
        save(state, mine)
    return mine


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Hold the lock that keeps other processes from claiming or dropping a record."""
    descriptor = os.open(state / "raw-writes", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def load(state: Path, device_id: str) -> RawWriteRecord | None:
    """Return the record of the drive; None if it is missing or cannot be read."""
    try:
        return RawWriteRecord(**json.loads(_path(state, device_id).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def drop(state: Path, record: RawWriteRecord) -> None:
    """Remove the record durably, unless it has another key; raise PublishError if that fails."""
    path = _path(state, record.device_id)
    try:
        with _locked(state):
            known = load(state, record.device_id)
            if known and known.key == record.key:
                path.unlink(missing_ok=True)
                atomic_file.sync_folder(path.parent)
    except OSError as error:
        raise PublishError(f"{path}: cannot be removed: {error.strerror}") from None
