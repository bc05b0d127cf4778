"""Verdicts of `aio-tuned verify`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aio_tuned.model.verdict import Verdict


def verdict(**changes: Any) -> Verdict:  # noqa: ANN401 - any field
    """Return DeepSpeed's verdict that ours is 1.2 times as fast, with these fields changed."""
    usual = Verdict(
        consumer="deepspeed",
        version="0.19.8",
        setting="aio.block_size=1048576",
        better=True,
        ratio=1.2,
        ci95=(1.18, 1.22),
        read_default_bytes_per_s=2_000_000_000,
        read_bytes_per_s=2_600_000_000,
        read_ratio=1.3,
        read_ci95=(1.27, 1.33),
        write_default_bytes_per_s=1_000_000_000,
        write_bytes_per_s=1_108_000_000,
        write_ratio=1.108,
        write_ci95=(1.08, 1.137),
        measured_at="2026-11-30T04:00:00+00:00",
    )
    return replace(usual, **changes)


def not_better(**changes: Any) -> Verdict:  # noqa: ANN401 - any field
    """Return a verdict that ours is not better."""
    figures = {"better": False, "ratio": 0.99, "ci95": (0.97, 1.01), **changes}
    return verdict(**figures)
