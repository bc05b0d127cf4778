from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers.block_cap import cap_note, capped, capped_drive
from aio_tuned.consumers.export import Wishes
from aio_tuned.errors import UsageError
from unit.consumer_settings import drive, settings
from unit.consumer_strategies import any_settings, caps

if TYPE_CHECKING:
    from aio_tuned.reader import Settings


@given(any_settings(), caps)
def test_a_capped_block_is_at_most_the_cap_more_than_half_of_it_and_aligned(before: Settings, cap: int) -> None:
    after = capped(before, Wishes(max_block_size=cap))
    assert after.block_size == min(before.block_size, after.block_size)
    assert min(before.block_size, cap // 2 + 1) <= after.block_size <= cap
    assert after.block_size % 4096 == 0


def test_a_block_below_the_cap_stays_as_it_was_measured() -> None:
    before = settings(block_size=768 << 10, throughput_bytes_per_s=7)
    assert capped(before, Wishes(max_block_size=768 << 10)) is before
    assert capped(before, Wishes()) is before
    assert cap_note("bs", before, before) == ()


def test_nobody_measured_what_a_cap_makes_of_settings() -> None:
    before = settings(block_size=4 << 20, throughput_bytes_per_s=7)
    after = capped(before, Wishes(max_block_size=3_000_000))
    assert (after.block_size, after.throughput_bytes_per_s) == (2 << 20, None)
    assert after == before._replace(block_size=2 << 20, throughput_bytes_per_s=None)
    (note,) = cap_note("bs", before, after)
    assert note.startswith("bs: 2097152 bytes")
    assert "4194304" in note


def test_every_direction_is_capped() -> None:
    after = capped_drive(drive(write=settings(block_size=65536)), Wishes(max_block_size=131072))
    assert [one.block_size for one in after] == [131072, 65536, 131072]


def test_a_cap_that_no_drive_could_follow_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 4095 bytes"):
        capped(settings(), Wishes(max_block_size=4095))
