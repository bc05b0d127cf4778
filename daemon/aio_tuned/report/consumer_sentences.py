"""Sentences on what a sweep measures after the choice: engines, memory, new files, and several processes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aio_tuned import formatting
from aio_tuned.model.profile import Result
from aio_tuned.report import sentences

if TYPE_CHECKING:
    from aio_tuned.model.profile import Concurrency, Evidence, Profile
    from aio_tuned.model.setting import Direction

# A sweep compares the engines with requests of this size.
COMPARED_BYTES = 128 << 10
DIRECTIONS: tuple[Direction, ...] = ("read", "write")


class Share(NamedTuple):
    """What a number of processes get together; `p99_us` is None if it is not known."""

    processes: int
    throughput_bytes_per_s: int
    p99_us: float | None
    slowest_share: float
    divisor: int


def shares(concurrency: Concurrency | None, direction: Direction) -> list[Share]:
    """Return the figures of each number of processes in one direction; none if it was not measured."""
    if concurrency is None or getattr(concurrency, f"{direction}_divisor") is None:
        return []
    keys = ("throughput_bytes_per_s", "p99_us", "slowest_share", "divisor")
    arrays = [getattr(concurrency, f"{direction}_{key}") for key in keys]
    return [
        Share(count, rate, p99_us or None, share, divisor)
        for count, rate, p99_us, share, divisor in zip(concurrency.processes, *arrays, strict=True)
    ]


def _huge(evidence: Evidence, direction: Direction) -> str:
    gain = getattr(evidence, f"{direction}_huge_gain_percent")
    if gain is None:
        return ""
    interval = getattr(evidence, f"{direction}_huge_gain_ci95_percent")
    if interval is None:
        return f"{direction}: huge pages change the throughput by {sentences.signed(gain)} %; no interval is known"
    low, high = interval
    sure = f"({sentences.signed(low)} to {sentences.signed(high)} %, 95 % confidence)"
    if low <= 0 <= high:
        return f"{direction}: huge pages make no difference that was measured {sure}"
    verb = "add" if gain > 0 else "cost"
    return f"{direction}: huge pages {verb} {abs(gain):.1f} % {sure}"


def _memory(evidence: Evidence) -> str:
    """Return what the buffer's memory was; "" if it is not known."""
    words = []
    if evidence.huge_share is not None:
        words.append(f"{100 * evidence.huge_share:.0f} % of it on huge pages")
    if evidence.mean_run_bytes:
        words.append(f"contiguous runs of {formatting.amount(evidence.mean_run_bytes)} in the mean")
    if evidence.thp:
        words.append(f"transparent huge pages: {evidence.thp}")
    return f"buffer: {', '.join(words)}" if words else ""


def _new_file(profile: Profile) -> str:
    rate = profile.evidence.first_write_throughput_bytes_per_s
    if rate is None:
        return ""
    said = f"write: {formatting.throughput(rate)} in a new file, which each write extends"
    if isinstance(profile.write, Result):
        share = 100 * rate / profile.write.throughput_bytes_per_s
        said += f" ({share:.0f} % of the throughput in an existing file)"
    return said


def _return(evidence: Evidence, direction: Direction) -> str:
    us = getattr(evidence, f"{direction}_return_us")
    if us is None:
        return ""
    return f"{direction}: {formatting.latency(us)} from the last completion of a transfer until the caller knows"


def sentences_of(profile: Profile) -> list[str]:
    """Return the sentences on memory, new files and the return to the caller; none that was not measured."""
    evidence = profile.evidence
    found = [
        _memory(evidence),
        *(_huge(evidence, direction) for direction in DIRECTIONS),
        _new_file(profile),
        *(_return(evidence, direction) for direction in DIRECTIONS),
    ]
    return [each for each in found if each]


def engines(profile: Profile) -> list[str]:
    """Return how io_uring compares with threads (psync) in each direction in which that is known."""
    return [said for direction in DIRECTIONS if (said := _engine(profile.evidence, direction))]


def _engine(evidence: Evidence, direction: Direction) -> str:
    ratio = getattr(evidence, f"io_uring_{direction}_ratio")
    interval = getattr(evidence, f"io_uring_{direction}_ratio_ci95")
    if ratio is None or interval is None:
        return ""
    low, high = interval
    sure = f"({low:.2f} to {high:.2f} times, 95 % confidence)"
    requests = f"with requests of {formatting.amount(COMPARED_BYTES)} and as many in flight as give the most"
    if low <= 1 <= high:
        return f"{direction}: io_uring and psync (threads) do not differ measurably {sure} {requests}"
    slower = "" if ratio > 1 else "only "
    return f"{direction}: io_uring gives {slower}{ratio:.2f} times the throughput of psync (threads) {sure} {requests}"
