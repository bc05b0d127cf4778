"""The outcome of `aio-tuned verify` for people, and as a document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aio_tuned import formatting
from aio_tuned.launch.verify.sides import DIRECTIONS, NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.launch.verify.effect import Asked, Effect
    from aio_tuned.launch.verify.ratio import Ratio
    from aio_tuned.launch.verify.run import Outcome

_ROW = "{:<8} {:>11} {:>11} {:>7}  {:<16} {:>5}"


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of the report."""
    verdict, release = outcome.verdict, outcome.release
    program = f"{verdict.consumer} {release.version}"
    if release.stand_in:
        program = f"{release.version} in place of {verdict.consumer}, which is not installed"
    elif verdict.consumer == "fio":
        program = release.version
    yield f"{outcome.node}: {program}, {formatting.amount(outcome.sides.transfer_bytes)} per transfer"
    yield ""
    yield _ROW.format("", "default", "ours", "ratio", "95 % interval", "pairs")
    for direction in DIRECTIONS:
        found = outcome.comparison.by_direction[direction]
        rates = (formatting.throughput(each) for each in (found.default_bytes_per_s, found.ours_bytes_per_s))
        yield _ROW.format(f"{direction}s", *rates, *_figures(found.ratio), found.ratio.pairs)
    yield _ROW.format("both", "", "", *_figures(outcome.comparison.both), "").rstrip()
    yield ""
    for name in NAMES:
        side = outcome.sides.side(name)
        for direction in DIRECTIONS:
            shown = in_effect(side.asked[direction], outcome.effects[name, direction])
            yield f"{name}, {direction}s: {'; '.join(shown)}"
    yield ""
    yield from _conclusion(outcome)


def _figures(found: Ratio) -> tuple[str, str]:
    low, high = found.ci95
    return f"{found.ratio:.3f}", f"{low:.3f} to {high:.3f}"


def in_effect(asked: Asked, seen: Effect) -> Iterator[str]:
    """Yield a clause for each option that can be observed: what was seen, and what was asked if that differs."""
    if asked.direct and seen.bypasses_cache:
        yield "O_DIRECT in effect"
    elif asked.direct:
        how = "set, but not in effect" if seen.direct else "not in effect"
        yield f"O_DIRECT {how}: {seen.cached:.0%} of the data in the page cache"
    else:
        yield "through the page cache" if not seen.direct or seen.cached else "O_DIRECT in effect, though not asked for"
    shown = _counted("thread" if seen.threads == 1 else "threads", asked.threads, seen.threads)
    yield f"at least {shown.replace('instead of', 'of')}" if seen.ended and "instead" in shown else shown
    if asked.depth is not None:
        yield _counted("requests in each thread's queue", asked.depth, seen.depth)
    yield f"up to {seen.most_in_flight} requests at the drive"


def _counted(what: str, asked: int, seen: int | None) -> str:
    if seen is None:
        return f"{asked} {what} asked for, not observable"
    return f"{seen} {what}" if seen == asked else f"{seen} {what} instead of {asked}"


def _conclusion(outcome: Outcome) -> Iterator[str]:
    found, consumer = outcome.comparison, outcome.verdict.consumer
    low, high = found.both.ci95
    interval = f"95 % interval {_percent(low)} to {_percent(high)}"
    if found.better:
        yield f"ours is better: {_percent(found.both.ratio)} throughput ({interval})"
    elif high < 1:
        yield f"ours is not better but slower: {_percent(found.both.ratio)} throughput ({interval})"
    elif found.slower:
        lost = (f"{one}s alone are slower: {_percent(found.by_direction[one].ratio.ratio)}" for one in found.slower)
        yield f"ours is not better: {'; '.join(lost)}; both together: {_percent(found.both.ratio)} ({interval})"
    elif found.decided:
        yield f"ours is not better: {_percent(found.both.ratio)} throughput ({interval})"
    if outcome.note:
        yield outcome.note
    if outcome.kept is not None:
        exports = "gives our settings" if found.better else f"gives {consumer}'s own default"
        yield f"kept in {outcome.kept}; aio-tuned export {consumer} {exports}"


def _percent(ratio: float) -> str:
    return f"{formatting.percent(ratio - 1)[:-1]} %"


def document(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as a document for JSON."""
    return {
        "verdict": asdict(outcome.verdict),
        "decided": outcome.comparison.decided,
        "stand_in": outcome.release.stand_in,
        "transfer_bytes": outcome.sides.transfer_bytes,
        "pairs": {direction: outcome.comparison.by_direction[direction].ratio.pairs for direction in DIRECTIONS},
        "in_effect": [
            {
                "side": name,
                "direction": direction,
                "asked": asdict(outcome.sides.side(name).asked[direction]),
                "seen": asdict(outcome.effects[name, direction]),
            }
            for name in NAMES
            for direction in DIRECTIONS
        ],
        "kept": None if outcome.kept is None else str(outcome.kept),
        "note": outcome.note,
    }
