"""The sweeps of a drive, oldest first, and the changes from each to the next."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.formatting import percent
from aio_tuned.model.profile import Fingerprint, Profile, Result
from aio_tuned.profiles.host_changes import HOST_KEYS
from aio_tuned.report.terminal import summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from aio_tuned.model.setting import Setting

# Two findings that differ only in figures count as the same finding.
_FIGURE = re.compile(r"[+-]?\d+(?:\.\d+)?(?:%| ?(?:[KMGT]i?B/s|[KMGT]i?B|[KMGT]|°C|ms|s)\b)?")

_HEAD = ("sweep", "state", "effort", "kernel", "firmware", "read", "", "setting", "write", "", "setting")

_DRIVES_HEAD = ("drive", "sweeps", "last", "state", "read", "write")

# With fewer than _FEWEST earlier sweeps, a change is unusual if it exceeds this share.
_USUAL = 0.03
_FEWEST = 3
# With more, a change is unusual if it exceeds three times the median of the earlier changes. That is two standard
# deviations of a normal distribution, and one real change hardly moves it. Changes below one percent are ignored.
_MEDIANS = 3
_LEAST = 0.01

_ALIKE = " (equivalent, within the tolerance)"
_LEGEND = (
    "* significant: the 95 % intervals do not overlap, and the change exceeds the drive's usual change"
    " (3 % for a drive with fewer than three earlier sweeps)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gave:
    """The figures of one direction.

    `change` is the change of the throughput since the previous sweep, as a share; None if that sweep did not measure
    the direction. A change is `certain` if the two 95 % intervals do not overlap, and if it is larger than the drive's
    usual change from sweep to sweep.
    """

    setting: Setting
    bytes_per_s: int
    ci95_bytes_per_s: tuple[int, int]
    change: float | None = None
    certain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference from the previous sweep: a setting, or a field of the fingerprint.

    Two settings are `alike` if one of the two sweeps has measured them within its tolerance of each other.
    """

    what: str
    before: str
    after: str
    alike: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sweep and its differences from the previous one; the first sweep has no differences.

    `sweep` is its stamp; `effort` is "check" where a sibling's settings were checked.
    """

    sweep: str
    state: str
    effort: str
    points: int
    kernel: str
    firmware: str
    read: Gave | None
    write: Gave | None
    changes: tuple[Change, ...] = ()
    findings_new: tuple[str, ...] = ()
    findings_gone: tuple[str, ...] = ()


def _logarithm(now: Result, before: Result) -> float:
    """Return the size of a change as a logarithm, which is the same in both directions."""
    return abs(math.log(now.throughput_bytes_per_s / before.throughput_bytes_per_s))


def _usual(earlier: Sequence[Result]) -> float:
    """Return the usual size of a change, as a logarithm, for a direction with these earlier sweeps, oldest first."""
    if len(earlier) < _FEWEST:
        return math.log1p(_USUAL)
    changes = [_logarithm(now, before) for before, now in pairwise(earlier)]
    return max(_MEDIANS * median(changes), math.log1p(_LEAST))


def _gave(now: object, before: object, earlier: Sequence[Result]) -> Gave | None:
    """Return the figures of one direction; `earlier` are the results of all earlier sweeps that measured it."""
    if not isinstance(now, Result):
        return None
    change, certain = None, False
    if isinstance(before, Result):
        (low, high), (low_before, high_before) = now.throughput_ci95_bytes_per_s, before.throughput_ci95_bytes_per_s
        change = round(now.throughput_bytes_per_s / before.throughput_bytes_per_s - 1, 4)
        limit = _usual(earlier)
        if now.setting != before.setting and _alike(now, before):
            # Two equivalent settings may differ by the tolerance without any change of the drive.
            limit = max(limit, math.log1p((now.tolerance_percent or 0.0) / 100))
        certain = (low > high_before or high < low_before) and _logarithm(now, before) > limit
    return Gave(
        setting=now.setting,
        bytes_per_s=now.throughput_bytes_per_s,
        ci95_bytes_per_s=now.throughput_ci95_bytes_per_s,
        change=change,
        certain=certain,
    )


def _words(setting: Setting) -> str:
    return " ".join(summary.setting_words(setting))


def _settings(now: Profile, before: Profile) -> list[Change]:
    found = []
    for name, new, old in (
        ("read setting", now.read, before.read),
        ("write setting", now.write, before.write),
        ("combined setting", now.combined, before.combined),
    ):
        setting, earlier = getattr(new, "setting", None), getattr(old, "setting", None)
        if setting != earlier:
            was, is_now = ("none" if one is None else _words(one) for one in (earlier, setting))
            found.append(Change(what=name, before=was, after=is_now, alike=_alike(new, old)))
    return found


def _alike(now: object, before: object) -> bool:
    """Return whether either sweep had the other's setting among its challengers, within its tolerance."""
    if not (isinstance(now, Result) and isinstance(before, Result)):
        return False
    return any(
        dict(one.challenger_shares()).get(other.setting, 0.0) >= 1 - (one.tolerance_percent or 0.0) / 100
        for one, other in ((now, before), (before, now))
    )


