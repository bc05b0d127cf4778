"""The finalists, which are the settings that the race measures again in transfers of the configured size.

The pass tells plateaus from slopes, but it measures each point only once, in small transfers that never fill deep
queues. So its likeliest best points become finalists, together with the settings that the choice may prefer whatever
the pass shows: the default, which is the lower limit of a published setting; the drive's earlier setting or a
sibling's; and the ladder.
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
# The number of candidates for the combined setting.
_COMBINED = 3
# The number of settings taken from one point of the pass; in longer transfers their I/O differs.
_ALIASES = 2


def _rung(block_kib: int, queue_depth: int, threads: int, *, overlap: bool = True, single: bool = False) -> Setting:
    return Setting(
        block_size=block_kib << 10,
        queue_depth=queue_depth,
        io_parallelism=threads,
        overlap_events=overlap,
        single_submit=single,
    )


# Cheap settings, the cheapest first. On 94 % of the simulated drives that were held back while the ladder was made, one
# of them is within 1 % of the best (100 % on the drives used to make it). Two sweeps agree more often if they choose
# from fewer settings.
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
    """The result of a direction's pass: the settings that may be raced, and the posterior of the pass."""

    settings: tuple[Setting, ...]
    known: Posterior
    preferred: tuple[Setting, ...] = ()


class _List:
    """A list of settings that cause different I/O at a transfer size."""

    def __init__(self, transfer_bytes: int) -> None:
        self._transfer_bytes = transfer_bytes
        self._programs: set[object] = set()
        self.settings: list[Setting] = []

    def add(self, settings: Iterable[Setting], most: int) -> None:
        """Add settings with I/O of their own until the list holds `most` of them."""
        for setting in settings:
            program = grid.program(setting, self._transfer_bytes)
            if len(self.settings) < most and program not in self._programs:
                self._programs.add(program)
                self.settings.append(setting)


def _likeliest(known: Posterior) -> list[Setting]:
    """Return the settings of the points that may be the best, the likeliest first.

    Among settings with identical I/O in the pass, deep queues and large blocks come first, since longer transfers tell
    them apart.
    """
    chances = known.best_chances()
    ranked = np.lexsort((known.expected(), -chances))
    found: list[Setting] = []
    for column in ranked.tolist():
        aliases = known.points[column].point.aliases
        found += sorted(aliases, key=lambda each: (-each.queue_depth, -each.block_size))[:_ALIASES]
    return found


def _combined(passed: Mapping[Direction, Passed], read_weight: float) -> list[Setting]:
    """Return the settings by their weighted mean over both directions, the best first; none for a single direction."""
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
    """Return the settings to race in each direction, at most MOST, with different I/O at that transfer size."""
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
    """Return the index of the first rung among the settings; len(LADDER) if none is a rung."""
    return next((place for place, rung in enumerate(LADDER) if rung in settings), len(LADDER))
