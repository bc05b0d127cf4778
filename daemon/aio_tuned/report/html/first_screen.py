"""The first screen: the settings to copy, how good they are, one chart, the findings, and links to the sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.model.profile import Result
from aio_tuned.report.html import choice_plot, copy_blocks, figures, interval_plot, markup, prose
from aio_tuned.report.html.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.profile import Profile
    from aio_tuned.report.replay import Replay

NO_SAMPLES = "The samples of this sweep are missing, so there are no charts; the figures are those of the profile."
_CHART = "Throughput and 95 % interval"


def identity(profile: Profile, level: str = "h1") -> Markup:
    """Return the drive, the profile's state, and what was measured."""
    device = profile.device
    heading = tag(level, device.model or device.name, tag("span", profile.state, class_=f"state {profile.state}"))
    facts = tag("p", f"{device.name} · {prose.drive(profile)}", class_="drive")
    return markup.join((heading, facts, tag("p", f"{prose.when(profile)} {prose.state(profile)}".strip())))


def verdicts(profile: Profile) -> Markup:
    """Return how good each setting is."""
    lines = (tag("li", said, **({"class_": kind} if kind else {})) for kind, said in prose.verdicts(profile))
    return tag("ul", *lines, class_="verdicts")


def findings(profile: Profile, level: str = "h2") -> Markup:
    """Return the findings, or that there are none."""
    found: tuple[str, ...] = profile.evidence.findings
    if not found:
        return tag("p", "No findings.")
    return markup.join((tag(level, "Findings"), markup.items(map(prose.options, found), class_="findings")))


def _keys(profile: Profile) -> Markup:
    head, rows = figures.keys(profile)
    if len(head) == 1:
        return Markup("")
    return markup.table(head, ((tag("code", row[0]), *row[1:]) for row in rows), "", "keys", label="Settings")


def _copy(profile: Profile) -> Markup:
    """Return the blocks to copy; a click selects a whole block."""
    made = (
        tag(
            "div",
            tag("p", tag("strong", each.heading), tag("br"), tag("code", each.command)),
            tag("pre", each.text, class_="copy", tabindex=0),
        )
        for each in copy_blocks.blocks(profile)
    )
    return tag("div", *made, class_="blocks")


def chart(every: Sequence[Replay], profile: Profile) -> Markup:
    """Return the chart of each direction's chosen setting; "" if none was measured."""
    groups = []
    for replay in every:
        result = getattr(profile, replay.direction)
        if isinstance(result, Result) and (found := choice_plot.bars(interval_plot.field(replay, result), replay)):
            groups.append((f"{replay.direction.capitalize()}s", found))
    if not groups:
        return Markup("")
    single = any(each.stats.visits == 1 for _, found in groups for each in found)
    caption = f"{_CHART} (a ring is {prose.ONE_MEASUREMENT}, without an interval)" if single else _CHART
    drawn = choice_plot.draw(groups, "choice", caption)
    return tag("figure", tag("figcaption", caption, class_="how"), markup.box(drawn, caption), class_="fluid")


def contents(sections: Iterable[tuple[str, str, str]]) -> Markup:
    """Return links to the sections, with the purpose of each: (name, heading, purpose)."""
    lines = (tag("a", heading, href=f"#{name}", title=purpose) for name, heading, purpose in sections)
    return tag("nav", tag("strong", "More:"), " ", markup.join(lines, " · "), aria_label="Sections")


def render(profile: Profile, every: Sequence[Replay], sections: Iterable[tuple[str, str, str]]) -> Markup:
    """Return the first screen."""
    measured = profile.evidence.measured_at is not None
    missing = tag("p", NO_SAMPLES) if measured and not every else Markup("")
    return tag(
        "header",
        identity(profile),
        tag(
            "div",
            tag("div", tag("h2", "Settings"), _keys(profile), _copy(profile), class_="what"),
            tag("div", tag("h2", "Result"), verdicts(profile), chart(every, profile), missing, class_="why"),
            tag("div", findings(profile), class_="noted"),
            class_="first",
        ),
        contents(sections),
    )
