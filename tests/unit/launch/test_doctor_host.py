"""The checks of the host, from facts to findings, and the readers of these facts from planted trees."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices import host
from aio_tuned.launch.doctor import aio_events, huge_pages, memory_lock, ring
from aio_tuned.launch.doctor.aio_events import AioEvents
from aio_tuned.launch.doctor.finding import Finding, Unchecked
from aio_tuned.launch.doctor.huge_pages import HugePageGain
from aio_tuned.launch.doctor.memory_lock import MemoryLock
from aio_tuned.launch.doctor.need import Need
from aio_tuned.launch.doctor.ring import Ring
from unit.support.builders import consumer_profile, profile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.launch.doctor.finding import Outcome

NEED = Need(
    consumer="deepspeed",
    engine="libaio",
    request_bytes=1 << 20,
    queue_depth=16,
    threads=4,
    events=160,
    locked_bytes=64 << 20,
)


def finding(outcomes: Iterable[Outcome]) -> Finding:
    (only,) = outcomes
    assert isinstance(only, Finding)
    return only


def unchecked(outcomes: Iterable[Outcome]) -> Unchecked:
    (only,) = outcomes
    assert isinstance(only, Unchecked)
    return only


# --- memlock ---------------------------------------------------------------------------------------------


def test_a_limit_below_the_need_is_an_obstacle() -> None:
    found = finding(memory_lock.check(MemoryLock(limit_bytes=8 << 20, exempt=False), [NEED]))
    assert found.costs
    assert found.problem == (
        "this process may lock 8 MiB of memory, but deepspeed locks 64 MiB or more with the settings"
    )
    assert "LimitMEMLOCK=infinity" in found.remedy


def test_the_largest_need_counts() -> None:
    facts = MemoryLock(limit_bytes=32 << 20, exempt=False)
    small = replace(NEED, locked_bytes=1 << 20)
    assert list(memory_lock.check(facts, [small])) == []
    assert "64 MiB" in finding(memory_lock.check(facts, [small, NEED, small])).problem


@pytest.mark.parametrize("limit", [None, 64 << 20, 1 << 40])
def test_a_limit_of_the_need_is_enough(limit: int | None) -> None:
    assert list(memory_lock.check(MemoryLock(limit_bytes=limit, exempt=False), [NEED])) == []


def test_a_consumer_that_locks_nothing_has_no_need() -> None:
    facts = MemoryLock(limit_bytes=0, exempt=False)
    assert list(memory_lock.check(facts, [replace(NEED, locked_bytes=0)])) == []
    assert list(memory_lock.check(None, [])) == []


def test_root_cannot_see_the_consumers_limit() -> None:
    left = unchecked(memory_lock.check(MemoryLock(limit_bytes=65536, exempt=True), [NEED]))
    assert left.reason.endswith("run this as the user of deepspeed")
    assert "cannot be read" in unchecked(memory_lock.check(None, [NEED])).reason


LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max stack size            8388608              unlimited            bytes
Max locked memory         {}              unlimited            bytes
Max address space         unlimited            unlimited            bytes
"""


def process(root: Path, limit: str, effective: int) -> Path:
    (root / "self").mkdir()
    (root / "self/limits").write_text(LIMITS.format(limit))
    (root / "self/uid_map").write_text("         0          0 4294967295\n")
    (root / "self/status").write_text(f"Name:\tx\nCapEff:\t{effective:016x}\nSeccomp:\t2\n")
    return root


def test_the_limit_is_read_from_proc(tmp_path: Path) -> None:
    assert memory_lock.read(process(tmp_path, "8388608", 0)) == MemoryLock(limit_bytes=8 << 20, exempt=False)


def test_no_limit_and_the_capability_are_read_from_proc(tmp_path: Path) -> None:
    assert memory_lock.read(process(tmp_path, "unlimited", 1 << 14)) == MemoryLock(limit_bytes=None, exempt=True)


def test_root_of_a_rootless_container_is_bound_by_the_limit(tmp_path: Path) -> None:
    proc = process(tmp_path, "8388608", (1 << 41) - 1)
    (proc / "self/uid_map").write_text("         0       1000          1\n")
    assert memory_lock.read(proc) == MemoryLock(limit_bytes=8 << 20, exempt=False)
    assert not ring.read(proc).privileged


