#!/usr/bin/env python3
"""Type README's commands on a fresh Debian 12, and print what a terminal shows.

    sudo .venv/bin/python tests/vm/newcomer.py bare     # a bare root folder of this machine: no systemd, its real disk
    sudo .venv/bin/python tests/vm/newcomer.py guest    # a guest with systemd, into which a 200 MB/s drive is plugged

The commands are read from README: those of "Quick start" except `make test` are typed in the bare root folder, those of
"Daemon" in the guest. Both need Debian's archive and PyPI, the guest through this machine. They take 5 minutes, and 15
in the guest, where everything is emulated. The newcomer clones the commit that is checked out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "daemon")]

from documents import commands  # noqa: E402 - the path comes first
from vm.rig.machine import SUITE, VM, build_image  # noqa: E402 - the path comes first

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Colors, cursor movements, and the mark of `script` for the end of its input.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|\x00|\^@")
# The first command of make builds everything, under emulation.
_LONGEST_S = 3600.0

_README = PROJECT / "README.md"
_MAKE = "sudo apt-get install -y make"
# It takes longer than all other commands together.
_LEFT_OUT = ("sudo make test",)
_DRIVE = (
    "sudo mkfs.ext4 -q /dev/nvme0n1 && sudo mkdir -p /mnt/nvme && sudo mount /dev/nvme0n1 /mnt/nvme",
    "aio-tuned status",
    "aio-tuned wait /mnt/nvme --timeout 10m",
)
_MEASURED = (
    "aio-tuned get /mnt/nvme",
    "aio-tuned export deepspeed /mnt/nvme",
    "aio-tuned history /mnt/nvme",
    "man aio-tuned | head -n 12",
)


def shown(raw: str) -> str:
    """Return the final content of a terminal's lines."""
    lines = []
    for line in _CONTROL.sub("", raw).replace("\r\n", "\n").split("\n"):
        last = [part for part in line.split("\r") if part.strip()]
        lines.append(last[-1].rstrip() if last else "")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _typed(command: str) -> list[str]:
    """Return the words that run a command in the newcomer's clone, on a terminal of 132 columns without a cursor."""
    on_terminal = f"cd aio-tuned && stty cols 132 2>/dev/null; export TERM=dumb; {command}"
    return ["su", "-", "you", "-c", f"script --quiet --return --command {_quoted(on_terminal)} /dev/null"]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _say(command: str, output: str, status: int, began: float) -> None:
    print(f"$ {command}\n{shown(output)}")
    print(f"[{time.monotonic() - began:.0f} s{f', exit {status}' if status else ''}]\n", flush=True)


def _bundle(folder: Path) -> Path:
    path = folder / "aio-tuned.bundle"
    subprocess.run(["git", "-C", PROJECT, "bundle", "create", "--quiet", path, "HEAD"], check=True)
    return path


_NEWCOMER = (
    "useradd -m -s /bin/bash you && echo 'you ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/you"
    " && su - you -c 'git clone -q /tmp/aio-tuned.bundle aio-tuned' && apt-get -q update"
)


def guest() -> None:
    """Install the package as README says, and plug in a drive afterwards."""
    os.environ.update({"VMRIG_FRESH": "1", "VMRIG_DISK_SIZE": "8G"})
    network = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
    with VM(build_image(), boot=True, mem_mib=3072, qemu_args=network) as vm, tempfile.TemporaryDirectory() as folder:
        vm.sh(
            "modprobe virtio_net && ip link set lo up && nic=$(ls /sys/class/net | grep -v lo)"
            " && ip link set $nic up && ip address add 10.0.2.15/24 dev $nic && ip route add default via 10.0.2.2"
            " && echo nameserver 10.0.2.3 >/etc/resolv.conf"
        )
        vm.push(_CERTIFICATES, str(_CERTIFICATES))
        vm.write("/etc/pip.conf", f"[global]\ncert = {_CERTIFICATES}\n")
        vm.push(_bundle(Path(folder)), "/tmp/aio-tuned.bundle")
        vm.sh(_NEWCOMER, 600)
        install, rest = _daemon_commands()
        for command in (_MAKE, *install):
            _type_in(vm, command)
        vm.hotplug("S3XYNX0K1", "1G", read_bps=200e6, write_bps=100e6)
        for command in (*_DRIVE, *rest, *_MEASURED):
            _type_in(vm, command)


def _daemon_commands() -> tuple[list[str], list[str]]:
    """Split README's commands for the daemon at the first one that runs it: those that install, and the rest."""
    listed = commands(_README, "Daemon")
    first = next(place for place, command in enumerate(listed) if "make" not in command and "apt-get" not in command)
    return listed[:first], listed[first:]


def _type_in(vm: VM, command: str) -> None:
    began = time.monotonic()
    done = vm.run(_typed(command), _LONGEST_S)
    _say(command, done.out + done.err, done.status or 0, began)


def bare() -> None:
    """Type README's quick start without systemd, on the disk of this machine."""
    folder = Path(tempfile.mkdtemp(prefix="newcomer-"))
    root = folder / "root"
    try:
        subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include=sudo,git,ca-certificates"),
                *("--aptopt=APT::Install-Recommends false", SUITE, root),
            ],
            check=True,
        )
        (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
        shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost {os.uname().nodename}\n")
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {_CERTIFICATES}\n")
        shutil.copy(_bundle(folder), root / "tmp/aio-tuned.bundle")
        _in_root(root, ["sh", "-c", _NEWCOMER])
        for command in (_MAKE, *(each for each in commands(_README, "Quick start") if each not in _LEFT_OUT)):
            began = time.monotonic()
            done = _in_root(root, _typed(command))
            # Not as text: carriage returns would become line ends.
            _say(command, done.stdout.decode(errors="replace"), done.returncode, began)
    finally:
        shutil.rmtree(folder)


def _in_root(root: Path, words: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command with this folder as its root, in a separate mount namespace, so that nothing stays mounted."""
    prepare = (
        'cd "$0" && mount --bind . . && cd "$0" && mount -t proc proc proc && mount --rbind /sys sys'
        ' && mount --rbind /dev dev && exec chroot . "$@"'
    )
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", prepare, str(root), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=_LONGEST_S,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "xterm", "HOME": "/root"},
    )


if __name__ == "__main__":
    ways = {"bare": bare, "guest": guest}
    if len(sys.argv) != 2 or sys.argv[1] not in ways:
        sys.exit(__doc__)
    ways[sys.argv[1]]()
