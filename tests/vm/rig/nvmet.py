"""NVMe drives made inside the guest: any model string, any number of namespaces.

null_blk devices (in guest RAM) exported by the kernel's NVMe target over TCP to itself. QEMU's own drives are all
"QEMU NVMe Ctrl" with one namespace. Differences that a program can see: transport "tcp", no PCI parent in sysfs,
firmware is the guest's kernel version.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from vm.rig.bays import size_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vm.rig.guest_shell import GuestShell

_PATHS = "c=/sys/kernel/config; t=$c/nvmet/subsystems/nqn.$s; p=$c/nvmet/ports/1"


def connect(
    guest: GuestShell, serial: str, model: str, sizes: Sequence[str | int] = ("64M",), mb_per_s: int = 0
) -> list[str]:
    """Make the drive, and return the names of its namespaces ("/dev/nvme0n1")."""
    lines = [
        "set -e; modprobe -a null_blk nvmet nvmet-tcp nvme-tcp; ip link set lo up",
        f"s={shlex.quote(serial)}; {_PATHS}",
        "mkdir $t; echo 1 > $t/attr_allow_any_host; echo -n $s > $t/attr_serial",
        f"echo -n {shlex.quote(model)} > $t/attr_model",
    ]
    for nsid, size in enumerate(sizes, 1):
        lines += [
            f"b=$c/nullb/$s-{nsid}; mkdir $b; echo {size_bytes(size) >> 20} > $b/size",
            f"echo 1 > $b/memory_backed; echo {mb_per_s} > $b/mbps; echo 1 > $b/power",
            f"n=$t/namespaces/{nsid}; mkdir $n; echo -n /dev/$s-{nsid} > $n/device_path; echo 1 > $n/enable",
        ]
    lines += [
        "if [ ! -d $p ]; then mkdir $p; echo tcp > $p/addr_trtype; echo ipv4 > $p/addr_adrfam",
        "echo 127.0.0.1 > $p/addr_traddr; echo 4420 > $p/addr_trsvcid; fi",
        "ln -s $t $p/subsystems/; nvme connect -t tcp -a 127.0.0.1 -s 4420 -n nqn.$s",
        # nvme0c0n1 and the like are hidden multipath legs without a device node
        "for i in $(seq 100); do sleep .05; set --; for b in /sys/block/nvme*n*; do",
        '[ "$(echo $(cat $b/device/serial))" = $s ] && [ -b /dev/${b##*/} ] && set -- "$@" /dev/${b##*/} || :',
        f"done; [ $# -lt {len(sizes)} ] || break; done; udevadm settle; echo $@",
    ]
    return guest.sh("\n".join(lines)).split()


def disconnect(guest: GuestShell, serial: str) -> None:
    """Remove the drive."""
    guest.sh(
        f"s={shlex.quote(serial)}; {_PATHS}\n"
        "nvme disconnect -n nqn.$s >&2; rm $c/nvmet/ports/*/subsystems/nqn.$s; "
        "rmdir $t/namespaces/* $t; for b in $c/nullb/$s-*; do echo 0 > $b/power; rmdir $b; done; udevadm settle"
    )


def export(guest: GuestShell, serial: str, device: str) -> None:
    """Let the NVMe target open a device of the guest, as for hosts that have not connected yet."""
    guest.sh(
        f"set -e; modprobe -a nvmet nvmet-tcp; s={shlex.quote(serial)}; {_PATHS}\n"
        f"n=$t/namespaces/1; mkdir $t; mkdir $n; echo -n {device} > $n/device_path; echo 1 > $n/enable"
    )


def withdraw(guest: GuestShell, serial: str) -> None:
    """Undo export()."""
    guest.sh(f"s={shlex.quote(serial)}; {_PATHS}\nrmdir $t/namespaces/1 $t")
