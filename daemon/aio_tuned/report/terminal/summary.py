"""The summary of a profile, and of the curves from which it was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.report import sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from aio_tuned.model.curve import Curve
    from aio_tuned.model.profile import Evidence, Profile
    from aio_tuned.model.setting import Setting

HEAD = (
    "",
    "throughput",
    "95 % interval",
    "block",
    "depth",
    "threads",
    "events",
    "submit",
    "p99",
    "ties",
    "default gives",
)

_CORNER = "block by depth"


def setting_words(setting: Setting) -> tuple[str, ...]:
    """Return words for block size, depth, threads, events and submission."""
    return (
        formatting.size(setting.block_size),
        str(setting.queue_depth),
        str(setting.io_parallelism),
        "overlap" if setting.overlap_events else "sequential",
        "single" if setting.single_submit else "batch",
    )


def _row(name: str, result: Result) -> tuple[str, ...]:
    low, high = result.throughput_ci95_bytes_per_s
    default = result.default_throughput_bytes_per_s
    gain = f" ({round(sentences.gain_percent(result)):+d}%)" if default else ""
    return (
        name,
        formatting.throughput(result.throughput_bytes_per_s),
        f"{low / 1e9:.2f} to {high / 1e9:.2f}",
        *setting_words(result.setting),
        f"{result.latency_p99_us / 1000:.2f} ms",
        str(result.ties),
        f"{formatting.throughput(default)}{gain}",
    )


def _combined_row(both: CombinedResult) -> tuple[str, ...]:
    return (
        "combined",
        f"{formatting.throughput(both.read_throughput_bytes_per_s)} r",
        f"{formatting.throughput(both.write_throughput_bytes_per_s)} w",
        *setting_words(both.setting),
        "",
        str(both.ties),
        f"{both.read_share:.0%} and {both.write_share:.0%} of the best",
    )


def _unmeasured_row(name: str, part: Unmeasured) -> tuple[str, ...]:
    by_hand = f"set by the administrator: {', '.join(part.overridden)}" if part.overridden else ""
    return (name, "not measured", "", *setting_words(part.setting), "", "", by_hand)


def rows(profile: Profile) -> list[tuple[str, ...]]:
    """Return the rows of the table of settings; skipped sections have none."""
    table = []
    for name, part in (*profile.sections(), ("combined", profile.combined)):
        if isinstance(part, Result):
            table.append(_row(name, part))
        elif isinstance(part, CombinedResult):
            table.append(_combined_row(part))
        elif isinstance(part, Unmeasured):
            table.append(_unmeasured_row(name, part))
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """The best bytes/s over threads and modes of each measured pair of block size and queue depth.

    `title` says what the figures are. `chosen` is the pair of the published setting, if that was measured.
    """

    title: str
    blocks: tuple[int, ...]
    depths: tuple[int, ...]
    cells: dict[tuple[int, int], float]
    chosen: tuple[int, int] | None

    def text(self, block: int, depth: int) -> str:
        """Return the figure of a pair in GB/s, in brackets if it is the chosen one; "-" if it was not measured."""
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
    title = f"{curve.direction} GB/s, each pair's best point, {sentences.how_measured(curve)}"
    return HeatMap(
        title=f"{title}; [ ] has the chosen setting" if chosen else title,
        blocks=tuple(sorted({block for block, _ in cells})),
        depths=tuple(sorted({depth for _, depth in cells})),
        cells=cells,
        chosen=chosen,
    )


def _course(evidence: Evidence) -> list[str]:
    """Return lines about how the sweep was made; none where there was no sweep."""
    if evidence.measured_at is None:
        return []
    measured = evidence.io_seconds / max(evidence.seconds, 0.1)
    cost = f"{formatting.duration(evidence.seconds)} ({measured:.0%} of it measured I/O)"
    points = f"{evidence.points_measured} of {evidence.points_planned} points, {evidence.visits} visits"
    notes = [f"{points} in {cost}, {formatting.size(evidence.bytes_written)} written"]
    if evidence.effort and evidence.effort != "default":
        notes.append(f"a {evidence.effort} sweep")
    if evidence.checked_against:
        notes.append(f"a check of the settings of {evidence.checked_against}, not a full sweep")
    events = []
    if evidence.paused_seconds:
        events.append(f"paused for {formatting.duration(evidence.paused_seconds)}")
    if evidence.resumed:
        events.append(f"resumed {evidence.resumed} times" if evidence.resumed > 1 else "resumed once")
    if evidence.temperature_peak_c is not None:
        events.append(f"{evidence.temperature_peak_c:.0f} °C at the hottest")
    return [*notes, ", ".join(events)] if events else notes


def _choice(name: str, part: Result) -> list[str]:
    """Return lines on how good the choice is, and why measuring ended."""
    sure = sentences.shortfall(part)
    if sure:
        sure += f"; {sentences.ended(part)}"
    against = "; ".join(said for said in (sentences.gain(part), sentences.others(part)) if said)
    lines = (sure, against, sentences.kept(part), sentences.sustained(part))
    return [f"{name}: {line}" for line in lines if line]


def _notes(profile: Profile) -> list[str]:
    evidence = profile.evidence
    notes = _course(evidence)
    for name, noise, drift in (
        ("read", evidence.read_noise, evidence.read_drift),
        ("write", evidence.write_noise, evidence.write_drift),
    ):
        if noise is not None and drift is not None:
            notes.append(f"{name}: noise {noise:.1%} between visits, drift {drift:+.1%} over the phase")
    for name, part in profile.sections():
        if isinstance(part, Result):
            notes += _choice(name, part)
    notes += [f"! {finding}" for finding in evidence.findings]
    for name, part in profile.sections():
        if isinstance(part, Skipped):
            notes.append(f"{name}: skipped: {part.skipped}")
    return notes


def _title(profile: Profile) -> str:
    device = profile.device
    words = (device.model, device.serial, device.firmware, formatting.size(device.size_bytes), device.pcie_link)
    return f"{device.name}: {profile.state}\n" + "  ".join(word for word in words if word)


def plain_table(head: Sequence[str], table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in (head, *table)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *table)
    ]


def plain(profile: Profile, curves: Sequence[Curve]) -> str:
    """Return the summary as text without colours."""
    lines = [_title(profile), "", *plain_table(HEAD, rows(profile))]
    for curve in curves:
        shown = heat_map(profile, curve)
        head = (_CORNER, *(str(depth) for depth in shown.depths))
        table = [
            (formatting.size(block), *(shown.text(block, depth) for depth in shown.depths)) for block in shown.blocks
        ]
        lines += ["", shown.title, *plain_table(head, table)]
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
    table = Table(title=shown.title, box=None, padding=(0, 0), title_justify="left")
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
    sections = rows(profile)
    columns = list(zip(HEAD, *sections, strict=True))
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    if sum(max(map(len, column)) + 2 for column in columns) <= console.width:
        for name in HEAD:
            table.add_column(name, no_wrap=True)
        for row in sections:
            table.add_row(Text(row[0], style="bold"), Text(row[1], style="bold green"), *row[2:])
    else:  # a column for each section has room on 80 columns
        for name in columns[0]:
            table.add_column(Text(name, style="bold"))
        for name, *cells in columns[1:]:
            style = "bold green" if name == HEAD[1] else ""
            table.add_row(Text(name, style="dim"), *(Text(cell, style=style) for cell in cells))
    console.print(table)
    if curves:
        console.print()
        console.print(Columns([_rich_heat_map(heat_map(profile, curve)) for curve in curves], padding=(0, 6)))
    console.print()
    for note in _notes(profile):
        console.print(Text(note, style="yellow" if note.startswith("!") else "dim"))


def terminal() -> Console | None:
    """Return standard output for colours; None if it is no terminal, or rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console()
    return console if console.is_terminal else None


def show(profile: Profile, curves: Sequence[Curve] = ()) -> None:
    """Print the summary to standard output, in colour if that is a terminal and rich is installed."""
    if console := terminal():
        _print_rich(console, profile, curves)
    else:
        print(plain(profile, curves))
