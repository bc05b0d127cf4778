"""The page of one stored sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import Result
from aio_tuned.profiles import codec as profiles
from aio_tuned.report import measurement_timeline as report_measurement_timeline
from aio_tuned.report import sentences
from aio_tuned.report.html import facts, heatmap, interval_plot, markup, prose, search_plot, time_plot
from aio_tuned.report.html.markup import Markup, tag
from aio_tuned.report.html.style import SHEET
from aio_tuned.report.replay import replays
from aio_tuned.report.terminal import summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aio_tuned.model.profile import Profile
    from aio_tuned.report.replay import Replay
    from aio_tuned.storage.sweep_archive import StoredSweep

NO_SAMPLES = (
    "The samples of this sweep are not there any more (or are another sweep's), so there are no charts: the figures"
    " below are the profile's."
)
# In the order of the page: name, heading, what it is for.
_SECTIONS = (
    ("figures", "Figures", "the settings and what they give"),
    ("settings", "Every setting", "where the drive is fast and where it is slow"),
    ("ties", "The finalists", "how close the race was"),
    ("race", "The path of the search", "what was measured when, and how sure the choice became"),
    ("time", "Throughput over time", "whether the drive was steady"),
    ("evidence", "Evidence and environment", "how the figures came about, and what they depend on"),
    ("profile", "The profile", "the file that programs read"),
)
_HOW = {
    "figures": """
The figures of the profile. Ties are the settings that are as likely as not within the tolerance of the best.""",
    "settings": """
The pass: every setting once, in transfers as small as the caption says. Each cell is one setting: the number is its
throughput in GB/s (MB/s on slow drives), brighter is faster. Within a small map blocks grow downwards and queues to the
right; the maps differ in threads (columns) and in how requests are submitted and reaped (rows). Point at a cell for its
95 % interval and its visits. The pass only selects the finalists: in longer transfers another cell may be the fastest.
""",
    "ties": """
The settings that were raced in transfers of the configured size. Lines are 95 % intervals of each setting alone, the
mark in them is what was measured, the upright tick the mean of the posterior, in which its neighbours have a say. The
percentage is the probability that the setting is within the tolerance of the best.""",
    "race": """
Above: every visit, by the rank that its setting has at the end (1 is the fastest): in the pass among all, right of the
upright line among the finalists. Middle: finalists that may be the best, with a probability of more than 0.5 %. Below:
how far the chosen setting may be below the best, with 95 % confidence; the dashed line is the tolerance.""",
    "time": """
Each dot is a visit, in percent above or below what its own setting gives in that phase (the upright line is where the
race begins); what is beyond the edge lies on it, and settings that were visited once are left out. The thick line is
the drift of the whole drive, which is taken out of all figures. A band around 0 is a steady drive; steps, waves and
falls are heat, a full cache, garbage collection, or a neighbour's.""",
}


def head(profile: Profile, level: str = "h1") -> Markup:
    """Return the drive, its state, the verdicts and all findings."""
    evidence = profile.evidence
    findings: tuple[str, ...] = evidence.findings
    return markup.join(
        (
            tag(
                level,
                profile.device.model or profile.device.name,
                tag("span", profile.state, class_=f"state {profile.state}"),
            ),
            tag("p", f"{profile.device.name} · {prose.drive(profile)}", class_="drive"),
            tag("p", _when(profile)),
            tag("p", prose.state(profile)),
            tag(
                "ul",
                *(
                    tag("li", said, **({} if measured else {"class_": "unknown"}))
                    for measured, said in prose.verdicts(profile)
                ),
                class_="verdicts",
            ),
            tag("p", tag("strong", "Findings")) if findings else tag("p", "Nothing unusual was found."),
            markup.items(findings, class_="findings") if findings else "",
        )
    )


def contents(sections: Iterable[tuple[str, str, str]]) -> Markup:
    """Return links to the sections, with the purpose of each: (name, heading, purpose)."""
    lines = (markup.join((tag("a", heading, href=f"#{name}"), f": {what}"), "") for name, heading, what in sections)
    return tag("nav", markup.items(lines, class_="contents"), aria_label="Sections")


