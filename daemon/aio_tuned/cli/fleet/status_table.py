"""The classes of a fleet as a table, the remarks on each class, and the drives that need a look."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from aio_tuned.cli.fleet.ages import ago
from aio_tuned.fleet.consensus import MOST_NAMES
from aio_tuned.model.profile import SHARE_ONE
from aio_tuned.report.terminal import summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from aio_tuned.fleet.class_status import ClassStatus, Noted

# The hardware is last, and is left out where the terminal is too narrow for it.
_HEAD = ("class", "generation", "drives", "confirmed", "waiting", "odd", "stale", "swept", "hardware")
_RIGHT = frozenset({"drives", "confirmed", "waiting", "odd", "stale"})
# Columns of which any number but 0 is a reason to look.
_ALARMS = frozenset({"odd", "stale"})
_LONGEST_HARDWARE = 40
_WIDTH = 100
_WIDE = 120
NO_CLASSES = (
    "the fleet has no classes yet; the coordinator writes them after the first reports: see journalctl -u"
    " aio-tuned-fleet-coordinator"
)


def _generation(status: ClassStatus) -> str:
    """Return the generation, and the share of the nodes that it reaches if that is not all."""
    if not status.generation:
        return "none yet"
    if status.rollout is None or status.rollout.reach >= SHARE_ONE:
        return str(status.generation)
    return f"{status.generation}, {100 * status.rollout.reach / SHARE_ONE:.3g} %"


def _odd(status: ClassStatus) -> str:
    odd = sum(each.kind == "odd" for each in status.noted)
    # A status names so many drives at most.
    return f"{odd}+" if len(status.noted) >= MOST_NAMES and odd else str(odd)


def _row(status: ClassStatus) -> tuple[str, ...]:
    return (
        status.hardware_class,
        _generation(status),
        f"{status.drives:,}",
        f"{status.confirmed:,}",
        f"{status.waiting:,}",
        _odd(status),
        f"{status.stale:,}",
        f"{status.swept}/{status.wanted}",
        textwrap.shorten(status.about, _LONGEST_HARDWARE, placeholder=" …") or "unknown",
    )


def _title(status: ClassStatus, now_s: float) -> str:
    nodes = "1 node" if status.nodes == 1 else f"{status.nodes:,} nodes"
    about = status.about or "unknown hardware"
    return f"class {status.hardware_class}: {about}; {nodes}; as of {ago(status.made_at_s, now_s)}"


def _remarks(status: ClassStatus) -> Iterator[str]:
    if not status.generation and status.swept < status.wanted:
        yield f"waiting for its sweeps: {status.swept} of {status.wanted} swept"
    if status.decision:
        yield status.decision
    if status.pinned:
        yield f"pinned: {status.pinned}"
    if status.refused:
        yield f"! checks of {status.refused:,} of its drives do not confirm generation {status.generation}"
    if status.disagreement:
        yield f"! the sweeps disagree: {status.disagreement}"
    if status.ignored:
        reports = "report is" if status.ignored == 1 else "reports are"
        yield f"! {status.ignored:,} {reports} ignored, because no trusted key signed them, or they are damaged"


def _noted(each: Noted) -> str:
    return f"! {each.kind} {each.node} {each.drive}: {each.why}"


def _notes(status: ClassStatus) -> list[str]:
    """Return the lines below the table for a class; the drives of one kind follow each other."""
    lines = [*_remarks(status)]
    for _, drives in groupby(sorted(status.noted), key=lambda each: each.kind):
        lines += map(_noted, drives)
    return lines


def _folded(line: str, width: int) -> list[str]:
    return textwrap.wrap(
        line,
        width,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def plain(statuses: Sequence[ClassStatus], now_s: float) -> str:
    """Return the table and the lines below it as text without colors."""
    if not statuses:
        return NO_CLASSES
    rows = [_row(each) for each in statuses]
    widths = [max(len(row[column]) for row in (_HEAD, *rows)) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.rjust(width) if title in _RIGHT else cell.ljust(width)
            for title, cell, width in zip(_HEAD, row, widths, strict=True)
        ).rstrip()
        for row in (_HEAD, *rows)
    ]
    for status in statuses:
        lines += ["", _title(status, now_s)]
        lines += [part for note in _notes(status) for part in _folded(note, _WIDTH)]
    return "\n".join(lines)


def _print_rich(console: Console, statuses: Sequence[ClassStatus], now_s: float) -> None:
    from rich.table import Table
    from rich.text import Text

    head = _HEAD if console.width >= _WIDE else _HEAD[:-1]
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for title in head:
        table.add_column(title, justify="right" if title in _RIGHT else "left", no_wrap=True)
    for status in statuses:
        table.add_row(
            *(Text(cell, style=_style(title, cell, status)) for title, cell in zip(head, _row(status), strict=False))
        )
    console.print(table)
    for status in statuses:
        console.print()
        console.print(Text(_title(status, now_s), style="bold"))
        for note in _notes(status):
            style = "yellow" if note.startswith("!") else "dim"
            console.print(Text("\n".join(_folded(note, max(console.width, _LONGEST_HARDWARE))), style=style))


def _style(title: str, cell: str, status: ClassStatus) -> str:
    """Return the style of a cell: yellow for what needs a look, green for a class of which every drive is confirmed."""
    if title in _ALARMS and cell != "0":
        return "yellow"
    if title == "confirmed" and status.drives and status.confirmed == status.drives:
        return "green"
    return "bold" if title == "class" else ""


def show(statuses: Sequence[ClassStatus], now_s: float) -> None:
    """Print the classes, in color if standard output is a terminal and rich is installed."""
    if statuses and (console := summary.terminal()):
        _print_rich(console, statuses, now_s)
    else:
        print(plain(statuses, now_s))
