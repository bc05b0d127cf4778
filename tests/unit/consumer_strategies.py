"""Settings as hypothesis would have them: all that a grid may hold."""

from __future__ import annotations

from hypothesis import strategies as st

from unit.consumer_settings import drive, settings

block_sizes = st.integers(12, 26).map(lambda power: 1 << power)
any_settings = st.builds(
    settings,
    block_size=block_sizes,
    queue_depth=st.integers(1, 256),
    io_parallelism=st.integers(1, 64),
    overlap_events=st.booleans(),
    single_submit=st.booleans(),
    saturating_concurrency=st.integers(1, 256 * 64),
)
any_drives = st.builds(
    lambda read, write, combined: drive(
        read=read._replace(direction="read", throughput_bytes_per_s=6_500_000_000),
        write=write._replace(direction="write", throughput_bytes_per_s=4_000_000_000),
        combined=combined,
    ),
    any_settings,
    any_settings,
    any_settings,
)
caps = st.integers(4096, 1 << 27)
