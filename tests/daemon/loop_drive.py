"""A drive that can be plugged in and pulled: a loop device whose name stays the same over that."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import time
from pathlib import Path

from processes import until
from storage import MAKE, make_backing, run

_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A
_AUTOCLEAR, _PARTITIONS, _DIRECT = 4, 8, 16
MIB = 1 << 20
# What is read of a raw device: it looks for the place with the most data.
_FILLED_BYTES = 64 * MIB


class LoopDrive:
    """One that holds data of no kind that anybody knows, or is blank; `name` is its profile's.

    The kernel detaches the device when the last one closes it: at the latest when this process dies, however that
    happens.
    """

    def __init__(self, folder: Path, size_bytes: int, *, sector_bytes: int = 4096, blank: bool = False) -> None:
        self._file = make_backing(size_bytes, folder)
        self.backing = os.open(self._file, os.O_RDWR)
        self.name = f"loop-{str(self._file).strip('/').replace('/', '_')}"
        data = os.urandom(MIB)
        for offset in range(0, 0 if blank else min(size_bytes, _FILLED_BYTES), MIB):
            os.pwrite(self.backing, data, offset)
        self.size_bytes = size_bytes
        self._sector_bytes = sector_bytes
        self._devices: list[int] = []
        self.node = Path()

    @property
    def queue(self) -> Path:
        """The limits of its request queue in /sys, while it is plugged in."""
        return Path("/sys/block") / self.node.name / "queue"

    def plug(self) -> Path:
        """Plug it in; its node is perhaps another one each time. Twice: as two drives that say they are the same."""
        information = struct.pack("=5Q4I160x2Q", *(0,) * 8, _AUTOCLEAR | _PARTITIONS | _DIRECT, 0, 0)
        for _ in range(1000):
            control = os.open("/dev/loop-control", os.O_RDWR)
            try:
                self.node = Path(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}")
            finally:
                os.close(control)
            device = os.open(self.node, os.O_RDWR)
            try:
                configuration = struct.pack("=2I", self.backing, self._sector_bytes) + information + bytes(64)
                fcntl.ioctl(device, _CONFIGURE, configuration)
            except OSError:  # somebody else was quicker
                os.close(device)
                time.sleep(0.01)
                continue
            # Closed only by pull(); not open for writing, which mkfs would have to share.
            self._devices.append(os.open(self.node, os.O_RDONLY))
            os.close(device)
            return self.node
        raise OSError("no loop device can be had")

    def pull(self, *, held: bool = False) -> None:
        """Pull it out. It goes when nobody else holds it: at once or soon, unless `held` says that somebody does."""
        while self._devices:
            os.close(self._devices.pop())
        if not held:
            # udevd, where it runs, may be looking at it.
            assert until(lambda: not self._is_there()), f"somebody holds {self.node}"

    def _is_there(self) -> bool:
        """Whether the node is that of this drive's file."""
        try:
            name = (self.queue.parent / "loop/backing_file").read_text()
        except OSError:
            return False
        return Path(name.strip()) == self._file

    def format(self) -> None:
        """Put a filesystem on it."""
        run(*MAKE["ext4"], self.node)

    def close(self) -> None:
        """Throw it away."""
        self.pull(held=True)
        os.close(self.backing)
        self._file.unlink()

    # --- its bytes -------------------------------------------------------------------------------------------

    def write(self, offset: int, data: bytes) -> None:
        """Put the bytes there, past every cache."""
        with self.node.open("r+b", buffering=0) as device:
            device.seek(offset)
            device.write(data)
            os.fsync(device.fileno())

    def digest(self) -> str:
        """Digest every byte that it has."""
        os.fsync(self._devices[-1])
        return digest(self.backing)

    def blank(self) -> bool:
        """Whether every byte is zero."""
        return self.digest() == hashlib.sha256().hexdigest()


def digest(file: int) -> str:
    """Digest every byte of the file; a hole and written zeros are the same."""
    found = hashlib.sha256()
    size_bytes, offset, zeros = os.fstat(file).st_size, 0, bytes(MIB)
    while offset < size_bytes:
        try:
            offset = os.lseek(file, offset, os.SEEK_DATA) // MIB * MIB
        except OSError:  # ENXIO: nothing but a hole up to the end
            break
        data = os.pread(file, MIB, offset)
        if data != zeros[: len(data)]:
            found.update(offset.to_bytes(8, "little") + data)
        offset += MIB
    return found.hexdigest()
