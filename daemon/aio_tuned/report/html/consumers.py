"""The parts of a page on what a sweep measures after the choice: request sizes, processes, memory and engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.report import consumer_sentences
from aio_tuned.report.html import markup, size_plot
from aio_tuned.report.html.markup import tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model.profile import Profile
    from aio_tuned.model.size_curve import SizeCurve

_NO_BREAK = "\N{NO-BREAK SPACE}"


def sizes(profile: Profile) -> list[str]:
    """Return the charts and the table of the curves by request size; nothing without curves."""
    curves = profile.curves
    if not curves:
        return []
    charts = [
        ("Throughput by request size", size_plot.throughput(curves, "sizes-throughput", "Throughput by request size")),
        (
            "99th percentile latency",
            size_plot.latency(curves, "sizes-latency", "99th percentile latency by request size"),
        ),
    ]
    drawn = (
        tag("figure", tag("figcaption", tag("h3", caption)), markup.box(chart, caption), class_="fluid")
        for caption, chart in charts
        if chart
    )
    return [tag("div", *drawn, class_="pair"), *_in_flight(curves)]


def _in_flight(curves: tuple[SizeCurve, ...]) -> Iterator[str]:
    """Yield the table of the requests in flight that saturate each size, with their throughput."""
    caption = "Requests in flight"
    head = ("size", *(f"{curve.engine} {curve.op}" for curve in curves))
    known = sorted({size for curve in curves for size in curve.sizes})
    yield tag("h3", caption)
    yield markup.table(
        head, [(formatting.size(size), *(_cell(curve, size) for curve in curves)) for size in known], "", label=caption
    )


def _cell(curve: SizeCurve, size: int) -> str:
    if size not in curve.sizes:
        return ""
    point = curve.saturated(size)
    rate = formatting.throughput(point.throughput_bytes_per_s)
    return f"{point.in_flight} ({rate})".replace(" ", _NO_BREAK)


def rest(profile: Profile) -> list[str]:
    """Return the sentences on engines and memory, and a table of several processes for each direction."""
    said = [*consumer_sentences.engines(profile), *consumer_sentences.sentences_of(profile)]
    found: list[str] = [markup.items(said)] if said else []
    for direction in consumer_sentences.DIRECTIONS:
        rows = [
            (
                str(each.processes),
                str(each.divisor),
                formatting.throughput(each.throughput_bytes_per_s),
                f"{each.slowest_share:.2f} of the mean".replace(" ", _NO_BREAK),
                "unknown" if each.p99_us is None else formatting.latency(each.p99_us),
            )
            for each in consumer_sentences.shares(profile.concurrency, direction)
        ]
        if rows:
            caption = f"{direction.capitalize()}s: several processes with the chosen setting"
            head = ("processes", "divide depth by", "together", "slowest", "99th percentile latency")
            found += [tag("h3", caption), markup.table(head, rows, "", label=caption)]
    return found
