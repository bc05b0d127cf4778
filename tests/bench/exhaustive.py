"""Visits every point of a grid again and again through one helper process, each round in an order drawn anew."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_tuned import plan, stats
from aio_tuned.helper import Helper, arguments, find
from aio_tuned.model import Request, Target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from typing_extensions import Self

    from aio_tuned.config import Config
    from aio_tuned.model import Direction, Point, Sample, Setting

# A visit that others have disturbed is made again so often; the last one counts, and the table says how many.
_MOST_TRIES = 4
# The sweeps' own share (eligibility.py), taken from what this process leaves them: all that are made beside it have the
# same room.
_FREE_SHARE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One direction: its points at a transfer size, and the rounds made so far, a visit a point in their order."""

    direction: Direction
    transfer_bytes: int
    points: tuple[Point, ...]
    rounds: list[list[Sample]] = field(default_factory=list)

    def place(self, setting: Setting) -> int:
        """Which point is the setting's: the one that is the same program at this transfer size."""
        wanted = plan.program(setting, self.transfer_bytes)
        return next(
            at for at, point in enumerate(self.points) if plan.program(point.setting, self.transfer_bytes) == wanted
        )

    @property
    def visits(self) -> list[Sample]:
        """All visits that count."""
        return [visit for made in self.rounds for visit in made]


def course(direction: Direction, settings: Sequence[Setting], transfer_bytes: int) -> Course:
    """The distinct points of the settings."""
    return Course(direction=direction, transfer_bytes=transfer_bytes, points=plan.points(settings, transfer_bytes))


class Exhaustive:
    """A helper on a scratch file of its own. `async with await Exhaustive.start(…)`; others may tune in between."""

    def __init__(self, helper: Helper, seed: int) -> None:
        self._helper = helper
        self._dice = random.Random(seed)
        self._next_id = 1

    @classmethod
    async def start(cls, directory: Path, config: Config, seed: int) -> Exhaustive:
        """Fill the scratch file; the buffer is as large as a tune's."""
        span = min(config.span_bytes, shutil.disk_usage(directory).free // _FREE_SHARE) >> 20 << 20
        words = arguments(
            Target(kind="scratch", path=directory, span_bytes=span),
            allow_write=True,
            most_transfer_bytes=min(config.transfer_bytes, span),
            drop_caches=config.drop_caches,
            counters=(),
        )
        helper = await Helper.start(find(), words)
        try:
            await helper.hello()
        except BaseException:
            await helper.close()
            raise
        return cls(helper, seed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._helper.close()

    async def round(self, courses: Sequence[Course], visit_ns: int) -> None:
        """One visit to every point, of at least one transfer and that long."""
        for each in courses:
            made: dict[int, Sample] = {}
            for at in self._dice.sample(range(len(each.points)), len(each.points)):
                made[at] = await self._visit(each, each.points[at], visit_ns)
            each.rounds.append([made[at] for at in range(len(each.points))])

    async def _visit(self, course: Course, point: Point, visit_ns: int) -> Sample:
        for _ in range(_MOST_TRIES):
            request = Request(
                id=self._next_id,
                direction=course.direction,
                setting=point.setting,
                transfer_bytes=course.transfer_bytes,
                min_ns=visit_ns,
            )
            self._next_id += 1
            sample = await self._helper.measure(request)
            if not stats.taint(sample):
                break
        return sample
