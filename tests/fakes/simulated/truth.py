"""The true throughput of every setting of the default grid, by which a sweep's choice is judged.

It is the throughput of a fresh drive, which is cool, without other I/O and before its cliff. Behind a cliff the ceiling
is lower, so that more settings tie; the fresh optimum is still among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aio_tuned.config.load import Config
from aio_tuned.search.grid import settings as settings_of
from fakes.simulated.physics import figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aio_tuned.model.setting import Direction, Setting
    from fakes.simulated.model import DriveModel

SETTINGS = settings_of(Config().grid)
TRANSFER_BYTES = Config().transfer_bytes


class Row(NamedTuple):
    """One setting's times of a transfer, a request and the processor in ns, and the share of the drive that it uses.

    One request in a hundred takes `tail` times as long.
    """

    transfer_ns: float
    strain: float
    latency_ns: float
    cpu_ns: float
    tail: float


@lru_cache(maxsize=4096)
def rows(
    model: DriveModel,
    direction: Direction,
    settings: tuple[Setting, ...],
    transfer_bytes: int,
    *,
    beyond_cliff: bool = False,
) -> dict[Setting, Row]:
    found = figures(model, direction, settings, transfer_bytes, beyond_cliff=beyond_cliff)
    columns = (found.transfer_s * 1e9, found.strain, found.latency_s * 1e9, found.cpu_s * 1e9)
    tails = [1 + 12 * model.side(direction).spread] * len(settings)
    return dict(zip(settings, map(Row, *(column.tolist() for column in columns), tails), strict=True))


@dataclass(frozen=True)
class Truth:
    """The table of one direction at one transfer size, in the order of `settings`."""

    settings: tuple[Setting, ...]
    bytes_per_s: NDArray[np.float64]

    @property
    def best_bytes_per_s(self) -> float:
        return float(self.bytes_per_s.max())

    @property
    def optimum(self) -> Setting:
        return self.settings[int(self.bytes_per_s.argmax())]

    def of(self, setting: Setting) -> float:
        return float(self.bytes_per_s[self.settings.index(setting)])

    def tied(self, tolerance: float = 0.01) -> tuple[Setting, ...]:
        """Return the settings within the tolerance of the best."""
        floor = self.best_bytes_per_s * (1 - tolerance)
        return tuple(self.settings[place] for place in np.flatnonzero(self.bytes_per_s >= floor).tolist())


@lru_cache(maxsize=4096)
def truth(model: DriveModel, direction: Direction, transfer_bytes: int = TRANSFER_BYTES) -> Truth:
    found = figures(model, direction, SETTINGS, transfer_bytes)
    return Truth(SETTINGS, transfer_bytes / found.transfer_s)
