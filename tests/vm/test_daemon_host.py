"""The host changes under two measured drives: one drive a day is swept again, and the other is stale and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import SWEEP_S, small
from vm.guest import RAW_SIZE, READ_BYTES_PER_S, file_with_data

if TYPE_CHECKING:
    from vm.conftest import Rack
    from vm.daemon_guest import DaemonGuest
    from vm.rig.bays import Drive

THP = "/sys/kernel/mm/transparent_hugepage/enabled"
WAITS = "; waits: changed host, one drive a day; next at 20"
# A check would spare the second drive its wait.
EACH_IN_FULL = small().replace("[daemon]\n", '[daemon]\nsiblings = "full"\n')
# The daemon compares facts that change without an event once a minute.
GLANCE_S = 60.0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_changed_host(rack: Rack) -> None:
    try:
        _change(rack.guest())
    finally:
        rack.stop()  # the guest of other tests has two processors


def _change(host: DaemonGuest) -> None:
    host.begin(EACH_IN_FULL)
    drives = []
    for serial in ("HOST1", "HOST2"):
        drives.append(host.new_drive(serial, RAW_SIZE, path=file_with_data(host, serial), read_bps=READ_BYTES_PER_S))
        host.attach(drives[-1])
        host.find(drives[-1], 60)
        host.until_measured(serial)
    first = host.profile_of(drives[0])["fingerprint"]
    was = first["thp"]
    assert (first["cpus"], f"[{was}]" in host.sh(f"cat {THP}")) == (2, True)
    assert first["cpu_model"].startswith("QEMU TCG CPU")
    assert (first["iommu"], first["numa_node"]) == ("none", int(host.attribute(drives[0], "device/device/numa_node")))

    # --- the policy changes while the daemon runs ---
    now = "never" if was == "always" else "always"
    host.sh(f"echo {now} > {THP}")
    changed = f"policy for transparent huge pages changed from {was} to {now}"
    swept, waits = _one_of_two(host, drives, changed)
    assert host.profile_of(swept)["fingerprint"]["thp"] == now
    assert host.sweeps() == 3
    assert f"queued: {changed}{WAITS}" in host.sh("aio-tuned status")
    assert changed in host.sh(["aio-tuned", "explain", waits.dev])

    # --- the day outlasts a restart ---
    host.sh("systemctl restart aio-tuned")
    host.until_stage(waits.serial, "queued", reason=changed + WAITS)
    host.until_stage(swept.serial, "published", reason="unchanged since")
    assert host.sweeps() == 3

    # --- the number of processors changes between boots, which also resets the policy ---
    # With a single one the drives would have one queue, and another scheduler: a change of their own.
    host.cpus = 3
    host.reboot()
    model = first["cpu_model"]
    changed = f"processors changed from 2 x {model} to 3 x {model}"
    host.until_stage(waits.serial, "queued", reason=changed + WAITS, timeout_s=SWEEP_S + GLANCE_S)
    stale = host.profile_of(waits)
    assert (stale["state"], stale["evidence"]["findings"][-1]) == ("stale", changed)
    # The other has the day, and may use it again.
    host.until_measured(swept.serial, timeout_s=SWEEP_S + GLANCE_S)
    assert host.profile_of(swept)["fingerprint"] == {**first, "cpus": 3}

    # --- the operator need not wait ---
    host.sh(["aio-tuned", "retune", waits.dev])
    host.until_measured(waits.serial)
    assert host.profile_of(waits)["fingerprint"]["cpus"] == 3
    assert host.sweeps() == 5
    host.lives()


def _one_of_two(host: DaemonGuest, drives: list[Drive], changed: str) -> tuple[Drive, Drive]:
    """The drive that is swept again and the one that waits for its day, as stale; once it has come to that."""

    def waiting() -> list[Drive]:
        entries = [(drive, host.drive(drive.serial)) for drive in drives]
        return [drive for drive, entry in entries if entry["stage"] == "queued" and changed + WAITS in entry["reason"]]

    host.until(waiting, GLANCE_S + 2 * SWEEP_S, f"a drive that waits: {changed}")
    (waits,) = waiting()
    (swept,) = (drive for drive in drives if drive is not waits)
    host.until_measured(swept.serial, timeout_s=2 * SWEEP_S)
    stale = host.profile_of(waits)
    assert (stale["state"], stale["evidence"]["findings"][-1]) == ("stale", changed)
    return swept, waits