def _fingerprint(now: Fingerprint, before: Fingerprint) -> list[Change]:
    """Return the changes; a key of the host that one profile lacks is unknown, not changed."""
    return [
        Change(what=item.name, before=str(old) or "unknown", after=str(new) or "unknown")
        for item in fields(now)
        if (new := getattr(now, item.name)) != (old := getattr(before, item.name))
        and not (item.name in HOST_KEYS and None in (old, new))
    ]


def _unlike(findings: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Return the findings that `others` lack; the figures in them are not compared."""
    known = {_FIGURE.sub("#", other) for other in others}
    return tuple(finding for finding in findings if _FIGURE.sub("#", finding) not in known)


def _row(sweep: str, now: Profile, past: Sequence[Profile]) -> Row:
    """Return the row of a sweep; `past` are the sweeps before it, oldest first."""
    evidence, before = now.evidence, past[-1] if past else None
    found = evidence.findings if before else ()
    earlier = before.evidence.findings if before else ()
    return Row(
        sweep=sweep,
        state=now.state,
        effort="check" if evidence.checked_against else evidence.effort or "default",
        points=evidence.points_measured,
        kernel=evidence.kernel,
        firmware=now.device.firmware,
        read=_gave(now.read, before and before.read, [one.read for one in past if isinstance(one.read, Result)]),
        write=_gave(now.write, before and before.write, [one.write for one in past if isinstance(one.write, Result)]),
        changes=(*_settings(now, before), *_fingerprint(now.fingerprint, before.fingerprint)) if before else (),
        findings_new=_unlike(found, earlier),
        findings_gone=_unlike(earlier, found),
    )


def rows(sweeps: Mapping[str, Profile]) -> tuple[Row, ...]:
    """Return a row for each sweep of a drive, given its profiles by stamp, oldest first."""
    profiles = tuple(sweeps.values())
    return tuple(_row(sweep, now, profiles[:number]) for number, (sweep, now) in enumerate(sweeps.items()))


def _change(gave: Gave) -> str:
    return "" if gave.change is None else f"{percent(gave.change)}{'*' if gave.certain else ''}"


def _cells(row: Row) -> tuple[str, ...]:
    cells = [row.sweep, row.state, f"{row.effort}, {row.points} settings", row.kernel, row.firmware or "-"]
    for gave in (row.read, row.write):
        if gave is None:
            cells += ["-", "", ""]
        else:
            cells += [formatting.throughput(gave.bytes_per_s), _change(gave), _words(gave.setting)]
    return tuple(cells)


def _differences(row: Row) -> list[str]:
    return [
        *(
            f"{change.what}: {change.before} -> {change.after}{_ALIKE if change.alike else ''}"
            for change in row.changes
        ),
        *(f"new finding: {finding}" for finding in row.findings_new),
        *(f"no longer found: {finding}" for finding in row.findings_gone),
    ]


def _notes(found: Sequence[Row]) -> list[str]:
    """Return the lines below the table: one block for each sweep that differs from the previous one."""
    notes = []
    if any(gave and gave.certain for row in found for gave in (row.read, row.write)):
        notes += ["", _LEGEND]
    for row in found:
        if differences := _differences(row):
            notes += ["", f"{row.sweep}, compared with the previous sweep:", *(f"  {line}" for line in differences)]
    return notes


def plain(name: str, found: Sequence[Row]) -> str:
    """Return the history of a drive as text without colours."""
    return "\n".join([name, "", *summary.plain_table(_HEAD, [_cells(row) for row in found]), *_notes(found)])


def _drive(name: str, found: Sequence[Row]) -> tuple[str, ...]:
    last = found[-1]
    rates = (formatting.throughput(gave.bytes_per_s) if gave else "-" for gave in (last.read, last.write))
    return (name, str(len(found)), last.sweep, last.state, *rates)


def plain_drives(histories: Mapping[str, Sequence[Row]]) -> str:
    """Return one line for each drive, with its last sweep."""
    return "\n".join(summary.plain_table(_DRIVES_HEAD, [_drive(name, found) for name, found in histories.items()]))


def _print_rich(console: Console, head: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for title in head:
        made.add_column(title)
    for row in table:
        made.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    console.print(made)


def _style(cell: str) -> str:
    """Return the style of a cell: green for a certain improvement, red for a certain decline."""
    return {"+": "green", "-": "red"}.get(cell[:1], "") if cell.endswith("*") else ""


def show(name: str, found: Sequence[Row]) -> None:
    """Print the history of a drive, in colour if standard output is a terminal and rich is installed."""
    if not (console := summary.terminal()):
        print(plain(name, found))
        return
    from rich.text import Text

    console.print(Text(name, style="bold"))
    _print_rich(console, _HEAD, [_cells(row) for row in found])
    for note in _notes(found):
        console.print(Text(note, style="" if note.startswith("  ") else "dim"))


def show_drives(histories: Mapping[str, Sequence[Row]]) -> None:
    """Print one line for each drive, in colour as show() does."""
    if console := summary.terminal():
        _print_rich(console, _DRIVES_HEAD, [_drive(name, found) for name, found in histories.items()])
    else:
        print(plain_drives(histories))
