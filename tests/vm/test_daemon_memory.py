"""Too little memory: the drive waits, the sweep shrinks, or a sweep fails; the daemon lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import small
from vm.guest import READ_BYTES_PER_S, WRITE_BYTES_PER_S

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest

ENDLESS = small(90)


def limit(host: DaemonGuest, memory: str) -> None:
    host.sh(f"systemctl set-property --runtime aio-tuned MemoryMax={memory} MemorySwapMax=0")


@pytest.mark.long
def test_a_sweep_waits_for_memory_and_one_that_is_killed_has_failed(host: DaemonGuest) -> None:
    host.begin(ENDLESS)
    pid = host.main_pid()
    try:
        limit(host, "64M")
        drive = host.hotplug("MEM1", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
        host.mount(drive.dev)
        host.until_stage("MEM1", "queued", reason="memory: ")
        assert "control group /system.slice/aio-tuned.service" in host.drive("MEM1")["reason"]
        assert host.sweeps() == 0

        limit(host, "infinity")
        host.sh(f"aio-tuned retune {drive.dev}")
        host.until_sweeping("MEM1", "read: ")
        limit(host, "48M")
        host.until_stage("MEM1", "failed", "queued", reason="killed by signal 9")
        assert host.drive("MEM1")["next_try"]
        assert host.main_pid() == pid
        host.sh("dmesg -C")  # the kernel's report of the kill has a call trace
        host.lives()
    finally:
        limit(host, "infinity")
