"""Figures as people read them."""

from __future__ import annotations


def throughput(bytes_per_s: float) -> str:
    """Format bytes/s in decimal units, as drives are sold: "6.51 GB/s", "250 MB/s"."""
    if bytes_per_s >= 1e9:  # noqa: PLR2004 - a unit
        return f"{bytes_per_s / 1e9:.2f} GB/s"
    return f"{bytes_per_s / 1e6:.0f} MB/s"


def size(count: float) -> str:
    """Format bytes in binary units, as block sizes are set: "128K", "1M", "1.5G"."""
    for unit, factor in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if count >= factor:
            number = count / factor
            return f"{number:.0f}{unit}" if number == int(number) else f"{number:.1f}{unit}"
    return f"{count:.0f}"


def duration(seconds: float) -> str:
    """Format seconds as minutes and seconds: "0:07", "2:31"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def percent(share: float) -> str:
    """Format a share that may be negative, without "-0.0%"."""
    return f"{round(share * 100, 1) + 0.0:+.1f}%"
