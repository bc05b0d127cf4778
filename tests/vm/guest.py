"""A guest with the product installed, and what the tests of this tier ask of it."""

from __future__ import annotations

import json
import random
import shlex
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busy import busy_s
from vm.product import installation
from vm.rig.guest_shell import PATIENCE
from vm.rig.machine import VM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vm.rig.agent import Job
    from vm.rig.bays import Drive

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MIB = 1 << 20
RAW_SIZE = 128 * MIB
SCHEMA = Path(__file__).resolve().parents[2] / "docs/profile.schema.json"
PROFILES = "/etc/aio-tuned"
STATE = "/var/lib/aio-tuned"
# With -mindepth 1 or -type f; its drop-in is the tests' own.
_NOT_CONFIGURATION = f"-not -path '{PROFILES}/aio-tuned.conf*'"
# Emulated drives are not steady to 1 %.
TOLERANT = "[choose]\ntolerance_percent = 5.0\n"

# Two points that differ in what an emulated drive can be seen to differ in, and budgets to match.
QUICK = (
    *("--grid", "block_size=256K,1M", "--grid", "queue_depth=8", "--grid", "io_parallelism=1"),
    *(
        "--grid",
        "overlap_events=true",
        "--grid",
        "single_submit=false",
        "--time-budget",
        f"{busy_s(30):.1f}s",
        "--seed",
        "1",
    ),
)

# Fast enough to be quick, slow enough for the emulator.
READ_BYTES_PER_S = 200e6
WRITE_BYTES_PER_S = 120e6

# What a container has: programs, one volume, /proc, and /sys and /etc/aio-tuned read-only; no /dev, no /run.
_CONTAINER = """
set -e
mount --make-rprivate /
mkdir -p /run/box; mount -t tmpfs box /run/box; cd /run/box
for folder in /usr /bin /lib /lib64; do
    if [ -L $folder ]; then cp -P $folder .$folder; else mkdir -p .$folder; mount --bind $folder .$folder; fi
done
mkdir -p proc sys data etc/aio-tuned
mount --rbind /proc proc
mount --bind /sys sys; mount -o remount,bind,ro sys
mount --bind /etc/aio-tuned etc/aio-tuned; mount -o remount,bind,ro etc/aio-tuned
mount --bind /mnt/x data
exec chroot . /usr/bin/python3 -c '
import json, os
from aio_tuned import reader
assert not os.path.exists("/dev") and not os.path.exists("/run")
print(json.dumps(reader.settings_for("/data").source._asdict()))
'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What a good `aio-tuned tune` left: its JSON, and the profile's own file, read and checked."""

    document: dict[str, Any]
    profile: dict[str, Any]
    file: str
    samples: tuple[dict[str, Any], ...]


def wait_for(job: Job, words: str) -> None:
    """Until the command says so."""
    end = time.monotonic() + 90 * PATIENCE
    while words not in job.output():
        assert job.poll() is None, job.out
        assert time.monotonic() < end, job.output()
        time.sleep(0.2)


def is_limit(found: float, limit: float, let_through: float) -> bool:
    """Whether a figure shows a drive's limit.

    More is what QEMU lets through at once after a pause, as a share of the limit; less is what a busy host makes of it.
    """
    return limit / 2 < found < limit * (1 + let_through)


@cache
def _validator() -> Any:  # noqa: ANN401 - jsonschema's protocol class
    import jsonschema

    schema = json.loads(SCHEMA.read_text())
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def validated(text: str) -> dict[str, Any]:
    """The profile in a file's text, held against docs/profile.schema.json."""
    profile = tomllib.loads(text)
    _validator().validate(profile)
    return profile