def _when(profile: Profile) -> str:
    evidence = profile.evidence
    if evidence.measured_at is None:
        return "Not measured."
    effort = f", a {evidence.effort} sweep" if evidence.effort else ""
    checked = f", a check of the settings of {evidence.checked_against}" if evidence.checked_against else ""
    return (
        f"Measured {evidence.measured_at.replace('T', ' ').replace('+00:00', ' UTC')} ({evidence.target}){effort}"
        f"{checked}: {evidence.points_measured} of {evidence.points_planned} points, {evidence.visits} visits in"
        f" {formatting.duration(evidence.seconds)}, {formatting.size(evidence.bytes_read)} read and"
        f" {formatting.size(evidence.bytes_written)} written."
    )


def _figures(profile: Profile) -> Markup:
    table = summary.rows(profile)
    if not table:
        return Markup("")
    return _section("figures", markup.table(summary.HEAD, table, "Settings and what they give", "figures"))


def figure(chart: Markup, caption: str) -> Markup:
    """Return a chart in a box of its own, with its caption above it."""
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
            kind = "points" if replay.race is None else "finalists"
            label = f"{replay.direction.capitalize()}s: the {len(replay.curve.points)} {kind}"
            size = formatting.size(replay.curve.transfer_bytes)
            yield figure(
                interval_plot.draw(found, f"forest-{replay.direction}", label), f"{label}, in transfers of {size}"
            )


def _courses(every: Sequence[Replay], profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield, for each direction, the path of the search, and throughput over time."""
    for replay in every:
        name, result = replay.direction, getattr(profile, replay.direction)
        course = report_measurement_timeline.build_timeline(replay, profile.evidence)
        steps = search_plot.steps(replay, course, heatmap.chosen(profile, name))
        tolerance = interval_plot.tolerance_percent(result if isinstance(result, Result) else None)
        left = f", {steps[-1].candidates} in the end" if steps else ""
        searched = f"{name.capitalize()}s: which settings were visited when; how many may be the best{left}"
        timed = f"{name.capitalize()}s: throughput over time, drift {prose.percent(replay.curve.drift)}, noise"
        timed += f" {replay.curve.noise * 100:.1f} % between visits"
        yield (
            figure(search_plot.draw(replay, course, steps, tolerance, f"race-{name}", searched), searched),
            figure(time_plot.draw(course, f"time-{name}", timed, written=name == "write"), timed),
        )


def _charts(every: Sequence[Replay], profile: Profile) -> Iterator[str]:
    if not every:
        measured = profile.evidence.measured_at is not None
        yield tag("section", tag("h2", "Charts"), tag("p", NO_SAMPLES)) if measured else ""
        return
    yield _section("settings", *_heat(every, profile))
    if forests := list(_forests(every, profile)):
        yield _section("ties", *forests)
    courses = list(_courses(every, profile))
    yield _section("race", *(race for race, _ in courses))
    yield _section("time", *(time for _, time in courses))


def _tables(profile: Profile) -> Iterator[str]:
    for heading, rows in facts.sections(profile):
        known = [(tag("code", key), value) for key, value in rows if value]
        yield tag("h3", heading)
        yield markup.table((), known, "")


def _section(name: str, *inside: str) -> Markup:
    heading = next(heading for each, heading, _ in _SECTIONS if each == name)
    return markup.section(name, heading, _HOW.get(name, "").strip(), *inside)


def render(stored: StoredSweep) -> str:
    """Return the page; call it within figure.drawing()."""
    profile = stored.profile
    every = replays(stored.samples, profile.evidence)
    parts = [
        _figures(profile),
        *_charts(every, profile),
        _section("evidence", *_tables(profile)),
        _section("profile", tag("pre", profiles.render(profile), tabindex=0)),
    ]
    there = [each for each in _SECTIONS if any(f' id="{each[0]}"' in part for part in parts)]
    return markup.document(
        f"{profile.device.name}: aio-tuned report",
        SHEET,
        tag("header", head(profile), contents(there)),
        *parts,
        footer(profile),
    )


def footer(*of: Profile) -> Markup:
    """Return the versions that made the measurements."""
    versions = ", ".join(
        dict.fromkeys(f"aio-tuned {each.evidence.tool_version} (seed {each.evidence.seed})" for each in of)
    )
    return tag("footer", f"Measured by {versions}. docs/how-to/read-a-report.md says how to read this page.")