def test_a_missing_proc_is_no_limit_of_zero(tmp_path: Path) -> None:
    assert memory_lock.read(tmp_path) is None


# --- fs.aio-max-nr ---------------------------------------------------------------------------------------


def test_the_sum_over_all_drives_counts() -> None:
    facts = AioEvents(limit=65536, in_use=65000)
    assert list(aio_events.check(facts, [NEED] * 3, 1)) == []
    found = finding(aio_events.check(facts, [NEED] * 4, 1))
    assert found.problem == (
        "fs.aio-max-nr is 65536 with 65000 in use, but the settings of 4 drives need 640 (1 process each); io_setup"
        " fails with EAGAIN"
    )
    assert found.remedy == "sysctl fs.aio-max-nr=131072"


def test_every_gpu_has_a_process_and_they_divide_the_drives() -> None:
    facts = AioEvents(limit=1000, in_use=0)
    assert list(aio_events.check(facts, [NEED] * 2, 6)) == []  # 3 on each: 960
    assert "2 drives need 1280 (4 processes each)" in finding(aio_events.check(facts, [NEED] * 2, 7)).problem


def test_what_is_needed_exactly_is_enough() -> None:
    assert list(aio_events.check(AioEvents(limit=200, in_use=40), [NEED], 1)) == []
    assert finding(aio_events.check(AioEvents(limit=199, in_use=40), [NEED], 1)).remedy == "sysctl fs.aio-max-nr=65536"


def test_a_consumer_without_libaio_needs_none() -> None:
    assert list(aio_events.check(AioEvents(limit=0, in_use=0), [replace(NEED, events=0)], 8)) == []


def test_the_events_are_read_from_proc(tmp_path: Path) -> None:
    assert aio_events.read(tmp_path) is None
    assert "cannot be read" in unchecked(aio_events.check(None, [NEED], 1)).reason
    (tmp_path / "sys/fs").mkdir(parents=True)
    (tmp_path / "sys/fs/aio-max-nr").write_text("65536\n")
    assert aio_events.read(tmp_path) is None
    (tmp_path / "sys/fs/aio-nr").write_text("12\n")
    assert aio_events.read(tmp_path) == AioEvents(limit=65536, in_use=12)


# --- io_uring --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (Ring(error=errno.EPERM, disabled=2), "kernel.io_uring_disabled is 2"),
        (Ring(error=errno.EPERM, disabled=2, privileged=True, filtered=True), "kernel.io_uring_disabled is 2"),
        (Ring(error=errno.EPERM, disabled=1, group=990), "for root and group 990 only"),
        (Ring(error=0, disabled=1, group=990, privileged=True), "for root and group 990 only"),
        (Ring(error=errno.EPERM, disabled=1), "root and no group (kernel.io_uring_group is not set) only"),
        (Ring(error=errno.EPERM, disabled=0, filtered=True), "a seccomp filter"),
        (Ring(error=errno.ENOSYS, filtered=True), "a seccomp filter"),
        (Ring(error=errno.EPERM, killed=True), "a seccomp filter"),
        (Ring(error=errno.ENOSYS), "the kernel has no io_uring"),
        (Ring(error=errno.EACCES), "refused to this process"),
        (Ring(error=errno.ENOMEM), "not enough memory to lock"),
    ],
)
def test_what_forbids_io_uring_is_named(facts: Ring, said: str) -> None:
    found = finding(ring.check(facts, ["runai", "mooncake"]))
    assert said in found.problem
    assert found.problem.endswith("; runai, mooncake cannot use it")
    assert found.remedy
    assert list(ring.check(facts, [])) == []  # nobody asks for it


@pytest.mark.parametrize(
    "facts", [Ring(error=0), Ring(error=0, disabled=0, filtered=True), Ring(error=0, disabled=1, group=990)]
)
def test_io_uring_that_works_is_no_obstacle(facts: Ring) -> None:
    assert list(ring.check(facts, ["runai"])) == []


