from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import DeferredError
from aio_tuned.service.worker.quiet_host import HostIo, QuietHost, busy, read_host_io, why_blind
from aio_tuned.storage.append_log import rewrite
from unit.support.builders import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.model.measurement import DropCaches

PAGE = os.sysconf("SC_PAGE_SIZE")
AT_FIRST = HostIo(waited_us=10**9, cached_bytes=4 << 30)


class Proc:
    """A folder like /proc, whose counters advance during sleeps."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock_s = 0.0
        self.waited_us = 0
        self.counts = {"nr_file_pages": 500_000, "nr_shmem": 1000, "pgsteal_file": 0, "pgpgin": 7}
        self.notices: list[str] = []
        self.others: Callable[[float], None] = lambda _seconds: None
        (root / "pressure").mkdir()
        (root / "sys/vm").mkdir(parents=True)
        (root / "sys/vm/drop_caches").touch()
        self.write()

    def write(self) -> None:
        total = f"avg10=0.00 avg60=0.00 avg300=0.00 total={self.waited_us}"
        (self.root / "pressure/io").write_text(f"some {total}\nfull {total}\n")
        (self.root / "vmstat").write_text("".join(f"{name} {count}\n" for name, count in self.counts.items()))

    async def sleep(self, seconds: float) -> None:
        self.clock_s += seconds
        self.others(seconds)
        self.write()

    def waits(self, share: float) -> Callable[[float], None]:
        def others(seconds: float) -> None:
            self.waited_us += int(share * seconds * 1e6)

        return others

    def caches(self, name: str, bytes_per_s: float) -> Callable[[float], None]:
        def others(seconds: float) -> None:
            self.counts[name] += int(bytes_per_s * seconds / PAGE)

        return others

    def host(self) -> QuietHost:
        return QuietHost(
            10.0,
            notice=self.notices.append,
            proc=self.root,
            monotonic=lambda: self.clock_s,
            sleep=self.sleep,
        )

    def wait(self, longest_s: float = 600.0) -> None:
        asyncio.run(self.host().wait(longest_s))

    def before_sweep(self, policy: DropCaches, record: Path) -> str:
        return asyncio.run(self.host().before_sweep(policy, record))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


# --- the rule --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waited_us", "cached_bytes", "said"),
    [
        (0, 0, ""),
        (199_000, 31 * MIB, ""),
        (200_000, 0, "other processes wait for I/O 10 % of the time"),
        (2_100_000, 0, "other processes wait for I/O 100 % of the time"),
        (0, 400 * MIB, "other processes fill the page cache at 210 MB/s"),
        (0, -400 * MIB, ""),
    ],
)
def test_a_host_is_busy_while_others_wait_or_fill_the_cache(waited_us: int, cached_bytes: int, said: str) -> None:
    after = HostIo(waited_us=AT_FIRST.waited_us + waited_us, cached_bytes=AT_FIRST.cached_bytes + cached_bytes)
    assert busy(AT_FIRST, after, 2.0) == said


def test_what_enters_the_cache_is_what_is_there_and_what_was_reclaimed(proc: Proc) -> None:
    def cached() -> int:
        found = read_host_io(proc.root)
        assert found is not None
        return found.cached_bytes // PAGE

    assert cached() == 499_000
    for name, entered in (("pgsteal_file", 5), ("nr_file_pages", 5), ("nr_shmem", -5), ("pgpgin", 0)):
        before = cached()
        proc.counts[name] += 5
        proc.write()
        assert cached() - before == entered, name


def test_this_kernels_own_counters_are_understood_where_it_has_psi() -> None:
    from pathlib import Path

    try:
        Path("/proc/pressure/io").read_text()
    except OSError:
        assert why_blind()
    else:
        assert why_blind() == ""


# --- the wait --------------------------------------------------------------------------------------------


def test_a_quiet_host_takes_one_look(proc: Proc) -> None:
    proc.wait()
    assert proc.clock_s == 2.0
    assert proc.notices == []


@pytest.mark.parametrize("how", ["waits", "reads", "reclaims"])
def test_a_busy_host_is_waited_for(proc: Proc, how: str) -> None:
    loud = {
        "waits": proc.waits(0.34),
        "reads": proc.caches("nr_file_pages", 210e6),
        "reclaims": proc.caches("pgsteal_file", 210e6),
    }[how]
    proc.others = lambda seconds: loud(seconds) if proc.clock_s < 120 else None
    host = proc.host()
    asyncio.run(host.wait())
    assert (proc.clock_s, host.paused_s) == (120.0, 118.0)
    assert len(proc.notices) == 3  # one a minute, and the end
    assert set(proc.notices[:-1]) == {
        "waiting to drop the page cache: other processes "
        + ("wait for I/O 34 % of the time" if how == "waits" else "fill the page cache at 210 MB/s")
    }
    assert proc.notices[-1] == ""


@pytest.mark.parametrize("longest_s", [600.0, 60.0])
def test_a_host_that_stays_busy_defers_the_sweep(proc: Proc, longest_s: float) -> None:
    proc.others = proc.waits(0.34)
    with pytest.raises(DeferredError, match=r"other processes wait for I/O 34 % of the time; .*drop_caches") as raised:
        proc.wait(longest_s)
    assert raised.value.seconds == 300.0
    assert proc.clock_s == longest_s


# --- before a sweep ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "recorded", "waits"),
    [
        ("auto", None, True),
        ("auto", False, True),
        ("auto", True, False),
        ("always", True, True),
        ("file", None, False),
        ("never", None, False),
    ],
)
def test_a_sweep_that_will_drop_waits_before_it_writes_its_scratch_file(
    proc: Proc, tmp_path: Path, policy: DropCaches, recorded: bool | None, waits: bool
) -> None:
    record = tmp_path / "x.journal"
    if recorded is not None:
        rewrite(record, [{"kind": "sweep"}, {"kind": "sample", "cache_dropped": recorded}])
    proc.others = proc.waits(0.34)
    if waits:
        with pytest.raises(DeferredError):
            proc.before_sweep(policy, record)
    else:
        assert proc.before_sweep(policy, record) == ""
        assert proc.clock_s == 0.0


def test_a_sweep_that_cannot_drop_does_not_wait(proc: Proc, tmp_path: Path) -> None:
    (proc.root / "sys/vm/drop_caches").unlink()
    proc.others = proc.waits(0.34)
    assert proc.before_sweep("auto", tmp_path / "x.journal") == ""


@pytest.mark.parametrize("policy", ["auto", "always"])
def test_a_host_that_cannot_be_seen_keeps_its_cache(proc: Proc, tmp_path: Path, policy: DropCaches) -> None:
    (proc.root / "pressure/io").unlink()
    assert "psi=1" in proc.before_sweep(policy, tmp_path / "x.journal")
    assert proc.clock_s == 0.0


# --- a kernel that does not tell -------------------------------------------------------------------------


@pytest.mark.parametrize("lacking", ["pressure/io", "vmstat", "pgsteal_file"])
def test_a_host_that_cannot_be_seen_is_said_and_never_taken_for_quiet(proc: Proc, lacking: str) -> None:
    assert why_blind(proc.root) == ""
    if lacking in proc.counts:
        del proc.counts[lacking]
        proc.write()
    else:
        (proc.root / lacking).unlink()
        proc.write = lambda: None  # type: ignore[method-assign]
    assert "psi=1" in why_blind(proc.root)
    with pytest.raises(DeferredError, match="psi=1"):
        proc.wait()


def test_psi_that_was_switched_off_is_no_quiet_host(proc: Proc) -> None:
    (proc.root / "pressure/io").write_text("")
    assert why_blind(proc.root)
