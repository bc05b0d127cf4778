from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions, cap_note, capped, capped_drive, need_release
from aio_tuned.errors import UsageError
from aio_tuned.reader import DIRECTIONS
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_settings, caps

if TYPE_CHECKING:
    from aio_tuned.reader import Settings


@pytest.mark.parametrize("name", ["dynamo", "fio", "flexkv", "lmcache", "mooncake", "sglang", "vllm"])
@pytest.mark.parametrize("path", ["/dev", "/dev/nvme0n1", "/dev/disk/by-id/nvme-A"])
def test_a_device_is_no_folder(name: str, path: str) -> None:
    with pytest.raises(UsageError, match="pass a folder on the drive's filesystem, not a device"):
        consumers.load(name).export(drive(), path, ExportOptions())
    assert consumers.load(name).export(drive(), "/development", ExportOptions()).values


@pytest.mark.parametrize("name", ["cufile", "env", "fio", "json", "mooncake", "nixl_gds", "tensornvme"])
def test_a_release_that_makes_no_difference_is_told(name: str) -> None:
    plain = consumers.load(name).export(drive(), "/data", ExportOptions())
    named = consumers.load(name).export(drive(), "/data", ExportOptions(for_version="1.2"))
    assert named.values == plain.values
    assert set(named.notes) - set(plain.notes) == {note for note in named.notes if note.startswith("for_version: ")}
    with pytest.raises(UsageError, match="not a release"):
        consumers.load(name).export(drive(), "/data", ExportOptions(for_version="newest"))


@pytest.mark.parametrize("name", consumers.NAMES)
def test_every_consumer_takes_every_setting_that_a_profile_may_have(name: str) -> None:
    """512 bytes, depth 1 and one thread: less than any grid has."""
    least = {
        key: settings(direction=key, block_size=512, queue_depth=1, io_parallelism=1, saturating_concurrency=1)
        for key in DIRECTIONS
    }
    made = consumers.load(name).export(drive(**least), "/data", ExportOptions())
    numbers = [value for value in made.values.values() if isinstance(value, int) and not isinstance(value, bool)]
    assert all(value > 0 for value in numbers)


# --- a cap on the block size ------------------------------------------------------------------------------------


@given(any_settings(), caps)
def test_a_capped_block_is_at_most_the_cap_more_than_half_of_it_and_aligned(before: Settings, cap: int) -> None:
    after = capped(before, ExportOptions(max_block_size=cap))
    assert after.block_size == min(before.block_size, after.block_size)
    assert min(before.block_size, cap // 2 + 1) <= after.block_size <= cap
    assert after.block_size % 4096 == 0


def test_a_block_below_the_cap_stays_as_it_was_measured() -> None:
    before = settings(block_size=768 << 10, throughput_bytes_per_s=7)
    assert capped(before, ExportOptions(max_block_size=768 << 10)) is before
    assert capped(before, ExportOptions()) is before
    assert cap_note("bs", before, before) == ()


def test_nobody_measured_what_a_cap_makes_of_settings() -> None:
    before = settings(block_size=4 << 20, throughput_bytes_per_s=7)
    after = capped(before, ExportOptions(max_block_size=3_000_000))
    assert (after.block_size, after.throughput_bytes_per_s) == (2 << 20, None)
    assert after == before._replace(block_size=2 << 20, throughput_bytes_per_s=None)
    (note,) = cap_note("bs", before, after)
    assert note.startswith("bs: 2097152 bytes")
    assert "4194304" in note


def test_every_direction_is_capped() -> None:
    after = capped_drive(drive(write=settings(block_size=65536)), ExportOptions(max_block_size=131072))
    assert [getattr(after, direction).block_size for direction in DIRECTIONS] == [131072, 65536, 131072]


def test_a_cap_that_no_drive_could_follow_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--max-block-size 4095: .*; pass 4096 or more"):
        capped(settings(), ExportOptions(max_block_size=4095))


# --- the consumer's release ------------------------------------------------------------------------------------


def wanted(release: str | None, first: str = "1.2.0") -> None:
    need_release(ExportOptions(for_version=release), "Thing", first, "knob")


@pytest.mark.parametrize(
    "release", [None, "1.2", "1.2.0", "v1.2.0", "1.2.0.post1", "1.2.1rc2", "1.10.0", "1.2.0+cu129", "2.0"]
)
def test_a_release_that_has_it_is_taken(release: str | None) -> None:
    wanted(release)


@pytest.mark.parametrize("release", ["1.1.9", "1.1.9.post2", "0.12", "1.1.0+cu129"])
def test_a_release_that_lacks_it_is_refused_with_what_it_lacks(release: str) -> None:
    with pytest.raises(UsageError, match=r"has no knob; use Thing 1\.2\.0 or later"):
        wanted(release)


@pytest.mark.parametrize("text", ["", "new", "1", "1.x", "1.2.", "1.2.3 beta", "=1.2.3"])
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a release of Thing"):
        wanted(text)


def test_trailing_zeros_do_not_count() -> None:
    wanted("1.0", first="1.0.0")
    wanted("1.0.0", first="1.0")
