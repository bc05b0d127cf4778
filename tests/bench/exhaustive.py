"""Repeated measurement of every setting of a grid by one helper process, in a new random order each round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.devices.probe import probe
from aio_tuned.errors import TargetError
from aio_tuned.helper.process import Helper, find
from aio_tuned.helper.protocol import arguments
from aio_tuned.model.measurement import Request
from aio_tuned.model.target import Skip
from aio_tuned.search import grid
from aio_tuned.search.taint import taint_reason
from aio_tuned.sweep.place import expected_numbers

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from typing_extensions import Self

    from aio_tuned.config.load import Config
    from aio_tuned.model.measurement import Point, Sample
    from aio_tuned.model.setting import Direction, Setting

# A measurement that other processes disturb is repeated this often; the last one counts; the table has their number.
_MAX_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One direction: its distinct points at a transfer size, and the rounds so far, a visit a point in their order.

    A visit goes on for `visit_ns` and `visit_bytes` at most (0: no limit), as the helper's protocol has it.
    """

    direction: Direction
    transfer_bytes: int
    visit_ns: int
    visit_bytes: int
    points: tuple[Point, ...]
    rounds: list[list[Sample]] = field(default_factory=list)

    def place(self, setting: Setting) -> int:
        """Which point is the setting's, the same program at this transfer size; ValueError if none is."""
        programs = [grid.program(point.setting, self.transfer_bytes) for point in self.points]
        return programs.index(grid.program(setting, self.transfer_bytes))

    @property
    def visits(self) -> list[Sample]:
        """All visits that count."""
        return [visit for made in self.rounds for visit in made]


class Exhaustive:
    """A helper with a scratch file, as a sweep of the directory would have them: `async with await start(…)`."""

    def __init__(self, helper: Helper, dice: random.Random) -> None:
        self._helper = helper
        self._dice = dice
        self._next_id = 1

    @classmethod
    async def start(cls, directory: Path, config: Config, dice: random.Random) -> Exhaustive:
        """Fill the scratch file; TargetError if a sweep would have none there."""
        found = probe(directory, config, raw=False, read_only=False)
        if isinstance(found.decision, Skip):
            raise TargetError(f"{directory}: {found.decision.reason}")
        words = arguments(
            found.decision,
            allow_write=True,
            max_transfer_bytes=min(config.transfer_bytes, found.decision.span_bytes),
            drop_caches=config.drop_caches,
            counters=[path / "stat" for path in sysfs.counting(sysfs.directory(found.device.device_number))],
            expect_devices=expected_numbers(found),
            expect_diskseq=found.device.diskseq,
        )
        helper = await Helper.start(find(), words)
        try:
            await helper.hello()
        except BaseException:
            await helper.close()
            raise
        return cls(helper, dice)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._helper.close()

    async def round(self, courses: Sequence[Course]) -> None:
        """One visit to every point, direction by direction."""
        for course in courses:
            made: dict[int, Sample] = {}
            for at in self._dice.sample(range(len(course.points)), len(course.points)):
                made[at] = await self._visit(course, course.points[at])
            course.rounds.append([made[at] for at in range(len(course.points))])

    async def _visit(self, course: Course, point: Point) -> Sample:
        for _ in range(_MAX_TRIES):
            request = Request(
                id=self._next_id,
                direction=course.direction,
                setting=point.setting,
                transfer_bytes=course.transfer_bytes,
                min_ns=course.visit_ns,
                max_bytes=course.visit_bytes,
            )
            self._next_id += 1
            sample = await self._helper.measure(request)
            if not taint_reason(sample):
                break
        return sample
