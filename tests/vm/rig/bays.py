"""The guest's drive bays: NVMe drives that are plugged in, slowed down, broken and pulled on command.

A drive is -device nvme <- throttle node <- [blkdebug node while it is broken] <- file. The guest sees only I/O
speed and errors; serials are the test's choice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import struct
import time
from typing import TYPE_CHECKING, Any, Literal

from vm.rig.errors import RigError
from vm.rig.guest_shell import PATIENCE, GuestShell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vm.rig.qmp import Qmp

_LIMITS = frozenset({"read_bps", "write_bps", "total_bps", "read_iops", "write_iops", "total_iops"})
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_PCI_EXPRESS = 0x10
_SLOT_CONTROL = 0x18


def size_bytes(size: str | int) -> int:
    """Return the bytes of "512M", "1G" or 4096 (binary units)."""
    if isinstance(size, int):
        return size
    unit = _UNITS.get(size[-1].upper())
    return int(size[:-1]) * unit if unit else int(size)


def _groups_limits(limits: Mapping[str, float]) -> dict[str, int]:
    """Return the limits of a throttle-group from hotplug()'s names: read_bps -> bps-read."""
    if unknown := set(limits) - _LIMITS:
        raise TypeError(f"unknown limits: {sorted(unknown)}")
    return {"-".join(reversed(name.split("_"))): int(limits.get(name) or 0) for name in sorted(_LIMITS)}


@dataclasses.dataclass
class Drive:
    """A plugged-in drive as the rig made it and as the guest named it."""

    serial: str
    size_bytes: int
    block_size: int
    backing: Literal["file", "null"]
    path: Path | None  # of the file that holds its data, on the host
    port: str
    extra: Mapping[str, object]
    limits: dict[str, float]
    latency_s: float = 0.0
    ident: str = ""  # QEMU's
    dev: str = ""  # "/dev/nvme0n1"
    ctrl: str = ""  # "nvme0"
    seconds: float = 0.0  # from device_add until the block device was usable and udev had settled
    faults: int = 0  # blkdebug nodes made so far

    @property
    def node(self) -> str:
        return f"{self.ident}-thr"

    @property
    def base(self) -> str:
        return f"{self.ident}-base"

    @property
    def group(self) -> str:
        return f"{self.ident}-grp"


