"""Settings as the reader returns them to a consumer."""

from __future__ import annotations

from typing import Any

from aio_tuned.reader import DriveSettings, Settings, Source

SOURCE = Source("measured", "/etc/aio-tuned/nvme-A_1_1.toml", "nvme-A_1_1", "combined")


def settings(**changes: Any) -> Settings:  # noqa: ANN401 - whatever the fields are
    """Return settings of 1 MiB, depth 16, two threads, overlap and batch, with these fields changed."""
    usual = Settings(
        block_size=1 << 20,
        queue_depth=16,
        io_parallelism=2,
        overlap_events=True,
        single_submit=False,
        direction="combined",
        throughput_bytes_per_s=None,
        saturating_concurrency=32,
        source=SOURCE,
    )
    made = usual._replace(**changes)
    return made if "source" in changes else made._replace(source=SOURCE._replace(section=made.direction))


def drive(**fields: Any) -> DriveSettings:  # noqa: ANN401 - whatever the fields are
    """Return the same settings for all directions, without curves, except for those fields that are given by name."""
    usual = DriveSettings(
        read=settings(direction="read", throughput_bytes_per_s=6_500_000_000),
        write=settings(direction="write", throughput_bytes_per_s=4_000_000_000),
        combined=settings(),
    )
    return usual._replace(**fields)
