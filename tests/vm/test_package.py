"""The Debian package in the guest, from its installation to its purge."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from aio_tuned import __version__
from aio_tuned.errors import Exit
from vm.kept import PROJECT
from vm.product import package, repacked
from vm.rig.guest_shell import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vm.daemon_guest import DaemonGuest
    from vm.guest import Guest

CONFIG = "/etc/aio-tuned/aio-tuned.conf"
OWN_CONFIG = "[choose]\ntolerance_percent = 5.0\n"
PROFILE = "/etc/aio-tuned/nvme-QEMU_NVMe_Ctrl_PKG1_1.toml"


def put(guest: Guest, deb: Path) -> str:
    """Install it; what dpkg said."""
    guest.push(deb, "/root/aio-tuned.deb")
    return guest.sh("DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i /root/aio-tuned.deb", 180)


def wait_until(what: Callable[[], object], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s * PATIENCE
    while not what():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.3)


def state(guest: Guest) -> str:
    return guest.run("systemctl is-active aio-tuned").out.strip()


def shown(guest: Guest, what: str) -> str:
    """A property of the unit."""
    return guest.sh(f"systemctl show aio-tuned --value -p {what}").strip()


def journal(guest: Guest) -> str:
    return guest.run("journalctl --no-pager -u aio-tuned").out


def next_version(folder: Path) -> Path:
    """The package again, as of a later version with other defaults."""

    def change(root: Path) -> None:
        control = root / "DEBIAN/control"
        control.write_text(control.read_text().replace(f"Version: {__version__}", f"Version: {__version__}+1"))
        with (root / CONFIG[1:]).open("a") as file:
            file.write("# A default has changed.\n")

    return repacked(package(), folder, change)


def left_of_us(guest: Guest) -> set[str]:
    """Files and folders with our name, but for what the tests have put there themselves."""
    ours = "-path /proc -o -path /sys -o -path /root -o -path /opt/aio-tuned -o -path /tmp"
    found = guest.sh(f"find / \\( {ours} \\) -prune -o \\( -name '*aio[-_]tuned*' -o -name aio-sweep \\) -print")
    return set(found.split())


@pytest.mark.long
def test_from_installation_to_purge(bare: Guest, tmp_path: Path) -> None:
    before = left_of_us(bare)

    # Installed: it runs, from now on at every boot, and any user may ask.
    put(bare, package())
    assert state(bare) == "active", journal(bare)
    assert bare.sh("systemctl is-enabled aio-tuned").strip() == "enabled"
    json.loads(bare.sh("setpriv --reuid=nobody --regid=nogroup --clear-groups aio-tuned status --json"))
    first = shown(bare, "MainPID")

    # A second copy is told so, and the first one goes on.
    second = bare.run("aio-tuned daemon")
    assert second.status == Exit.BUSY, second.err
    assert second.err.startswith("aio-tuned: ")

    # The configuration is the administrator's. SIGHUP takes it in; one that is wrong is not tried again and again.
    bare.write(CONFIG, OWN_CONFIG)
    bare.sh("systemctl reload aio-tuned")
    assert (state(bare), shown(bare, "MainPID")) == ("active", first)
    bare.write(CONFIG, "[choose]\ntolerance = 5.0\n")
    bare.run("systemctl restart aio-tuned")
    time.sleep(7)  # RestartSec=5
    assert (state(bare), shown(bare, "ExecMainStatus"), shown(bare, "NRestarts")) == (
        "failed",
        str(Exit.CONFIG.value),
        "0",
    )
    bare.write(CONFIG, OWN_CONFIG)
    bare.sh("systemctl start aio-tuned")

    # A drive gets its profile.
    bare.hotplug("PKG1", "256M", read_bps=200e6, write_bps=100e6)
    wait_until(lambda: bare.run(f"test -e {PROFILE}").status == 0)
    bare.sh("mkdir -p /etc/aio-tuned/override.d && echo > /etc/aio-tuned/override.d/own.toml")
    bare.sh("echo '# not of aio-tuned' > /etc/aio-tuned/foreign.toml")

    # Upgraded: another process, the same configuration and profiles.
    put(bare, next_version(tmp_path))
    assert f"{__version__}+1" in bare.sh("dpkg-query -W -f '${Version}' aio-tuned")
    assert state(bare) == "active", journal(bare)
    assert shown(bare, "MainPID") != first
    assert bare.read(CONFIG).decode() == OWN_CONFIG
    assert "A default has changed" in bare.read(f"{CONFIG}.dpkg-dist").decode()
    bare.sh(f"test -e {PROFILE}")

    # Removed: nothing runs, profiles can still be read.
    bare.sh("dpkg --remove aio-tuned", 120)
    assert state(bare) != "active"
    assert bare.run("pgrep -f 'aio[-_]tuned|aio-sweep'").out == ""
    bare.sh(f"test -e {PROFILE} -a -e {CONFIG}")
    left = {"/etc/aio-tuned", CONFIG, f"{CONFIG}.dpkg-dist", "/var/lib/aio-tuned"}
    assert {path for path in left_of_us(bare) - before if "dpkg/info" not in path and "systemd" not in path} == left

    # Purged: only what others have made is left.
    bare.sh("dpkg --purge aio-tuned", 120)
    assert left_of_us(bare) - before == {"/etc/aio-tuned"}
    assert sorted(bare.sh("find /etc/aio-tuned -type f").split()) == [
        "/etc/aio-tuned/foreign.toml",
        "/etc/aio-tuned/override.d/own.toml",
    ]
    assert "Traceback" not in journal(bare)


def test_the_udev_rule_starts_it_with_the_first_drive(host: DaemonGuest) -> None:
    rule = "/etc/udev/rules.d/90-aio-tuned.rules"
    host.push(PROJECT / "systemd/90-aio-tuned.rules", rule)
    try:
        host.sh("udevadm control --reload")
        host.sh("modprobe null_blk")  # a drive, but no NVMe
        wait_until(lambda: host.run("systemctl is-active dev-nullb0.device").out.strip() == "active")
        assert state(host) == "inactive"
        host.hotplug("RULE1", "64M")
        wait_until(lambda: state(host) == "active")
    finally:
        host.sh(f"rm {rule}; udevadm control --reload; modprobe -r null_blk")
