"""The comparison itself: pairs of transfers in random order, until the intervals are narrow or the budget has ended."""

from __future__ import annotations

import asyncio
import math
import statistics
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from aio_tuned.errors import MeasurementError
from aio_tuned.launch.verify import answers
from aio_tuned.launch.verify.ratio import MIN_PAIRS, PILOT, Ratio, mean_of, pairs_needed, ratio_of
from aio_tuned.launch.verify.sides import DIRECTIONS, NAMES, Name
from aio_tuned.timeouts import start

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from aio_tuned.launch.verify.effect import Effect, Watch
    from aio_tuned.launch.verify.sides import Sides
    from aio_tuned.model.setting import Direction

# The fill of the file, and a transfer of each side that does not count.
_WARM_UP_TRANSFERS = 3


class Mover(Protocol):
    """A driver of one side."""

    async def ask(self, do: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Return the answer to a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The seconds of measuring, without pauses, and the bytes that the pairs may write."""

    seconds: float
    write_bytes: int

    def write_pairs(self, transfer_bytes: int) -> int:
        """Return the number of pairs of writes."""
        return self.write_bytes // transfer_bytes // 2


def least_write_bytes(transfer_bytes: int) -> int:
    """Return the bytes that the fewest pairs of writes need."""
    return (_WARM_UP_TRANSFERS + 2 * PILOT) * transfer_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The result of one direction: bytes/s of each side (geometric means), and their ratio."""

    default_bytes_per_s: float
    ours_bytes_per_s: float
    ratio: Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The results by direction, and the geometric mean of both ratios."""

    by_direction: Mapping[Direction, Compared]
    both: Ratio

    @property
    def slower(self) -> tuple[Direction, ...]:
        """The directions in which ours is surely slower."""
        return tuple(direction for direction, found in self.by_direction.items() if found.ratio.ci95[1] < 1)

    @property
    def better(self) -> bool:
        """Whether ours is surely faster in both directions together, and surely slower in neither."""
        return self.both.ci95[0] > 1 and not self.slower

    @property
    def decided(self) -> bool:
        """Whether ours is surely slower somewhere, or the interval of both is within 3 % or does not include 1."""
        low, high = self.both.ci95
        return self.both.precise or low > 1 or high < 1 or bool(self.slower)


@dataclass(slots=True)
class _Pairs:
    default: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    @property
    def log_ratios(self) -> list[float]:
        return [math.log(ours / default) for default, ours in zip(self.default, self.ours, strict=True)]

    def compared(self, direction: Direction) -> Compared:
        """Return the result; raise MeasurementError if there are too few pairs."""
        if len(self.default) < MIN_PAIRS:
            raise MeasurementError(
                f"{direction}: only {len(self.default)} pairs of measurements within the time budget; pass a longer"
                " --time-budget"
            )
        return Compared(
            default_bytes_per_s=statistics.geometric_mean(self.default),
            ours_bytes_per_s=statistics.geometric_mean(self.ours),
            ratio=ratio_of(self.log_ratios),
        )


async def watched(mover: Mover, watch: Watch, direction: Direction) -> Effect:
    """Move the bytes once, which does not count, and return what was seen then."""
    stop = threading.Event()
    begun = watch.begin()
    looking = start(partial(begun.run, stop))
    try:
        answer = await mover.ask("run", direction=direction, look=True)
    finally:
        stop.set()
    await asyncio.wrap_future(looking)
    return begun.seen(answers.resident(answer))


async def compare(
    movers: Mapping[Name, Mover],
    sides: Sides,
    limits: Limits,
    *,
    before: Callable[[], Awaitable[None]],
    writes: Callable[[int], None],
    dice: random.Random,
    progress: Callable[[Mapping[Direction, tuple[int, int]]], None] = lambda _: None,
    now: Callable[[], float] = time.monotonic,
) -> Comparison:
    """Measure pairs of both directions in turn; `before` may pause, and `writes` records bytes before they are written.

    Raise MeasurementError if the time budget is too short for an interval.
    """
    pairs: dict[Direction, _Pairs] = {direction: _Pairs() for direction in DIRECTIONS}
    most: dict[Direction, float] = {"read": math.inf, "write": limits.write_pairs(sides.transfer_bytes)}
    end = now() + limits.seconds
    while now() < end:
        wanted = {
            direction: int(min(most[direction], pairs_needed(found.log_ratios))) for direction, found in pairs.items()
        }
        progress({direction: (len(pairs[direction].ours), count) for direction, count in wanted.items()})
        due = [direction for direction, count in wanted.items() if len(pairs[direction].ours) < count]
        if not due:
            break
        for direction in due:
            paused = now()
            await before()
            end += now() - paused
            for name in dice.sample(NAMES, len(NAMES)):
                if direction == "write":
                    writes(sides.transfer_bytes)
                answer = await movers[name].ask("run", direction=direction)
                rate = answers.rate(answer)
                (pairs[direction].ours if name == "ours" else pairs[direction].default).append(rate)
    found = {direction: each.compared(direction) for direction, each in pairs.items()}
    return Comparison(by_direction=found, both=mean_of(found["read"].ratio, found["write"].ratio))