class Guest(VM):
    """One Debian 12 machine with NVMe bays; with a package, it is installed and its daemon is stopped."""

    def __init__(self, image: Path, package: Path | None = None) -> None:
        super().__init__(image, hotplug="pciehp", set_up=installation(package) if package else None)

    def mount(self, node: str, point: str = "/mnt/x") -> str:
        """Make an ext4 there and mount it."""
        make = "mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0"
        self.sh(f"{make} {node} && mkdir -p {point} && mount {node} {point}", 120)
        return point

    def tune_words(self, target: str, words: Sequence[str], config: str) -> str:
        """The command line of a tune under that configuration; no profiles are there before."""
        self.forget()
        self.write("/root/tier.conf", TOLERANT + config)
        return shlex.join(["aio-tuned", "--config", "/root/tier.conf", "tune", target, *words])

    def tune(self, target: str, words: Sequence[str] = QUICK, config: str = "", timeout_s: float = 180) -> Tuned:
        """A tune that must succeed; its profile is held against docs/profile.schema.json."""
        command = self.tune_words(target, [*words, "--json"], config)
        document = json.loads(self.sh(command, timeout_s))
        profile = validated(self.read(document["file"]).decode())
        assert profile == document["profile"]
        assert document["file"] == f"{PROFILES}/{profile['device']['name']}.toml"
        lines = self.read(document["samples_file"]).decode().splitlines()
        samples = tuple(json.loads(line) for line in lines)
        return Tuned(document=document, profile=profile, file=document["file"], samples=samples)

    def start_tune(self, target: str, words: Sequence[str] = QUICK, config: str = "") -> Job:
        """A tune in the background; its output() is what it says on the way."""
        return self.spawn(self.tune_words(target, words, config) + " 2>&1", 180)

    def read_in_container(self) -> dict[str, str]:
        """Where a container that is given the folder /mnt/x finds that folder's settings."""
        self.write("/run/container.sh", _CONTAINER)
        found: dict[str, str] = json.loads(self.sh("unshare --mount sh /run/container.sh", 60))
        return found

    def published(self) -> list[str]:
        """Every file, hidden ones too, where profiles and samples go."""
        return self.sh(f"find {PROFILES} {STATE} {_NOT_CONFIGURATION} -type f -print").split()

    def forget(self) -> None:
        """Remove all profiles and what was measured; the configuration stays."""
        self.sh(f"find {PROFILES} {STATE} -mindepth 1 {_NOT_CONFIGURATION} -delete")

    def helper_runs(self) -> bool:
        """Whether an aio-sweep is left."""
        return self.run("pgrep -x aio-sweep").status == 0

    def by_id_names(self, node: str) -> list[str]:
        """The names that udev gave the whole disk or volume."""
        return self.sh(f"find /dev/disk/by-id -lname '*/{Path(node).name}' -printf '%f\\n'").splitlines()

    def device_name(self, node: str) -> str:
        """The name that aio-tuned would give its profile."""
        program = "import sys; from pathlib import Path; from aio_tuned.devices.resolve import device, resolve"
        program += "; print(device(resolve(Path(sys.argv[1]))).name)"
        return self.sh(["python3", "-c", program, node]).strip()

    def attribute(self, drive: Drive, name: str) -> str:
        """One of the drive's attributes in /sys/block, without padding."""
        return self.sh(f"cat /sys/block/{Path(drive.dev).name}/{name}").strip()

    def complaints(self) -> str:
        """What the kernel says of itself being unwell; "" is good."""
        return self.run("dmesg | grep -E 'BUG|Oops|Call Trace|blocked for more than|general protection'").out

    def clean_up(self) -> None:
        """Leave a guest without a daemon, mounts, volumes, drives and profiles to the next test."""
        self.run(
            "systemctl stop aio-tuned; pkill -x aio-tuned; pkill -x aio-sweep; umount -l /mnt/*;"
            " [ ! -e /dev/md0 ] || mdadm --stop /dev/md0; [ ! -e /dev/dm-0 ] || vgchange -an;"
            " systemctl reset-failed; dmesg -C"
        )
        self.forget()
        for drive in list(self.drives.values()):
            self.unplug(drive.serial, surprise=True, settle=False)
        for path in self.data.glob("*.raw"):
            path.unlink()


def file_with_data(guest: Guest, serial: str) -> Path:
    """The file of a drive of RAW_SIZE that is full of bytes that no filesystem wrote."""
    path = guest.data / f"{serial}.raw"
    path.write_bytes(random.Random(serial).randbytes(MIB) * (RAW_SIZE // MIB))
    return path
