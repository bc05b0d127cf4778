"""The verdict of `aio-tuned verify` on a consumer's exported settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A comparison of the exported settings with the consumer's own default, in the consumer's own I/O.

    `version` is the release that did the I/O, and `setting` the exported values that a default exists for, as one line.
    The ratios are the throughput at these values over that at the default, with 95 % intervals; `ratio` is the
    geometric mean of reads and writes. `better` is whether its whole interval is above 1, and neither that of reads nor
    that of writes below 1: the consumer may do nothing but one of them.
    """

    consumer: str
    version: str
    setting: str
    better: bool
    ratio: float
    ci95: tuple[float, float]
    read_default_bytes_per_s: int
    read_bytes_per_s: int
    read_ratio: float
    read_ci95: tuple[float, float]
    write_default_bytes_per_s: int
    write_bytes_per_s: int
    write_ratio: float
    write_ci95: tuple[float, float]
    measured_at: str
