"""Figures in the units that people use."""

from __future__ import annotations

_GB, _MB = 1e9, 1e6


def throughput(bytes_per_s: float) -> str:
    """Format bytes/s in decimal units, as drives are sold: "6.51 GB/s", "250 MB/s"."""
    if bytes_per_s >= _GB:
        return f"{bytes_per_s / _GB:.2f} GB/s"
    return f"{bytes_per_s / _MB:.0f} MB/s"


def throughput_range(low: float, high: float, at: float) -> str:
    """Format two limits in bytes/s in the unit of `at`, the throughput between them: "180 to 340 MB/s"."""
    if at >= _GB:
        return f"{low / _GB:.2f} to {high / _GB:.2f} GB/s"
    return f"{low / _MB:.0f} to {high / _MB:.0f} MB/s"


def capacity(count: float) -> str:
    """Format the size of a drive in decimal units, as drives are sold: "3.84 TB", "500 GB"."""
    if count >= 1000 * _GB:
        return f"{count / (1000 * _GB):.2f} TB"
    if count >= _GB:
        return f"{count / _GB:.3g} GB"
    return f"{count / _MB:.3g} MB"


def amount(count: float) -> str:
    """Format bytes that are read or written, in binary units: "191.5 GiB", "64 MiB", "512 bytes"."""
    text = size(count)
    return f"{text[:-1]} {text[-1]}iB" if text[-1:].isalpha() else f"{text} bytes"


def size(count: float) -> str:
    """Format bytes in binary units, as block sizes are configured: "128K", "1M", "1.5G"."""
    for unit, factor in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if count >= factor:
            number = count / factor
            return f"{number:.0f}{unit}" if number == int(number) else f"{number:.1f}{unit}"
    return f"{count:.0f}"


def latency(microseconds: float) -> str:
    """Format the latency of a request: "85 µs", "1.21 ms", "104 ms"."""
    if microseconds < 1000:  # noqa: PLR2004 - a millisecond
        return f"{microseconds:.0f} µs"
    milliseconds = microseconds / 1000
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"  # noqa: PLR2004 - three digits


def duration(seconds: float) -> str:
    """Format seconds as minutes and seconds: "0:07", "2:31"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def percent(share: float) -> str:
    """Format a share that may be negative, without "-0.0%"."""
    return f"{round(share * 100, 1) + 0.0:+.1f}%"


def printable(text: str) -> str:
    """Return the text with escapes for control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
