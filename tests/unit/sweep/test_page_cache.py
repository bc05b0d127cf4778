from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.sweep import page_cache
from unit.support.builders import HELLO, MIB, sample, scratch_target

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.setting import Direction

BTRFS = replace(scratch_target(), path=Path("/data"), filesystem="btrfs")


def some(direction: Direction, *passing_bytes: int) -> list[Sample]:
    return [replace(sample(direction=direction), passing_bytes=count) for count in passing_bytes]


@pytest.mark.parametrize(
    ("writes", "reads", "writes_passed"),
    [
        ((0, 0, 0), (0,), False),
        ((MIB, MIB, MIB), (0,), True),
        # A look may come too late for a short transfer.
        ((MIB, 0, MIB), (0,), True),
        ((4096, 0, 0), (0,), False),
        ((), (MIB,), False),
        ((0,), (MIB, MIB), False),
    ],
)
def test_transfers_pass_through_the_cache_where_most_were_seen_there(
    writes: tuple[int, ...], reads: tuple[int, ...], writes_passed: bool
) -> None:
    assert page_cache.passed([*some("write", *writes), *some("read", *reads)], "write") is writes_passed


def test_tainted_samples_do_not_count() -> None:
    tainted = replace(sample(direction="write", verdict="cache"), passing_bytes=MIB)
    assert not page_cache.passed([tainted, tainted, *some("write", 0)], "write")


def test_btrfs_with_checksums_is_told_what_to_do_with_the_figure_that_it_would_get() -> None:
    samples = some("write", MIB, MIB)
    (said,) = page_cache.doubts(BTRFS, samples, 4.5e9)
    assert said.startswith("write: ")
    assert "`chattr +C /data` before creating files there (which reach 4.50 GB/s with the default setting)" in said
    (said,) = page_cache.doubts(BTRFS, samples, None)
    assert "creating files there, then tune again" in said
    assert page_cache.doubts(BTRFS, some("write", 0), None) == []


@pytest.mark.parametrize("filesystem", ["ext4", "f2fs", "btrfs nocow"])
@pytest.mark.parametrize("direction", ["read", "write"])
def test_other_filesystems_are_not_told_to_use_chattr(filesystem: str, direction: Direction) -> None:
    (said,) = page_cache.doubts(replace(BTRFS, filesystem=filesystem), some(direction, MIB), None)
    assert said.startswith(f"{direction}: transfers pass through the page cache (no direct I/O on this {filesystem})")
    assert "chattr" not in said


def test_a_file_that_is_written_unlike_the_folders_is_noted() -> None:
    assert page_cache.notes(BTRFS) == []
    (said,) = page_cache.notes(replace(BTRFS, nocow=True))
    assert "[sweep] btrfs" in said


def test_a_finding_says_which_pages_were_evicted_where_the_hosts_were_not() -> None:
    no_drop = replace(HELLO, drop_caches=False, no_drop_reason="not root")
    assert page_cache.evictions("auto", HELLO, "") == page_cache.evictions("always", HELLO, "") == []
    (said,) = page_cache.evictions("auto", no_drop, "")
    assert said.endswith("(not root)")
    (said,) = page_cache.evictions("file", no_drop, "")
    assert (
        said == "page cache: only the target's own pages were evicted ([sweep] drop_caches); the host's cache was kept"
    )
    (said,) = page_cache.evictions("file", HELLO, "no PSI")
    assert "evicted (no PSI)" in said
    (said,) = page_cache.evictions("never", no_drop, "")
    assert "not dropped" in said
