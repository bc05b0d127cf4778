"""Strategies of hypothesis for all settings that a grid may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from unit.support.consumer_settings import drive, settings

if TYPE_CHECKING:
    from aio_tuned.reader import Settings

block_sizes = st.integers(12, 26).map(lambda power: 1 << power)


def any_settings(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Settings]:
    """Return a strategy for all settings that a grid may have, with these fields fixed."""
    return st.builds(
        settings,
        block_size=block_sizes,
        queue_depth=st.integers(1, 256),
        io_parallelism=st.integers(1, 64),
        overlap_events=st.booleans(),
        single_submit=st.booleans(),
        saturating_concurrency=st.integers(1, 256 * 64),
        **fixed,
    )


any_drives = st.builds(
    drive,
    read=any_settings(direction=st.just("read"), throughput_bytes_per_s=st.just(6_500_000_000)),
    write=any_settings(direction=st.just("write"), throughput_bytes_per_s=st.just(4_000_000_000)),
    combined=any_settings(),
)
caps = st.integers(4096, 1 << 27)
