"""What a profile says on requests of one size, several processes and memory, as lines of at most 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.report import consumer_sentences
from aio_tuned.report.terminal.summary import plain_table

if TYPE_CHECKING:
    from aio_tuned.model.profile import Concurrency, Profile
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.size_curve import SizeCurve

WIDTH = 80
_ENGINES = {"psync": "psync (threads of pread and pwrite)"}
_OPS = {"read": "reads", "write": "writes", "mixed": "70 % reads and 30 % writes"}
_UNKNOWN = "unknown"


def _latency(microseconds: float | None) -> str:
    return _UNKNOWN if microseconds is None else formatting.latency(microseconds)


def _table(curve: SizeCurve) -> list[str]:
    """Return the table of a curve: for each size the fewest requests in flight that saturate it."""
    rows = []
    for size in curve.sizes:
        point = curve.saturated(size)
        rate = formatting.throughput(point.throughput_bytes_per_s)
        rows.append((formatting.size(size), str(point.in_flight), rate, _latency(point.p50_us), _latency(point.p99_us)))
    head = ("size", "in flight", "throughput", "p50 latency", "p99 latency")
    return [f"{_ENGINES.get(curve.engine, curve.engine)}, {_OPS[curve.op]}", *plain_table(head, rows)]


def _at_once(concurrency: Concurrency, direction: Direction) -> list[str]:
    head = ("processes", "divide depth by", "together", "slowest", "p99 latency")
    rows = [
        (
            str(each.processes),
            str(each.divisor),
            formatting.throughput(each.throughput_bytes_per_s),
            f"{each.slowest_share:.2f} of the mean",
            _latency(each.p99_us),
        )
        for each in consumer_sentences.shares(concurrency, direction)
    ]
    return [f"several processes with the chosen {direction} setting", *plain_table(head, rows)] if rows else []


def lines(profile: Profile) -> list[str]:
    """Return the tables and sentences, with an empty line before each group; none if nothing of it was measured."""
    found: list[str] = []
    if profile.curves:
        found += ["", "Requests of one size at random places: the fewest in flight, over all threads,"]
        found += ["that give 95 % of the most throughput with that size."]
    for curve in profile.curves:
        found += ["", *_table(curve)]
    if profile.concurrency is not None:
        for direction in consumer_sentences.DIRECTIONS:
            if table := _at_once(profile.concurrency, direction):
                found += ["", *table]
    if said := [*consumer_sentences.engines(profile), *consumer_sentences.sentences_of(profile)]:
        found.append("")
    for sentence in said:
        found += textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return found
