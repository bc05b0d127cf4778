"""The I/O counters and temperatures of a drive, from /sys and /proc; unknown ones are None."""

from __future__ import annotations

from pathlib import Path

from aio_tuned.devices import sysfs
from aio_tuned.errors import TargetError
from aio_tuned.model.temperature import Temperature

_SECTOR = 512
# Fields of /sys/block/X/stat: sectors read, written and (from Linux 4.18) discarded.
_SECTORS = (2, 6, 13)
# The requests completed: reads, writes, discards, and (from Linux 5.5) flushes.
_REQUESTS = (0, 4, 11, 15)
# Patterns below the block device's "device": the hwmon of the NVMe controller since Linux 5.12, or of a SCSI disk;
# before, that of the controller's PCI function.
_HWMON = ("hwmon[0-9]*", "hwmon/hwmon[0-9]*", "device/hwmon/hwmon[0-9]*")
# Drives without a sensor report 0 K, and without a threshold 65535 K.
_HOTTEST_CELSIUS = 150.0


class Sensors:
    """The sensors of one drive or, for a volume, of all disks below it, which are looked up at each call.

    Only the members of a volume count: its own counters do not show other I/O to the members. A mirror's writes count
    twice, because they keep two drives busy.
    """

    def __init__(self, device_number: str, sys: Path = sysfs.SYS, proc: Path = Path("/proc")) -> None:
        self._number = device_number
        self._sys = sys
        self._proc = proc

    def moved_bytes(self) -> int | None:
        """Return the bytes read, written and discarded since the drive appeared, by all processes.

        All namespaces of the drive count, because they share its throughput. Return None if a disk does not count them.
        """
        sectors = self._counted(_SECTORS)
        return None if sectors is None else _SECTOR * sectors

    def requests(self) -> int | None:
        """Return the requests that the drive has completed since it appeared, counted as in moved_bytes()."""
        return self._counted(_REQUESTS)

    def neighbours_moved_bytes(self) -> int:
        """Return the bytes that the drive's other namespaces have moved; one without counters counts as 0."""
        return _SECTOR * self._neighbours_counted(_SECTORS)

    def _counted(self, places: tuple[int, ...]) -> int | None:
        """Return the sum of these fields over all namespaces of the drive; None if its own have no counters."""
        counts = [_sum(disk, places) for disk in self._disks()]
        known = [count for count in counts if count is not None]
        return sum(known) + self._neighbours_counted(places) if known and len(known) == len(counts) else None

    def _neighbours_counted(self, places: tuple[int, ...]) -> int:
        return sum(_sum(disk, places) or 0 for disk in self._neighbours())

    def in_flight(self) -> int:
        """Return the number of requests that the drive has not answered yet; 0 if unknown."""
        return sum(
            int(word)
            for disk in self._disks()
            for word in sysfs.attribute(disk, "inflight").split()
            if word.isdecimal()
        )

    def pressure_us(self) -> int | None:
        """Return the microseconds since boot in which a task of the host waited for I/O.

        Return None if the kernel has no PSI.
        """
        for line in sysfs.attribute(self._proc, "pressure/io").splitlines():
            kind, *words = line.split()
            total = next((word for word in words if word.startswith("total=")), "").removeprefix("total=")
            if kind == "some" and total.isdecimal():
                return int(total)
        return None

    def temperatures(self) -> tuple[Temperature, ...]:
        """Return the reading of each sensor found; block until the drive answers the driver's requests."""
        return tuple(
            Temperature(celsius=celsius, warning_celsius=_celsius(hwmon, "temp1_max"))
            for disk in self._disks()
            for pattern in _HWMON
            for hwmon in sorted((disk / "device").glob(pattern))
            if (celsius := _celsius(hwmon, "temp1_input")) is not None
        )

    def _disks(self) -> tuple[Path, ...]:
        """Return the /sys directories with the drive's counters; () once it is removed."""
        try:
            found = sysfs.directory(self._number, self._sys)
            members = sysfs.members(self._number, self._sys)
        except TargetError:
            return ()
        disks = [(self._sys / "class/block" / name).resolve() for name in members] or [found]
        return tuple(path for disk in disks for path in sysfs.counting(disk))

    def _neighbours(self) -> tuple[Path, ...]:
        """Return the /sys directories with the counters of the drive's other namespaces."""
        try:
            found = sysfs.neighbours(self._number, self._sys)
        except TargetError:
            return ()
        disks = [(self._sys / "class/block" / name).resolve() for name in found]
        return tuple(path for disk in disks for path in sysfs.counting(disk))


def _sum(disk: Path, places: tuple[int, ...]) -> int | None:
    """Return the sum of these fields of the disk's counters, without missing fields; None if it keeps no counters."""
    words = sysfs.attribute(disk, "stat").split()
    if len(words) <= _SECTORS[1] or sysfs.attribute(disk, "queue/iostats") == "0":
        return None
    return sum(int(words[place]) for place in places if place < len(words))


def _celsius(hwmon: Path, name: str) -> float | None:
    try:
        celsius = int(sysfs.attribute(hwmon, name)) / 1000
    except ValueError:  # no such file, or the drive did not answer
        return None
    return celsius if 0 < celsius < _HOTTEST_CELSIUS else None