def test_an_error_of_another_kind_is_no_finding() -> None:
    assert "Too many open files" in unchecked(ring.check(Ring(error=errno.EMFILE), ["runai"])).reason


def test_the_facts_of_io_uring_are_read_and_the_call_is_really_tried(tmp_path: Path) -> None:
    proc = process(tmp_path, "unlimited", 1 << 21)
    (proc / "sys/kernel").mkdir(parents=True)
    (proc / "sys/kernel/io_uring_disabled").write_text("1\n")
    (proc / "sys/kernel/io_uring_group").write_text("-1\n")
    before = len([*Path("/proc/self/fd").iterdir()])
    found = ring.read(proc)
    assert (found.disabled, found.group, found.privileged, found.filtered) == (1, None, True, True)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert found.error in (0, errno.EPERM, errno.ENOSYS, errno.ENOMEM)


# --- transparent huge pages ------------------------------------------------------------------------------


def gain(percent: float, least: float, direction: str = "read") -> HugePageGain:
    return HugePageGain(node="/dev/nvme0n1", direction=direction, percent=percent, least_percent=least)


@pytest.mark.parametrize(
    ("policy", "gains", "said"),
    [
        ("never", [], "are off (never)"),
        ("never", [gain(12.0, 10.5)], "reads of /dev/nvme0n1 gain 12.0 % (at least 10.5 %)"),
        ("madvise", [gain(1.0, -0.5), gain(7.0, 5.5, "write")], "writes of /dev/nvme0n1 gain 7.0 %"),
    ],
)
def test_huge_pages_that_consumers_do_not_get(policy: str, gains: list[HugePageGain], said: str) -> None:
    found = finding(huge_pages.check(policy, gains, page_bytes=4096, thp_bytes=2 << 20))
    assert said in found.problem
    assert found.remedy == "echo always > /sys/kernel/mm/transparent_hugepage/enabled"


@pytest.mark.parametrize(
    ("policy", "gains"),
    [("always", [gain(12.0, 10.0)]), ("madvise", []), ("madvise", [gain(0.4, -0.2)]), ("never", [gain(0.4, -0.2)])],
)
def test_huge_pages_that_add_nothing(policy: str, gains: list[HugePageGain]) -> None:
    assert list(huge_pages.check(policy, gains, page_bytes=4096, thp_bytes=2 << 20)) == []


@pytest.mark.parametrize(
    ("page_bytes", "thp_bytes", "size"),
    [(4096, 2 << 20, "4 KiB"), (16384, 32 << 20, "16 KiB"), (65536, 512 << 20, ""), (4096, 0, "4 KiB")],
)
def test_huge_pages_are_missed_only_where_they_fit_into_a_buffer(page_bytes: int, thp_bytes: int, size: str) -> None:
    found = list(huge_pages.check("never", [], page_bytes=page_bytes, thp_bytes=thp_bytes))
    assert [each.problem.endswith(f"pages of {size}") for each in found if isinstance(each, Finding)] == [True] * bool(
        size
    )
    measured = huge_pages.check("never", [gain(12.0, 10.5)], page_bytes=page_bytes, thp_bytes=thp_bytes)
    assert "gain 12.0 %" in finding(measured).problem


def test_a_kernel_without_huge_pages_is_not_checked(tmp_path: Path) -> None:
    assert host.thp(tmp_path) == ""
    assert "no transparent huge pages" in unchecked(huge_pages.check("", [], page_bytes=4096, thp_bytes=0)).reason


def test_the_policy_in_use_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "kernel/mm/transparent_hugepage"
    folder.mkdir(parents=True)
    (folder / "enabled").write_text("always [madvise] never\n")
    assert host.thp(tmp_path) == "madvise"


def test_a_gain_counts_only_under_the_policy_of_the_sweep() -> None:
    swept = consumer_profile()
    assert swept.fingerprint.thp == "madvise"
    assert swept.evidence.read_huge_gain_percent is not None
    assert {each.direction for each in huge_pages.gains("/dev/x", swept, "madvise")} >= {"read"}
    assert huge_pages.gains("/dev/x", swept, "never") == ()
    assert huge_pages.gains("/dev/x", profile(), "never") == ()
