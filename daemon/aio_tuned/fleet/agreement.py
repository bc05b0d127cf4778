"""What the sweeps of a class agree on: the points that are best for all of its drives, and their figures."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from aio_tuned.fleet import point_choice, rejection
from aio_tuned.fleet.consensus import (
    LONGEST_REASON,
    MOST_CHALLENGERS,
    MOST_NAMES,
    SWEEPS,
    VOTES_LAST_S,
    ClassCombined,
    ClassDirection,
    ClassResult,
    Contributor,
    Rejected,
)
from aio_tuned.fleet.report import DIRECTIONS, Rate, Share
from aio_tuned.fleet.share_table import ShareTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.fleet.consensus import Refused
    from aio_tuned.fleet.report import DirectionReport, DriveReport
    from aio_tuned.fleet.votes import Votes
    from aio_tuned.model.setting import Direction, Setting


def agree(votes: Votes, previous: ClassResult | None, now_s: int) -> ClassResult | None:
    """Return the result of a class by its votes; the previous one if there are too few.

    The generation rises if a setting changes. While the sweeps disagree, the settings of the previous result stay, and
    so does its generation.
    """
    sweeps, accepted = votes.sweeps, votes.accepted
    if len(sweeps) < SWEEPS:
        return previous
    refused = tuple(each for each in previous.refused if each.at_s >= now_s - VOTES_LAST_S) if previous else ()
    told: dict[str, Any] = {
        "contributors": tuple(Contributor(each.node, each.drive) for each in accepted[:MOST_NAMES]),
        "rejected": tuple(
            Rejected(each.node, each.drive, why[:LONGEST_REASON]) for each, why in votes.rejected[:MOST_NAMES]
        ),
        "refused": refused,
        "disagreement": votes.disagreement,
        "made_at_s": now_s,
    }
    if previous and votes.disagreement:
        return replace(previous, **told)
    counted = accepted or sweeps
    read, write = (_settle(direction, counted, previous, refused) for direction in DIRECTIONS)
    if not (read or write):
        return previous
    made = ClassResult(
        hardware_class=counted[0].hardware_class,
        generation=1,
        grid=counted[0].grid,
        read=read,
        write=write,
        combined=_combine(counted, previous, refused) if read and write else None,
        **told,
    )
    if not previous:
        return made
    if made.settings() == previous.settings():
        return replace(made, generation=previous.generation, restores=previous.restores)
    return replace(made, generation=previous.generation + 1)


def parts_of(reports: Iterable[DriveReport], direction: Direction) -> list[DirectionReport]:
    """Return the parts of a direction that the reports have."""
    return [part for _, part in rejection.parts_of(reports, direction)]


def _settle(
    direction: Direction, reports: Sequence[DriveReport], previous: ClassResult | None, refused: Sequence[Refused]
) -> ClassDirection | None:
    """Return the setting of a direction; that of the previous result if too few of the sweeps have measured it.

    Drives of one class may be written or not, as blank ones by their node's configuration.
    """
    parts = parts_of(reports, direction)
    before: ClassDirection | None = getattr(previous, direction, None)
    if len(parts) < SWEEPS:
        return before
    without = {each.setting for each in refused if each.direction == direction}
    ranked = point_choice.rank(parts, without, before.setting if before else None)
    return figures(parts, ranked) if ranked else before


def figures(parts: Sequence[DirectionReport], ranked: Sequence[Share]) -> ClassDirection:
    """Return what the drives give with the first of the ranked points, and the challengers among the others."""
    setting, share = ranked[0]
    # What each drive gives with the setting of the class, by its own setting's figures and the shares of both.
    shares = ShareTable(parts).shares(setting)
    scales = [found / part.share_of(part.setting) for found, part in zip(shares, parts, strict=True)]
    rates = [[round(figure * scale) for figure in part.rate] for part, scale in zip(parts, scales, strict=True)]
    middle = round(median(each[0] for each in rates))
    return ClassDirection(
        setting=setting,
        rate=Rate(middle, min(each[1] for each in rates), max(each[2] for each in rates)),
        default_bytes_per_s=round(median(part.default_bytes_per_s for part in parts)),
        latency_p99_us=median(part.latency_p99_us for part in parts),
        transfer_bytes=max(part.transfer_bytes for part in parts),
        share=share,
        challengers=point_choice.challengers(ranked, MOST_CHALLENGERS),
    )


def _combine(
    reports: Sequence[DriveReport], previous: ClassResult | None, refused: Sequence[Refused]
) -> ClassCombined | None:
    """Return the setting whose least share of both directions is largest."""
    read, write = (parts_of(reports, direction) for direction in DIRECTIONS)
    kept = previous.combined.setting if previous and previous.combined else None
    ranked = point_choice.rank([*read, *write], {each.setting for each in refused}, kept)
    return combined(read, write, ranked[0].setting) if ranked else None


def combined(read: Iterable[DirectionReport], write: Iterable[DirectionReport], setting: Setting) -> ClassCombined:
    """Return one setting for both directions, with its least shares over the drives."""
    read_share, write_share = (min(ShareTable(parts).shares(setting)) for parts in (read, write))
    return ClassCombined(setting=setting, read_share=read_share, write_share=write_share)
