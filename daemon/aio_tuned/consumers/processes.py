"""Notes on several processes that use a drive at once, with the figures that were measured for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model.profile import Concurrency
    from aio_tuned.reader import Direction, DriveSettings


def shared_note(drive: DriveSettings, direction: Direction, key: str, each: str) -> str:
    """Return the note on a number that `each` process, engine or worker applies for itself, beginning with its key.

    With figures: "with 4 processes divide by 4: reads 6.10 GB/s together". Without, the advice to divide by their
    number.
    """
    figures = "; ".join(_figures(drive.concurrency, direction)) if drive.concurrency else ""
    if figures:
        return f"{key}: {each}; {figures}."
    return f"{key}: {each}; if several use the drive at once, divide by their number."


def _figures(measured: Concurrency, direction: Direction) -> Iterator[str]:
    """Yield a clause for each number of processes above one; the larger divisor of the measured directions counts."""
    parts = [
        (op, divisors, rates)
        for op, divisors, rates in (
            ("read", measured.read_divisor, measured.read_throughput_bytes_per_s),
            ("write", measured.write_divisor, measured.write_throughput_bytes_per_s),
        )
        if direction in (op, "combined") and divisors is not None and rates is not None
    ]
    for place, count in enumerate(measured.processes):
        if count > 1 and parts:
            divisor = max(divisors[place] for _, divisors, _ in parts)
            advice = f"divide by {divisor}" if divisor > 1 else "keep it"
            rates = ", ".join(f"{op}s {formatting.throughput(rates[place])}" for op, _, rates in parts)
            yield f"with {count} processes {advice}: {rates} together"
