"""The charts of throughput and latency by request size, with a line for each engine and direction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.report.html.figure import LINE, SOFT, THEME, Sheet, dots, wide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from aio_tuned.model.size_curve import SizeCurve, SizePoint
    from aio_tuned.report.html.markup import Markup

ENGINES = {"psync": "psync (threads)"}
# Blue and orange are furthest apart, for colour-blind readers too.
_COLOURS = {"psync": THEME["pass"], "io_uring": THEME["reference"], "libaio": THEME["sustain"]}
_LINES: dict[str, object] = {"read": "solid", "write": (0, (5, 3)), "mixed": (0, (1.5, 2))}
_WORDS = {"read": "reads", "write": "writes", "mixed": "70 % reads"}
_WIDTH, _LEFT, _RIGHT, _HEIGHT, _ROW, _KEY = 516, 70, 14, 230, 20, 34
# At most this many sizes are named below the axis.
_NAMED = 6


def saturated(curve: SizeCurve) -> list[SizePoint]:
    """Return the point of each size with the fewest requests in flight that saturate it."""
    return [curve.saturated(size) for size in curve.sizes]


def ticks(low: float, high: float) -> list[float]:
    """Return round values within the limits: powers of ten, and between them 3, or 2 and 5 where there is room."""
    decades = math.log10(high / low)
    parts = (1, 2, 5) if decades <= 1 else (1, 3) if decades <= 3 else (1,)  # noqa: PLR2004 - as many as have room
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [part * 10.0**power for power in powers for part in parts]
    return [each for each in every if low * 0.999 <= each <= high * 1.001]


def rate_words(bytes_per_s: float) -> str:
    """Format the throughput of a tick: "300 MB/s", "1 GB/s"."""
    return f"{bytes_per_s / 1e9:g} GB/s" if bytes_per_s >= 1e9 else f"{bytes_per_s / 1e6:g} MB/s"  # noqa: PLR2004


def latency_words(microseconds: float) -> str:
    """Format the latency of a tick: "30 µs", "1 ms"."""
    return f"{microseconds / 1000:g} ms" if microseconds >= 1000 else f"{microseconds:g} µs"  # noqa: PLR2004


def throughput(curves: Sequence[SizeCurve], name: str, label: str) -> Markup:
    """Return the chart of the throughput of each size with the fewest requests in flight that saturate it."""
    lines = [
        (curve, [(point.request_bytes, float(point.throughput_bytes_per_s)) for point in saturated(curve)])
        for curve in curves
    ]
    return _draw(lines, rate_words, name, label)


def latency(curves: Sequence[SizeCurve], name: str, label: str) -> Markup:
    """Return the chart of the known p99 latencies of the same points; "" if none is known."""
    lines = [
        (curve, [(point.request_bytes, point.p99_us) for point in saturated(curve) if point.p99_us is not None])
        for curve in curves
    ]
    return _draw([(curve, places) for curve, places in lines if places], latency_words, name, label)


def _draw(
    lines: Sequence[tuple[SizeCurve, list[tuple[int, float]]]], words: Callable[[float], str], name: str, label: str
) -> Markup:
    from aio_tuned.report.html.markup import Markup

    if not lines:
        return Markup("")
    engines = list(dict.fromkeys(curve.engine for curve, _ in lines))
    head = _ROW * len(engines) + 12
    sheet = Sheet(_WIDTH, head + _HEIGHT + 46)
    _legend(sheet, [curve for curve, _ in lines], engines)
    axes = sheet.axes(_LEFT, head, _WIDTH - _LEFT - _RIGHT, _HEIGHT)
    for curve, places in lines:
        at = [(math.log2(size), math.log10(value)) for size, value in places]
        colour = _COLOURS[curve.engine]
        axes.plot(*zip(*at, strict=True), color=colour, linewidth=2, linestyle=_LINES[curve.op])
        dots(axes, at, colour, 6, square=curve.op == "write")
    _scale(axes, [place for _, places in lines for place in places], words)
    return sheet.markup(name, label)


def _scale(axes: Axes, places: Sequence[tuple[int, float]], words: Callable[[float], str]) -> None:
    """Set both logarithmic axes and their ticks."""
    sizes = sorted({size for size, _ in places})
    shown = sizes[:: math.ceil(len(sizes) / _NAMED)]
    axes.set_xticks([math.log2(size) for size in shown], [formatting.size(size) for size in shown])
    axes.set_xlim(math.log2(sizes[0]) - 0.3, math.log2(sizes[-1]) + 0.3)
    low, high = (end(value for _, value in places) for end in (min, max))
    # At least one round value is within a factor of 3.
    margin = max(1.25, math.sqrt(3 * low / high))
    low, high = low / margin, high * margin
    marks = ticks(low, high)
    axes.set_yticks([math.log10(mark) for mark in marks], [words(mark) for mark in marks])
    axes.set_ylim(math.log10(low), math.log10(high))
    axes.set_xlabel("bytes of one request", color=SOFT)
    axes.grid(visible=True, color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(sheet: Sheet, curves: Sequence[SizeCurve], engines: Sequence[str]) -> None:
    """Draw a row for each engine, with the line of each of its directions."""
    canvas = sheet.canvas()
    for row, engine in enumerate(engines):
        top = 10.0 + row * _ROW
        left = 118.0
        sheet.write(0, top, ENGINES.get(engine, engine), weight="bold")
        for op in (curve.op for curve in curves if curve.engine == engine):
            colour = _COLOURS[engine]
            canvas.plot((left, left + _KEY), (top, top), color=colour, linewidth=2, linestyle=_LINES[op])
            dots(canvas, [(left + _KEY / 2, top)], colour, 6, square=op == "write")
            sheet.write(left + _KEY + 8, top, _WORDS[op])
            left += _KEY + 8 + wide(_WORDS[op]) + 20
