"""The page that compares two stored sweeps side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import Result
from aio_tuned.report import sentences
from aio_tuned.report.html import facts, heatmap, markup, page, prose
from aio_tuned.report.html.markup import Markup, tag
from aio_tuned.report.html.style import SHEET
from aio_tuned.report.replay import replays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model.setting import Direction
    from aio_tuned.report.replay import Replay
    from aio_tuned.storage.sweep_archive import StoredSweep

_DIRECTIONS: tuple[Direction, ...] = ("read", "write")
_HOW_DIFFERENCES = (
    "B over A. Where the 95 % intervals overlap the two may well be the same; where they are apart, something differs:"
    " the drive, its link, its fill, or one of the facts at the end of this page."
)
_HOW_MAPS = (
    "The passes of A and B, with one scale of colours in each direction. In the map of ratios, numbers are percent that"
    " B is above or below A: one colour everywhere is a level that has changed, a pattern is another best setting."
)
_HOW_FACTS = "Only what differs. What is missing here is the same in both."


def _name(stored: StoredSweep) -> str:
    return f"{stored.profile.device.name} of {stored.profile.evidence.measured_at or 'no measurement'}"


def verdict(direction: str, first: object, second: object) -> str:
    """Return a sentence on how one direction has changed."""
    name = f"{direction.capitalize()}s"
    if not (isinstance(first, Result) and isinstance(second, Result)):
        missing = [letter for letter, part in (("A", first), ("B", second)) if not isinstance(part, Result)]
        return f"{name}: not measured in {' and '.join(missing)}."
    ratio = second.throughput_bytes_per_s / first.throughput_bytes_per_s
    same = "with the same setting" if first.setting == second.setting else "with another setting"
    return f"{name}: B gives {prose.change(ratio)} A, {same}; the intervals {_overlap(first, second)}."


def _overlap(first: Result, second: Result) -> str:
    (low, high), (other_low, other_high) = first.throughput_ci95_bytes_per_s, second.throughput_ci95_bytes_per_s
    return "overlap" if low <= other_high and other_low <= high else "are apart"


def _cells(part: object) -> tuple[str, str, str, str]:
    if not isinstance(part, Result):
        return ("not measured", "", "", "")
    return (
        prose.setting(part.setting),
        formatting.throughput(part.throughput_bytes_per_s),
        prose.interval(*part.throughput_ci95_bytes_per_s),
        str(part.ties),
    )


def _differences(first: StoredSweep, second: StoredSweep) -> Iterator[str]:
    labels = ("Setting", "Throughput", "95 % interval", "Ties")
    for direction in _DIRECTIONS:
        ours, theirs = getattr(first.profile, direction), getattr(second.profile, direction)
        yield tag("h3", verdict(direction, ours, theirs))
        rows = list(zip(labels, _cells(ours), _cells(theirs), strict=True))
        if isinstance(ours, Result) and isinstance(theirs, Result):
            rows.append(
                (
                    "The default gives",
                    formatting.throughput(ours.default_throughput_bytes_per_s),
                    formatting.throughput(theirs.default_throughput_bytes_per_s),
                )
            )
            rows.append(("99 of 100 requests within", _latency(ours), _latency(theirs)))
            rows.append(("Choice", sentences.shortfall(ours), sentences.shortfall(theirs)))
            rows.append(("Confidence", sentences.ended(ours), sentences.ended(theirs)))
        yield markup.table(
            ("", "A", "B"), [row for row in rows if any(row[1:])], f"{direction.capitalize()}s", "figures"
        )


def _latency(part: Result) -> str:
    return f"{part.latency_p99_us / 1000:.2f} ms"


def _maps(letter_of: dict[str, tuple[StoredSweep, dict[Direction, Replay]]]) -> Iterator[str]:
    for direction in _DIRECTIONS:
        there = {
            letter: (stored, found[direction]) for letter, (stored, found) in letter_of.items() if direction in found
        }
        if not there:
            continue
        both = [replay for _, replay in there.values()]
        ends, every = heatmap.scale(both), heatmap.settings(both)
        for letter, (stored, replay) in there.items():
            label = f"{direction.capitalize()}s, {letter}: {_name(stored)}, {sentences.how_measured(replay.screen)}"
            drawn = heatmap.throughput(replay, stored.profile, ends.high)
            name = f"heat-{direction}-{letter.lower()}"
            yield page.figure(heatmap.draw(drawn, every, ends, name, label), label)
        if len(both) == 2:  # noqa: PLR2004 - A and B
            drawn, swing = heatmap.ratio(*both)
            label = f"{direction.capitalize()}s, B over A"
            if not drawn.cells:
                yield tag("p", f"{label}: no setting was measured in both, so there is no map of ratios.")
                continue
            yield page.figure(heatmap.draw(drawn, every, swing, f"ratio-{direction}", label), label)


def _facts(first: StoredSweep, second: StoredSweep) -> Iterator[str]:
    for (heading, ours), (_, theirs) in zip(facts.sections(first.profile), facts.sections(second.profile), strict=True):
        rows = [
            (tag("code", key), value or "none", other or "none")
            for (key, value), (_, other) in zip(ours, theirs, strict=True)
            if value != other
        ]
        yield tag("h3", heading.partition(":")[0])
        yield markup.table(("", "A", "B"), rows, "") if rows else tag("p", "The same in both.")


def render(first: StoredSweep, second: StoredSweep) -> str:
    """Return the page; call it within figure.drawing()."""
    pair = {"A": first, "B": second}
    replayed: dict[str, tuple[StoredSweep, dict[Direction, Replay]]] = {
        letter: (
            stored,
            {each.direction: each for each in replays(stored.samples, stored.profile.evidence)},
        )
        for letter, stored in pair.items()
    }
    silent = [letter for letter, (_, found) in replayed.items() if not found]
    maps = list(_maps(replayed))
    missing = f"The samples of {' and '.join(silent)} are not there: without them there is no map."
    heads = (
        tag("div", tag("p", tag("strong", letter)), page.head(stored.profile, "h2"))
        for letter, (stored, found) in replayed.items()
    )
    summary = markup.items(
        [verdict(name, getattr(first.profile, name), getattr(second.profile, name)) for name in _DIRECTIONS],
        class_="verdicts",
    )
    return markup.document(
        f"{first.profile.device.name} and {second.profile.device.name}: aio-tuned report",
        SHEET,
        tag("header", tag("h1", "Two sweeps compared"), summary, tag("div", *heads, class_="pair")),
        markup.section("differences", "Differences", _HOW_DIFFERENCES, *_differences(first, second)),
        markup.section("settings", "Every setting", _HOW_MAPS, tag("p", missing) if silent else Markup(""), *maps),
        markup.section("evidence", "Evidence and environment", _HOW_FACTS, *_facts(first, second)),
        page.footer(first.profile, second.profile),
    )