class Bays(GuestShell):
    """A guest with hot-pluggable slots."""

    qmp: Qmp
    ports: int
    hotplug_mode: Literal["acpi", "pciehp"]
    data: Path  # where drives' files are

    def __init__(self) -> None:
        self.drives: dict[str, Drive] = {}
        self._made = 0

    def _wait_for(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        raise NotImplementedError

    # --- plugging in ---------------------------------------------------------------------------------------

    def hotplug(
        self,
        serial: str,
        size: str | int = "1G",
        *,
        backing: Literal["file", "null"] = "file",
        path: Path | None = None,
        block_size: int = 512,
        extra: Mapping[str, object] | None = None,
        latency_s: float = 0.0,
        **limits: float,
    ) -> Drive:
        """Plug in an NVMe drive and wait until the guest can use it.

        limits: read_bps, write_bps, total_bps (bytes/s), read_iops, write_iops, total_iops; 0 is unlimited
        latency_s: of every request, however many are in flight, so that a drive is as fast in short visits as in long
            ones, which its limits let through at once
        backing: "null" stores nothing and reads zeros, at any size
        path: the file with its data, if it has been plugged in before
        extra: further properties of -device nvme
        """
        drive = self.new_drive(
            serial, size, backing=backing, path=path, block_size=block_size, extra=extra, latency_s=latency_s, **limits
        )
        start = time.monotonic()
        self.attach(drive)
        self.find(drive, 60)
        drive.seconds = time.monotonic() - start
        return drive

    def new_drive(
        self,
        serial: str,
        size: str | int,
        *,
        backing: Literal["file", "null"] = "file",
        path: Path | None = None,
        block_size: int = 512,
        extra: Mapping[str, object] | None = None,
        latency_s: float = 0.0,
        **limits: float,
    ) -> Drive:
        """Make a drive without plugging it in; the arguments are those of hotplug()."""
        if serial in self.drives:
            raise ValueError(f"serial {serial} is plugged in already")
        _groups_limits(limits)
        used = {drive.port for drive in self.drives.values()}
        # The slot that has been empty longest: one powers down for a second after its drive was pulled.
        turn = [f"rp{(self._made + slot) % self.ports}" for slot in range(self.ports)]
        port = next((name for name in turn if name not in used), None)
        if port is None:
            raise ValueError("no free port")
        return Drive(
            serial=serial,
            size_bytes=size_bytes(size),
            block_size=block_size,
            backing=backing,
            path=None if backing == "null" else path or self.data / f"{serial}.raw",
            port=port,
            extra=extra or {},
            limits=dict(limits),
            latency_s=latency_s,
        )

    def attach(self, drive: Drive) -> None:
        """Plug the drive in; find() waits for the guest."""
        self._made += 1
        drive.ident, drive.faults = f"nvme-{self._made}", 0
        base: dict[str, Any] = {"driver": "null-co", "size": drive.size_bytes, "read-zeroes": True}
        if drive.path is not None:
            with drive.path.open("ab") as file:
                file.truncate(drive.size_bytes)
            base = {"driver": "file", "filename": str(drive.path), "discard": "unmap"}
        if drive.latency_s:
            # A request is done when both children have done it. The last one's data count, as long as no two agree.
            slow = {"driver": "null-co", "size": drive.size_bytes, "latency-ns": round(drive.latency_s * 1e9)}
            base = {"driver": "quorum", "vote-threshold": 1, "children": [slow, base]}
        self.qmp.command("object-add", qom_type="throttle-group", id=drive.group, limits=_groups_limits(drive.limits))
        self.qmp.command("blockdev-add", node_name=drive.base, **base)
        self.qmp.command(
            "blockdev-add", node_name=drive.node, driver="throttle", throttle_group=drive.group, file=drive.base
        )
        self.qmp.command(
            "device_add",
            driver="nvme",
            id=drive.ident,
            serial=drive.serial,
            drive=drive.node,
            bus=drive.port,
            logical_block_size=drive.block_size,
            physical_block_size=drive.block_size,
            **drive.extra,
        )
        self.drives[drive.serial] = drive

    def find(self, drive: Drive, timeout_s: float) -> None:
        """Wait until the guest has the drive's block device and udev has handled it; note their names."""
        script = f"""
            for round in $(seq {int(timeout_s * PATIENCE * 20)}); do
                for block in /sys/block/nvme*n*; do
                    name=${{block##*/}}
                    [ -e $block/device/serial ] && [ -b "/dev/$name" ] || continue
                    [ "$(sed 's/ *$//' $block/device/serial)" = {shlex.quote(drive.serial)} ] || continue
                    udevadm settle -t 10
                    for at in $block/device $block/device/nvme*; do
                        [ -e $at/transport ] && echo $(basename $(readlink -f $at)) $name && exit 0
                    done
                done
                sleep .05
            done
            exit 1"""
        job = self.run(script, timeout_s + 30)
        if job.status:
            raise RigError(
                f"drive {drive.serial} did not appear in {timeout_s} s:\n" + self.run("dmesg | tail -20").out
            )
        drive.ctrl, name = job.out.split()
        drive.dev = f"/dev/{name}"

    # --- pulling out ---------------------------------------------------------------------------------------

    def unplug(self, serial: str, *, surprise: bool = False, settle: bool = True, timeout_s: float = 60) -> None:
        """Remove a drive; wait until QEMU has released it and, with `settle`, until the guest has finished too.

        surprise=False: an orderly removal: the guest is asked, and drains what is in flight. surprise=True: pulled
        without asking ("pciehp" only): presence goes away, the driver finds the device gone, requests in flight
        fail. The data survive in drive.path until stop().
        """
        drive = self.drives[serial]
        since = len(self.qmp.events)
        if surprise:
            self._yank(drive)
        else:
            self.qmp.command("device_del", id=drive.ident)
        self.qmp.wait_event("DEVICE_DELETED", timeout_s * PATIENCE, since, device=drive.ident)
        self._forget(drive)
        if not settle:
            return
        if surprise:
            # The driver powers the slot down over the next second, and QEMU would take that for the removal of a
            # drive put back meanwhile.
            self._wait_for(lambda: self._slot(drive)[2] & 0x0700 == 0x0700, timeout_s, "the slot to power down")
        self.run("udevadm settle -t 10")

    def _yank(self, drive: Drive) -> None:
        """Surprise removal.

        QEMU has no command for it, but drops the device at once, and sets Presence Detect Changed, when a slot's
        power and power indicator are both switched off. So switch them off in the port's config space, with the port's
        interrupt masked so that the guest's hot-plug driver does not notice, then restore everything. The driver then
        sees a powered slot whose card was removed.
        """
        if self.hotplug_mode != "pciehp":
            raise ValueError('a surprise removal needs hotplug="pciehp"')
        # Requests still arriving at full speed while the device goes crash QEMU 7.2 about one time in three. So
        # stall it first: what is in flight stays in flight until the pull.
        self._set_limits(drive, {"total_iops": 1})
        time.sleep(0.2)
        path, register, control = self._slot(drive)
        off = (control | 0x0400 | 0x0300) & ~0x0020  # power, indicator off; no interrupt
        for value in (off, control):
            self.agent.call("put", struct.pack("<H", value), path=path, offset=register, mode=None)

    def _slot(self, drive: Drive) -> tuple[str, int, int]:
        """Return (config file of the drive's port in the guest, offset of Slot Control, its value)."""
        slot = int(drive.port[2:])
        path = f"/sys/bus/pci/devices/0000:00:{0x10 + slot // 8:02x}.{slot % 8}/config"
        config = self.agent.call("get", path=path, offset=0, size=256)[1]
        capability = config[0x34]
        while capability and config[capability] != _PCI_EXPRESS:
            capability = config[capability + 1]
        register = capability + _SLOT_CONTROL
        return path, register, struct.unpack_from("<H", config, register)[0]

    def _forget(self, drive: Drive) -> None:
        faulty = [f"{drive.ident}-dbg{number}" for number in range(drive.faults, 0, -1)]
        for node in (drive.node, *faulty, drive.base):
            with contextlib.suppress(RigError):
                self.qmp.command("blockdev-del", node_name=node)
        with contextlib.suppress(RigError):
            self.qmp.command("object-del", id=drive.group)
        del self.drives[drive.serial]

    # --- slowing down and breaking -------------------------------------------------------------------------

    def _set_limits(self, drive: Drive, limits: Mapping[str, float]) -> None:
        path = f"/objects/{drive.group}"
        self.qmp.command("qom-set", path=path, property="limits", value=_groups_limits(limits))

    def throttle(self, serial: str, **limits: float) -> None:
        """Change these limits of a drive (hotplug()'s names); other limits stay."""
        drive = self.drives[serial]
        drive.limits.update(limits)
        self._set_limits(drive, drive.limits)

    def smart_warning(self, serial: str, bits: int) -> None:
        """Set the SMART critical-warning byte: 1 spare low, 2 temperature, 4 degraded, 8 read-only."""
        path = f"/machine/peripheral/{self.drives[serial].ident}"
        self.qmp.command("qom-set", path=path, property="smart_critical_warning", value=bits)

    def inject_errors(self, serial: str, io: str = "read", sector: int | None = None) -> None:
        """Make a drive fail until clear_errors(): io is read, write, flush, discard or write-zeroes.

        sector: only requests that cover this 512-byte sector; default every request. The drive reports Unrecovered
        Read or Write Fault, which Linux passes on as ENODATA to O_DIRECT requests and as EIO to buffered ones.
        """
        drive = self.drives[serial]
        rule: dict[str, object] = {
            "event": "none",
            "iotype": io,
            "errno": 5,
            "once": False,  # one failure would be hidden by the driver's retries
            "immediately": False,
        }
        if sector is not None:
            rule["sector"] = sector
        drive.faults += 1
        node = f"{drive.ident}-dbg{drive.faults}"
        self.qmp.command("blockdev-add", node_name=node, driver="blkdebug", image=drive.base, inject_error=[rule])
        self._stand_on(drive, node)

    def clear_errors(self, serial: str) -> None:
        """Undo inject_errors()."""
        self._stand_on(self.drives[serial], self.drives[serial].base)

    def _stand_on(self, drive: Drive, child: str) -> None:
        options = {"driver": "throttle", "node-name": drive.node, "throttle-group": drive.group, "file": child}
        self.qmp.command("blockdev-reopen", options=[options])
