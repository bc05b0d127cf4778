"""The wall-clock time of a sweep that must end by a deadline."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.errors import MeasurementError
from aio_tuned.timeouts import TooLateError, within

if TYPE_CHECKING:
    from aio_tuned.helper.process import Helper
    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Phase, Stage
    from aio_tuned.model.setting import Direction
    from aio_tuned.search.step import Spent


def left_ns(deadline_ns: int | None) -> float:
    """Return the nanoseconds until the deadline, which is a time of CLOCK_MONOTONIC; infinity without a deadline."""
    return float("inf") if deadline_ns is None else max(0, deadline_ns - time.monotonic_ns())


async def hello(helper: Helper, deadline_ns: int | None) -> Hello:
    """Return the helper's hello; raise MeasurementError if the target is not ready by the deadline."""
    if deadline_ns is None:
        return await helper.hello()
    try:
        return await within(left_ns(deadline_ns) / 1e9, helper.hello())
    except TooLateError:
        raise MeasurementError(
            "the time budget was spent before the target was filled and ready; pass a longer --time-budget"
        ) from None


class PhaseClock:
    """The time that each phase takes by the clock, which includes the time between its measurements.

    On a loaded host that was as much again as the measurements: a sweep with a budget of 6 s took 14 s.
    """

    def __init__(self, deadline_ns: int | None) -> None:
        self._deadline_ns = deadline_ns
        self._taken_ns: dict[tuple[Direction, Stage], int] = {}
        self._current: tuple[Direction, Stage] | None = None
        self._since_ns = 0

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return left_ns(self._deadline_ns) == 0

    def turn_to(self, phase: Phase) -> None:
        """Count the time from now on for this phase."""
        self._count()
        self._current = (phase.direction, phase.stage)

    def _count(self) -> None:
        now_ns = time.monotonic_ns()
        if self._current is not None:
            self._taken_ns[self._current] = self._taken_ns.get(self._current, 0) + now_ns - self._since_ns
        self._since_ns = now_ns

    def bound(self, phase: Phase, cost: Spent) -> Phase:
        """Return the phase with no more time for measurements than the clock leaves it; `cost` is spent already."""
        if self._deadline_ns is None:
            return phase
        self._count()
        own_ns = max(0, phase.time_budget_ns - self._taken_ns.get((phase.direction, phase.stage), 0))
        most_ns = cost.ns + int(min(own_ns, left_ns(self._deadline_ns)))
        return replace(phase, time_budget_ns=min(phase.time_budget_ns, most_ns))
