"""[[export]] rules in a machine with systemd: a unit gets the settings of the drive that is there when it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vm.daemon_guest import VOLUMES, name_of, small
from vm.guest import PROFILES, READ_BYTES_PER_S, WRITE_BYTES_PER_S

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest

LOST, KEPT = "/run/aio-tuned/export/kvikio.env", "/etc/aio-tuned/export/env"
RULES = f"""
[[export]]
consumer = "kvikio"
path = "/mnt/x"
file = "{LOST}"

[[export]]
consumer = "env"
path = "/mnt/x"
file = "{KEPT}"
mode = "0600"
"""
# As docs/how-to/export-rules.md has it, for two files.
APP = f"""
[Unit]
After=aio-tuned.service

[Service]
Type=oneshot
EnvironmentFile=-{LOST}
EnvironmentFile=-{KEPT}
ExecStart=/bin/sh -c 'env > /run/app.env'
"""
WAIT = "[Service]\nExecStartPre=/usr/bin/aio-tuned wait /mnt/x --timeout 10m\n"


def variables(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    found = dict(line.split("=", 1) for line in lines)
    return {name: value for name, value in found.items() if name.startswith(("KVIKIO_", "AIO_TUNED_"))}


def file(host: DaemonGuest, path: str) -> dict[str, str]:
    return variables(host.read(path).decode())


def started(host: DaemonGuest) -> dict[str, str]:
    """What the unit gets when it is started now."""
    host.sh("systemctl start app", 300)
    return variables(host.read("/run/app.env").decode())


def exported(host: DaemonGuest) -> dict[str, str]:
    return {
        name: value
        for consumer in ("kvikio", "env")
        for name, value in variables(host.sh(f"aio-tuned export {consumer} /mnt/x")).items()
    }


def test_a_unit_gets_the_settings_of_the_drive_that_is_there(host: DaemonGuest) -> None:
    host.sh("mkdir -p /mnt/x /run/systemd/system/app.service.d")
    host.write("/run/systemd/system/app.service", APP)
    host.sh("systemctl daemon-reload")
    host.begin(small() + RULES)
    host.until(lambda: len(host.status()["exports"]) == 2, 30, "the rules")
    assert host.sh("stat -c '%U %a' /run/aio-tuned/export /etc/aio-tuned/export").split() == ["root", "755"] * 2
    assert host.sh(f"stat -c %a {LOST} {KEPT}").split() == ["644", "600"]
    assert started(host) == {}

    # The unit is started before there is a drive, and gets what the sweep has measured.
    host.write("/run/systemd/system/app.service.d/wait.conf", WAIT)
    host.sh("systemctl daemon-reload && systemctl start --no-block app")
    drive = host.hotplug("RULE1", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    host.mount(drive.dev)
    host.until_measured("RULE1")
    host.until(lambda: host.run("systemctl is-active app").out.strip() == "inactive", 60, "the unit has run")
    found = variables(host.read("/run/app.env").decode())
    assert found["AIO_TUNED_STATE"] == "measured"
    assert found["AIO_TUNED_DEVICE"] == name_of(drive)
    assert found == exported(host)
    assert int(found["KVIKIO_NTHREADS"]) > 0

    # An override, and its end.
    usual = found["AIO_TUNED_READ_BLOCK_SIZE"]
    override = f"{PROFILES}/override.d/{name_of(drive)}.toml"
    host.sh(f"mkdir -p {PROFILES}/override.d")
    host.write(override, '[read]\nblock_size = "2M"\n')
    host.sh("systemctl reload aio-tuned")
    host.until(lambda: file(host, KEPT)["AIO_TUNED_READ_BLOCK_SIZE"] == str(2 << 20), 30, "the override")
    assert started(host)["AIO_TUNED_READ_BLOCK_SIZE"] == str(2 << 20)
    host.sh(f"rm {override} && systemctl reload aio-tuned")
    host.until(lambda: file(host, KEPT)["AIO_TUNED_READ_BLOCK_SIZE"] == usual, 30, "the override's end")

    # A daemon that is down, or comes back, changes nothing.
    before = host.read(LOST)
    host.sh("systemctl stop aio-tuned")
    assert host.read(LOST) == before
    host.sh("systemctl start aio-tuned")
    assert host.read(LOST) == before

    # Pulled: the unit has its own defaults again, and the file says so.
    host.sh("rm -r /run/systemd/system/app.service.d && systemctl daemon-reload")
    host.unplug("RULE1", surprise=True)
    host.until(lambda: not file(host, LOST) and not file(host, KEPT), 30, "no settings")
    assert b"# No settings, so kvikio uses its own defaults: " in host.read(LOST)
    assert started(host) == {}
    assert [export["state"] for export in host.status()["exports"]] == ["defaults"] * 2
    assert host.status()["troubles"] == []

    # Without the rules, without the files.
    host.configure(small())
    host.sh("systemctl reload aio-tuned")
    host.until(lambda: host.status()["exports"] == [], 30, "no rules")
    assert host.run(f"ls {LOST} {KEPT}").status
    host.lives()


def test_the_path_is_on_a_logical_volume_with_a_blank_in_its_name(host: DaemonGuest) -> None:
    rule = f'[[export]]\nconsumer = "env"\npath = "/mnt/a b/below"\nfile = "{LOST}"\n'
    host.begin(small().replace("settle = 0.5", "settle = 60") + rule)
    drives = [host.hotplug(f"LVRULE{number}", "256M") for number in range(2)]
    host.sh(VOLUMES["dm-0"].format(nodes=" ".join(drive.dev for drive in drives)))
    host.sh("mkfs.ext4 -q /dev/vg/fast-lv && mkdir -p '/mnt/a b' && mount /dev/vg/fast-lv '/mnt/a b'")
    host.sh("mkdir '/mnt/a b/below'")
    host.sh("systemctl reload aio-tuned")  # no event tells of a new folder
    host.until(lambda: file(host, LOST), 30, "settings of the volume")
    name = host.drive("/dev/dm-0")["name"]
    assert file(host, LOST)["AIO_TUNED_DEVICE"] == name
    host.sh("umount '/mnt/a b'")
    host.until(lambda: not file(host, LOST), 30, "no settings")
    host.sh("vgchange -an vg")
    host.lives()
