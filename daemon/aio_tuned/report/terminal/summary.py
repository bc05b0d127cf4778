"""The summary of a profile and of its measurements, and the settings to paste into a configuration."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING, Setting
from aio_tuned.report import parameters, sentences
from aio_tuned.report.terminal import color, curve_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from aio_tuned.model.curve import Curve
    from aio_tuned.model.profile import Evidence, Profile

HEAD = (
    "",
    "throughput",
    "95 % interval",
    *parameters.KEYS,
    "p99 latency",
    "over the default",
)

_CORNER = "block \\ depth"


def setting_words(setting: Setting) -> tuple[str, ...]:
    """Return a word for each parameter of the setting."""
    return (
        formatting.size(setting.block_size),
        str(setting.queue_depth),
        str(setting.io_parallelism),
        "overlap" if setting.overlap_events else "sequential",
        "single" if setting.single_submit else "batch",
    )


def _values(setting: Setting) -> tuple[str, ...]:
    """Return the value of each key as people write it: "1M", "8", "true"."""
    _, *others = (parameters.value(setting, key) for key in parameters.KEYS)
    return (formatting.size(setting.block_size), *others)


def _measured_once(name: str, result: Result, curves: Sequence[Curve]) -> bool:
    """Return whether the throughput is that of a single measurement, whose interval is only an estimate."""
    return any(
        stats.visits == 1
        and result.setting in stats.point.aliases
        and abs(stats.bytes_per_s - result.throughput_bytes_per_s) <= 1
        for curve in curves
        if curve.direction == name
        for stats in curve.points
    )


def _versus_default(result: Result) -> str:
    default = result.default_throughput_bytes_per_s
    if not default:
        return "not measured"
    if result.setting == DEFAULT_SETTING:
        return "is the default"
    gain = round(sentences.gain_percent(result))
    return f"{gain:+d} % ({formatting.throughput(default)})"


def _row(name: str, result: Result, curves: Sequence[Curve]) -> tuple[str, ...]:
    at, (low, high) = result.throughput_bytes_per_s, result.throughput_ci95_bytes_per_s
    return (
        name,
        formatting.throughput(at),
        "one measurement" if _measured_once(name, result, curves) else formatting.throughput_range(low, high, at),
        *_values(result.setting),
        f"{result.latency_p99_us / 1000:.2f} ms",
        _versus_default(result),
    )


def _combined_row(both: CombinedResult) -> tuple[str, ...]:
    return (
        "combined",
        f"{formatting.throughput(both.read_throughput_bytes_per_s)} read",
        f"{formatting.throughput(both.write_throughput_bytes_per_s)} write",
        *_values(both.setting),
        "",
        "",
    )


def _unmeasured_row(name: str, part: Unmeasured) -> tuple[str, ...]:
    return (name, "not measured", "", *_values(part.setting), "", "")


def rows(profile: Profile, curves: Sequence[Curve] = ()) -> list[tuple[str, ...]]:
    """Return the rows of the table of settings; skipped sections have none."""
    table = []
    for name, part in (*profile.sections(), ("combined", profile.combined)):
        if isinstance(part, Result):
            table.append(_row(name, part, curves))
        elif isinstance(part, CombinedResult):
            table.append(_combined_row(part))
        elif isinstance(part, Unmeasured):
            table.append(_unmeasured_row(name, part))
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """The best bytes/s of each measured pair of block size and queue depth, over the other parameters.

    `chosen` is the pair of the published setting, if it was measured.
    """

    title: str
    blocks: tuple[int, ...]
    depths: tuple[int, ...]
    cells: dict[tuple[int, int], float]
    chosen: tuple[int, int] | None

    def text(self, block: int, depth: int) -> str:
        """Return the throughput of a pair in GB/s, in brackets if it is the chosen one; "-" if it was not measured."""
        if (block, depth) not in self.cells:
            return "-"
        figure = f"{self.cells[block, depth] / 1e9:.2f}"
        return f"[{figure}]" if (block, depth) == self.chosen else figure


def heat_map(profile: Profile, curve: Curve) -> HeatMap:
    """Return the map of one direction's curve, with the profile's setting marked."""
    cells: dict[tuple[int, int], float] = {}
    for stats in curve.points:
        for setting in stats.point.aliases:
            cell = (setting.block_size, setting.queue_depth)
            cells[cell] = max(cells.get(cell, 0.0), stats.bytes_per_s)
    part = profile.read if curve.direction == "read" else profile.write
    pair = (part.setting.block_size, part.setting.queue_depth) if isinstance(part, Result) else None
    chosen = pair if pair in cells else None
    title = f"{curve.direction} GB/s: best of each block size and queue depth, {sentences.how_measured(curve)}"
    return HeatMap(
        title=f"{title}; [chosen]" if chosen else title,
        blocks=tuple(sorted({block for block, _ in cells})),
        depths=tuple(sorted({depth for _, depth in cells})),
        cells=cells,
        chosen=chosen,
    )


def _course(evidence: Evidence, curves: int) -> list[str]:
    """Return lines on how the sweep ran; none if the profile was not made by a sweep.

    `curves` is the number of curves by request size.
    """
    if evidence.measured_at is None:
        return []
    done, planned = evidence.points_measured, evidence.points_planned
    settings = f"{done:,} settings" if done == planned else f"{done:,} of {planned:,} settings"
    if curves:
        settings += f" and {curves} curves by request size"
    moved = f"read {formatting.amount(evidence.bytes_read)}, wrote {formatting.amount(evidence.bytes_written)}"
    notes = [f"{evidence.visits:,} measurements of {settings} in {formatting.duration(evidence.seconds)}; {moved}"]
    if evidence.effort and evidence.effort != "default":
        notes.append(f"{evidence.effort} sweep")
    notes += sentences.origin(evidence)
    events = []
    if evidence.paused_seconds:
        events.append(f"paused for {formatting.duration(evidence.paused_seconds)}")
    if evidence.resumed:
        events.append(f"resumed {evidence.resumed} times" if evidence.resumed > 1 else "resumed once")
    if evidence.temperature_peak_c is not None:
        events.append(f"{evidence.temperature_peak_c:.0f} °C peak")
    return [*notes, ", ".join(events)] if events else notes


def _choice(name: str, part: Result) -> list[str]:
    """Return lines on how good the chosen setting is, and why measuring ended."""
    sure = sentences.shortfall(part)
    if sure:
        sure += f"; {sentences.ended(part)}"
    against = "; ".join(said for said in (sentences.gain(part), sentences.others(part)) if said)
    lines = (sure, against, sentences.kept(part), sentences.sustained(part))
    return [f"{name}: {line}" for line in lines if line]


def _notes(profile: Profile) -> list[str]:
    evidence = profile.evidence
    notes = _course(evidence, len(profile.curves))
    for name, noise, drift in (
        ("read", evidence.read_noise, evidence.read_drift),
        ("write", evidence.write_noise, evidence.write_drift),
    ):
        if noise is not None and drift is not None:
            notes.append(f"{name}: measurements vary by {100 * noise:.1f} %, drift {100 * drift:+.1f} %")
    for name, part in (*profile.sections(), ("combined", profile.combined)):
        if isinstance(part, Result):
            notes += _choice(name, part)
        elif isinstance(part, CombinedResult):
            read, write = (f"{100 * share:.0f} % of the best" for share in (part.read_share, part.write_share))
            notes.append(f"{name}: {read} read throughput, {write} write throughput")
        elif isinstance(part, Unmeasured) and part.overridden:
            notes.append(f"{name}: set by the administrator: {', '.join(part.overridden)}")
        elif isinstance(part, Skipped) and name != "combined":  # which follows from the others
            notes.append(f"{name}: not measured: {part.skipped}")
    return [*notes, *(f"! {finding}" for finding in evidence.findings)]


def _title(profile: Profile) -> str:
    device = profile.device
    words = (device.model, device.serial, device.firmware, formatting.capacity(device.size_bytes), device.pcie_link)
    return f"{device.name}: {profile.state}\n" + "  ".join(word for word in words if word)


def plain_table(head: Sequence[str], table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in (head, *table)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *table)
    ]


def plain(profile: Profile, curves: Sequence[Curve]) -> str:
    """Return the summary as text without colours."""
    lines = [_title(profile), "", *plain_table(HEAD, rows(profile, curves))]
    for curve in curves:
        shown = heat_map(profile, curve)
        head = (_CORNER, *(str(depth) for depth in shown.depths))
        table = [
            (formatting.size(block), *(shown.text(block, depth) for depth in shown.depths)) for block in shown.blocks
        ]
        lines += ["", shown.title, *plain_table(head, table)]
    if curves and (by_size := curve_table.table(profile)):
        lines += ["", curve_table.TITLE, *plain_table(by_size[0], by_size[1:])]
    if notes := _notes(profile):
        lines += ["", *notes]
    return "\n".join(lines)


def _colour(share: float) -> str:
    """Return a background from red (half of the best, and less) over yellow to green (the best)."""
    warmth = min(1.0, max(0.0, (share - 0.5) * 2))
    red, green = (200, int(40 + 280 * warmth)) if warmth < 0.5 else (int(200 - 340 * (warmth - 0.5)), 180)  # noqa: PLR2004 - a colour
    return f"black on rgb({red},{green},70)"


def _rich_heat_map(shown: HeatMap) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    best = max(shown.cells.values(), default=1.0)
    # A Text, since "[chosen]" in a string would be a style.
    table = Table(title=Text(shown.title, style="table.title"), box=None, padding=(0, 0), title_justify="left")
    table.add_column(_CORNER, justify="right")
    for depth in shown.depths:
        table.add_column(f"{depth}", justify="center", min_width=8)
    for block in shown.blocks:
        row = [Text(f"{formatting.size(block)} ")]
        for depth in shown.depths:
            value = shown.cells.get((block, depth))
            mark = " bold" if (block, depth) == shown.chosen else ""
            row.append(Text(f"{shown.text(block, depth):^8}", style=_colour(value / best) + mark if value else "dim"))
        table.add_row(*row)
    return table


def _print_rich(console: Console, profile: Profile, curves: Sequence[Curve]) -> None:
    from rich.columns import Columns
    from rich.table import Table
    from rich.text import Text

    console.print()
    console.print(Text(_title(profile), style="bold"))
    sections = rows(profile, curves)
    columns = list(zip(HEAD, *sections, strict=True))
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    if sum(max(map(len, column)) + 2 for column in columns) <= console.width:
        for name in HEAD:
            table.add_column(name, no_wrap=True)
        for row in sections:
            table.add_row(Text(row[0], style="bold"), Text(row[1], style="bold green"), *row[2:])
    else:  # a column for each section fits into 80 columns
        for name in columns[0]:
            table.add_column(Text(name, style="bold"))
        for name, *cells in columns[1:]:
            style = "bold green" if name == HEAD[1] else ""
            table.add_row(Text(name, style="dim"), *(Text(cell, style=style) for cell in cells))
    console.print(table)
    if curves:
        console.print()
        console.print(Columns([_rich_heat_map(heat_map(profile, curve)) for curve in curves], padding=(0, 6)))
    if curves and (by_size := curve_table.table(profile)):
        console.print()
        console.print(Text(curve_table.TITLE, style="table.title"))
        lines = plain_table(by_size[0], by_size[1:])
        console.print(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))
    console.print()
    for note in _notes(profile):
        folded = textwrap.wrap(
            note, console.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        console.print(Text("\n".join(folded), style="yellow" if note.startswith("!") else "dim"))


def terminal() -> Console | None:
    """Return standard output as a console of rich; None if it is no terminal or rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console(color_system=color.system())
    return console if console.is_terminal else None


def show(profile: Profile, curves: Sequence[Curve] = ()) -> None:
    """Print the summary to standard output, in colour if that is a terminal and rich is installed.

    After a sweep, which has `curves`, it has the heat maps and the short table by request size, too.
    """
    if console := terminal():
        _print_rich(console, profile, curves)
    else:
        print(plain(profile, curves))


def to_paste(profile: Profile, command: str) -> list[str]:
    """Return the lines to paste: the five keys in TOML, once for each different setting, and the export `command`."""
    found: dict[Setting, list[str]] = {}
    for name, part in (("combined", profile.combined), *profile.sections()):
        if not isinstance(part, Skipped):
            found.setdefault(part.setting, []).append(name)
    lines = []
    for setting, names in found.items():
        lines += [f"# {', '.join(names)}", *parameters.toml_lines(setting), ""]
    return [*lines, command]
