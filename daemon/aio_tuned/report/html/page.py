"""The page of one stored sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import Result
from aio_tuned.profiles import codec as profiles
from aio_tuned.report import sentences
from aio_tuned.report.html import (
    consumers,
    facts,
    figures,
    first_screen,
    heatmap,
    interval_plot,
    markup,
    prose,
    search_plot,
    time_plot,
)
from aio_tuned.report.html.markup import Markup, tag
from aio_tuned.report.html.style import SHEET
from aio_tuned.report.measurement_timeline import build_timeline
from aio_tuned.report.replay import replays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aio_tuned.model.profile import Profile
    from aio_tuned.report.replay import Replay
    from aio_tuned.storage.sweep_archive import StoredSweep

# In the order of the page: name, heading, purpose.
_SECTIONS = (
    ("figures", "Figures", "throughput, latency and confidence of each setting"),
    ("settings", "Every setting", "throughput by block size, queue depth, threads and mode"),
    ("ties", "Finalists", "the intervals of the fastest settings"),
    ("race", "Search", "the order of the measurements, and how the confidence grew"),
    ("time", "Throughput over time", "whether the drive was steady"),
    ("sizes", "Requests of one size", "threads, or requests in flight, by request size and engine"),
    ("consumers", "Engines, memory and processes", "what else changes a consumer's throughput"),
    ("evidence", "Evidence and environment", "how the sweep ran, and what the figures depend on"),
    ("profile", "Profile", "the published file"),
)
_HOW = {
    "figures": """
Equivalent settings are probably within the tolerance of the best, the chosen setting included. Each setting not ruled
out has a probability above 0.5 % of being the best.""",
    "settings": """
Each cell is one setting with its throughput in GB/s (MB/s on slow drives); brighter is faster. The block size grows
downwards, the queue depth to the right. There is a column for each thread count and a row for each mode. Hover over a
cell for its figures. One cell is noisy: the sweep measures each setting once, briefly, to select the finalists.""",
    "ties": """
A line is the 95 % interval of one setting, its mark the measured throughput; a ring is one measurement, without an
interval. The choice uses the estimate at the upright tick, which takes similar settings into account. The percentage is
the probability that the setting is within the tolerance of the best.""",
    "race": """
Above: every measurement, by the final rank of its setting (1 is the fastest). Left of the upright line every setting is
measured once; right of it the finalists are compared. Middle: the number of finalists that may be the best. Below: the
95 % bound on how far the chosen setting is below the best; the dashed line is the tolerance.""",
    "time": """
Each dot is a measurement, in percent above or below its setting's own throughput; dots at the edge lie beyond it. The
thick line is the drift of the whole drive, for which all figures are corrected. A flat band around 0 is a steady drive;
steps and waves come from heat, a full write cache, garbage collection or other processes.""",
    "sizes": """
Requests of one size at random places, as consumers with pages or chunks make them. Each mark is the fewest requests in
flight, over all threads, that give 95 % of the most throughput with that size. Mixed is 70 % reads. A p99 of fewer than
1,000 requests is left out.""",
    "consumers": """
