from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.service.worker.memory import (
    PROCESSES_BYTES,
    AvailableMemory,
    available_memory,
    ballast,
    describe,
    fitting_transfer,
    needed_bytes,
)
from unit.support.builders import GIB, MIB

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "system.slice/aio-tuned.service"


class Machine:
    """A /proc and a /sys/fs/cgroup in a folder; 8 GiB are available at first, and no group is limited."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroup = root / "proc", root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.cgroup.mkdir()
        self.available(8 * GIB)

    def available(self, count: int) -> None:
        (self.proc / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable:   {count >> 10} kB\n")

    def member_of(self, *lines: str) -> None:
        (self.proc / "self/cgroup").write_text("".join(f"{line}\n" for line in lines))

    def group(self, place: str, **files: object) -> None:
        folder = self.cgroup / place
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / f"memory.{name}").write_text(f"{content}\n")

    def found(self) -> AvailableMemory | None:
        return available_memory(self.proc, self.cgroup)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_sweep_may_take_half_of_what_the_host_has_left(machine: Machine) -> None:
    assert machine.found() == AvailableMemory(free_bytes=4 * GIB, where="on the host")


def test_a_limit_of_the_unit_counts(machine: Machine) -> None:
    machine.member_of(f"0::/{UNIT}")
    machine.group(UNIT, max=64 * MIB, high="max", current=31 * MIB, stat="anon 1\ninactive_file 0")
    assert machine.found() == AvailableMemory(free_bytes=33 * MIB, where=f"in control group /{UNIT}")


def test_cache_that_is_dropped_when_it_is_needed_is_free(machine: Machine) -> None:
    machine.member_of(f"0::/{UNIT}")
    machine.group(UNIT, max=64 * MIB, current=60 * MIB, stat=f"inactive_file {40 * MIB}")
    assert machine.found() == AvailableMemory(free_bytes=44 * MIB, where=f"in control group /{UNIT}")


def test_the_tightest_group_above_counts_and_so_does_the_limit_that_slows_it_down(machine: Machine) -> None:
    machine.member_of(f"0::/{UNIT}")
    machine.group(UNIT, max="max", high="max", current=31 * MIB)
    machine.group("system.slice", max=GIB, high=300 * MIB, current=200 * MIB)
    assert machine.found() == AvailableMemory(free_bytes=100 * MIB, where="in control group /system.slice")


def test_version_1_beside_version_2(machine: Machine) -> None:
    machine.member_of("5:cpu,cpuacct:/a", f"4:memory:/{UNIT}", "0::/b")
    machine.group(
        f"memory/{UNIT}", limit_in_bytes=96 * MIB, usage_in_bytes=64 * MIB, stat=f"total_inactive_file {8 * MIB}"
    )
    machine.group("memory", limit_in_bytes=9223372036854771712, usage_in_bytes=8 * GIB)
    machine.group("cpu/a", limit_in_bytes=1, usage_in_bytes=1)
    assert machine.found() == AvailableMemory(free_bytes=40 * MIB, where=f"in control group /{UNIT}")


def test_a_container_sees_its_own_group_as_the_root(machine: Machine) -> None:
    machine.member_of("0::/../kubepods/pod1")
    machine.group("", max=100 * MIB, current=10 * MIB)
    assert machine.found() == AvailableMemory(free_bytes=90 * MIB, where="in control group /")


def test_a_group_beyond_its_limit_has_no_room(machine: Machine) -> None:
    machine.member_of("0::/a")
    machine.group("a", max=MIB, current=2 * MIB)
    assert machine.found() == AvailableMemory(free_bytes=0, where="in control group /a")


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    assert available_memory(tmp_path, tmp_path) is None
    assert fitting_transfer(None, 256 * MIB) == 256 * MIB


@pytest.mark.parametrize(
    ("left", "fits"),
    [
        (384 * MIB, 256 * MIB),
        (384 * MIB - 1, 128 * MIB),
        (100 * MIB, 64 * MIB),
        (24 * MIB, 16 * MIB),
        (24 * MIB - 1, 0),
        (-PROCESSES_BYTES, 0),
    ],
)
def test_the_buffers_shrink_to_what_is_left_beside_the_processes(left: int, fits: int) -> None:
    assert fitting_transfer(AvailableMemory(free_bytes=PROCESSES_BYTES + left, where="x"), 256 * MIB) == fits


def test_the_reason_has_both_figures() -> None:
    said = describe(AvailableMemory(free_bytes=33 * MIB, where="in control group /a"), 320 * MIB)
    assert said == (
        "memory: 33M available in control group /a, but a sweep needs 320M; raise MemoryMax= or free memory"
    )


def test_the_ballast_is_half_of_what_the_sweep_leaves_and_4_gib_at_most() -> None:
    needed = needed_bytes(256 << 20)

    def taken(free_bytes: int) -> int:
        return ballast(AvailableMemory(free_bytes=free_bytes, where="on the host"), 256 << 20)

    assert taken(needed + (1 << 30)) == 1 << 29
    assert taken(needed) == taken(needed - 1) == 0
    assert taken(1 << 40) == 4 << 30
    assert ballast(None, 256 << 20) == 0
