"""The finalists: the settings that are measured again, in transfers of the configured size.

The pass tells plateaus from slopes, but in small transfers, in which deep queues never fill, and once a point. So the
likeliest best of it are finalists, and beside them those that the choice must be able to prefer whatever the pass says:
the default, below which nothing is published; the drive's earlier setting or a sibling's; and the ladder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.model.setting import Setting
from aio_tuned.search import grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aio_tuned.model.setting import Direction
    from aio_tuned.search.posterior import Posterior

MOST = 20
# As many candidates for one setting of both directions.
_COMBINED = 3
# As many settings that are one program in the pass's transfers, and several in longer ones.
_ALIASES = 2


def _rung(block_kib: int, queue_depth: int, threads: int, *, overlap: bool = True, single: bool = False) -> Setting:
    return Setting(
        block_size=block_kib << 10,
        queue_depth=queue_depth,
        io_parallelism=threads,
        overlap_events=overlap,
        single_submit=single,
    )


# A few cheap settings, the cheapest first. For 94 % of the simulated drives that were held back one is within 1 % of
# the best (for those that it was made with, 100 %). The fewer there are to choose from, the more often two sweeps
# agree.
LADDER = (
    _rung(128, 8, 1),
    _rung(512, 16, 1),
    _rung(1024, 32, 1),
    _rung(1024, 16, 2),
    _rung(512, 16, 4, overlap=False, single=True),
    _rung(512, 8, 8, overlap=False, single=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What a direction's pass has left for the race: the settings that it may take, and what the pass knows of them."""

    settings: tuple[Setting, ...]
    known: Posterior
    preferred: tuple[Setting, ...] = ()


class _List:
    """The settings found so far, one for each program of that transfer size."""

    def __init__(self, transfer_bytes: int) -> None:
        self._transfer_bytes = transfer_bytes
        self._programs: set[object] = set()
        self.settings: list[Setting] = []

    def add(self, settings: Iterable[Setting], most: int) -> None:
        """Add settings that are other programs, as long as there are no more than `most`."""
        for setting in settings:
            program = grid.program(setting, self._transfer_bytes)
            if len(self.settings) < most and program not in self._programs:
                self._programs.add(program)
                self.settings.append(setting)


def _likeliest(known: Posterior) -> list[Setting]:
    """Return the settings of the points that may be the best, the likeliest first.

    Of the settings that are one program in the pass the deepest and largest come first: in longer transfers they are
    others.
    """
    chances = known.best_chances()
    ranked = np.lexsort((known.expected(), -chances))
    found: list[Setting] = []
    for column in ranked.tolist():
        aliases = known.points[column].point.aliases
        found += sorted(aliases, key=lambda each: (-each.queue_depth, -each.block_size))[:_ALIASES]
    return found


def _combined(passed: Mapping[Direction, Passed], read_weight: float) -> list[Setting]:
    """Return the settings with the best weighted mean of both directions; none if there is one direction."""
    if len(passed) < 2:  # noqa: PLR2004 - read and write
        return []
    weights = {"read": read_weight, "write": 1 - read_weight}
    scores: dict[Setting, list[float]] = {}
    for direction, one in passed.items():
        shares = -one.known.shortfall.mean(0)
        for point, share in zip(one.known.points, shares.tolist(), strict=True):
            for setting in point.point.aliases:
                scores.setdefault(setting, []).append(weights[direction] * share)
    both = {setting: math.fsum(parts) for setting, parts in scores.items() if len(parts) == len(passed)}
    return sorted(both, key=lambda setting: (-both[setting], -setting.queue_depth, -setting.block_size))


def finalists(
    passed: Mapping[Direction, Passed], reference: Setting, transfer_bytes: int, read_weight: float
) -> dict[Direction, tuple[Setting, ...]]:
    """Return the settings to race in each direction, at most MOST, all different programs at that transfer size."""
    found: dict[Direction, tuple[Setting, ...]] = {}
    combined = _combined(passed, read_weight)
    for direction, one in passed.items():
        allowed = set(one.settings)
        chosen = _List(transfer_bytes)
        chosen.add([reference, *one.preferred], MOST)
        chosen.add([rung for rung in LADDER if rung in allowed], MOST)
        chosen.add(combined, len(chosen.settings) + _COMBINED)
        chosen.add(_likeliest(one.known), MOST)
        found[direction] = tuple(chosen.settings)
    return found


def ladder_place(settings: Sequence[Setting]) -> int:
    """Return the rung of the first of the ladder's settings that is among these; len(LADDER) if none is."""
    return next((place for place, rung in enumerate(LADDER) if rung in settings), len(LADDER))
