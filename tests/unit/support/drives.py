"""Drives as they appear in /sys and /proc, in a test's own folder: counters, sensors, and members of volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Host:
    """A machine's roots `sys` and `proc`, in a test's own folder."""

    def __init__(self, root: Path) -> None:
        self.sys = root / "sys"
        self.proc = root / "proc"
        for folder in ("dev/block", "class/block", "block"):
            (self.sys / folder).mkdir(parents=True)
        (self.proc / "pressure").mkdir(parents=True)

    def block(self, place: str, number: str) -> Block:
        """Make a block device whose directory is `place` below /sys/devices."""
        directory = self.sys / "devices" / place
        (directory / "queue").mkdir(parents=True)
        (directory / "dev").write_text(f"{number}\n")
        (self.sys / "dev/block" / number).symlink_to(directory)
        for folder in ("class/block", "block"):
            (self.sys / folder / directory.name).symlink_to(directory)
        return Block(directory)

    def pressure(self, total_us: int) -> None:
        lines = (
            f"some avg10=1.00 avg60=0.50 avg300=0.10 total={total_us}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
        )
        (self.proc / "pressure/io").write_text(lines)


class Block:
    """One block device's directory, whose counters begin at 0."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._sectors = [0, 0, 0]
        self._requests = 90
        self.moves()

    def moves(self, read: int = 0, written: int = 0, discarded: int = 0, requests: int = 0) -> None:
        """Add these bytes, and requests, to the device's counters."""
        self._requests += requests
        for place, count in enumerate((read, written, discarded)):
            self._sectors[place] += count // 512
        reads, writes, discards = self._sectors
        words = f"  {self._requests}  91 {reads} 92  93 94 {writes} 95 0 96 97 98 99 {discards} 1 2 3\n"
        (self.directory / "stat").write_text(words)

    def device(self, directory: Path) -> None:
        """Link the device's "device", mostly the controller, to that directory."""
        directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "device").symlink_to(directory)

    def warm(self, place: str, **millidegrees: int) -> None:
        """Set attributes of a sensor at `place` below the block device's directory."""
        hwmon = self.directory / place
        hwmon.mkdir(parents=True, exist_ok=True)
        for name, value in millidegrees.items():
            (hwmon / name).write_text(f"{value}\n")

    def below(self, volume: Block) -> None:
        """Make this device a member of the volume."""
        slaves = volume.directory / "slaves"
        slaves.mkdir(exist_ok=True)
        (slaves / self.directory.name).symlink_to(self.directory)


def namespaces(host: Host, *nsids: int) -> list[Block]:
    """Make namespaces of the drive nvme0, each a disk of its own below the controller."""
    controller = host.sys / "devices/pci0000:00/0000:00:00.0/nvme/nvme0"
    made = []
    for nsid in nsids:
        block = host.block(f"{controller.relative_to(host.sys / 'devices')}/nvme0n{nsid}", f"259:{nsid}")
        block.device(controller)
        made.append(block)
    (controller / "transport").write_text("pcie\n")
    return made


def nvme(host: Host, number: int = 0) -> Block:
    """Make an NVMe drive on PCIe as it appears with a kernel without native multipath, or with one path."""
    function = host.sys / f"devices/pci0000:00/0000:0{number}:00.0"
    controller = function / f"nvme/nvme{number}"
    made = host.block(f"{controller.relative_to(host.sys / 'devices')}/nvme{number}n1", f"259:{number}")
    made.device(controller)
    (controller / "device").symlink_to(function)
    return made