Divide the requests in flight (queue depth times threads) of each process by the number in its row, the largest that
keeps 98 % of the most throughput. The other figures are with it; the slowest process is compared with the mean.""",
}


def measured_once(every: Sequence[Replay], profile: Profile) -> frozenset[str]:
    """Return the directions whose chosen setting has a single measurement."""
    found = set()
    for replay in every:
        chosen = heatmap.chosen(profile, replay.direction)
        if any(chosen in stats.point.aliases and stats.visits == 1 for stats in replay.curve.points):
            found.add(replay.direction)
    return frozenset(found)


def _figures(profile: Profile, every: Sequence[Replay]) -> Markup:
    head, _ = figures.keys(profile)
    rows = figures.rows(profile, measured_once(every, profile))
    if not rows:
        return Markup("")
    return _section("figures", markup.table(head, rows, "", "figures", label="Figures"))


def figure(chart: Markup, caption: str) -> Markup:
    """Return a chart in a scrolling box, with its caption above it."""
    return tag("figure", tag("figcaption", tag("h3", caption)), markup.box(chart, caption))


def _heat(every: Sequence[Replay], profile: Profile) -> Iterator[str]:
    for replay in every:
        name = replay.direction
        ends = heatmap.scale([replay])
        label = f"{name.capitalize()}s: throughput of every setting"
        yield figure(
            heatmap.draw(
                heatmap.throughput(replay, profile, ends.high),
                heatmap.settings([replay]),
                ends,
                f"heat-{name}",
                f"{label}: from {ends.low_words} to {ends.high_words}",
            ),
            f"{label}, {sentences.how_measured(replay.screen)}",
        )


def _forests(every: Sequence[Replay], profile: Profile) -> Iterator[str]:
    for replay in every:
        result = getattr(profile, replay.direction)
        if isinstance(result, Result):
            found = interval_plot.field(replay, result)
            kind = "settings" if replay.race is None else "finalists"
            label = f"{replay.direction.capitalize()}s: the {len(replay.curve.points)} {kind}"
            size = formatting.amount(replay.curve.transfer_bytes)
            yield figure(
                interval_plot.draw(found, f"forest-{replay.direction}", label), f"{label}, in transfers of {size}"
            )


def _courses(every: Sequence[Replay], profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield, for each direction, the charts of the search and of throughput over time."""
    for replay in every:
        name, result = replay.direction, getattr(profile, replay.direction)
        course = build_timeline(replay, profile.evidence)
        steps = search_plot.steps(replay, course, heatmap.chosen(profile, name))
        tolerance = interval_plot.tolerance_percent(result if isinstance(result, Result) else None)
        left = f"; {prose.count(steps[-1].candidates, 'setting')} not ruled out at the end" if steps else ""
        searched = f"{name.capitalize()}s: the search{left}"
        timed = f"{name.capitalize()}s: throughput over time, drift {prose.percent(replay.curve.drift)}, noise"
        timed += f" {replay.curve.noise * 100:.1f} % between measurements"
        yield (
            figure(search_plot.draw(replay, course, steps, tolerance, f"race-{name}", searched), searched),
            figure(time_plot.draw(course, f"time-{name}", timed, written=name == "write"), timed),
        )


def _charts(every: Sequence[Replay], profile: Profile) -> Iterator[str]:
    if not every:
        return
    yield _section("settings", *_heat(every, profile))
    if forests := list(_forests(every, profile)):
        yield _section("ties", *forests)
    courses = list(_courses(every, profile))
    yield _section("race", *(race for race, _ in courses))
    yield _section("time", *(time for _, time in courses))


def _after_choice(profile: Profile) -> Iterator[str]:
    for name, parts in (("sizes", consumers.sizes(profile)), ("consumers", consumers.rest(profile))):
        if parts:
            yield _section(name, *parts)


def _tables(profile: Profile) -> Iterator[str]:
    for heading, rows in facts.sections(profile):
        known = [(tag("code", key), value) for key, value in rows if value]
        yield tag("h3", heading)
        yield markup.table((), known, "", label=heading)


def _section(name: str, *inside: str) -> Markup:
    heading = next(heading for each, heading, _ in _SECTIONS if each == name)
    return markup.section(name, heading, _HOW.get(name, "").strip(), *inside)


def render(stored: StoredSweep) -> str:
    """Return the page; call it within figure.drawing()."""
    profile = stored.profile
    every = replays(stored.samples, profile.evidence)
    parts = [
        _figures(profile, every),
        *_charts(every, profile),
        *_after_choice(profile),
        _section("evidence", *_tables(profile)),
        _section("profile", tag("pre", profiles.render(profile), tabindex=0)),
    ]
    present = [each for each in _SECTIONS if any(f' id="{each[0]}"' in part for part in parts)]
    return markup.document(
        f"{profile.device.name}: aio-tuned report",
        SHEET,
        first_screen.render(profile, every, present),
        *parts,
        footer(profile),
    )


def footer(*of: Profile) -> Markup:
    """Return the versions that made the measurements."""
    versions = ", ".join(
        dict.fromkeys(f"aio-tuned {each.evidence.tool_version} (seed {each.evidence.seed})" for each in of)
    )
    return tag("footer", f"Measured by {versions}. docs/how-to/read-a-report.md explains this page.")
