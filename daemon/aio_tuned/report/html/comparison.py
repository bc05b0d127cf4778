"""The page that compares two stored sweeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import Result
from aio_tuned.report import sentences
from aio_tuned.report.html import facts, figures, first_screen, heatmap, markup, page, prose
from aio_tuned.report.html.markup import Markup, tag
from aio_tuned.report.html.style import SHEET
from aio_tuned.report.replay import replays

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from aio_tuned.model.setting import Direction
    from aio_tuned.report.replay import Replay
    from aio_tuned.storage.sweep_archive import StoredSweep

_DIRECTIONS: tuple[Direction, ...] = ("read", "write")
_HOW_DIFFERENCES = (
    "If two intervals overlap, the throughput may be the same. If they do not, it differs: because of the drive, its"
    " link, how full it is, or a fact at the end of this page."
)
_HOW_MAPS = (
    "The maps of A and B have the same colour scale in each direction. The map of ratios shows by how many percent B is"
    " above or below A. One colour everywhere means that the drive is faster or slower as a whole. A pattern means that"
    " the best setting may have changed."
)
_HOW_FACTS = "Only the facts that differ are listed."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One of the two sweeps, with its letter and its replays; `once` has the directions chosen by one measurement."""

    letter: str
    stored: StoredSweep
    replays: dict[Direction, Replay]
    once: Collection[str]

    @property
    def name(self) -> str:
        profile = self.stored.profile
        return f"{profile.device.name} of {profile.evidence.measured_at or 'no measurement'}"


def _side(letter: str, stored: StoredSweep) -> _Side:
    found = replays(stored.samples, stored.profile.evidence)
    return _Side(
        letter=letter,
        stored=stored,
        replays={each.direction: each for each in found},
        once=page.measured_once(found, stored.profile),
    )


def verdict(direction: str, first: object, second: object, once: Collection[str] = ()) -> str:
    """Return a sentence on the change of one direction; `once` has the letters of results with one measurement."""
    name = f"{direction.capitalize()}s"
    if not (isinstance(first, Result) and isinstance(second, Result)):
        missing = [letter for letter, part in (("A", first), ("B", second)) if not isinstance(part, Result)]
        return f"{name}: not measured in {' and '.join(missing)}."
    ratio = second.throughput_bytes_per_s / first.throughput_bytes_per_s
    same = "with the same setting" if first.setting == second.setting else "with another setting"
    return f"{name}: B is {prose.change(ratio)} A, {same}; {_overlap(first, second, once)}."


def _overlap(first: Result, second: Result, once: Collection[str]) -> str:
    if once:
        return f"{prose.ONE_MEASUREMENT} in {' and '.join(sorted(once))}, so no interval"
    (low, high), (other_low, other_high) = first.throughput_ci95_bytes_per_s, second.throughput_ci95_bytes_per_s
    overlap = low <= other_high and other_low <= high
    return f"the intervals {'overlap' if overlap else 'do not overlap'}"


def _verdicts(sides: Sequence[_Side]) -> dict[Direction, str]:
    return {
        direction: verdict(
            direction,
            getattr(sides[0].stored.profile, direction),
            getattr(sides[1].stored.profile, direction),
            [side.letter for side in sides if direction in side.once],
        )
        for direction in _DIRECTIONS
    }


def _column(part: object, *, is_once: bool) -> dict[str, str]:
    if not isinstance(part, Result):
        return {"setting": "not measured"}
    default = part.default_throughput_bytes_per_s
    return {
        "setting": prose.setting(part.setting),
        "throughput": formatting.throughput(part.throughput_bytes_per_s),
        "95 % interval": figures.throughput_interval(part, is_once=is_once),
        "default's throughput": formatting.throughput(default) if default else "",
        "99th percentile latency": f"{part.latency_p99_us / 1000:.2f} ms",
        "below the best (95 %)": figures.below_best(part),
        "equivalent settings": str(part.ties),
        "confidence": part.confidence or "",
        "stopped because": part.stopped_because or "",
    }


def _differences(sides: Sequence[_Side]) -> Iterator[str]:
    for direction, sentence in _verdicts(sides).items():
        ours, theirs = (
            _column(getattr(side.stored.profile, direction), is_once=direction in side.once) for side in sides
        )
        rows = [(name, ours.get(name, ""), theirs.get(name, "")) for name in dict.fromkeys((*ours, *theirs))]
        known = [row for row in rows if any(row[1:])]
        shown = markup.table(("", "A", "B"), known, "", "figures", label=f"{direction.capitalize()}s")
        yield tag("div", tag("h3", sentence), shown)


def _maps(sides: Sequence[_Side]) -> Iterator[Markup]:
    for direction in _DIRECTIONS:
        measured = [side for side in sides if direction in side.replays]
        if not measured:
            continue
        both = [side.replays[direction] for side in measured]
        ends, every = heatmap.scale(both), heatmap.settings(both)
        charts = []
        for side, replay in zip(measured, both, strict=True):
            how = sentences.how_measured(replay.screen)
            label = f"{direction.capitalize()}s, {side.letter}: {side.name}, {how}"
            drawn = heatmap.throughput(replay, side.stored.profile, ends.high)
            name = f"heat-{direction}-{side.letter.lower()}"
            charts.append(page.figure(heatmap.draw(drawn, every, ends, name, label), label))
        if len(both) == len(sides):
            drawn, swing = heatmap.ratio(*both)
            label = f"{direction.capitalize()}s, B over A in percent"
            if drawn.cells:
                charts.append(page.figure(heatmap.draw(drawn, every, swing, f"ratio-{direction}", label), label))
            else:
                charts.append(tag("p", f"{label}: no setting was measured in both sweeps, so there is no map."))
        yield tag("div", *charts, class_="maps")


def _facts(sides: Sequence[_Side]) -> Iterator[str]:
    tables = (facts.sections(side.stored.profile) for side in sides)
    for (heading, ours), (_, theirs) in zip(*tables, strict=True):
        rows = [
            (tag("code", key), value or "none", other or "none")
            for (key, value), (_, other) in zip(ours, theirs, strict=True)
            if value != other
        ]
        name = heading.partition(":")[0]
        yield tag("h3", name)
        yield markup.table(("", "A", "B"), rows, "", label=name) if rows else tag("p", "The same in both.")


def _head(side: _Side) -> Markup:
    profile = side.stored.profile
    return tag(
        "div",
        tag("p", tag("strong", side.letter)),
        first_screen.identity(profile, "h2"),
        first_screen.verdicts(profile),
        first_screen.findings(profile, "h3"),
    )


def render(first: StoredSweep, second: StoredSweep) -> str:
    """Return the page; call it within figure.drawing()."""
    sides = (_side("A", first), _side("B", second))
    silent = [side.letter for side in sides if not side.replays]
    missing = f"The samples of {' and '.join(silent)} are missing, so they have no maps."
    return markup.document(
        f"{first.profile.device.name} and {second.profile.device.name}: aio-tuned report",
        SHEET,
        tag(
            "header",
            tag("h1", "Two sweeps compared"),
            markup.items(_verdicts(sides).values(), class_="verdicts"),
            tag("div", *map(_head, sides), class_="pair"),
        ),
        markup.section("differences", "Differences", _HOW_DIFFERENCES, tag("div", *_differences(sides), class_="pair")),
        markup.section("settings", "Every setting", _HOW_MAPS, tag("p", missing) if silent else "", *_maps(sides)),
        markup.section("evidence", "Evidence and environment", _HOW_FACTS, *_facts(sides)),
        page.footer(first.profile, second.profile),
        class_="wide",
    )
